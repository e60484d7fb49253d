"""Which environment a version runs in."""

from __future__ import annotations

import sysconfig
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from beampermit.contract import parse_contract
from beampermit.environments import Environment, choice
from beampermit.environments.backend import Lock
from beampermit.environments.environment import STAMP, shared_environments
from beampermit.environments.installation import prefix_for, shared_prefix
from beampermit.environments.uv import Uv
from beampermit.errors import BadInput, Failed
from beampermit.live.promoted import Declared
from beampermit.live.promoted import environment as environments
from beampermit.live.promoted.environment import complete_environment, install_environment, machine_variant
from beampermit.permit.statement import BoundFile
from beampermit.progress import silent
from support.package_index import PYTHON, Index, uv_settings
from support.planted_processes import begin
from support.promoted_project import Followed
from support.registry_project import Laboratory
from support.tiny_model import TENSOR, saved

__all__ = ["uv_settings"]
TURNS = "def mean(turns):\n    return 1000 + turns.mean(axis=1)\n"
PROJECT = """\
[project]
name = "faults"
version = "1"
requires-python = "{python}"
dependencies = ["turns"]
[[tool.uv.index]]
url = "{index}"
default = true
"""
PATIENCE = 60.0
BOTH = "environment:\n  backend: uv\n  accelerators: [cpu, cuda]\n"


@pytest.fixture
def declared(followed: Followed) -> Declared:
    followed.promotions.look()
    return followed.promotions.declare(followed.promotions.champion())


def lock_with_turns(lab: Laboratory, folder: Path) -> Index:
    """What the next version runs in: another lock than that of version 1, whose package comes from this index."""
    index = Index(folder)
    index.add("turns", "1.0", files={"turns/__init__.py": TURNS, "turns.pth": f"{sysconfig.get_path('purelib')}\n"})
    (lab.root / "pyproject.toml").write_text(PROJECT.format(python=PYTHON, index=index.url))
    Uv().lock(lab.root, progress=silent)
    return index


def has_gpu() -> str:
    return "535.1"


def has_none() -> str:
    raise Failed("no GPU is visible: nvidia-smi is not on this machine")


