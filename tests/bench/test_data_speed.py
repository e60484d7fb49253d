"""Is everything on the remote, and do the rows keep the contract: against DVC's own look, a bare scan, and pandera.

The full sizes are 40,000 files in a folder, 10,000 behind 30 ms, and 10 million rows; `DATA_FILES`, `DATA_SLOW_FILES`
and `DATA_ROWS` ask for others. What is printed is of the size that ran.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.bench
FILES = int(os.environ.get("DATA_FILES", "40000"))
SLOW_FILES = int(os.environ.get("DATA_SLOW_FILES", "10000"))
ROWS = int(os.environ.get("DATA_ROWS", "10000000"))
LATENCY = 0.03
COLUMNS = 17
"""Signals; with two columns of the key and the target they are 20."""
Say = Callable[[str], None]
Timed = Callable[..., float]
BEAMPERMIT = [sys.executable, "-m", "beampermit.cli.main"]
DVC = [sys.executable, "-m", "dvc"]
SERVER = """\
import sys, time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

class Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def send_head(self):
        time.sleep(float(sys.argv[2]))
        return super().send_head()
    def log_message(self, *_):
        pass
    def __init__(self, *rest):
        super().__init__(*rest, directory=sys.argv[1])

class Server(ThreadingHTTPServer):
    request_queue_size = 256

