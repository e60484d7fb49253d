"""GIT003 and GIT004 with planted defects: code that nobody reviewed, and code that reaches too far."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from beampermit.interlocks import runner
from beampermit.interlocks.families import select_interlocks
from beampermit.interlocks.repository import GIT003, GIT004, Workflows, workflows
from beampermit.project import Project
from beampermit.verdicts.verdict import Outcome

COMMIT = "de0fac2e4500dabe0009e67214ff5f5447ce83dd"
SHA256 = "sha256:" + 64 * "a"


def step(uses: str) -> str:
    return f"name: w\non: push\njobs:\n  one:\n    runs-on: x\n    steps:\n      - name: s\n        uses: {uses}\n"


def call(uses: str) -> str:
    return f"name: w\non: push\njobs:\n  one:\n    uses: {uses}\n"


def action(uses: str) -> str:
    return f"name: a\ndescription: a\nruns:\n  using: composite\n  steps:\n    - uses: {uses}\n"


def judged(text: str, file: str = ".github/workflows/w.yml"):
    return GIT003().check(Workflows({".github/workflows/a.yml": step(f"actions/checkout@{COMMIT}"), file: text}))


@pytest.mark.parametrize(
    "text",
    [
        step(f"actions/checkout@{COMMIT} # v6.0.2"),
        step(f"docker://alpine@{SHA256}"),
        call(f"lab/actions/.github/workflows/ml.yml@{COMMIT}"),
        step(f"lab/actions/path/to/one@{COMMIT}").replace("uses:", "if: true\n        uses:"),
        call("./.github/workflows/ml.yml"),
        call("$/.github/workflows/ml.yml"),
        step("$/actions/mine"),
    ],
)
def test_a_pin_by_commit_passes(text: str) -> None:
    assert judged(text).outcome is Outcome.PASSED


@pytest.mark.attack(
    guard="GIT003",
    tried="an action lies in a folder whose name is not UTF-8, which reading git's list turned into another one",
    said="'v6' is a tag or branch, which can be moved to other code",
)
def test_an_action_is_read_whatever_its_folder_is_called(project: Project, said: str) -> None:
    folder = project.root / os.fsdecode(b"a\xff\r")
    folder.mkdir()
    (folder / "action.yml").write_text(action("actions/checkout@v6"))
    project.git("add", "--all")
    assert said in GIT003().check(workflows(project)).reason


@pytest.mark.plants("GIT003")
@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (step("actions/checkout@v6"), 8, "'v6' is a tag or branch, which can be moved to other code"),
        (step("actions/checkout@main"), 8, "'main' is a tag or branch"),
        (step("actions/checkout@de0fac2"), 8, "'de0fac2' is a short commit"),
        (step(f"actions/checkout@{COMMIT[:-1]}"), 8, "is a short commit"),
        (step(f"actions/checkout@{COMMIT.upper()}"), 8, "is a tag or branch"),
        (step("actions/checkout"), 8, "no commit is given"),
        (step("docker://alpine:3.22"), 8, "the image is not pinned by its digest"),
        (
            step("./actions/mine"),
            8,
            "runs whatever the checkout contains; write $/actions/mine, which is of this commit",
        ),
        (step("./.github/workflows/ml.yml"), 8, "a local path runs whatever the checkout contains"),
        (call("./ml.yml"), 5, "a local path runs whatever the checkout contains"),
        (step("../actions/mine"), 8, "a local path runs whatever the checkout contains; write $/path"),
        (step(f"$/actions/mine@{COMMIT}"), 8, "GitHub refuses `@` here"),
        (call("lab/actions/.github/workflows/ml.yml@main"), 5, "'main' is a tag or branch"),
        (step(f"actions/checkout@{COMMIT}") + "    container: alpine:3\n", 9, "the image is not pinned by its digest"),
        (
            step(f"actions/checkout@{COMMIT}") + "    services:\n      db: {image: 'postgres:18'}\n",
            10,
            "the image is not pinned by its digest",
        ),
    ],
)
def test_what_can_be_moved_fails(text: str, line: int, words: str) -> None:
    found = judged(text)
    assert found.outcome is Outcome.FAILED
    assert words in found.reason
    assert [(place.file, place.line) for place in found.locations] == [(".github/workflows/w.yml", line)]


def test_an_action_of_the_repository_is_judged_too() -> None:
    found = judged(action("actions/cache@v5"), "actions/mine/action.yml")
    assert found.outcome is Outcome.FAILED
    assert found.reason.startswith("actions/mine/action.yml:6: 'actions/cache@v5'")


def test_all_loose_pins_are_named() -> None:
    found = judged(step("a/b@v1") + "      - uses: c/d@v2\n")
    assert "(and 1 more)" in found.reason
    assert found.evidence["unpinned"] == [".github/workflows/w.yml:8 a/b@v1", ".github/workflows/w.yml:9 c/d@v2"]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [("jobs: [unclosed\non: push\n", 2, "not YAML"), ("- a\n- b\n", 1, "not a mapping")],
)
def test_a_file_that_cannot_be_read_fails(text: str, line: int, words: str) -> None:
    found = judged(text)
    assert found.outcome is Outcome.FAILED
    assert words in found.reason
    assert found.locations[0].line == line


def test_a_repository_without_workflows_passes_and_says_what_to_add(project: Project) -> None:
    for interlock in (GIT003(), GIT004()):
        found = interlock.check(workflows(project))
        assert found.outcome is Outcome.PASSED
        assert found.reason.startswith("there is no workflow in .github/workflows, so nothing runs; `beampermit init`")


def test_an_action_is_judged_in_a_repository_without_workflows(project: Project, git) -> None:
    Path(project.root, "action.yml").write_text(
        action("actions/cache@v5").replace("uses:", "run: echo ${{ 1 }}\n      uses:")
    )
    git("add", "action.yml")
    for interlock in (GIT003(), GIT004()):
        assert interlock.check(workflows(project)).outcome is Outcome.FAILED


def test_workflows_and_tracked_actions_are_found(project: Project, git) -> None:
    for name in (".github/workflows/w.yaml", "deep/action.yaml", "deep/other.yml", "untracked/action.yml"):
        Path(project.root, name).parent.mkdir(parents=True, exist_ok=True)
        Path(project.root, name).write_text("on: push\n")
    git("add", "deep")
    assert sorted(workflows(project).texts) == [".github/workflows/w.yaml", "deep/action.yaml"]


@pytest.mark.plants("GIT004")
def test_git004_names_every_way_that_a_fork_has() -> None:
    text = "on: pull_request_target\npermissions: write-all\njobs:\n  one:\n    runs-on: x\n    steps: []\n"
    found = GIT004().check(Workflows({".github/workflows/w.yml": text}))
    assert found.outcome is Outcome.FAILED
    assert found.reason.startswith(".github/workflows/w.yml:1: pull_request_target gives")
    assert found.reason.endswith("(and 1 more)")
    assert [place.line for place in found.locations] == [1, 2]
    assert found.evidence["defects"][1].startswith("write-all: .github/workflows/w.yml:2: ")


def test_git004_says_what_it_did_not_follow() -> None:
    other = f"lab/other/.github/workflows/train.yml@{COMMIT}"
    found = GIT004().check(Workflows({".github/workflows/w.yml": call(other)}))
    assert found.outcome is Outcome.PASSED
    assert f"not followed, being in other repositories: {other}" in found.reason


def test_git004_follows_into_our_own_workflows() -> None:
    ours = f"beampermit/beampermit/.github/workflows/ml-pull-request.yml@{COMMIT}"
    text = call(ours).replace("on: push", "on: pull_request") + "    with: {runner: '[\"gpu\"]'}\n"
    found = GIT004().check(Workflows({".github/workflows/w.yml": text}))
    assert found.outcome is Outcome.FAILED
    assert ".github/workflows/w.yml:4: job 'one / " in found.reason
    assert "(.github/workflows/ml-pull-request.yml:" in found.reason


def test_both_work_in_a_repository_without_a_contract(project: Project) -> None:
    (project.root / "contract.yaml").unlink()
    (project.root / ".github/workflows").mkdir(parents=True)
    (project.root / ".github/workflows/w.yml").write_text(step(f"actions/checkout@{COMMIT}"))
    assert [verdict.passed for verdict in runner.check(project, select_interlocks(["GIT003", "GIT004"]))] == [
        True,
        True,
    ]
