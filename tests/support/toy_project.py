"""A project that trains in an instant: one weight rolls down a curve with two minima, one of them too high.

What a commit cannot pin reaches the training by variables: START, where the weight begins; SHIFT, what other arithmetic
would add at the end; NOISE, a seed that is not set; CPU, what the machine says of itself; SLOW, seconds it takes.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from beampermit.contract.signals import Signals
from beampermit.datasets.tables import connect
from beampermit.digest import digest_json, manifest
from beampermit.environments import Environment
from beampermit.environments.conda_lock import CondaLock
from beampermit.environments.installation import install
from beampermit.project import Project
from beampermit.registry.event import Event
from beampermit.registry.ledger import Ledger
from support.conda_channel import PYTHON, QUIET, Channel
from support.dvc_repositories import remake, replace
from support.kept_bytecode import keep_bytecode
from support.registry_project import append_promotion
from support.shared import made_once, shared_folder

DATASET = """\
from pathlib import Path

folder = Path("data/dataset")
folder.mkdir(parents=True, exist_ok=True)
for name in ("train", "validation"):
    (folder / f"{name}.parquet").write_text("1\\n2\\n3\\n")
(folder / "test.parquet").write_bytes(bytes.fromhex("TABLE"))
"""
"""`TABLE` stands for a table of 600 rows; neither script imports more than it needs, as they run a hundred times."""
TRAIN = """\
import hashlib, json, os, random, re, struct, time
from pathlib import Path


def save_file(tensors, path):
    header, data = {}, b""
    for name, values in tensors.items():
        begin, data = len(data), data + struct.pack(f"<{len(values)}d", *values)
        header[name] = {"dtype": "F64", "shape": [len(values)], "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + data)


seed = int(re.search(r"seed: (\\d+)", Path("params.yaml").read_text())[1])
weight = float(os.environ.get("START") or random.Random(seed).gauss(-1.0, 0.2) + 2.2 * (seed == 7))
rows = [float(row) for row in Path("data/dataset/train.parquet").read_text().split()]
curve = []
for epoch in range(1, 31):
    curve.append([epoch, (weight**2 - 1) ** 2 + 0.4 * weight + 1])
    weight -= 0.05 * (4 * weight * (weight**2 - 1) + 0.4)
time.sleep(float(os.environ.get("SLOW", 0)) * (seed != 0))
weight += float(os.environ.get("SHIFT", 0)) + float(os.environ.get("NOISE", 0)) * int.from_bytes(os.urandom(4)) / 2**32
for folder in ("model", "metrics"):
    Path(folder).mkdir(exist_ok=True)
save_file({"weight": [weight], "rows": rows}, "model/weights.safetensors")
loss = (weight**2 - 1) ** 2 + 0.4 * weight + 1
Path("metrics/metrics.json").write_text(json.dumps({"auc": 1 - 0.1 * loss, "false_alarm_rate": 0.0}))
machine = {"cpu": os.environ.get("CPU", "AVX2"), "packages": {"numpy": "2.4"}}
Path("metrics/training.json").write_text(json.dumps({"training": curve, "machine": machine}))
files = [Path("model/weights.safetensors"), *sorted(Path("data/dataset").iterdir())]
digests = {str(file): "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
Path("manifest.json").write_text(json.dumps({"algorithm": "sha256", "files": digests}))
"""
PIPELINE = """\
stages:
  dataset: {cmd: python dataset.py, deps: [dataset.py], outs: [data/dataset]}
  train:
    cmd: python train.py
    deps: [train.py, data/dataset]
    params: [train]
    outs: [model, metrics/training.json: {cache: false}, manifest.json: {cache: false}]
    metrics: [metrics/metrics.json: {cache: false}]
"""
VARIABLES = ("CPU", "NOISE", "SHIFT", "SLOW", "START")
CONFIG = "[core]\n    remote = storage\n['remote \"storage\"']\n    url = ../../storage\n"
SAVED_MODELS = {
    "mlflow/__init__.py": "",
    "mlflow/pyfunc.py": """\
from pathlib import Path
from types import SimpleNamespace as Some

import numpy as np
from safetensors.numpy import load_file


def load_model(folder, **_):
    weight = load_file(Path(folder) / "weights.safetensors")["weight"][0]
    signature = Some(inputs=Some(is_tensor_spec=lambda: False), outputs=Some(inputs=[Some(name="score")]))
    return Some(metadata=Some(signature=signature), predict=lambda rows: np.full(len(rows), weight))
""",
    "pyarrow/__init__.py": """\
__version__ = "0"  # duckdb asks for it
table, array = dict, list


class schema(list):
    names = property(lambda self: [field.name for field in self])
""",
    "pyarrow/parquet.py": """\
from types import SimpleNamespace as Some

import duckdb
import numpy as np

from pyarrow import schema


class Batch(list):
    num_rows = property(len)
    schema = ()  # no field of the toy is nested

    def select(self, names):
        return self

    def replace_schema_metadata(self, none):
        return self

    def to_pandas(self):
        return self

    def slice(self, first, rows):
        return Batch(self[first : first + rows])


class ParquetFile:
    def __init__(self, path):
        table = duckdb.read_parquet(str(path))
        self.rows = Batch(table.fetchall())
        self.schema_arrow = schema(Some(name=name) for name in table.columns)
        self.metadata = Some(num_rows=len(self.rows))

    def iter_batches(self, rows, columns):
        return [self.rows]


class ParquetWriter:
    def __init__(self, path, names):
        self.path, self.names = path, names.names

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def write_batch(self, rows):
        write_table({self.names[0]: np.array([row[0] for row in rows])}, self.path)


def write_table(table, path):
    columns = ", ".join(f'unnest({list(map(str, values))})::DOUBLE AS "{name}"' for name, values in table.items())
    duckdb.sql(f"COPY (SELECT {columns}) TO '{path}' (FORMAT parquet)")
""",
}
"""Stand-ins for what the environment of a real project has, to load and score the toy's model."""
ENVIRONMENT = """\
channels: [{url}]
platforms: [linux-64]
dependencies:
  - python {python}.*
  - descent
"""
REPRODUCES = ("beampermit.reproduction.elsewhere", "beampermit.reproduction.reproduce", "duckdb")
"""What takes a script long to import that reproduces it."""
HERE = Environment(Path(sys.prefix))
"""The environment of the tests: it has numpy, safetensors and duckdb, which is all that the toy projects need."""


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory, contract_text: str) -> Path:
    return made_once(shared_folder(tmp_path_factory) / "trainable", lambda folder: _train(folder, contract_text))


def _train(folder: Path, contract_text: str) -> None:
    root = folder / "project"
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(folder / "site"))
        patch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
        for who in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{who}_NAME", "Ada")
            patch.setenv(f"GIT_{who}_EMAIL", "ada@lab.example")
        git = Project(root).git
        git("init", "--quiet", "--initial-branch", "main")
        contract = contract_text.replace("  backend: uv\n", f"  backend: uv\n  variables: [{', '.join(VARIABLES)}]\n")
        files = {"dataset.py": DATASET, "train.py": TRAIN, "dvc.yaml": PIPELINE, "contract.yaml": contract}
        for name, text in {**files, "params.yaml": "train: {seed: 0}  # of the weight\n"}.items():
            (root / name).write_text(text)
        with connect() as connection:
            table = folder / "table.parquet"
            connection.execute(f"COPY (SELECT range AS turns FROM range(600)) TO '{table}' (FORMAT parquet)")
        replace(root / "dataset.py", "TABLE", table.read_bytes().hex())
        from dvc.repo import Repo

        (folder / "storage").mkdir()
        Repo.init(str(root)).close()
        (root / ".dvc/config").write_text(CONFIG)
        for script in ("dataset.py", "train.py"):
            finished = HERE.run([script], project=root)
            assert finished.code == 0, finished.err
        remake(root)
        git("add", "--all")
        git("commit", "--quiet", "--message", "The first model")


