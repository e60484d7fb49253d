"""A ruleset as a file in git: what GitHub is to enforce on a branch, checked before anybody sends it."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, ValidationError

from beampermit.errors import BadInput
from beampermit.reading import first_fault, parse_json, read_json
from beampermit.record import Record

FOLDER = ".github/rulesets"
MAIN = f"{FOLDER}/main.json"
GITHUB_ACTIONS = 15368
"""Id of the app that workflows report as: a required check pinned to it can be reported by nobody else."""


class BypassActor(Record):
    """Who need not keep to the rules."""

    actor_type: Literal["Integration", "OrganizationAdmin", "RepositoryRole", "Team", "DeployKey", "User"]
    actor_id: int | None = None
    bypass_mode: Literal["always", "pull_request", "exempt"] = "always"


class RefName(Record):
    """Which branches: patterns of `refs/heads/...`, `~DEFAULT_BRANCH` or `~ALL`."""

    include: tuple[str, ...]
    exclude: tuple[str, ...] = ()


class Conditions(Record):
    """Where the rules hold."""

    ref_name: RefName


class PullRequest(Record):
    """How a pull request is reviewed."""

    required_approving_review_count: int = Field(ge=0, le=10)
    dismiss_stale_reviews_on_push: bool
    require_code_owner_review: bool
    require_last_push_approval: bool
    required_review_thread_resolution: bool
    allowed_merge_methods: tuple[Literal["merge", "squash", "rebase"], ...] = ()


class Check(Record):
    """One check that must be green; `integration_id` is the app that must have said so."""

    context: str = Field(min_length=1)
    integration_id: int | None = None


class StatusChecks(Record):
    """Which checks must be green."""

    strict_required_status_checks_policy: bool
    required_status_checks: tuple[Check, ...] = Field(min_length=1)
    do_not_enforce_on_create: bool = False


class MergeQueue(Record):
    """How pull requests queue up; times in minutes."""

    merge_method: Literal["MERGE", "SQUASH", "REBASE"]
    grouping_strategy: Literal["ALLGREEN", "HEADGREEN"]
    check_response_timeout_minutes: int = Field(ge=1, le=360)
    max_entries_to_build: int = Field(ge=0, le=100)
    max_entries_to_merge: int = Field(ge=0, le=100)
    min_entries_to_merge: int = Field(ge=0, le=100)
    min_entries_to_merge_wait_minutes: int = Field(ge=0, le=360)


class PullRequestRule(Record):
    """Changes come by pull request."""

    type: Literal["pull_request"]
    parameters: PullRequest


class StatusChecksRule(Record):
    """Checks are green."""

    type: Literal["required_status_checks"]
    parameters: StatusChecks


class MergeQueueRule(Record):
    """Changes come through the queue."""

    type: Literal["merge_queue"]
    parameters: MergeQueue


class OtherRule(Record):
    """A rule that is handed on as it is written; GitHub judges it."""

    type: str = Field(pattern=r"^[a-z_]+$")
    parameters: dict[str, Any] = Field(default_factory=dict)


_KNOWN = ("pull_request", "required_status_checks", "merge_queue")


def _kind(rule: Any) -> str:
    kind = rule.get("type") if isinstance(rule, dict) else getattr(rule, "type", None)
    return kind if kind in _KNOWN else "other"


Rule = Annotated[
    Annotated[PullRequestRule, Tag("pull_request")]
    | Annotated[StatusChecksRule, Tag("required_status_checks")]
    | Annotated[MergeQueueRule, Tag("merge_queue")]
    | Annotated[OtherRule, Tag("other")],
    Discriminator(_kind),
]


class Ruleset(Record):
    """The whole file, in GitHub's own words."""

    name: str = Field(min_length=1)
    target: Literal["branch"]
    enforcement: Literal["active", "evaluate", "disabled"]
    bypass_actors: tuple[BypassActor, ...] = ()
    conditions: Conditions
    rules: tuple[Rule, ...]

    @property
    def body(self) -> dict[str, Any]:
        """What GitHub is sent: what the file says, no more."""
        return self.model_dump(mode="json", exclude_unset=True)

    def covers(self, branch: str, default_branch: str) -> bool:
        """Whether its rules hold on a branch."""

        def named(patterns: tuple[str, ...]) -> bool:
            default = "~DEFAULT_BRANCH" in patterns and branch == default_branch
            return default or "~ALL" in patterns or any(fnmatchcase(f"refs/heads/{branch}", one) for one in patterns)

        names = self.conditions.ref_name
        return named(names.include) and not named(names.exclude)


def read_ruleset(path: Path) -> Ruleset:
    """Read a ruleset's file. Raises `BadInput` that names the file and the key."""
    if not path.is_file():
        raise BadInput("the file is missing", file=path, hint="beampermit init adds ours; --file names another")
    return _ruleset(read_json(path), path)


def parse_ruleset(text: str, name: str) -> Ruleset:
    """Read a ruleset's text; `name` is what errors call it. Raises `BadInput`."""
    return _ruleset(parse_json(text.encode(), name), name)


def _ruleset(content: Any, name: Path | str) -> Ruleset:
    try:
        return Ruleset.model_validate(content)
    except ValidationError as error:
        raise BadInput(f"no ruleset: {first_fault(error)}", file=name) from None
