"""Interlocks of a laboratory's own: added by packages that the protected branch locks, replacing none of ours."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from beampermit.errors import BadInput, Failed
from beampermit.interlocks import api, runner
from beampermit.interlocks.families import load_interlocks
from beampermit.interlocks.inputs import PROVIDERS
from beampermit.interlocks.interlock import Finding, Interlock, failed, passed
from beampermit.interlocks.own import process
from beampermit.interlocks.own.inside import DEEPEST, FACTS, TEXT, plain
from beampermit.interlocks.own.installation import STAMP, VARIABLE, install, stamp
from beampermit.interlocks.own.loading import declared, expected_titles, own_interlocks, select
from beampermit.interlocks.own.lock import FILE, OwnLock, lock_of, parse_lock
from beampermit.interlocks.own.printed import SHOWN
from beampermit.project import Project
from beampermit.verdicts.verdict import Location, Outcome, Verdict, read_verdicts
from support.forked_commands import beampermit
from support.own_interlocks import PASSES, add_package, lock, unpack
from support.package_index import Index, uv_settings
from support.paths import ROOT

__all__ = ["uv_settings"]

HASH = "--hash=sha256:" + "a" * 64


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    found = Index(tmp_path / "laboratory")
    yield found
    found.close()


@pytest.fixture(autouse=True)
def _beside(uv_settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of installations for each test."""
    monkeypatch.setenv(VARIABLE, str(tmp_path / "beside"))


def judged(project: Project, *names: str) -> dict[str, Verdict]:
    return {one.id: one for one in runner.check(project, select(names or ["own"], project))}


def asked_for(project: Project) -> OwnLock:
    found = lock_of(project)
    assert found
    return found


@pytest.mark.slow
def test_what_a_package_adds_judges_beside_ours_and_says_whose_it_is(project: Project, index: Index) -> None:
    line = add_package(index, "lab-one", {"XON001": "return passed('seen', rows=3)", "XON002": "return passed('')"})
    project = lock(project, index, line, add_package(index, "lab-two", {"XTW001": "return passed('too')"}, "2.1"))
    install(asked_for(project))
    found = judged(project)
    assert {id: (one.outcome.value, one.by) for id, one in found.items()} == {
        "XON001": ("passed", "lab-one 1.0"),
        "XON002": ("passed", "lab-one 1.0"),
        "XTW001": ("passed", "lab-two 2.1"),
    }
    assert (found["XON001"].title, found["XON001"].evidence) == ("Passes", {"rows": 3})
    file = runner.verdict_file(project, found.values())
    assert [package.label for package in file.packages] == ["lab-one 1.0", "lab-two 2.1"]
    assert runner.verdict_file(project, judged(project, "DOC001").values()).packages == ()
    assert [cls.id() for cls in select(["xon", "XTW001", "DOC001"], project)] == [
        "DOC001",
        "XON001",
        "XON002",
        "XTW001",
    ]
    assert {cls.id() for cls in select([], project)} == {*load_interlocks(), "XON001", "XON002", "XTW001"}
    assert expected_titles(project)["XTW001"] == "an interlock of lab-two 2.1"
    assert "XON001" not in load_interlocks(), "another project of this process has none"
    with pytest.raises(BadInput, match=r"no interlock 'XAR001' of the laboratory's own, which are: XON001, XON002"):
        select(["XAR001"], project)


def test_a_project_that_asks_for_none_has_none(project: Project) -> None:
    assert (judged(project, "own"), declared(project).points) == ({}, {})
    assert judged(project, "GIT006")["GIT006"].reason == (
        "the protected branch asks for no interlocks of the laboratory's own"
    )


@pytest.mark.slow
@pytest.mark.plants("GIT006")
def test_what_is_asked_for_and_not_installed_fails_and_is_never_left_out(project: Project, index: Index) -> None:
    project = lock(project, index, add_package(index, "lab-gone", {"XGO001": "return passed('')"}))
    verdict = judged(project, "GIT006")["GIT006"]
    assert (verdict.outcome, verdict.exit_code) == (Outcome.FAILED, 1)
    wanted = f"{FILE}: the protected branch asks for lab-gone 1.0, which is not installed here"
    assert verdict.reason == f"{wanted}; run `beampermit interlocks install`"
    for ask in (declared, own_interlocks, lambda project: select(["own"], project)):
        with pytest.raises(Failed, match=r"lab-gone 1.0, which is not installed here"):
            ask(project)
    assert {cls.id() for cls in select([], project)} == set(load_interlocks()), "GIT006 is among them"
    install(asked_for(project))
    assert judged(project, "GIT006")["GIT006"].reason == "1 interlock of lab-gone 1.0: XGO001"


