"""A permit binds the complete bill of materials of its own locks, and no other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from beampermit.cli.main import app
from beampermit.digest import digest_file
from beampermit.environments.conda_lock import CondaLock
from beampermit.errors import BadInput, Failed
from beampermit.files import write_json
from beampermit.permit import envelope, keys
from beampermit.permit.assemble import assemble
from beampermit.permit.statement import Statement
from beampermit.permit.verification import verify_software
from support.conda_channel import PYTHON, QUIET, serving
from support.conda_channel import laboratory as channel_of
from support.registry_project import INTERLOCKS, Laboratory, found_laboratory, laboratory_in, verdicts
from support.shared import made_once, shared_folder

LOCK = """\
version = 1
requires-python = ">=3.11"

[[package]]
name = "tune"
version = "1.5"
source = {registry = "x"}
"""
VIRTUAL = 'subdirs: {{linux-64: {{packages: {{__unix: "0", __glibc: "2.28"{}}}}}}}\n'


@pytest.fixture
def founded(tmp_path_factory: pytest.TempPathFactory, contract_text: str) -> Path:
    """The folder of `laboratory`, to be copied."""

    def make(folder: Path) -> None:
        (folder / "none.db").touch()
        made = found_laboratory(folder, contract_text, folder / "none.db")
        (made.root / "uv.lock").write_text(LOCK)
        (made.root / "pyproject.toml").write_text('[project]\nname = "faults"\nversion = "1"\n')
        made.change(1)

    return made_once(shared_folder(tmp_path_factory) / "laboratory-with-a-lock", make)


@pytest.fixture
def laboratory(founded: Path, tmp_path: Path) -> Laboratory:
    """A project with a lock and a model; no registry is needed here."""
    return laboratory_in(founded).copied(tmp_path)


@pytest.fixture
def software(laboratory: Laboratory, tmp_path: Path) -> Path:
    """What `env sbom` writes of the laboratory's lock."""
    return written(laboratory, tmp_path / "sbom.cdx.json")


@pytest.fixture
def variants(
    founded: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Laboratory:
    """The same with conda locks, one for machines with a GPU and one for those without."""

    def make(folder: Path) -> None:
        lab = laboratory_in(founded).copied(folder)
        with pytest.MonkeyPatch.context() as patch, serving(channel_of(folder / "lab")) as channel:
            patch.setenv("BEAMPERMIT_CACHE", str(folder / "cache"))
            asked = (
                f"channels: [{channel.url}]\nplatforms: [linux-64]\ndependencies:\n  - python {PYTHON}.*\n  - torch\n"
            )
            (lab.root / "environment.yml").write_text(asked)
            (lab.root / "virtual-packages.yml").write_text(VIRTUAL.format(""))
            (lab.root / "cuda.virtual-packages.yml").write_text(VIRTUAL.format(', __cuda: "12.4"'))
            CondaLock().lock(lab.root, progress=QUIET)
        lab.change(2)

    made = made_once(shared_folder(tmp_path_factory) / "laboratory-with-variants", make)
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(tmp_path / "cache"))
    return laboratory_in(made).copied(tmp_path)


def written(laboratory: Laboratory, file: Path, *words: str) -> Path:
    done = CliRunner().invoke(app, ["env", "sbom", "--project", str(laboratory.root), "--out", str(file), *words])
    assert done.exit_code == 0, done.output
    return file


def bound(laboratory: Laboratory, software: Path) -> Statement:
    project = laboratory.project
    return assemble(project, [verdicts(project)], INTERLOCKS, software=software)


@pytest.mark.slow
def test_the_permit_binds_exactly_one_bill_of_materials(laboratory: Laboratory, software: Path) -> None:
    permit = bound(laboratory, software)
    assert permit.predicate.software
    assert permit.predicate.software.model_dump() == {"file": "sbom.cdx.json", "digest": digest_file(software)}
    verify_software(permit, software)
    software.write_text(software.read_text().replace("1.5", "1.6"))
    with pytest.raises(Failed, match="not the bill of materials that the permit binds"):
        verify_software(permit, software)
    software.unlink()
    with pytest.raises(Failed, match="not the bill of materials that the permit binds"):
        verify_software(permit, software)


def test_a_permit_without_a_bill_of_materials_accepts_none(laboratory: Laboratory, software: Path) -> None:
    project = laboratory.project
    permit = assemble(project, [verdicts(project)], INTERLOCKS)
    with pytest.raises(Failed, match="the permit binds no bill of materials"):
        verify_software(permit, software)


def test_the_bill_of_another_lock_is_refused(laboratory: Laboratory, software: Path) -> None:
    other = json.loads(software.read_text())
    other["metadata"]["properties"][1]["value"] = "sha256:" + "a" * 64
    write_json(software, other)
    with pytest.raises(Failed, match=r"not of the current uv\.lock") as caught:
        bound(laboratory, software)
    assert caught.value.hint.startswith("beampermit env sbom --out")


