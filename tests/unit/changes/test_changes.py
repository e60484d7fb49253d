"""What a pull request changes is found, and a gate that asks less is marked."""

from __future__ import annotations

from typing import Any

import pytest

from beampermit.changes.base_and_head import Sides
from beampermit.changes.contract_changes import promises
from beampermit.changes.data import data
from beampermit.changes.flat import MOST, flat, moves
from beampermit.changes.packages import packages
from beampermit.contract import parse_contract
from beampermit.project import Project
from support.planted_results import commit, write

GATES = {
    "a lower gate": ("gate: 0.95", "gate: 0.9", "metrics.auc.gate", True),
    "a higher gate": ("gate: 0.95", "gate: 0.96", "metrics.auc.gate", False),
    "a lower gate where lower is better": ("gate: 0.05", "gate: 0.04", "metrics.false_alarm_rate.gate", False),
    "a higher gate where lower is better": ("gate: 0.05", "gate: 0.06", "metrics.false_alarm_rate.gate", True),
    "a metric removed": ("{name: auc, ", "{name: other, ", "metrics.auc.gate", True),
    "a metric added": ("{name: auc, ", "{name: other, ", "metrics.other.gate", False),
    "a larger margin": ("champion_margin: 0.005", "champion_margin: 0.1", "metrics.auc.champion_margin", True),
    "a wider range": ("range: [-20, 20]", "range: [-20, 30]", "signals.inputs.turns.range", True),
    "a narrower range": ("range: [-20, 20]", "range: [-10, 20]", "signals.inputs.turns.range", False),
    "a higher HIHI": ("hihi: 0.9", "hihi: 0.95", "signals.outputs.fault-score.hihi", True),
    "HIHI removed": (", hihi: 0.9", "", "signals.outputs.fault-score.hihi", True),
    "staler inputs": ("stale_after: 5s", "stale_after: 1h", "signals.inputs.turns.stale_after", True),
    "a larger tolerance": ("metric_tolerance: 0.005", "metric_tolerance: 1", "reproducibility.metric_tolerance", True),
    "fewer seeds": ("seeds: [0, 1, 2]", "seeds: [0]", "reproducibility.seeds", True),
    "more memory": ("memory: 2048", "memory: 4096", "budget.memory", True),
    "splits may share devices": ("by: [acquisition, device]", "by: [acquisition]", "dataset.split.by", True),
    "another evaluation": ("-m, bpm_faults.evaluate", "-m, other", "evaluation.command", False),
}


GPU = {
    "a promise removed": ("tests:\n  gpu: {", "# {", {"capability", "driver", "memory"}),
    "a lower capability": ('"10.0"', '"9.0"', {"capability"}),
    "a higher capability": ('"10.0"', '"12.0"', set()),
    "an older driver": ('"535.104"', '"535.9"', {"driver"}),
    "less memory": ("memory: 8192}", "memory: 4096}", {"memory"}),
    "memory removed": (", memory: 8192}", "}", {"memory"}),
}


@pytest.mark.parametrize("case", GPU)
def test_what_asks_less_of_a_gpu_is_marked(contract_text: str, case: str) -> None:
    before, after, looser = GPU[case]
    cuda = contract_text.replace("backend: uv", "backend: uv\n  accelerators: [cpu, cuda]")
    text = f'{cuda}tests:\n  gpu: {{capability: "10.0", driver: "535.104", memory: 8192}}\n'
    gates, _ = promises(parse_contract(text), parse_contract(text.replace(before, after)))
    assert gates
    assert {move.key for move in gates if move.looser} == {f"tests.gpu.{name}" for name in looser}


GROUPED = {
    "a lower gate of a subgroup": ("{by: plane, gate: 0.9}", "{by: plane, gate: 0.8}", {"gate"}),
    "a higher gate of a subgroup": ("{by: plane, gate: 0.9}", "{by: plane, gate: 0.92}", set()),
    "a subgroup removed": ("{by: plane, gate: 0.9}", "", {"gate", "by"}),
}


@pytest.mark.parametrize("case", GROUPED)
def test_what_asks_less_of_a_subgroup_is_marked(contract_text: str, case: str) -> None:
    before, after, looser = GROUPED[case]
    text = contract_text.replace("gate: 0.95,", "gate: 0.95, subgroups: [{by: plane, gate: 0.9}],")
    text = text.replace("  command:", "  weighted: [python]\n  command:")
    gates, _ = promises(parse_contract(text), parse_contract(text.replace(before, after)))
    assert gates
    assert {move.key for move in gates if move.looser} == {f"metrics.auc.subgroups.plane.{name}" for name in looser}


