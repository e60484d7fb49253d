"""A champion in service and a pull request against it, without training: a model is the weights of its inputs.

A model's folder has the contract that is packaged with it, and for each output the weights of its inputs as JSON. What
scores it here reads the columns that it is asked for, and fails where one is missing.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beampermit.contract.signals import Signals
from beampermit.datasets.tables import connect_to_read, quoted
from beampermit.digest import digest_file, manifest
from beampermit.environments import Environment
from beampermit.errors import Failed
from beampermit.files import write_json
from beampermit.interlocks.families import select_interlocks
from beampermit.interlocks.inputs import Inputs
from beampermit.interlocks.model import Examined
from beampermit.interlocks.runner import run
from beampermit.models import SavedModel
from beampermit.models.packaged import PACKAGED_CONTRACT
from beampermit.permit.statement import BoundFile, Statement
from beampermit.project import Project
from beampermit.registry.event import Event
from beampermit.registry.ledger import Ledger
from beampermit.verdicts.verdict import Verdict
from support.dvc_repositories import replace
from support.forked_commands import environment_of_forks
from support.permits import statement
from support.planted_models import write_table
from support.registry_project import append_promotion
from support.shared import made_once, shared_folder

TEST = "data/dataset/test.parquet"
ROWS = 60
SIGNALS = """\
signals:
  inputs:
    - {name: current, source: derived, unit: A, range: [-9, 9]}
    - {name: field, source: derived, unit: T, range: [-9, 9]}
  outputs:
    - {name: score, pv: P, unit: "1", range: [0, 1], high: 0.5, default: 1.0, target: faulty, description: Faulty}
"""
METRICS = """\
metrics:
  - {name: accuracy, measure: accuracy, gate: 0.5, champion_margin: 0.01, description: Right}
"""
LOCK = "# the champion's lock\n"
EVALUATE = """\
import json, sys, yaml
import duckdb, numpy as np

inputs, scores, out, *counts = sys.argv[1:]
(output,) = yaml.safe_load(open("contract.yaml"))["signals"]["outputs"]
column = lambda file, name: duckdb.read_parquet(file).select(f'"{name}"').fetchnumpy()[name]
right = (column(scores, output["name"]) >= output["high"]) == column(inputs, "faulty")
each = np.load(counts[0]) if counts else np.ones((1, len(right)))
found = ((each * right).sum(axis=1) / each.sum(axis=1)).tolist()
json.dump({"accuracy": found if counts else found[0]}, open(out, "w"))
"""
FIELD = np.linspace(-1, 1, ROWS)
CURRENT = np.where(np.arange(ROWS) % 3 == 0, -FIELD, FIELD)
"""Of a third of the rows it points the other way: a model that knows the field is right, one of the current is not."""
COLUMNS = {
    "acquisition": np.arange(ROWS).astype(str),
    "device": np.array([f"D{number % 5}" for number in range(ROWS)]),
    "plane": np.array(["X", "Y"])[np.arange(ROWS) % 2],
    "current": CURRENT,
    "field": FIELD,
    "faulty": FIELD > 0,
}


def score(environment: Environment, model: Path, rows: Path, out: Path, signals: Signals) -> None:
    """0.9 where the weighted sum of its inputs is positive, else 0.1; in the environment that the model needs."""
    outputs = json.loads((model / "weights.json").read_text())
    needs = outputs.pop("needs", None)
    if needs and environment.prefix.name != needs:
        raise Failed(f"the saved model cannot be used: No module named '{needs}'")
    with connect_to_read() as connection:
        table = connection.read_parquet(str(rows))
        if missing := [signal.name for signal in signals.inputs if signal.name not in table.columns]:
            raise Failed(f"{rows.name} has no column {missing[0]!r}")
        asked = table.select(*(quoted(signal.name) for signal in signals.inputs)).fetchnumpy()
    found = {name: sum(weight * asked[one] for one, weight in of.items()) for name, of in outputs.items()}
    write_table(out, **{f'"{name}"': np.where(sums > 0, 0.9, 0.1) for name, sums in found.items()})


@dataclass
class Service:
    """A project whose champion is in service, on a branch of its own."""

    project: Project
    patch: pytest.MonkeyPatch
    models: dict[str, Path] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.project.root

    @property
    def contract(self) -> Path:
        return self.root / "contract.yaml"

    def write_rows(self, **columns: np.ndarray) -> None:
        """The test rows, in git; a column that is None is left out."""
        (self.root / TEST).parent.mkdir(parents=True, exist_ok=True)
        (self.root / TEST).unlink(missing_ok=True)
        write_table(self.root / TEST, **{name: one for name, one in {**COLUMNS, **columns}.items() if one is not None})

    def package(self, **outputs: Any) -> None:
        """A saved model with the contract as it is now; `outputs` are the weights of its inputs."""
        shutil.rmtree(self.root / "model", ignore_errors=True)
        (self.root / "model/artifacts").mkdir(parents=True)
        shutil.copy(self.contract, self.root / "model" / PACKAGED_CONTRACT)
        write_json(self.root / "model/weights.json", {name.replace("_", "-"): of for name, of in outputs.items()})
        files = {f"model/{path}": digest for path, digest in manifest(self.root / "model").items()}
        write_json(
            self.root / "manifest.json",
            {"algorithm": "sha256", "files": {TEST: digest_file(self.root / TEST), **files}},
        )

    def use_own_code(self) -> None:
        """The metric is then computed by code of the project."""
        command = '[python, evaluate.py, "{inputs}", "{scores}", "{out}"'
        lines = f'evaluation:\n  command: {command}]\n  weighted: {command}, "{{counts}}"]\n'
        replace(self.contract, "measure: accuracy,", "better: higher,")
        replace(self.contract, "evaluation:\n", lines)
        (self.root / "evaluate.py").write_text(EVALUATE)

    def commit(self, message: str = "A change") -> None:
        self.project.git("add", "--all")
        self.project.git("commit", "--quiet", "--allow-empty", "--message", message)

    def merge(self) -> None:
        """What is on this branch is then the base branch's."""
        self.commit()
        self.project.git("branch", "--force", "main")

    def promote(self, version: int) -> Event:
        """Put the saved model of HEAD into service."""
        kept = self.root.parent / f"version-{version}"
        shutil.copytree(self.root / "model", kept)
        ledger = Ledger(self.project.git)
        ledger.fetch()
        before = ledger.state("bpm-faults").champion
        none, line = f"sha256:{'0' * 64}", ledger.read("bpm-faults").length + 1
        event = Event(
            event="promote",
            sequence=line,
            model="bpm-faults",
            version=version,
            digest=none,
            permit=none,
            commit=self.project.git.head(),
            expected=before.version if before else None,
            at="2026-11-23T08:00:00Z",
            by="Ada Operator",
        )
        signed = append_promotion(ledger, event, manifest(kept), self._permit())
        self.models[signed.digest] = kept
        return signed

    def _permit(self) -> Statement:
        plain = statement()
        lock = BoundFile(file="uv.lock", digest=digest_file(self.root / "uv.lock"))
        bound = {"environment": lock, "dataset": {TEST: digest_file(self.root / TEST)}}
        return plain.model_copy(update={"predicate": plain.predicate.model_copy(update=bound)})

    def judge(self, id: str = "PRF002") -> Verdict:
        """The verdict on the saved model of the work tree, of a pull request against main."""
        project = Project(self.root, base=self.project.git.ref("refs/heads/main"))
        scores = self.root.parent / "scores.parquet"
        scores.unlink(missing_ok=True)
        rows = project.path(project.base_contract.evaluation.inputs)
        environment = environment_of_forks()
        score(environment, self.root / "model", rows, scores, project.contract.signals)
        model, examined = (
            SavedModel(self.root / "model", "model", {}),
            Examined(None, None, scores, digest_file(scores)),
        )
        inputs = Inputs(project=project, environment=environment, model=model, examined=examined)
        (verdict,) = run(select_interlocks([id]), inputs)
        return verdict


