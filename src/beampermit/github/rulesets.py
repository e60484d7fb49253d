"""Rulesets: files in git that say what GitHub enforces on a branch, and how they are applied on GitHub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, ValidationError, model_validator

from beampermit.errors import BadInput, Outside
from beampermit.github.client import Client, Refused, Unsure
from beampermit.github.patterns import lets_in
from beampermit.reading import first_fault, parse_json, read_json
from beampermit.record import Record

FOLDER = ".github/rulesets"
MAIN, LEDGER = f"{FOLDER}/main.json", f"{FOLDER}/ledger.json"
LEDGER_BRANCH = "beampermit-ledger"
ADD = "run `beampermit init` to add one, or name another with --file"
COPY = "name a file or a folder with --file; deploy/organization of Beampermit's repository has them to copy"
GITHUB_ACTIONS = 15368
"""Id of the GitHub Actions app. A required check pinned to it cannot be reported by any other app or user."""
ADMINISTRATOR = "a token of a repository administrator (fine-grained: the permission Administration, write)"
OWNER = (
    "a token of an owner of the organization (classic: admin:org; fine-grained: the organization's permission "
    "Administration, write), and a plan with rulesets of organizations"
)


class BypassActor(Record):
    actor_type: Literal["Integration", "OrganizationAdmin", "RepositoryRole", "Team", "DeployKey", "User"]
    actor_id: int | None = None
    bypass_mode: Literal["always", "pull_request", "exempt"] = "always"


class RefName(Record):
    """Branches: patterns of `refs/heads/...`, `~DEFAULT_BRANCH` or `~ALL`."""

    include: tuple[str, ...]
    exclude: tuple[str, ...] = ()


class Names(Record):
    """Repositories by name: patterns such as `ml-*`, or `~ALL`. `protected` keeps others from renaming them."""

    include: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    protected: bool = False


class Ids(Record):
    repository_ids: tuple[int, ...] = Field(min_length=1)


class Property(Record):
    """A custom property of repositories, and the values that count."""

    name: str = Field(min_length=1)
    property_values: tuple[str, ...] = Field(min_length=1)
    source: Literal["custom", "system"] = "custom"


class Properties(Record):
    include: tuple[Property, ...]
    exclude: tuple[Property, ...] = ()


class Conditions(Record):
    """Branches and, in a ruleset of an organization, its repositories in one of three ways."""

    ref_name: RefName
    repository_name: Names | None = None
    repository_id: Ids | None = None
    repository_property: Properties | None = None

    @property
    def repositories(self) -> tuple[str, ...]:
        """The keys that choose repositories."""
        keys = ("repository_name", "repository_id", "repository_property")
        return tuple(key for key in keys if getattr(self, key) is not None)


class PullRequest(Record):
    required_approving_review_count: int = Field(ge=0, le=10)
    dismiss_stale_reviews_on_push: bool
    require_code_owner_review: bool
    require_last_push_approval: bool
    required_review_thread_resolution: bool
    allowed_merge_methods: tuple[Literal["merge", "squash", "rebase"], ...] = ()


class Check(Record):
    """`integration_id` is the app that must report the check."""

    context: str = Field(min_length=1)
    integration_id: int | None = None


class StatusChecks(Record):
    strict_required_status_checks_policy: bool
    required_status_checks: tuple[Check, ...] = Field(min_length=1)
    do_not_enforce_on_create: bool = False


class MergeQueue(Record):
    """Times are in minutes."""

    merge_method: Literal["MERGE", "SQUASH", "REBASE"]
    grouping_strategy: Literal["ALLGREEN", "HEADGREEN"]
    check_response_timeout_minutes: int = Field(ge=1, le=360)
    max_entries_to_build: int = Field(ge=0, le=100)
    max_entries_to_merge: int = Field(ge=0, le=100)
    min_entries_to_merge: int = Field(ge=0, le=100)
    min_entries_to_merge_wait_minutes: int = Field(ge=0, le=360)


class RequiredWorkflow(Record):
    """A workflow file of another repository, by its id: at a commit (`sha`), or at the newest of a branch or tag."""

    path: str = Field(pattern=r"^\.github/workflows/[^/]+\.ya?ml$")
    repository_id: int
    ref: str | None = None
    sha: str | None = Field(default=None, pattern=r"^[0-9a-f]{40}$")

    @model_validator(mode="after")
    def _known(self) -> RequiredWorkflow:
        if self.repository_id < 1:
            raise ValueError("repository_id is a number: `gh api repos/OWNER/NAME --jq .id` says which")
        if self.sha is not None and not self.sha.strip("0"):
            raise ValueError("sha is the commit of the workflow: `git rev-parse HEAD` says which")
        if self.sha is None and self.ref is None:
            raise ValueError("neither sha nor ref says which commit of the workflow runs")
        return self


class Workflows(Record):
    workflows: tuple[RequiredWorkflow, ...] = Field(min_length=1)
    do_not_enforce_on_create: bool = False


class PullRequestRule(Record):
    type: Literal["pull_request"]
    parameters: PullRequest


class StatusChecksRule(Record):
    type: Literal["required_status_checks"]
    parameters: StatusChecks


class MergeQueueRule(Record):
    type: Literal["merge_queue"]
    parameters: MergeQueue


class WorkflowsRule(Record):
    """Workflows that every pull request must pass; for organizations."""

    type: Literal["workflows"]
    parameters: Workflows


class OtherRule(Record):
    """A rule that is passed on as written; GitHub validates it."""

    type: str = Field(pattern=r"^[a-z_]+$")
    parameters: dict[str, Any] = Field(default_factory=dict)


_KNOWN = ("pull_request", "required_status_checks", "merge_queue", "workflows")


def _kind(rule: Any) -> str:
    kind = rule.get("type") if isinstance(rule, dict) else getattr(rule, "type", None)
    return kind if kind in _KNOWN else "other"


Rule = Annotated[
    Annotated[PullRequestRule, Tag("pull_request")]
    | Annotated[StatusChecksRule, Tag("required_status_checks")]
    | Annotated[MergeQueueRule, Tag("merge_queue")]
    | Annotated[WorkflowsRule, Tag("workflows")]
    | Annotated[OtherRule, Tag("other")],
    Discriminator(_kind),
]


class Ruleset(Record):
    """The file, with GitHub's own keys."""

    name: str = Field(min_length=1)
    target: Literal["branch"]
    enforcement: Literal["active", "evaluate", "disabled"]
    bypass_actors: tuple[BypassActor, ...] = ()
    conditions: Conditions
    rules: tuple[Rule, ...]

    @property
    def body(self) -> dict[str, Any]:
        """What is sent to GitHub: the keys of the file, without defaults."""
        return self.model_dump(mode="json", exclude_unset=True)

    def covers(self, branch: str, default_branch: str) -> bool:
        def matches(patterns: tuple[str, ...]) -> bool:
            default = "~DEFAULT_BRANCH" in patterns and branch == default_branch
            return (
                default or "~ALL" in patterns or any(lets_in(pattern, f"refs/heads/{branch}") for pattern in patterns)
            )

        names = self.conditions.ref_name
        return matches(names.include) and not matches(names.exclude)


