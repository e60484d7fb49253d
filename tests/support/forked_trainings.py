"""Processes of a project's environment, forked from one that has imported what takes six seconds of each: torch and
MLflow. What Python reads as it starts has no effect in them.
"""

from __future__ import annotations

import atexit
import json
import os
import random
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

from beampermit.environments.environment import VARIABLE, Environment
from beampermit.processes import Finished
from beampermit.project import Project

SERVER = """
import gc, json, os, sys, traceback
import mlflow, pandas, torch, torch._dynamo, torch.nn.parallel  # the optimisers import _dynamo when they begin

def become(job, place):
    code = 1
    try:
        for number, name in enumerate((os.devnull, place + ".out", place + ".err")):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT), number)
        os.chdir(job["folder"])
        os.environ.clear()
        os.environ.update(request["variables"] | job["variables"], PYTHONPATH=os.pathsep.join(job["paths"]))
        sys.argv[1:] = job["words"]
        sys.path[1:1] = job["paths"]
        exec(compile(job["script"], "<script>", "exec"), {"__name__": "__main__"})
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)

gc.freeze()
for line in sys.stdin:
    request, children = json.loads(line), []
    for number, job in enumerate(request["jobs"]):
        if not (child := os.fork()):
            become(job, f"{request['folder']}/{number}")
        children.append(child)
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]), flush=True)
"""
TESTS = "import pytest; raise SystemExit(pytest.main())"
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
"""As torchrun has it: the threads of each process would wait for those of the others."""


@dataclass(frozen=True)
class Job:
    """A script, run in `folder` with the modules in `paths`."""

    script: str
    folder: Path
    paths: Sequence[Path]
    words: Sequence[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict)


def script(project: Project, text: str) -> Finished:
    """What `python -c TEXT` does in the environment of the project, with its code."""
    (done,) = forked(Job(text, project.root, [project.root / "src"]))
    return done


def own_tests(project: Project, *words: str, env: Mapping[str, str] | None = None) -> Finished:
    """What `python -m pytest WORDS` does in the environment of the project, with its code."""
    (done,) = forked(
        Job(TESTS, project.root, [project.root / "src"], ["-q", "-p", "no:cacheprovider", *words], env or {})
    )
    return done


def team(job: Job, count: int) -> list[Job]:
    """`count` processes that find each other as those of torchrun do."""
    same = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "TORCHELASTIC_RUN_ID": "forked"}
    same |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    ranks = ({**job.variables, **same, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count))
    return [Job(job.script, job.folder, job.paths, job.words, variables) for variables in ranks]


def _free_port() -> int:
    """None that the system deals out, which somebody else may have been given before the first process takes it."""
    while True:
        port = random.randrange(20_000, 32_000)  # noqa: S311 - no secret
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def forked(*jobs: Job) -> list[Finished]:
    """How the jobs ended that ran at once in the environment that `BEAMPERMIT_ENVIRONMENT` names."""
    environment = Environment(Path(os.environ[VARIABLE]))
    server, variables = _server(environment), {**environment.clean_variables(None), **ONE_THREAD}
    assert server.stdin
    assert server.stdout
    with tempfile.TemporaryDirectory() as folder:
        request = {"folder": folder, "variables": variables, "jobs": [asdict(job) for job in jobs]}
        server.stdin.write(json.dumps(request, default=os.fspath) + "\n")
        server.stdin.flush()
        answer = server.stdout.readline()
        assert answer, "the process that forks has ended"
        texts = [[Path(folder, f"{number}.{one}").read_text() for one in ("out", "err")] for number in range(len(jobs))]
    return [Finished(("python",), code, *text) for code, text in zip(json.loads(answer), texts, strict=True)]


@cache
def _server(environment: Environment) -> subprocess.Popen[str]:
    """The process that forks, which ends with this one."""
    server = subprocess.Popen(
        [environment.python, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
        start_new_session=True,
        env={**environment.clean_variables(None), **ONE_THREAD},
    )
    owner = os.getpid()

    def end() -> None:
        if os.getpid() == owner:  # not in a fork of ours
            server.kill()
            server.wait()

    atexit.register(end)
    return server
