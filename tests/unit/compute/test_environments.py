"""What a worker does where the environment of a unit is not on its machine."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from beampermit.compute.collect import perform_all
from beampermit.compute.local import Local
from beampermit.compute.resources import Resources
from beampermit.compute.unit import Unit, prepare, read_ended, read_result
from beampermit.compute.worker import dealt, perform
from beampermit.environments import Environment, choice, installation
from beampermit.environments.environment import STAMP
from beampermit.environments.uv import Uv
from beampermit.project import Project
from support.kept_bytecode import keep_bytecode
from support.package_index import Index

QUIET = lambda *_: None  # noqa: E731


@pytest.fixture
def elsewhere(
    unit_of: Callable[..., Unit], uv_project: Project, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Unit:
    """A unit of a project whose environment lies at a path that this machine does not have."""
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(tmp_path / "cache"))
    keep_bytecode(tmp_path)
    for name in ("pyproject.toml", "uv.lock"):
        shutil.copy(uv_project.root / name, tree)
    shutil.copytree(uv_project.root / "wheels", tree / "wheels")
    lock = Uv().read(tree).digest
    return replace(unit_of(3, who=True), environment=Environment(tmp_path / "gone"), lock=lock)


def folder_of(unit: Unit, work: Path) -> Path:
    prepare(unit, unit.folder(work))
    return unit.folder(work)


@pytest.mark.slow
def test_it_is_installed_from_its_lock_once_a_machine(
    elsewhere: Unit, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[Path] = []
    build = installation._build

    def count(*arguments: object) -> None:
        built.append(arguments[2])  # type: ignore[arg-type]
        build(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(installation, "_build", count)
    said: list[str] = []

    def show(step: str, done: int = 0, total: int = 0, /) -> None:
        said.append(step)

    units = (replace(elsewhere, request={"x": x, "who": True}) for x in (3, 4))
    with Local(Resources(at_once=2)) as executor:
        results = [ended.result for ended in perform_all(units, executor, work, show)]
    assert sorted(result["x"] for result in results if result) == [9, 16]
    assert any("units: 2 submitted, " in step for step in said)  # what is installed
    prefixes = {result["python"] for result in results if result}
    assert prefixes == {str(tmp_path / "cache/environments" / built[0].name)}
    assert len(built) == 1


@pytest.mark.slow
def test_it_is_installed_from_a_bundle_without_a_network(
    elsewhere: Unit, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = elsewhere.tree
    assert tree
    made = Index(tmp_path / "own")
    for name, version in (("numbers", "1.0"), ("plotter", "1.0")):
        made.add(name, version)
    project = '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["plotter"]\n'
    (tree / "pyproject.toml").write_text(
        f'{project}[tool.uv]\npackage = false\n[[tool.uv.index]]\nurl = "{made.url}"\ndefault = true\n'
    )
    (tree / "uv.lock").unlink()
    lock = Uv().lock(tree, progress=QUIET)
    choice.bundle(tree, tmp_path / "bundle.tar", progress=QUIET)
    made.close()
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    unit = replace(elsewhere, lock=lock.digest)
    perform([folder_of(unit, work)], variables=dealt(1), bundle=str(tmp_path / "bundle.tar"))
    result = read_result(unit.folder(work))
    assert result
    assert result["python"].startswith(str(tmp_path / "cache"))


@pytest.mark.slow
def test_a_lock_that_is_another_one_is_refused(elsewhere: Unit, work: Path) -> None:
    unit = replace(elsewhere, lock="sha256:" + "0" * 64)
    perform([folder_of(unit, work)])
    body = read_ended(unit.folder(work))
    assert body
    assert f"uv.lock: the lock is {elsewhere.lock}, and the unit is for sha256:0000" in body["reason"]


def test_without_a_lock_it_has_to_be_there(elsewhere: Unit, work: Path) -> None:
    unit = replace(elsewhere, lock="")
    perform([folder_of(unit, work)])
    body = read_ended(unit.folder(work))
    assert body
    assert body["reason"] == "the unit's environment is not on this machine, and it has no lock to install it from"


@pytest.mark.slow
def test_an_environment_that_is_here_is_taken_while_it_is_of_the_lock(
    elsewhere: Unit, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was built from another lock since is not."""
    assert elsewhere.tree
    own = tmp_path / "own"
    lock = Uv().read(elsewhere.tree)
    Uv().install(elsewhere.tree, own, progress=QUIET)
    (own / STAMP).write_text(lock.stamp)
    here = replace(elsewhere, environment=Environment(own, ("LABORATORY",)))
    monkeypatch.setenv("LABORATORY", "north")
    perform([folder_of(here, work)])
    result = read_result(here.folder(work))
    assert result
    assert (result["python"], result["variables"]["LABORATORY"]) == (str(own), "north")
    before, after = (replace(here, request={"x": x, "who": True}) for x in (4, 5))
    folder_of(before, work)
    (own / STAMP).write_text("sha256:" + "1" * 64)
    perform([before.folder(work), folder_of(after, work)])
    for unit in (before, after):
        result = read_result(unit.folder(work))
        assert result
        assert result["python"].startswith(str(tmp_path / "cache"))
        assert result["variables"]["LABORATORY"] == "north"
