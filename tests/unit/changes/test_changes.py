"""What a pull request changes in settings, packages and data."""

from __future__ import annotations

from typing import Any

import pytest

from beampermit.changes.base_and_head import BaseAndHead
from beampermit.changes.data import changed_output, compare_data
from beampermit.changes.flat import MOST, compare_settings, compare_trees, flatten
from beampermit.changes.packages import compare_packages
from beampermit.project import Project
from beampermit.retrofit.survey import survey
from support.planted_results import commit, write


def test_a_tree_is_flat_by_name_and_never_endless() -> None:
    assert flatten({"a": {"b": 1}, "c": [{"name": "x", "v": 2}], "d": [1, 2]}) == {
        **{"a.b": 1, "c.x.name": "x", "c.x.v": 2, "d": [1, 2]},
    }  # fmt: skip
    deep: Any = 1
    for _ in range(500):
        deep = {"a": deep}
    assert len(flatten(deep)) == 1
    assert len(flatten({str(number): number for number in range(2 * MOST)})) == MOST


def test_moves_tell_absent_from_empty() -> None:
    assert [(move.before, move.after) for move in compare_trees({"a": None, "b": 1}, {"a": "", "c": True})] == [
        ("nothing", ""),
        ("1", None),
        (None, "true"),
    ]


@pytest.mark.slow
def test_parameters_with_anchors_are_compared_and_surveyed(branch: Project) -> None:
    """As DVC reads them, in `params.yaml` and `dvc.yaml`."""
    (branch.root / "params.yaml").write_text("base: &b {epochs: 60, seed: 3}\ntrain: *b\nfine: {<<: *b, seed: 4}\n")
    (branch.root / "dvc.yaml").write_text("stages:\n  a: {cmd: x, outs: &o [o.parquet]}\n  b: {cmd: y, deps: *o}\n")
    changes = {change.key: change.after for change in compare_settings(BaseAndHead(branch))["params.yaml"]}
    assert (changes["train.epochs"], changes["fine.epochs"], changes["fine.seed"]) == ("60", "60", "4")
    assert survey(branch.root).name


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
    found = compare_packages(BaseAndHead(Project(results.root, "main")))
    assert [(move.key, move.before, move.after) for move in found] == [
        ("(index)", "https://one.lab.example", "https://two.lab.example"),
        ("numpy", "2.2.0", "2.3.0"),
    ]


@pytest.mark.slow
def test_what_moved_on_the_base_meanwhile_is_not_shown(branch: Project, git: Any) -> None:
    git("checkout", "--quiet", "main")
    write(branch, "params.yaml", "train: {epochs: 999}\n")
    write(branch, "dvc.lock", "stages: {}\n")
    commit(git, "Main moves on")
    git("checkout", "--quiet", "better")
    sides = BaseAndHead(Project(branch.root, "main"))
    assert sides.before("params.yaml") == "train: {epochs: 20, learning_rate: 0.001}\n"
    assert [swap.path for swap in compare_data(sides)] == ["data/raw.parquet"]


def test_data_of_pointer_files_count_too(results: Project, git: Any) -> None:
    git("checkout", "--quiet", "-b", "files")
    write(results, "acquisitions/day.parquet.dvc", "outs:\n- {md5: abc, size: 5, path: day.parquet}\n")
    commit(git, "Recorded")
    found = compare_data(BaseAndHead(Project(results.root, "main")))
    assert [(swap.path, swap.before) for swap in found] == [("acquisitions/day.parquet", None)]


@pytest.mark.slow
def test_a_change_above_or_below_a_path_is_one_of_it(results: Project, git: Any) -> None:
    write(results, "kept/rec.dvc", "outs:\n- {md5: one.dir, size: 5, path: rec}\n")
    write(results, "log/1.parquet", "one")
    commit(git, "Records")
    git("checkout", "--quiet", "-b", "later")

    def changed(*paths: str) -> list[str]:
        sides = BaseAndHead(Project(results.root, "main"))
        return [path for path in paths if changed_output(sides, path)]

    paths = ("kept", "kept/rec", "kept/rec/good.parquet", "kept/record", "log", "log/1.parquet", "log/1", "lo")
    write(results, "kept/rec/good.parquet", "what DVC binds is DVC's to compare")
    assert changed(*paths) == []
    write(results, "kept/rec.dvc", "outs:\n- {md5: two.dir, size: 5, path: rec}\n")
    assert changed(*paths) == ["kept", "kept/rec", "kept/rec/good.parquet"]
    write(results, "log/2.parquet", "two")
    assert changed(*paths[3:]) == ["log"]
    write(results, "log/1.parquet", "other")
    assert changed(*paths[3:]) == ["log", "log/1.parquet"]


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


@pytest.mark.slow
def test_what_moved_for_a_gpu_alone_is_shown_as_that(branch: Project, git: Any) -> None:
    git("checkout", "--quiet", "main")
    for name in ("conda-lock.yml", "cuda.conda-lock.yml"):
        write(branch, name, CONDA.format(version="2.5"))
    commit(git, "Locks of both")
    git("checkout", "--quiet", "-b", "gpu")
    write(branch, "cuda.conda-lock.yml", CONDA.format(version="2.6"))
    found = [
        (move.key, move.before, move.after) for move in compare_packages(BaseAndHead(Project(branch.root, "main")))
    ]
    assert found == [("torch (cuda)", "2.5", "2.6")]