def write_contract(file: Path, text: str) -> None:
    """The tests' contract with these two inputs, one target, and a metric that the checker computes."""
    lines = [line for line in text.splitlines(keepends=True) if not line.startswith("  command:")]
    text = "".join(lines)
    for part, begin, end in ((SIGNALS, "signals:", "dataset:"), (METRICS, "metrics:\n  -", "reproducibility:")):
        start = text.index(begin)
        text = text[:start] + part + text[text.index(f"\n{end}", start) + 1 :]
    text = text.replace(", turns.stale", "").replace("hihi", "high", 1)
    file.write_text(text)


def _put_into_service(folder: Path, text: str) -> None:
    (folder / "project").mkdir()
    service = Service(Project(folder / "project"), pytest.MonkeyPatch())
    git = service.project.git
    git("init", "--quiet")
    subprocess.run(["git", "init", "--quiet", "--bare", folder / "origin.git"], check=True)
    git("remote", "add", "origin", str(folder / "origin.git"))
    write_contract(service.contract, text)
    (service.root / "uv.lock").write_text(LOCK)
    (service.root / ".gitignore").write_text("/model\n/.beampermit\n")
    service.write_rows()
    service.package(score={"current": 0.0, "field": 1.0})
    service.commit("The champion")
    git("push", "--quiet", "origin", "main")
    (folder / "digest").write_text(service.promote(3).digest)
    git("switch", "--quiet", "--create", "change")


@pytest.fixture(scope="session")
def service_once(tmp_path_factory: pytest.TempPathFactory, contract_text: str) -> Path:
    return made_once(
        shared_folder(tmp_path_factory) / "service", lambda folder: _put_into_service(folder, contract_text)
    )


@pytest.fixture
def service(service_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    """Version 3 is in service: it flags by the field, and is always right. A branch begins at its commit."""
    for name in ("project", "origin.git", "version-3"):
        shutil.copytree(service_once / name, tmp_path / name, symlinks=True)
    models = {(service_once / "digest").read_text(): tmp_path / "version-3"}
    service = Service(Project(tmp_path / "project"), monkeypatch, models)
    service.project.git("remote", "set-url", "origin", str(tmp_path / "origin.git"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://registry.lab.example")
    monkeypatch.setattr("beampermit.registry.models.fetch_model", lambda event, *_: service.models[event.digest])
    monkeypatch.setattr("beampermit.models.scoring.score_rows", score)
    return service


__all__ = ["COLUMNS", "CURRENT", "FIELD", "LOCK", "ROWS", "TEST", "Service", "replace", "service", "service_once"]
