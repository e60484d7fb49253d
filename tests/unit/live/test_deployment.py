"""The test deployment fails where the model in the registry is not the one that was judged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from beampermit.contract.judging import SAME
from beampermit.digest import digest_bytes
from beampermit.environments import Environment
from beampermit.environments.environment import environment_of
from beampermit.errors import BadInput, Failed
from beampermit.files import write_json
from beampermit.live import deployment
from beampermit.live.deployment import deploy
from beampermit.live.process import starting
from beampermit.models import evaluation, scoring
from beampermit.project import Project
from beampermit.reading import read_json
from support.planted_models import THIS_ENVIRONMENT
from support.planted_processes import SPEAKS, asked_contract
from support.trained_project import metrics_of

INPUTS = b"recorded"
Served = Callable[..., None]


class _Permit:
    """As much of a permit as the deployment reads."""

    def __init__(self, **metrics: float):
        self.predicate = self
        self.metrics = metrics
        self.dataset = {"data/dataset/test.parquet": digest_bytes(INPUTS)}


@pytest.fixture
def deployed(project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Deploy a model whose evaluation gives `found`, under a permit that says `judged`."""
    file = project.path("data/dataset/test.parquet")
    file.parent.mkdir(parents=True)
    file.write_bytes(INPUTS)
    monkeypatch.setattr(deployment, "require_served", lambda *_: None)

    def run(judged: dict[str, float], found: dict[str, float], **cost: float) -> None:
        monkeypatch.setattr(scoring, "score", lambda *_: SCORED.model_copy(update=cost))
        monkeypatch.setattr(evaluation, "evaluate", lambda *_: found)
        deploy(project, Environment(tmp_path), _Permit(**judged), tmp_path)  # pyright: ignore[reportArgumentType]

    return run


SCORED = scoring.Scores(seconds=1, memory=200, single_rows=100, p50=1, p99=2, worst=3, rows=7, columns={})
JUDGED = {"auc": 0.98, "false_alarm_rate": 0.01}


def test_within_the_tolerance_of_two_evaluations_it_passes_and_beyond_it_fails(deployed: Any) -> None:
    deployed(JUDGED, {"auc": 0.98 * (1 - 0.9 * SAME), "false_alarm_rate": 0.01, "rows": 7})
    with pytest.raises(Failed, match="as deployed, auc is"):
        deployed(JUDGED, {"auc": 0.98 * (1 - 1.1 * SAME), "false_alarm_rate": 0.01, "rows": 7})


def test_another_metric_fails(deployed: Any) -> None:
    with pytest.raises(Failed, match=r"as deployed, auc is 0.9; the permit says 0.98"):
        deployed(JUDGED, {**JUDGED, "auc": 0.9})


@pytest.mark.parametrize("missing", ["judged", "found"])
def test_a_missing_metric_fails(deployed: Any, missing: str) -> None:
    less = {"auc": 0.98}
    with pytest.raises(Failed, match="false_alarm_rate is"):
        deployed(less if missing == "judged" else JUDGED, less if missing == "found" else JUDGED)


def test_what_the_service_would_show_is_part_of_it(deployed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(deployment, "require_served", lambda *given: asked.append(given[2]))
    deployed(JUDGED, JUDGED)
    assert len(asked) == 1


def test_other_inputs_than_those_judged_fail(deployed: Any, project: Project) -> None:
    project.path("data/dataset/test.parquet").write_bytes(b"others")
    with pytest.raises(Failed, match="differs from the one that the permit binds"):
        deployed(JUDGED, JUDGED)


def test_missing_inputs_tell_how_to_get_them(deployed: Any, project: Project) -> None:
    project.path("data/dataset/test.parquet").unlink()
    with pytest.raises(BadInput, match="is missing") as caught:
        deployed(JUDGED, JUDGED)
    assert caught.value.hint.startswith("neither dvc.lock nor a .dvc file has its hash, so a pull cannot bring it")


@pytest.mark.parametrize(
    ("cost", "words"),
    [
        ({"p99": 51.0}, r"as deployed, it takes 51 ms for a row \(p50 1 ms\), 50 ms allowed"),
        ({"memory": 2100}, r"as deployed, it uses 2100 MiB of memory, 2048 MiB allowed"),
    ],
)
def test_a_model_over_its_budget_fails(deployed: Any, cost: dict[str, float], words: str) -> None:
    with pytest.raises(Failed, match=words):
        deployed(JUDGED, JUDGED, **cost)


@pytest.fixture
def served(contract_text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Served:
    """Require what a planted process answers, the mean of turns, to be the `scores` of rows of turns."""
    contract = asked_contract(contract_text)
    rows, scores_file = tmp_path / contract.evaluation.inputs, tmp_path / "scores.parquet"
    rows.parent.mkdir(parents=True)
    project: Any = SimpleNamespace(contract=contract, root=tmp_path, path=tmp_path.joinpath)

    def run(asked: str, *scores: float) -> None:
        script, model = tmp_path / "worker.py", tmp_path / "saved"
        script.write_text(SPEAKS.replace("BEFORE", "").replace("ASKED", asked))
        model.mkdir()
        monkeypatch.setattr(starting, "WORKER", script)
        table(rows, "turns", *(f"[{n}, {n}, {n}]::DOUBLE[]" for n in (1, 2, 33)))
        table(scores_file, "score", *(f"{score}::DOUBLE" for score in scores))
        deployment.require_served(project, THIS_ENVIRONMENT, model, scores_file)

    return run


def table(file: Path, column: str, *rows: str) -> None:
    with duckdb.connect() as connection:
        values = ", ".join(f"({row})" for row in rows)
        connection.execute(f"COPY (SELECT * FROM (VALUES {values}) t({column})) TO '{file}'")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "scores", "words"),
    [
        ("pass", (1, 2, 99), ""),  # the third row would be refused
        ("pass", (1, 2.1, 33), "as deployed, score of row 1 is 2.1 as scored and 2 as served"),
        ("pass", (1, 12, 33), "as deployed, row 1 would be INVALID in service: the model gave 12 for score, outside"),
        ("turns = turns * float('nan')", (1, 2, 33), "as deployed, row 0 would be INVALID in service: the model gave"),
        ("os._exit(3)", (1, 2, 33), "^the model's process ended: exit status 3$"),
    ],
)
def test_what_the_service_would_show_is_what_was_judged(
    served: Served, asked: str, scores: tuple[float, ...], words: str
) -> None:
    if not words:
        served(asked, *scores)
        return
    with pytest.raises(Failed, match=words):
        served(asked, *scores)


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_as_in_service_fails(served: Served) -> None:
    with pytest.raises(Failed, match=r"the model's process ended while it was loaded: exit status 1, .*SyntaxError"):
        served("a line that is no Python", 1, 2, 33)


@pytest.mark.slow
def test_a_trained_model_is_deployed_and_another_is_not(trained_copy: Project) -> None:
    environment, model = environment_of(trained_copy.root), trained_copy.root / "model"
    files = read_json(trained_copy.root / "manifest.json")["files"]
    permit = _Permit(**metrics_of(trained_copy))
    permit.dataset = {path: digest for path, digest in files.items() if path.startswith("data/")}
    deploy(trained_copy, environment, permit, model)  # pyright: ignore[reportArgumentType]
    features = model / "artifacts/features.json"
    learnt = read_json(features)
    write_json(features, {**learnt, "scale": [value * 1.001 for value in learnt["scale"]]})
    with pytest.raises(Failed, match=r"as deployed, score of row \d+ is .* by training's code and"):
        deploy(trained_copy, environment, permit, model)  # pyright: ignore[reportArgumentType]
