"""A permit binds the bill of materials of its own lock, and of no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from beampermit.digest import digest_bytes, digest_file
from beampermit.environments.backend import Lock
from beampermit.environments.sbom import sbom
from beampermit.errors import BadInput, Tripped
from beampermit.files import write_json
from beampermit.permit.assemble import assemble
from beampermit.permit.verification import verify_software
from laboratory import INTERLOCKS, Laboratory, found_laboratory, verdicts


@pytest.fixture
def laboratory(tmp_path: Path, contract_text: str) -> Laboratory:
    """A project with a model; no registry is needed here."""
    (tmp_path / "none.db").touch()
    made = found_laboratory(tmp_path, contract_text, tmp_path / "none.db")
    made.change(1)
    return made


@pytest.fixture
def software(laboratory: Laboratory, tmp_path: Path) -> Path:
    """What `env sbom` writes of the laboratory's lock."""
    text = (laboratory.root / "uv.lock").read_text()
    file = tmp_path / "sbom.cdx.json"
    write_json(file, sbom(Lock("uv.lock", digest_bytes(text.encode()), text, ()), "faults"))
    return file


def test_the_bill_is_bound_and_no_other_passes_for_it(laboratory: Laboratory, software: Path) -> None:
    project = laboratory.project
    permit = assemble(project, [verdicts(project)], INTERLOCKS, software=software)
    assert permit.predicate.software
    assert permit.predicate.software.model_dump() == {"file": "sbom.cdx.json", "digest": digest_file(software)}
    verify_software(permit, software)
    software.write_text(software.read_text().replace('"components": []', '"components": [{}]'))
    with pytest.raises(Tripped, match="not the bill of materials that the permit binds"):
        verify_software(permit, software)
    software.unlink()
    with pytest.raises(Tripped, match="not the bill of materials that the permit binds"):
        verify_software(permit, software)


def test_without_a_bill_none_is_bound_and_none_passes(laboratory: Laboratory, software: Path) -> None:
    project = laboratory.project
    permit = assemble(project, [verdicts(project)], INTERLOCKS)
    with pytest.raises(Tripped, match="the permit binds no bill of materials"):
        verify_software(permit, software)


def test_the_bill_of_another_lock_is_refused(laboratory: Laboratory, software: Path) -> None:
    project = laboratory.project
    other = json.loads(software.read_text())
    other["metadata"]["properties"][1]["value"] = "sha256:" + "a" * 64
    write_json(software, other)
    with pytest.raises(Tripped, match=r"not of the uv\.lock here") as caught:
        assemble(project, [verdicts(project)], INTERLOCKS, software=software)
    assert caught.value.hint.startswith("beampermit env sbom --out")


@pytest.mark.parametrize("content", [[], {}, {"metadata": 1}, {"metadata": {"properties": [1, {"name": "x"}]}}])
def test_another_document_is_no_bill(laboratory: Laboratory, software: Path, content: Any) -> None:
    project = laboratory.project
    write_json(software, content)
    with pytest.raises(BadInput, match="no bill of materials with beampermit:lock:digest"):
        assemble(project, [verdicts(project)], INTERLOCKS, software=software)
