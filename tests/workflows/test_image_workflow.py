"""The workflow that builds the service as an image: who may what, what Docker is told, and what the ledger says then.

There is no Docker here that builds: a program of its name notes what it is told, and writes what buildx would.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from beampermit.digest import digest_bytes
from beampermit.permit import keys
from beampermit.project import Project
from beampermit.rehearsal import rehearse, stage
from beampermit.rehearsal.plan import make_plan
from beampermit.rehearsal.rehearse import FILES
from support.forked_commands import executable
from support.image_registry import Images, images
from support.paths import ROOT
from support.registry_project import Laboratory, database, laboratory, prepared
from support.rehearsals import lend_checker, log_of

__all__ = ["database", "images", "laboratory", "prepared"]
WORKFLOW = ".github/workflows/ml-image.yml"
RELEASE = ROOT / "template/{{cookiecutter.project_slug}}" / FILES["release"]
ACTION = ROOT / "actions/image"
COMMIT, DIGEST = "a" * 40, digest_bytes(b"image")
DOCKER = """\
#!/bin/sh
echo "$@" >> {notes}
case "$*" in
  login*) cat > {login} ;;
  *build\\ --builder*) {build} ;;
esac
"""
CALLER = """\
name: Image
on:
  push:
    branches: [main]
permissions: {}
jobs:
"""
Run = Callable[..., subprocess.CompletedProcess[str]]


def jobs(file: Path) -> dict[str, Any]:
    return YAML(typ="safe").load(file)["jobs"]


@pytest.fixture
def build(tmp_path: Path) -> Run:
    """Run the step that builds, with a `docker` that does `build` when it is to; `given` are variables."""
    (step,) = (one for one in jobs(ROOT / WORKFLOW)["build"]["steps"] if "run" in one)
    writes = 'for last in "$@"; do if [ "$before" = --metadata-file ]; then echo "$METADATA" > "$last"; fi; '
    folder = tmp_path / "bin"
    folder.mkdir()
    (tmp_path / "left").mkdir()

    def run(then: str = writes + 'before="$last"; done', **given: str) -> subprocess.CompletedProcess[str]:
        docker = folder / "docker"
        docker.write_text(DOCKER.format(notes=tmp_path / "notes", login=tmp_path / "login", build=then))
        docker.chmod(0o755)
        env = {
            "PATH": f"{folder}:{Path(sys.base_prefix, 'bin')}:/usr/bin:/bin",
            "TMPDIR": str(tmp_path / "left"),
            "METADATA": json.dumps({"containerimage.digest": DIGEST}),
            "IMAGE": "ghcr.io/lab/model",
            "VARIANT": "cuda",
            "PLATFORMS": "linux/amd64",
            "BUILDKIT": f"moby/buildkit@{DIGEST}",
            "SCANNER": f"scanner@{DIGEST}",
            "IMAGE_USERNAME": "ada",
            "IMAGE_PASSWORD": "s3cret",
            "GITHUB_SHA": COMMIT,
            "GITHUB_RUN_ID": "7",
            "GITHUB_SERVER_URL": "https://github.example",
            "GITHUB_REPOSITORY": "lab/project",
            "GITHUB_OUTPUT": str(tmp_path / "output"),
            "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
            **given,
        }
        command = [str(shutil.which("bash")), "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        return subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


@pytest.mark.slow
def test_the_commit_is_built_with_its_label_and_a_bill_and_no_login_stays(build: Run, tmp_path: Path) -> None:
    done = build()
    assert done.returncode == 0, done.stderr
    login, create, built, removed = (tmp_path / "notes").read_text().splitlines()
    assert login == "login --username ada --password-stdin ghcr.io"
    assert (tmp_path / "login").read_text() == "s3cret\n"
    assert f"--driver docker-container --driver-opt image=moby/buildkit@{DIGEST}" in create
    for words in (
        "--target serve",
        "--push",
        f"--label org.opencontainers.image.revision={COMMIT}",
        f"--attest type=sbom,generator=scanner@{DIGEST}",
        f"--tag ghcr.io/lab/model:{COMMIT}",
        "--build-arg VARIANT=cuda",
    ):
        assert words in built
    assert removed == "buildx rm --force beampermit-7-1"
    assert (tmp_path / "output").read_text() == f"image=ghcr.io/lab/model@{DIGEST}\n"
    assert list((tmp_path / "left").iterdir()) == []
    assert "s3cret" not in (tmp_path / "notes").read_text() + done.stdout + done.stderr


def test_a_build_that_fails_names_no_image_and_leaves_nothing(build: Run, tmp_path: Path) -> None:
    assert build("exit 3").returncode == 3
    assert not (tmp_path / "output").exists()
    assert (tmp_path / "notes").read_text().splitlines()[-1].startswith("buildx rm ")
    assert list((tmp_path / "left").iterdir()) == []


def test_another_registry_needs_an_account_of_its_own(build: Run, tmp_path: Path) -> None:
    done = build(IMAGE="images.lab.example/model", IMAGE_PASSWORD="")
    assert done.returncode == 1
    assert "set the secrets IMAGE_USERNAME and IMAGE_PASSWORD" in done.stderr
    assert not (tmp_path / "notes").exists()
    for job in jobs(ROOT / WORKFLOW).values():
        given = [part for step in job["steps"] for part in (step.get("env"), step.get("with")) if part]
        (password,) = (part[name] for part in given for name in ("IMAGE_PASSWORD", "password") if name in part)
        assert "(startsWith(inputs.image, 'ghcr.io/') && github.token)" in password, "it goes nowhere else"


def test_who_runs_the_containerfile_sees_no_key_and_who_signs_runs_nothing_of_the_project() -> None:
    build, record = (jobs(ROOT / WORKFLOW)[name] for name in ("build", "record"))
    assert "SIGNING_KEY" not in json.dumps(build)
    assert build["permissions"] == {"contents": "read", "packages": "write"}
    assert record["permissions"] == {"contents": "write", "packages": "read"}
    assert (build["environment"], record["environment"]) == ("image", "production")
    used = [step["uses"].partition("@")[0].rpartition("/")[2] for step in record["steps"]]
    assert used == ["checkout", "setup", "image"]
    assert set(record["steps"][1]["with"]) == {"fresh"}, "the project's environment is not installed"


@pytest.mark.slow
def test_a_project_that_names_no_image_has_no_such_jobs(tmp_path: Path) -> None:
    own, artifacts = stage.lay_out(tmp_path / "own"), stage.lay_out_artifacts(tmp_path / "artifacts")
    file = tmp_path / FILES["release"]
    file.parent.mkdir(parents=True)
    for image, expected in (('""', []), ("ghcr.io/lab/model", ["image / build", "image / record"])):
        file.write_text(RELEASE.read_text().replace('image: ""', f"image: {image}"))
        names = {job.name: job for job in make_plan(tmp_path, FILES["release"], own, artifacts).jobs}
        assert [name for name in names if name.startswith("image")] == expected
    assert {"release / promote", "image / build"} <= set(names["image / record"].needs)
    assert "release / promote" in names["image / build"].needs, "built of what was promoted"
    assert "image" not in json.dumps(jobs(RELEASE.with_name("pull-request.yml")))


@pytest.mark.slow
def test_the_action_records_what_the_registry_holds(laboratory: Laboratory, images: Images, tmp_path: Path) -> None:
    laboratory.promote()
    (step,) = YAML(typ="safe").load(ACTION / "action.yml")["runs"]["steps"]
    (tmp_path / "bin").mkdir()
    executable(tmp_path / "bin")

    def run(image: str, **given: str) -> subprocess.CompletedProcess[str]:
        env = {
            **os.environ,
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
            "GITHUB_ACTION_PATH": str(ACTION),
            "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
            "IMAGE": image,
            keys.VARIABLE: laboratory.key.read_text(),
            **given,
        }
        command = [str(shutil.which("bash")), "-eo", "pipefail", "-c", step["run"]]
        return subprocess.run(command, cwd=laboratory.root, env=env, capture_output=True, text=True, check=False)

    reference = images.push(laboratory.project.git.head())
    assert run(reference).returncode == 0
    assert (laboratory.last().event, laboratory.last().image) == ("image", reference)
    assert f"recorded: {reference} holds version 1" in (tmp_path / "summary").read_text()
    assert "A rehearsal records no image." in run("", ACT="true").stdout
    assert run("").returncode == 2, "on GitHub, an image that was not built is an error"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_rehearsal_goes_through_both_jobs_and_pushes_nothing(
    laboratory: Laboratory, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    lend_checker(tmp_path_factory, monkeypatch)
    laboratory.promote()
    file = laboratory.root / ".github/workflows/image.yml"
    file.parent.mkdir(parents=True, exist_ok=True)
    _, _, job = RELEASE.read_text().partition("  image:\n")
    job = job.replace("    needs: [release]\n", "").replace('image: ""', "image: ghcr.io/lab/model")
    file.write_text(f"{CALLER}  image:\n{job}")
    laboratory.change(2)
    monkeypatch.setenv(keys.VARIABLE, str(laboratory.key))
    found = rehearse(Project(laboratory.root), "release", workflow=".github/workflows/image.yml", timeout=240)
    assert found.ok, found.failed
    assert "A rehearsal builds and pushes no image." in log_of(found, "image / build")
    assert "A rehearsal records no image." in log_of(found, "image / record")
    assert laboratory.events() == [("promote", 1)]
