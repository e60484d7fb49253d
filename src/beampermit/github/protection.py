"""Whether GitHub protects a branch: the active rules, compared with the rules that are needed.

GitHub lists active rules to any token that can read the repository, but bypass actors only to administrators.
Without a clear answer the branch counts as unprotected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from pydantic import Field, ValidationError

from beampermit.errors import BadInput, Failed, Outside
from beampermit.github.client import Answer, Client, Limited, Refused
from beampermit.github.rulesets import GITHUB_ACTIONS, LEDGER_BRANCH
from beampermit.reading import first_fault

HINT = "beampermit protect apply"
LEDGER_RULES = {
    "non_fast_forward": "can be set back to an older state of the ledger with a force-push",
    "deletion": "can be deleted, and the ledger with it",
}


class ActiveRule(Answer):
    type: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    ruleset_id: int | None = None
    ruleset_source_type: str = "Repository"
    """Or `Organization`, `Enterprise`: whoever set it, it counts."""


class _Names(Answer):
    exclude: list[str] = Field(default_factory=list)


class _Conditions(Answer):
    ref_name: _Names


class LeavesOut(Answer):
    """Of a ruleset, the branches that it leaves out."""

    conditions: _Conditions


@dataclass(frozen=True)
class Protection:
    """The rules of a branch. `bypass` is who may bypass them; None where the token may not see that."""

    repository: str
    branch: str
    api: str
    rules: tuple[ActiveRule, ...]
    bypass: tuple[str, ...] | None
    idle: tuple[str, ...] = ()
    """Rulesets that exist and are not active."""

    @property
    def gaps(self) -> tuple[str, ...]:
        """What is missing, one line each; empty where the branch is protected."""
        return tuple(self._gaps())

    def check_gaps(self, context: str) -> tuple[str, ...]:
        """What is missing for the required check `context`."""
        checks = [check for rule in self._of("required_status_checks") for check in _checks(rule)]
        required = [check for check in checks if check.get("context") == context]
        if not required:
            others = sorted({str(check.get("context")) for check in checks})
            return (f"the check {context!r} is not required (required: {', '.join(others) or 'none'})",)
        if not any(check.get("integration_id") == GITHUB_ACTIONS for check in required):
            return (
                f"the check {context!r} is not pinned to GitHub Actions (integration_id {GITHUB_ACTIONS}): "
                "any app or user with permission to write statuses can report it",
            )
        return ()

    def has(self, type: str) -> bool:
        return bool(self._of(type))

    @property
    def rulesets(self) -> tuple[int, ...]:
        """Ids of those that have its rules."""
        return _rulesets(self.rules)

    @property
    def of_organization(self) -> bool:
        """Whether all its rules are set above the repository."""
        return bool(self.rules) and all(rule.ruleset_source_type != "Repository" for rule in self.rules)

    @property
    def source(self) -> str:
        """For a reason: the API, if it is on this machine and so not GitHub's."""
        host = urlsplit(self.api).hostname or ""
        return f", according to a stand-in for GitHub ({self.api})" if host in ("127.0.0.1", "localhost", "::1") else ""

    def _of(self, type: str) -> list[ActiveRule]:
        return [rule for rule in self.rules if rule.type == type]

    def _gaps(self) -> Iterator[str]:
        reviews = [rule.parameters for rule in self._of("pull_request")]
        if not reviews:
            yield "changes can be pushed to it without a pull request"
        else:
            yield from _review_gaps(reviews)
        if not self.has("non_fast_forward"):
            yield "its history can be rewritten with a force-push"
        if not self.has("deletion"):
            yield "it can be deleted"
        if self.bypass:
            yield f"{', '.join(self.bypass)} may bypass its rules"


class Rulesets:
    """Those of a repository, each asked for once."""

    def __init__(self, client: Client):
        self._client = client
        self._known: dict[int, Any] = {}

    def get(self, id: int) -> Any:
        """Raises `Outside`."""
        if id not in self._known:
            self._known[id] = self._client.get(f"/rulesets/{id}")
        return self._known[id]


def load_protection(client: Client, branch: str, rulesets: Rulesets | None = None) -> Protection:
    """The rules of `branch`. Raises `Failed` where GitHub's answer is not clear, `Outside` where there is no answer."""
    rules = _load_rules(client, branch)
    bypass = _bypass(rulesets or Rulesets(client), rules)
    return Protection(client.repository, branch, client.api, rules, bypass, () if rules else _idle(client))


