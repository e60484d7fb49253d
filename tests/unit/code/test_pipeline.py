"""Files of the pipeline that a project has edited, removed or added are named; those of another version are not."""

from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path

import pytest

from beampermit.code import pipeline
from beampermit.code.check import check_code
from beampermit.code.pipeline import RECORD, Pipeline, compare_pipelines
from beampermit.documents.gathering import gather_report
from beampermit.project import Project
from beampermit.template import PACKAGE, PROJECT, template_folder

FOLDER = "src/bpm_faults/pipeline"
FILES = ("limits.py", "train.py", "tables.py")


@pytest.fixture
def piped(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with the template's pipeline, as the template's hook leaves it."""
    folder = project.root / FOLDER
    source = template_folder() / PROJECT / "src" / PACKAGE / "pipeline"
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (project.root / ".gitignore").write_text("__pycache__\n*.log\n")
    monkeypatch.chdir(project.root)
    runpy.run_path(str(template_folder() / "hooks/post_gen_project.py"))["record_pipeline"]()
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "With a pipeline")
    return project


def only(project: Project) -> Pipeline:
    (found,) = compare_pipelines(project)
    return found


def append(file: Path, text: str = "# ours\n") -> None:
    file.write_bytes(file.read_bytes() + text.encode())


def listed(project: Project) -> list[str]:
    """What `beampermit contract check --code` says of the pipeline's own state."""
    problems = check_code(project).problems
    return [str(problem) for problem in problems if "this folder is Beampermit's" in problem.message]


def report(project: Project, tmp_path: Path) -> str:
    return gather_report(project, tmp_path / "verdicts", {}).markdown()


@pytest.mark.slow
def test_the_pipeline_as_it_was_generated_is_not_mentioned(piped: Project, tmp_path: Path) -> None:
    assert only(piped) == Pipeline(folder=FOLDER)
    assert "is Beampermit's" not in report(piped, tmp_path)
    (piped.root / FOLDER / "__pycache__").mkdir()
    (piped.root / FOLDER / "__pycache__/train.pyc").write_bytes(b"0")
    (piped.root / FOLDER / "of_a_tool.log").write_text("0")
    assert only(piped) == Pipeline(folder=FOLDER)


def test_a_checkout_with_other_line_ends_is_not_edited(piped: Project) -> None:
    for file in (piped.root / FOLDER).iterdir():
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert only(piped) == Pipeline(folder=FOLDER)


@pytest.mark.slow
def test_what_is_edited_removed_and_added_is_named_in_report_and_check(piped: Project, tmp_path: Path) -> None:
    append(piped.root / FOLDER / "train.py")
    (piped.root / FOLDER / "trial.py").unlink()
    (piped.root / FOLDER / "ours.py").write_text("x = 1\n")
    assert only(piped) == Pipeline(folder=FOLDER, edited=("train.py",), removed=("trial.py",), added=("ours.py",))
    assert listed(piped) == [
        f"{FOLDER}/ours.py: it is added, and this folder is Beampermit's",
        f"{FOLDER}/train.py: it is edited, and this folder is Beampermit's",
        f"{FOLDER}/trial.py: it is missing, and this folder is Beampermit's",
    ]
    made = report(piped, tmp_path)
    assert (
        f"> [!WARNING]\n> `{FOLDER}` is Beampermit's and the same in every project, but here edited: `train.py`; "
        "missing: `trial.py`; added: `ours.py`." in made
    )
    assert "another version" not in made


def test_a_file_in_whose_place_is_a_link_is_edited(piped: Project) -> None:
    file = piped.root / FOLDER / "train.py"
    file.rename(piped.root / "train.py")
    file.symlink_to("../../../train.py")
    assert only(piped).edited == ("train.py",)


def of_another_version(project: Project) -> None:
    """Let the whole pipeline differ from the checker's, and its record say so, as that version's hook writes it."""
    for file in (project.root / FOLDER).glob("*.py"):
        append(file, "# of another version\n")
    runpy.run_path(str(template_folder() / "hooks/post_gen_project.py"))["record_pipeline"]()


@pytest.mark.slow
def test_a_pipeline_of_another_version_is_one_line(piped: Project, tmp_path: Path) -> None:
    of_another_version(piped)
    assert only(piped) == Pipeline(folder=FOLDER, other_version=True)
    assert listed(piped) == []
    line = f"{FOLDER} came with another version of Beampermit than this checker"
    assert [note for note in check_code(piped).notes if line in note]
    made = report(piped, tmp_path)
    assert made.count("another version of Beampermit") == 1
    assert "[!WARNING]" not in made


@pytest.mark.slow
def test_names_that_are_gone_are_not_looked_for_in_it(piped: Project, contract_text: str) -> None:
    append(piped.root / FOLDER / "train.py", 'turns = "turns"\n')
    of_another_version(piped)
    piped.git("commit", "--all", "--quiet", "--message", "Another version")
    (piped.root / "contract.yaml").write_text(contract_text.replace("turns", "positions"))
    (piped.root / "src/bpm_faults/source.py").write_text('turns = "turns"\n')
    gone = [str(problem) for problem in check_code(piped).problems if "is gone" in problem.message]
    assert gone == ['src/bpm_faults/source.py:1: "turns" was an input before, and is gone']


def test_of_another_version_too_an_edited_file_is_named(piped: Project) -> None:
    of_another_version(piped)
    append(piped.root / FOLDER / "limits.py")
    assert only(piped) == Pipeline(folder=FOLDER, edited=("limits.py",), other_version=True)


@pytest.mark.parametrize(
    "record",
    [
        "",
        "[]",
        '{"files": {"train.py": 1}}',
        '{"files": {"train.py": "sha256:0"}}',
        '{"files": {}, "more": 1}',
        "[" * 100_000,
        '{"files": {"\\ud800": "sha256:' + "0" * 64 + '"}}',
    ],
)
def test_a_record_that_was_written_by_hand_is_edited_and_the_checkers_own_counts(piped: Project, record: str) -> None:
    (piped.root / FOLDER / RECORD).write_text(record)
    append(piped.root / FOLDER / "train.py")
    assert only(piped) == Pipeline(folder=FOLDER, edited=(RECORD, "train.py"))


def test_a_record_that_is_gone_is_named(piped: Project) -> None:
    (piped.root / FOLDER / RECORD).unlink()
    assert only(piped) == Pipeline(folder=FOLDER, removed=(RECORD,))


def test_a_projects_own_folder_of_that_name_is_its_own(project: Project, tmp_path: Path) -> None:
    folder = project.root / FOLDER
    folder.mkdir(parents=True)
    for name in ("__init__.py", *FILES):
        (folder / name).write_text("")
    (folder / "steps.json").write_text("{}")
    assert compare_pipelines(project) == ()
    assert "is Beampermit's" not in report(project, tmp_path)


@pytest.mark.slow
def test_the_report_names_the_folder_by_its_path_in_the_repository(piped: Project, tmp_path: Path) -> None:
    inner = tmp_path / "project/models/faults"
    inner.mkdir(parents=True)
    for name in ("contract.yaml", "src"):
        shutil.copytree(piped.root / name, inner / name) if name == "src" else shutil.copy(piped.root / name, inner)
    append(inner / FOLDER / "train.py")
    made = report(Project(inner), tmp_path)
    assert f"`models/faults/{FOLDER}` is Beampermit's" in made


@pytest.mark.slow
def test_many_files_are_counted(piped: Project, tmp_path: Path) -> None:
    for number in range(30):
        (piped.root / FOLDER / f"ours_{number:02}.py").write_text("x = 1\n")
    assert "`ours_19.py` and 10 more." in report(piped, tmp_path)


def test_the_checkers_own_files_are_the_templates(piped: Project) -> None:
    own = pipeline.own_digests()
    assert own == json.loads((piped.root / FOLDER / RECORD).read_text())["files"]
    assert set(own) >= {*FILES, "__init__.py"}
