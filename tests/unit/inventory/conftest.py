"""Fixtures: a laboratory with a version in service, and an empty cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.promoted_project import IN_SERVICE
from support.registry_project import Laboratory, database, prepared

__all__ = ["database", "prepared"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where repositories are kept; no registry is named, nor a token."""
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(tmp_path / "cache"))
    for name in ("MLFLOW_TRACKING_URI", "GITHUB_TOKEN", "GH_TOKEN", "GITHUB_API_URL", "GITHUB_SERVER_URL", "GH_HOST"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def lab(prepared: Callable[..., Laboratory]) -> Laboratory:
    """Version 1 is champion."""
    return prepared("served", *IN_SERVICE)
