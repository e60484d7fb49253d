"""Units as an Indexed Job of Kubernetes: a manifest that is written, and results that appear in the folder of work."""

from __future__ import annotations

import json
import os
import re
import secrets
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from beampermit.compute.resources import Resources, configuration_file
from beampermit.compute.slurm import chunks_of
from beampermit.compute.unit import ENDED, RUNNING
from beampermit.compute.worker import write_task
from beampermit.errors import BadInput, Outside, counted
from beampermit.files import write_text
from beampermit.processes import Finished, run

ROOM, MANIFEST = "kubernetes", "job.yaml"
LONGEST = 1000
"""Pods of a job: each has a file of its own, and starts a Python."""
QUEUE = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
LONGEST_LABEL = 63
TAKEN = ("/tmp", "/dev/shm")  # noqa: S108 - in a pod
"""Where pods have folders of their own."""
LOOK, ASK = 0.25, 15.0
"""Seconds between two looks at files, and between two questions to Kubernetes."""
PATIENCE = 60.0
"""Seconds for kubectl to answer."""
SILENT = 600.0
"""Seconds without the end of a unit after which whoever types kubectl's commands is told to look."""


class Kubernetes:
    """Its own context manager. Raises `BadInput` where the user's configuration does not say what pods need."""

    slots = 0
    late = 15.0

    def __init__(self, resources: Resources, work: Path):
        if resources.nodes > 1:
            raise BadInput(f"--on kubernetes: a unit runs in one pod, and --nodes is {resources.nodes}")
        queue = resources.partition
        if queue and (len(queue) > LONGEST_LABEL or not QUEUE.fullmatch(queue)):
            raise BadInput(
                f"--on kubernetes: partition is {queue!r}, and a queue of Kueue has a name of at most {LONGEST_LABEL} "
                "small letters, digits, - and ., such as ml-queue"
            )
        self._resources, self._work = resources, work.absolute()
        self._mount = _mount(resources, self._work)
        self._jobs: dict[Path, dict[Path, None]] = {}
        """Manifest -> folders of units whose end has not been seen."""
        self._asked = self._heard = time.monotonic()

    def __enter__(self) -> Kubernetes:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    def submit(self, folders: Sequence[Path]) -> None:
        resources = self._resources
        chunks = chunks_of(folders, resources.at_once, LONGEST)
        name = f"beampermit-{secrets.token_hex(4)}"
        room = self._work / ROOM / name
        room.mkdir(parents=True, mode=0o700)
        for number, chunk in enumerate(chunks):
            write_task(
                room / f"task-{number}.json",
                chunk,
                cores=resources.cores,
                gpus=resources.gpus,
                seconds=resources.time,
                bundle=resources.bundle,
            )
        file = room / MANIFEST
        write_text(file, manifest(resources, name, room, len(folders), len(chunks), self._mount))
        self._jobs[file] = dict.fromkeys(folders)
        self._heard = time.monotonic()
        if resources.kubernetes.apply:
            self._kubectl("apply", "-f", str(file))
        else:
            _say(f"run: {self._typed('apply', file)}")

    def ended(self, wait: float) -> Mapping[Path, str]:
        last = time.monotonic() + wait
        while True:
            ended = {folder: "" for folders in self._jobs.values() for folder in folders if (folder / ENDED).exists()}
            if self._resources.kubernetes.apply and time.monotonic() > self._asked + ASK:
                ended = {**self._ask(), **ended}
            for folders in self._jobs.values():
                for folder in ended:
                    folders.pop(folder, None)
            if ended:
                self._heard = time.monotonic()
            if ended or (left := last - time.monotonic()) <= 0:
                return ended
            time.sleep(min(left, LOOK))

    def waiting(self) -> str:
        open_ = {file: folders for file, folders in self._jobs.items() if folders}
        unbegun = (file for file, folders in open_.items() if not any((one / RUNNING).exists() for one in folders))
        file = next(unbegun, None)
        begun = f"no pod of {file.parent.name} has begun" if file else ""
        return ", ".join(filter(None, (begun, self._to_look_at([*open_]))))

    def _to_look_at(self, files: Sequence[Path]) -> str:
        """Without `apply` nobody asks Kubernetes: a pod that failed for good looks like one that works."""
        silent = time.monotonic() - self._heard
        if self._resources.kubernetes.apply or not files or silent < SILENT:
            return ""
        return (
            f"no unit has ended for {silent / 60:.0f} min: {self._typed('get', files[0])} shows whether the job has "
            "failed; then press Ctrl-C, and type this command again"
        )

    def cancel(self) -> None:
        for file in [file for file, folders in self._jobs.items() if folders]:
            if self._resources.kubernetes.apply:
                with suppress(Outside):
                    self._kubectl("delete", "--ignore-not-found", "--wait=false", "-f", str(file))
            else:
                _say(f"to end what runs: {self._typed('delete', file)}")
        self._jobs.clear()

    def _ask(self) -> dict[Path, str]:
        """Units of jobs that are over without them."""
        self._asked = time.monotonic()
        lost: dict[Path, str] = {}
        for file, folders in self._jobs.items():
            if not folders:
                continue
            name = file.parent.name
            with suppress(Outside, ValueError, TypeError, AttributeError):  # it answers another time
                said = json.loads(self._kubectl("get", "job", name, "--ignore-not-found", "-o", "json").out or "{}")
                if reason := over(said):
                    lost |= dict.fromkeys(folders, f"the job {name} {reason}; see kubectl describe job {name}")
        return lost

    def _typed(self, verb: str, file: Path) -> str:
        return shlex.join(["kubectl", *self._namespace(), verb, "-f", str(file)])

    def _namespace(self) -> list[str]:
        namespace = self._resources.kubernetes.namespace
        return ["--namespace", namespace] if namespace else []

    def _kubectl(self, *words: str) -> Finished:
        """Raises `Outside` with what it says."""
        finished = run(["kubectl", *self._namespace(), *words], cwd=self._work, timeout=PATIENCE)
        if finished.code:
            raise Outside(f"kubectl {words[0]}: {finished.tail[:500]}")
        return finished


