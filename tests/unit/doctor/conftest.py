"""A project whose set-up lacks nothing, as files alone and with a stand-in for GitHub; tests take something out."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from beampermit.doctor.results import Found
from beampermit.doctor.subject import Files, Subject, load_about
from beampermit.github.client import Client
from support.github_setup import set_up
from support.github_stand_in import GitHub
from support.paths import ROOT
from support.permits import KEY

TEMPLATE = ROOT / "template/{{cookiecutter.project_slug}}"
RULESETS = (".github/rulesets/main.json", ".github/rulesets/ledger.json")
WORKFLOWS = sorted(path.relative_to(TEMPLATE).as_posix() for path in (TEMPLATE / ".github/workflows").glob("*.yml"))

Look = Callable[[Callable[[Subject], Found]], Found]


@pytest.fixture
def files(contract_text: str) -> dict[str, str]:
    """What is committed."""
    key = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return {
        "contract.yaml": contract_text,
        "CODEOWNERS": "* @ada @lab/models\n",
        ".github/permit.pub": key,
        **{name: (TEMPLATE / name).read_text() for name in (*RULESETS, *WORKFLOWS)},
    }


@pytest.fixture
def whole(github: GitHub, files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> GitHub:
    """A repository in which nothing is missing; `s3cret` sees everything."""
    for name in ("MLFLOW_TRACKING_URI", "BEAMPERMIT_SIGNING_KEY", "GITHUB_ACTIONS", "GITHUB_REPOSITORY"):
        monkeypatch.delenv(name, raising=False)
    set_up(github, files)
    for name in RULESETS:
        github.ruleset(json.loads((TEMPLATE / name).read_text()))
    return github


@pytest.fixture
def subject(whole: GitHub, files: dict[str, str]) -> Subject:
    """Looked at from outside; its files are those of `files`, changed or not."""
    client = Client(whole.repository, "s3cret", whole.url, lambda _: None)
    return Subject(whole.repository, _files(files), "main", client, load_about(client))


@pytest.fixture
def look(whole: GitHub, files: dict[str, str]) -> Look:
    """What a check says of the project, as files and set-up are by then."""

    def run(check: Callable[[Subject], Found]) -> Found:
        client = Client(whole.repository, "s3cret", whole.url, lambda _: None)
        return check(Subject(whole.repository, _files(files), "main", client, load_about(client)))

    return run


def _files(files: dict[str, str]) -> Files:
    return Files(tuple(files), files.get)
