"""Which compiled modules the process of a model reads."""

from __future__ import annotations

import os
import subprocess
import tempfile
import venv
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from beampermit.contract import parse_contract
from beampermit.environments.bytecode import bytecode_folder
from beampermit.environments.environment import Environment
from beampermit.live.process.starting import Start
from support.privileges import unprivileged

SOMEBODY = 12345


@pytest.fixture
def image(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An environment as the build of an image leaves it: root's, and compiled."""
    if os.geteuid():
        pytest.skip("only root can have an environment of root")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # the folders of tests are closed to others
        (cache := Path(folder, "cache")).mkdir()
        cache.chmod(0o777)
        monkeypatch.setenv("BEAMPERMIT_CACHE", str(cache))
        prefix = Path(folder, "image")
        venv.create(prefix, symlinks=True)
        (package := site_packages(prefix) / "part").mkdir()
        (package / "__init__.py").touch()
        subprocess.run([prefix / "bin/python", "-m", "compileall", "-q", package], check=True)
        yield prefix


def site_packages(prefix: Path) -> Path:
    return next(prefix.glob("lib/python*/site-packages"))


def compiled_of(prefix: Path, contract_text: str, *, root: bool = False) -> tuple[str, bool]:
    """Where the compiled module of a package is, and whether what the process compiles is kept."""
    start = Start.of(Environment(prefix), parse_contract(contract_text, "contract.yaml"))
    with nullcontext() if root else unprivileged():  # the Python of the tests may be root's alone
        variables = start._variables()
    script = "import part, sys; print(part.__cached__, sys.dont_write_bytecode)"
    said = subprocess.run([prefix / "bin/python", "-c", script], env=variables, capture_output=True, check=True)
    cached, drops = said.stdout.decode().split()
    return cached, drops == "False"


def test_what_root_compiled_for_others_is_read_and_nothing_is_written(image: Path, contract_text: str) -> None:
    cached, kept = compiled_of(image, contract_text)
    assert cached.startswith(f"{image}/")
    assert not kept, "beside the model's code, whose bytes are verified, nothing may appear"


@pytest.mark.parametrize("place", [".", "lib", "compiled"])
@pytest.mark.parametrize("planted", ["of somebody", "open to all"])
def test_what_others_may_have_compiled_is_not_read(image: Path, contract_text: str, place: str, planted: str) -> None:
    packages = site_packages(image)
    folder = {".": image, "lib": packages, "compiled": packages / "part/__pycache__"}[place]
    if planted == "of somebody":
        os.chown(folder, SOMEBODY, -1)
    else:
        folder.chmod(0o777)
    cached, kept = compiled_of(image, contract_text)
    assert cached.startswith(f"{bytecode_folder()}/")
    assert kept


def test_root_reads_what_it_compiled_itself(image: Path, contract_text: str) -> None:
    cached, _ = compiled_of(image, contract_text, root=True)
    assert cached.startswith(f"{bytecode_folder()}/")
