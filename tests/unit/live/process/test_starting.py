"""Which compiled modules the process of a model reads."""

from __future__ import annotations

import os
import subprocess
import venv
from pathlib import Path

import pytest

from beampermit.contract import parse_contract
from beampermit.environments.bytecode import bytecode_folder
from beampermit.environments.environment import Environment
from beampermit.live.process.starting import Start

SOMEBODY = 12345
BESIDE = "__pycache__"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An environment as the builder of an image leaves it: compiled, and his."""
    if os.geteuid():
        pytest.skip("only root can have an environment of somebody else")
    prefix = tmp_path / "image"
    venv.create(prefix, symlinks=True)
    (package := next(prefix.glob("lib/python*/site-packages")) / "part").mkdir()
    (package / "__init__.py").touch()
    subprocess.run([prefix / "bin/python", "-m", "compileall", "-q", package], check=True)
    for path in (prefix, *prefix.rglob("*")):
        os.chown(path, SOMEBODY, SOMEBODY, follow_symlinks=False)
    return prefix


def read(prefix: Path, contract_text: str) -> tuple[str, bool]:
    """From where a package's code comes, and whether what is compiled is kept."""
    variables = Start.of(Environment(prefix), parse_contract(contract_text, "contract.yaml"))._variables()
    script = "import part, sys; print(part.__cached__, sys.dont_write_bytecode)"
    said = subprocess.run([prefix / "bin/python", "-c", script], env=variables, capture_output=True, check=True)
    cached, kept = said.stdout.decode().split()
    return cached, kept == "False"


def test_what_the_builder_of_an_image_compiled_is_read_and_nothing_is_written(image: Path, contract_text: str) -> None:
    cached, kept = read(image, contract_text)
    assert cached.startswith(f"{image}/")
    assert not kept, "beside the model's code, whose bytes are verified, nothing may appear"


@pytest.mark.parametrize("planted", ["ours", "open to all", "not compiled"])
def test_what_others_may_have_compiled_is_not_read(image: Path, contract_text: str, planted: str) -> None:
    if planted == "ours":
        os.chown(image, os.geteuid(), -1)
    if planted == "open to all":
        image.chmod(0o777)
    if planted == "not compiled":
        for file in image.rglob(f"{BESIDE}/*"):
            file.unlink()
        for folder in image.rglob(BESIDE):
            folder.rmdir()
    cached, kept = read(image, contract_text)
    assert cached.startswith(f"{bytecode_folder()}/")
    assert kept
