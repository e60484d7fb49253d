"""A wrong permit, key, model, commit or clock stops a promotion before anything is registered or written."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from beampermit.errors import Conflict, Failed
from beampermit.git import Git
from beampermit.interlocks.families import load_interlocks
from beampermit.permit import assemble, keys
from beampermit.permit.envelope import Signed, sign_statement
from beampermit.permit.statement import Statement
from beampermit.registry import event as events
from support.registry_project import INTERLOCKS, Laboratory

pytestmark = pytest.mark.slow
Command = Callable[..., Any]
Clock = Callable[[int], AbstractContextManager[None]]
TODAY = datetime(2026, 11, 23, 12, tzinfo=UTC)
PUBLIC = ".github/permit.pub"


@pytest.fixture
def second(prepared: Callable[..., Laboratory]) -> Laboratory:
    """A laboratory whose first version is champion, and whose second is to be promoted."""
    return prepared("second", lambda made: made.change(2), since="once")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The machine's clock, so many days from `TODAY`."""

    @contextmanager
    def set_to(days: int) -> Iterator[None]:
        class Clock(datetime):
            @classmethod
            def now(cls, tz: object = None) -> datetime:
                return TODAY + timedelta(days=days)

        with monkeypatch.context() as patch:
            for module in ("datetime", events.__name__, assemble.__name__):
                patch.setattr(f"{module}.datetime", Clock)
            yield

    return set_to


def _sign(laboratory: Laboratory) -> Signed:
    """The right permit, where `promote` looks for it."""
    signed = laboratory.sign(tuple(load_interlocks()))
    (laboratory.root / "permit.dsse.json").write_bytes(signed.content)
    return signed


def _seal(laboratory: Laboratory, statement: Statement) -> bytes:
    return sign_statement(statement, keys.load_signing_key(str(laboratory.key)))


def _weights(laboratory: Laboratory) -> Path:
    return laboratory.root / "model/weights.safetensors"


def _changed_after_the_gate(laboratory: Laboratory, _: Signed) -> None:
    _weights(laboratory).write_bytes(_weights(laboratory).read_bytes() + b"\0")


def _pickle_renamed(laboratory: Laboratory, _: Signed) -> None:
    (laboratory.root / "model/more.safetensors").write_bytes(pickle.dumps({"weight": 1}))


def _of_an_older_commit(laboratory: Laboratory, _: Signed) -> None:
    laboratory.change(3)


def _of_another_name(laboratory: Laboratory, signed: Signed) -> bytes:
    subject = signed.statement.subject[0].model_copy(update={"name": "other"})
    return _seal(laboratory, signed.statement.model_copy(update={"subject": (subject,)}))


def _on_other_data(laboratory: Laboratory, signed: Signed) -> bytes:
    facts = signed.statement.predicate
    other = facts.model_copy(update={"dataset": dict.fromkeys(facts.dataset, f"sha256:{'9' * 64}")})
    return _seal(laboratory, signed.statement.model_copy(update={"predicate": other}))


def _another_lock(laboratory: Laboratory, _: Signed) -> None:
    (laboratory.root / "uv.lock").write_text("# another environment\n")


def _gap(laboratory: Laboratory, _: Signed) -> bytes:
    return laboratory.sign(INTERLOCKS).content


def _wrong_key(laboratory: Laboratory, signed: Signed) -> bytes:
    private, _ = keys.generate_keys(laboratory.root.parent / "others-keys")
    return sign_statement(signed.statement, keys.load_signing_key(str(private)))


def _unsigned(_: Laboratory, signed: Signed) -> bytes:
    return signed.statement.text.encode()


def _no_signature(_: Laboratory, signed: Signed) -> bytes:
    return json.dumps({**json.loads(signed.content), "signatures": []}).encode()


def _another_payload(laboratory: Laboratory, signed: Signed) -> bytes:
    """Better metrics with the signature of the real ones."""
    facts = signed.statement.predicate.model_copy(update={"metrics": {"auc": 1.0}})
    envelope = json.loads(_seal(laboratory, signed.statement.model_copy(update={"predicate": facts})))
    envelope["signatures"] = json.loads(signed.content)["signatures"]
    return (json.dumps(envelope, indent=2) + "\n").encode()


def _key_of_the_past(laboratory: Laboratory, _: Signed) -> None:
    laboratory.trust(laboratory.public, prefix="not-after: 2020-12-31\n")


DEFECTS: dict[str, tuple[Callable[[Laboratory, Signed], bytes | None], int, str]] = {
    "model bytes changed after the gate": (
        _changed_after_the_gate,
        1,
        "this file differs from the one that the permit binds",
    ),
    "a pickle with another suffix": (_pickle_renamed, 1, "the permit does not bind this file"),
    "a permit of an older commit": (_of_an_older_commit, 1, "the permit is for commit"),
    "a permit of another model": (_of_another_name, 1, "the permit is for model 'other', not for 'bpm-faults'"),
    "a permit given on another dataset": (
        _on_other_data,
        1,
        "the manifest lists another digest for this file than the permit",
    ),
    "another environment": (_another_lock, 1, "uv.lock: this file differs from the one that the permit binds"),
    "an interlock that nobody asked": (_gap, 1, "the permit has no verdict of"),
    "another key": (_wrong_key, 1, "signed with an untrusted key"),
    "an expired key": (_key_of_the_past, 1, "is valid until 2020-12-31"),
    "no signature": (_no_signature, 2, "not a signed permit"),
    "not even an envelope": (_unsigned, 2, "not a signed permit"),
    "the signature of another statement": (_another_payload, 1, "the signature is invalid"),
}

