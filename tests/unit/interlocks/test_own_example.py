"""The example of `docs/own-interlocks.md`: built as a wheel, installed by `actions/setup`, run on a project."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from uv import find_uv_bin

from beampermit.interlocks.own.lock import FILE
from beampermit.project import Project
from support.archiver import Archiver, sample
from support.dvc_repositories import replace
from support.forked_commands import beampermit, executable
from support.own_interlocks import lock, locked
from support.package_index import Index, uv_settings
from support.paths import ROOT, module_at

__all__ = ["uv_settings"]
pytestmark = pytest.mark.slow
PAGE = ROOT / "docs/own-interlocks.md"
ARCHIVER = "http://archiver.lab.example:17668"


@dataclass
class Job:
    """A job on a runner: its project, and the variables of its steps."""

    project: Project
    index: Index
    archiver: Archiver
    line: str
    variables: dict[str, str]

    def set_up(self) -> None:
        """The step of `actions/setup`."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.variables.items():
                patch.setenv(name, value)
            patch.chdir(self.project.root)
            module_at(ROOT / "actions/setup/setup.py").interlocks()
        passed = Path(self.variables["GITHUB_ENV"]).read_text().splitlines()[-1]
        self.variables |= dict([passed.split("=", 1)])

    def check(self, *names: str) -> tuple[int, dict[str, dict[str, Any]], str]:
        """Exit status, verdicts by id, and what stderr says."""
        done = beampermit("check", *names, "--json", cwd=self.project.root, env=self.variables)
        said = json.loads(done.stdout)
        return done.returncode, {one["id"]: one for one in said} if isinstance(said, list) else {}, done.stdout


def blocks(text: str) -> Mapping[str, str]:
    """The first block of each language."""
    found: dict[str, str] = {}
    for language, body in re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL):
        found.setdefault(language, body)
    return found


@pytest.fixture(scope="module")
def archiver() -> Iterator[Archiver]:
    with Archiver().serve() as serving:
        yield serving


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, archiver: Archiver) -> Path:
    """What the page says, built as it says, with the address of the archiver here."""
    folder, found = tmp_path_factory.mktemp("package"), blocks(PAGE.read_text())
    assert ARCHIVER in found["python"]
    (folder / "pyproject.toml").write_text(found["toml"])
    module = folder / "src/lab_interlocks/__init__.py"
    module.parent.mkdir(parents=True)
    module.write_text(found["python"].replace(ARCHIVER, archiver.url))
    command = (find_uv_bin(), "build", "--quiet", "--wheel", "--offline", "--out-dir", "dist", ".")
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    (made,) = (folder / "dist").glob("*.whl")
    return made


@pytest.fixture
def job(
    uv_settings: Path, project: Project, wheel: Path, archiver: Archiver, tmp_path: Path, monkeypatch: Any
) -> Iterator[Job]:
    index = Index(tmp_path / "laboratory")
    (index.folder / "files").mkdir(parents=True)
    (index.folder / "files" / wheel.name).write_bytes(wheel.read_bytes())
    index.list("lab-interlocks")
    (tmp_path / "bin").mkdir()
    executable(tmp_path / "bin")
    replace(project.root / "contract.yaml", 'pv: "{device}:{plane}:TBT"', 'pv: "SR:C01:X"')
    archiver.samples.clear()
    variables = {
        **os.environ,
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "RUNNER_TOOL_CACHE": str(tmp_path / "tools"),
        "GITHUB_ENV": str(tmp_path / "GITHUB_ENV"),
    }
    line = locked(wheel)
    yield Job(lock(project, index, line), index, archiver, line, variables)
    index.close()


def test_a_signal_that_the_archiver_does_not_know_fails(job: Job) -> None:
    job.set_up()
    job.archiver.add("SR:C01:Y", [sample("2026-11-30T00:00:00+00:00", 1.0)])
    code, verdicts, _ = job.check("own", "GIT006")
    assert (code, verdicts["GIT006"]["outcome"]) == (1, "passed")
    said = verdicts["XAR001"]
    assert (said["outcome"], said["reason"], said["by"]) == (
        "failed",
        "the archiver does not know SR:C01:X",
        "lab-interlocks 1.0.0",
    )
    assert said["fix"] == "Ask the archiver's group to archive the PV, or correct its name in `contract.yaml`."
    assert said["evidence"] == {"unknown": ["SR:C01:X"]}

    job.archiver.add("SR:C01:X", [sample("2026-11-30T00:00:00+00:00", 1.0)])
    code, verdicts, _ = job.check("own")
    assert (code, verdicts["XAR001"]["reason"]) == (0, "the archiver knows 1 PVs")

    job.archiver.always = lambda handler: bool(handler.answer(b"no", 503)) or True
    code, verdicts, _ = job.check("own")
    job.archiver.always = None
    assert (code, verdicts["XAR001"]["outcome"]) == (4, "error"), "no answer proves nothing"
    assert "the archiver gives no answer about SR:C01:X: HTTP Error 503" in verdicts["XAR001"]["reason"]

    listed = beampermit("check", "--list", "own", cwd=job.project.root, env=job.variables)
    assert listed.stdout == "XAR001  Every signal is known to the archiver (lab-interlocks 1.0.0)\n"
    page = beampermit("check", "XAR", "--list", "--format", "markdown", cwd=job.project.root, env=job.variables)
    assert "## lab-interlocks 1.0.0\n\n### XAR001 Every signal is known to the archiver" in page.stdout


def test_a_package_that_is_not_the_locked_one_is_not_installed_and_no_permit_is_made(
    job: Job, capfd: pytest.CaptureFixture[str]
) -> None:
    wheel = next((job.index.folder / "files").iterdir())
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    job.index.list("lab-interlocks")
    job.set_up()
    out, err = capfd.readouterr()
    assert out.endswith("::error::the laboratory's own interlocks are not installed\n")
    assert "a package is not the one that was locked: " in err
    code, verdicts, _ = job.check("GIT006")
    assert (code, verdicts["GIT006"]["outcome"]) == (1, "failed")
    code, verdicts, said = job.check("own")
    assert (code, verdicts) == (1, {})
    assert "the protected branch asks for lab-interlocks 1.0.0, which is not installed here" in said
    (job.project.root / "verdicts").mkdir()
    refused = beampermit("permit", "assemble", "--verdicts", "verdicts", cwd=job.project.root, env=job.variables)
    assert refused.returncode == 1
    assert f"{FILE}: the protected branch asks for lab-interlocks 1.0.0" in refused.stderr


def test_where_there_is_nothing_to_install_the_step_passes(job: Job, capfd: pytest.CaptureFixture[str]) -> None:
    job.project.git("rm", "--quiet", FILE)
    job.project.git("commit", "--quiet", "--message", "None")
    job.set_up()
    said = "the protected branch asks for no interlocks of the laboratory's own\n"
    assert capfd.readouterr().out == said
    assert job.check("own")[:2] == (0, {})
