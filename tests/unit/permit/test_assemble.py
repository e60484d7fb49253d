"""No permit unless every interlock has exactly one passed, fresh verdict for this very commit and tree."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beampermit.digest import digest_bytes, digest_file, digest_folder
from beampermit.errors import BadInput, Failed
from beampermit.permit.assemble import assemble, read_verdict_files
from beampermit.permit.verification import verify_files, verify_interlocks
from beampermit.verdicts.evidence import Gate, Gates
from beampermit.verdicts.verdict import Outcome, VerdictFile, Where
from beampermit.verdicts.writing import write_verdicts
from support.attacks import attack_case
from support.dvc_repositories import replace
from support.registry_project import INTERLOCKS, WHERE, Laboratory, verdicts

pytestmark = pytest.mark.slow


def test_a_permit_binds_all_that_the_model_was_made_from(laboratory: Laboratory) -> None:
    project = laboratory.project
    permit = assemble(project, [verdicts(project, where=WHERE)], INTERLOCKS, here=WHERE)
    facts = permit.predicate
    assert permit.name == "bpm-faults"
    assert permit.model_digest == digest_folder(project.path("model"))
    assert facts.commit == project.git.head()
    assert facts.tree == project.git("rev-parse", "HEAD^{tree}")
    assert (facts.base, facts.base_contract) == (None, facts.contract.digest)
    for bound in (facts.environment, facts.pipeline, facts.contract):
        assert bound.digest == digest_file(project.path(bound.file))
    assert [bound.file for bound in (facts.environment, facts.pipeline)] == ["uv.lock", "dvc.lock"]
    assert facts.dataset == {"data/dataset/test.parquet": f"sha256:{'0' * 64}"}
    assert facts.metrics == {"auc": 0.971}
    assert [(one.id, one.outcome, one.where.host) for one in facts.verdicts] == [
        ("DOC001", "passed", "ci-1"),
        ("ENV001", "passed", "ci-1"),
    ]
    assert facts.run == "https://ci.example/runs/7"


def test_metrics_of_the_checker_come_from_its_verdict_and_not_from_the_file(laboratory: Laboratory) -> None:
    project = laboratory.project
    contract = project.path("contract.yaml")
    replace(contract, "high: 0.5,", "high: 0.5, target: faulty,")
    replace(contract, "{name: auc, better: higher", "{name: auc, measure: roc_auc")
    project.git("commit", "--quiet", "--all", "--message", "A measure")
    project = laboratory.project
    row = Gate(name="auc", value=0.96, gate=0.95, better="higher", met=True, by="checker")
    ids = (*INTERLOCKS, "PRF001")
    file = verdicts(project, ids)
    *others, gates = file.verdicts
    with pytest.raises(Failed, match="the verdict of PRF001 has no value of auc"):
        assemble(project, [file], ids)
    told = gates.model_copy(update={"evidence": Gates(metrics=(row,))})
    permit = assemble(project, [file.model_copy(update={"verdicts": (*others, told)})], ids)
    assert permit.predicate.metrics == {"auc": 0.96}, "the file says 0.971"


def test_the_locks_of_other_accelerators_are_bound_and_may_not_change_either(laboratory: Laboratory) -> None:
    project = laboratory.project
    for name in ("environment.yml", "conda-lock.yml", "cuda.conda-lock.yml", "old.cuda.conda-lock.yml"):
        project.path(name).write_text(f"# {name}\n")
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "conda locks")
    project.path("left.conda-lock.yml").write_text("not in the commit\n")
    permit = assemble(project, [verdicts(project)], INTERLOCKS)
    facts = permit.predicate
    assert [facts.environment.file, *(bound.file for bound in facts.variants)] == [
        "conda-lock.yml",
        "cuda.conda-lock.yml",
    ]
    verify_files(permit, project.root)
    project.path("cuda.conda-lock.yml").write_text("changed")
    with pytest.raises(Failed, match="differs from the one that the permit binds"):
        verify_files(permit, project.root)


def _changed(file: VerdictFile, **changes: Any) -> VerdictFile:
    """The file with its second verdict, ENV001, changed."""
    return file.model_copy(update={"verdicts": (file.verdicts[0], file.verdicts[1].model_copy(update=changes))})


Spoil = Callable[[VerdictFile], list[VerdictFile]]
DEFECTS: dict[str, tuple[Spoil, str]] = {
    "missing": (lambda f: [f.model_copy(update={"verdicts": f.verdicts[:1]})], "ENV001 has no verdict"),
    "no file at all": (lambda f: [], "DOC001 has no verdict; ENV001 has no verdict"),
    "failed": (
        lambda f: [_changed(f, outcome=Outcome.FAILED, reason="stale\nlock \x1b[2J")],
        "ENV001 failed: stale lock ?[2J",
    ),
    "skipped": (lambda f: [_changed(f, outcome=Outcome.SKIPPED, reason="no lock")], "ENV001 skipped: no lock"),
    "error": (lambda f: [_changed(f, outcome=Outcome.ERROR, reason="no network")], "ENV001 error: no network"),
    "reused": (lambda f: [_changed(f, reused=True)], "ENV001 is reused from an earlier run"),
    "twice in one file": (
        lambda f: [f.model_copy(update={"verdicts": (*f.verdicts, f.verdicts[1])})],
        "ENV001 has 2 verdicts: passed, passed",
    ),
    "contradicting": (
        lambda f: [f, _changed(f, outcome=Outcome.FAILED)],
        "ENV001 has 2 verdicts: passed, failed",
    ),
    "another commit": (
        lambda f: [f.model_copy(update={"commit": "9" * 40})],
        "ENV001 was judged at commit 999999999999",
    ),
    "another tree": (
        lambda f: [f.model_copy(update={"tree": "9" * 40})],
        "ENV001 was judged on a work tree with uncommitted changes",
    ),
    "another checker": (
        lambda f: [f.model_copy(update={"checker": "9.9"})],
        "ENV001 was judged by beampermit 9.9, but this is",
    ),
    "unknown": (lambda f: [_changed(f, id="XYZ001")], "XYZ001 is not an interlock of this beampermit"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_an_interlock_without_exactly_one_valid_pass_is_named(laboratory: Laboratory, defect: str) -> None:
    spoil, words = DEFECTS[defect]
    with pytest.raises(Failed) as caught:
        assemble(laboratory.project, spoil(verdicts(laboratory.project)), INTERLOCKS)
    assert words in caught.value.message
    assert caught.value.exit_code == 1


def test_a_work_tree_that_was_changed_since_gets_no_permit(laboratory: Laboratory) -> None:
    (laboratory.root / "uv.lock").write_text("# another lock\n")
    with pytest.raises(Failed, match="uncommitted changes") as caught:
        assemble(laboratory.project, [verdicts(laboratory.project)], INTERLOCKS)
    assert caught.value.file == "uv.lock"


@pytest.mark.parametrize(
    ("file", "hide"),
    [
        attack_case(
            file,
            hide,
            guard="permit assemble",
            tried="a file that the permit binds is changed, and git is told to pass the change over",
            said="this file is not byte by byte that of the commit, which a permit binds",
        )
        for file, hide in (
            ("contract.yaml", ("update-index", "--assume-unchanged")),
            ("manifest.json", ("update-index", "--skip-worktree")),
            ("metrics/metrics.json", ("update-index", "--assume-unchanged")),
        )
    ],
)
def test_a_change_that_git_does_not_show_gets_no_permit(
    laboratory: Laboratory, file: str, hide: tuple[str, ...], said: str
) -> None:
    laboratory.git(*hide, file)
    with (laboratory.root / file).open("a") as stream:
        stream.write(" ")
    with pytest.raises(Failed, match=said) as caught:
        assemble(laboratory.project, [verdicts(laboratory.project)], INTERLOCKS)
    assert caught.value.file == file
    laboratory.git(*caught.value.hint.split()[1:])
    assert assemble(laboratory.project, [verdicts(laboratory.project)], INTERLOCKS)


def test_the_lock_of_every_pipeline_is_bound_wherever_it_lies(laboratory: Laboratory) -> None:
    for folder in ("parts", "another"):
        for name in ("dvc.yaml", "dvc.lock"):
            (laboratory.root / folder).mkdir(exist_ok=True)
            (laboratory.root / folder / name).write_text("stages: {}\n")
    (laboratory.root / "another/.dvc").mkdir()
    (laboratory.root / "another/.dvc/config").touch()  # a DVC repository of its own
    laboratory.git("add", "--all")
    laboratory.git("commit", "--quiet", "--message", "Parts")
    permit = assemble(laboratory.project, [verdicts(laboratory.project)], INTERLOCKS)
    assert [bound.file for bound in permit.predicate.files] == [
        "contract.yaml", "uv.lock", "dvc.lock", "parts/dvc.lock"
    ]  # fmt: skip
    verify_files(permit, laboratory.root)
    (laboratory.root / "parts/dvc.lock").write_text("stages: {other: {}}\n")
    with pytest.raises(Failed, match="differs from the one that the permit binds") as caught:
        verify_files(permit, laboratory.root)
    assert caught.value.file == "parts/dvc.lock"
    laboratory.git("checkout", "--quiet", "parts")
    laboratory.git("rm", "--quiet", "dvc.lock")
    laboratory.git("commit", "--quiet", "--message", "The pipeline is in a folder")
    permit = assemble(laboratory.project, [verdicts(laboratory.project)], INTERLOCKS)
    assert permit.predicate.pipeline.file == "parts/dvc.lock"


def test_a_missing_lock_is_named(laboratory: Laboratory) -> None:
    laboratory.git("rm", "--quiet", "dvc.lock")
    laboratory.git("commit", "--quiet", "--message", "No lock")
    with pytest.raises(BadInput, match="is missing") as caught:
        assemble(laboratory.project, [verdicts(laboratory.project)], INTERLOCKS)
    assert caught.value.file == "dvc.lock"


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("manifest.json", {"algorithm": "sha256", "files": {"data/a": f"sha256:{'0' * 64}"}}, "predicate.model"),
        ("manifest.json", {"algorithm": "sha256", "files": {"model/a": "md5:1"}}, "files.model/a: String should match"),
        ("metrics/metrics.json", {}, "no metric"),
    ],
)
def test_an_empty_manifest_or_metrics_file_gets_no_permit(
    laboratory: Laboratory, file: str, content: dict[str, Any], message: str
) -> None:
    (laboratory.root / file).write_text(json.dumps(content))
    laboratory.git("commit", "--quiet", "--all", "--message", "Say nothing")
    with pytest.raises(BadInput, match=message):
        assemble(laboratory.project, [verdicts(laboratory.project)], INTERLOCKS)


def test_verdicts_of_all_jobs_are_read(laboratory: Laboratory, tmp_path: Path) -> None:
    file = verdicts(laboratory.project)
    for number, verdict in enumerate(file.verdicts):
        part = file.model_copy(update={"verdicts": (verdict,)})
        write_verdicts(tmp_path / f"verdicts/verdicts-{number}/job.json", part)
    assert assemble(laboratory.project, read_verdict_files(tmp_path / "verdicts"), INTERLOCKS)


def test_a_missing_folder_a_link_and_an_invalid_file_are_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no folder of verdicts"):
        read_verdict_files(tmp_path / "verdicts")
    (tmp_path / "verdicts").mkdir()
    (tmp_path / "verdicts/a.json").symlink_to("/etc/passwd")
    with pytest.raises(BadInput, match="this is a link"):
        read_verdict_files(tmp_path / "verdicts")
    (tmp_path / "verdicts/a.json").unlink()
    (tmp_path / "verdicts/a.json").write_text("{}")
    with pytest.raises(BadInput, match="not a verdict file"):
        read_verdict_files(tmp_path / "verdicts")


def test_more_verdict_files_than_jobs_can_have_are_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        (tmp_path / f"{name}.json").write_text("{}")
    monkeypatch.setattr("beampermit.permit.assemble.MOST_FILES", 1)
    with pytest.raises(BadInput, match="2 verdict files are more than the 1 allowed"):
        read_verdict_files(tmp_path)
    monkeypatch.setattr("beampermit.permit.assemble.MOST_FILES", 2)
    with pytest.raises(BadInput, match="not a verdict file"):
        read_verdict_files(tmp_path)


LATER = {"outcome": Outcome.SKIPPED, "until": "release"}


def test_an_interlock_put_off_to_the_release_allows_a_permit_that_cannot_be_promoted(laboratory: Laboratory) -> None:
    project = laboratory.project
    files = [_changed(verdicts(project), **LATER)]
    permit = assemble(project, files, INTERLOCKS, later=["ENV001"])
    assert [one.id for one in permit.predicate.verdicts] == ["DOC001"]
    with pytest.raises(Failed, match="the permit has no verdict of ENV001"):
        verify_interlocks(permit, INTERLOCKS)


@pytest.mark.parametrize("changes", [LATER, {"outcome": Outcome.SKIPPED}])
def test_only_the_caller_decides_what_is_put_off(laboratory: Laboratory, changes: dict[str, Any]) -> None:
    later = [] if "until" in changes else ["ENV001"]
    with pytest.raises(Failed, match="ENV001 skipped"):
        assemble(laboratory.project, [_changed(verdicts(laboratory.project), **changes)], INTERLOCKS, later=later)


def test_an_interlock_that_is_put_off_needs_a_verdict(laboratory: Laboratory) -> None:
    project = laboratory.project
    alone = verdicts(project)
    with pytest.raises(Failed, match="ENV001 has no verdict"):
        assemble(project, [alone.model_copy(update={"verdicts": alone.verdicts[:1]})], INTERLOCKS, later=["ENV001"])


def _elsewhere(**changes: Any) -> Spoil:
    """Verdicts of a run or machine that differs from `WHERE` in this."""
    return lambda file: [file.model_copy(update={"where": file.where.model_copy(update=changes)})]


@pytest.mark.parametrize(
    ("spoil", "here"),
    [
        attack_case(
            _elsewhere(run="https://ci.example/runs/6"),
            WHERE,
            guard="permit assemble",
            tried="verdicts of another workflow run of the same commit",
            said="ENV001 was judged in https://ci.example/runs/6, not in https://ci.example/runs/7",
            id="another run",
        ),
        attack_case(
            _elsewhere(run=""),
            WHERE,
            guard="permit assemble",
            tried="verdicts that somebody made on a laptop, in a workflow run",
            said="ENV001 was judged in no workflow run, not in https://ci.example/runs/7",
            id="no run",
        ),
        attack_case(
            _elsewhere(attempt=3),
            WHERE,
            guard="permit assemble",
            tried="verdicts of an attempt of the run that was not made yet",
            said="ENV001 was judged in attempt 3 of this run, but this is attempt 2",
            id="later attempt",
        ),
        attack_case(
            _elsewhere(),
            WHERE.model_copy(update={"run": "", "attempt": 0}),
            guard="permit assemble",
            tried="verdicts of a workflow run are assembled on a laptop",
            said="ENV001 was judged in https://ci.example/runs/7, not in none",
            id="a run's, on a laptop",
        ),
        attack_case(
            _elsewhere(run="", attempt=0, host="ci-2"),
            WHERE.model_copy(update={"run": "", "attempt": 0}),
            guard="permit assemble",
            tried="verdicts of another machine are assembled on a laptop",
            said="ENV001 was judged on ci-2, not on ci-1: without a workflow run all verdicts are of one machine",
            id="another host",
        ),
    ],
)
def test_verdicts_of_another_run_or_machine_give_no_permit(
    laboratory: Laboratory, spoil: Spoil, here: Where, said: str
) -> None:
    files = spoil(verdicts(laboratory.project, where=WHERE))
    with pytest.raises(Failed, match=re.escape(said)):
        assemble(laboratory.project, files, INTERLOCKS, here=here)


@pytest.mark.parametrize("changes", [{"host": "ci-2"}, {"attempt": 1}, {"system": "Linux 6", "python": "3.12.1"}])
def test_jobs_of_one_run_have_other_machines_and_may_have_passed_in_an_earlier_attempt(
    laboratory: Laboratory, changes: dict[str, Any]
) -> None:
    assert assemble(
        laboratory.project, _elsewhere(**changes)(verdicts(laboratory.project, where=WHERE)), INTERLOCKS, here=WHERE
    )


@pytest.fixture
def pull_request(laboratory: Laboratory) -> Laboratory:
    """A branch whose contract asks for less than origin's main."""
    laboratory.git("switch", "--quiet", "--create", "lenient")
    replace(laboratory.root / "contract.yaml", "gate: 0.95", "gate: 0.5")
    laboratory.git("commit", "--quiet", "--all", "--message", "Ask for less")
    return laboratory