def over(said: dict[str, Any]) -> str:
    """Why a job, as Kubernetes describes it, does nothing more; empty where it goes on."""
    if not said:
        return "is gone: somebody deleted it"
    conditions = (said.get("status") or {}).get("conditions") or ()
    for one in conditions:
        if one.get("type") in ("Complete", "Failed") and one.get("status") == "True":
            words = " ".join(str(one.get("message") or one["type"]).split())[:300]
            return f"is over: {words}"
    return ""


def manifest(resources: Resources, name: str, room: Path, units: int, tasks: int, mount: Path) -> str:
    """The Indexed Job: a pod for each task of `room`, which does its units one after the other."""
    pods = resources.kubernetes
    limits = [f'memory: "{resources.memory}"'] if resources.memory else []
    limits += [f"nvidia.com/gpu: {resources.gpus}"] if resources.gpus else []
    return (
        _environment()
        .get_template("job.yaml.j2")
        .render(
            resources=resources,
            pods=pods,
            name=name,
            room=str(room),
            file=shlex.quote(str(room / MANIFEST)),
            units=counted(units, "unit"),
            tasks=tasks,
            at_once=min(tasks, resources.at_once or tasks),
            mount=str(mount),
            limits=limits,
            user=os.getuid(),
            group=os.getgid(),
        )
    )


def _mount(resources: Resources, work: Path) -> Path:
    """Where pods have the volume: the folder of work lies in it, at the same path as here."""
    pods = resources.kubernetes
    for key in ("image", "claim"):
        if not getattr(pods, key):
            raise BadInput(
                f"--on kubernetes needs kubernetes.{key}, such as `kubernetes: {{image: ..., claim: ...}}`",
                file=configuration_file(),
            )
    if os.getuid() == 0:
        raise BadInput("pods run as the user who submits, and never as root: log in as another user")
    mount = Path("/" + os.path.normpath(pods.mount).lstrip("/")) if pods.mount else work
    if str(mount) in TAKEN:
        raise BadInput(
            f"the volume would be mounted at {mount}, where pods have a folder of their own: set kubernetes.mount to "
            "another one",
            file=configuration_file(),
        )
    if not work.is_relative_to(mount):
        raise BadInput(
            f"the folder of work is {work}, and the volume is mounted at {mount}: give --work a folder in it"
        )
    if any("\n" in str(path) or "$" in str(path) for path in (work, mount)):
        raise BadInput(
            "the folder of work has a line break or a $ in its name, which a manifest cannot have", file=work
        )
    return mount


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


@cache
def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("beampermit.compute", "templates"),
        autoescape=False,  # noqa: S701 - YAML: names fit a pattern, other text is written as JSON
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
