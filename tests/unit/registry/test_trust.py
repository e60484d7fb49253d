"""A line of the ledger is believed only with a permit signed by a key that the protected branch lists now."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from beampermit.digest import digest_bytes
from beampermit.errors import BadInput, Conflict, Failed
from beampermit.github.client import Client
from beampermit.interlocks.performance.champion import champion, ledger
from beampermit.permit import keys
from beampermit.permit.envelope import sign_statement
from beampermit.publishing import publish_version
from beampermit.registry.champion import load_champion
from beampermit.registry.event import Event
from beampermit.registry.reconcile import find_differences, require_same_registry
from support.attacks import attack_case
from support.registry_project import MODEL, Laboratory, sign_promotion

pytestmark = pytest.mark.slow

Read = Callable[[Laboratory], object]
READERS: dict[str, Read] = {
    "reconcile": Laboratory.reconcile,
    "reconcile --dry-run": lambda lab: find_differences(lab.ledger, lab.registry, MODEL, lab.said.append),
    "reconcile --rebuild": lambda lab: lab.rebuild(lambda event, into: lab.model(event.version)),
    "rollback --to": lambda lab: lab.rollback(to=lab.last().version),
    "PRF002": lambda lab: champion(ledger(lab.project), lab.project.contract),
    "reproduce --champion": lambda lab: load_champion(lab.project),
}


@pytest.fixture
def second(prepared: Callable[..., Laboratory]) -> Laboratory:
    """Two versions promoted, and a third in the registry that no permit was signed for."""

    def register(lab: Laboratory) -> None:
        run = lab.registry.store(MODEL, lab.model(666), "planted", {})
        lab.registry.create_version(MODEL, run)
        lab.git("checkout", "--quiet", "--", ".")
        lab.model(2)

    return prepared("planted", register, since="twice")


def planted(lab: Laboratory, **changes: object) -> Event:
    """A line that makes the planted version champion."""
    last = lab.last()
    line = {"event": "promote", "version": 3, "sequence": last.sequence + 1, "expected": last.version, "by": "Mallory"}
    return last.model_copy(update={"permit": digest_bytes(b"none"), **line, **changes})


def file_of(event: Event) -> str:
    return f"permits/{event.permit.removeprefix('sha256:')}.json"


def without_a_permit(lab: Laboratory) -> None:
    lab.forge(planted(lab))


def signed_by_nobody(lab: Laboratory) -> None:
    """With a key that only the work tree of the attacker lists."""
    private, public = lab.new_key("mallory")
    permit = lab.sign().statement
    event = planted(lab, permit=permit.digest, digest=permit.model_digest, commit=permit.predicate.commit)
    (lab.root / keys.PUBLIC_IN_PROJECT).write_text(public.read_text())
    lab.forge(event, permits={file_of(event): sign_statement(permit, keys.load_signing_key(str(private)))})


def with_the_permit_of_another_version(lab: Laboratory) -> None:
    lab.forge(lab.last().model_copy(update={"version": 3, "sequence": 3, "expected": 2}))


def with_another_digest(lab: Laboratory) -> None:
    lab.forge(planted(lab, permit=lab.last().permit, digest=digest_bytes(b"planted")))


def with_another_commit(lab: Laboratory) -> None:
    lab.forge(planted(lab, permit=lab.last().permit, commit="6" * 40))


FORGERIES = (
    attack_case(
        without_a_permit,
        guard="reconcile",
        tried="a promote line without a signed permit is appended to the ledger",
        said="version 3 of bpm-faults is not believed: the ledger has no signed permit for it",
    ),
    attack_case(
        signed_by_nobody,
        guard="reconcile",
        tried="a promote line with a permit that the attacker's own key signed is appended to the ledger",
        said="version 3 of bpm-faults is not believed: its permit is signed with an untrusted key",
    ),
    attack_case(
        with_the_permit_of_another_version,
        guard="reconcile",
        tried="a promote line with the permit of another version is appended to the ledger",
        said="version 3 of bpm-faults is not believed: its permit was promoted before, as version 2",
    ),
    attack_case(
        with_another_digest,
        guard="reconcile",
        tried="a promote line names a signed permit, and the digest of other bytes",
        said="version 3 of bpm-faults is not believed: the ledger says digest sha256:",
    ),
    attack_case(
        with_another_commit,
        guard="reconcile",
        tried="a promote line names a signed permit, and another commit",
        said="version 3 of bpm-faults is not believed: the ledger says commit 6666",
    ),
)


@pytest.mark.parametrize("forge", FORGERIES)
def test_a_forged_line_is_believed_by_nobody(
    second: Laboratory, forge: Callable[[Laboratory], None], said: str
) -> None:
    forge(second)
    for read in READERS.values():
        with pytest.raises(Failed, match=re.escape(said)):
            read(second)
    assert second.champion() == 2


def test_a_rollback_leads_away_from_a_forged_champion_and_a_promotion_goes_on(second: Laboratory) -> None:
    without_a_permit(second)
    second.rollback()
    assert (second.champion(), second.statuses()) == (2, {1: "former", 2: "champion", 3: "not believed"})
    assert second.reconcile() == ()
    second.rollback(reason="2 drifts as well")
    assert second.champion() == 1, "a forged version is not a rollback target"
    second.change(4)
    second.promote()
    assert second.champion() == 4


def test_a_promotion_replaces_a_forged_champion(second: Laboratory) -> None:
    without_a_permit(second)
    second.change(4)
    second.promote()
    assert (second.champion(), second.statuses()[3]) == (4, "not believed")


def test_a_freeze_counts_all_the_same_and_says_what_is_wrong(second: Laboratory) -> None:
    without_a_permit(second)
    with pytest.raises(Failed, match=r"the ledger was updated \(freeze .*\), the registry was not: version 3 .* not b"):
        second.freeze()
    assert second.events()[-1] == ("freeze", 3)


@pytest.mark.attack(
    guard="publish",
    tried="a release is published for a version that only a forged line promoted",
    said="version 3 of bpm-faults is not believed",
)
def test_a_forged_version_is_not_published(second: Laboratory, said: str) -> None:
    second.change(3)
    permit = second.sign().statement
    facts = {"permit": permit.digest, "digest": permit.model_digest, "commit": permit.predicate.commit}
    second.forge(planted(second, **facts))
    with pytest.raises(Failed, match=said):
        publish_version(Client("lab/faults", "", "http://127.0.0.1:9"), second.ledger, permit, second.root)


@pytest.mark.attack(
    guard="rollback",
    tried="the key that signed a version was stolen and taken out of permit.pub, and the version is brought back",
    said="version 1 of bpm-faults is not believed: its permit is signed with an untrusted key",
)
def test_a_key_that_was_taken_out_revokes_what_it_alone_signed(second: Laboratory, said: str) -> None:
    private, public = second.new_key("next")
    second.trust(public)
    with pytest.raises(Failed, match=said) as refused:
        second.rollback(to=1)
    assert refused.value.hint == "beampermit re-sign --version 1 --reason WHY"
    with pytest.raises(BadInput, match="those whose permit is not believed, do not count"):
        second.rollback()
    assert len(second.events()) == 2
    for version in (2, 1):
        with pytest.raises(BadInput, match="does not belong to any public key of the protected branch"):
            second.re_sign(version, second.key)
        assert second.re_sign(version, private).new is True
    assert second.re_sign(1, private).new is False
    second.rollback(to=1)
    assert (second.champion(), second.statuses()) == (1, {1: "champion", 2: "former", 3: ""})
    assert [kind for kind, _ in second.events()] == ["promote", "promote", "re-sign", "re-sign", "rollback"]


def test_a_key_that_was_replaced_and_stays_with_its_last_day_revokes_nothing(second: Laboratory) -> None:
    _, public = second.new_key("next")
    second.trust(second.public, public, prefix="not-after: 2999-12-31\n")
    assert second.rollback(to=1).new
    assert second.reconcile() == ()


def test_a_clone_that_is_behind_uses_the_keys_of_now(second: Laboratory) -> None:
    """This clone never fetched the commit that took the key out."""
    _, public = second.new_key("next")
    before = second.git("rev-parse", "refs/remotes/origin/main")
    second.trust(public)
    second.git("update-ref", "refs/remotes/origin/main", before)
    with pytest.raises(Failed, match="its permit is signed with an untrusted key"):
        second.reconcile()


@pytest.mark.attack(
    guard="promote",
    tried="a branch called a/refs/heads/main holds the attacker's keys, and git lists it before main",
    said="its permit is signed with an untrusted key",
)
def test_a_branch_with_a_similar_name_has_no_keys(second: Laboratory, said: str) -> None:
    signed_by_nobody(second)
    second.git("add", "--all")
    second.git("commit", "--quiet", "--message", "Keys of Mallory")
    second.git("push", "--quiet", "origin", "HEAD:refs/heads/a/refs/heads/main", "HEAD:refs/heads/HEAD")
    with pytest.raises(Failed, match=said):
        second.fresh_clone().reconcile()
    with pytest.raises(Conflict, match="branch main of origin does not contain it"):
        second.promote(signed=second.sign(), branch="main")


def test_without_keys_on_the_protected_branch_nothing_is_believed(second: Laboratory) -> None:
    second.git("rm", "--quiet", keys.PUBLIC_IN_PROJECT)
    second.git("commit", "--quiet", "--message", "No keys")
    second.git("push", "--quiet", "origin", "main")
    with pytest.raises(BadInput, match="no permit of the ledger can be verified"):
        second.reconcile()


@pytest.mark.attack(
    guard="re-sign",
    tried="a stolen key signed other bytes for a commit of the branch, and somebody is to sign them again",
    said="the permit does not bind what commit",
)
def test_what_the_commit_does_not_have_is_not_signed_again(second: Laboratory, said: str) -> None:
    real = second.sign().statement
    files = {**real.predicate.model, "weights.safetensors": digest_bytes(b"planted")}
    event, content = sign_promotion(planted(second), files, real, keys.load_signing_key(str(second.key)))
    second.forge(event, permits={file_of(event): content})
    private, public = second.new_key("next")
    second.trust(public)
    with pytest.raises(Failed, match=said):
        second.re_sign(3, private)


def test_what_an_editor_on_windows_wrote_is_signed_again_as_it_is(second: Laboratory) -> None:
    contract = second.root / "contract.yaml"
    contract.write_bytes(contract.read_bytes().replace(b"\n", b"\r\n"))
    second.change(3)
    second.promote()
    private, public = second.new_key("next")
    second.trust(public)
    assert second.re_sign(second.champion() or 0, private).new is True


@pytest.mark.attack(
    guard="re-sign",
    tried="a key whose last day is over signs a version again",
    said="is valid until 2020-12-31",
)
def test_an_expired_key_signs_nothing_again(second: Laboratory, said: str) -> None:
    private, public = keys.generate_keys(second.root.parent / "expired", "2020-12-31")
    second.trust(public)
    with pytest.raises(Failed, match=said):
        second.re_sign(1, private)
    assert [kind for kind, _ in second.events()] == ["promote", "promote"]


@pytest.mark.attack(
    guard="re-sign",
    tried="a permit of a commit that is on no protected branch, where permit.pub lists the attacker's key",
    said="the protected branch of origin does not contain commit",
)
def test_a_permit_of_another_branch_is_not_signed_again(second: Laboratory, said: str) -> None:
    mallory, public = second.new_key("mallory")
    second.git("switch", "--quiet", "--create", "mine")
    (second.root / keys.PUBLIC_IN_PROJECT).write_text(public.read_text())
    second.git("commit", "--quiet", "--all", "--message", "My keys")
    permit = second.sign().statement
    event = planted(second, permit=permit.digest, digest=permit.model_digest, commit=permit.predicate.commit)
    content = sign_statement(permit, keys.load_signing_key(str(mallory)))
    second.forge(event, permits={file_of(event): content})
    with pytest.raises(Failed, match=said):
        second.re_sign(3, second.key)


VERBS: dict[str, Read] = {
    "reconcile": Laboratory.reconcile,
    "rollback": Laboratory.rollback,
    "freeze": Laboratory.freeze,
    "retire": Laboratory.retire,
    "promote": Laboratory.promote,
}


@pytest.mark.attack(
    guard="reconcile",
    tried="the ledger is set back by one line, and a clone that never saw that line follows it",
    said="the registry has shown line 3 of the ledger, which has 2: it was set back",
)
def test_a_ledger_that_was_set_back_is_refused_by_a_fresh_clone_too(second: Laboratory, said: str) -> None:
    second.retire()
    second.forge(back=1)
    fresh = second.fresh_clone()
    fresh.model(2)
    for act in VERBS.values():
        with pytest.raises(Conflict, match=re.escape(said)):
            act(fresh)
    assert second.champion() is None
    assert len(fresh.events()) == 2


@pytest.mark.attack(
    guard="reconcile",
    tried="the ledger is set back and another line is appended, so that it is as long as before",
    said="the registry has shown another ledger up to line 3: it was rewritten",
)
def test_a_ledger_that_was_rewritten_to_the_same_length_is_refused(second: Laboratory, said: str) -> None:
    second.retire()
    retired = second.last()
    second.forge(retired.model_copy(update={"event": "freeze"}), back=1)
    with pytest.raises(Conflict, match=re.escape(said)):
        second.fresh_clone().reconcile()
    assert second.champion() is None


@pytest.mark.attack(
    guard="history",
    tried="a commit on top of the ledger takes its last line away, which is not a force-push",
    said="the ledger on origin was rewritten: it lacks events that this clone has read before",
)
def test_a_line_that_a_later_commit_takes_away_is_missed(second: Laboratory, said: str) -> None:
    second.retire()
    second.forge(cut=1)
    for _ in range(2):
        with pytest.raises(Conflict, match=said):
            second.ledger.fetch()
    with pytest.raises(Conflict, match="has shown line 3 of the ledger, which has 2: it was set back"):
        second.fresh_clone().reconcile()


@pytest.mark.attack(
    guard="reconcile",
    tried="the ledger is set back, and the mark in the registry is removed too",
    said="the registry has shown line 3 of the ledger, which has 2: it was set back",
)
def test_the_sequence_of_the_champion_tells_without_the_mark(second: Laboratory, said: str) -> None:
    second.rollback()
    second.registry.set_tags(MODEL, ledger="")
    second.forge(back=1)
    with pytest.raises(Conflict, match=re.escape(said)):
        second.fresh_clone().reconcile()


def test_lines_of_another_model_do_not_matter(second: Laboratory) -> None:
    other = second.last().model_copy(update={"model": "orbit", "version": 1, "sequence": 3, "expected": None})
    second.forge(other)
    assert second.fresh_clone().reconcile() == ()
    assert second.rollback().new
    assert second.reconcile() == ()


def test_what_somebody_else_appended_and_showed_meanwhile_is_no_other_ledger(second: Laboratory) -> None:
    """The ledger was read here before that line, and the registry after it."""
    ledger = second.ledger
    ledger.fetch()
    state = ledger.state(MODEL)
    second.rollback()
    shown = require_same_registry(ledger, second.registry, MODEL, state)
    assert shown
    assert shown.number == 1


def test_history_shows_what_is_not_believed_and_which_times_are_wrong(second: Laboratory) -> None:
    second.forge(planted(second, at="2020-01-01T00:00:00Z"))
    ledger = second.ledger
    ledger.fetch()
    assert "is not believed" in ledger.doubts(second.last())
    assert ledger.read().odd_times()[3].startswith("line 3 is dated 2020-01-01T00:00:00Z, before line 2 (")
