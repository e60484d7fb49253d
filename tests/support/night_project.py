"""The project of a played night: a day of data, and a loss that follows from a current and a field.

From `DRIFTS` on the current rises to where the loss was never seen before, and grows steeply: who trained without these
hours is wrong there. The pipeline asks the service's log for data, and takes the newest hours for `test`.

The folder with log and truth is `site` in a checkout: a link, which `reach` makes.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import yaml

from beampermit.contract import load_contract
from beampermit.permit import envelope, keys
from beampermit.permit.assemble import assemble
from beampermit.progress import silent
from beampermit.project import Project
from beampermit.registry.promotion import Promotion
from beampermit.verdicts.evidence import Gate, Gates
from beampermit.verdicts.verdict import VerdictFile
from support.dvc_repositories import remake
from support.forked_commands import beampermit, environment_of_forks
from support.monitored_log import write_log
from support.paths import ROOT
from support.promoted_project import LOCK, PYPROJECT
from support.registry_project import MODEL, Laboratory, verdicts
from support.toy_project import CONFIG

HOUR, PERIOD = 3600.0, 60.0
WINDOW = 2 * HOUR
"""Of the monitor, which judges one after the other."""
MIDNIGHT = datetime(2026, 3, 3, tzinfo=UTC).timestamp()
FIRST = MIDNIGHT - 24 * HOUR
"""Since when there is data."""
DRIFTS = MIDNIGHT + 2 * WINDOW
RETRAIN = ".github/workflows/retrain.yml"
TEMPLATE = ROOT / "template/{{cookiecutter.project_slug}}"
CONTRACT = f"""\
environment: {{backend: uv}}
signals:
  inputs:
    - {{name: current, pv: "RING:CURRENT", unit: mA, range: [0, 500], stale_after: 90s}}
    - {{name: field, pv: "RING:FIELD", unit: T, range: [-9, 9], stale_after: 90s}}
  outputs:
    - {{name: score, pv: "RING:LOSS", unit: Gy, range: [-50, 50], high: 10, target: loss, tolerance: 0.1}}
dataset:
  request:
    source: predictions
    version: 1
    options: {{path: site/log/{MODEL}}}
    signals: [current, field]
    ranges:
      - {{start: 2026-03-02T00:00:00Z, end: 2026-03-03T00:00:00Z}}
    sampling: {{event: current}}
    gaps: {{max_age: 90s}}
  raw: data/raw.parquet
  labels: data/labels.parquet
  splits:
    train: data/dataset/train.parquet
    validation: data/dataset/validation.parquet
    test: data/dataset/test.parquet
  key: [acquired_at]
  target: loss
  split: {{by: [hour], time: acquired_at}}
  about:
    purpose: Predicting the loss.
    collected: Logged by the service.
    limitations: [One ring.]
    terms: Free to use.
evaluation:
  metrics: metrics/metrics.json
  plots: metrics/plots.json
  scores: data/scores.parquet
  inputs: data/dataset/test.parquet
  about: The last four hours.
metrics:
  - {{name: distance, measure: mae, gate: 0.3, champion_margin: 0.02, description: Distance from the loss}}
budget: {{latency: 1s, memory: 4096}}
monitoring:
  limits: metrics/limits.json
  reference: validation
  window: 2h
  every: 2h
  on_trip: retrain
  response: {{silent_after: 3h}}
fallback: {{on_invalid: invalid}}
"""
DATASET = """\
import hashlib, json
from pathlib import Path

import duckdb

digest = lambda path: "sha256:" + hashlib.sha256(Path(path).read_bytes()).hexdigest()
run = duckdb.connect().execute
run("SET TimeZone = 'UTC'")
Path("data/dataset").mkdir(parents=True, exist_ok=True)
run('''COPY (SELECT acquired_at, loss, 'the loss monitor' AS labelled_by, acquired_at AS labelled_at, 'measured' AS why,
    'rule' AS source, 1.0::DOUBLE AS confidence, '' AS overruled FROM 'data/raw.parquet'
    JOIN (SELECT make_timestamptz((time * 1e6)::BIGINT) AS acquired_at, loss FROM 'site/truth.parquet')
    USING (acquired_at)
    ORDER BY acquired_at) TO 'data/labels.parquet' (FORMAT parquet)''')
run('''CREATE TABLE rows AS SELECT acquired_at, current, field, loss, (epoch(acquired_at) // 3600)::BIGINT AS hour
    FROM 'data/raw.parquet' JOIN 'data/labels.parquet' USING (acquired_at)''')
((last,),) = run("SELECT max(hour) + 1 FROM rows").fetchall()
splits = {}
for name, begin, end in (("train", 0, last - 8), ("validation", last - 8, last - 4), ("test", last - 4, last)):
    path, within = f"data/dataset/{name}.parquet", f"hour >= {begin} AND hour < {end}"
    run(f"COPY (SELECT * FROM rows WHERE {within} ORDER BY acquired_at) TO '{path}' (FORMAT parquet)")
    ((count,),) = run(f"SELECT count(*) FROM '{path}'").fetchall()
    splits[name] = {"path": path, "sha256": digest(path), "rows": count}
