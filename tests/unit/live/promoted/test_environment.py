"""Which environment a version runs in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from beampermit.contract import parse_contract
from beampermit.environments import Environment
from beampermit.environments.backend import Lock
from beampermit.environments.environment import STAMP
from beampermit.environments.installation import Installation, shared_prefix
from beampermit.environments.uv import Uv
from beampermit.errors import BadInput, Failed
from beampermit.live.promoted import Declared
from beampermit.live.promoted import environment as environments
from beampermit.live.promoted.environment import complete_environment, install_environment, machine_variant, prefix_for
from beampermit.permit.statement import BoundFile
from beampermit.progress import silent
from support.promoted_project import Followed

BOTH = "environment:\n  backend: uv\n  accelerators: [cpu, cuda]\n"


@pytest.fixture
def declared(followed: Followed) -> Declared:
    followed.promotions.look()
    return followed.promotions.declare(followed.promotions.champion())


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


def test_packages_come_from_the_bundle_where_one_is_named(
    followed: Followed, declared: Declared, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Path] = []

    def installs(backend: Uv, _: Path, prefix: Path, **others: object) -> Installation:
        asked.append(backend.bundle or tmp_path)
        return Installation(Environment(prefix), "", False, 0, 0.0)

    monkeypatch.setattr(environments, "install", installs)
    (tmp_path / "bundle").mkdir()
    wanted = replace(followed.wanted, bundle=tmp_path / "bundle")
    install_environment(followed.promotions.mirror.git, declared, wanted, silent)
    assert asked == [tmp_path / "bundle"]
    with pytest.raises(BadInput, match="there is no such bundle"):
        install_environment(followed.promotions.mirror.git, declared, replace(wanted, bundle=tmp_path / "none"), silent)


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
