"""Workflow files are read as GitHub reads them."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from time import sleep

import pytest

from beampermit.errors import BadInput
from beampermit.workflows import tree
from beampermit.workflows.tree import read_tree
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


def test_a_file_that_is_no_mapping_is_named() -> None:
    for text in ("- on: push\n", "push\n", ""):
        with pytest.raises(BadInput, match=r"w\.yml:1: not a mapping, so neither a workflow nor an action"):
            read_tree(text, "w.yml")


def test_threads_that_ask_for_one_file_at_once_read_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    start, read, reads = Barrier(3), tree._constructor, list[str]()

    def slow(file: str) -> object:
        reads.append(file)
        sleep(0.05)
        return read(file)

    def ask(_: int) -> object:
        start.wait()
        return read_tree("a: read by three\n", "w.yml")

    monkeypatch.setattr(tree, "_constructor", slow)
    with ThreadPoolExecutor(3) as pool:
        first, *others = pool.map(ask, range(3))
    assert (len(reads), all(other is first for other in others)) == (1, True)


def test_a_number_with_an_underscore_is_a_text() -> None:
    assert read_tree("a: [1_0, 1_0.5, 10.5]\n", "w.yml")["a"] == ["1_0", "1_0.5", 10.5]


def test_a_job_that_is_no_mapping_is_named_with_its_line() -> None:
    with pytest.raises(BadInput, match=r"w\.yml:3: job 'a' is not a mapping"):
        read_workflow("on: push\njobs:\n  a: 3\n", "w.yml")


@pytest.mark.parametrize(
    ("on", "job", "line", "message"),
    [
        ("5", "{runs-on: x}", 1, "`on: 5` is not what GitHub expects there"),
        ("push", "{runs-on: x, needs: 5}", 3, "`needs: 5` is not what"),
        ("push", "\n    needs: {b: c}\n", 4, "`needs: {'b': 'c'}` is not what"),
        ("{workflow_call: [a]}", "{runs-on: x}", 1, "`workflow_call: ['a']` is not what"),
        ("\n  workflow_call:\n    inputs: [a]", "{runs-on: x}", 3, "`inputs: ['a']` is not what"),
        ("{workflow_call: {inputs: {a: b}}}", "{runs-on: x}", 1, "`a: b` is not what"),
        ("push", "{strategy: {matrix: {a: [0x" + "f" * 5000 + "]}}}", 3, "an integer of more than 300 digits"),
        ("push", "{env: {a: " + "9" * 5000 + "}}", 3, "an integer of more than 300 digits"),
        ("push", "\n    strategy: {matrix: &x {a: *x}}\n", 4, "stands inside of what it repeats"),
    ],
)
def test_a_value_of_another_kind_is_named_with_its_line(on: str, job: str, line: int, message: str) -> None:
    with pytest.raises(BadInput, match=re.escape(message)) as caught:
        read_workflow(f"on: {on}\njobs:\n  a: {job}\n", "w.yml")
    assert (caught.value.file, caught.value.line) == ("w.yml", line)
