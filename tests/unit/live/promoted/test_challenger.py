"""A challenger is verified as a champion is, though the ledger does not name it yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from beampermit.digest import digest_json, manifest
from beampermit.errors import BadInput, Failed, Outside
from beampermit.live.promoted import Promotions
from beampermit.permit import envelope, keys
from beampermit.permit.statement import Sha256, Subject
from beampermit.registry.promotion import CHALLENGER, Promotion
from support.attacks import attack_case
from support.promoted_project import Followed
from support.registry_project import MODEL, Laboratory

pytestmark = pytest.mark.usefixtures("in_this_process")


@pytest.fixture
def promotions(followed: Followed) -> Promotions:
    """Of a ledger where version 1 is champion."""
    followed.have_the_model()
    followed.promotions.look()
    return followed.promotions


def register(lab: Laboratory, weight: float) -> None:
    """A version that the test deployment refuses: it is in the registry, signed, and not champion."""

    def refuse(_: Path) -> None:
        raise Failed("as deployed, it is slow")

    lab.change(weight)
    with pytest.raises(Failed, match="it is slow"):
        Promotion(lab.project, lab.ledger, lab.registry, lab.sign(), refuse, lab.said.append).run()


@pytest.mark.slow
def test_a_signed_version_that_is_not_champion_can_be_shadowed(lab: Laboratory, promotions: Promotions) -> None:
    register(lab, 3)
    declared = promotions.challenger()
    assert (declared.version, declared.event) == (2, None)
    challenger = promotions.prepare(declared)
    assert manifest(challenger.folder) == manifest(lab.root / "model")
    challenger.verify()
    # Its permit ends with its key, as that of a champion does.
    promotions.verify_permit(challenger)
    lab.trust(lab.new_key("new")[1])
    promotions.look()
    with pytest.raises(Failed, match="untrusted key"):
        promotions.verify_permit(challenger)


@pytest.mark.slow
def test_a_former_champion_can_be_a_challenger_and_a_retired_one_cannot(
    lab: Laboratory, followed: Followed, promotions: Promotions
) -> None:
    followed.promote(3)
    lab.registry.set_alias(MODEL, CHALLENGER, 1)
    promotions.look()
    declared = promotions.challenger()
    assert declared.version == 1
    assert declared.event == promotions.state().promoted[1]
    followed.write("retire", 1)
    promotions.look()
    with pytest.raises(Failed, match=r"version 1 was retired by Ada Operator .*: drifts"):
        promotions.challenger()


@pytest.mark.slow
def test_the_champion_is_no_challenger(promotions: Promotions) -> None:
    with pytest.raises(Failed, match="version 1 has the alias challenger, and is the champion"):
        promotions.challenger()


@pytest.mark.slow
def test_without_the_alias_there_is_none(lab: Laboratory, promotions: Promotions) -> None:
    lab.registry.delete_alias(MODEL, CHALLENGER)
    with pytest.raises(BadInput, match="no version of bpm-faults has the alias challenger in the registry sqlite"):
        promotions.challenger()


@pytest.mark.slow
@pytest.mark.attack(
    guard="serve",
    tried="gives the alias challenger to a version whose permit another key signed",
    said="signed with an untrusted key",
)
def test_a_challenger_that_another_key_signed_is_refused(lab: Laboratory, promotions: Promotions, said: str) -> None:
    lab.key, _ = lab.new_key("of the attacker")
    register(lab, 3)
    with pytest.raises(Failed, match=said):
        promotions.challenger()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "weight", "until"),
    [
        attack_case(
            MODEL,
            9,
            "",
            guard="serve",
            tried="signs other bytes as a challenger, with a stolen key",
            said="the permit does not bind what commit",
        ),
        attack_case(
            "bpm-losses",
            2,
            "",
            guard="serve",
            tried="gives the alias challenger to a version with the permit of another model",
            said="the permit is for model 'bpm-losses', not for 'bpm-faults'",
        ),
        attack_case(
            MODEL,
            2,
            "not-after: 2026-06-01\n",
            guard="serve",
            tried="dates the permit of a challenger back, with a key that has expired",
            said="is valid until 2026-06-01",
        ),
    ],
)
def test_a_challenger_of_another_commit_or_model_or_of_a_former_key_is_refused(
    lab: Laboratory, promotions: Promotions, said: str, model: str, weight: float, until: str
) -> None:
    plain = lab.sign().statement
    weights = lab.model(weight)
    files = manifest(weights)
    subject = Subject(name=model, digest=Sha256(sha256=digest_json(files).removeprefix("sha256:")))
    predicate = plain.predicate.model_copy(update={"model": files, "issued": "2026-05-01T08:00:00Z"})
    forged = plain.model_copy(update={"subject": (subject,), "predicate": predicate})
    content = envelope.sign_statement(forged, keys.load_signing_key(str(lab.key)))
    run = lab.registry.store(MODEL, weights, forged.digest, {"permit.dsse.json": content.decode()})
    lab.registry.set_alias(MODEL, CHALLENGER, lab.registry.create_version(MODEL, run, permit=forged.digest))
    lab.trust(lab.public, prefix=until)
    promotions.look()
    with pytest.raises(Failed, match=said):
        promotions.challenger()


@pytest.mark.slow
@pytest.mark.attack(
    guard="serve",
    tried="puts a permit of gigabytes beside a challenger in the registry",
    said="has a permit of",
)
def test_a_permit_of_any_size_is_not_read(
    lab: Laboratory, promotions: Promotions, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(lab, 3)
    monkeypatch.setattr("beampermit.registry.answering.LARGEST", 100)
    with pytest.raises(Outside, match=said):
        promotions.challenger()
