"""Whoever may write the registry can name any place for the bytes of a version; not every one is asked for them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from beampermit.errors import Outside
from beampermit.registry.mlflow import SQLITE
from beampermit.registry.models import fetch_model
from beampermit.registry.places import require_known_place
from support.loopback import listening
from support.registry_project import Laboratory

REGISTRY, ARTIFACTS = "https://ada:password@MLflow.example:5000", "mlflow-artifacts://artifacts.example/7"


def require(source: str) -> None:
    require_known_place("version 3", source, REGISTRY, lambda: ARTIFACTS)


@pytest.mark.slow
@pytest.mark.attack(
    guard="promote",
    tried="the registry says that a version is at another host, and MLflow would send that host the registry's login",
    said="this is another host, and MLflow would send it the registry's login",
)
def test_no_login_is_sent_to_a_host_that_a_version_names(
    prepared: Callable[..., Laboratory], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str
) -> None:
    lab = prepared("once")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "release")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "a password")
    logins: list[str | None] = []

    class Foreign(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            logins.append(self.headers.get("Authorization"))
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with listening(Foreign) as port:
        with sqlite3.connect(lab.uri.removeprefix(SQLITE)) as database:
            place = f"mlflow-artifacts://127.0.0.1:{port}/1/model"
            database.execute("UPDATE model_versions SET source = ?, storage_location = ?", (place, place))
        with pytest.raises(Outside, match=said):
            fetch_model(lab.last(), tmp_path / "models", lab.uri)
    assert logins == []


@pytest.mark.parametrize(
    "source",
    [
        "mlflow-artifacts:/7/run/artifacts/model",
        "mlflow-artifacts://artifacts.example/7/run/artifacts/model",
        "https://mlflow.example:5000/api/2.0/mlflow-artifacts/artifacts/7",
        "s3://laboratory/7/run/artifacts/model",
        "file:///net/mlartifacts/run/artifacts/model",
        "/net/mlartifacts/run/artifacts/model",
    ],
)
def test_the_places_of_usual_registries_are_taken(source: str) -> None:
    require(source)


@pytest.mark.parametrize(
    "source",
    [
        "https://mlflow.example/7",
        "https://mlflow.example:5000.evil.example/7",
        "https://mlflow.example:5000@evil.example/7",
        "HTTP://evil.example\\@mlflow.example:5000/7",
        "mlflow-artifacts://evil.example/7",
        "http:evil.example/7",
        "http:///evil.example/7",
        "http://[evil.example/7",
        "runs:/of-another-experiment/model",
        "models:/another/1",
    ],
)
def test_other_places_are_not_asked(source: str) -> None:
    with pytest.raises(Outside, match="the registry says that version 3 is at "):
        require(source)
