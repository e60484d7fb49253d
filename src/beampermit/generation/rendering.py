"""Generate a project beside its place and move it there when it is complete."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from beampermit.environments.addresses import addresses
from beampermit.environments.choice import backend_of
from beampermit.environments.recording import record
from beampermit.errors import BadInput, Failed, Outside
from beampermit.generation.answers import complete
from beampermit.generation.template import template_folder
from beampermit.git import Git
from beampermit.processes import run
from beampermit.progress import Progress, silent


def generate(
    output_dir: Path,
    answers: Mapping[str, str],
    *,
    lock: bool | Literal["try"] = False,
    progress: Progress = silent,
    warn: Callable[[str], None] = lambda _: None,
) -> Path:
    """Make a project in a new folder of `output_dir`, called after its slug; give the folder.

    `answers` need not be complete: the template's defaults stand for the others. With `lock` its environment is
    locked, and the indexes that the lock names are written into its contract. `lock="try"` goes on without where no
    index or channel can be reached. `watch` is told what goes on, `warn` what is left to do by hand.

    Raises `BadInput` before anything is written for an answer that cannot be used or a folder that exists; `Outside`
    when locking fails, with nothing left behind.
    """
    full = complete(answers)
    output_dir = output_dir.resolve()
    target = output_dir / full["project_slug"]
    if target.exists() or target.is_symlink():
        raise BadInput("this folder exists", file=target, hint="beampermit new --answer project_slug=ANOTHER-NAME")
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output_dir, prefix=".beampermit-new-") as temporary:
            project = _render(Path(temporary), full, warn)
            if lock:
                _lock(project, progress, None if lock is True else warn)
            project.rename(target)
    except OSError as error:
        raise BadInput(f"no project can be written: {error.strerror}", file=target) from None
    return target


def _render(folder: Path, answers: dict[str, str], warn: Callable[[str], None]) -> Path:
    """Run cookiecutter as anyone would, apart from the user's own configuration of it."""
    config = folder / "cookiecutter.yaml"
    config.write_text(f'replay_dir: "{folder / "replay"}"\ncookiecutters_dir: "{folder / "cookiecutters"}"\n')
    words = [f"{key}={value}" for key, value in answers.items()]
    command = (sys.executable, "-m", "cookiecutter", "--no-input", "--config-file", config, "--output-dir", folder)
    finished = run([*command, template_folder(), *words], cwd=folder)
    if finished.code:
        raise Outside(f"cookiecutter: {finished.tail}")
    for line in finished.err.splitlines():
        warn(line)
    return folder / answers["project_slug"]


def _lock(project: Path, progress: Progress, warn: Callable[[str], None] | None) -> None:
    """Lock the environment and say so in the contract, as a commit of its own where there can be commits.

    Where that fails and somebody is there to `warn`, the project stays without a lock.
    """
    try:
        found = backend_of(project).lock(project, progress=progress)
    except (Outside, Failed) as error:
        if warn is None:
            raise
        warn(f"The project is complete, but not locked: {error.message}")
        warn("  then, where its packages can be reached: beampermit env lock")
        return
    record(project, addresses(found))
    git = Git(project)
    if git.resolve("HEAD"):
        git("add", "--all")
        git("commit", "--quiet", "--no-verify", "--message", "Lock the environment")
