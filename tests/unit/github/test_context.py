"""Repository and branch come from the job's environment, else from origin."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from beampermit.errors import BadInput, Failed
from beampermit.github.context import find_branch, find_client, require_client
from beampermit.project import Project

Git = Callable[..., str]


@pytest.mark.parametrize(
    ("origin", "environment", "repository", "api"),
    [
        ("https://github.com/lab/faults.git", {}, "lab/faults", "https://api.github.com"),
        ("https://github.com/lab/faults/", {}, "lab/faults", "https://api.github.com"),
        ("https://ada:pass@github.com/lab/faults", {}, "lab/faults", "https://api.github.com"),
        ("git@github.com:lab/faults.git", {}, "lab/faults", "https://api.github.com"),
        ("ssh://git@github.com:22/lab/faults.git", {}, "lab/faults", "https://api.github.com"),
        ("https://lab.ghe.com/lab/faults", {}, "lab/faults", "https://api.lab.ghe.com"),
        ("git@git.lab:o/n.git", {"GH_HOST": "git.lab"}, "o/n", "https://git.lab/api/v3"),
        ("git@git.lab:o/n", {"GITHUB_API_URL": "https://api.lab/v3/"}, "o/n", "https://api.lab/v3"),
        ("/srv/origin.git", {"GITHUB_REPOSITORY": "o/n"}, "o/n", "https://api.github.com"),
        ("/srv/origin.git", {"GITHUB_REPOSITORY": "o/n", "GH_HOST": "git.lab"}, "o/n", "https://git.lab/api/v3"),
    ],
)
def test_the_repository_is_that_of_the_job_or_of_origin(
    project: Project, git: Git, origin: str, environment: Mapping[str, str], repository: str, api: str
) -> None:
    git("remote", "add", "origin", origin)
    found = find_client(project.git, environment=environment)
    assert found
    assert (found.repository, found.api, found.token) == (repository, api, "")


@pytest.mark.parametrize(
    "origin", ["", "/srv/origin.git", "../origin.git", "https://gitlab.com/lab/faults", "git@git.lab:o/n.git"]
)
def test_an_origin_that_is_not_on_github_has_no_client(project: Project, git: Git, origin: str) -> None:
    if origin:
        git("remote", "add", "origin", origin)
    assert find_client(project.git, environment={}) is None
    with pytest.raises(BadInput, match="the remote origin is not on a known GitHub") as raised:
        require_client(project.git, environment={})
    assert "--repository OWNER/NAME" in raised.value.hint


def test_a_named_repository_takes_precedence(project: Project) -> None:
    found = require_client(project.git, "o/n", {"GITHUB_REPOSITORY": "a/b", "GH_TOKEN": "t"})
    assert (found.repository, found.token) == ("o/n", "t")


JOB = {"GITHUB_ACTIONS": "true"}


@pytest.mark.parametrize(
    ("environment", "branch"),
    [
        ({}, "main"),
        ({"GITHUB_REF": "refs/heads/topic"}, "main"),
        ({**JOB, "GITHUB_REF": "refs/heads/main"}, "main"),
        ({**JOB, "GITHUB_REF": "refs/heads/release/1"}, "release/1"),
        ({**JOB, "GITHUB_REF": "refs/pull/7/merge", "GITHUB_BASE_REF": "develop"}, "develop"),
    ],
)
def test_the_branch_is_the_one_that_changes_go_to(
    project: Project, environment: Mapping[str, str], branch: str
) -> None:
    assert find_branch(project.git, environment) == branch


def test_on_a_laptop_it_is_the_default_branch_of_origin(project: Project, git: Git) -> None:
    git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/trunk")
    assert find_branch(project.git, {}) == "trunk"


def test_a_merge_group_names_the_branch_it_goes_to(project: Project, tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    queue = "refs/heads/gh-readonly-queue/main/pr-7-c0ffee"
    environment = {**JOB, "GITHUB_EVENT_NAME": "merge_group", "GITHUB_REF": queue, "GITHUB_EVENT_PATH": str(event)}
    event.write_text(json.dumps({"merge_group": {"base_ref": "refs/heads/main", "head_ref": queue}}))
    assert find_branch(project.git, environment) == "main"
    event.write_text("{}")
    with pytest.raises(BadInput, match=r"has no merge_group\.base_ref"):
        find_branch(project.git, environment)


@pytest.mark.parametrize("ref", ["refs/tags/v1", "refs/pull/7/merge"])
def test_a_tag_or_merge_ref_is_refused(project: Project, ref: str) -> None:
    with pytest.raises(Failed, match=f"runs on {ref}, not on a branch"):
        find_branch(project.git, {**JOB, "GITHUB_REF": ref})


def test_a_job_without_a_ref_is_refused(project: Project) -> None:
    with pytest.raises(Failed, match="GITHUB_REF is not set"):
        find_branch(project.git, JOB)
