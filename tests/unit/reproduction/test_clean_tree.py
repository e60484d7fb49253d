"""What an exported tree leads to, and what two files must have in common to say the same."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.contract import Signal
from beampermit.environments import Environment
from beampermit.errors import Failed
from beampermit.git import Git
from beampermit.project import Project
from beampermit.reproduction.comparison import compare_predictions
from beampermit.reproduction.made_again import FileRules, compare_files
from beampermit.reproduction.retraining import Training, run_stages
from beampermit.reproduction.tree import alone, cut_off, exported

CONFIG = """\
[core]
    remote = storage
['remote "storage"']
    url = {url}
[parsing]
    bool = boolean_optional
"""
EXACT = FileRules(lambda one, other: math.isclose(one, other, rel_tol=1e-6))


@pytest.fixture
def home(project: Project) -> Project:
    """A project with a remote, DVC data, an ignored file in git, and links that lead in and out."""
    root = project.root
    (root / ".dvc/tmp").mkdir(parents=True)
    (root / ".dvc/config").write_text(CONFIG.format(url=root / "storage"))
    (root / ".gitignore").write_text("/kept.txt\n")
    for name in ("kept.txt", "metrics.json", "test.csv"):
        (root / name).write_text(name)
    (root / "inside").symlink_to("metrics.json")
    (root / "outside").symlink_to(root / "model")
    (root / "up").symlink_to("../project/model")
    project.git("add", "--all", "--force")
    project.git("commit", "--quiet", "--message", "All")
    project.git("remote", "add", "origin", str(root))
    return project


@pytest.mark.attack(
    guard="REP001",
    tried="training looks for the checkout that it was exported from, in git, DVC's configuration and links",
    said="The commit",
)
def test_exported_tree_leads_to_no_other_checkout(home: Project, tmp_path: Path, said: str) -> None:
    with exported(home.git, home.git.head(), tmp_path / "cut/tree") as tree:
        (tree / ".dvc/tmp").mkdir(exist_ok=True)
        (tree / ".dvc/tmp/rwlock").write_text(str(home.root))
        cut_off(tree, ["metrics.json"])
        git = Git(tree)
        assert git("log", "--all", "--format=%s %an") == f"{said} beampermit"
        assert git("remote") == ""
        assert git("rev-parse", "--path-format=absolute", "--git-common-dir") == str(tree / ".git")
        assert git("status", "--porcelain") == ""
        assert git.tracked() == [".dvc/config", ".gitignore", "contract.yaml", "inside", "kept.txt", "test.csv"]
        for folder, _, files in os.walk(tree):
            for file in (Path(folder, name) for name in files):
                assert str(home.root).encode() not in (file.read_bytes() if file.is_file() else b""), file
        lines = [line.strip() for line in (tree / ".dvc/config").read_text().splitlines()]
        assert lines == ["[core]", "analytics = false", "autostage = false", "[parsing]", "bool = boolean_optional"]
    assert not tree.exists()
    assert home.git("worktree", "list").count("\n") == 0
    assert home.git("status", "--porcelain") == ""


@pytest.mark.attack(
    guard="REP001",
    tried="training takes the folder of the checkout from a variable of the job",
    said="/elsewhere/bin",
)
def test_variables_that_name_the_checkout_are_left_out(home: Project, said: str) -> None:
    root = str(home.root)
    variables = {
        "OLDPWD": root,
        "JOB": f"file://{root}/model",
        "PATH": f"{root}/.venv/bin:{root}/bin:/elsewhere/bin",
        "VIRTUAL_ENV": f"{root}/.venv",
        "HOME": "/home/ada",
    }
    left = alone(variables, home, home.root / ".venv")
    assert left["PATH"] == f"{root}/.venv/bin:{said}", "the environment stays, wherever it was installed"
    assert left == {"PATH": left["PATH"], "VIRTUAL_ENV": f"{root}/.venv", "HOME": "/home/ada"}


@pytest.mark.attack(
    guard="REP001",
    tried="a stage that is run again writes all variables that it finds into a file: keys, tokens, GITHUB_ENV",
    said="variables of the clean tree",
)
def test_stages_get_no_variable_that_is_not_on_the_list(
    home: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    secrets = {"BEAMPERMIT_SIGNING_KEY": "beam", "GITHUB_TOKEN": "beam", "GITHUB_ENV": "/tmp/environment"}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    stage = f"stages:\n  look:\n    cmd: printenv > seen.txt && echo {said} >> seen.txt\n    outs: [seen.txt]\n"
    with exported(home.git, home.git.head(), tmp_path / "cut/tree") as tree:
        cut_off(tree, [])
        (tree / "dvc.yaml").write_text(stage)
        run_stages(Training(0, tree, ["look"], [], tmp_path / "cut/results", home), Environment(Path(sys.prefix)))
        seen = (tree / "seen.txt").read_text().splitlines()
    assert said in seen
    assert not {line.partition("=")[0] for line in seen} & secrets.keys()


def table(path: Path, values: list[float], kind: str = "DOUBLE") -> Path:
    import duckdb

    duckdb.sql(f"COPY (SELECT unnest({list(map(str, values))})::{kind} AS score) TO '{path}' (FORMAT parquet)")
    return path


OUTPUT = [Signal(name="score", pv="X", unit="1", range=(0, 1e12), tolerance=1e-4)]


def test_predictions_of_large_numbers_differ_by_rounding(tmp_path: Path) -> None:
    pair = table(tmp_path / "a", [1e9]), table(tmp_path / "b", [1e9 + 900])
    assert compare_predictions(*pair, OUTPUT).within
    assert not compare_predictions(pair[0], table(tmp_path / "c", [1e9 + 1100]), OUTPUT).within


def test_predictions_that_are_finite_for_one_model_only_fail(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="finite for only one"):
        compare_predictions(table(tmp_path / "a", [1.0]), table(tmp_path / "b", [math.nan]), OUTPUT)


@pytest.fixture
def differ(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Compare two texts, or three, where the third is what a second run made."""

    def compare(before: str, after: str, again: str | None = None, **options: bool) -> dict[str, str]:
        files = [tmp_path / name for name in "abc"]
        for file, text in zip(files, (before, after, again or ""), strict=True):
            file.write_text(text)
        more = None if again is None else {"page.md": files[2]}
        rules = FileRules(EXACT.agree, times=options.get("times", False))
        return compare_files({"page.md": files[0]}, {"page.md": files[1]}, rules, more)

    return compare


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ('{"limit": 0.123456789}', '{"limit": 0.12345678}', True),
        ('{"limit": 0.12345}', '{"limit": 0.12346}', False),
        ("AUC 0.97\n", "AUC 0.97\nand more\n", False),
        ("a 1 b", "a 1 c", False),
        ("made 2026-11-28 10:00:01, AUC 0.9", "made 2026-11-29 11:30:59, AUC 0.9", True),
        ("made 2026-11-28, AUC 0.9", "made 2026-11-29, AUC 0.8", False),
    ],
)
def test_texts_say_the_same_or_not(differ: Callable[..., dict[str, str]], before: str, after: str, same: bool) -> None:
    assert (differ(before, after, times=True) == {}) is same


