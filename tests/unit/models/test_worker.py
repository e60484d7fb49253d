"""A saved model is loaded and scored in a clean process; one that misbehaves fails with its own message."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from beampermit.environments import Environment
from beampermit.errors import Failed
from beampermit.models.scoring import describe, describe_and_score, score, score_rows, single_row_scores
from support.tiny_model import SIGNALS, TENSOR, declared, saved

pytestmark = pytest.mark.slow
ROWS = 5000
"""More than one batch."""
GIVEN = {"rows": 2, "finite": True, "low": 0.0, "high": 0.5, "shape": ()}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return saved(tmp_path / "model")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Rows of three turns whose mean is the row's number over a thousand."""
    path = tmp_path / "test.parquet"
    numbers = "select i, [i / 1000, i / 1000 - 1, i / 1000 + 1]::double[] as turns from range($rows) as t(i)"
    with duckdb.connect() as connection:
        connection.sql(numbers, params={"rows": ROWS}).write_parquet(str(path))
    return path


def test_model_is_described_and_refuses_wrong_inputs(probed: Environment, model: Path) -> None:
    found = describe(probed, model, SIGNALS)
    assert [(field.name, field.type, field.shape) for field in found.inputs] == [("turns", "float32", (-1, 3))]
    assert [(field.name, field.shape) for field in found.outputs] == [("score", None)]
    assert found.example["score"].model_dump() == GIVEN
    assert found.accepted == ()


def test_signature_that_cannot_refuse_a_shape_is_reported(probed: Environment, tmp_path: Path) -> None:
    lists = json.dumps([{"name": "turns", "type": "array", "items": {"type": "double"}, "required": True}])
    model = saved(tmp_path / "model", inputs=lists)
    (model / "MLmodel").write_text(
        (model / "MLmodel").read_text().replace("ndarray", "dataframe, pandas_orient: split")
    )
    (model / "input_example.json").write_text('{"columns": ["turns"], "data": [[[0.0, 0.5, 1.0]], [[0.0, 0.0, 0.0]]]}')
    assert describe(probed, model, SIGNALS).accepted == ("rows of 'turns' one value longer",)


def test_every_row_is_scored_in_order_and_the_model_stays_unchanged(
    probed: Environment, model: Path, table: Path, tmp_path: Path
) -> None:
    before = sorted(model.rglob("*"))
    out = tmp_path / "scores.parquet"
    loaded, found = describe_and_score(probed, model, table, out, SIGNALS)
    assert loaded.accepted == ()
    assert found.rows == ROWS
    assert found.columns["score"].high == pytest.approx((ROWS - 1) / 1000, abs=1e-4)
    assert 0 < found.p50 <= found.p99
    with duckdb.connect() as connection:
        scores = [value for (value,) in connection.read_parquet(str(out)).fetchall()]
    assert scores == pytest.approx([number / 1000 for number in range(ROWS)], abs=1e-4)
    assert sorted(model.rglob("*")) == before, "no compiled code is left in it"


def test_a_row_alone_is_given_as_the_service_gives_it(probed: Environment, tmp_path: Path) -> None:
    """The service has numbers of double precision, in which a whole number of 2^53 and one more is 2^53."""
    whole = json.dumps([{"name": "turns", "type": "long", "required": True}])
    model = saved(tmp_path / "model", inputs=whole, result='pd.DataFrame({"score": (turns % 2).astype(float)})')
    file, out = tmp_path / "rows.parquet", tmp_path / "scores.parquet"
    with duckdb.connect() as connection:
        connection.sql(f"SELECT unnest([{2**53 + 1}, 3]) AS turns").write_parquet(str(file))
        score(probed, model, file, out, SIGNALS)
        alone = connection.read_parquet(str(single_row_scores(out))).project('score, "beampermit.row"').distinct()
        assert connection.read_parquet(str(out)).fetchall() == [(1.0,), (1.0,)]
        assert sorted(alone.fetchall()) == [(0.0, 0), (1.0, 1)]


