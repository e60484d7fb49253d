"""The required check is reported by exactly one job, which cannot be skipped."""

from __future__ import annotations

import pytest

from beampermit.errors import Failed
from beampermit.workflows.required import find_permit
from beampermit.workflows.workflow import own_workflows

FILE = ".github/workflows/pull-request.yml"
CALL = "on: [pull_request]\njobs:\n  ml:\n    name: models\n    uses: o/r/.github/workflows/ml-pull-request.yml@a\n"
PLAIN = "on: pull_request\njobs:\n  permit:\n    runs-on: x\n"


def test_check_is_named_after_caller_and_called_job() -> None:
    found = find_permit({FILE: CALL}, own_workflows())
    assert (found.context, found.file, found.in_merge_queue) == ("models / permit", FILE, False)


def test_merge_queue_trigger_is_reported() -> None:
    assert find_permit(
        {FILE: CALL.replace("[pull_request]", "[pull_request, merge_group]")}, own_workflows()
    ).in_merge_queue


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({}, "pull requests start no job named 'permit'"),
        ({FILE: CALL.replace("ml-pull-request", "ml-release")}, "no job named 'permit'"),
        ({FILE: PLAIN.replace("pull_request", "push")}, "no job named 'permit'"),
        ({FILE: PLAIN, ".github/workflows/z.yml": PLAIN}, r"z.yml:3: 'permit' is reported here and by"),
        ({FILE: PLAIN, ".github/workflows/z.yml": CALL}, r"z.yml:3: 'models / permit' is reported here and by"),
        (
            {FILE: PLAIN, ".github/workflows/z.yml": "on: push\njobs:\n  a:\n    name: permit\n    runs-on: x\n"},
            r"z.yml:3: 'permit' is reported here",
        ),
        (
            {FILE: f"{PLAIN}    needs: a\n  a:\n    runs-on: x\n"},
            r"pull-request.yml:3: job 'permit' can be skipped, which GitHub counts as passed",
        ),
        (
            {FILE: f"{PLAIN}    needs: a\n    if: success()\n  a:\n    runs-on: x\n"},
            "can be skipped, which GitHub counts as passed",
        ),
        ({FILE: f"{PLAIN}    if: github.actor != 'eve'\n"}, "can be skipped, which GitHub counts as passed"),
    ],
)
def test_planted_defect_is_named(texts: dict[str, str], message: str) -> None:
    with pytest.raises(Failed, match=message):
        find_permit(texts, own_workflows())


@pytest.mark.parametrize("on", ["{push: {branches: [main]}}", "{push: {tags: [v1]}}", "schedule", "workflow_run"])
def test_job_of_another_event_may_have_the_same_name(on: str) -> None:
    other = f"on: {on}\njobs:\n  permit:\n    runs-on: x\n"
    assert find_permit({FILE: PLAIN, ".github/workflows/release.yml": other}, {}).context == "permit"


def test_job_with_always_cannot_be_skipped() -> None:
    text = f"{PLAIN}    needs: a\n    if: ${{{{ always() }}}}\n  a:\n    runs-on: x\n"
    assert find_permit({FILE: text}, {}).context == "permit"
