"""What GitHub answers, as far as it is read: an answer of another shape is the outside world's fault, named."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from beampermit.errors import Outside
from beampermit.reading import first_fault


class Answer(BaseModel):
    """A part of an answer: types are strict, what is not read here may be anything."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class Author(Answer):
    """Who wrote something."""

    login: str


class Comment(Answer):
    """A comment below a pull request; its author is None where the account is gone."""

    id: int
    body: str = ""
    user: Author | None
    html_url: str


class Fork(Answer):
    """A repository, `OWNER/NAME`."""

    full_name: str


class Side(Answer):
    """A branch and the commit it is on; the repository is None where it was deleted."""

    sha: str
    ref: str
    repo: Fork | None


class Pull(Answer):
    """A pull request. `state` is open or closed; a locked one takes no comments."""

    number: int
    state: str
    locked: bool
    head: Side


class Run(Answer):
    """A run of a workflow. `event` is what started it, `conclusion` how it ended: None while it runs."""

    id: int
    run_attempt: int
    event: str
    conclusion: str | None
    head_sha: str
    head_branch: str | None
    head_repository: Fork | None


class Artifact(Answer):
    """What a job of a run uploaded."""

    id: int
    name: str
    expired: bool
    size_in_bytes: int


Kind = TypeVar("Kind", bound=Answer)


def understood(kind: type[Kind], value: Any) -> Kind:
    """`value` as one of these. Raises `Outside` that names what is not as it should be."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        fault = first_fault(error, kind.__name__.lower())
        raise Outside(f"GitHub's answer is not understood: {fault}") from None
