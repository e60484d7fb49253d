"""Finish the project: name the repository that workflows come from, and make it a git repository with a first commit."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

ENVIRONMENT, ACCELERATOR = "{{ cookiecutter.environment }}", "{{ cookiecutter.accelerator }}"
GPU_RUNNER = "{{ cookiecutter.gpu_runner }}" if ACCELERATOR == "cuda" else ""
GPU_TESTS = Path("tests/integration/test_gpu.py")
GPU = ("cuda.virtual-packages.yml",)
CONDA = ("environment.yml", "environment-dev.yml", "virtual-packages.yml", *GPU)
REPOSITORY = "{{ cookiecutter.beampermit_repository }}"
OURS = "beampermit/beampermit"
COMMANDS = "git init -b main && git add --all && git commit -m 'A new project'"


def point_workflows_at(repository: str) -> None:
    """Replace our repository by its mirror where a workflow uses it; the commit that is pinned stays."""
    for file in [*Path(".github").rglob("*.yml"), *Path(".github").rglob("*.yaml")]:
        text = file.read_text(encoding="utf-8")
        file.write_text(re.sub(rf"(uses:\s*['\"]?){OURS}/", rf"\g<1>{repository}/", text), encoding="utf-8")


def name_gpu_runners(labels: list[str]) -> None:
    """Write the labels into the workflows that judge; without any, there is no test that needs a GPU."""
    if not labels:
        GPU_TESTS.unlink()
        return
    for name in ("pull-request", "release"):
        file = Path(f".github/workflows/{name}.yml")
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace('gpu-labels: ""', f"gpu-labels: '{json.dumps(labels)}'"), encoding="utf-8")


def keep_one_environment() -> None:
    """Remove what the other answers are for."""
    for name in CONDA if ENVIRONMENT == "uv" else GPU if ACCELERATOR == "cpu" else ():
        Path(name).unlink()


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)


def first_commit() -> str:
    """Make the first commit; give what stood in the way, or nothing."""
    try:
        made = git("init", "--quiet", "--initial-branch", "main")
        if made.returncode == 0:
            made = git("add", "--all")
        if made.returncode == 0 and git("var", "GIT_AUTHOR_IDENT").returncode:
            return "git does not know who you are: git config --global user.name NAME; git config --global user.email ADDRESS"
        if made.returncode == 0:
            made = git("commit", "--quiet", "--no-verify", "--message", "A new project")
    except OSError as error:
        return f"git cannot be run: {error}"
    return made.stderr.strip() if made.returncode else ""


if __name__ == "__main__":
    keep_one_environment()
    name_gpu_runners(list(filter(None, GPU_RUNNER.split(","))))
    if REPOSITORY != OURS:
        point_workflows_at(REPOSITORY)
    problem = first_commit()
    if problem:
        sys.stderr.write(f"The project is complete, but has no first commit: {problem}\n  then: {COMMANDS}\n")
