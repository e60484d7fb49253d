"""The runner: four outcomes, inputs by name, `requires`, and reuse that never reaches a permit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from beampermit.errors import BadInput, Outside
from beampermit.interlocks import runner
from beampermit.interlocks.families import load_interlocks, select_interlocks
from beampermit.interlocks.inputs import PROVIDERS, Inputs, provides
from beampermit.interlocks.interlock import (
    PROJECT_CODE,
    Finding,
    Interlock,
    MissingInput,
    NotJudgedHere,
    failed,
    passed,
)
from beampermit.interlocks.reuse import Reuse
from beampermit.project import Project
from beampermit.verdicts.verdict import Outcome
from support.dvc_repositories import replace


@pytest.fixture(autouse=True)
def _no_trace() -> Iterator[None]:
    """Interlocks and inputs that a test makes are forgotten after it."""
    load_interlocks()
    known, providers = dict(Interlock.known), dict(PROVIDERS)
    yield
    for registry, before in ((Interlock.known, known), (PROVIDERS, providers)):
        registry.clear()
        registry.update(before)


def interlock(id: str, check: object, **marks: object) -> type[Interlock]:
    return type(id, (Interlock,), {"__doc__": f"Title of {id}", "check": check, **marks})


def test_a_passed_check_gives_title_reason_evidence_and_seconds() -> None:
    cls = interlock("XXX001", lambda self: passed("seen", rows=3))
    (verdict,) = runner.run([cls], Inputs())
    assert verdict.passed
    assert (verdict.title, verdict.reason, verdict.evidence) == ("Title of XXX001", "seen", {"rows": 3})
    assert verdict.seconds >= 0
    assert verdict.exit_code == 0


def test_a_failed_check_tells_the_fix_and_the_place() -> None:
    def check(self: object) -> Finding:
        """Run `beampermit env lock`."""
        return failed("stale", "uv.lock")

    (verdict,) = runner.run([interlock("XXX001", check)], Inputs())
    assert (verdict.outcome, verdict.exit_code) == (Outcome.FAILED, 1)
    assert verdict.fix == "Run `beampermit env lock`."
    assert verdict.locations[0].file == "uv.lock"


@pytest.mark.parametrize(
    ("error", "outcome", "code", "reason"),
    [
        (MissingInput("no data here", hint="beampermit data pull"), Outcome.SKIPPED, 1, "run `beampermit data pull`"),
        (NotJudgedHere("ask GitHub"), Outcome.SKIPPED, 0, "ask GitHub"),
        (Outside("the remote is down"), Outcome.ERROR, 4, "the remote is down"),
        (BadInput("broken", file="dvc.lock", line=3), Outcome.ERROR, 2, "dvc.lock:3: broken"),
        (
            PermissionError(13, "Permission denied", "uv.lock"),
            Outcome.ERROR,
            4,
            "uv.lock: permission denied; run `ls -ld .`",
        ),
        (ZeroDivisionError("0/0"), Outcome.ERROR, 4, "internal error in this check: ZeroDivisionError: 0/0"),
    ],
)
def test_what_cannot_be_judged_never_passes(error: Exception, outcome: Outcome, code: int, reason: str) -> None:
    def check(self: object) -> Finding:
        raise error

    (verdict,) = runner.run([interlock("XXX001", check)], Inputs())
    assert (verdict.outcome, verdict.exit_code) == (outcome, code)
    assert reason in verdict.reason


def test_a_finding_of_which_no_verdict_can_be_made_is_an_error() -> None:
    wrong = interlock("XXX001", lambda self: Finding(Outcome.FAILED, "x", fix=3))  # pyright: ignore[reportArgumentType]
    verdicts = runner.run([wrong, interlock("XXX002", lambda self: passed("fine"))], Inputs())
    assert [(verdict.outcome, verdict.exit_code) for verdict in verdicts] == [(Outcome.ERROR, 4), (Outcome.PASSED, 0)]
    assert verdicts[0].reason.startswith("internal error in this check: ValidationError: ")


def test_an_input_is_made_once_and_its_failure_reaches_all_who_want_it() -> None:
    made: list[str] = []

    @provides
    def beam() -> str:
        made.append("beam")
        raise MissingInput("no beam")

    def check(self: object, beam: str) -> Finding:
        return passed(beam)

    verdicts = runner.run([interlock("XXX001", check), interlock("XXX002", check)], Inputs())
    assert [verdict.reason for verdict in verdicts] == ["no beam", "no beam"]
    assert made == ["beam"]


def test_what_requires_a_failed_interlock_waits_for_it() -> None:
    late = interlock("XXX001", lambda self: passed("fine"), requires=frozenset({"XXX002"}))
    first = interlock("XXX002", lambda self: failed("stale"))
    verdicts = runner.run([late, first], Inputs())
    assert [verdict.outcome for verdict in verdicts] == [Outcome.SKIPPED, Outcome.FAILED]
    assert (verdicts[0].reason, verdicts[0].waits_for) == ("waits for XXX002", ("XXX002",))


def test_what_waits_for_a_waiting_interlock_names_the_first_cause() -> None:
    first = interlock("XXX001", lambda self: failed("stale"))
    second = interlock("XXX002", lambda self: passed("fine"), requires=frozenset({"XXX001"}))
    third = interlock("XXX003", lambda self: passed("fine"), requires=frozenset({"XXX001", "XXX002"}))
    verdicts = runner.run([first, second, third], Inputs())
    assert [verdict.waits_for for verdict in verdicts] == [(), ("XXX001",), ("XXX001",)]


@pytest.mark.slow
def test_a_slow_verdict_is_reused_until_something_changes(project: Project) -> None:
    calls: list[int] = []

    def check(self: object) -> Finding:
        calls.append(1)
        return passed("fine")

    cls = interlock("XXX001", check, decided_by=PROJECT_CODE)

    def again() -> bool:
        return runner.run([cls], Inputs(), reuse=Reuse.of(project))[0].reused

    assert [again(), again()] == [False, True]
    (project.root / "new.py").touch()
    assert [again(), again()] == [False, True]
    (project.root / "data").mkdir()
    (project.root / ".git/info/exclude").write_text("/data\n")
    (project.root / "data/raw.parquet").touch()
    assert again() is False, "data that git ignores is watched too"
    assert len(calls) == 3


@pytest.mark.slow
def test_only_a_passed_verdict_is_kept(project: Project) -> None:
    cls = interlock("XXX001", lambda self: failed("stale"), decided_by=PROJECT_CODE)
    assert [runner.run([cls], Inputs(), reuse=Reuse.of(project))[0].reused for _ in range(2)] == [False, False]


def test_every_interlock_has_a_title_and_a_fix() -> None:
    for id, cls in load_interlocks().items():
        assert cls.__doc__, id
        assert cls.fix(), id
        assert not cls.title().endswith("."), id


def test_every_input_of_a_check_has_a_provider() -> None:
    for id, cls in load_interlocks().items():
        assert set(cls.inputs()) <= {"project", *PROVIDERS}, id


def test_every_requirement_is_an_interlock() -> None:
    known = load_interlocks()
    for id, cls in known.items():
        assert cls.requires <= set(known), id


def test_families_are_chosen_by_name_prefix_or_id() -> None:
    assert {cls.id()[:3] for cls in select_interlocks(["documents"])} == {"DOC"}
    assert select_interlocks(["DOC"]) == select_interlocks(["documents"])
    assert [cls.id() for cls in select_interlocks(["doc001"])] == ["DOC001"]
    with pytest.raises(BadInput, match="there is no interlock or family 'beam'"):
        select_interlocks(["beam"])


@pytest.mark.slow
def test_one_family_alone_is_loaded_and_finds_the_inputs_of_others() -> None:
    code = """