IN_THE_WAY = {"model bytes changed after the gate", "another environment", "an expired key"}
"""After these it is also seen that the right permit promotes; the others change no more than the permit."""


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_permit_that_does_not_match_promotes_nothing(second: Laboratory, command: Command, defect: str) -> None:
    plant, code, words = DEFECTS[defect]
    signed = _sign(second)
    content = plant(second, signed)
    if content is not None:
        (second.root / "permit.dsse.json").write_bytes(content)
    found = command(second, "promote")
    assert found.code == code
    assert found.err.startswith("beampermit: ")
    assert words in found.err
    assert "\n      next: " in found.err
    assert (second.statuses(), second.events()) == ({1: "champion"}, [("promote", 1)])
    if defect not in IN_THE_WAY:
        return
    second.git("reset", "--quiet", "--hard")
    shutil.rmtree(second.root / "model")
    second.trust(second.public)
    second.model(2)
    _sign(second)
    assert command(second, "promote").code == 0
    assert (second.statuses(), second.events()[-1]) == ({1: "former", 2: "champion"}, ("promote", 2))


@pytest.mark.attack(
    guard="promote",
    tried="a permit is signed with the attacker's own key, which the work tree and the commit list as trusted",
    said="signed with an untrusted key: sha256:",
)
def test_a_key_that_the_protected_branch_does_not_list_promotes_nothing(
    second: Laboratory, command: Command, said: str
) -> None:
    private, public = second.new_key("mallory")
    (second.root / PUBLIC).write_text(public.read_text())
    second.git("commit", "--quiet", "--all", "--message", "My key")
    permit = second.sign(tuple(load_interlocks())).statement
    (second.root / "permit.dsse.json").write_bytes(sign_statement(permit, keys.load_signing_key(str(private))))
    found = command(second, "promote")
    assert (found.code, said in found.err) == (1, True)
    assert (second.statuses(), second.events()) == ({1: "champion"}, [("promote", 1)])
    assert command(second, "promote", "--key", str(public)).code == 2, "no option names another key"


def test_a_permit_is_refused_after_the_last_day_of_its_key(second: Laboratory, command: Command, clock: Clock) -> None:
    """The only decision by the clock; the message has its time, so that a wrong clock is noticed."""
    with clock(0):
        _sign(second)
    second.trust(second.public, prefix="not-after: 2026-11-23\n")
    with clock(1):
        found = command(second, "promote")
    assert found.code == 1
    assert "used at 2026-11-24T12:00:00Z, but key sha256:" in found.err
    assert "is valid until 2026-11-23" in found.err
    assert (second.champion(), second.events()) == (1, [("promote", 1)])
    with clock(0):
        assert command(second, "promote").code == 0
    assert second.champion() == 2


@pytest.mark.parametrize("days", [-1, 1])
def test_a_clock_that_is_wrong_by_a_day_changes_no_order(
    second: Laboratory, command: Command, clock: Clock, days: int
) -> None:
    """The order is that of the ledger, whatever the machines' clocks said."""
    with clock(0):
        _sign(second)
    with clock(days):
        assert command(second, "promote").code == 0
    assert second.last().at == f"2026-11-{23 + days}T12:00:00Z"
    with clock(0):
        assert command(second, "rollback", "--reason", "why").code == 0
    with clock(days):
        again = command(second, "promote")
        assert (again.code, "is not champion any more" in again.err) == (3, True)
        assert command(second, "retire", "--reason", "why").code == 0
    order = [("promote", 1), ("promote", 2), ("rollback", 1), ("retire", 1)]
    assert second.events() == order
    told = json.loads(command(second, "history", "--json").out)
    assert [(one["event"], one["version"]) for one in told] == order
    assert (second.champion(), command(second, "reconcile").out) == (None, "the registry matches the ledger\n")


def test_a_model_changed_while_it_is_uploaded_is_refused(second: Laboratory) -> None:
    signed, weights = second.sign(), _weights(second).read_bytes()

    def change(step: str) -> None:
        if step == "store the model":
            _changed_after_the_gate(second, signed)

    with pytest.raises(Failed, match="the model was changed after it was judged"):
        second.promote(change, signed)
    assert second.statuses() == {1: "champion"}
    _weights(second).write_bytes(weights)
    second.promote(signed=signed)
    assert second.champion() == 2


def test_a_branch_rewritten_meanwhile_stops_the_promotion(second: Laboratory) -> None:
    """The commit passed every gate, but the branch no longer contains it."""

    def rewrite(step: str) -> None:
        if step == "test the deployment":
            second.git("push", "--quiet", "--force", "origin", "HEAD~1:main")

    with pytest.raises(Conflict, match=r"branch main of origin does not contain it") as no:
        second.promote(rewrite, branch="main")
    assert no.value.exit_code == 3
    assert (second.champion(), second.events()) == (1, [("promote", 1)])
    second.git("push", "--quiet", "origin", "HEAD:main")
    second.promote(branch="main")
    assert second.statuses() == {1: "former", 2: "champion"}


def test_the_command_asks_the_branch_that_it_is_told(second: Laboratory, command: Command) -> None:
    _sign(second)
    found = command(second, "promote", "--branch", "release")
    assert (found.code, "branch release of origin does not exist" in found.err) == (3, True)
    assert (second.champion(), second.events()) == (1, [("promote", 1)])


def test_a_deleted_branch_stops_the_promotion(second: Laboratory) -> None:
    Git(second.root.parent / "origin.git")("update-ref", "-d", "refs/heads/main")
    with pytest.raises(Conflict, match=r"branch main of origin does not exist") as no:
        second.promote(branch="main")
    assert (no.value.exit_code, no.value.hint) == (3, "git log origin/main")
    assert (second.champion(), second.events()) == (1, [("promote", 1)])
    second.git("push", "--quiet", "origin", "HEAD:main")
    second.promote(branch="main")
    assert second.champion() == 2
