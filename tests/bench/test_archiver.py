"""The archiver client against a loopback server: a day of many PVs at 1 Hz, and what it needs for that.

The full size is 1,000 PVs; `ARCHIVER_PVS` asks for another. What is printed is of the size that ran.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from beampermit.project import Project

pytestmark = pytest.mark.bench
SECONDS = 86_400
PVS = int(os.environ.get("ARCHIVER_PVS", "100"))
REQUEST = """\
dataset:
  request:
    source: archiver
    options: {{url: "{url}", at_once: 4, timeout: 300}}
    signals: [{{name: position, pv: "{{device}}:X", unit: mm}}]
    ranges: [{{start: 2026-03-01T00:00:00Z, end: 2026-03-02T00:00:00Z}}]
    sampling: {{period: 1s}}
    gaps: {{max_age: 5s}}
"""
SERVER = """\
import sys
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

first = int(datetime.fromisoformat("2026-03-01T00:00:00+00:00").timestamp())
line = '{"secs":%d,"nanos":123456789,"val":%.6f,"severity":0,"status":0}'
rows = ",\\n".join(line % (first + n - 1, n % 977 / 100) for n in range(86_401))
answer = ('[{"meta":{"name":"x","EGU":"mm"},"data":[\\n' + rows + "]}]").encode()

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, len(answer), flush=True)
server.serve_forever()
"""
MEASURED = """\
import resource, sys
from beampermit.cli.main import app
sys.argv = ["beampermit", "data", "request", "--json"]
try:
    app()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""
Say = Callable[[str], None]


@pytest.fixture
def server() -> Iterator[tuple[str, int]]:
    """A process that answers every PV with a day at 1 Hz: its address, and the bytes of an answer."""
    child = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    port, size = child.stdout.readline().split()
    try:
        yield f"http://127.0.0.1:{port}", int(size)
    finally:
        child.kill()
        child.communicate()


def test_a_day_of_pvs_at_1_hz(project: Project, server: tuple[str, int], say: Say) -> None:
    from ruamel.yaml import YAML

    url, size = server
    yaml = YAML(typ="safe")
    contract = yaml.load(project.root / "contract.yaml")
    contract["dataset"]["request"] = yaml.load(REQUEST.format(url=url))["dataset"]["request"]
    contract["signals"]["devices"] = "devices.csv"
    yaml.dump(contract, project.root / "contract.yaml")
    (project.root / "devices.csv").write_text("device\n" + "".join(f"BPM.{n:04}\n" for n in range(PVS)))
    start = time.perf_counter()
    command = [sys.executable, "-c", MEASURED]
    done = subprocess.run(command, cwd=project.root, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)["sidecar"]
    assert said["rows"] == PVS * SECONDS
    peak = int(done.stderr.split()[-1]) / 1024
    table = (project.root / Path("data/raw.parquet")).stat().st_size / 2**20
    say(f"{PVS} PVs, a day at 1 Hz: {said['rows'] / 1e6:.1f} million rows in {seconds:.1f} s")
    say(f"{said['rows'] / seconds:,.0f} rows/s, {PVS * size / 2**20 / seconds:.0f} MiB/s of JSON, peak {peak:.0f} MiB")
    say(f"1,000 PVs at this rate: {seconds * 1000 / PVS:.0f} s; the table of {PVS} is {table:.0f} MiB")