record = {
    "parents": {path: digest(path) for path in ("data/raw.parquet", "data/labels.parquet")},
    "code": {"dataset.py": digest("dataset.py")},
    "parameters": {},
    "split": {"by": ["hour"], "time": "acquired_at"},
    "splits": splits,
}
Path("data/dataset.json").write_text(json.dumps(record))
"""
"""The newest four hours are for `test`, the four before for `validation`."""
LOSSES = """\
import numpy as np


def columns(current, field):
    return np.stack([np.ones_like(current), current - 300, field, np.maximum(current - 305, 0)], axis=1)
"""
TRAIN = """\
import hashlib, json, shutil
from pathlib import Path

import duckdb, numpy as np
from beampermit.monitoring import reference
from losses import columns
from safetensors.numpy import save_file

NAMES = ("current", "field", "loss")


def read(name):
    found = duckdb.execute(f"SELECT * FROM 'data/dataset/{name}.parquet' ORDER BY acquired_at").fetchnumpy()
    return {name: np.asarray(found[name]) for name in NAMES}


rows = read("train")
matrix = columns(rows["current"], rows["field"])
weights = np.linalg.solve(matrix.T @ matrix + 1e-3 * np.eye(4), matrix.T @ rows["loss"])
answers = lambda rows: columns(rows["current"], rows["field"]) @ weights
shutil.rmtree("model", ignore_errors=True)
for folder in ("model/artifacts", "model/code", "metrics"):
    Path(folder).mkdir(parents=True, exist_ok=True)
save_file({"weights": weights}, "model/artifacts/weights.safetensors")
for source, target in (("contract.yaml", "artifacts"), ("losses.py", "code"), ("serving.py", ""), ("MLmodel", "")):
    shutil.copy(source, f"model/{target}")
test, validation = read("test"), read("validation")
example = {name: test[name][:2].tolist() for name in NAMES[:2]}
Path("model/input_example.json").write_text(json.dumps(example))
scores = duckdb.from_arrow(__import__("pyarrow").table({"score": answers(test)}))
scores.write_parquet("data/scores.parquet")
Path("metrics/metrics.json").write_text("{}")
Path("metrics/plots.json").write_text("{}")
Path("metrics/training.json").write_text(json.dumps({"training": [], "machine": {"cpu": "any", "packages": {}}}))
limits = reference.limits(
    {name: validation[name] for name in NAMES[:2]},
    {"score": answers(validation)},
    expected={"current": (0.0, 500.0), "field": (-9.0, 9.0)},
    alarms={"score": (None, 10.0)},
    truth={"score": validation["loss"]},
)
Path("metrics/limits.json").write_text(json.dumps({"split": "validation", **limits}))
files = sorted(path for folder in ("model", "data/dataset") for path in Path(folder).rglob("*") if path.is_file())
listed = map(str, [*files, "data/scores.parquet", "data/raw.parquet", "data/labels.parquet"])
digests = {path: "sha256:" + hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in listed}
Path("manifest.json").write_text(json.dumps({"algorithm": "sha256", "files": digests}))
"""
SERVING = """\
import numpy as np, pandas as pd, mlflow
from losses import columns
from safetensors.numpy import load_file


