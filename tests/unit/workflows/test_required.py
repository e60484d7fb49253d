"""The check that is required is one that is reported, by one job, which cannot be skipped."""

from __future__ import annotations

import pytest

from beampermit.errors import Failed
from beampermit.workflows.own import own_workflows
from beampermit.workflows.required import find_permit

FILE = ".github/workflows/pull-request.yml"
CALL = "on: [pull_request]\njobs:\n  ml:\n    name: models\n    uses: o/r/.github/workflows/ml-pull-request.yml@a\n"
PLAIN = "on: pull_request\njobs:\n  permit:\n    runs-on: x\n"


def test_the_check_is_named_by_caller_and_called() -> None:
    found = find_permit({FILE: CALL}, own_workflows())
    assert (found.context, found.file, found.queued) == ("models / permit", FILE, False)


def test_a_workflow_that_runs_for_the_merge_queue_says_so() -> None:
    assert find_permit({FILE: CALL.replace("[pull_request]", "[pull_request, merge_group]")}, own_workflows()).queued


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({}, "no job called 'permit' is started by pull requests"),
        ({FILE: CALL.replace("ml-pull-request", "ml-release")}, "no job called 'permit'"),
        ({FILE: PLAIN.replace("pull_request", "push")}, "no job called 'permit'"),
        ({FILE: PLAIN, ".github/workflows/z.yml": PLAIN}, r"z.yml:3: 'permit' is reported here and by"),
        ({FILE: PLAIN, ".github/workflows/z.yml": CALL}, r"z.yml:3: 'models / permit' is reported here and by"),
        (
            {FILE: PLAIN, ".github/workflows/z.yml": "on: push\njobs:\n  a:\n    name: permit\n    runs-on: x\n"},
            r"z.yml:3: 'permit' is reported here",
        ),
        (
            {FILE: f"{PLAIN}    needs: a\n  a:\n    runs-on: x\n"},
            r"pull-request.yml:3: the job 'permit' can be skipped, which GitHub counts as passed",
        ),
        (
            {FILE: f"{PLAIN}    needs: a\n    if: success()\n  a:\n    runs-on: x\n"},
            "can be skipped, which GitHub counts as passed",
        ),
        ({FILE: f"{PLAIN}    if: github.actor != 'eve'\n"}, "can be skipped, which GitHub counts as passed"),
    ],
)
def test_a_planted_defect_is_named(texts: dict[str, str], words: str) -> None:
    with pytest.raises(Failed, match=words):
        find_permit(texts, own_workflows())


@pytest.mark.parametrize("on", ["{push: {branches: [main]}}", "{push: {tags: [v1]}}", "schedule", "workflow_run"])
def test_what_runs_elsewhere_may_bear_the_same_name(on: str) -> None:
    other = f"on: {on}\njobs:\n  permit:\n    runs-on: x\n"
    assert find_permit({FILE: PLAIN, ".github/workflows/release.yml": other}, {}).context == "permit"


def test_a_job_with_always_cannot_be_skipped() -> None:
    text = f"{PLAIN}    needs: a\n    if: ${{{{ always() }}}}\n  a:\n    runs-on: x\n"
    assert find_permit({FILE: text}, {}).context == "permit"