DEFECTS = {
    "it raises while it is loaded": ({"load": "raise OSError('no weights')"}, "cannot be used: OSError: no weights"),
    "it ends the process": ({"load": "os._exit(7)"}, "ended with status 7"),
    "it raises while it predicts": ({"result": "1 / 0"}, "ZeroDivisionError: division by zero"),
    "it gives fewer rows": (
        {"result": 'pd.DataFrame({"score": mean(turns)[1:]})'},
        "4096 rows went in and 'score' came out with shape (4095,)",
    ),
    "it gives text": (
        {"result": 'pd.DataFrame({"score": ["high"] * len(turns)})'},
        "output 'score' is of type str, not a number",
    ),
    "its code is incomplete": ({"load": "import bpm_faults"}, "No module named 'bpm_faults'"),
    "it sees a secret": ({"load": "assert not os.environ.get('BEAMPERMIT_SIGNING_KEY'), 'seen'"}, ""),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_model_that_misbehaves_fails_with_its_own_message(
    probed: Environment, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, defect: str
) -> None:
    made, reason = DEFECTS[defect]
    source = tmp_path / "src/bpm_faults"
    source.mkdir(parents=True)
    (source / "__init__.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "src"))
    monkeypatch.setenv("BEAMPERMIT_SIGNING_KEY", "-----BEGIN PRIVATE KEY-----")
    if not reason:
        assert score(probed, saved(tmp_path / "model", **made), table, tmp_path / "out.parquet", SIGNALS).rows == ROWS
        return
    with pytest.raises(Failed) as caught:
        score(probed, saved(tmp_path / "model", **made), table, tmp_path / "out.parquet", SIGNALS)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


IMAGE = "np.stack([turns, turns], axis=1)"


def test_what_a_model_answers_can_be_the_input_of_another(probed: Environment, table: Path, tmp_path: Path) -> None:
    """Fixed-size lists of lists, as the worker writes them."""
    out, (image,) = tmp_path / "images.parquet", declared(2, 3).outputs
    first = SIGNALS.model_copy(update={"outputs": (image.model_copy(update={"name": "turns"}),)})
    score_rows(probed, saved(tmp_path / "first", result=IMAGE), table, out, first)
    assert not single_row_scores(out).exists()
    second = saved(tmp_path / "second", inputs=TENSOR.replace("-1, 3", "-1, 2, 3"), result="turns.mean(axis=(1, 2))")
    (second / "input_example.json").write_text(json.dumps({"turns": [[[0.0] * 3] * 2]}))
    found = score(probed, second, out, tmp_path / "out.parquet", declared(rows_of=(2, 3)))
    assert found.columns["score"].high == pytest.approx((ROWS - 1) / 1000, abs=1e-4)


TABLES = {
    "no such column": ("select 1 as samples", "test.parquet has no column 'turns'"),
    "ragged": ("select unnest([[1.0, 2.0, 3.0], [1.0, 2.0]]) as turns", "rows of 'turns' have 2 or 3 values"),
    "a null turn": ("select [1.0, null, 3.0] as turns", "'turns' has nulls"),
    "no row": ("select [1.0, 2.0, 3.0] as turns limit 0", "test.parquet has no rows"),
}


@pytest.mark.parametrize("defect", TABLES)
def test_unusable_inputs_fail(probed: Environment, model: Path, tmp_path: Path, defect: str) -> None:
    query, reason = TABLES[defect]
    with duckdb.connect() as connection:
        connection.sql(query).write_parquet(str(tmp_path / "test.parquet"))
    with pytest.raises(Failed) as caught:
        score(probed, model, tmp_path / "test.parquet", tmp_path / "out.parquet", SIGNALS)
    assert reason in str(caught.value)


def test_pickled_model_is_not_unpickled(probed: Environment, model: Path, tmp_path: Path) -> None:
    import pickle

    class Payload:
        def __reduce__(self) -> tuple[object, ...]:
            return (exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",))

    (model / "python_model.pkl").write_bytes(pickle.dumps(Payload()))
    page = (model / "MLmodel").read_text()
    page = page.replace("loaders.code_model", "model").replace(
        "model_code_path: serving.py", "python_model: python_model.pkl"
    )
    (model / "MLmodel").write_text(page)
    with pytest.raises(Failed, match="pickle is disallowed"):
        describe(probed, model, SIGNALS)
    assert not (tmp_path / "ran").exists()


def test_report_written_by_the_model_is_refused(probed: Environment, table: Path, tmp_path: Path) -> None:
    forge = "import sys; report = sys.argv[sys.argv.index('--report') + 1]; open(report, 'w').write('{}'); os._exit(0)"
    with pytest.raises(Failed, match="overwrote the report"):
        score(probed, saved(tmp_path / "model", load=forge), table, tmp_path / "out.parquet", SIGNALS)


@pytest.mark.attack(
    guard="PRF001",
    tried="the model looks for labels in the file of the rows that it is to score",
    said="it finds turns and nothing else",
)
def test_a_model_gets_its_inputs_without_labels(probed: Environment, table: Path, tmp_path: Path, said: str) -> None:
    look = (
        "import sys, pyarrow.parquet as pq; file = sys.argv[sys.argv.index('--inputs') + 1]; "
        "raise OSError('it finds ' + ' '.join(pq.read_schema(file).names) + ' and nothing else')"
    )
    with pytest.raises(Failed) as caught:
        score(probed, saved(tmp_path / "model", load=look), table, tmp_path / "out.parquet", SIGNALS)
    assert said in str(caught.value)
