"""The permit's content: an in-toto Statement v1 that binds a model to everything it was made from and judged by."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from beampermit.digest import canonical_json, digest_bytes, digest_json
from beampermit.errors import BadInput
from beampermit.reading import first_fault, parse_json, read_json, refuse_newer
from beampermit.record import Digest, ObjectId, Record, Time
from beampermit.verdicts.packages import InterlockPackage
from beampermit.verdicts.verdict import Where

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://beampermit.github.io/permit/v1"
VERSIONED = re.compile(r"https://beampermit\.github\.io/permit/v(?P<version>\d{1,9})")
FORMAT = 1
"""A statement that was signed once is verified for ever: what is new gets the next version of its type."""
"""A name, not an address: it changes when the meaning of a field does."""

Digests = dict[str, Digest]


def _without_nothing(body: dict[str, Any], key: str) -> dict[str, Any]:
    """A permit that was signed before there was this key has the same bytes still."""
    return body if body[key] else {name: value for name, value in body.items() if name != key}


class PassedVerdict(Record):
    """A permit can hold only verdicts that passed; others can be neither written nor read."""

    id: Annotated[str, Field(pattern=r"^[A-Z]{3}\d{3}$")]
    outcome: Literal["passed"]
    reason: str
    where: Where
    by: str = ""
    """Name and version of the laboratory's package whose interlock this is; empty for ours."""

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without_nothing(handler(self), "by")


class BoundFile(Record):
    """A file of the commit."""

    file: str
    digest: Digest


class Predicate(Record):
    commit: ObjectId
    tree: ObjectId
    environment: BoundFile
    """The lock of the environment."""
    variants: tuple[BoundFile, ...] = ()
    """The locks of other accelerators, where they have files of their own."""
    software: BoundFile | None = None
    """The bill of materials of the locks, a document beside the permit."""
    pipeline: BoundFile
    """dvc.lock."""
    pipelines: tuple[BoundFile, ...] = ()
    """The dvc.lock of further pipelines, in other folders."""
    contract: BoundFile
    base: ObjectId | None = None
    """The tip of the base branch that the commit was judged against; None on the protected branch itself."""
    base_contract: Digest
    """Of the contract that gates were read from: the base's, else the commit's own."""
    dataset: Digests
    """Path in the project -> digest."""
    model: Annotated[Digests, Field(min_length=1)]
    """Path in the model's folder -> digest."""
    metrics: dict[str, Annotated[float, Field(strict=True)]]
    verdicts: Annotated[tuple[PassedVerdict, ...], Field(min_length=1)]
    checker: str
    """Version of the `beampermit` that assembled this."""
    packages: tuple[InterlockPackage, ...] = ()
    """The laboratory's packages whose interlocks judged beside ours, as the protected branch locked them."""
    issued: Time
    run: str = ""
    """URL of the workflow run, if there was one."""

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without_nothing(handler(self), "packages")

    @property
    def moment(self) -> datetime:
        return datetime.fromisoformat(self.issued)

    @property
    def files(self) -> tuple[BoundFile, ...]:
        """The bound files of the commit."""
        return (self.contract, self.environment, *self.variants, self.pipeline, *self.pipelines)

    @model_validator(mode="after")
    def _each_once(self) -> Predicate:
        ids = [verdict.id for verdict in self.verdicts]
        if len(set(ids)) != len(ids):
            raise ValueError("an interlock has two verdicts")
        if unknown := {verdict.by for verdict in self.verdicts} - {"", *(one.label for one in self.packages)}:
            raise ValueError(f"an interlock is of a package that the permit does not state: {min(unknown)}")
        return self

    @model_validator(mode="after")
    def _own_contract_without_a_base(self) -> Predicate:
        if self.base is None and self.base_contract != self.contract.digest:
            raise ValueError("base_contract is not the commit's own contract, and there is no base")
        return self


class Sha256(Record):
    """in-toto's digest set: here the digest of the model folder's manifest."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Subject(Record):
    """The model."""

    name: Annotated[str, Field(min_length=1, max_length=64)]
    digest: Sha256


class InToto(Record):
    """What each statement has; its subject, and the predicate and its type, are those of its kind."""

    model_config = ConfigDict(validate_by_name=True, serialize_by_alias=True)

    type_: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")] = STATEMENT

    @property
    def payload(self) -> bytes:
        """The bytes that are signed; deterministic."""
        return canonical_json(self.model_dump(mode="json"))


class Statement(InToto):
    """The unsigned permit."""

    subject: Annotated[tuple[Subject, ...], Field(min_length=1, max_length=1)]
    predicate_type: Annotated[Literal["https://beampermit.github.io/permit/v1"], Field(alias="predicateType")] = (
        PREDICATE
    )
    predicate: Predicate

    @model_validator(mode="after")
    def _one_model(self) -> Statement:
        if digest_json(self.predicate.model) != self.model_digest:
            raise ValueError("the subject's digest is not that of the files it lists")
        return self

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.subject[0].name

    @property
    def model_digest(self) -> str:
        """Digest of the model folder's manifest."""
        return f"sha256:{self.subject[0].digest.sha256}"

    @property
    def text(self) -> str:
        """The statement as readable JSON; not what is signed."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"

    @property
    def digest(self) -> str:
        """Digest of the payload, which identifies the permit in ledger and registry."""
        return digest_bytes(self.payload)


def read_statement(file: Path) -> Statement:
    """The permit that `permit assemble` wrote. Raises `BadInput`."""
    return validate_statement(read_json(file), file)


def parse_statement(content: bytes, name: Path | str) -> Statement:
    """`name` is the file that errors name. Raises `BadInput`."""
    return validate_statement(parse_json(content, name), name)


def validate_statement(body: Any, name: Path | str) -> Statement:
    """Raises `BadInput` with the first key that is wrong."""
    kind = VERSIONED.fullmatch(str(body.get("predicateType"))) if isinstance(body, dict) else None
    refuse_newer(int(kind["version"]) if kind else None, FORMAT, name)
    try:
        return Statement.model_validate(body)
    except ValidationError as error:
        raise BadInput(f"not a permit: {first_fault(error)}", file=name) from None