def test_dates_of_a_table_are_data(differ: Callable[..., dict[str, str]]) -> None:
    assert differ("row,2026-11-28", "row,2026-11-29") == {"page.md": "line 1 is row,2026-11-28, row,2026-11-29 is made"}


def test_only_what_changes_from_run_to_run_is_left_out(differ: Callable[..., dict[str, str]]) -> None:
    assert differ("took 1 s\nAUC 0.9", "took 2 s\nAUC 0.9", "took 3 s\nAUC 0.9") == {}
    assert "line 2" in differ("took 1 s\nAUC 0.99", "took 2 s\nAUC 0.9", "took 3 s\nAUC 0.9")["page.md"]
    assert "line 1" in differ("took 1 s\nAUC 0.9", "took 2 s\nAUC 0.9", "took 2 s\nAUC 0.9")["page.md"]


@pytest.mark.slow
def test_tables_are_compared_row_by_row_where_their_bytes_differ(tmp_path: Path) -> None:
    before = table(tmp_path / "a.parquet", [1.0, 2.0])

    def problem(values: list[float], kind: str = "DOUBLE") -> str:
        made = {"data/x.parquet": table(tmp_path / "b.parquet", values, kind)}
        return compare_files({"data/x.parquet": before}, made, EXACT).get("data/x.parquet", "")

    assert problem([1.0, 2.0 + 1e-7]) == ""
    assert problem([1.0, 2.1]) == "1 of 2 rows are others than those that are made"
    assert problem([2.0, 1.0]) == "2 of 2 rows are others than those that are made"
    assert problem([1.0, math.inf]) == "1 of 2 rows are others than those that are made"
    assert problem([1.0]) == "it has 2 rows, 1 are made"
    assert problem([1.0, 2.0], "FLOAT").startswith("it has the columns score DOUBLE, score FLOAT are made")


@pytest.mark.parametrize(
    ("tolerance", "difference", "same"),
    [(0.02, 0.019, True), (0.02, 0.021, False), ("2%", 0.19, True), ("2%", 0.21, False)],
)
def test_each_column_of_a_table_has_its_tolerance(
    tmp_path: Path, tolerance: float | str, difference: float, same: bool
) -> None:
    pair = table(tmp_path / "a.parquet", [0.0, 10.0]), table(tmp_path / "b.parquet", [0.0, 10.0 - difference])
    sides = ({"data/x.parquet": file} for file in pair)
    columns: list[str] = []
    rules = FileRules(EXACT.agree, lambda column: columns.append(column) or tolerance)
    assert (compare_files(*sides, rules) == {}) is same
    assert columns == ["score"]


def test_digests_of_files_that_say_the_same_count_as_equal(tmp_path: Path) -> None:
    from beampermit.digest import digest_file

    files = [table(tmp_path / name, [value]) for name, value in (("a.parquet", 2.0), ("b.parquet", 2.0 + 1e-7))]
    lists = [tmp_path / "a.json", tmp_path / "b.json"]
    for file, of in zip(lists, files, strict=True):
        file.write_text(digest_file(of))
    sides = [{"data/x.parquet": files[side], "data/dataset.json": lists[side]} for side in (0, 1)]
    assert compare_files(*sides, EXACT) == {}
    lists[1].write_text("sha256:" + "0" * 64)
    assert set(compare_files(*sides, EXACT)) == {"data/dataset.json"}


def test_files_that_one_side_lacks_are_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    assert compare_files({"a": tmp_path / "a"}, {}, EXACT) == {"a": "no stage writes it any more"}
    assert compare_files({}, {"a": tmp_path / "a"}, EXACT) == {"a": "it is made, and is not committed"}
