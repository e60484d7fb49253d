"""Objects that DVC keeps: what is stale, missing, unsafe or altered fails and is named."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from beampermit.datasets.repository import Repository
from beampermit.datasets.strays import LFS_POINTER
from beampermit.digest import digest_bytes
from beampermit.errors import BadInput, Outside
from beampermit.files import write_json
from beampermit.interlocks.data import DAT001, DAT002, DAT003, DAT008
from beampermit.interlocks.families import select_interlocks
from beampermit.interlocks.interlock import Finding
from beampermit.interlocks.runner import check
from beampermit.project import Project
from beampermit.verdicts.verdict import Outcome
from support.attacks import attack_case
from support.dvc_repositories import append, edit, leaf, plant_manifest, remake, replace, without_data
from support.shared import made_once, shared_folder

pytestmark = pytest.mark.slow

Alter = Callable[..., None]


def dat001(project: Project) -> Finding:
    return DAT001().check(Repository.of(project))


def dat002(project: Project) -> Finding:
    return DAT002().check(Repository.of(project))


def dat003(project: Project) -> Finding:
    return DAT003().check(Repository.of(project))


# DAT001


def test_dat001_judges_the_lock_alone_where_data_were_not_pulled(dvc_project: Project) -> None:
    without_data(dvc_project)
    assert dat001(dvc_project).outcome is Outcome.PASSED


def never_run(project: Project) -> None:
    with (project.root / "dvc.yaml").open("a") as stream:
        stream.write("  train:\n    cmd: python train.py\n    outs: [model]\n")


def pipe(project: Project) -> None:
    file = project.root / "data/raw.parquet"
    file.unlink()
    os.mkfifo(file)


def link_to_endless(project: Project) -> None:
    (project.root / "make.py").unlink()
    (project.root / "make.py").symlink_to("/dev/zero")


STALE: dict[str, tuple[Callable[[Project], None], str]] = {
    "command": (
        edit("dvc.yaml", "make.py dataset", "make.py dataset --fast"),
        "stage dataset: its command has changed",
    ),
    "code": (append("make.py"), "make.py has another hash than in dvc.lock"),
    "code of Git LFS": (
        lambda project: (project.root / "make.py").write_bytes(LFS_POINTER) and None,
        "make.py is a pointer of Git LFS here, not the file: run `git lfs pull`",
    ),
    "code gone": (lambda project: (project.root / "make.py").unlink(), "make.py is missing"),
    "parameter": (edit("params.yaml", "8", "9"), "stage raw: params.yaml: rows is 9, it ran with 8"),
    "parameter gone": (edit("params.yaml", "rows", "columns"), "rows is absent, it ran with 8"),
    "input added": (edit("dvc.yaml", "deps: [make.py]", "deps: [make.py, params.yaml]"), "its input params.yaml"),
    "output added": (
        edit("dvc.yaml", "outs: [data/dataset,", "outs: [log, data/dataset,"),
        "its output log is not in dvc.lock",
    ),
    "never ran": (never_run, "stage train: it is not in dvc.lock: it never ran"),
    "no lock at all": (lambda project: (project.root / "dvc.lock").unlink(), "stage raw: it is not in dvc.lock"),
    "kept file edited": (append("data/raw.parquet"), "stage raw: data/raw.parquet has another hash than in dvc.lock"),
    "folder edited": (append("data/dataset/test.parquet"), "data/dataset has another hash than in dvc.lock"),
    "file in git edited": (append("data/raw.json"), "data/raw.json has another hash than in dvc.lock"),
    "file in git gone": (lambda project: (project.root / "data/raw.json").unlink(), "data/raw.json is missing"),
    "data outside": (edit("dvc.yaml", "deps: [make.py]", "deps: [make.py, /etc/hosts]"), "outside the project"),
    "pipe": (pipe, "data/raw.parquet is a named pipe, not a file"),
    "link out": (link_to_endless, "make.py is a link to /dev/zero, not a file"),
}


@pytest.mark.plants("DAT001")
@pytest.mark.parametrize("defect", STALE)
def test_dat001_fails_on_what_changed_since_the_lock(dvc_project: Project, defect: str) -> None:
    plant, reason = STALE[defect]
    plant(dvc_project)
    finding = dat001(dvc_project)
    assert finding.outcome is Outcome.FAILED
    assert reason in " ".join(finding.evidence["changes"])


def test_dat001_fails_where_a_stage_ran_on_another_version_than_its_producer_made(dvc_project: Project) -> None:
    without_data(dvc_project)
    lock = dvc_project.root / "dvc.lock"
    before, after = lock.read_text().split("  dataset:")
    value = next(line.split()[-1] for line in after.splitlines() if "md5: " in line and "hash" not in line)
    lock.write_text(before + "  dataset:" + after.replace(value, "f" * 32))
    assert "it ran on another version of data/labels.parquet than stage raw made" in dat001(dvc_project).reason


def _add_code(folder: Path, template: Path) -> None:
    from dvc.repo import Repo

    for name in ("project", "storage"):
        shutil.copytree(template / name, folder / name, symlinks=True)
    project = Project(folder / "project")
    (project.root / "code").mkdir()
    for name in ("train.py", "README.md"):
        (project.root / "code" / name).write_text("x = 1\n")
    (project.root / "reference.csv").write_text("1,2\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(folder / "site"))
        with Repo(str(project.root)) as repository:
            repository.add(str(project.root / "reference.csv"))
        replace(project.root / "dvc.yaml", "deps: [make.py]", "deps: [make.py, code, reference.csv]")
        remake(project.root)
    project.git("add", "--all")


@pytest.fixture(scope="session")
def code_template(tmp_path_factory: pytest.TempPathFactory, dvc_template: Path) -> Path:
    return made_once(shared_folder(tmp_path_factory) / "dvc-code", lambda folder: _add_code(folder, dvc_template))


@pytest.fixture
def with_code(dvc_project: Project, code_template: Path) -> Project:
    """A project with a stage that reads a folder of code and data that `dvc add` recorded."""
    for name in ("project", "storage"):
        shutil.rmtree(dvc_project.root.parent / name)
        shutil.copytree(code_template / name, dvc_project.root.parent / name, symlinks=True)
    dvc_project.git("switch", "--quiet", "--create", "change")
    return dvc_project


def hidden(file: str, *patterns: str) -> Callable[[Project], None]:
    def plant(project: Project) -> None:
        (project.root / file).parent.mkdir(exist_ok=True)
        with (project.root / file).open("a") as stream:
            stream.write("".join(f"{pattern}\n" for pattern in patterns))

    return plant


def another_repository(project: Project) -> None:
    """A folder of code that DVC takes for the folder of another repository."""
    (project.root / "code/.dvc").mkdir()
    (project.root / "code/.dvc/config").write_text("")


@pytest.mark.plants("DAT001")
@pytest.mark.parametrize(
    "plant",
    [
        attack_case(
            hidden(".dvcignore", "*"),
            guard="DAT001",
            tried="`.dvcignore: *` hides the whole pipeline from DVC, so no stage is stale",
            said="dvc.yaml: `.dvcignore` hides it from DVC, so nothing that it names is checked",
        ),
        attack_case(
            hidden(".gitignore", "dvc.yaml"),
            guard="DAT001",
            tried="`.gitignore` names `dvc.yaml`, which git tracks all the same, and DVC passes it over",
            said="dvc.yaml: `.gitignore` hides it from DVC, so nothing that it names is checked",
        ),
        attack_case(
            hidden(".gitignore", "*.dvc"),
            guard="DAT001",
            tried="`.gitignore` names the `.dvc` file of data that a stage reads, and DVC passes it over",
            said="reference.csv.dvc: `.gitignore` hides it from DVC, so nothing that it names is checked",
        ),
        attack_case(
            hidden(".dvcignore", "*.dvc"),
            guard="DAT001",
            tried="`.dvcignore` hides the `.dvc` file of data that a stage reads",
            said="reference.csv.dvc: `.dvcignore` hides it from DVC, so nothing that it names is checked",
        ),
        attack_case(
            hidden(".dvcignore", "train.py"),
            guard="DAT001",
            tried="`.dvcignore` hides code that a stage reads, so that it can change unnoticed",
            said="code/train.py: `.dvcignore` hides it from DVC, so its changes are not noticed",
        ),
        attack_case(
            hidden("code/.dvcignore", "*", "!README.md"),
            guard="DAT001",
            tried="a `.dvcignore` in the folder hides code that a stage reads",
            said="code/train.py: `.dvcignore` hides it from DVC, so its changes are not noticed",
        ),
    ],
)
def test_dat001_fails_where_something_that_counts_is_hidden_from_dvc(
    with_code: Project, plant: Callable[[Project], None], said: str
) -> None:
    assert dat001(with_code).outcome is Outcome.PASSED
    plant(with_code)
    finding = dat001(Project(with_code.root))
    assert finding.outcome is Outcome.FAILED
    assert said in finding.reason


def test_dat001_fails_where_code_seems_to_be_of_another_dvc_repository(with_code: Project) -> None:
    another_repository(with_code)
    assert dat001(Project(with_code.root)).outcome is Outcome.FAILED


def test_dat001_passes_what_dvcignore_may_hide(with_code: Project) -> None:
    """Caches, documents, what is in no folder that a stage reads, and the pipeline of an example."""
    (with_code.root / "code/__pycache__").mkdir()
    (with_code.root / "code/__pycache__/train.cpython-311.pyc").write_bytes(b"x")
    for name in ("dvc.yaml", "dvc.lock"):
        (with_code.root / "example").mkdir(exist_ok=True)
        (with_code.root / "example" / name).write_text("stages: {}\n")
    (with_code.root / "notes.py").write_text("x = 1\n")
    hidden(".dvcignore", "__pycache__", "*.pyc", "*.md", "*.log", "/notes.py", "/example/", ".DS_Store")(with_code)
    remake(with_code.root)
    with_code.git("add", "--all")
    assert dat001(Project(with_code.root)).outcome is Outcome.PASSED


def test_dat001_does_not_pass_where_it_cannot_tell(dvc_project: Project, storage: Path) -> None:
    """A stage reads a file of a folder whose manifest is nowhere."""
    with (dvc_project.root / "dvc.yaml").open("a") as stream:
        stream.write("  train:\n    cmd: x\n    deps: [data/dataset/train.parquet]\n    outs: [model.txt]\n")
    (dvc_project.root / "model.txt").write_text("weights")
    remake(dvc_project.root)
    without_data(dvc_project)
    assert dat001(dvc_project).outcome is Outcome.PASSED, "the remote has the manifest"
    next(storage.rglob("*.dir")).unlink()
    finding = dat001(dvc_project)
    assert finding.outcome is Outcome.SKIPPED
    assert finding.reason == (
        "stage train: data/dataset/train.parquet is missing and cannot be compared; run `beampermit data pull`"
    )


BROKEN = {
    "conflict in the lock": ("dvc.lock", "stages:", "<<<<<<< HEAD\nstages:", 2, "merge-conflict markers"),
    "conflict in the pipeline": ("dvc.yaml", "stages:", "<<<<<<< HEAD\nstages:", 1, "merge-conflict markers"),
    "not YAML": ("dvc.yaml", "stages:", "stages: [", 3, "not YAML"),
    "tab": ("params.yaml", "rows: 8", "raw:\n\trows: 8", 2, "YAML is indented by spaces, not by tabs"),
    "unknown key": ("dvc.yaml", "deps: [make.py]", "dep: [make.py]", 4, "dep: extra keys not allowed"),
    "hash by hand": ("dvc.lock", "md5: ", "md5: ../../x", None, "not an md5 as DVC writes it"),
}


@pytest.mark.parametrize("defect", BROKEN)
def test_a_broken_file_of_dvc_is_named_with_its_line(dvc_project: Project, defect: str) -> None:
    file, before, after, line, message = BROKEN[defect]
    if defect == "hash by hand":
        lines = (dvc_project.root / file).read_text()
        before = next(text for text in lines.splitlines() if text.endswith(".dir")).strip()
    replace(dvc_project.root / file, before, after)
    with pytest.raises(BadInput) as caught:
        _ = Repository.of(dvc_project).outputs
    assert message in caught.value.message
    assert caught.value.file == file
    assert caught.value.line == (line or caught.value.line) is not None


def test_dvc_reads_its_files_quickly(dvc_project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = Repository.of(dvc_project)
    monkeypatch.setattr(YAML, "load", None)
    assert {stage.name for stage in repository.stages} == {"raw", "dataset"}
    assert repository.outputs


@pytest.mark.parametrize("path", [".git/hooks", ".Git/hooks", ".beampermit"])
def test_an_output_that_would_be_written_into_folders_of_others_is_refused(dvc_project: Project, path: str) -> None:
    for name in ("dvc.yaml", "dvc.lock"):
        file = dvc_project.root / name
        file.write_text(file.read_text().replace("data/dataset", path))
    with pytest.raises(BadInput, match=r"leads into '.Git'|leads into '.beampermit'|ignored by :.git"):
        _ = Repository.of(dvc_project).outputs


# DAT002


def test_dat002_asks_only_for_what_is_new_since_the_base(dvc_project: Project, alter: Alter) -> None:
    alter("train", "*", "LIMIT 7")
    remake(dvc_project.root)
    finding = dat002(dvc_project)
    assert (finding.outcome, finding.evidence["looked_up"], finding.evidence["objects"]) == (Outcome.PASSED, 2, 6)


@pytest.mark.plants("DAT002")
@pytest.mark.parametrize("path", ["data/raw.parquet", "data/dataset/test.parquet"])
def test_dat002_fails_on_an_object_that_is_not_on_the_remote(dvc_project: Project, storage: Path, path: str) -> None:
    leaf(dvc_project.root, storage, path).unlink()
    finding = dat002(Project(dvc_project.root, base="HEAD~0"))
    assert finding.outcome is Outcome.PASSED, "the base branch has it too"
    dvc_project.git("branch", "--delete", "--force", "main")
    finding = dat002(Project(dvc_project.root))
    assert finding.outcome is Outcome.FAILED
    assert f"{path} is not on storage" in finding.reason


def test_dat002_fails_on_a_new_leaf_that_was_not_pushed(dvc_project: Project, storage: Path, alter: Alter) -> None:
    alter("train", "*", "LIMIT 7")
    remake(dvc_project.root)
    leaf(dvc_project.root, storage, "data/dataset/train.parquet").unlink()
    finding = dat002(dvc_project)
    assert "data/dataset/train.parquet is not on storage" in finding.reason
    assert finding.evidence["looked_up"] == 2


def test_dat002_fails_on_data_declared_never_to_be_pushed(dvc_project: Project) -> None:
    replace(dvc_project.root / "dvc.yaml", "- data/raw.parquet", "- data/raw.parquet: {push: false}")
    assert "data/raw.parquet is declared `push: false`" in dat002(dvc_project).reason


def test_a_remote_that_is_down_is_the_outside_world_not_the_project(dvc_project: Project, storage: Path) -> None:
    shutil.rmtree(storage)
    storage.write_text("a broken disk")
    with pytest.raises(Outside, match=r"the remote storage .* cannot be reached"):
        dat002(dvc_project)
    without_data(dvc_project)
    for verdict in check(dvc_project, select_interlocks(["DAT002", "DAT003"])):
        assert (verdict.outcome, verdict.exit_code, verdict.fix) == (Outcome.ERROR, 4, "")


@pytest.mark.plants("DAT002", "DAT003")
@pytest.mark.parametrize("made", [True, False])
def test_an_empty_remote_is_said_to_be_empty(dvc_project: Project, storage: Path, made: bool) -> None:
    """As `dvc push` finds it before its first time. Nobody has tampered with anything."""
    shutil.rmtree(storage)
    if made:
        storage.mkdir()
    without_data(dvc_project)
    why = "is empty: nothing was pushed to it yet" if made else "does not exist: nothing was pushed to it yet, or"
    for verdict in check(dvc_project, select_interlocks(["DAT002", "DAT003"])):
        assert (verdict.outcome, verdict.exit_code) == (Outcome.FAILED, 1)
        assert why in verdict.reason
        assert verdict.fix == "Run `dvc push` on the machine where the data were made: it has what the remote lacks."


def test_no_remote_at_all_is_a_wrong_configuration(dvc_project: Project) -> None:
    (dvc_project.root / ".dvc/config").write_text("")
    with pytest.raises(BadInput) as caught:
        dat002(Project(dvc_project.root))
    assert caught.value.message.startswith("a default remote is not configured")
    assert caught.value.hint == "dvc remote add --default NAME URL"


def test_a_remote_that_only_dvc_yaml_names_is_not_configured(dvc_project: Project) -> None:
    replace(dvc_project.root / "dvc.yaml", "- data/raw.parquet", "- data/raw.parquet: {remote: tape}")
    with pytest.raises(BadInput, match="a remote called tape is not configured"):
        dat002(dvc_project)


def test_the_file_that_binds_an_object_is_named(with_code: Project, storage: Path) -> None:
    leaf(with_code.root, storage, "reference.csv").unlink()
    append("reference.csv")(with_code)
    for finding in (dat002(with_code), dat003(with_code)):
        assert [place.file for place in finding.locations] == ["reference.csv.dvc"]


def test_a_pull_request_cannot_redirect_the_remote(dvc_project: Project, storage: Path) -> None:
    storage.rename(storage.with_name("other"))
    replace(dvc_project.root / ".dvc/config", "../../storage", "../../other")
    assert dat002(dvc_project).reason.startswith(f"the remote storage ({storage}) does not exist")
    assert "remote storage: url ../../storage -> ../../other" in DAT008().check(dvc_project).reason


# DAT003

SOUND = "0" * 32
MANIFESTS = {
    "leaves the folder": ([{"md5": SOUND, "relpath": "../../x"}], "has the part '..'"),
    "absolute": ([{"md5": SOUND, "relpath": "/tmp/x"}], "is not a relative path"),
    "into git": ([{"md5": SOUND, "relpath": "a/.GIT/config"}], "leads into '.GIT'"),
    "into dvc": ([{"md5": SOUND, "relpath": ".dvc/config"}], "leads into '.dvc'"),
    "backslash": ([{"md5": SOUND, "relpath": "..\\x"}], "is not a relative path"),
    "NUL": ([{"md5": SOUND, "relpath": "a\0b"}], "contains a control character"),
    "not UTF-8": ([{"md5": SOUND, "relpath": "a\ud800"}], "is not JSON: no low surrogate"),
    "case clash": ([{"md5": SOUND, "relpath": name} for name in ("a/B", "a/b")], "are one file on some systems"),
    "Unicode clash": ([{"md5": SOUND, "relpath": name} for name in ("\u00e9", "e\u0301")], "are one file on some"),
    "given twice": ([{"md5": SOUND, "relpath": "a"}] * 2, "are one file on some systems"),
    "file and folder": ([{"md5": SOUND, "relpath": name} for name in ("a", "a/b")], "are one file on some systems"),
    "not a hash": ([{"md5": "../../../x", "relpath": "a"}], "has no md5 of 32 hexadecimal digits"),
    "folder in a folder": ([{"md5": SOUND + ".dir", "relpath": "a"}], "has no md5 of 32 hexadecimal digits"),
    "more than a name and a hash": (
        [{"md5": SOUND, "relpath": "a", "url": "x"}],
        "does not have exactly the keys md5 and relpath",
    ),
    "not a list": ({"md5": SOUND}, "is not a list of files"),
    "deep": ("[" * 5, "is not a list of files"),
}


@pytest.mark.plants("DAT003")
@pytest.mark.parametrize("defect", MANIFESTS)
def test_dat003_fails_on_a_manifest_that_must_not_be_checked_out(
    dvc_project: Project, storage: Path, defect: str
) -> None:
    entries, reason = MANIFESTS[defect]
    plant_manifest(dvc_project, storage, entries)
    finding = dat003(dvc_project)
    assert finding.outcome is Outcome.FAILED
    assert "the manifest of data/dataset" in finding.reason
    assert reason in finding.reason


def test_dat003_fails_on_a_manifest_whose_bytes_are_not_its_name(dvc_project: Project, storage: Path) -> None:
    without_data(dvc_project)
    file = next(storage.rglob("*.dir"))
    file.chmod(0o644)
    file.write_text("[]")
    assert "its bytes have the hash d751713988987e9331980363e24189ce" in dat003(dvc_project).reason


def test_dat003_fails_on_a_manifest_that_nobody_has(dvc_project: Project, storage: Path) -> None:
    without_data(dvc_project)
    next(storage.rglob("*.dir")).unlink()
    assert "the manifest of data/dataset is neither on this machine nor on storage" in dat003(dvc_project).reason


def test_dat003_does_not_pass_where_no_bytes_could_be_read(dvc_project: Project) -> None:
    without_data(dvc_project)
    finding = dat003(dvc_project)
    assert finding.outcome is Outcome.SKIPPED
    assert "beampermit data pull" in finding.reason


COLLIDING = bytes.fromhex(
    "d131dd02c5e6eec4693d9a0698aff95c2fcab58712467eab4004583eb8fb7f8955ad340609f4b30283e488832571415a"
    "085125e8f7cdc99fd91dbdf280373c5bd8823e3156348f5bae6dacd436c919c6dd53e2b487da03fd02396306d248cda0"
    "e99f33420f577ee8ce54b67080a80d1ec69821bcb6a8839396f9652b6ff72a70"
)
"""Has the md5 of the same bytes with another first bit in six of them (Wang and Yu, 2004)."""
OTHER = bytes(byte ^ 0x80 if at in (19, 45, 59, 83, 109, 123) else byte for at, byte in enumerate(COLLIDING))


def reading(project: Project, paths: list[str], **listed: bytes) -> None:
    """The stage `raw` reads what `dvc add` recorded, and the manifest has the digests of `listed`."""
    from dvc.repo import Repo

    with Repo(str(project.root)) as repository:
        repository.add([str(project.root / path.partition("/")[0]) for path in paths])
    replace(project.root / "dvc.yaml", "deps: [make.py]", f"deps: [make.py, {', '.join(paths)}]")
    remake(project.root)
    files = {name: digest_bytes(content) for name, content in listed.items()}
    write_json(project.root / "manifest.json", {"algorithm": "sha256", "files": files})
    project.git("add", "--all")


def swap(file: Path, stores: list[Path]) -> None:
    """Put the other bytes everywhere: in the work tree, the cache and the remote."""
    for place in (file, *(place for store in stores for place in store.rglob("*") if place.is_file())):
        if place.read_bytes() == COLLIDING:
            place.chmod(0o644)
            place.write_bytes(OTHER)


@pytest.mark.attack(
    guard="DAT003",
    tried="data that a stage reads are swapped, everywhere, for other bytes with the same md5",
    said="reference has another sha256 there",
)
def test_dat003_fails_on_data_that_were_swapped_for_others_with_one_md5(
    dvc_project: Project, storage: Path, said: str
) -> None:
    file = dvc_project.root / "reference"
    file.write_bytes(COLLIDING)
    reading(dvc_project, ["reference"], reference=COLLIDING)
    assert dat003(dvc_project).outcome is Outcome.PASSED
    swap(file, [storage, dvc_project.root / ".dvc/cache"])
    assert file.read_bytes() == OTHER != COLLIDING
    project = Project(dvc_project.root)
    assert (dat001(project).outcome, dat002(project).outcome) == (Outcome.PASSED, Outcome.PASSED), "md5 cannot tell"
    finding = dat003(project)
    assert finding.outcome is Outcome.FAILED
    assert said in finding.reason


@pytest.mark.attack(
    guard="DAT003",
    tried="data that a stage reads are in no manifest, so that only their md5 binds them",
    said="reference/one, which stage raw reads, has no sha256 there",
)
def test_dat003_fails_on_data_that_only_md5_binds(dvc_project: Project, said: str) -> None:
    """One file of a folder is read; the other, which nothing reads, need not be listed."""
    (dvc_project.root / "reference").mkdir()
    for name in ("one", "two"):
        (dvc_project.root / "reference" / name).write_text(name)
    reading(dvc_project, ["reference/one"], other=b"")
    finding = dat003(dvc_project)
    assert finding.outcome is Outcome.FAILED
    assert finding.reason == f"compared with manifest.json and data/dataset.json: {said}"
    reading_list = {"reference/one": digest_bytes(b"one")}
    write_json(dvc_project.root / "manifest.json", {"algorithm": "sha256", "files": reading_list})
    assert dat003(dvc_project).outcome is Outcome.PASSED


def corrupt(file: Path) -> None:
    """Other bytes, same size, same times: what a memory of hashes does not notice."""
    found = file.stat()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.chmod(0o644)
    file.write_bytes(content)
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))


def test_dat003_fails_on_a_cached_object_of_the_same_size_with_other_bytes(dvc_project: Project) -> None:
    corrupt(leaf(dvc_project.root, dvc_project.root / ".dvc/cache", "data/dataset/test.parquet"))
    assert "test.parquet does not match its hash" in dat003(dvc_project).reason


def test_dat003_fails_on_bytes_in_the_work_tree_that_only_look_unchanged(dvc_project: Project) -> None:
    corrupt(dvc_project.root / "data/dataset/train.parquet")
    assert "data/dataset/train.parquet does not match its hash" in dat003(dvc_project).reason


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["pipe", "link"])
def test_dat003_opens_neither_pipes_nor_links_among_the_data(dvc_project: Project, kind: str) -> None:
    file = dvc_project.root / "data/dataset/extra"
    if kind == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("/etc")
    what = "a named pipe" if kind == "pipe" else "a link to /etc"
    assert f"data/dataset/extra is {what}" in dat003(dvc_project).reason
