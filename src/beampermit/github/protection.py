"""Whether a branch is protected: what GitHub enforces there now, compared with what is needed.

GitHub lists active rules to any token that reads the repository, and who may bypass them to administrators alone.
Anything but a clear answer is no protection.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from pydantic import Field, ValidationError

from beampermit.errors import BadInput, Failed, Outside
from beampermit.github.client import Answer, Client, Limited, Refused
from beampermit.github.rulesets import GITHUB_ACTIONS
from beampermit.reading import first_fault

HINT = "beampermit protect apply"


class ActiveRule(Answer):
    """One rule as GitHub lists it."""

    type: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    ruleset_id: int | None = None


@dataclass(frozen=True)
class Protection:
    """What holds on a branch. `bypass` is who need not keep to it; None where the token may not see that."""

    repository: str
    branch: str
    api: str
    rules: tuple[ActiveRule, ...]
    bypass: tuple[str, ...] | None
    idle: tuple[str, ...] = ()
    """Rulesets that are there and not active."""

    @property
    def gaps(self) -> tuple[str, ...]:
        """Gaps, a line each; nothing where the branch is protected."""
        return tuple(self._gaps())

    def check_gaps(self, context: str) -> tuple[str, ...]:
        """Gaps of the required check called `context`."""
        checks = [check for rule in self._of("required_status_checks") for check in _checks(rule)]
        mine = [check for check in checks if check.get("context") == context]
        if not mine:
            others = sorted({str(check.get("context")) for check in checks})
            return (f"the check {context!r} is not required; " + (f"{', '.join(others)} is" if others else "none is"),)
        if not any(check.get("integration_id") == GITHUB_ACTIONS for check in mine):
            return (
                f"the check {context!r} is not pinned to GitHub Actions (integration_id {GITHUB_ACTIONS}): "
                "any app or user that may write statuses can report it",
            )
        return ()

    def has(self, type: str) -> bool:
        """Whether a rule of this type is active."""
        return bool(self._of(type))

    @property
    def asked(self) -> str:
        """Where this was asked, for a reason: said only of an API that is not on the network."""
        host = urlsplit(self.api).hostname or ""
        return f", as a stand-in of GitHub says ({self.api})" if host in ("127.0.0.1", "localhost", "::1") else ""

    def _of(self, type: str) -> list[ActiveRule]:
        return [rule for rule in self.rules if rule.type == type]

    def _gaps(self) -> Iterator[str]:
        reviews = [rule.parameters for rule in self._of("pull_request")]
        if not reviews:
            yield "changes reach it without a pull request"
        else:
            yield from _review_gaps(reviews)
        if not self.has("non_fast_forward"):
            yield "its history can be rewritten by a force-push"
        if not self.has("deletion"):
            yield "it can be deleted"
        if self.bypass:
            yield f"{', '.join(self.bypass)} may bypass its rules"


def load_protection(client: Client, branch: str) -> Protection:
    """Ask GitHub what holds on `branch`.

    Raises `Failed` where GitHub's answer is no clear one, `Outside` where there is none.
    """
    try:
        rows = list(client.pages(f"/rules/branches/{quote(branch, safe='')}"))
    except Refused as refused:
        raise _unclear(refused, branch) from None
    try:
        rules = tuple(ActiveRule.model_validate(row) for row in rows)
    except ValidationError as error:
        raise Failed(
            f"{branch} is not provably protected: GitHub lists a rule that cannot be read ({first_fault(error)})"
        ) from None
    bypass = _bypass(client, rules)
    return Protection(client.repository, branch, client.api, rules, bypass, () if rules else _idle(client))


def _unclear(refused: Refused, branch: str) -> Exception:
    """A refusal is an answer, and not a clear one; a limit or a failure of GitHub is none at all."""
    if isinstance(refused, Limited) or refused.status >= 500:
        return refused
    why = {
        401: "the token is refused",
        403: "the token may not see its rules, or the plan of the repository has none",
        404: "there is no such repository, or the token may not see it",
    }.get(refused.status, "this is no answer to the question")
    return Failed(f"{branch} is not provably protected: {refused} ({why})", hint=refused.hint or HINT)


def _review_gaps(reviews: list[dict[str, Any]]) -> Iterator[str]:
    def any_says(key: str) -> bool:
        return any(review.get(key) is True for review in reviews)

    counts = (review.get("required_approving_review_count") for review in reviews)
    if not any(type(count) is int and count > 0 for count in counts):
        yield "a pull request needs no approval"
    if not any_says("require_code_owner_review"):
        yield "code owners need not approve"
    if not any_says("dismiss_stale_reviews_on_push") and not any_says("require_last_push_approval"):
        yield "what is pushed after an approval needs none"


def _checks(rule: ActiveRule) -> list[Mapping[str, Any]]:
    found = rule.parameters.get("required_status_checks")
    return [check for check in found if isinstance(check, Mapping)] if isinstance(found, list) else []


def _bypass(client: Client, rules: tuple[ActiveRule, ...]) -> tuple[str, ...] | None:
    """Who may bypass any of the rulesets; None unless all of them tell."""
    found: list[str] = []
    for id in sorted({rule.ruleset_id for rule in rules if rule.ruleset_id is not None}):
        try:
            ruleset = client.get(f"/rulesets/{id}")
        except Outside:
            return None
        actors = ruleset.get("bypass_actors") if isinstance(ruleset, Mapping) else None
        if not isinstance(actors, list) or not all(isinstance(actor, Mapping) for actor in actors):
            return None
        found += [" ".join(str(actor[key]) for key in ("actor_type", "actor_id") if actor.get(key)) for actor in actors]
    return tuple(found)


def _idle(client: Client) -> tuple[str, ...]:
    """Rulesets that only watch, or are switched off: why there are no rules although there is a ruleset."""
    try:
        rows = list(client.pages("/rulesets"))
    except (Outside, BadInput):
        return ()
    named = [row for row in rows if isinstance(row, Mapping) and row.get("enforcement") in ("evaluate", "disabled")]
    return tuple(f"ruleset {row.get('name')!s:.80} is set to {row['enforcement']}" for row in named)