class Served(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.weights = load_file(context.artifacts["weights"])["weights"]

    def predict(self, context, model_input, params=None):
        current, field = (np.asarray(model_input[name], float) for name in ("current", "field"))
        return pd.DataFrame({"score": columns(current, field) @ self.weights})


mlflow.models.set_model(Served())
"""
_INPUT = '{"name": "%s", "type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1]}}'
MLMODEL = f"""\
flavors:
  python_function:
    artifacts:
      weights: {{path: artifacts/weights.safetensors, uri: elsewhere}}
    code: code
    loader_module: mlflow.pyfunc.loaders.code_model
    model_code_path: serving.py
saved_input_example_info: {{artifact_path: input_example.json, type: ndarray}}
signature:
  inputs: '[{", ".join(_INPUT % name for name in ("current", "field"))}]'
  outputs: '[{{"name": "score", "type": "double", "required": true}}]'
  params: null
"""
PIPELINE = """\
stages:
  request:
    cmd: beampermit data request
    deps: [contract.yaml]
    outs: [data/raw.parquet, data/raw.json: {cache: false}]
  dataset:
    cmd: python dataset.py
    deps: [dataset.py, data/raw.parquet]
    outs: [data/dataset, data/labels.parquet, data/dataset.json: {cache: false}]
  train:
    cmd: python train.py
    deps: [train.py, losses.py, serving.py, MLmodel, contract.yaml, data/dataset]
    outs:
    - model
    - data/scores.parquet
    - metrics/plots.json: {cache: false}
    - metrics/training.json: {cache: false}
    - metrics/limits.json: {cache: false}
    - manifest.json: {cache: false}
    metrics: [metrics/metrics.json: {cache: false}]
"""
FILES = {"dataset.py": DATASET, "losses.py": LOSSES, "train.py": TRAIN, "serving.py": SERVING, "MLmodel": MLMODEL}


def machine(since: float, until: float) -> dict[str, np.ndarray]:
    """What the machine does: `time`, `current`, `field`, and the `loss` that somebody measures."""
    at = np.arange(since, until, PERIOD)
    draw = np.random.default_rng(int(since) // 60)
    rise = 8 * np.clip((at - DRIFTS) / HOUR, 0, 1)
    current, field_ = 300 + rise + draw.normal(0, 1, len(at)), draw.normal(1, 0.2, len(at))
    loss = 0.1 * (current - 300) + 0.5 * field_ + np.maximum(current - 305, 0) + draw.normal(0, 0.05, len(at))
    return {"time": at, "current": current, "field": field_, "loss": loss}


def begin(lab: Laboratory) -> None:
    """A day of data, a model that was trained on it, and that model in service as version 1."""
    root, usual = lab.root, yaml.safe_load((lab.root / "contract.yaml").read_text())
    own = yaml.safe_load(CONTRACT)
    usual["operations"]["alarms"] = [
        {"condition": what, "raised_by": by, "severity": "MINOR", "meaning": "See its name.", "action": ["Look."]}
        for what, by in (
            ("much loss", ["score.high"]),
            ("no answer", ["score.invalid", "current.stale", "field.stale"]),
            ("drift", ["drift"]),
        )
    ]
    kept = {key: value for key, value in usual.items() if key not in own}
    (root / "contract.yaml").write_text(yaml.safe_dump(kept, sort_keys=False) + CONTRACT)
    (root / RETRAIN).parent.mkdir(parents=True, exist_ok=True)
    (root / RETRAIN).write_text((TEMPLATE / RETRAIN).read_text())
    with (root / ".gitignore").open("a") as ignored:
        ignored.write("/site\n")
    for name, text in {**FILES, "dvc.yaml": PIPELINE, "pyproject.toml": PYPROJECT, "uv.lock": LOCK}.items():
        (root / name).write_text(text)
    (root / "dvc.lock").unlink()
    shutil.rmtree(root / "model")
    shutil.rmtree(root / "metrics")
    from dvc.repo import Repo

    (root.parent / "storage").mkdir()
    Repo.init(str(root)).close()
    (root / ".dvc/config").write_text(CONFIG)
    measured = machine(FIRST, MIDNIGHT)
    signals = {"current": measured["current"], "field": measured["field"], "score": np.zeros_like(measured["time"])}
    write_log(root.parent / "log", load_contract(root), root, measured["time"], signals)
    write_truth(lab, measured)
    reach(root, root.parent)
    requested = beampermit("data", "request", cwd=root)
    assert requested.returncode == 0, requested.stderr
    for script in ("dataset.py", "train.py"):
        finished = environment_of_forks().run([script], project=root)
        assert finished.code == 0, finished.err
    (root / "site").unlink()  # a copy of the laboratory has one of its own
    remake(root)
    for words in (("add", "--all"), ("commit", "--quiet", "--message", "The first model"), ("push", "--quiet")):
        lab.git(*words)
    permit = signed(lab, lab.project, judged_by_hand(lab.project))
    Promotion(lab.project, lab.ledger, lab.registry, permit, lambda _: None, silent).run()


def judged_by_hand(project: Project) -> VerdictFile:
    """Of the first version: that it passed, with its metric at the gate."""
    rows = [
        Gate(name=one.name, value=one.gate, gate=one.gate, better=one.better, met=True, by="checker")
        for one in project.contract.metrics
    ]
    file = verdicts(project, ["PRF001"])
    gates = file.verdicts[0].model_copy(update={"evidence": Gates(metrics=tuple(rows))})
    return file.model_copy(update={"verdicts": (gates,)})


def signed(lab: Laboratory, project: Project, judged: VerdictFile) -> envelope.Signed:
    statement = assemble(project, [judged], [one.id for one in judged.verdicts])
    return envelope.Signed(statement, envelope.sign_statement(statement, keys.load_signing_key(str(lab.key))))


def reach(checkout: Path, site: Path) -> None:
    """Let a checkout find the folder in which the service's log and the truth are."""
    (checkout / "site").symlink_to(site)


def write_truth(lab: Laboratory, *rows: dict[str, np.ndarray]) -> None:
    """What turned out to be true: a table beside the project."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {name: np.concatenate([one[name] for one in rows]) for name in ("time", "loss")}
    pq.write_table(pa.table(columns), lab.root.parent / "truth.parquet")