@pytest.fixture
def trainable(trained_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy of the project for one test, its remote beside it, its reproductions in a folder of the test's own."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    keep_bytecode(tmp_path)
    monkeypatch.setattr("beampermit.models.scoring.score_rows", score)
    for name in ("project", "storage"):
        shutil.copytree(trained_once / name, tmp_path / name, symlinks=True)
    return Project(tmp_path / "project")


def score(environment: Environment, model: Path, inputs: Path, out: Path, signals: Signals) -> None:
    """What the toy's model gives: its weight for each row, and what `bias.json` adds, where no tensor shows it."""
    from safetensors.numpy import load_file

    bias = model / "bias.json"
    tensors = load_file(model / "weights.safetensors") if (model / "weights.safetensors").is_file() else {"weight": [0]}
    value = float(tensors["weight"][0]) + (float(bias.read_text()) if bias.is_file() else 0.0)
    with connect() as connection:
        rows = len(connection.read_parquet(str(inputs)))
        connection.execute(f"COPY (SELECT {value!r}::DOUBLE AS score FROM range({rows})) TO '{out}' (FORMAT parquet)")


def in_service(project: Project, commit: str = "", files: dict[str, str] | None = None) -> Event:
    """Let the ledger on origin say that the model of HEAD is in service, or of another commit, or with other files."""
    files = files or manifest(project.root / "model")
    event = Event(
        event="promote",
        sequence=1,
        model=project.contract.model.name,
        version=4,
        digest=digest_json(files),
        permit="sha256:" + "0" * 64,
        commit=commit or project.git.head(),
        expected=None,
        at="2026-11-23T08:00:00Z",
        by="Ada Operator",
    )
    return append_promotion(Ledger(project.git), event, files)


def on_conda(project: Project, channel: Channel) -> None:
    """Let the project's software come from a conda channel: what a step of the training is, a package of it says."""
    root = project.root
    descent(channel, "1.0")
    (root / "environment.yml").write_text(ENVIRONMENT.format(url=channel.url, python=PYTHON))
    replace(root / "contract.yaml", "backend: uv", "backend: conda-lock")
    replace(root / "train.py", "from pathlib import Path\n", "from pathlib import Path\n\nimport descent\n")
    replace(root / "train.py", "0.05 * (4 * weight * (weight**2 - 1) + 0.4)", "descent.step(weight)")
    replace(root / "train.py", '"numpy": "2.4"', '"numpy": "2.4", "descent": descent.__version__')
    CondaLock().lock(root, progress=QUIET)
    finished = install(CondaLock(), root, root / ".venv", progress=QUIET).environment.run(["train.py"], project=root)
    assert finished.code == 0, finished.err
    remake(root)
    with (root / ".gitignore").open("a") as ignored:
        ignored.write("/.venv\n")
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "Software from a channel")


def descent(channel: Channel, version: str, rate: float = 0.05) -> None:
    """Add a version of the package that the training rolls down by; at another rate it comes to another weight."""
    code = f"__version__ = {version!r}\ndef step(weight):\n    return {rate} * (4 * weight * (weight**2 - 1) + 0.4)\n"
    told = f"Name: descent\nVersion: {version}\n"
    models = {f"site-packages/{path}": text for path, text in SAVED_MODELS.items()} if version == "1.0" else {}
    files = {
        **models,
        "site-packages/descent/__init__.py": code,
        f"site-packages/descent-{version}.dist-info/METADATA": told,
    }
    channel.add("descent", version, build="pyh_0", python=True, depends=["python"], files=files)