@pytest.mark.slow
def test_a_wheel_of_another_hash_is_refused(project: Project, index: Index) -> None:
    line = add_package(index, "lab-hash", {"XHA001": "return passed('')"})
    place = line.index("sha256:") + 7
    other = line[:place] + ("0" if line[place] != "0" else "1") + line[place + 1 :]
    project = lock(project, index, other)
    with pytest.raises(Failed, match=r"a package is not the one that was locked: .*Hash mismatch"):
        install(asked_for(project))
    assert judged(project, "GIT006")["GIT006"].outcome is Outcome.FAILED
    install(asked_for(lock(project, index, line)))


IDS = {
    "DOC001": "lab-taken {} adds DOC001, and the family DOC is Beampermit's: .* replaces none",
    "ENV999": "lab-taken {} adds ENV999, and the family ENV is Beampermit's",
    "LAB001": "'LAB001', which is not an id of a laboratory's interlock",
    "XAR1": "'XAR1', which is not an id",
    "XAR0011": "'XAR0011', which is not an id",
    "xar001": "'xar001', which is not an id",
}


@pytest.mark.slow
def test_an_id_or_a_family_of_ours_is_refused(project: Project, index: Index) -> None:
    for number, (id, said) in enumerate(IDS.items()):
        version = f"1.{number}"
        project = lock(project, index, add_package(index, "lab-taken", {id: "return passed('')"}, version))
        unpack(asked_for(project), index)
        with pytest.raises(Failed, match=said.format(version)):
            own_interlocks(project)
        assert judged(project, "GIT006")["GIT006"].outcome is Outcome.FAILED
    assert load_interlocks()["DOC001"].package == ""


def test_a_family_belongs_to_one_package(project: Project, index: Index) -> None:
    lines = [add_package(index, f"lab-{one}", {f"XFA00{one}": "return passed('')"}) for one in (1, 2)]
    project = lock(project, index, *lines)
    unpack(asked_for(project), index)
    with pytest.raises(Failed, match=r"lab-2 1.0 adds XFA002, and the family XFA is that of lab-1 1.0"):
        declared(project)


def test_a_lock_none_of_whose_packages_adds_an_interlock_is_refused(project: Project, index: Index) -> None:
    project = lock(project, index, add_package(index, "lab-empty", {}))
    unpack(asked_for(project), index)
    with pytest.raises(Failed, match="none adds an interlock"):
        declared(project)


CODE = """class Mine(Outside):
            exit_code = {}
        raise Mine('no beam')"""
INTERNAL = "internal error in this check of lab-odd 1.0: "
ENDED = f"{INTERNAL}it ended its process, with {{}} and without an answer"
BODIES = (
    ("raise ValueError('spoilt')", "error", 4, f"{INTERNAL}ValueError: spoilt"),
    ("raise SystemExit(0)", "error", 4, f"{INTERNAL}SystemExit: 0"),
    ("raise KeyboardInterrupt", "error", 4, f"{INTERNAL}KeyboardInterrupt"),
    ("import asyncio; raise asyncio.CancelledError('stop')", "error", 4, f"{INTERNAL}CancelledError: stop"),
    ("import os; os._exit(0)", "error", 4, ENDED.format("exit status 0")),
    ("import os; os.kill(os.getpid(), 9)", "error", 4, ENDED.format("signal 9")),
    ("import os, time; os.kill(os.getppid(), 9); time.sleep(60)", "error", 4, ENDED.format("signal 9")),
    ("import json; json.dumps = None; return passed('x')", "error", 4, ENDED.format("exit status 1")),
    ("import sys; sys.stdout.close(); sys.stderr.close(); return passed('closed')", "passed", 0, "closed"),
    (CODE.format(99), "error", 4, "no beam"),
    (CODE.format(0), "error", 4, "no beam"),
    ("return None", "error", 2, "`check` returned NoneType"),
    ("raise MissingInput('no data')", "skipped", 1, "no data"),
    ("raise Failed('wrong', file='a.py')", "failed", 1, "a.py: wrong"),
    (
        "from beampermit.interlocks.interlock import Finding; return Finding('skipped', 'x', until='release')",
        "skipped",
        1,
        "x",
    ),
    ("from beampermit.verdicts.evidence import Gates; return passed('x', Gates())", "passed", 0, "x"),
)


