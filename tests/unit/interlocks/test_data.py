"""Each interlock on data is closed for a sound project, and trips with a reason that names what was planted."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.datasets.repository import Repository
from beampermit.errors import BadInput, Outside, Tripped
from beampermit.interlocks.data import DAT001, DAT002, DAT003, DAT004, DAT005, DAT006, DAT007, DAT008
from beampermit.interlocks.interlock import Absent, Finding
from beampermit.interlocks.runner import check, select
from beampermit.project import Project
from beampermit.verdict import Outcome
from dvc_repositories import leaf, plant_manifest, remake, replace, without_data

Alter = Callable[..., None]


def dat001(project: Project) -> Finding:
    return DAT001().check(Repository.of(project))


def dat002(project: Project) -> Finding:
    return DAT002().check(Repository.of(project))


def dat003(project: Project) -> Finding:
    return DAT003().check(Repository.of(project))


def dat004(project: Project) -> Finding:
    return DAT004().check(project, project.contract, project.judge)


def dat005(project: Project) -> Finding:
    return DAT005().check(project, project.contract, project.judge)


def dat006(project: Project) -> Finding:
    return DAT006().check(project, project.contract, project.judge)


def dat007(project: Project) -> Finding:
    return DAT007().check(project, project.contract)


def dat008(project: Project) -> Finding:
    return DAT008().check(project)


def test_a_sound_project_closes_every_interlock_on_data(dvc_project: Project) -> None:
    verdicts = check(dvc_project, select(["DAT"]))
    assert {verdict.id: verdict.reason for verdict in verdicts if not verdict.closed} == {}
    assert dvc_project.git("status", "--porcelain") == "", "looking changes nothing"


# DAT001


def test_dat001_judges_the_lock_alone_where_data_were_not_pulled(dvc_project: Project) -> None:
    without_data(dvc_project)
    assert dat001(dvc_project).outcome is Outcome.CLOSED


def edit(file: str, before: str, after: str) -> Callable[[Project], None]:
    return lambda project: replace(project.root / file, before, after)


def append(file: str) -> Callable[[Project], None]:
    return lambda project: replace_bytes(project.root / file, b"more")


def replace_bytes(file: Path, more: bytes) -> None:
    content = file.read_bytes()
    file.chmod(0o644)
    file.unlink()
    file.write_bytes(content + more)


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
    "command": (edit("dvc.yaml", "make.py dataset", "make.py dataset --fast"), "stage dataset: its command changed"),
    "code": (append("make.py"), "make.py is not what dvc.lock names"),
    "code gone": (lambda project: (project.root / "make.py").unlink(), "make.py is missing"),
    "parameter": (edit("params.yaml", "8", "9"), "stage raw: params.yaml: rows is 9, it ran with 8"),
    "parameter gone": (edit("params.yaml", "rows", "columns"), "rows is absent, it ran with 8"),
    "input added": (edit("dvc.yaml", "deps: [make.py]", "deps: [make.py, params.yaml]"), "its input params.yaml"),
    "output added": (edit("dvc.yaml", "outs: [data/dataset,", "outs: [log, data/dataset,"), "know its output log"),
    "never ran": (never_run, "stage train: never ran: dvc.lock does not know it"),
    "no lock at all": (lambda project: (project.root / "dvc.lock").unlink(), "stage raw: never ran"),
    "kept file edited": (append("data/raw.parquet"), "stage raw: data/raw.parquet is not what dvc.lock names"),
    "folder edited": (append("data/dataset/test.parquet"), "data/dataset is not what dvc.lock names"),
    "file in git edited": (append("data/raw.json"), "data/raw.json is not what dvc.lock names"),
    "file in git gone": (lambda project: (project.root / "data/raw.json").unlink(), "data/raw.json is missing"),
    "data outside": (edit("dvc.yaml", "deps: [make.py]", "deps: [make.py, /etc/hosts]"), "outside the project"),
    "pipe": (pipe, "data/raw.parquet is a named pipe, not a file"),
    "link out": (link_to_endless, "make.py is a link to /dev/zero, not a file"),
}


@pytest.mark.parametrize("defect", STALE)
def test_dat001_trips_on_what_changed_since_the_lock(dvc_project: Project, defect: str) -> None:
    plant, reason = STALE[defect]
    plant(dvc_project)
    finding = dat001(dvc_project)
    assert finding.outcome is Outcome.TRIPPED
    assert reason in " ".join(finding.evidence["changes"])


def test_dat001_trips_where_a_stage_ran_on_another_version_than_its_producer_made(dvc_project: Project) -> None:
    without_data(dvc_project)
    lock = dvc_project.root / "dvc.lock"
    before, after = lock.read_text().split("  dataset:")
    value = next(line.split()[-1] for line in after.splitlines() if "md5: " in line and "hash" not in line)
    lock.write_text(before + "  dataset:" + after.replace(value, "f" * 32))
    assert "it ran on another data/labels.parquet than stage raw made" in dat001(dvc_project).reason


BROKEN = {
    "conflict in the lock": ("dvc.lock", "stages:", "<<<<<<< HEAD\nstages:", 2, "merge-conflict markers"),
    "conflict in the pipeline": ("dvc.yaml", "stages:", "<<<<<<< HEAD\nstages:", 1, "merge-conflict markers"),
    "not YAML": ("dvc.yaml", "stages:", "stages: [", 3, "not YAML"),
    "unknown key": ("dvc.yaml", "deps: [make.py]", "dep: [make.py]", 4, "dep: extra keys not allowed"),
    "hash by hand": ("dvc.lock", "md5: ", "md5: ../../x", None, "not one of DVC's"),
}


@pytest.mark.parametrize("defect", BROKEN)
def test_a_broken_file_of_dvc_is_named_with_its_line(dvc_project: Project, defect: str) -> None:
    file, before, after, line, message = BROKEN[defect]
    if defect == "hash by hand":
        lines = (dvc_project.root / file).read_text()
        before = next(text for text in lines.splitlines() if text.endswith(".dir")).strip()
    replace(dvc_project.root / file, before, after)
    with pytest.raises(BadInput) as caught:
        _ = Repository.of(dvc_project).kept
    assert message in caught.value.message
    assert caught.value.file == file
    assert caught.value.line == (line or caught.value.line) is not None


@pytest.mark.parametrize("path", [".git/hooks", ".Git/hooks", ".beampermit"])
def test_an_output_that_would_be_written_into_folders_of_others_is_refused(dvc_project: Project, path: str) -> None:
    for name in ("dvc.yaml", "dvc.lock"):
        file = dvc_project.root / name
        file.write_text(file.read_text().replace("data/dataset", path))
    with pytest.raises(BadInput, match=r"goes into '.Git'|goes into '.beampermit'|ignored by :.git"):
        _ = Repository.of(dvc_project).kept


# DAT002


def test_dat002_asks_only_for_what_is_new_since_the_base(dvc_project: Project, alter: Alter) -> None:
    alter("train", "*", "LIMIT 7")
    remake(dvc_project.root)
    finding = dat002(dvc_project)
    assert (finding.outcome, finding.evidence["asked"], finding.evidence["objects"]) == (Outcome.CLOSED, 2, 6)


@pytest.mark.parametrize("path", ["data/raw.parquet", "data/dataset/test.parquet"])
def test_dat002_trips_on_an_object_that_is_not_on_the_remote(dvc_project: Project, storage: Path, path: str) -> None:
    leaf(dvc_project.root, storage, path).unlink()
    finding = dat002(Project(dvc_project.root, base="HEAD~0"))
    assert finding.outcome is Outcome.CLOSED, "the base branch has it too"
    dvc_project.git("branch", "--delete", "--force", "main")
    finding = dat002(Project(dvc_project.root))
    assert finding.outcome is Outcome.TRIPPED
    assert f"{path} is not on storage" in finding.reason


def test_dat002_trips_on_a_new_leaf_that_was_not_pushed(dvc_project: Project, storage: Path, alter: Alter) -> None:
    alter("train", "*", "LIMIT 7")
    remake(dvc_project.root)
    leaf(dvc_project.root, storage, "data/dataset/train.parquet").unlink()
    finding = dat002(dvc_project)
    assert "data/dataset/train.parquet is not on storage" in finding.reason
    assert finding.evidence["asked"] == 2


def test_dat002_trips_on_data_declared_never_to_be_pushed(dvc_project: Project) -> None:
    replace(dvc_project.root / "dvc.yaml", "- data/raw.parquet", "- data/raw.parquet: {push: false}")
    assert "data/raw.parquet is declared `push: false`" in dat002(dvc_project).reason


def test_a_remote_that_is_down_is_the_outside_world_not_the_project(dvc_project: Project, storage: Path) -> None:
    shutil.rmtree(storage)
    with pytest.raises(Outside, match=r"the remote storage .* cannot be reached"):
        dat002(dvc_project)
    verdict = check(dvc_project, select(["DAT002"]))[0]
    assert (verdict.outcome, verdict.exit_code) == (Outcome.ERROR, 4)


def test_no_remote_at_all_is_the_outside_world(dvc_project: Project) -> None:
    (dvc_project.root / ".dvc/config").write_text("")
    with pytest.raises(Outside, match="no remote"):
        dat002(Project(dvc_project.root))


def test_a_pull_request_cannot_redirect_the_remote(dvc_project: Project, storage: Path) -> None:
    storage.rename(storage.with_name("other"))
    replace(dvc_project.root / ".dvc/config", "../../storage", "../../other")
    with pytest.raises(Outside, match="the remote storage"):
        dat002(dvc_project)
    assert "remote storage: url ../../storage -> ../../other" in dat008(dvc_project).reason


# DAT003

SOUND = "0" * 32
MANIFESTS = {
    "leaves the folder": ([{"md5": SOUND, "relpath": "../../x"}], "has the part '..'"),
    "absolute": ([{"md5": SOUND, "relpath": "/tmp/x"}], "is not a relative path"),
    "into git": ([{"md5": SOUND, "relpath": "a/.GIT/config"}], "goes into '.GIT'"),
    "into dvc": ([{"md5": SOUND, "relpath": ".dvc/config"}], "goes into '.dvc'"),
    "backslash": ([{"md5": SOUND, "relpath": "..\\x"}], "is not a relative path"),
    "NUL": ([{"md5": SOUND, "relpath": "a\0b"}], "holds a control character"),
    "not UTF-8": ([{"md5": SOUND, "relpath": "a\ud800"}], "is not JSON: no low surrogate"),
    "case clash": ([{"md5": SOUND, "relpath": name} for name in ("a/B", "a/b")], "are one file on some systems"),
    "Unicode clash": ([{"md5": SOUND, "relpath": name} for name in ("\u00e9", "e\u0301")], "are one file on some"),
    "given twice": ([{"md5": SOUND, "relpath": "a"}] * 2, "are one file on some systems"),
    "file and folder": ([{"md5": SOUND, "relpath": name} for name in ("a", "a/b")], "are one file on some systems"),
    "not a hash": ([{"md5": "../../../x", "relpath": "a"}], "has no hash of 32 hexadecimal digits"),
    "folder in a folder": ([{"md5": SOUND + ".dir", "relpath": "a"}], "has no hash of 32 hexadecimal digits"),
    "more than a name and a hash": ([{"md5": SOUND, "relpath": "a", "url": "x"}], "is not a name with a hash"),
    "not a list": ({"md5": SOUND}, "is not a list of files"),
    "deep": ("[" * 5, "is not a list of files"),
}


@pytest.mark.parametrize("defect", MANIFESTS)
def test_dat003_trips_on_a_manifest_that_must_not_be_checked_out(
    dvc_project: Project, storage: Path, defect: str
) -> None:
    entries, reason = MANIFESTS[defect]
    plant_manifest(dvc_project, storage, entries)
    finding = dat003(dvc_project)
    assert finding.outcome is Outcome.TRIPPED
    assert "the manifest of data/dataset" in finding.reason
    assert reason in finding.reason


def test_dat003_trips_on_a_manifest_whose_bytes_are_not_its_name(dvc_project: Project, storage: Path) -> None:
    without_data(dvc_project)
    file = next(storage.rglob("*.dir"))
    file.chmod(0o644)
    file.write_text("[]")
    assert "its bytes have the hash d751713988987e9331980363e24189ce" in dat003(dvc_project).reason


def test_dat003_trips_on_a_manifest_that_nobody_has(dvc_project: Project, storage: Path) -> None:
    without_data(dvc_project)
    next(storage.rglob("*.dir")).unlink()
    assert "the manifest of data/dataset is neither here nor on the remote" in dat003(dvc_project).reason


def test_dat003_is_not_closed_where_no_bytes_could_be_read(dvc_project: Project) -> None:
    without_data(dvc_project)
    finding = dat003(dvc_project)
    assert finding.outcome is Outcome.SKIPPED
    assert "beampermit data pull" in finding.reason


def corrupt(file: Path) -> None:
    """Other bytes, same size, same times: what a memory of hashes does not notice."""
    found = file.stat()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.chmod(0o644)
    file.write_bytes(content)
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns))


def test_dat003_trips_on_a_cached_object_of_the_same_size_with_other_bytes(dvc_project: Project) -> None:
    corrupt(leaf(dvc_project.root, dvc_project.root / ".dvc/cache", "data/dataset/test.parquet"))
    assert "test.parquet has other bytes than its hash" in dat003(dvc_project).reason


def test_dat003_trips_on_bytes_in_the_work_tree_that_only_look_unchanged(dvc_project: Project) -> None:
    corrupt(dvc_project.root / "data/dataset/train.parquet")
    assert "data/dataset/train.parquet has other bytes than its hash" in dat003(dvc_project).reason


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


# DAT004

ROWS: dict[str, tuple[str, str]] = {
    "above": (
        "* REPLACE (list_transform(turns, lambda x: x + 32.2) AS turns)",
        "train.parquet: turns reaches 35.2 mm, outside [-20, 20] mm, in 8 of 8 rows"
        " (first: acquisition a01-0, device BPM.1, plane X)",
    ),
    "below": ("* REPLACE (list_transform(turns, lambda x: x - 30) AS turns)", "turns reaches -31 mm, outside"),
    "NaN": ("* REPLACE ([1, 'nan'::FLOAT, 2, 3] AS turns)", "turns is not finite in 8 of 8 rows"),
    "infinite": ("* REPLACE ([1, '-inf'::FLOAT, 2, 3] AS turns)", "turns is not finite in 8 of 8 rows"),
    "null in a list": ("* REPLACE ([1, NULL, 2, 3]::FLOAT[] AS turns)", "turns is null in 8 of 8 rows"),
    "null list": ("* REPLACE (NULL::FLOAT[] AS turns)", "turns is null in 8 of 8 rows"),
    "short": ("* REPLACE (turns[:3] AS turns)", "turns has not 4 values in 8 of 8 rows"),
    "empty list": ("* REPLACE ([]::FLOAT[] AS turns)", "turns has not 4 values in 8 of 8 rows"),
    "renamed": ("* RENAME (turns AS turn)", "there is no column 'turns'; is it 'turn'?"),
    "other case": ("* RENAME (turns AS TURNS)", "there is no column 'turns'"),
    "no target": ("* EXCLUDE (faulty)", "there is no column 'faulty'"),
    "text": ("* REPLACE ('x' AS turns)", "turns is of type VARCHAR, not lists of 4 numbers"),
    "numbers, not lists": ("* REPLACE (1.5::FLOAT AS turns)", "turns is of type FLOAT, not lists of 4 numbers"),
    "null key": ("* REPLACE (NULL::VARCHAR AS device)", "device is null in 8 of 8 rows"),
    "key twice": ("* REPLACE ('a' AS acquisition)", "6 of 8 rows repeat the key of another (first: acquisition a,"),
}


@pytest.mark.parametrize("defect", ROWS)
def test_dat004_trips_on_rows_that_break_the_contract(dvc_project: Project, alter: Alter, defect: str) -> None:
    columns, reason = ROWS[defect]
    alter("train", columns)
    finding = dat004(dvc_project)
    assert finding.outcome is Outcome.TRIPPED
    assert reason in finding.reason
    assert finding.locations[0].file == "data/dataset/train.parquet"


def test_dat004_counts_and_names_the_rows_that_are_out_of_range(dvc_project: Project, alter: Alter) -> None:
    alter("test", "* REPLACE (CASE WHEN plane = 'Y' THEN [99, 0, 0, 0]::FLOAT[] ELSE turns END AS turns)")
    finding = dat004(dvc_project)
    signal = finding.evidence["splits"][2]["signals"]["turns"]
    assert (signal["rows_outside"], signal["highest"]) == (4, 99)
    assert signal["first"]["outside"][0] == {"acquisition": "a03-0", "device": "BPM.3", "plane": "Y"}


def test_dat004_trips_on_no_rows(dvc_project: Project, alter: Alter) -> None:
    alter("train", "*", "LIMIT 0")
    assert "train.parquet: has no rows" in dat004(dvc_project).reason


def test_dat004_trips_on_a_truncated_file(dvc_project: Project) -> None:
    file = dvc_project.root / "data/dataset/train.parquet"
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content[: len(content) // 2])
    finding = dat004(dvc_project)
    assert finding.outcome is Outcome.TRIPPED
    assert "train.parquet: cannot be read" in finding.reason


@pytest.mark.parametrize("unit", ["um", "mm"])
def test_dat004_compares_the_unit_that_the_file_states(dvc_project: Project, alter: Alter, unit: str) -> None:
    alter("train", "*", options=f', KV_METADATA {{units: \'{{"turns": "{unit}"}}\'}}')
    finding = dat004(dvc_project)
    assert (finding.outcome is Outcome.CLOSED) == (unit == "mm")
    assert ("turns is in um, the contract says mm" in finding.reason) == (unit == "um")


def test_dat004_judges_by_the_base_branch_and_shows_a_changed_range(dvc_project: Project, alter: Alter) -> None:
    alter("train", "* REPLACE (list_transform(turns, lambda x: x + 32.2) AS turns)")
    replace(dvc_project.root / "contract.yaml", "range: [-20, 20]", "range: [-50, 50]")
    finding = dat004(dvc_project)
    assert "outside [-20, 20] mm" in finding.reason
    assert "this pull request changes turns from [-20, 20] mm to [-50, 50] mm" in finding.reason


def test_dat004_is_skipped_where_data_were_not_pulled(dvc_project: Project) -> None:
    without_data(dvc_project)
    with pytest.raises(Absent, match=r"data/dataset/train.parquet is not here \(and 2 more\)"):
        dat004(dvc_project)
    assert check(dvc_project, select(["DAT004"]))[0].outcome is Outcome.SKIPPED


@pytest.mark.timeout(20)
def test_dat004_does_not_wait_for_a_pipe(dvc_project: Project) -> None:
    file = dvc_project.root / "data/dataset/train.parquet"
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(Tripped, match="is a named pipe"):
        dat004(dvc_project)


# DAT005

SHARED: dict[str, tuple[str, str]] = {
    "time": ("* REPLACE (acquired_at - INTERVAL 1 DAY AS acquired_at)", "overlap in acquired_at from 2026-01-02T00:00"),
    "device": ("* REPLACE ('BPM.2' AS device)", "validation and test share 1 of device, such as BPM.2"),
    "acquisition": ("* REPLACE ('a02-1' AS acquisition)", "validation and test share 1 of acquisition, such as a02-1"),
    "rows": (
        "* REPLACE ('BPM.2' AS device, 'a02' || acquisition[4:] AS acquisition)",
        "validation and test share 8 rows, such as a02-0 BPM.2 X",
    ),
    "no group": ("* REPLACE (NULL::VARCHAR AS device)", "device is null in 8 rows, which belong to no group"),
}


@pytest.mark.parametrize("defect", SHARED)
def test_dat005_trips_on_what_splits_share(dvc_project: Project, alter: Alter, defect: str) -> None:
    columns, reason = SHARED[defect]
    alter("test", columns)
    finding = dat005(dvc_project)
    assert finding.outcome is Outcome.TRIPPED
    assert any(reason in overlap["words"] for overlap in finding.evidence["overlaps"])


def test_dat005_is_judged_by_the_base_branch(dvc_project: Project, alter: Alter) -> None:
    alter("test", "* REPLACE ('BPM.2' AS device)")
    replace(dvc_project.root / "contract.yaml", "by: [acquisition, device]", "by: [acquisition]")
    assert "share 1 of device" in dat005(dvc_project).reason


def test_dat005_names_the_signals_that_are_too_short_to_be_compared(dvc_project: Project) -> None:
    finding = dat005(dvc_project)
    assert "not looked at for copies, being shorter than 32 values: turns" in finding.reason
    assert finding.evidence["not_compared"] == ("turns",)


def test_dat005_says_which_column_is_missing(dvc_project: Project, alter: Alter) -> None:
    alter("test", "* EXCLUDE (acquired_at)")
    with pytest.raises(Tripped, match="there is no column 'acquired_at' to divide by"):
        dat005(dvc_project)


def test_dat005_trips_on_a_signal_that_was_only_moved_to_another_split(dvc_project: Project, alter: Alter) -> None:
    replace(dvc_project.root / "contract.yaml", "shape: [4]", "shape: [40]")
    for seed, split in enumerate(("train", "validation")):
        noise = f"list_transform(range(40), lambda i: (hash(acquisition || plane || {seed} || i) % 1000) / 100.0)"
        alter(split, f"* REPLACE ({noise} AS turns)")
    train = dvc_project.root / "data/dataset/train.parquet"
    copied = f"(SELECT list_transform(turns[4:], lambda x: -2 * x) || [1, 5, 2] FROM '{train}' LIMIT 1)"
    alter("test", f"* REPLACE (CASE WHEN acquisition = 'a03-1' AND plane = 'Y' THEN {copied} END AS turns)")
    finding = dat005(Project(dvc_project.root))
    assert finding.outcome is Outcome.TRIPPED
    assert "1 turns of test are copies of train's: a03-1 BPM.3 Y is a01-0 BPM.1 X, 3 values earlier, times -2" in (
        finding.reason
    )


# DAT006

LABELS: dict[str, tuple[str, str]] = {
    "no who": ("* EXCLUDE (labelled_by)", "there is no column 'labelled_by'"),
    "renamed": ("* RENAME (labelled_at AS labeled_at)", "no column 'labelled_at'; is it 'labeled_at'?"),
    "no why": ("* REPLACE (' ' AS why)", "why is empty in 24 of 24 labels"),
    "nobody": ("* REPLACE (NULL::VARCHAR AS labelled_by)", "labelled_by is empty in 24 of 24 labels"),
    "null": ("* REPLACE (NULL::BOOLEAN AS faulty)", "faulty is empty in 24 of 24 labels"),
    "when is text": ("* REPLACE ('yesterday' AS labelled_at)", "labelled_at is of type VARCHAR, not a time"),
    "clock jump": (
        "* REPLACE (TIMESTAMPTZ '2099-01-01 00:00:00Z' AS labelled_at)",
        "24 labels were given in the future",
    ),
    "too sure": ("* REPLACE (1.5 AS confidence)", "confidence is not from 0 to 1 in 24 labels"),
    "not sure": ("* REPLACE ('nan'::DOUBLE AS confidence)", "confidence is not from 0 to 1 in 24 labels"),
    "sure in words": ("* REPLACE ('very' AS confidence)", "confidence is of type VARCHAR, not a number"),
    "other labels": ("* REPLACE (NOT faulty AS faulty)", "faulty is not what the labels say in 8 of 8 rows"),
    "other rows": (
        "* REPLACE ('b' || acquisition AS acquisition)",
        "train.parquet: 8 of 8 rows have no label (first: acquisition a01-0, device BPM.1, plane X)",
    ),
    "expert unheard": (
        "* REPLACE ('rule' AS labelled_by)",
        "1 opinions are not in the labels: Ada says true at labels/reviewed.csv:2, the table has true by rule"
        " (acquisition a01-3, device BPM.1, plane X)",
    ),
}


@pytest.mark.parametrize("defect", LABELS)
def test_dat006_trips_on_labels_that_do_not_answer_for_themselves(
    dvc_project: Project, alter: Alter, defect: str
) -> None:
    columns, reason = LABELS[defect]
    alter("../labels", columns)
    finding = dat006(dvc_project)
    assert finding.outcome is Outcome.TRIPPED
    assert reason in " ".join(finding.evidence["problems"])


def test_dat006_trips_on_a_row_that_is_labelled_twice(dvc_project: Project, alter: Alter) -> None:
    alter("../labels", "*", "UNION ALL FROM (SELECT * REPLACE (NOT faulty AS faulty) FROM '{file}' LIMIT 1)")
    assert "1 rows are labelled more than once, 1 of them against each other (first: " in dat006(dvc_project).reason


def test_dat006_trips_on_a_row_without_a_label(dvc_project: Project, alter: Alter) -> None:
    alter("../labels", "*", "WHERE acquisition <> 'a02-2'")
    assert "validation.parquet: 2 of 8 rows have no label (first: acquisition a02-2" in dat006(dvc_project).reason


def test_dat006_trips_on_labels_that_are_no_table(dvc_project: Project) -> None:
    file = dvc_project.root / "data/labels.parquet"
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(Tripped, match="cannot be read") as caught:
        dat006(dvc_project)
    assert caught.value.file == "data/labels.parquet"


def test_dat006_trips_on_labels_that_no_version_is_kept_of(dvc_project: Project) -> None:
    replace(dvc_project.root / "contract.yaml", "labels: data/labels.parquet", "labels: mine.parquet")
    assert dat006(dvc_project).reason == "mine.parquet is kept neither by DVC nor by git"
    dvc_project.git("rm", "--quiet", "--cached", "labels/reviewed.csv")
    replace(dvc_project.root / "contract.yaml", "labels: mine.parquet", "labels: data/labels.parquet")
    assert dat006(Project(dvc_project.root)).reason == "labels/reviewed.csv is kept neither by DVC nor by git"


def test_dat006_shows_what_people_overruled_and_where_they_disagree(dvc_project: Project) -> None:
    with (dvc_project.root / "labels/reviewed.csv").open("a") as stream:
        stream.write("a01-3,BPM.1,X,false,Bo,2026-01-31T10:00:00+01:00,looks sound,0.5\n")
    finding = dat006(dvc_project)
    assert finding.outcome is Outcome.CLOSED
    assert "1 rules overruled by people; on 1 rows people disagree, the last word counts" in finding.reason
    assert finding.evidence["overruled"][0]["before"] == "false"
    assert [said["by"] for said in finding.evidence["conflicts"][0]] == ["Ada", "Bo"]


OPINIONS = {
    "unknown value": ("a01-3,BPM.1,X,maybe,Ada,2026-02-01T10:00:00Z,x,1", "faulty 'maybe' is none of true, false", 3),
    "nobody": ("a01-3,BPM.1,X,true, ,2026-02-01T10:00:00Z,x,1", "nobody stands behind this opinion", 3),
    "no zone": ("a01-3,BPM.1,X,true,Ada,2026-10-25T02:30:00,x,1", "has no time zone; add Z for UTC", 3),
    "no time": ("a01-3,BPM.1,X,true,Ada,last week,x,1", "'last week' is no time such as", 3),
    "future": ("a01-3,BPM.1,X,true,Ada,2099-10-25T02:30:00Z,x,1", "lies in the future", 3),
    "too sure": ("a01-3,BPM.1,X,true,Ada,2026-02-01T10:00:00Z,x,7", "confidence '7' is not a number from 0 to 1", 3),
    "not a number": ("a01-3,BPM.1,X,true,Ada,2026-02-01T10:00:00Z,x,nan", "confidence 'nan' is not", 3),
    "few fields": ("a01-3,BPM.1,X", "has not as many fields as the first", 3),
    "conflict": ("<<<<<<< HEAD", "merge conflicts are settled by keeping both sides' lines", 3),
    "quote": ('a01-3,BPM.1,X,true,"Ada,2026-02-01T10:00:00Z,x,1', "not CSV", 3),
    "not UTF-8": ("a01-3,BPM.1,X,true,\udcff,2026-02-01T10:00:00Z,x,1", "not UTF-8", 3),
}


@pytest.mark.parametrize("defect", OPINIONS)
def test_dat006_trips_on_an_opinion_that_cannot_be_taken(dvc_project: Project, defect: str) -> None:
    text, message, line = OPINIONS[defect]
    with (dvc_project.root / "labels/reviewed.csv").open("a", errors="surrogateescape") as stream:
        stream.write(f"{text}\n")
    with pytest.raises(Tripped) as caught:
        dat006(dvc_project)
    assert message in caught.value.message
    assert (caught.value.file, caught.value.line) == ("labels/reviewed.csv", line)


def test_dat006_trips_on_an_opinion_about_a_row_that_is_not_there(dvc_project: Project) -> None:
    with (dvc_project.root / "labels/reviewed.csv").open("a") as stream:
        stream.write("a09-3,BPM.1,X,true,Ada,2026-02-01T10:00:00Z,x,1\n")
    assert "labels/reviewed.csv:3: 1 opinions are about rows that have no label" in dat006(dvc_project).reason


# DAT007


def broken(key: str, value: object) -> Callable[[Project], None]:
    def plant(project: Project) -> None:
        file = project.root / "data/dataset.json"
        content = json.loads(file.read_text())
        place = content
        *path, last = key.split("/")
        for part in path:
            place = place[part]
        place[last] = value
        file.write_text(json.dumps(content))

    return plant


def untrack(project: Project) -> None:
    project.git("rm", "--quiet", "--cached", "data/dataset.json")
    for name in ("dvc.yaml", "dvc.lock"):
        (project.root / name).unlink()


NOT_ITS = f"sha256:{'0' * 64}"
PEDIGREES: dict[str, tuple[Callable[[Project], None], str]] = {
    "missing": (
        lambda project: (project.root / "data/dataset.json").unlink(),
        "the splits were made from, is not here",
    ),
    "parent": (
        append("data/raw.parquet"),
        "its parent data/raw.parquet has other bytes than when the dataset was made",
    ),
    "code": (append("make.py"), "its code make.py has other bytes"),
    "code gone": (lambda project: (project.root / "make.py").unlink(), "its code make.py is not here"),
    "split": (append("data/dataset/test.parquet"), "split test (data/dataset/test.parquet) has other bytes"),
    "no labels": (broken("parents", {"data/raw.parquet": NOT_ITS}), "it does not name data/labels.parquet"),
    "rule": (
        edit("contract.yaml", "by: [acquisition, device]", "by: [device]"),
        "the splits were made by the rule by acquisition, device and acquired_at, the contract says by device",
    ),
    "elsewhere": (broken("splits/test/path", "data/test.parquet"), "split test was written to data/test.parquet"),
    "no splits": (broken("splits", {}), "no record of a dataset: splits"),
    "no digest": (broken("code", {"make.py": "md5:1"}), "no record of a dataset: code.make.py"),
    "climbs": (broken("code", {"../make.py": NOT_ITS}), "stays inside it"),
    "not JSON": (edit("data/dataset.json", "{", "{{"), "not JSON"),
    "a placeholder": (
        edit("contract.yaml", "terms: Free to use.", "terms: TODO"),
        "dataset.about.terms is a placeholder",
    ),
    "not kept": (untrack, "data/dataset.json is kept neither by DVC nor by git"),
}


@pytest.mark.parametrize("defect", PEDIGREES)
def test_dat007_trips_on_a_record_that_is_not_true(dvc_project: Project, defect: str) -> None:
    plant, reason = PEDIGREES[defect]
    plant(dvc_project)
    (verdict,) = check(Project(dvc_project.root), select(["DAT007"]))
    assert verdict.outcome is Outcome.TRIPPED
    assert reason in verdict.reason


def test_dat007_asks_for_what_no_table_can_tell(dvc_project: Project) -> None:
    file = dvc_project.root / "contract.yaml"
    text = file.read_text()
    file.write_text(text[: text.index("  about:")] + text[text.index("  review:") :])
    assert "dataset.about is missing" in dat007(dvc_project).reason


def test_dat006_and_dat007_are_skipped_where_data_were_not_pulled(dvc_project: Project) -> None:
    without_data(dvc_project)
    verdicts = check(dvc_project, select(["DAT006", "DAT007"]))
    assert [verdict.outcome for verdict in verdicts] == [Outcome.SKIPPED] * 2
    assert all("beampermit data pull" in verdict.reason for verdict in verdicts)


# DAT008

STRAYS = {
    "data.parquet": (b"", "Parquet"),
    "notes.txt": (b"PAR1" + b"\0" * 20, "Parquet"),
    "readme.md": (b"\x89HDF\r\n\x1a\n", "HDF5"),
    "a.py": (b"\x93NUMPY\x01\0", "NumPy"),
    "config.yaml": (b"\x80\x04\x95\x10", "pickle"),
    "b.py": (b"PK\x03\x04" + b"\0" * 26 + b"model/data.pkl", "PyTorch"),
    "c.txt": (b"PK\x03\x04" + b"\0" * 26, "archive"),
    "d.txt": ((40).to_bytes(8, "little") + b'{"w":{}}' + b" " * 40, "safetensors"),
    "e.txt": (b"\x08\x07\x12\x07pytorch", "ONNX"),
    "f.txt": (b"SQLite format 3\0", "SQLite"),
    "weights.PT": (b"x", "PyTorch"),
    "large.csv": (b"1,2\n" * 2**20, "2.0 MiB is the limit"),
}


@pytest.mark.parametrize("name", STRAYS)
def test_dat008_trips_on_data_and_models_in_git(dvc_project: Project, name: str) -> None:
    content, what = STRAYS[name]
    (dvc_project.root / name).write_bytes(content)
    assert dat008(dvc_project).outcome is Outcome.CLOSED, "not tracked"
    dvc_project.git("add", "--force", name)
    finding = dat008(dvc_project)
    assert f"{name} is in git and should not be: " in finding.reason
    assert what in finding.reason


def test_dat008_takes_text_for_text(dvc_project: Project) -> None:
    (dvc_project.root / "function{}.js").write_text("function{return 1}\n" * 100)
    (dvc_project.root / "uv.lock").write_bytes(b"x" * 3 * 2**20)
    dvc_project.git("add", "--all")
    assert dat008(dvc_project).outcome is Outcome.CLOSED


def test_dat008_shows_no_secret_of_a_changed_remote(dvc_project: Project) -> None:
    with (dvc_project.root / ".dvc/config").open("a") as stream:
        stream.write("    password = hunter2\n")
    finding = dat008(dvc_project)
    assert "remote storage: password is added" in finding.reason
    assert "hunter2" not in str(finding)


def test_what_belongs_to_one_machine_is_not_believed_from_git(dvc_project: Project) -> None:
    (dvc_project.root / ".dvc/config.local").write_text("['remote \"storage\"']\n    url = /tmp\n")
    dvc_project.git("add", "--force", ".dvc/config.local")
    with pytest.raises(BadInput, match="git tracks what belongs to one machine"):
        Repository.of(dvc_project)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("target", ["/dev/zero", "/etc/hosts", "nowhere"])
@pytest.mark.parametrize("name", ["dvc.lock", "params.yaml", ".dvc/config"])
def test_a_link_in_git_is_not_read_where_it_leads_out(dvc_project: Project, name: str, target: str) -> None:
    (dvc_project.root / name).unlink()
    (dvc_project.root / name).symlink_to(target)
    dvc_project.git("add", "--all")
    with pytest.raises(BadInput, match=r"this link does not lead to a file of the project"):
        Repository.of(dvc_project)
