"""Generate a project in a temporary folder and move it to its place when it is complete."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from beampermit.environments.addresses import addresses
from beampermit.environments.choice import backend_of
from beampermit.environments.recording import record_indexes
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
    """Generate a project in a new folder of `output_dir`, named after its slug; returns the folder.

    The template's defaults complete `answers`. `lock` locks the environment and writes the indexes of the lock into the
    contract; `lock="try"` continues without a lock where no index or channel can be reached. `warn` receives what is
    left to do by hand.

    Raises `BadInput` for an invalid answer or an existing folder, before anything is written; `Outside` when locking
    fails, with nothing left behind.
    """
    all_answers = complete(answers)
    output_dir = output_dir.resolve()
    target = output_dir / all_answers["project_slug"]
    if target.exists() or target.is_symlink():
        raise BadInput(
            "this folder already exists", file=target, hint="beampermit new --answer project_slug=ANOTHER-NAME"
        )
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output_dir, prefix=".beampermit-new-") as temporary:
            project = _render(Path(temporary), all_answers, warn)
            if lock:
                _lock(project, progress, None if lock is True else warn)
            project.rename(target)
    except OSError as error:
        raise BadInput(f"the project cannot be written: {error.strerror}", file=target) from None
    return target


def _render(folder: Path, answers: dict[str, str], warn: Callable[[str], None]) -> Path:
    """Run cookiecutter without the user's configuration of it."""
    config = folder / "cookiecutter.yaml"
    config.write_text(f'replay_dir: "{folder / "replay"}"\ncookiecutters_dir: "{folder / "cookiecutters"}"\n')
    context = [f"{key}={value}" for key, value in answers.items()]
    command = (sys.executable, "-m", "cookiecutter", "--no-input", "--config-file", config, "--output-dir", folder)
    finished = run([*command, template_folder(), *context], cwd=folder)
    if finished.code:
        raise Outside(f"cookiecutter: {finished.tail}")
    for line in finished.err.splitlines():
        warn(line)
    return folder / answers["project_slug"]


def _lock(project: Path, progress: Progress, warn: Callable[[str], None] | None) -> None:
    """Lock the environment, write its indexes into the contract and commit both where commits are possible.

    Where that fails, call `warn`, or raise if it is None.
    """
    try:
        lock = backend_of(project).lock(project, progress=progress)
    except (Outside, Failed) as error:
        if warn is None:
            raise
        warn(f"The project is complete, but its environment is not locked: {error.message}")
        warn("  when the packages can be reached: beampermit env lock")
        return
    record_indexes(project, addresses(lock))
    git = Git(project)
    if git.resolve("HEAD"):
        git("add", "--all")
        git("commit", "--quiet", "--no-verify", "--message", "Lock the environment")
