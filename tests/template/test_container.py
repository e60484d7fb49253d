"""The generated Containerfile: its steps are run here as commands, where no engine is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from beampermit.deployment.command import PROGRAM
from beampermit.environments.environment import Environment
from beampermit.environments.uv import Uv
from beampermit.generation.template import questions
from beampermit.project import Project
from beampermit.rehearsal.runner import lay_out_programs
from support.filled_projects import project_to_read

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


def instructions(root: Path) -> list[list[tuple[str, str]]]:
    """Per stage: instruction and its words, continued lines joined."""
    text = (root / "Containerfile").read_text().replace("\\\n", " ")
    lines = [line.split(" ", 1) for line in text.splitlines() if line and not line.startswith("#")]
    stages: list[list[tuple[str, str]]] = []
    for word, rest in lines:
        if word == "FROM":
            stages.append([])
        stages[-1].append((word, rest))
    return stages


def stage(root: Path, name: str = "") -> list[tuple[str, str]]:
    """The instructions of the stage with this name; without one, of the last."""
    stages = instructions(root)
    return next((one for one in stages if one[0][1].endswith(f" AS {name}")), stages[-1])


@pytest.mark.parametrize(
    "answers", [{"python_version": one} for one in questions()["python_version"]] + [{"environment": "uv"}], ids=str
)
def test_stages_on_one_pinned_base_and_nobody_is_root(
    answers: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = project_to_read(tmp_path_factory, answers)
    *_, last = instructions(root)
    bases = {one[0][1].partition(" ")[0] for one in instructions(root)}
    assert len(bases) == 1
    assert re.fullmatch(rf"python:{answers.get('python_version', '3.11')}-\S+@sha256:[0-9a-f]{{64}}", bases.pop())
    words = dict(last)
    # Without RUN and ADD nothing in the last stage can reach a network.
    assert {"RUN", "ADD"}.isdisjoint(words)
    assert words["USER"] == "10001:10001"
    assert "--from=environment /opt/environment /opt/environment" in [rest for word, rest in last if word == "COPY"]


def test_the_service_runs_the_checker_with_the_extra_as_nobody_in_particular(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    root = project_to_read(tmp_path_factory, {})
    made, served = stage(root, "server"), stage(root, "serve")
    assert "LIVE=true" in dict(made)["ENV"]
    words = dict(served)
    assert words["USER"] == "10001:10001"
    assert words["ENTRYPOINT"] == f'["{PROGRAM}", "serve"]'
    copied = [rest.split()[-1] for word, rest in served if word == "COPY"]
    assert copied == ["/opt/beampermit", "/opt/environment"], "neither the code nor the data of the project"
    assert not any(re.search(r"gcc|build-essential|\bmake\b", rest) for _, rest in served)
    pod = yaml.safe_load((root / "deploy/kubernetes.yaml").read_text())["spec"]["template"]["spec"]
    assert [container["command"] for container in pod["containers"]] == [[PROGRAM, "serve"], [PROGRAM, "monitor"]]


def test_hadolint_has_nothing_to_say(tmp_path_factory: pytest.TempPathFactory) -> None:
    root = project_to_read(tmp_path_factory, {})
    done = subprocess.run(
        [Path(sys.executable).parent / "hadolint", root / "Containerfile"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_steps_make_the_environment_of_the_lock(trained_copy: Project, tmp_path: Path) -> None:
    image, bin = tmp_path / "image", tmp_path / "bin"
    lay_out_programs(bin)
    image.mkdir()
    env = {**os.environ, "PATH": f"{bin}:/usr/bin:/bin"}
    env.pop("BEAMPERMIT_ENVIRONMENT")
    first, last = stage(trained_copy.root, "environment"), stage(trained_copy.root)

    def inside(words: str) -> str:
        return re.sub(r"(?<![\w.])/(opt|srv)/", rf"{image}/\1/", words)

    def play(steps: list[tuple[str, str]], workdir: Path) -> Path:
        for word, rest in steps:
            if (
                word == "ADD"
            ):  # The commit that is pinned may be older than what is tested: this checkout stands for it.
                for part in (
                    "src",
                    "template",
                    "actions",
                    ".github",
                    "cookiecutter.json",
                    "pyproject.toml",
                    "requirements.lock",
                ):
                    place = Path(inside(rest.split()[-1])) / part
                    place.parent.mkdir(parents=True, exist_ok=True)
                    (shutil.copytree if (ROOT / part).is_dir() else shutil.copyfile)(ROOT / part, place)
            elif word == "ENV":
                env.update(pair.split("=", 1) for pair in inside(rest).split())
                env["UV_COMPILE_BYTECODE"] = "0"  # byte code of torch takes a minute, and proves nothing
                env["UV_LINK_MODE"] = "hardlink"
            elif word == "ARG":
                env[rest.partition("=")[0]] = rest.partition("=")[2].strip('"')
            elif word == "WORKDIR":
                workdir = Path(inside(rest))
                workdir.mkdir(parents=True)
            elif word == "COPY":
                shutil.copytree(
                    trained_copy.root, workdir, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".git", ".venv")
                )
            elif word == "RUN":
                done = subprocess.run(
                    ["/bin/sh", "-c", inside(rest)], cwd=workdir, env=env, capture_output=True, text=True, check=False
                )
                assert done.returncode == 0, done.stdout + done.stderr
        return workdir

    workdir = play(first, image)
    prefix = image / "opt/environment"
    assert Uv().installed(Uv().read(workdir), prefix) == ()
    command = [part.strip('" ') for part in dict(last)["CMD"].strip("[]").split(",", 1)]
    assert Environment(prefix).run(command, project=workdir).code == 0
    (image / "opt/path").unlink()  # of the stage before
    (image / "opt/source").symlink_to(image / "opt/beampermit")
    play(stage(trained_copy.root, "server")[2:], image)
    source = (image / "opt/beampermit/bin/beampermit").resolve().parents[1]
    code = "from beampermit.live.extra import require_live; require_live()"
    subprocess.run([source / "venv/bin/python", "-I", "-c", code], check=True)
    assert list(source.glob("source/src/beampermit/live/__pycache__/loop.*.pyc")), "a pod cannot write byte code"