def _move_base(laboratory: Laboratory, before: str, after: str) -> None:
    """Somebody else's change of the contract is merged meanwhile."""
    laboratory.git("switch", "--quiet", "--detach", "origin/main")
    replace(laboratory.root / "contract.yaml", before, after)
    laboratory.git("commit", "--quiet", "--all", "--allow-empty", "--message", "Meanwhile")
    laboratory.git("update-ref", "refs/remotes/origin/main", "HEAD")
    laboratory.git("switch", "--quiet", "lenient")


def test_a_permit_binds_the_contract_of_the_base_that_judged(pull_request: Laboratory) -> None:
    facts = assemble(pull_request.project, [verdicts(pull_request.project)], INTERLOCKS).predicate
    assert facts.base == pull_request.git("rev-parse", "origin/main")
    strict = pull_request.project.git.read("origin/main", "contract.yaml")
    assert strict is not None
    assert facts.base_contract == digest_bytes(strict.encode()) != facts.contract.digest


def test_a_base_that_has_moved_on_with_the_same_contract_is_the_same(pull_request: Laboratory) -> None:
    files = [verdicts(pull_request.project)]
    _move_base(pull_request, "gate: 0.95", "gate: 0.95")
    assert assemble(pull_request.project, files, INTERLOCKS).predicate.base != files[0].base


