"""The ledger says which image was built of which version, and is believed where a key of the branch signed that."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from subprocess import CompletedProcess
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from beampermit.containers.image import Image
from beampermit.containers.reference import parse_reference
from beampermit.digest import digest_bytes
from beampermit.errors import BadInput, Conflict, Failed
from beampermit.permit import keys
from beampermit.permit.envelope import seal
from beampermit.permit.image import ImagePredicate, image_statement
from beampermit.registry.event import Event
from beampermit.registry.images import Recorded, doubts_of_image, find_image, record_image, statement_file
from beampermit.registry.ledger import Ledger
from beampermit.registry.ledger_state import format_line, parse_lines
from support.attacks import attack_case
from support.forked_commands import beampermit
from support.image_registry import Images, images
from support.permits import KEY
from support.registry_project import MODEL, Laboratory, append_promotion, publish_keys

__all__ = ["images"]
Make = Callable[..., Event]
REPOSITORY = "ghcr.io/lab/bpm-faults"


@pytest.fixture
def two(prepared: Callable[..., Laboratory]) -> Laboratory:
    """Two versions promoted, the second is champion."""
    return prepared("twice")


def commits(lab: Laboratory) -> list[str]:
    """Of versions 1 and 2."""
    return [lab.git("rev-parse", revision) for revision in ("HEAD~1", "HEAD")]


def built(commit: str, content: bytes = b"image") -> Image:
    return Image(parse_reference(f"{REPOSITORY}@{digest_bytes(content)}"), commit, ("linux/amd64",), ())


def record(lab: Laboratory, image: Image, version: int | None = None, key: str = "") -> Recorded:
    signing = keys.load_signing_key(key or str(lab.key))
    return record_image(lab.project.git, lab.ledger, signing, image, MODEL, version=version, reason="")


def shown(lab: Laboratory, version: int | None = None) -> str | None:
    ledger = lab.ledger
    ledger.fetch()
    found = find_image(ledger, MODEL, version)
    return found.image if found else None


@pytest.mark.slow
def test_the_version_is_that_of_the_images_commit_and_a_second_time_changes_nothing(two: Laboratory) -> None:
    first, second = commits(two)
    assert shown(two) is None
    before = two.last()
    done = record(two, built(first))
    event = two.last()
    assert (done.new, event.event, event.version, event.expected, event.commit) == (True, "image", 1, 2, first)
    assert event.image == f"{REPOSITORY}@{digest_bytes(b'image')}"
    assert (event.registry, event.address) == (before.registry, before.address)
    assert not record(two, built(first)).new
    assert two.last() == event
    assert record(two, built(second, b"second")).new
    assert record(two, built(first, b"built again")).new
    assert [shown(two, 1), shown(two)] == [f"{REPOSITORY}@{digest_bytes(c)}" for c in (b"built again", b"second")]
    two.rollback()
    assert shown(two) == shown(two, 1), "the image of what is in service"
    assert two.reconcile() == (), "the registry of models shows no images"


@pytest.mark.slow
def test_an_image_of_another_commit_is_of_no_version(two: Laboratory) -> None:
    first, _ = commits(two)
    for image, version, error, said in (
        (built("c" * 40), None, Failed, "was built of commit cccccccccccc, from which no version of bpm-faults was"),
        (built(first), 2, Failed, f"was built of commit {first[:12]}, and version 2 of bpm-faults is of commit"),
        (built(first), 3, BadInput, "version 3 was never champion; these were: 1, 2"),
    ):
        with pytest.raises(error, match=said):
            record(two, image, version)
    with pytest.raises(BadInput, match="does not belong to any public key of the protected branch"):
        record(two, built(first), key=str(two.new_key("mallory")[0]))
    assert len(two.events()) == 2


@pytest.mark.slow
def test_an_event_that_came_first_is_a_conflict(two: Laboratory, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, key = two.ledger, keys.load_signing_key(str(two.key))
    append = type(ledger).append

    def overtaken(self: Any, event: Event, **given: Any) -> None:
        monkeypatch.undo()
        two.freeze()
        append(self, event, **given)

    monkeypatch.setattr(type(ledger), "append", overtaken)
    with pytest.raises(Conflict, match="somebody else was first: freeze bpm-faults"):
        record_image(two.project.git, ledger, key, built(commits(two)[0]), MODEL, version=None, reason="")


def planted(lab: Laboratory, **changes: object) -> Event:
    """A line that names an image nobody of the laboratory built."""
    last = lab.last()
    own = {
        "event": "image",
        "sequence": last.sequence + 1,
        "expected": 2,
        "image": f"{REPOSITORY}@{digest_bytes(b'!')}",
    }
    return Event.model_validate({**last.shared, **own, "by": "Mallory", **changes})


def stated(event: Event, key: str) -> bytes:
    facts = event.model_dump(include={"model", "version", "permit", "commit"})
    statement = image_statement(parse_reference(event.image or ""), ImagePredicate(**facts, issued=event.at))
    return seal(statement.payload, keys.load_signing_key(key))


def without_a_statement(lab: Laboratory) -> None:
    lab.forge(planted(lab))


def stated_with_another_key(lab: Laboratory) -> None:
    event = planted(lab)
    lab.forge(event, permits={statement_file(event): stated(event, str(lab.new_key("mallory")[0]))})


def with_the_statement_of_another_image(lab: Laboratory) -> None:
    event, other = planted(lab), planted(lab, image=f"{REPOSITORY}@{digest_bytes(b'other')}")
    lab.forge(event, permits={statement_file(event): stated(other, str(lab.key))})


def with_the_statement_of_another_version(lab: Laboratory) -> None:
    event = planted(lab)
    first = lab.ledger.state(MODEL).promoted[1].shared | {"event": "image", "image": event.image}
    lab.forge(event, permits={statement_file(event): stated(Event.model_validate(first), str(lab.key))})


def with_a_permit_as_the_statement(lab: Laboratory) -> None:
    event = planted(lab)
    lab.forge(event, permits={statement_file(event): lab.ledger.permit(lab.last()) or b""})


@pytest.mark.slow
@pytest.mark.parametrize(
    "forge",
    [
        attack_case(
            without_a_statement,
            guard="image show",
            tried="an image line without a signed statement is appended to the ledger",
            said="the image of version 2 of bpm-faults is not believed: the ledger has no signed statement for it",
        ),
        attack_case(
            stated_with_another_key,
            guard="image show",
            tried="an image line with a statement that the attacker's own key signed is appended to the ledger",
            said="signed with an untrusted key",
        ),
        attack_case(
            with_the_statement_of_another_image,
            guard="image show",
            tried="an image line names another image than its signed statement",
            said="the image of version 2 of bpm-faults is not believed: its signed statement is about",
        ),
        attack_case(
            with_the_statement_of_another_version,
            guard="image show",
            tried="an image line names another version than its signed statement",
            said=", version 1 of bpm-faults",
        ),
        attack_case(
            with_a_permit_as_the_statement,
            guard="image show",
            tried="a signed permit stands in the place of the statement about an image",
            said="not a statement about an image",
        ),
    ],
)
def test_a_forged_image_is_believed_by_nobody(two: Laboratory, forge: Callable[[Laboratory], None], said: str) -> None:
    forge(two)
    with pytest.raises(Failed, match=re.escape(said)):
        shown(two)
    done = beampermit("history", "--json", cwd=two.root)
    assert said in json.loads(done.stdout)[-1]["notes"][0]
    assert record(two, built(commits(two)[1], b"!")).new, "who may sign says it again"
    assert shown(two) == two.last().image


@pytest.mark.slow
def test_a_key_that_was_taken_out_vouches_for_no_image_until_it_is_recorded_again(two: Laboratory) -> None:
    image = built(commits(two)[1])
    record(two, image)
    private, public = two.new_key("next")
    two.trust(two.public, public)
    record(two, built(commits(two)[1]), key=str(private))
    assert two.events()[-1] == ("image", 2)
    assert len(two.events()) == 3, "what both keys vouch for is there already"
    two.trust(public)
    two.re_sign(2, private)
    ledger = two.ledger
    ledger.fetch()
    (event,) = ledger.state(MODEL).images.values()
    assert "signed with an untrusted key" in doubts_of_image(ledger, event)
    assert record(two, image, key=str(private)).new
    assert shown(two) == event.image


OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))


def pem(key: Ed25519PrivateKey, until: str = "") -> str:
    text = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return f"not-after: {until}\n{text}" if until else text


@pytest.mark.slow
def test_key_permit_and_form_are_judged_whenever_an_image_is_believed(ledger: Ledger, event: Make) -> None:
    git, yesterday = ledger.git, f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}"
    promotion = append_promotion(ledger, event(commit=git.head()))

    def say(key: Ed25519PrivateKey, version: int | None = None) -> Event:
        return record_image(git, ledger, key, built(promotion.commit), MODEL, version=version, reason="").event

    def trusting(*keys: str) -> None:
        publish_keys(git, "".join(keys))
        ledger.fetch()

    trusting(pem(KEY), pem(OTHER, yesterday))
    with pytest.raises(Failed, match=r"signed at \S+Z, but key sha256:\S+ is valid until"):
        say(OTHER)
    trusting(pem(KEY), pem(OTHER))
    said = say(OTHER)
    assert doubts_of_image(ledger, said) == ""
    trusting(pem(OTHER))
    for version in (None, 1):
        with pytest.raises(Failed, match=r"was promoted|version 1 of bpm-faults is not believed"):
            say(OTHER, version)
    assert doubts_of_image(ledger, said).startswith(
        "version 1 of bpm-faults is not believed: its permit is signed with"
    )
    trusting(pem(KEY), pem(OTHER, yesterday))
    assert "issued at" in doubts_of_image(ledger, said)
    trusting(pem(KEY), pem(OTHER))
    facts = said.model_dump(include={"model", "version", "permit", "commit"})
    statement = image_statement(parse_reference(said.image or ""), ImagePredicate(**facts, issued=said.at))
    spaced = seal(json.dumps(json.loads(statement.payload)).encode(), OTHER)
    again = said.model_copy(update={"sequence": 3})
    ledger.append(again, beside=(statement_file(again), spaced))
    assert "the signed statement is not in canonical form" in doubts_of_image(ledger, again)


def test_a_line_names_an_image_by_its_digest_and_a_promoted_version(event: Make) -> None:
    image = f"{REPOSITORY}@{digest_bytes(b'image')}"
    line = event(event="image", sequence=2, expected=1, image=image)
    state = parse_lines("".join(map(format_line, [event(), line]))).state(MODEL)
    assert state.images == {1: line}
    assert state.champion == event()
    assert "image" not in event().content
    with pytest.raises(BadInput, match="names an image of version 1, which was never promoted with this digest"):
        parse_lines(format_line(event()) + format_line(line.model_copy(update={"digest": digest_bytes(b"!")})))
    for changes, said in (
        ({"event": "image", "image": f"{REPOSITORY}:latest"}, "should match pattern"),
        ({"event": "image", "image": None}, "an image needs its name and digest"),
        ({"event": "freeze", "image": image}, "a freeze has no image"),
    ):
        text = format_line(line.model_copy(update=changes))
        with pytest.raises(BadInput, match=said):
            parse_lines(format_line(event()) + text)


@pytest.mark.slow
def test_the_commands_ask_the_registry_and_say_what_they_found(two: Laboratory, images: Images) -> None:
    images.account = "ada:s3cret"
    first, second = commits(two)
    login = {"IMAGE_USERNAME": "ada", "IMAGE_PASSWORD": "s3cret"}
    env = {**os.environ, keys.VARIABLE: str(two.key), **login}

    def run(*words: str, code: int = 0) -> CompletedProcess[str]:
        done = beampermit("image", *words, cwd=two.root, env=env)
        assert done.returncode == code, done.stdout + done.stderr
        assert "s3cret" not in done.stdout + done.stderr
        return done

    assert "no image of the champion of bpm-faults was recorded" in run("show", code=1).stderr
    reference = images.push(second, "amd64", "arm64")
    said = run("record", reference, "--with-sbom").stdout
    assert said == (
        f"recorded: {reference} holds version 2 of bpm-faults, commit {second[:12]}, for linux/amd64, linux/arm64; "
        "bill of materials: linux/amd64, linux/arm64\n"
    )
    assert run("show").stdout == f"{reference}\n"
    assert run("record", f"{images.repository}:latest", "--json").stdout.count('"new": false') == 1
    bare = images.index(images.image(first))
    assert "has no bill of materials for linux/amd64" in run("record", bare, "--with-sbom", code=1).stderr
    assert "version 2 of bpm-faults is of commit" in run("record", bare, "--version", "2", code=1).stderr
    assert json.loads(run("record", bare, "--json").stdout)["event"]["version"] == 1
    assert json.loads(run("show", "--version", "1", "--json").stdout)["image"] == bare
    history = beampermit("history", cwd=two.root).stdout
    assert reference in history
    assert "Ada" in history
    assert "not believed" not in history
    del env["IMAGE_PASSWORD"]
    assert "export IMAGE_USERNAME and IMAGE_PASSWORD" in run("record", reference, code=4).stderr
