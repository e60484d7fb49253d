"""Data and models in git, and a remote that a pull request changes, fail."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.datasets.repository import Repository
from beampermit.errors import BadInput
from beampermit.interlocks.data import DAT008
from beampermit.interlocks.interlock import Finding
from beampermit.interlocks.runner import check, verdict_file
from beampermit.project import Project
from beampermit.verdicts.verdict import Outcome, read_verdicts
from beampermit.verdicts.writing import write_verdicts
from support.attacks import attack_case

Alter = Callable[..., None]


def dat008(project: Project) -> Finding:
    return DAT008().check(project)


STRAYS = {
    "data.parquet": (b"\0\x01\xff", "Parquet"),
    "notes.txt": (b"PAR1" + b"\0" * 20, "Parquet"),
    "readme.md": (b"\x89HDF\r\n\x1a\n", "HDF5"),
    "a.py": (b"\x93NUMPY\x01\0", "NumPy"),
    "config.yaml": (b"\x80\x04\x95\x10", "pickle"),
    "b.py": (b"PK\x03\x04" + b"\0" * 26 + b"model/data.pkl", "PyTorch"),
    "c.txt": (b"PK\x03\x04" + b"\0" * 26, "archive"),
    "d.txt": ((40).to_bytes(8, "little") + b'{"w":{}}' + b" " * 40, "safetensors"),
    "e.txt": (b"\x08\x07\x12\x07pytorch", "ONNX"),
    "f.txt": (b"SQLite format 3\0", "SQLite"),
    "weights.PT": (b"x\0\xff", "PyTorch"),
    "large.csv": (b"1,2\n" * 2**20, "the limit is 2.0 MiB"),
}


@pytest.mark.plants("DAT008")
@pytest.mark.parametrize("name", STRAYS)
def test_dat008_fails_on_data_and_models_in_git(dvc_project: Project, name: str) -> None:
    content, what = STRAYS[name]
    (dvc_project.root / name).write_bytes(content)
    assert dat008(dvc_project).outcome is Outcome.PASSED, "not tracked"
    dvc_project.git("add", "--force", name)
    finding = dat008(dvc_project)
    assert f"{name} is in git and should not be: " in finding.reason
    assert what in finding.reason


def test_dat008_takes_text_for_text(dvc_project: Project) -> None:
    """Whatever its name is: EPICS keeps its database as text, in latin-1 too, and an empty file holds no data."""
    (dvc_project.root / "orbit.db").write_bytes('record(ai, "ORBIT") {\n  field(EGU, "°")\n}\n'.encode("latin-1"))
    (dvc_project.root / "tiny.npz").write_bytes(b"x")
    (dvc_project.root / "none.parquet").touch()
    (dvc_project.root / "function{}.js").write_text("function{return 1}\n" * 100)
    (dvc_project.root / "uv.lock").write_bytes(b"x" * 3 * 2**20)
    dvc_project.git("add", "--all")
    assert dat008(dvc_project).outcome is Outcome.PASSED


@pytest.mark.slow
@pytest.mark.plants("DAT008")
@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        attack_case(
            b"m\rodel.py",
            "m\rodel.py",
            guard="DAT008",
            tried="a model in git has a carriage return in its name, which reading git's list turned into another one",
            said="is in git and should not be: pickle, 4 bytes",
            id="a carriage return",
        ),
        attack_case(
            b"m\xffodel.py",
            "m\\udcffodel.py",
            guard="DAT008",
            tried="a model in git has a name that is not UTF-8, which reading git's list turned into another one",
            said="is in git and should not be: pickle, 4 bytes",
            id="not UTF-8",
        ),
    ],
)
@pytest.mark.parametrize("attributes", ["", "*.csv filter=lfs\n"])
def test_dat008_sees_a_model_whatever_its_name_is(
    dvc_project: Project, tmp_path: Path, name: bytes, spelled: str, attributes: str, said: str
) -> None:
    (dvc_project.root / os.fsdecode(name)).write_bytes(b"\x80\x04\x95\x10")
    (dvc_project.root / ".gitattributes").write_text(attributes)
    dvc_project.git("add", "--all")
    verdicts = check(dvc_project, [DAT008])
    assert verdicts[0].locations[0].place == spelled
    assert verdicts[0].reason == f"{spelled} {said}"
    write_verdicts(tmp_path / "verdicts.json", verdict_file(dvc_project, verdicts))
    assert read_verdicts(tmp_path / "verdicts.json").verdicts[0].reason == verdicts[0].reason


KEPT = "  in_git:\n    tests/data/tiny.npz: A table of two rows, for the tests of reading.\n"


@pytest.mark.slow
@pytest.mark.plants("DAT008")
@pytest.mark.attack(
    guard="DAT008",
    tried="a pull request names its model as an exception under `dataset.in_git` of its own contract",
    said="tests/data/tiny.npz is in git and should not be: archive, 4 bytes",
)
def test_dat008_lets_git_hold_what_the_base_branchs_contract_names(dvc_project: Project, said: str) -> None:
    file = dvc_project.root / "tests/data/tiny.npz"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"PK\x03\x04")
    contract = dvc_project.root / "contract.yaml"
    contract.write_text(contract.read_text().replace("dataset:\n", f"dataset:\n{KEPT}"))
    dvc_project.git("add", "--all")
    dvc_project.git("commit", "--quiet", "--message", "A small file")
    assert said in dat008(Project(dvc_project.root, "main")).reason
    on_base = dat008(Project(dvc_project.root, "HEAD"))
    assert (on_base.outcome, on_base.reason.partition(";")[0]) == (
        Outcome.PASSED,
        "no data and no models in git but tests/data/tiny.npz",
    )
    file.with_name("other.npz").write_bytes(b"PK\x03\x04")
    dvc_project.git("add", "--all")
    assert "tests/data/other.npz is in git" in dat008(Project(dvc_project.root, "HEAD")).reason


@pytest.mark.plants("DAT008")
@pytest.mark.parametrize("here", ["pointer", "bytes"])
def test_dat008_judges_what_git_lfs_keeps_the_same_everywhere(dvc_project: Project, here: str) -> None:
    """By the pointer that git holds: where Git LFS is installed the bytes lie in the work tree, else the pointer."""
    root = dvc_project.root
    (root / ".gitattributes").write_text("*.parquet filter=lfs\n*.pdf filter=lfs\n")
    for name in ("big.parquet", "manual.pdf"):
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 5000000\n"
        (root / name).write_text(pointer)
        dvc_project.git("add", "--force", name, ".gitattributes")
        if here == "bytes":
            (root / name).write_bytes(b"PAR1" + bytes(5_000_000))
    finding = dat008(dvc_project)
    assert [place.reason for place in finding.locations] == [
        "big.parquet is in git and should not be: Parquet in Git LFS, 132 bytes"
    ]


def test_dat008_shows_no_secret_of_a_changed_remote(dvc_project: Project) -> None:
    with (dvc_project.root / ".dvc/config").open("a") as stream:
        stream.write("    password = hunter2\n")
    finding = dat008(dvc_project)
    assert "remote storage: password is added" in finding.reason
    assert "hunter2" not in str(finding)


def test_what_belongs_to_one_machine_is_not_believed_from_git(dvc_project: Project) -> None:
    (dvc_project.root / ".dvc/config.local").write_text("['remote \"storage\"']\n    url = /tmp\n")
    dvc_project.git("add", "--force", ".dvc/config.local")
    with pytest.raises(BadInput, match="git tracks this file, which belongs to one machine"):
        Repository.of(dvc_project)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("target", ["/dev/zero", "/etc/hosts", "nowhere"])
@pytest.mark.parametrize("name", ["dvc.lock", "params.yaml", ".dvc/config"])
def test_a_link_in_git_is_not_read_where_it_leads_out(dvc_project: Project, name: str, target: str) -> None:
    (dvc_project.root / name).unlink()
    (dvc_project.root / name).symlink_to(target)
    dvc_project.git("add", "--all")
    with pytest.raises(BadInput, match=r"this link does not point to a file of the project"):
        Repository.of(dvc_project)