@pytest.mark.attack(
    guard="permit assemble",
    tried="the base's contract becomes stricter while a pull request's jobs run",
    said="ENV001 was judged by the contract sha256:",
)
def test_verdicts_by_the_contract_before_give_no_permit(pull_request: Laboratory, said: str) -> None:
    files = [verdicts(pull_request.project)]
    _move_base(pull_request, "gate: 0.95", "gate: 0.96")
    with pytest.raises(Failed, match=f"{said}.*, but the base's contract is sha256:.*: run all checks again"):
        assemble(pull_request.project, files, INTERLOCKS)


@pytest.mark.parametrize(
    ("base", "contract"),
    [
        attack_case(
            "none",
            "HEAD",
            guard="permit assemble",
            tried="a pull request's verdicts by its own contract, as if it were merged",
            said="ENV001 was judged against no base, not against ",
            id="no base",
        ),
        attack_case(
            "HEAD",
            "HEAD",
            guard="permit assemble",
            tried="a pull request's verdicts against its own commit: `check --base HEAD`",
            said=": give `check` and `permit assemble` the same --base",
            id="own commit",
        ),
        attack_case(
            "origin/main",
            "HEAD",
            guard="permit assemble",
            tried="a job whose clone shows a lenient contract at the right base",
            said="ENV001 was judged by the contract sha256:",
            id="replaced contract",
        ),
    ],
)
def test_verdicts_by_another_base_give_no_permit(pull_request: Laboratory, base: str, contract: str, said: str) -> None:
    project = pull_request.project
    commit = None if base == "none" else pull_request.git("rev-parse", base)
    text = project.git.read(contract, "contract.yaml")
    assert text is not None
    changes = {"base": commit, "base_contract": digest_bytes(text.encode())}
    with pytest.raises(Failed, match=re.escape(said)):
        assemble(project, [verdicts(project).model_copy(update=changes)], INTERLOCKS)


@pytest.mark.attack(
    guard="permit assemble",
    tried="one of several jobs was judged against another base",
    said="DOC001 was judged against no base, not against ",
)
def test_one_job_of_another_base_is_enough(pull_request: Laboratory, said: str) -> None:
    file = verdicts(pull_request.project)
    one, other = ({"verdicts": (verdict,)} for verdict in file.verdicts)
    with pytest.raises(Failed, match=said):
        assemble(
            pull_request.project,
            [file.model_copy(update={**one, "base": None}), file.model_copy(update=other)],
            INTERLOCKS,
        )
