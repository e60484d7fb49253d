"""The demo's folder, and how it runs the commands that a person would type."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from beampermit.errors import BadInput, BeampermitError
from beampermit.processes import Finished, stop
from beampermit.progress import Progress, silent

MARK = ".beampermit-demo"
PROJECT = "bpm-faults"
TRACKING = "MLFLOW_TRACKING_URI"
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
            TRACKING: f"sqlite:///{self.root / 'mlflow.db'}",
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
            TRACKING: shlex.quote(self.environment[TRACKING]),
            "BEAMPERMIT_SIGNING_KEY": shlex.quote(str(self.key)),
        }
        return [
            f"cd {shlex.quote(str(self.project))}",
            *(f"export {name}={value}" for name, value in variables.items()),
            "beampermit check        # every interlock on this machine",
            "beampermit history      # the ledger as a table",
            "beampermit --help       # all commands",
        ]

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
        return _expected(finished, expect, self.log)

    def start(self, *command: str, name: str) -> Running:
        """Run a command in the background; `name` is that of its two files: what it prints, and its log."""
        self.progress(f"$ {shlex.join(command)} &")
        log, printed = self.root / f"{name}.log", self.root / f"{name}.out"
        with log.open("w", encoding="utf-8") as err, printed.open("w", encoding="utf-8") as out:
            process = subprocess.Popen(
                command,
                cwd=self.project,
                env={**os.environ, **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        return Running(command, process, log, printed)

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


@dataclass(frozen=True)
class Running:
    """A command in the background: what it prints is in a file, what it says besides in its log."""

    command: tuple[str, ...]
    process: subprocess.Popen[bytes]
    log: Path
    printed: Path

    def printed_at_end(self, expect: int) -> str:
        """Wait for its end. Raises `UnexpectedError` unless it exits with `expect`."""
        code = self.process.wait()
        out, err = (file.read_text(encoding="utf-8", errors="replace") for file in (self.printed, self.log))
        return _expected(Finished(self.command, code, out, err), expect, self.log).out

    def close(self) -> None:
        """End it. A rehearsal removes what it made, which may take a while."""
        self.process.terminate()
        self.process.wait()


@contextmanager
def background() -> Iterator[dict[str, Running]]:
    """For commands that go on while other steps are played, by names; what still runs is ended."""
    running = dict[str, Running]()
    try:
        yield running
    finally:
        for one in running.values():
            one.close()


def _expected(finished: Finished, code: int, log: Path) -> Finished:
    if finished.code != code:
        raise UnexpectedError(
            f"`{shlex.join(finished.command)}` ended with exit code {finished.code}, not {code}: {finished.tail}",
            file=log,
            hint=f"less +G {log}",
        )
    return finished
