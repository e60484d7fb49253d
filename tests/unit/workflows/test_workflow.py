"""Workflow files are read as GitHub reads them."""

from __future__ import annotations

import pytest

from beampermit.errors import BadInput
from beampermit.workflows.uses import Use
from beampermit.workflows.workflow import read_workflow

TEXT = """\
name: Pull request
on:
  pull_request:
  workflow_call:
    inputs: {runner: {default: '["x"]'}}
jobs:
  ml:
    uses: lab/ci/.github/workflows/ml.yml@aaaa
    with: {fresh: true}
  last:
    name: the last
    if: ${{ always() }}
    needs: ml
    runs-on: x
    strategy: {matrix: {a: [1]}}
    steps: []
"""


def test_a_workflow_is_its_jobs() -> None:
    found = read_workflow(TEXT, "w.yml")
    ml, last = found.jobs["ml"], found.jobs["last"]
    assert (found.name, found.events) == (
        "Pull request",
        {"pull_request": None, "workflow_call": {"inputs": {"runner": {"default": '["x"]'}}}},
    )
    assert ml.uses == Use("lab/ci/.github/workflows/ml.yml@aaaa", "w.yml", 8)
    assert (last.name, last.needs, last.condition, last.matrix, last.line) == (
        "the last",
        ("ml",),
        "${{ always() }}",
        {"a": [1]},
        10,
    )


def test_a_use_is_repository_path_and_revision() -> None:
    use = Use("lab/ci/actions/setup@v1", "w.yml", 1)
    assert (use.repository, use.path, use.revision) == ("lab/ci", "actions/setup", "v1")
    assert Use("./actions/mine", "w.yml", 1).repository == ""
    assert Use("docker://alpine:3", "w.yml", 1).repository == ""


@pytest.mark.parametrize("events", ["push", "[push]", "{push: {branches: [main]}}"])
def test_events_are_named_in_three_ways(events: str) -> None:
    assert read_workflow(f"on: {events}\njobs: {{a: {{runs-on: x}}}}\n", "w.yml").events.keys() == {"push"}


def test_a_job_that_is_no_mapping_is_named_with_its_line() -> None:
    with pytest.raises(BadInput, match=r"w\.yml:3: job 'a' is not a mapping"):
        read_workflow("on: push\njobs:\n  a: 3\n", "w.yml")