def test_cuda_is_for_a_contract_that_has_it_on_a_machine_with_a_gpu(
    contract_text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = parse_contract(contract_text.replace("environment:\n  backend: uv\n", BOTH))
    for driver, variant in ((has_gpu, "cuda"), (has_none, "")):
        monkeypatch.setattr(environments, "driver_version", driver)
        assert machine_variant(both) == variant
        assert machine_variant(parse_contract(contract_text)) == ""


@pytest.mark.slow
def test_a_lock_for_one_kind_of_machine_needs_no_variant_unless_one_is_asked_for(
    followed: Followed, declared: Declared, contract_text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "driver_version", has_gpu)
    both = replace(declared, contract=parse_contract(contract_text.replace("environment:\n  backend: uv\n", BOTH)))
    git = followed.promotions.mirror.git
    environment, variant = install_environment(git, both, followed.wanted, silent)
    assert variant == ""
    assert environment.python.exists()
    with pytest.raises(BadInput, match="there is no extra 'cuda' for an accelerator"):
        install_environment(git, both, replace(followed.wanted, variant="cuda"), silent)


@pytest.mark.slow
def test_a_lock_that_the_permit_does_not_bind_is_not_installed(followed: Followed, declared: Declared) -> None:
    facts = declared.statement.predicate
    bound = BoundFile(file="conda-lock.yml", digest=facts.environment.digest)
    other = declared.statement.model_copy(update={"predicate": facts.model_copy(update={"environment": bound})})
    with pytest.raises(Failed, match="the permit does not bind this lock"):
        install_environment(followed.promotions.mirror.git, replace(declared, statement=other), followed.wanted, silent)


@pytest.mark.slow
def test_only_an_environment_in_which_nothing_was_changed_is_there_already(
    followed: Followed, declared: Declared, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(tmp_path))
    assert complete_environment(declared, followed.wanted) is None
    installed = install_environment(followed.promotions.mirror.git, declared, followed.wanted, silent)
    assert complete_environment(declared, followed.wanted) == installed
    (site,) = installed[0].prefix.glob("lib/python*/site-packages")
    (site / "sitecustomize.py").touch()  # each start of Python would run it
    assert complete_environment(declared, followed.wanted) is None
    (site / "sitecustomize.py").unlink()
    (installed[0].prefix / STAMP).write_text("sha256:0\n")
    assert complete_environment(declared, followed.wanted) is None


@pytest.mark.slow
def test_without_a_network_the_environment_comes_from_the_bundle_and_its_model_answers(
    followed: Followed, contract_text: str, uv_settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock has one package, which brings what the model computes with, and leads to MLflow of these tests."""
    assert uv_settings
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(tmp_path / "cache"))
    lab, bundle = followed.lab, tmp_path / "bundle.tar"
    index = lock_with_turns(lab, tmp_path / "index")
    choice.bundle(lab.root, bundle, progress=silent)
    index.close()
    # The model of version 2, which is on this machine: MLflow would take seconds to give it.
    saved(lab.root / "model", result='pd.DataFrame({"score": mean(turns)})', inputs=TENSOR.replace("3]", "250]"))
    (lab.root / "model/code/tiny.py").write_text("from turns import mean\n")
    monkeypatch.setattr(Laboratory, "model", lambda lab, _: lab.root / "model")
    followed.promote(2)

    without = Followed(lab, replace(followed.wanted, state=followed.wanted.state.with_name("without a bundle")))
    without.have_the_model()
    without.look()
    assert without.version == 0
    assert "127.0.0.1" in without.standings[-1].refused, "only from the bundle can the package come"
    without.promotions.close()

    serving = Followed(lab, replace(followed.wanted, state=tmp_path / "offline", bundle=bundle))
    serving.have_the_model()
    serving.look()
    assert serving.version == 2, serving.follower.standing
    (champion,) = serving.champions
    assert champion.environment.prefix.is_relative_to(tmp_path / "cache")
    served = begin(champion.folder, champion.contract, inside=champion.environment, verify=champion.verify)
    served.until_ready()
    asked = np.stack([np.full(250, 0.25), np.full(250, 0.5)])
    assert served.process.ask({"turns": asked})["score"].tolist() == [1000.25, 1000.5]
    served.process.close()
    serving.promotions.close()


@pytest.mark.slow
def test_the_environment_of_a_new_champion_is_made_beside_the_one_in_service(
    followed: Followed, uv_settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert uv_settings
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(tmp_path / "cache"))
    followed.have_the_model()
    followed.look()
    (first,) = followed.champions
    before = entries(first.environment)

    with closing(lock_with_turns(followed.lab, tmp_path / "index")):
        followed.promote(3)
        followed.have_the_model()
        installed, go_on = threading.Event(), threading.Event()

        def wait_before_the_stamp(step: str, *_: int) -> None:
            if step.startswith("comparing the installed packages"):
                installed.set()
                assert go_on.wait(PATIENCE)

        followed.follower._progress = wait_before_the_stamp
        followed.follower.look()
        assert installed.wait(PATIENCE), "version 2 is being prepared"
        try:
            followed.follower.look()
            assert (followed.follower.current, followed.follower.shows) == (first, first)
            beside = [prefix for prefix in shared_environments().iterdir() if prefix != first.environment.prefix]
            assert [has_turns(Environment(prefix)) for prefix in beside] == [True], "installed in a folder of its own"
            assert entries(first.environment) == before
            assert not has_turns(first.environment)
        finally:
            go_on.set()
        followed.look()

    assert followed.champions[0] is first
    assert [champion.version for champion in followed.champions] == [1, 2]
    assert [followed.champions[1].environment.prefix] == beside
    assert followed.begun == [], "neither was there already"
    assert entries(first.environment) == before, "nor is it taken away: version 1 shows until the other one answers"


def entries(environment: Environment) -> dict[Path, tuple[int, int]]:
    """Each file and folder, and whether it is the same one and was left alone."""
    stats = {path: path.lstat() for path in environment.prefix.rglob("*")}
    return {path: (stat.st_ino, stat.st_mtime_ns) for path, stat in stats.items()}


def has_turns(environment: Environment) -> bool:
    return any(environment.prefix.glob("lib/python*/site-packages/turns/__init__.py"))


def test_a_bundle_that_is_not_there_is_said(followed: Followed, declared: Declared, tmp_path: Path) -> None:
    wanted = replace(followed.wanted, bundle=tmp_path / "none")
    with pytest.raises(BadInput, match="there is no such bundle"):
        install_environment(followed.promotions.mirror.git, declared, wanted, silent)


def test_an_environment_of_the_machine_counts_where_it_is_of_the_same_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = Lock("uv.lock", f"sha256:{'4' * 64}", "", ())
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BEAMPERMIT_ENVIRONMENT", str(tmp_path))
    assert prefix_for(lock) == shared_prefix(lock)
    (tmp_path / STAMP).write_text(f"{lock.stamp}\n")
    assert prefix_for(lock) == tmp_path
    assert prefix_for(replace(lock, variant="cuda")) == shared_prefix(replace(lock, variant="cuda"))
