"""Workflows that GitHub stopped for want of commits."""

from __future__ import annotations

import pytest

from beampermit.inventory.listing import Place
from beampermit.inventory.schedules import ask_schedules, clients_of
from beampermit.live.promoted.wanted import Repository
from beampermit.verdicts.inventory import Inventory
from support.github_server import says
from support.github_stand_in import GitHub, github

__all__ = ["github"]
FAULTS = Place(Repository("https://git.lab.example/ml/faults.git"), github="lab/faults")


STATES = {"inventory.yml": "disabled_inactivity", "monitor.yml": "active", "reproduce.yml": "disabled_manually"}


def test_only_what_github_disabled_for_quiet_is_found(github: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    github.workflows = STATES
    monkeypatch.setenv("GITHUB_API_URL", github.url)
    assert clients_of([FAULTS]) == {}, "nothing is asked without a token"
    monkeypatch.setenv("GITHUB_TOKEN", "s3cret")
    findings = ask_schedules(clients_of([FAULTS]))
    assert [(one.id, one.level, one.project, one.next) for one in findings] == [
        ("INV009", "MINOR", FAULTS.repository.name, "gh workflow enable inventory.yml --repo lab/faults")
    ]
    assert findings[0].message == "GitHub has disabled inventory.yml: the repository was quiet for sixty days"


@pytest.mark.slow
@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_github_does_not_tell_is_not_known(github: GitHub, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    monkeypatch.setenv("GITHUB_API_URL", github.url)
    monkeypatch.setenv("GITHUB_TOKEN", "s3cret")
    github.next(says(status, {"message": "Resource not accessible"}))
    (found,) = ask_schedules(clients_of([FAULTS]))
    assert (found.id, found.project, found.unknown) == ("INV016", FAULTS.repository.name, True)
    assert found.message.startswith("GitHub answers GET")
    assert found.message.endswith("whether its schedules run is not known")
    assert Inventory(at=0.0, entries=(), findings=(found,)).exit_code == 4
    github.next(says(status, {"message": "Resource not accessible"}))
    github.workflows = STATES
    other = Place(Repository("https://git.lab.example/ml/other.git"), github="lab/faults")
    assert {one.id for one in ask_schedules(clients_of([FAULTS, other]))} == {"INV009", "INV016"}, (
        "the others are asked"
    )


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        ("https://github.com/lab/faults.git", "lab/faults"),
        ("git@github.com:lab/faults.git", "lab/faults"),
        ("https://git.lab.example/lab/faults.git", ""),
        ("/srv/git/faults.git", ""),
    ],
)
def test_a_repository_elsewhere_is_not_taken_for_one_on_github(
    monkeypatch: pytest.MonkeyPatch, address: str, asked: str
) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "s3cret")
    monkeypatch.setenv("GITHUB_API_URL", "https://api.github.com")  # as in every job
    found = clients_of([Place(Repository(address))]).values()
    assert [client.repository for client in found] == ([asked] if asked else [])


def test_an_enterprise_server_is_known_by_its_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "s3cret")
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://git.lab.example")
    monkeypatch.setenv("GITHUB_API_URL", "https://git.lab.example/api/v3")
    (client,) = clients_of([Place(Repository("https://git.lab.example/lab/faults.git"))]).values()
    assert (client.repository, client.api) == ("lab/faults", "https://git.lab.example/api/v3")
    elsewhere = Place(Repository("https://github.com/lab/faults.git"))
    assert clients_of([elsewhere]) == {}, (
        "the server of this job has another lab/faults, and its token is not for GitHub"
    )