def read_ruleset(path: Path, hint: str = ADD) -> Ruleset:
    """Raises `BadInput` with file and key; `hint` is for a file that is not there."""
    if not path.is_file():
        raise BadInput("this ruleset does not exist", file=path, hint=hint)
    return _validate(read_json(path), path)


def read_rulesets(path: Path, hint: str = ADD) -> tuple[Ruleset, ...]:
    """The ruleset of a file, or all of a folder. Raises as `read_ruleset`."""
    if not path.is_dir():
        return (read_ruleset(path, hint),)
    files = sorted(path.glob("*.json"))
    if not files:
        raise BadInput("there is no ruleset in this folder", file=path, hint="name another with --file")
    return tuple(map(read_ruleset, files))


def parse_ruleset(text: str, name: str) -> Ruleset:
    """`name` is the file that errors name. Raises `BadInput`."""
    return _validate(parse_json(text.encode(), name), name)


@dataclass(frozen=True)
class Applied:
    """What was done, or with `dry_run` would be; `difference` is a unified diff from GitHub's ruleset to the file."""

    done: Literal["created", "updated", "unchanged"]
    name: str
    difference: str


def apply_ruleset(client: Client, ruleset: Ruleset, organization: str = "", *, dry_run: bool = False) -> Applied:
    """Create the ruleset on GitHub, or update the one of the same name where it differs.

    It is one of the client's repository, or of `organization`. Raises `BadInput` for a token without the permission or
    a ruleset that GitHub refuses; `Outside`.
    """
    _require_place(ruleset, organization)
    place = f"/orgs/{organization}/rulesets" if organization else "/rulesets"
    try:
        return _apply(client, place, ruleset, dry_run)
    except Refused as refused:
        if refused.denied:
            needed = OWNER if organization else ADMINISTRATOR
            raise BadInput(f"{refused}; this needs {needed}", hint="export GITHUB_TOKEN=...") from None
        if refused.status == 422:
            raise BadInput(f"GitHub does not accept ruleset {ruleset.name!r}: {refused}") from None
        raise


