"""Processes of a project's environment that train, forked from one that has imported what takes six seconds of each."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from beampermit.project import Project
from support.trained_project import python

FORKS = """
import gc, json, os, sys, traceback
import mlflow, pandas, torch, torch._dynamo, torch.nn.parallel  # the optimisers import _dynamo when they begin

gc.freeze()
children = []
for job in json.loads(sys.argv[1]):
    if child := os.fork():
        children.append(child)
        continue
    code = 1
    try:
        os.chdir(job["folder"])
        os.environ.update(job["variables"])
        sys.argv[1:] = job["words"]
        sys.path[1:1] = job["paths"]
        exec(compile(job["script"], "<script>", "exec"), {"__name__": "__main__"})
        code = 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    os._exit(code)
sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0 for child in children))
"""


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


def team(job: Job, count: int) -> list[Job]:
    """`count` processes that find each other as those of torchrun do."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    same = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "forked"}
    same |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    ranks = ({**job.variables, **same, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count))
    return [Job(job.script, job.folder, job.paths, job.words, variables) for variables in ranks]


def train(project: Project, *jobs: Job) -> str:
    """What the jobs print that run at once in the environment of the project."""
    done = python(project, "-c", FORKS, json.dumps([asdict(job) for job in jobs], default=os.fspath), env=ONE_THREAD)
    assert done.code == 0, done.err
    return done.out
