"""Verdicts of a laboratory's packages count only where the protected branch names exactly those packages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from beampermit.errors import BadInput, Failed
from beampermit.permit.assemble import assemble
from beampermit.permit.statement import validate_statement
from beampermit.permit.verification import describe_permit, verify_packages
from beampermit.verdicts.packages import InterlockPackage
from beampermit.verdicts.verdict import Outcome, Verdict, VerdictFile
from support.attacks import attack_case
from support.permits import statement
from support.registry_project import INTERLOCKS, WHERE, Laboratory, verdicts

pytestmark = pytest.mark.slow

LOCKED = InterlockPackage(name="lab-interlocks", version="1.0.0", hashes=(f"sha256:{'a' * 64}",))
OTHER = LOCKED.model_copy(update={"version": "1.1.0"})
FORGED = LOCKED.model_copy(update={"hashes": (f"sha256:{'b' * 64}",)})


def with_own(file: VerdictFile, by: str = LOCKED.label, packages: tuple[InterlockPackage, ...] = (LOCKED,)) -> Any:
    own = Verdict(id="XAR001", title="Archived", by=by, outcome=Outcome.PASSED, reason="all are")
    return file.model_copy(update={"verdicts": (*file.verdicts, own), "packages": packages})


def ours_by_them(file: VerdictFile) -> Any:
    first, *others = with_own(file).verdicts
    forged = first.model_copy(update={"by": LOCKED.label})
    return file.model_copy(update={"verdicts": (forged, *others), "packages": (LOCKED,)})


def assembled(laboratory: Laboratory, file: VerdictFile) -> Any:
    return assemble(laboratory.project, [file], (*INTERLOCKS, "XAR001"), here=WHERE, packages=(LOCKED,))


def test_the_permit_states_which_packages_judged_and_is_verified_against_the_protected_branch(
    laboratory: Laboratory,
) -> None:
    permit = assembled(laboratory, with_own(verdicts(laboratory.project, where=WHERE)))
    assert permit.predicate.packages == (LOCKED,)
    assert {one.id: one.by for one in permit.predicate.verdicts} == {
        "DOC001": "",
        "ENV001": "",
        "XAR001": "lab-interlocks 1.0.0",
    }
    assert describe_permit(permit)["judged beside"] == f"lab-interlocks 1.0.0 {LOCKED.hashes[0]}"
    verify_packages(permit, (LOCKED,))
    for named, said in (
        ((OTHER,), "lab-interlocks 1.0.0 judged, and the protected branch names lab-interlocks 1.1.0"),
        ((FORGED,), "lab-interlocks 1.0.0 judged, with other hashes"),
        ((), "lab-interlocks 1.0.0 judged, and the protected branch names none"),
    ):
        with pytest.raises(Failed, match=said):
            verify_packages(permit, named)
    with pytest.raises(Failed, match=r"none judged, and the protected branch names lab-interlocks 1.0.0"):
        verify_packages(statement(), (LOCKED,))


@pytest.mark.parametrize(
    "tamper",
    [
        attack_case(
            lambda file: with_own(file, OTHER.label, (OTHER,)),
            guard="permit assemble",
            tried="a verdict of another version of the laboratory's own interlocks",
            said="XAR001 was judged by lab-interlocks 1.1.0, but the protected branch asks for lab-interlocks 1.0.0",
        ),
        attack_case(
            lambda file: with_own(file, packages=(FORGED,)),
            guard="permit assemble",
            tried="a verdict of a package of the same name and version with other bytes",
            said="XAR001 was judged by lab-interlocks 1.0.0 with other hashes or beside other packages",
        ),
        attack_case(
            lambda file: with_own(file, by=""),
            guard="permit assemble",
            tried="a verdict of a laboratory's interlock that no package made",
            said="XAR001 was judged by no package",
        ),
        attack_case(
            ours_by_them,
            guard="permit assemble",
            tried="a verdict of an interlock of ours that a laboratory's package made",
            said="DOC001 was judged by lab-interlocks 1.0.0, and it is an interlock of beampermit",
        ),
        attack_case(
            lambda file: file,
            guard="permit assemble",
            tried="no verdict of the laboratory's own interlocks",
            said="XAR001 has no verdict",
        ),
    ],
)
def test_a_verdict_of_another_package_gives_no_permit(
    laboratory: Laboratory, tamper: Callable[[VerdictFile], VerdictFile], said: str
) -> None:
    with pytest.raises(Failed) as refused:
        assembled(laboratory, tamper(verdicts(laboratory.project, where=WHERE)))
    assert said in refused.value.message


def test_a_permit_without_packages_has_the_bytes_that_it_had_before_there_were_any() -> None:
    assert b'"packages"' not in statement().payload
    assert b'"by"' not in statement().payload
    assert statement().digest == "sha256:1246bceeec107744619d52c1998129eedf77478a4cc6c9fc9feb506b47b9f4cc"


def test_a_permit_cannot_name_a_package_that_it_does_not_state() -> None:
    body = statement().model_dump(mode="json")
    body["predicate"]["verdicts"][0]["by"] = "lab-interlocks 9"
    with pytest.raises(BadInput, match="a package that the permit does not state: lab-interlocks 9"):
        validate_statement(body, "permit.json")
