"""Which image of containers was built of which promoted version: an event of the ledger, and a signed statement.

No permit says anything of an image, which is built after the promotion. So a line is believed only where the statement
beside it is signed with a key that the protected branch lists now, as permits are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from beampermit.containers.image import Image
from beampermit.errors import BadInput, BeampermitError, Failed
from beampermit.git import Git
from beampermit.permit.envelope import seal
from beampermit.permit.image import ImagePredicate, image_statement, verify_image_statement
from beampermit.registry.event import Event, provenance
from beampermit.registry.ledger import Ledger
from beampermit.registry.ledger_state import ModelState
from beampermit.registry.trust import require_listed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

REASON = "built of this version"


@dataclass(frozen=True)
class Recorded:
    """The event in effect; `new`: this run appended it."""

    event: Event
    new: bool


def record_image(
    git: Git, ledger: Ledger, key: Ed25519PrivateKey, image: Image, model: str, *, version: int | None, reason: str
) -> Recorded:
    """Say in the ledger, signed with `key`, which image was built of a version of `model`.

    The version is the one that was promoted from the image's commit, and `version`, if given. The registry of models is
    not asked: it shows no images. Raises `Failed` where there is no such version, `BadInput` for one that was never
    champion or another key than those of the protected branch, `Conflict` where somebody else was first, `Outside`.
    """
    ledger.fetch()
    state, line = ledger.state(model), ledger.read(model).length + 1
    promotion = _promotion(ledger, state, image, model, version)
    ledger.believe(promotion)
    before, name = state.images.get(promotion.version), str(image.reference)
    if before and before.image == name and not doubts_of_image(ledger, before):
        return Recorded(before, False)
    own = {"event": "image", "sequence": line, "image": name}
    who = provenance(git, reason.strip() or REASON)
    event = Event.model_validate({**state.next_event(promotion), **own, **who})
    require_listed(key, ledger.keys(), event.moment)
    predicate = ImagePredicate(
        model=model, version=event.version, permit=event.permit, commit=event.commit, issued=event.at
    )
    signed = seal(image_statement(image.reference, predicate).payload, key)
    ledger.append(event, beside=(statement_file(event), signed))
    return Recorded(event, True)


def find_image(ledger: Ledger, model: str, version: int | None = None) -> Event | None:
    """The last image of `version`, by default of the champion, as last fetched; None where none was recorded.

    Raises `BadInput` where there is no such version, `Failed` where version or image are not believed.
    """
    state = ledger.state(model)
    if version is None:
        if state.champion is None:
            raise BadInput(f"no version of {model} is in service", hint="beampermit history")
        version = state.champion.version
    event = state.images.get(state.promotion_of(version).version)
    if event:
        believe_image(ledger, event)
    return event


def believe_image(ledger: Ledger, event: Event) -> None:
    """Raises `Failed` where nothing signed says that this image was built of this version."""
    ledger.believe(event)
    name, content = f"the image of version {event.version} of {event.model}", ledger.beside(statement_file(event))
    if content is None:
        raise Failed(f"{name} is not believed: the ledger has no signed statement for it", hint="beampermit history")
    try:
        statement = verify_image_statement(content, ledger.keys(), statement_file(event))
    except BeampermitError as error:
        raise Failed(f"{name} is not believed: {error}", hint="beampermit image record IMAGE") from None
    facts = statement.predicate
    written = (event.image, event.model, event.version, event.permit, event.commit)
    if written != (statement.image, facts.model, facts.version, facts.permit, facts.commit):
        raise Failed(
            f"{name} is not believed: its signed statement is about {statement.image}, version {facts.version} of "
            f"{facts.model}",
            hint="beampermit history",
        )


def doubts_of_image(ledger: Ledger, event: Event) -> str:
    """Why the image of an event is not believed, or cannot be judged; empty where it is believed."""
    try:
        believe_image(ledger, event)
    except BeampermitError as error:
        return str(error)
    return ""


def statement_file(event: Event) -> str:
    """On the ledger's branch."""
    return f"images/{(event.image or '').rpartition(':')[2]}.json"


def _promotion(ledger: Ledger, state: ModelState, image: Image, model: str, version: int | None) -> Event:
    if version is not None:
        promotion = state.promotion_of(version)
        if promotion.commit != image.commit:
            raise Failed(
                f"{image.reference} was built of commit {image.commit[:12]}, and version {version} of {model} is of "
                f"commit {promotion.commit[:12]}"
            )
        return promotion
    made = [event for event in state.promoted.values() if event.commit == image.commit]
    found = next(filter(ledger.believes, reversed(made)), None)
    if found is None:
        raise Failed(
            f"{image.reference} was built of commit {image.commit[:12]}, from which no version of {model} was promoted",
            hint="beampermit history",
        )
    return found