server = Server(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


def folder_of(home: Path, count: int) -> Path:
    """A DVC repository with one folder of `count` small files, in the cache and on the remote beside it."""
    root, storage = home / "project", home / "storage"
    data = root / "data"
    data.mkdir(parents=True)
    git = functools.partial(subprocess.run, cwd=root, check=True, capture_output=True)
    git(["git", "init", "--quiet"])
    git([*DVC, "init", "--quiet"])
    (root / ".dvc/config").write_text("[core]\n    remote = storage\n['remote \"storage\"']\n    url = ../../storage\n")
    entries = []
    for number in range(count):
        content = f"signal {number}\n".encode()
        oid = hashlib.md5(content, usedforsecurity=False).hexdigest()
        entries.append({"md5": oid, "relpath": f"{number:06}.txt"})
        _put(storage, oid, content)
        (data / f"{number:06}.txt").write_bytes(content)
    manifest = json.dumps(entries).encode()
    oid = hashlib.md5(manifest, usedforsecurity=False).hexdigest() + ".dir"
    _put(storage, oid, manifest)
    shutil.copytree(storage / "files", root / ".dvc/cache/files", copy_function=os.link)
    (root / "data.dvc").write_text(f"outs:\n- md5: {oid}\n  hash: md5\n  path: data\n")
    (root / ".gitignore").write_text("/data\n")
    git(["git", "add", "--all"])
    git(["git", "commit", "--quiet", "--message", "The data"])
    return root


def _put(storage: Path, oid: str, content: bytes) -> None:
    file = storage / "files/md5" / oid[:2] / oid[2:]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A repository with all the files."""
    return folder_of(tmp_path, FILES)


def test_is_everything_in_a_folder(many: Path, timed: Timed, say: Say) -> None:
    theirs = [*DVC, "data", "status", "--granular", "--not-in-remote", "--json"]
    timed(theirs, many)  # the first one hashes the work tree, which is not what is compared
    slow = timed(theirs, many)
    fast = timed([*BEAMPERMIT, "check", "DAT002", "--json"], many, 2)
    own = timed([sys.executable, "-c", "import dvc.repo, beampermit.datasets.repository"], many, 2)
    say(
        f"{FILES:,} files in a folder: DVC {slow:.1f} s, beampermit check DAT002 {fast:.1f} s:"
        f" {slow / fast:.1f} times faster"
    )
    say(
        f"    without the {own:.1f} s that Python takes to import DVC: {(slow - own) / max(fast - own, 0.01):.0f} times"
    )


@pytest.fixture
def far(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A repository whose remote answers each request after 30 ms."""
    root = folder_of(tmp_path, SLOW_FILES)
    command = [sys.executable, "-c", SERVER, tmp_path / "storage", str(LATENCY)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        (root / ".dvc/config").write_text(f"[core]\n    remote = web\n['remote \"web\"']\n    url = {url}\n")
        subprocess.run(["git", "commit", "--quiet", "--all", "--message", "Far away"], cwd=root, check=True)
        yield root, url
        server.kill()


def test_is_everything_far_away(far: tuple[Path, str], timed: Timed, say: Say) -> None:
    root, _ = far
    env = {"NO_PROXY": "127.0.0.1"}
    all_ = timed([*BEAMPERMIT, "check", "DAT002", "--json"], root, env=env)
    new = timed([*BEAMPERMIT, "check", "DAT002", "--base", "HEAD~1", "--json"], root, 2, env=env)
    at_once = SLOW_FILES * LATENCY / all_
    say(
        f"{SLOW_FILES:,} files behind {LATENCY * 1000:.0f} ms: {all_:.1f} s,"
        f" as {at_once:.0f} requests at once would take"
    )
    say(f"    with nothing new since the base branch: {new:.1f} s")


CHECK = """\
import duckdb, numpy, resource, time
from beampermit.project import Project
from beampermit.datasets import row_checks
from beampermit.datasets.tables import open_tables
from pathlib import Path
contract = Project(Path.cwd()).contract
signals = row_checks.base_signals(contract, contract)
start = time.perf_counter()
(table,) = open_tables(Path.cwd(), {"train": "train.parquet"})
report = row_checks.check_rows(table, signals, contract.dataset.key, contract.dataset.target)
assert report.problems == [], report.problems
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
BARE = """\
import resource, time, duckdb
names = ["run", "device", "faulty", *(f"s{n}" for n in range(COLUMNS))]
parts = ", ".join(f"min({n}), max({n}), count({n})" for n in names)
start = time.perf_counter()
connection = duckdb.connect()
connection.execute("SET enable_progress_bar = false")  # drawn on stdout where it takes long
connection.execute("SET disabled_optimizers = 'statistics_propagation'")
connection.execute(f"SELECT {parts} DISTINCT FROM 'train.parquet'").fetchall()
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
PANDERA = """\
import resource, time, pandas, pandera.pandas as pa
start = time.perf_counter()
signals = {f"s{n}": pa.Column("float32", pa.Check.in_range(-20, 20), nullable=False) for n in range(COLUMNS)}
keys = {"run": pa.Column(nullable=False), "device": pa.Column(nullable=False), "faulty": pa.Column(bool)}
pa.DataFrameSchema({**keys, **signals}, unique=["run", "device"]).validate(pandas.read_parquet("train.parquet"))
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


@pytest.fixture
def table(tmp_path: Path, contract_text: str) -> Path:
    """A project with `train.parquet`: 20 columns that keep the contract."""
    import duckdb

    signals = ", ".join(f"(random() * 40 - 20)::FLOAT AS s{n}" for n in range(COLUMNS))
    duckdb.sql(
        f"COPY (SELECT range // 500 AS run, range % 500 AS device, range % 7 = 0 AS faulty, {signals}"
        f" FROM range({ROWS})) TO '{tmp_path}/train.parquet' (FORMAT parquet)"
    )
    inputs = "".join(
        f'    - {{name: s{n}, source: pv, pv: "{{device}}:S{n}", unit: mm, range: [-20, 20]}}\n' for n in range(COLUMNS)
    )
    head, _, rest = contract_text.partition("  inputs:\n")
    text = f"{head}  inputs:\n{inputs}{rest[rest.index('  outputs:') :]}"
    text = text.replace("key: [acquisition, device, plane]", "key: [run, device]")
    (tmp_path / "contract.yaml").write_text(text)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    return tmp_path


def test_do_the_rows_keep_the_contract(table: Path, say: Say) -> None:
    size = (table / "train.parquet").stat().st_size / 2**20
    say(f"{ROWS:,} rows by {COLUMNS + 3} columns, {size:.0f} MiB of Parquet")
    bare = BARE.replace("COLUMNS", str(COLUMNS))
    ours, memory = _measured(CHECK, table, sys.executable)
    plain, other = _measured(bare.replace(" DISTINCT", ""), table, sys.executable)
    distinct, third = _measured(bare.replace(" DISTINCT", ", count(DISTINCT hash(run, device))"), table, sys.executable)
    say(f"    contract {ours:.1f} s, {memory:.0f} MiB")
    say(f"    bare aggregate of the same columns {plain:.1f} s, {other:.0f} MiB: ratio {ours / plain:.2f}")
    say(f"    the same with the key's uniqueness {distinct:.1f} s, {third:.0f} MiB: ratio {ours / distinct:.2f}")
    python = os.environ.get("PANDERA_PYTHON") or (sys.executable if importlib.util.find_spec("pandera") else None)
    if python is None:
        say("    pandera is not installed; PANDERA_PYTHON may name a Python that has it")
        return
    theirs, fourth = _measured(PANDERA.replace("COLUMNS", str(COLUMNS)), table, python)
    say(f"    pandera on the same rules {theirs:.1f} s, {fourth:.0f} MiB: {theirs / ours:.1f} times ours")


def _measured(code: str, cwd: Path, python: str) -> tuple[float, float]:
    """Seconds and peak memory (MiB) that a program of its own measured; the better of two."""
    found = []
    for _ in range(2):
        finished = subprocess.run([python, "-c", code], cwd=cwd, capture_output=True, text=True, check=False)
        assert finished.returncode == 0, finished.stderr[-2000:]
        seconds, memory = map(float, finished.stdout.split())
        found.append((seconds, memory))
    return min(found)