@pytest.mark.slow
def test_what_a_check_of_the_laboratory_does_is_its_own_verdict_alone(project: Project, index: Index) -> None:
    bodies = {f"XOD{number:03}": row[0] for number, row in enumerate(BODIES)}
    source = "from beampermit.interlocks.api import Failed, MissingInput, Outside\n"
    source += "".join(PASSES.format(id=id, body=body) for id, body in bodies.items())
    project = lock(project, index, add_package(index, "lab-odd", bodies, source=source))
    unpack(asked_for(project), index)
    found = judged(project, "own", "DOC001")
    for id, (body, outcome, code, said) in zip(bodies, BODIES, strict=True):
        verdict = found[id]
        assert (verdict.outcome.value, verdict.exit_code, verdict.by) == (outcome, code, "lab-odd 1.0"), body
        assert (said in verdict.reason, verdict.until) == (True, ""), (body, verdict.reason)
        assert isinstance(verdict.evidence, dict), "no record that a document reads"
    assert found["DOC001"].passed


@pytest.mark.slow
def test_a_check_is_started_where_none_is_forked(
    project: Project, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS."""
    monkeypatch.setattr(process, "_forked", process._started)
    bodies = {"XST001": "print('seen'); raise Failed('wrong')", "XST002": ""}
    source = "from beampermit.interlocks.api import Failed\n" + PASSES.format(id="XST001", body=bodies["XST001"])
    project = lock(project, index, add_package(index, "lab-start", bodies, source=source))
    unpack(asked_for(project), index)
    found = judged(project)
    assert (found["XST001"].outcome, found["XST001"].reason) == (Outcome.FAILED, "wrong")
    assert "has no attribute 'XST002'" in found["XST002"].reason


def nested(levels: int) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for _ in range(levels - 1):
        facts = {"x": facts}
    return facts


NO_FINDINGS = (
    (True, "`check` returned bool"),
    (passed("x", odd={1, 2}), "its evidence cannot be written as JSON"),
    (passed("x", odd=float("nan")), "its evidence cannot be written as JSON"),
    (passed(3), "the reason of its finding is int"),  # pyright: ignore[reportArgumentType]
    (Finding("odd", "x"), "its outcome is 'odd'"),  # pyright: ignore[reportArgumentType]
    (Finding(Outcome.FAILED, "x", fix=3), "the fix of its finding is int"),  # pyright: ignore[reportArgumentType]
    (Finding(Outcome.PASSED, "x", locations=(1, 2)), "a place of its finding is int"),  # pyright: ignore[reportArgumentType]
    (Finding(Outcome.PASSED, "x", evidence=[1]), "its evidence is list"),  # pyright: ignore[reportArgumentType]
    (passed("x", deep=nested(DEEPEST)), "its evidence is nested more than 32 deep"),
    (passed("x", deep=nested(600)), "its evidence is nested more than 32 deep"),
)


def test_what_is_no_finding_is_refused() -> None:
    for finding, said in NO_FINDINGS:
        with pytest.raises(BadInput, match=said):
            plain(finding)
    assert plain(passed("x", deep=nested(DEEPEST - 1))).outcome is Outcome.PASSED


def test_what_is_too_much_evidence_is_left_out_and_the_verdict_stands() -> None:
    around = len(json.dumps({"long": ""}, indent=2))
    for length, evidence in (
        (FACTS - around, {"long": "y" * (FACTS - around)}),
        (FACTS - around + 1, {"left_out": "131073 bytes of JSON, 131072 is the limit"}),
    ):
        found = plain(failed("x", long="y" * length))
        assert (found.outcome, found.evidence) == (Outcome.FAILED, evidence)


def test_texts_of_any_length_are_kept_with_a_mark_where_they_end() -> None:
    for length, kept in ((TEXT, "x" * TEXT), (TEXT + 1, "x" * (TEXT - 1) + "…"), (6_000_000, "x" * (TEXT - 1) + "…")):
        long = "x" * length
        found = plain(failed(long, Location(file=long, reason=long), fix=long))
        place = found.locations[0]
        assert {found.reason, found.fix, place.file, place.reason} == {kept}
    assert len(plain(Finding(Outcome.FAILED, "x", (Location(file="a"),) * 101)).locations) == 100


PRINTS = """
import os, sys
from beampermit.interlocks.api import OwnInterlock, passed
print("::error::imported")
class XPR001(OwnInterlock):
    "Prints"
    def check(self):
        "Fix."
        print("::set-output name=a::b")
        os.write(1, b"  ::add-mask::a \\x1b[31mred\\n")
        print("text ##[error] more", file=sys.stderr)
        return passed("printed")
class XPR002(OwnInterlock):
    "Ends"
    def check(self):
        "Fix."
        os._exit(0)
"""


def test_what_it_prints_goes_to_stderr_and_its_end_is_no_success(
    project: Project, index: Index, tmp_path: Path
) -> None:
    project = lock(project, index, add_package(index, "lab-print", {"XPR001": "", "XPR002": ""}, source=PRINTS))
    unpack(asked_for(project), index)
    out = tmp_path / "verdicts.json"
    done = beampermit("check", "own", "--json", "--out", str(out), cwd=project.root, env=dict(os.environ))
    said = {one["id"]: one["outcome"] for one in json.loads(done.stdout)}
    assert (done.returncode, said) == (4, {"XPR001": "passed", "XPR002": "error"})
    assert [one.outcome.value for one in read_verdicts(out).verdicts] == ["passed", "error"]
    lines = done.stderr.splitlines()
    assert not [line for line in lines if line.strip().startswith("::") or "##[" in line or "\x1b" in line]
    for line in ("::error::imported", "::set-output name=a::b", "  ::add-mask::a  red", "text ## [error] more"):
        assert [shown for shown in lines if shown.startswith(f"XPR001 (lab-print 1.0): {line}")], line


ODD = """
from beampermit.interlocks.api import OwnInterlock, passed
{}
class XSO001(OwnInterlock):
    "{}"
    {}
    def check(self{}):
        {}
        return passed("x")
"""


SOURCES = (
    (("import os; os._exit(0)", "T", "", "", "'Fix.'"), "it ended its process, with exit status 0 and without"),
    (("import asyncio; raise asyncio.CancelledError", "T", "", "", "'Fix.'"), "loaded: CancelledError"),
    (("import nothing_of_this_name", "T", "", "", "'Fix.'"), "ModuleNotFoundError: No module named 'nothing_of"),
    (("raise SystemExit(0)", "T", "", "", "'Fix.'"), ":XSA001 cannot be loaded: SystemExit: 0"),
    (("OwnInterlock = object", "T", "", "", "'Fix.'"), "not a subclass of OwnInterlock"),
    (("", "x" * 61, "", "", "'Fix.'"), "must be one line of at most 60 characters"),
    (("", "T", "", "", ""), "no method `check` whose docstring is the fix"),
    (("", "T", "", ", environment", "'Fix.'"), "asks for 'environment'; it may ask for contract, base_contract"),
    (("", "T", "requires = 'DOC001'", "", "'Fix.'"), "`requires` must be a set of ids"),
    (("", "T", "time_limit = '9'", "", "'Fix.'"), "`time_limit` must be a number of seconds above 0, of at most 86400"),
    (("", "T", "time_limit = 86401", "", "'Fix.'"), "`time_limit` must be a number of seconds"),
    (("", "T", "time_limit = float('nan')", "", "'Fix.'"), "`time_limit` must be a number of seconds"),
)


@pytest.mark.slow
def test_a_class_that_is_no_interlock_is_an_error_with_the_package_s_name(project: Project, index: Index) -> None:
    lines, said = [], {}
    for number, (parts, why) in enumerate(SOURCES):
        id = f"XS{chr(65 + number)}001"
        said[id] = (f"lab-s{number} 1.0", why.replace("XSA001", id))
        source = ODD.replace("XSO001", id).format(*parts)
        lines.append(add_package(index, f"lab-s{number}", {id: ""}, source=source))
    project = lock(project, index, *lines)
    unpack(asked_for(project), index)
    found = judged(project)
    for id, (package, why) in said.items():
        assert (found[id].outcome, found[id].by) == (Outcome.ERROR, package)
        assert found[id].reason.startswith(f"{package} {id}: ")
        assert why in found[id].reason


@pytest.mark.slow
def test_a_check_that_does_not_end_is_ended_and_the_others_judge(
    project: Project, index: Index, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = ODD.replace("XSO001", "XTL001").format(
        "", "T", "time_limit = 0.2", "", "'Fix.'; import time; time.sleep(600)"
    )
    ready = ODD.replace("XSO001", "XTL002").format("", "T", "time_limit = 86400", "", "'Fix.'")
    endless = ODD.replace("XSO001", "XTL003").format(
        "", "T", "time_limit = 1", "", "'Fix.'\n        while True: print('endless' * 1000)"
    )
    line = add_package(
        index, "lab-slow", dict.fromkeys(("XTL001", "XTL002", "XTL003"), ""), source=slow + ready + endless
    )
    project = lock(project, index, line)
    unpack(asked_for(project), index)
    found = judged(project)
    for id, limit in (("XTL001", "0.2"), ("XTL003", "1")):
        assert (found[id].outcome, found[id].exit_code) == (Outcome.ERROR, 4)
        assert found[id].reason.endswith(f"of lab-slow 1.0: it took longer than {limit} s, and was ended")
    assert found["XTL002"].passed
    printed = capsys.readouterr().err
    assert re.search(r"^XTL003 \(lab-slow 1.0\): \[\d{6,} bytes that it printed before this are left out", printed)
    assert len(printed) < 2 * SHOWN

    monkeypatch.setattr(process, "IMPORTING", 0.2)
    hangs = add_package(index, "lab-hang", {"XHA001": ""}, source="import time; time.sleep(600)")
    project = lock(project, index, hangs)
    unpack(asked_for(project), index)
    said = judged(project)["XHA001"].reason
    assert ":XHA001 cannot be loaded: it took longer than 0.2 s, and was ended" in said


@pytest.mark.slow
def test_what_the_module_registers_among_ours_is_dropped(project: Project, index: Index) -> None:
    source = ODD.format(
        "from beampermit.interlocks.interlock import Interlock\n"
        "from beampermit.interlocks.inputs import provides\n"
        "Interlock.known['DOC001'] = None\n"
        "class DOC777(Interlock): pass\n"
        "@provides\ndef contract(): return None\n",
        *("T", "", ", contract", "'Fix.'"),
    )
    load_interlocks()
    known, providers = dict(Interlock.known), dict(PROVIDERS)
    project = lock(project, index, add_package(index, "lab-hostile", {"XSO001": ""}, source=source))
    unpack(asked_for(project), index)
    assert judged(project)["XSO001"].passed
    assert (Interlock.known, PROVIDERS) == (known, providers)
    assert judged(project, "DOC001")["DOC001"].passed


@pytest.mark.slow
def test_a_module_of_the_checker_does_not_pass_for_one_of_the_package(
    project: Project, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = add_package(index, "lab-shadow", {}, XSH001="beampermit.interlocks.api:OwnInterlock")
    project = lock(project, index, line)
    unpack(asked_for(project), index)
    assert "the class is called OwnInterlock" in judged(project)["XSH001"].reason
    (tmp_path / "lab_elsewhere.py").write_text(PASSES.format(id="XSE001", body="return passed('')"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    project = lock(project, index, add_package(index, "lab-elsewhere", {"XSE001": "return failed('')"}))
    unpack(asked_for(project), index)
    assert "its module lab_elsewhere is not that of the locked package" in judged(project)["XSE001"].reason
    source = "import typer\nclass XTY001: pass\n"
    taken = add_package(index, "typer", {"XTY001": ""}, "0.0.1", source=source)
    project = lock(project, index, taken)
    unpack(asked_for(project), index)
    with pytest.raises(Failed, match=r"typer 0.0.1 would not be what is imported: the checker itself has typer"):
        declared(project)


@pytest.mark.slow
def test_requirements_are_waited_for_and_must_exist(project: Project, index: Index) -> None:
    bodies = {"XRE001": "return failed('no')", "XRE002": "return passed('')"}
    text = ODD.replace("XSO001", "XRE001").format("", "T", "", "", "'Fix.'").replace("passed", "failed")
    text += ODD.replace("XSO001", "XRE002").format("", "T", "requires = frozenset({'XRE001', 'DOC001'})", "", "'Fix.'")
    project = lock(project, index, add_package(index, "lab-require", bodies, source=text))
    unpack(asked_for(project), index)
    found = judged(project)
    assert (found["XRE001"].outcome, found["XRE001"].fix) == (Outcome.FAILED, "Fix.")
    assert found["XRE002"].waits_for == ("XRE001",)
    for requires, said in (("'XRE003'", "XRE002 requires XRE003, which there is not"), ("'XRE002'", "wait for each")):
        changed = text.replace("'XRE001', 'DOC001'", requires)
        version = f"2.{len(requires)}.{requires[-2]}"
        line = add_package(index, "lab-require", bodies, version, source=changed)
        project = lock(project, index, line)
        unpack(asked_for(project), index)
        with pytest.raises(Failed, match=said):
            own_interlocks(project)


@pytest.mark.slow
@pytest.mark.attack(
    guard="GIT006",
    tried="a pull request names laxer interlocks of the laboratory, or none",
    said="which counts once it is merged",
)
def test_a_pull_request_is_judged_by_the_packages_of_its_base(
    project: Project, index: Index, git: Callable[..., str], said: str
) -> None:
    strict = add_package(index, "lab-base", {"XBA001": "return passed('strict')"})
    project = lock(project, index, strict)
    git("switch", "--quiet", "--create", "change")
    lax = add_package(index, "lab-base", {"XBA001": "return passed('lax')"}, "2.0")
    for other in ((lax,), ()):
        lock(project, index, *other)
        judging = Project(project.root, base="main")
        assert [package.label for package in asked_for(judging).packages] == ["lab-base 1.0"]
        unpack(asked_for(judging), index)
        assert judged(judging)["XBA001"].reason == "strict"
        assert judged(judging, "GIT006")["GIT006"].reason == (
            f"1 interlock of lab-base 1.0: XBA001; this branch changes {FILE}, {said}"
        )
    git("rm", "--quiet", FILE)
    assert judged(Project(project.root, base="main"))["XBA001"].passed
    (project.root / FILE).parent.mkdir(exist_ok=True)
    (project.root / FILE).write_text("lab-base==3.0\n")
    verdict = judged(Project(project.root, base="main"), "GIT006")["GIT006"]
    assert (verdict.outcome, verdict.reason.split(";")[0]) == (
        Outcome.FAILED,
        f"{FILE}:1: lab-base==3.0 has no --hash=sha256:...",
    )


@pytest.mark.slow
def test_a_damaged_installation_is_seen_and_mended(project: Project, index: Index) -> None:
    project = lock(project, index, add_package(index, "lab-whole", {"XWH001": "return passed('')"}))
    folder = install(asked_for(project))
    module, info = folder / "lab_whole/__init__.py", folder / "lab_whole-1.0.dist-info"
    kept = module.read_text()
    for harm, said in (
        (lambda: shutil.rmtree(info), "no lab_whole-1.0.dist-info/"),
        (lambda: shutil.rmtree(module.parent), "no lab_whole/__init__.py"),
        (lambda: (folder / STAMP).write_text("0" * 64), "no list of its files"),
        (lambda: module.write_text("raise SystemExit"), ""),  # what is installed is not hashed again when it is used
    ):
        harm()
        verdict = judged(project, "GIT006")["GIT006"]
        assert (verdict.passed, said in verdict.reason) == (not said, True)
        if said:
            assert verdict.reason.endswith("; run `beampermit interlocks install`")
        assert install(asked_for(project)) == folder
        assert (module.read_text(), info.is_dir()) == (kept, True)
    compiled = folder / "lab_whole/whole.pyc"
    compiled.touch()
    stamp(folder)
    compiled.write_bytes(b"by another Python")
    (folder / "left").touch()
    install(asked_for(project))
    assert (folder / "left").is_file(), "a whole one is left as it is"


def test_a_file_where_the_folder_of_installations_should_be(
    project: Project, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    project = lock(project, index, add_package(index, "lab-file", {"XFI001": "return passed('')"}))
    for named in ("file", "file/x"):
        monkeypatch.setenv(VARIABLE, str(tmp_path / named))
        with pytest.raises(BadInput, match=f"{VARIABLE} needs a folder, and a file is in the way"):
            install(asked_for(project))
        assert judged(project, "GIT006")["GIT006"].outcome is Outcome.FAILED


def test_a_lock_is_a_file_and_may_begin_with_a_byte_order_mark(project: Project, tmp_path: Path) -> None:
    file = project.root / FILE
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"\ufefflab-x==1.0 {HASH}\n")
    assert asked_for(project).text == f"lab-x==1.0 {HASH}\n"
    for words in (("add", FILE), ("commit", "--quiet", "--message", "With a mark")):
        subprocess.run(["git", *words], cwd=project.root, check=True)
    subprocess.run(["git", "switch", "--quiet", "--create", "change"], cwd=project.root, check=True)
    assert asked_for(Project(project.root, base="main")).text == f"lab-x==1.0 {HASH}\n"
    (tmp_path / "secret").write_text("secret")
    file.unlink()
    file.symlink_to(tmp_path / "secret")
    verdict = judged(Project(project.root, base="main"), "GIT006")["GIT006"]
    assert verdict.reason.startswith(f"{FILE}: it is a symbolic link, and the lock is a file")
    file.unlink()
    file.parent.rename(tmp_path / "elsewhere")
    file.parent.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match=r".github: it is a symbolic link"):
        lock_of(project)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lab-x==1.0", "1: lab-x==1.0 has no --hash=sha256:..."),
        (f"\n# why\nlab-x==1.0 --hash=md5:{'a' * 32}", "3: lab-x==1.0 has a hash that is not sha256"),
        (f"lab-x>=1.0 {HASH}", "1: 'lab-x>=1.0 .*' is neither `name==version` with hashes nor the address"),
        (f"lab-x @ https://lab.example/x.whl {HASH}", "neither `name==version`"),
        ("-r other.lock", "neither `name==version`"),
        ("-e .", "neither `name==version`"),
        (f"lab-x==1.0 {HASH}\nLab_X==1.1 {HASH}", "2: lab-x stands here twice"),
        (f"lab-x==1.0; python_version > '3' {HASH}", "neither `name==version`"),
        (f"lab-x==*{HASH}", "neither|has no"),
    ],
)
def test_a_lock_that_does_not_pin_is_refused_with_the_line(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said) as refused:
        parse_lock(text, FILE)
    assert said in str(refused.value) or refused.value.file == FILE


def test_who_has_no_hash_is_told_why_uv_writes_none_and_what_does() -> None:
    with pytest.raises(BadInput, match="uv writes one only where an index over HTTP") as refused:
        parse_lock("lab-x==1.0", FILE)
    assert refused.value.hint.endswith("for a wheel in a folder write what `pip hash FILE.whl` prints")


def test_a_lock_is_read_as_uv_writes_it() -> None:
    text = (
        "# This file was autogenerated by uv via the following command:\n"
        "--index-url https://packages.lab.example/simple\n\n"
        f"Lab_X==1.0+lab \\\n    {HASH} \\\n    {HASH.replace('a' * 64, 'b' * 64)}\n"
        f"    # via -r interlocks.in\nlab-y==2 {HASH}  # why\n"
    )
    found = parse_lock(text, FILE)
    assert found
    assert [(one.label, len(one.hashes)) for one in found.packages] == [("lab-x 1.0+lab", 2), ("lab-y 2", 1)]
    assert parse_lock("# nothing yet\n", FILE) is None


def test_the_page_lists_what_a_package_may_import(project: Project) -> None:
    page = (ROOT / "docs/own-interlocks.md").read_text()
    assert [name for name in api.__all__ if f"`{name}`" not in page] == []
    given: api.JudgedProject = project
    assert given.path("a/b") == given.root / "a/b"
