"""Finish the project: take the files of its example, remove what other answers need, set repository and runners, record
answers and template, make the first commit.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

ENVIRONMENT, ACCELERATOR = "{{ cookiecutter.environment }}", "{{ cookiecutter.accelerator }}"
EXAMPLE, LIBRARY = "{{ cookiecutter.example }}", "{{ cookiecutter['library'] }}"
EXAMPLES, LIBRARIES = Path("_examples"), "_libraries"
SHARED = {"table": "_scalars", "injector-surrogate": "_scalars"}
"""Example -> the folder that it has in common with others: of models with scalars as inputs and outputs."""
GPU_RUNNER = "{{ cookiecutter.gpu_runner }}" if ACCELERATOR == "cuda" else ""
GPU_TESTS = Path("tests/integration/test_gpu.py")
GPU = ("cuda.virtual-packages.yml",)
CONDA = ("environment.yml", "environment-dev.yml", "virtual-packages.yml", *GPU)
REPOSITORY = "{{ cookiecutter.beampermit_repository }}"
OURS = "beampermit/beampermit"
REMOTE = "{{ cookiecutter.dvc_remote }}"
STORES = ("s3://", "azure://", "gs://")
"""Remotes that a job can log in to as itself: STORE_LOGIN in Beampermit's docs/object-stores.md."""
COMMANDS = "git init -b main && git add --all && git commit -m 'A new project'"


def take_example(example: str, library: str) -> None:
    """Move the files of the example, and of its variant for the library, over those that every project has."""
    folders = [EXAMPLES / name for name in (SHARED.get(example), example) if name]
    for overlay in [path for folder in folders for path in (folder, folder / LIBRARIES / library)]:
        for file in [path for path in overlay.rglob("*") if path.is_file()]:
            place = file.relative_to(overlay)
            if place.parts[0] != LIBRARIES:
                place.parent.mkdir(parents=True, exist_ok=True)
                file.replace(place)
    shutil.rmtree(EXAMPLES)


def point_workflows_at(repository: str) -> None:
    """Replace Beampermit's repository by its mirror in every `uses:`; the pinned commit stays."""
    for file in [*Path(".github").rglob("*.yml"), *Path(".github").rglob("*.yaml")]:
        text = file.read_text(encoding="utf-8")
        file.write_text(re.sub(rf"(uses:\s*['\"]?){OURS}/", rf"\g<1>{repository}/", text), encoding="utf-8")


def name_gpu_runners(labels: list[str]) -> None:
    """Write the labels into the workflows; without any, or without torch, remove the tests that need a GPU."""
    if not labels or LIBRARY != "torch":
        GPU_TESTS.unlink()
    if not labels:
        return
    for name in ("pull-request", "release"):
        file = Path(f".github/workflows/{name}.yml")
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace('gpu-labels: ""', f"gpu-labels: '{json.dumps(labels)}'"), encoding="utf-8")


def give_jobs_their_identity() -> None:
    """Let the jobs that need the data ask GitHub for a token that says who they are."""
    for name in ("pull-request", "release"):
        file = Path(f".github/workflows/{name}.yml")
        text = re.sub(
            r"(\n    permissions:\n      contents: \w+ #.*\n)(    uses: .*/ml-(?:pull-request|release)\.yml@)",
            r"\1      id-token: write # to log in to the object store with the data\n\2",
            file.read_text(encoding="utf-8"),
        )
        file.write_text(text, encoding="utf-8")


def remove_unused_files() -> None:
    for name in CONDA if ENVIRONMENT == "uv" else GPU if ACCELERATOR == "cpu" else ():
        Path(name).unlink()


def record_pipeline() -> None:
    """Write the SHA-256 of each file of the pipeline, by which it is known later which of them a project has edited."""
    for folder in Path("src").glob("*/pipeline"):
        texts = {file.relative_to(folder).as_posix(): file.read_text(encoding="utf-8") for file in folder.rglob("*.py")}
        digests = {name: hashlib.sha256(texts[name].encode()).hexdigest() for name in sorted(texts)}
        record = {"files": {name: f"sha256:{digest}" for name, digest in digests.items()}}
        (folder / "digests.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8", newline="\n")


def answered() -> dict[str, str]:
    """The answers, and below names that begin with `_` what cookiecutter adds."""
    return json.loads(r"""{{ cookiecutter | tojson }}""")


def record_template(context: dict[str, str]) -> None:
    """Write what an update needs. `cruft` does not say where the template is, and writes its own record.

    cookiecutter gives its place as it was typed, and that may be relative to where it was started.
    """
    begun = [Path(os.environ.get("PWD", "/")), Path(context.get("_output_dir", "/"))]
    places = [folder / context["_repo_dir"] for folder in begun if context.get("_repo_dir")]
    for template in [place.resolve() for place in places if (place / "record.py").is_file()][:1]:
        runpy.run_path(str(template / "record.py"))["record"](Path.cwd(), template, context)


def git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)


def first_commit() -> str:
    """Make the first commit; returns what prevented it, or an empty text."""
    try:
        result = git("init", "--quiet", "--initial-branch", "main")
        if result.returncode == 0:
            result = git("add", "--all")
        if result.returncode == 0 and git("var", "GIT_AUTHOR_IDENT").returncode:
            return "git has no author: git config --global user.name NAME; git config --global user.email ADDRESS"
        if result.returncode == 0:
            result = git("commit", "--quiet", "--no-verify", "--message", "A new project")
    except OSError as error:
        return f"git cannot be run: {error}"
    return result.stderr.strip() if result.returncode else ""


if __name__ == "__main__":
    take_example(EXAMPLE, LIBRARY)
    remove_unused_files()
    name_gpu_runners(list(filter(None, GPU_RUNNER.split(","))))
    if REMOTE.startswith(STORES):
        give_jobs_their_identity()
    if REPOSITORY != OURS:
        point_workflows_at(REPOSITORY)
    record_pipeline()
    record_template(answered())
    # A render that an update merges, and throws away, needs no commit.
    problem = "" if answered().get("_uncommitted") else first_commit()
    if problem:
        sys.stderr.write(f"The project is complete, but has no first commit: {problem}\n  then: {COMMANDS}\n")