def load_left_out(rulesets: Rulesets, protection: Protection) -> tuple[str, ...]:
    """Patterns of branches that the rulesets of `protection` leave out. Raises as `load_protection`."""
    found: dict[str, None] = {}
    for id in protection.rulesets:
        try:
            ruleset = rulesets.get(id)
        except Refused as refused:
            raise _refusal(refused, protection.branch) from None
        try:
            names = LeavesOut.model_validate(ruleset).conditions.ref_name.exclude
        except ValidationError as error:
            raise Failed(f"which branches a ruleset leaves out is not seen ({first_fault(error)})") from None
        found |= dict.fromkeys(name.removeprefix("refs/heads/") for name in names if not name.startswith("~"))
    return tuple(found)


def load_ledger_gaps(client: Client) -> tuple[str, ...]:
    """What protection the ledger's branch lacks, one line each; GitHub also tells for a branch that is not there yet.

    Further rules, such as who may push to it, may have exceptions. Raises as `load_protection`.
    """
    rules = tuple(rule for rule in _load_rules(client, LEDGER_BRANCH) if rule.type in LEDGER_RULES)
    types = {rule.type for rule in rules}
    gaps = [f"{LEDGER_BRANCH} {gap}" for type, gap in LEDGER_RULES.items() if type not in types]
    if bypass := _bypass(Rulesets(client), rules):
        gaps.append(f"{', '.join(bypass)} may bypass the rules of {LEDGER_BRANCH}")
    return tuple(gaps)


def _load_rules(client: Client, branch: str) -> tuple[ActiveRule, ...]:
    try:
        rows = list(client.pages(f"/rules/branches/{quote(branch, safe='')}"))
    except Refused as refused:
        raise _refusal(refused, branch) from None
    try:
        return tuple(ActiveRule.model_validate(row) for row in rows)
    except ValidationError as error:
        raise Failed(
            f"{branch} cannot be shown to be protected: GitHub lists a rule in an unknown format ({first_fault(error)})"
        ) from None


def _refusal(refused: Refused, branch: str) -> Exception:
    """`Failed` for a refusal; a rate limit or a failure of GitHub is no answer, and stays `Outside`."""
    if isinstance(refused, Limited) or refused.status >= 500:
        return refused
    why = {
        401: "the token is not valid",
        403: "the token may not see the rules, or the repository's plan has no rulesets",
        404: "the repository does not exist, or the token may not see it",
    }.get(refused.status, "unexpected answer")
    return Failed(f"{branch} cannot be shown to be protected: {refused} ({why})", hint=refused.hint or HINT)


def _review_gaps(reviews: list[dict[str, Any]]) -> Iterator[str]:
    def any_has(key: str) -> bool:
        return any(review.get(key) is True for review in reviews)

    counts = (review.get("required_approving_review_count") for review in reviews)
    if not any(type(count) is int and count > 0 for count in counts):
        yield "a pull request can be merged without an approval"
    if not any_has("require_code_owner_review"):
        yield "a pull request can be merged without the approval of a code owner"
    if not any_has("dismiss_stale_reviews_on_push") and not any_has("require_last_push_approval"):
        yield "commits pushed after an approval need no new approval"


def _checks(rule: ActiveRule) -> list[Mapping[str, Any]]:
    checks = rule.parameters.get("required_status_checks")
    return [check for check in checks if isinstance(check, Mapping)] if isinstance(checks, list) else []


def _rulesets(rules: tuple[ActiveRule, ...]) -> tuple[int, ...]:
    return tuple(sorted({rule.ruleset_id for rule in rules if rule.ruleset_id is not None}))


def _bypass(rulesets: Rulesets, rules: tuple[ActiveRule, ...]) -> tuple[str, ...] | None:
    """Who may bypass any of the rulesets; None where GitHub hides it for one of them."""
    bypass: list[str] = []
    for id in _rulesets(rules):
        try:
            ruleset = rulesets.get(id)
        except Outside:
            return None
        actors = ruleset.get("bypass_actors") if isinstance(ruleset, Mapping) else None
        if not isinstance(actors, list) or not all(isinstance(actor, Mapping) for actor in actors):
            return None
        bypass += [
            " ".join(str(actor[key]) for key in ("actor_type", "actor_id") if actor.get(key)) for actor in actors
        ]
    return tuple(bypass)


def _idle(client: Client) -> tuple[str, ...]:
    """Rulesets in evaluate mode or disabled: why there are no rules although there is a ruleset."""
    try:
        rows = list(client.pages("/rulesets"))
    except (Outside, BadInput):
        return ()
    idle = [row for row in rows if isinstance(row, Mapping) and row.get("enforcement") in ("evaluate", "disabled")]
    return tuple(f"enforcement of ruleset {row.get('name')!s:.80} is {row['enforcement']}" for row in idle)