@pytest.mark.parametrize(
    ("before", "after", "looser"),
    [("retrain: pull-request", "retrain: release", True), ("retrain: release", "retrain: pull-request", False)],
)
def test_a_retraining_put_off_is_marked(contract_text: str, before: str, after: str, looser: bool) -> None:
    texts = [contract_text.replace("seeds: [", f"{words}, seeds: [") for words in (before, after)]
    gates, _ = promises(*map(parse_contract, texts))
    assert [(move.key, move.looser) for move in gates] == [("reproducibility.retrain", looser)]


@pytest.mark.parametrize("case", GATES)
def test_a_changed_gate_is_found_and_a_looser_one_marked(contract_text: str, case: str) -> None:
    before, after, key, looser = GATES[case]
    assert before in contract_text
    changed = parse_contract(contract_text.replace(before, after))
    gates, words = promises(parse_contract(contract_text), changed)
    assert {move.key: move.looser for move in gates}[key] is looser
    assert words == ()


def test_a_changed_text_is_no_gate(contract_text: str) -> None:
    changed = parse_contract(contract_text.replace("+1 555 0100", "+1 555 0199"))
    gates, words = promises(parse_contract(contract_text), changed)
    assert gates == ()
    assert [(move.key, move.after) for move in words] == [("operations.on_call", "+1 555 0199")]


def test_a_tree_is_flat_by_name_and_never_endless() -> None:
    assert flat({"a": {"b": 1}, "c": [{"name": "x", "v": 2}], "d": [1, 2]}) == {
        **{"a.b": 1, "c.x.name": "x", "c.x.v": 2, "d": [1, 2]},
    }  # fmt: skip
    deep: Any = 1
    for _ in range(500):
        deep = {"a": deep}
    assert len(flat(deep)) == 1
    assert len(flat({str(number): number for number in range(2 * MOST)})) == MOST


def test_moves_tell_absent_from_empty() -> None:
    assert [(move.before, move.after) for move in moves({"a": None, "b": 1}, {"a": "", "c": True})] == [
        ("nothing", ""),
        ("1", None),
        (None, "true"),
    ]


LOCKED = """version = 1
requires-python = "==3.11.*"
[[package]]
name = "numpy"
version = "%s"
source = { registry = "%s" }
sdist = { url = "https://x/n.tar.gz", hash = "sha256:%s" }
"""


def test_packages_that_moved_are_named(results: Project, git: Any) -> None:
    write(results, "uv.lock", LOCKED % ("2.2.0", "https://one.lab.example", "a" * 64))
    commit(git, "Lock")
    git("checkout", "--quiet", "-b", "newer")
    write(results, "uv.lock", LOCKED % ("2.3.0", "https://two.lab.example", "b" * 64))
    found = packages(Sides(Project(results.root, "main")))
    assert [(move.key, move.before, move.after) for move in found] == [
        ("(index)", "https://one.lab.example", "https://two.lab.example"),
        ("numpy", "2.2.0", "2.3.0"),
    ]


def test_what_moved_on_the_base_meanwhile_is_not_shown(branch: Project, git: Any) -> None:
    git("checkout", "--quiet", "main")
    write(branch, "params.yaml", "train: {epochs: 999}\n")
    write(branch, "dvc.lock", "stages: {}\n")
    commit(git, "Main moves on")
    git("checkout", "--quiet", "better")
    sides = Sides(Project(branch.root, "main"))
    assert sides.before("params.yaml") == "train: {epochs: 20, learning_rate: 0.001}\n"
    assert [swap.path for swap in data(sides)] == ["data/raw.parquet"]


def test_data_of_pointer_files_count_too(results: Project, git: Any) -> None:
    git("checkout", "--quiet", "-b", "files")
    write(results, "acquisitions/day.parquet.dvc", "outs:\n- {md5: abc, size: 5, path: day.parquet}\n")
    commit(git, "Recorded")
    found = data(Sides(Project(results.root, "main")))
    assert [(swap.path, swap.before) for swap in found] == [("acquisitions/day.parquet", None)]


CONDA = """\
version: 1
metadata: {{content_hash: {{}}, channels: [], platforms: [linux-64], sources: [environment.yml]}}
package:
- name: torch
  version: '{version}'
  manager: conda
  platform: linux-64
  dependencies: {{}}
  url: https://conda.example/lab/linux-64/torch-{version}-0.conda
  hash: {{md5: x, sha256: x}}
  category: main
  optional: false
"""


def test_what_moved_for_a_gpu_alone_is_shown_as_that(branch: Project, git: Any) -> None:
    git("checkout", "--quiet", "main")
    for name in ("conda-lock.yml", "cuda.conda-lock.yml"):
        write(branch, name, CONDA.format(version="2.5"))
    commit(git, "Locks of both")
    git("checkout", "--quiet", "-b", "gpu")
    write(branch, "cuda.conda-lock.yml", CONDA.format(version="2.6"))
    found = [(move.key, move.before, move.after) for move in packages(Sides(Project(branch.root, "main")))]
    assert found == [("torch (cuda)", "2.5", "2.6")]
