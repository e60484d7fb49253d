"""A permit is for one name, one commit, these bytes and all interlocks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.errors import Failed
from beampermit.permit import verification
from support.registry_project import INTERLOCKS, Laboratory


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


@pytest.mark.parametrize("case", SPOILED)
def test_a_changed_file_is_named(laboratory: Laboratory, case: str) -> None:
    spoil, message = SPOILED[case]
    permit = laboratory.sign().statement
    spoil(laboratory.root / "model")
    with pytest.raises(Failed) as caught:
        verification.verify_model(permit, laboratory.root / "model")
    assert message in str(caught.value)


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