def without(part: str) -> Callable[[Any], None]:
    return lambda bill: bill[part].pop()


def renamed(bill: Any) -> None:
    bill["components"][0]["version"] = "9.9"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("components"), "components"),
        (without("dependencies"), "dependencies"),
        (renamed, "components"),
    ],
)
def test_a_bill_with_other_packages_than_its_lock_is_refused(
    laboratory: Laboratory, software: Path, change: Callable[[Any], None], words: str
) -> None:
    content = json.loads(software.read_text())
    change(content)
    write_json(software, content)
    with pytest.raises(Failed, match=f"the {words} in the bill of materials are not those of the locks"):
        bound(laboratory, software)


@pytest.mark.parametrize("content", [[], {}, {"metadata": 1}, {"metadata": {"properties": [1, {"name": "x"}]}}])
def test_another_document_is_refused(laboratory: Laboratory, software: Path, content: Any) -> None:
    write_json(software, content)
    with pytest.raises(BadInput, match="not a bill of materials with the property beampermit:lock:digest"):
        bound(laboratory, software)


def test_one_bill_covers_every_lock_that_the_permit_binds(variants: Laboratory, tmp_path: Path) -> None:
    software = written(variants, tmp_path / "sbom.cdx.json")
    permit = bound(variants, software).predicate
    assert [lock.file for lock in (permit.environment, *permit.variants)] == ["conda-lock.yml", "cuda.conda-lock.yml"]
    content = json.loads(software.read_text())
    digests = [one["value"] for one in content["metadata"]["properties"] if one["name"].endswith("digest")]
    assert digests == [lock.digest for lock in (permit.environment, *permit.variants)]
    locks = {
        component["purl"].partition("build=")[2].partition("&")[0]: [one["value"] for one in component["properties"]]
        for component in content["components"]
        if component["name"] in ("torch", "zlib")
    }
    assert locks == {
        "cpu_0": ["conda-lock.yml"],
        "cuda_1": ["cuda.conda-lock.yml"],
        "h0_1": ["conda-lock.yml", "cuda.conda-lock.yml"],
    }
    needed = {one["ref"]: one["dependsOn"] for one in content["dependencies"]}
    assert sum("torch" in ref for ref in needed["project"]) == 2


@pytest.mark.parametrize("variant", ["cuda"])
def test_the_bill_of_one_variant_alone_is_refused(variants: Laboratory, tmp_path: Path, variant: str) -> None:
    software = written(variants, tmp_path / "sbom.cdx.json", "--variant", variant)
    with pytest.raises(Failed, match=r"not of the current conda-lock\.yml"):
        bound(variants, software)


@pytest.mark.slow
def test_a_changed_lock_of_a_variant_makes_the_bill_outdated(variants: Laboratory, tmp_path: Path) -> None:
    software = written(variants, tmp_path / "sbom.cdx.json")
    lock = variants.root / "cuda.conda-lock.yml"
    lock.write_text(lock.read_text() + "# edited\n")
    variants.git("commit", "--quiet", "--all", "--message", "By hand")
    with pytest.raises(Failed, match=r"not of the current cuda\.conda-lock\.yml"):
        bound(variants, software)


@pytest.mark.slow
def test_a_lock_that_is_not_in_the_commit_may_not_be_in_the_bill(variants: Laboratory, tmp_path: Path) -> None:
    software = written(variants, tmp_path / "sbom.cdx.json")
    variants.git("rm", "--quiet", "--cached", "cuda.conda-lock.yml")
    variants.git("commit", "--quiet", "--message", "Forgotten")
    with pytest.raises(Failed, match=r"also lists cuda\.conda-lock\.yml, which is not in the commit"):
        bound(variants, software)


@pytest.mark.slow
def test_a_byte_changed_in_the_bill_fails_for_whoever_verifies_the_signed_permit(
    laboratory: Laboratory, software: Path, tmp_path: Path
) -> None:
    signed = tmp_path / "permit.dsse.json"
    signed.write_bytes(envelope.sign_statement(bound(laboratory, software), keys.load_signing_key(str(laboratory.key))))
    words = ["permit", "verify", str(signed), "--software", str(software), "--project", str(laboratory.root)]
    assert CliRunner().invoke(app, words).exit_code == 0
    content = bytearray(software.read_bytes())
    content[content.index(b"1.5")] = ord("2")
    software.write_bytes(bytes(content))
    failed = CliRunner().invoke(app, words).exception
    assert isinstance(failed, Failed)
    assert str(failed) == f"{software}: this is not the bill of materials that the permit binds"
