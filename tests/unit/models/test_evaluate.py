"""Only valid metrics of an evaluation command are accepted; the range of scores is computed independently."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb
import pytest

from beampermit.contract import Contract, parse_contract
from beampermit.environments import Environment
from beampermit.errors import Failed
from beampermit.models.evaluation import evaluate
from beampermit.models.scoring import ValueRange, value_ranges

ENVIRONMENT = Environment(Path(sys.prefix))
GOOD = """\
import json, pathlib, sys
inputs, scores, out = sys.argv[1:]
assert pathlib.Path(inputs).name == "test.parquet" and pathlib.Path(scores).is_file()
pathlib.Path(out).write_text(json.dumps({"auc": 0.98}))
"""


@pytest.fixture
def contract(contract_text: str) -> Contract:
    before = '[python, -m, bpm_faults.evaluate, --inputs, "{inputs}", --scores, "{scores}", --out, "{out}"]'
    assert before in contract_text
    return parse_contract(contract_text.replace(before, '[python, evaluate.py, "{inputs}", "{scores}", "{out}"]'))


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    return table(tmp_path / "scores.parquet", "select unnest([0.25, 0.5]) as score")


def table(path: Path, query: str) -> Path:
    with duckdb.connect() as connection:
        connection.sql(query).write_parquet(str(path))
    return path


def test_metrics_come_from_the_projects_command(tmp_path: Path, contract: Contract, scores: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    (root / "evaluate.py").write_text(GOOD)
    assert evaluate(ENVIRONMENT, root, contract, scores) == {"auc": 0.98}
    assert sorted(path.name for path in root.iterdir()) == ["evaluate.py"], "nothing is written in the work tree"


DEFECTS = {
    "it fails": ("raise SystemExit('2 of 9 scores are not finite')", "command failed: 2 of 9 scores are not finite"),
    "it raises": ("raise KeyError('score')", "command failed: KeyError: 'score'"),
    "it writes nothing": ("", "the metrics that the evaluation command wrote: the file is missing"),
    "it writes NaN": (GOOD.replace("0.98", "float('nan')"), "wrote:1: auc is NaN, not a finite number"),
    "it writes text": (GOOD.replace("0.98", "'high'"), 'wrote:1: auc is the text "high"'),
    "it ends in the middle": (GOOD.replace("json.dumps", "'{' + str"), "wrote:1: not JSON"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_evaluation_without_metrics_fails(tmp_path: Path, contract: Contract, scores: Path, defect: str) -> None:
    script, reason = DEFECTS[defect]
    root = tmp_path / "project"
    root.mkdir()
    (root / "evaluate.py").write_text(script)
    with pytest.raises(Failed) as caught:
        evaluate(ENVIRONMENT, root, contract, scores)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("program", ["python", "env, python"])
def test_secrets_do_not_reach_the_projects_code(
    tmp_path: Path, contract: Contract, scores: Path, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    """Neither Python nor another program that the contract names gets them."""
    monkeypatch.setenv("BEAMPERMIT_SIGNING_KEY", "-----BEGIN PRIVATE KEY-----")
    monkeypatch.setenv("GITHUB_TOKEN", "ghs_secret")
    root = tmp_path / "project"
    root.mkdir()
    look = "import os; assert not {'BEAMPERMIT_SIGNING_KEY', 'GITHUB_TOKEN'} & set(os.environ), 'a secret'\n"
    (root / "evaluate.py").write_text(look + GOOD)
    command = [*program.split(", "), *contract.evaluation.command[1:]]
    evaluation = contract.evaluation.model_copy(update={"command": tuple(command)})
    assert evaluate(ENVIRONMENT, root, contract.model_copy(update={"evaluation": evaluation}), scores) == {"auc": 0.98}


def test_range_of_scores_is_computed(tmp_path: Path) -> None:
    found = value_ranges(
        table(
            tmp_path / "scores.parquet",
            "select unnest([0.25, 'nan'::double, 'inf'::double, null, 0.75]) as score",
        )
    )
    assert found == {"score": ValueRange(rows=5, finite=False, low=0.25, high=0.75)}


@pytest.mark.parametrize(
    ("values", "shape", "finite"),
    [
        ("[[i, 2, 3], [4, 5, 6]]", (2, 3), True),
        ("[i, 2, 3, 4, 5, 6]", (6,), True),
        ("[[i, 2, 3], [4, 5, null]]", (2, 3), False),
        ("[[[i], [2]], [[3], ['inf'::double]]]", (2, 2, 1), False),
    ],
)
def test_range_and_shape_of_arrays_are_computed(
    tmp_path: Path, values: str, shape: tuple[int, ...], finite: bool
) -> None:
    found = value_ranges(table(tmp_path / "scores.parquet", f"select {values} as image from range(1, 4) as t(i)"))
    assert (found["image"].rows, found["image"].shape, found["image"].finite) == (3, shape, finite)
    assert found["image"].low == 1


@pytest.mark.parametrize(
    "values",
    ["[1, 2], [1]", "[[1, 2]], [[1], [2]]", "[[1], [2, 3]], [[1], [2, 3]]", "[[1, 2], null], [[1, 2], [3, 4]]"],
)
def test_rows_of_several_shapes_fail(tmp_path: Path, values: str) -> None:
    with pytest.raises(Failed, match="rows of 'orbit' have several shapes"):
        value_ranges(table(tmp_path / "scores.parquet", f"select unnest([{values}]) as orbit"))


@pytest.mark.parametrize("query", ["select 'high' as score", "select ['1', '2'] as score", "select {'a': 1} as score"])
def test_scores_that_are_not_numbers_fail(tmp_path: Path, query: str) -> None:
    with pytest.raises(Failed, match="not a table of scores: score has no numbers"):
        value_ranges(table(tmp_path / "scores.parquet", query))


@pytest.mark.parametrize("content", [b"", b"PAR1", b"\x80\x04."])
def test_scores_that_are_not_a_table_fail(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "scores.parquet").write_bytes(content)
    with pytest.raises(Failed, match="not a table of scores"):
        value_ranges(tmp_path / "scores.parquet")
