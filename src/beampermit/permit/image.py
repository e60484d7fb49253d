"""A signed statement that an image of containers was built of a promoted version: in-toto, in the envelope of permits.

Its type differs from a permit's and is part of what is signed, so neither can stand for the other.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from beampermit.containers.reference import Reference
from beampermit.errors import BadInput, Failed
from beampermit.permit.envelope import unseal
from beampermit.permit.public_keys import PublicKeys
from beampermit.permit.statement import InToto, Sha256
from beampermit.reading import first_fault, parse_json
from beampermit.record import Digest, ObjectId, Record, Time

PREDICATE = "https://beampermit.github.io/image/v1"
"""A name, not an address: it changes when the meaning of a field does."""


class ImageSubject(Record):
    """The image: `name` is its repository, such as `ghcr.io/lab/bpm-faults`."""

    name: Annotated[str, Field(min_length=1, max_length=400)]
    digest: Sha256


class ImagePredicate(Record):
    """The version that it was built of."""

    model: Annotated[str, Field(min_length=1, max_length=64)]
    version: Annotated[int, Field(ge=1)]
    permit: Digest
    commit: ObjectId
    issued: Time


class ImageStatement(InToto):
    subject: Annotated[tuple[ImageSubject, ...], Field(min_length=1, max_length=1)]
    predicate_type: Annotated[Literal["https://beampermit.github.io/image/v1"], Field(alias="predicateType")] = (
        PREDICATE
    )
    predicate: ImagePredicate

    @property
    def image(self) -> str:
        """By its digest, as the ledger has it."""
        return f"{self.subject[0].name}@sha256:{self.subject[0].digest.sha256}"


def image_statement(image: Reference, predicate: ImagePredicate) -> ImageStatement:
    digest = Sha256(sha256=image.digest.removeprefix("sha256:"))
    return ImageStatement(subject=(ImageSubject(name=image.repository, digest=digest),), predicate=predicate)


def verify_image_statement(content: bytes, trusted: PublicKeys, name: str) -> ImageStatement:
    """The statement in an envelope that a trusted key signed while it was valid. Raises as `verify_envelope`."""
    payload, key = unseal(content, trusted, name, what="statement")
    try:
        statement = ImageStatement.model_validate(parse_json(payload, name))
    except ValidationError as error:
        raise BadInput(f"not a statement about an image: {first_fault(error)}", file=name) from None
    if statement.payload != payload:
        raise Failed("the signed statement is not in canonical form", file=name)
    key.require_valid(datetime.fromisoformat(statement.predicate.issued), "issued", name)
    return statement
