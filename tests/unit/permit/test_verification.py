"""A permit is for one name, one commit, these bytes and all interlocks."""

from __future__ import annotations

import py_compile
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.errors import Failed
from beampermit.permit import verification
from support.registry_project import INTERLOCKS, Laboratory

UNCHECKED = py_compile.PycInvalidationMode.UNCHECKED_HASH


def test_the_right_model_passes(laboratory: Laboratory) -> None:
    permit, project = laboratory.sign().statement, laboratory.project
    verification.verify_name(permit, "bpm-faults")
    verification.verify_commit(permit, project.git.head())
    verification.verify_files(permit, project.root)
    verification.verify_model(permit, project.path("model"))
    verification.verify_interlocks(permit, INTERLOCKS)


SPOILED: dict[str, tuple[Callable[[Path], object], str]] = {
    "changed": (lambda m: (m / "MLmodel").write_text("flavors: {x: 1}\n"), "MLmodel: this file differs"),
    "missing": (lambda m: (m / "weights.safetensors").unlink(), "weights.safetensors: this file is missing"),
    "more": (lambda m: (m / "extra.py").write_text(""), "extra.py: the permit does not bind this file"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", SPOILED)
def test_a_changed_file_is_named(laboratory: Laboratory, case: str) -> None:
    spoil, message = SPOILED[case]
    permit = laboratory.sign().statement
    spoil(laboratory.root / "model")
    with pytest.raises(Failed) as caught:
        verification.verify_model(permit, laboratory.root / "model")
    assert message in str(caught.value)


def plant_compiled_code(folder: Path, name: str) -> None:
    """Beside a module of the model: compiled code that is never checked and runs instead of it (PEP 552)."""
    altered = folder.parent / "altered.py"
    altered.write_text("raise SystemExit('altered')\n")
    target = folder / name
    py_compile.compile(str(altered), str(target), doraise=True, invalidation_mode=UNCHECKED)
    altered.unlink()


@pytest.mark.attack(
    guard="permit verify",
    tried="an unchecked .pyc beside the model's source, which Python runs instead of it",
    said="compiled code, which Python runs instead of the source beside it, may not lie in a model: delete it",
)
@pytest.mark.parametrize("name", ["code/__pycache__/served.cpython-311.pyc", "code/served.pyc", "served.pyc"])
def test_compiled_code_beside_a_permitted_model_is_refused(laboratory: Laboratory, name: str, said: str) -> None:
    permit, model = laboratory.sign().statement, laboratory.root / "model"
    (model / name).parent.mkdir(parents=True, exist_ok=True)
    plant_compiled_code(model, name)
    with pytest.raises(Failed, match=re.escape(said)) as caught:
        verification.verify_model(permit, model)
    assert caught.value.file == str(model / name)


@pytest.mark.slow
@pytest.mark.attack(
    guard="permit verify",
    tried="a link in the model's folder, which may lead elsewhere once the permit is verified",
    said="a link or a device has no digest; only plain files are allowed here",
)
def test_the_folder_may_be_a_link_and_hold_none_but_those_of_the_dvc_cache(
    laboratory: Laboratory, tmp_path: Path, said: str
) -> None:
    permit, model, root = laboratory.sign().statement, laboratory.root / "model", laboratory.root
    link, cached = tmp_path / "served", root / ".dvc/cache/files/md5/ab" / ("c" * 30)
    link.symlink_to(model)
    for where in (None, root):
        verification.verify_model(permit, link, where)
    cached.parent.mkdir(parents=True)
    (model / "MLmodel").rename(cached)
    (model / "MLmodel").symlink_to(cached)
    verification.verify_model(permit, link, root)
    cached.write_text("flavors: {x: 1}\n")
    with pytest.raises(Failed, match="differs from the one that the permit binds") as caught:
        verification.verify_model(permit, link, root)
    assert caught.value.file == str(link / "MLmodel")
    (model / "MLmodel").unlink()
    (model / "MLmodel").symlink_to(root / "contract.yaml")
    for where in (None, root):
        with pytest.raises(Failed, match=re.escape(said)) as caught:
            verification.verify_model(permit, link, where)
        assert caught.value.file == str(link / "MLmodel")
    link.unlink()
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(Failed, match="the folder is missing"):
        verification.verify_model(permit, link, root)


@pytest.mark.slow
def test_a_model_that_was_loaded_where_it_lies_passes_once_what_python_wrote_is_deleted(laboratory: Laboratory) -> None:
    permit, model = laboratory.sign().statement, laboratory.root / "model"
    (model / "__pycache__").mkdir()
    verification.verify_model(permit, model)


def test_another_name_another_commit_and_a_gap_are_refused(laboratory: Laboratory) -> None:
    permit = laboratory.sign().statement
    with pytest.raises(Failed, match="model 'bpm-faults', not for 'orbit'"):
        verification.verify_name(permit, "orbit")
    with pytest.raises(Failed, match="but HEAD is 999999999999"):
        verification.verify_commit(permit, "9" * 40)
    with pytest.raises(Failed, match="no verdict of MDL001, PRF001"):
        verification.verify_interlocks(permit, (*INTERLOCKS, "PRF001", "MDL001"))


@pytest.mark.parametrize("file", ["contract.yaml", "uv.lock", "dvc.lock"])
def test_a_file_changed_after_the_permit_is_refused(laboratory: Laboratory, file: str) -> None:
    permit = laboratory.sign().statement
    (laboratory.root / file).write_text("changed")
    with pytest.raises(Failed, match="differs from the one that the permit binds") as caught:
        verification.verify_files(permit, laboratory.root)
    assert caught.value.file == file


def test_the_description_names_what_was_not_compared(laboratory: Laboratory) -> None:
    permit = laboratory.sign().statement
    described = "\n".join(verification.describe_permit(permit).values())
    for word in (permit.digest, permit.predicate.commit, "auc 0.971", "2 interlocks: DOC001, ENV001", "not compared"):
        assert word in described