def _require_place(ruleset: Ruleset, organization: str) -> None:
    """A ruleset without repositories would be refused by GitHub in words that do not help."""
    chosen = ruleset.conditions.repositories
    if organization and len(chosen) != 1:
        which = "none is" if not chosen else f"{' and '.join(chosen)} are"
        raise BadInput(
            f"ruleset {ruleset.name!r}: a ruleset of an organization has one of conditions.repository_name, "
            f"repository_id and repository_property, and {which} there"
        )
    if chosen and not organization:
        raise BadInput(
            f"ruleset {ruleset.name!r} is one of an organization: conditions.{chosen[0]} chooses repositories",
            hint="beampermit protect apply --organization NAME --file FILE",
        )


def _apply(client: Client, place: str, ruleset: Ruleset, dry_run: bool) -> Applied:
    current = _find(client, place, ruleset.name)
    difference = _difference(ruleset, current)
    if current is None:
        if not dry_run:
            _create(client, place, ruleset)
        return Applied("created", ruleset.name, difference)
    if not difference:
        return Applied("unchanged", ruleset.name, "")
    if not dry_run:
        client.put(f"{place}/{current['id']}", ruleset.body)
    return Applied("updated", ruleset.name, difference)


def _create(client: Client, place: str, ruleset: Ruleset) -> None:
    try:
        client.post(place, ruleset.body)
    except Unsure:
        # The reply was lost; the ruleset may have been created all the same.
        if _find(client, place, ruleset.name) is None:
            raise


def _find(client: Client, place: str, name: str) -> dict[str, Any] | None:
    """The repository's own ruleset of that name (not the organization's), or the organization's, as GitHub has it."""
    own = {} if place.startswith("/orgs/") else {"includes_parents": "false"}
    rows = client.pages(place, **own)
    ids = [row.get("id") for row in rows if isinstance(row, Mapping) and row.get("name") == name]
    if not ids:
        return None
    ruleset = client.get(f"{place}/{ids[0]}")
    if not isinstance(ruleset, dict) or type(ruleset.get("id")) is not int:
        raise Outside(f"GitHub's answer about ruleset {name!r} has an unknown format")
    return ruleset


def _difference(ruleset: Ruleset, current: Mapping[str, Any] | None) -> str:
    """Empty where GitHub has what the file says; keys that GitHub adds do not count."""
    new = _sorted(ruleset.body)
    old = _sorted(_only_keys_of(ruleset.body, current)) if current else {}
    before, after = (json.dumps(body, indent=2, sort_keys=True).splitlines() for body in (old, new))
    return "\n".join(unified_diff(before, after, "GitHub", "file", lineterm=""))


def _only_keys_of(file: Any, current: Any) -> Any:
    """`current` without the keys that `file` lacks. Lists keep all items, each compared with its match in the file."""
    if isinstance(current, Mapping) and isinstance(file, Mapping):
        return {key: _only_keys_of(file[key], current[key]) for key in file if key in current}
    if isinstance(current, list) and isinstance(file, list):
        matches = {_identity(item): item for item in file}
        return [_only_keys_of(matches.get(_identity(item), item), item) for item in current]
    return current


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _sorted(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return sorted((_sorted(item) for item in value), key=lambda item: json.dumps(_identity(item), sort_keys=True))
    return value


def _identity(item: Any) -> Any:
    """What tells list items apart: type of a rule, context of a check, file of a workflow, id of an actor."""
    if not isinstance(item, Mapping):
        return item
    return next(
        (item[key] for key in ("type", "context", "path", "name", "actor_id", "actor_type") if item.get(key)), str(item)
    )


def _validate(content: Any, name: Path | str) -> Ruleset:
    try:
        return Ruleset.model_validate(content)
    except ValidationError as error:
        raise BadInput(f"not a valid ruleset: {first_fault(error)}", file=name) from None
