"""The demo's folder, and how it runs the commands that a person would type."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from beampermit.errors import BadInput, BeampermitError
from beampermit.processes import Finished, stop
from beampermit.progress import Progress, silent

MARK = ".beampermit-demo"
PROJECT = "bpm-faults"
IDENTITY = {"name": "Demo Operator", "email": "demo@lab.example"}


class UnexpectedError(BeampermitError):
    """A command of the demo did not have the expected exit code."""

    exit_code = 1


@dataclass(frozen=True)
class Stage:
    root: Path
    progress: Progress = silent

    @classmethod
    def prepare(cls, root: Path, progress: Progress = silent) -> Stage:
        """Make an empty folder. One that an earlier demo made is replaced; any other is refused."""
        root = root.resolve()
        if root.exists() and any(root.iterdir()) and not (root / MARK).is_file():
            raise BadInput(
                "this folder is not empty, and was not made by a demo",
                file=root,
                hint="make demo DEMO_DIR=../beampermit-demo",
            )
        if root.exists():
            shutil.rmtree(root)
        root.mkdir(parents=True)
        (root / MARK).write_text("Made by `beampermit demo`, which removes this folder when it is run again.\n")
        return cls(root, progress)

    @classmethod
    def played(cls, root: Path, progress: Progress = silent) -> Stage:
        """The folder of a demo that was played to its end. Raises `BadInput`."""
        stage = cls(root.resolve(), progress)
        if not (stage.root / MARK).is_file() or not (stage.documents / "runbook.html").is_file():
            hint = f"beampermit demo --dir {shlex.quote(str(stage.root))}"
            raise BadInput("no demo was played here to its end", file=stage.root, hint=hint)
        return stage

    @property
    def project(self) -> Path:
        return self.root / PROJECT

    @property
    def origin(self) -> Path:
        """The bare repository in the role of GitHub's."""
        return self.root / "origin.git"

    @property
    def documents(self) -> Path:
        return self.root / "documents"

    @property
    def key(self) -> Path:
        return self.root / "keys/permit.key"

    @property
    def log(self) -> Path:
        """The output of all commands."""
        return self.root / "demo.log"

    @property
    def environment(self) -> dict[str, str]:
        """Variables that a laptop or a runner would have."""
        return {
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.root / 'mlflow.db'}",
            "BEAMPERMIT_SIGNING_KEY": str(self.key),
            "GIT_CONFIG_COUNT": str(len(IDENTITY)),
            **{f"GIT_CONFIG_KEY_{number}": f"user.{key}" for number, key in enumerate(IDENTITY)},
            **{f"GIT_CONFIG_VALUE_{number}": value for number, value in enumerate(IDENTITY.values())},
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "COLUMNS": "200",
        }

    def results(self) -> dict[str, Path]:
        """Name -> path of what to look at afterwards."""
        documents = {path.stem.replace("-", " "): path for path in sorted(self.documents.glob("*.html"))}
        return {
            **documents,
            "project": self.project,
            "registry": self.root / "mlflow.db",
            "log": self.log,
        }

    def commands(self) -> list[str]:
        """Commands to explore further."""
        variables = {
            "PATH": f"{shlex.quote(str(Path(sys.executable).parent))}:$PATH",
            "MLFLOW_TRACKING_URI": shlex.quote(self.environment["MLFLOW_TRACKING_URI"]),
            "BEAMPERMIT_SIGNING_KEY": shlex.quote(str(self.key)),
        }
        return [
            f"cd {shlex.quote(str(self.project))}",
            *(f"export {name}={value}" for name, value in variables.items()),
            "beampermit check        # every interlock on this machine",
            "beampermit history      # the ledger as a table",
            "beampermit --help       # all commands",
        ]

    def keep(self, artifact: str, name: str) -> Path:
        """Copy an artifact of the last rehearsal to the documents."""
        newest = max((self.project / ".beampermit/rehearsals").iterdir())
        file = newest / "artifacts" / artifact
        if not file.is_file():
            raise UnexpectedError(f"the workflow did not make {artifact}", file=newest, hint=f"ls {newest / 'jobs'}")
        self.documents.mkdir(exist_ok=True)
        return Path(shutil.copy(file, self.documents / name))

    def beampermit(self, *arguments: str, expect: int = 0, env: Mapping[str, str] | None = None) -> Finished:
        return self.run("beampermit", *arguments, expect=expect, env=env)

    def git(self, *arguments: str) -> Finished:
        return self.run("git", *arguments)

    def run(
        self, *command: str, cwd: Path | None = None, expect: int = 0, env: Mapping[str, str] | None = None
    ) -> Finished:
        """Run a command in the project and log its output. Raises `UnexpectedError` unless it exits with `expect`."""
        self.progress(f"$ {shlex.join(command)}")
        folder = cwd or (self.project if self.project.is_dir() else self.root)
        start = time.perf_counter()
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"\n$ {shlex.join(command)}\n")
            finished = self._follow(command, folder, log, env or {})
            log.write(f"[exit {finished.code}, {time.perf_counter() - start:.1f} s]\n")
        if finished.code != expect:
            raise UnexpectedError(
                f"`{shlex.join(command)}` ended with exit code {finished.code}, not {expect}: {finished.tail}",
                file=self.log,
                hint=f"less +G {self.log}",
            )
        return finished

    def _follow(self, command: Sequence[str], folder: Path, log: IO[str], env: Mapping[str, str]) -> Finished:
        child = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **self.environment, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        lines: list[str] = []
        try:
            for line in child.stdout or ():
                lines.append(line)
                log.write(line)
                self.progress(line.rstrip())
            code = child.wait()
        finally:
            if child.poll() is None:
                with suppress(OSError):
                    stop(child)
        return Finished(command=tuple(command), code=code, out="".join(lines), err="")