import sys
from beampermit.interlocks import inputs, runner
from beampermit.interlocks.families import load_interlocks, select_interlocks
assert {cls.id()[:3] for cls in select_interlocks(["performance"])} == {"PRF"}
assert "environment" not in inputs.PROVIDERS
inputs.Inputs(environment=1).of(("environment",))
assert "environment" not in inputs.PROVIDERS
assert inputs._provider("environment").__name__ == "environment"
others = {f"beampermit.interlocks.{family}" for family in ("documents", "operations", "repository")}
assert not others & sys.modules.keys()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def put_off(project: Project, base: str | None, cls: type[Interlock]) -> tuple[Outcome, int, str]:
    (verdict,) = runner.run([cls], Inputs(project=Project(project.root, base=base)))
    return verdict.outcome, verdict.exit_code, verdict.until


@pytest.mark.slow
def test_what_the_base_branch_puts_off_is_skipped_without_fault_in_a_pull_request_and_due_on_release(
    project: Project, git: Callable[..., str]
) -> None:
    waiting = interlock("REP901", lambda self: passed("seen"), put_off_by="spread")
    at_once = interlock("REP902", lambda self: passed("seen"), put_off_by="retrain")
    git("switch", "--quiet", "--create", "change")
    git("commit", "--quiet", "--allow-empty", "--message", "A change")
    assert put_off(project, "main", waiting) == (Outcome.SKIPPED, 0, "release")
    assert put_off(project, "main", at_once) == (Outcome.PASSED, 0, "")
    assert runner.put_off(Project(project.root, base="main")) == ["REP002", "REP901"]
    git("checkout", "--quiet", "main")
    git("merge", "--quiet", "--no-edit", "change")
    assert put_off(project, None, waiting) == (Outcome.PASSED, 0, "")
    git("commit", "--quiet", "--allow-empty", "--message", "The branch moved on")
    git("checkout", "--quiet", "HEAD~1")
    assert put_off(project, "main", waiting) == (Outcome.PASSED, 0, "")


def test_a_pull_request_cannot_put_off_what_judges_it(project: Project, git: Callable[..., str]) -> None:
    git("switch", "--quiet", "--create", "change")
    contract = project.root / "contract.yaml"
    replace(contract, "reproducibility: {", "reproducibility: {retrain: release, ")
    git("commit", "--quiet", "--all", "--message", "Later")
    at_once = interlock("REP902", lambda self: passed("seen"), put_off_by="retrain")
    assert put_off(project, "main", at_once) == (Outcome.PASSED, 0, "")
