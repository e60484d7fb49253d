"""What is wrong with permit, model or commit stops a promotion before anything is registered or written."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.errors import BadInput, BeampermitError, Conflict, Tripped
from beampermit.git import Git
from beampermit.permit import keys
from beampermit.permit.envelope import Signed, read_envelope, seal
from beampermit.permit.trusted import public_keys
from beampermit.registry import event as events
from laboratory import MODEL, Laboratory

pytestmark = pytest.mark.slow
Defect = Callable[[Laboratory, Signed], Signed | None]


@pytest.fixture
def second(prepared: Callable[..., Laboratory]) -> Laboratory:
    """A laboratory whose first version is champion, and whose second is to be promoted."""
    return prepared("second", Laboratory.promote, lambda made: made.change(2))


def _weights(laboratory: Laboratory) -> Path:
    return laboratory.root / "model/weights.safetensors"


def _changed_after_the_gate(laboratory: Laboratory, _: Signed) -> None:
    _weights(laboratory).write_bytes(_weights(laboratory).read_bytes() + b"\0")


def _pickle_renamed(laboratory: Laboratory, _: Signed) -> None:
    (laboratory.root / "model/more.safetensors").write_bytes(pickle.dumps({"weight": 1}))


def _of_an_older_commit(laboratory: Laboratory, signed: Signed) -> Signed:
    laboratory.change(3)
    return signed


def _of_another_name(_: Laboratory, signed: Signed) -> Signed:
    statement = signed.statement
    other = statement.model_copy(update={"subject": (statement.subject[0].model_copy(update={"name": "other"}),)})
    return Signed(other, signed.content)


def _on_other_data(_: Laboratory, signed: Signed) -> Signed:
    facts = signed.statement.predicate
    other = facts.model_copy(update={"dataset": dict.fromkeys(facts.dataset, f"sha256:{'9' * 64}")})
    return Signed(signed.statement.model_copy(update={"predicate": other}), signed.content)


def _another_lock(laboratory: Laboratory, _: Signed) -> None:
    (laboratory.root / "uv.lock").write_text("# another environment\n")


DEFECTS: dict[str, tuple[Defect, str]] = {
    "model bytes changed after the gate": (_changed_after_the_gate, "bytes are not those that the permit binds"),
    "a pickle with another suffix": (_pickle_renamed, "this file is not bound by the permit"),
    "a permit of an older commit": (_of_an_older_commit, "this permit is for commit"),
    "a permit of another model": (_of_another_name, "this permit is for 'other', not for 'bpm-faults'"),
    "a permit given on another dataset": (_on_other_data, "given on other bytes of this file than the manifest lists"),
    "another environment": (_another_lock, "this file is not the one that the permit binds"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_permit_that_does_not_fit_trips_the_promotion(second: Laboratory, defect: str) -> None:
    plant, words = DEFECTS[defect]
    signed = second.sign()
    signed = plant(second, signed) or signed
    with pytest.raises(Tripped, match=words):
        second.promote(signed=signed)
    assert second.statuses() == {1: "champion"}
    assert second.events() == [("promote", 1)]


def test_a_model_changed_while_it_is_stored_never_gets_out(second: Laboratory) -> None:
    signed, weights = second.sign(), _weights(second).read_bytes()

    def change(step: str) -> None:
        if step == "store the model":
            _changed_after_the_gate(second, signed)

    with pytest.raises(Tripped, match="the model was changed after it was judged"):
        second.promote(change, signed)
    assert second.statuses() == {1: "champion"}
    _weights(second).write_bytes(weights)
    second.promote(signed=signed)
    assert second.champion() == 2


def _wrong_key(laboratory: Laboratory, file: Path) -> None:
    private, _ = keys.generate(laboratory.root.parent / "others-keys")
    file.write_bytes(seal(laboratory.sign().statement, keys.signing_key(str(private))))


def _unsigned(laboratory: Laboratory, file: Path) -> None:
    file.write_text(laboratory.sign().statement.text)


def _no_signature(laboratory: Laboratory, file: Path) -> None:
    file.write_text(json.dumps({**json.loads(laboratory.sign().content), "signatures": []}))


def _another_payload(laboratory: Laboratory, file: Path) -> None:
    """Better metrics under the signature of the real ones: stale or invented."""
    signed = laboratory.sign()
    better = signed.statement.model_copy(
        update={"predicate": signed.statement.predicate.model_copy(update={"metrics": {"auc": 1.0}})}
    )
    envelope = json.loads(seal(better, keys.signing_key(str(laboratory.key))))
    envelope["signatures"] = json.loads(signed.content)["signatures"]
    file.write_bytes((json.dumps(envelope, indent=2) + "\n").encode())


@pytest.mark.parametrize(
    ("forge", "error", "words"),
    [
        (_wrong_key, Tripped, "signed by another key"),
        (_unsigned, BadInput, "not a signed permit"),
        (_no_signature, BadInput, "not a signed permit"),
        (_another_payload, Tripped, "the signature does not fit"),
    ],
)
def test_a_permit_that_our_key_did_not_sign_is_not_read(
    laboratory: Laboratory,
    forge: Callable[[Laboratory, Path], None],
    error: type[BeampermitError],
    words: str,
) -> None:
    file = laboratory.root.parent / "permit.dsse.json"
    forge(laboratory, file)
    with pytest.raises(error, match=words):
        read_envelope(file, public_keys(laboratory.root / ".github/permit.pub"))


def test_a_branch_that_was_rewritten_meanwhile_stops_the_promotion(second: Laboratory) -> None:
    """The commit passed every gate, and is not what the branch holds any more."""

    def rewrite(step: str) -> None:
        if step == "test the deployment":
            second.git("push", "--quiet", "--force", "origin", "HEAD~1:main")

    with pytest.raises(Conflict, match=r"branch main, and that branch of origin does not hold it") as no:
        second.promote(rewrite, branch="main")
    assert no.value.exit_code == 3
    assert (second.champion(), second.events()) == (1, [("promote", 1)])
    second.git("push", "--quiet", "origin", "HEAD:main")
    second.promote(branch="main")
    assert second.statuses() == {1: "former", 2: "champion"}


def test_a_branch_that_is_gone_stops_the_promotion(second: Laboratory) -> None:
    Git(second.root.parent / "origin.git")("update-ref", "-d", "refs/heads/main")
    with pytest.raises(Conflict, match=r"that branch of origin is not there"):
        second.promote(branch="main")
    assert second.champion() == 1


@pytest.mark.parametrize("day", ["2020-01-01", "2099-01-01"])
def test_a_clock_that_is_wrong_changes_no_order(second: Laboratory, day: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came first is the ledger's order, whatever the clocks of the machines said."""
    wrong = events.datetime.fromisoformat(f"{day}T00:00:00+00:00")

    class Clock(events.datetime):
        @classmethod
        def now(cls, tz: object = None) -> events.datetime:
            return wrong

    with monkeypatch.context() as patch:
        patch.setattr(events, "datetime", Clock)
        second.promote()
    assert second.last().at.startswith(day)
    second.rollback()
    assert second.events() == [("promote", 1), ("promote", 2), ("rollback", 1)]
    assert second.registry.alias(MODEL, "champion") == 1
