"""Settings of the repository on GitHub: variables, names of secrets, the environment of the release, its rules."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from beampermit.doctor.once import permit_of
from beampermit.doctor.results import Found, missing, needs, there, unseen
from beampermit.doctor.subject import Subject, names_of
from beampermit.errors import BadInput, Failed, several
from beampermit.github.client import Limited, Refused
from beampermit.github.patterns import ODD, example_names, lets_in, names_left_out
from beampermit.github.protection import HINT, Rulesets, load_ledger_gaps, load_left_out, load_protection
from beampermit.permit.keys import VARIABLE as SIGNING_KEY
from beampermit.registry.mlflow import VARIABLE as TRACKING
from beampermit.registry.mlflow import checked_uri

T = TypeVar("T")
PRODUCTION = "production"
ENVIRONMENT = f"/environments/{PRODUCTION}"
SETTINGS = "Settings, Environments, production"
AT_ONCE = 8
MOST_ENVIRONMENTS = 100
"""That are asked for the key: a repository can have one for each of its pull requests."""
KEY_COMMAND = f"gh secret set {SIGNING_KEY} --env {PRODUCTION} --repo {{repository}} < FOLDER/permit.key"


def tracking_variable(subject: Subject) -> Found:
    """Jobs of pull requests read it too, so a variable of an environment is not enough."""
    own, shared = (_seen(lambda: subject.variables), _seen(lambda: subject.shared_variables))
    found = [values[TRACKING] for values in (own, shared) if values is not None and values.get(TRACKING)]
    fix = f"gh variable set {TRACKING} --repo {{repository}} --body ADDRESS"
    if not found:
        if own is None or shared is None:
            return needs("Variables, read")
        return missing(f"the variable {TRACKING} is not set, so no job knows the registry", fix)
    try:
        checked_uri(found[0], f"the variable {TRACKING}")
    except BadInput as error:
        return missing(str(error), fix)
    return there(f"the variable {TRACKING} is set{'' if own and TRACKING in own else ', by the organization'}")


def _seen(load: Callable[[], T]) -> T | None:
    """None where the token may not see it."""
    try:
        return load()
    except Refused as refused:
        if not refused.denied:
            raise
        return None


def environment(subject: Subject) -> Found:
    """Somebody approves each release, and only the protected branch gets what is secret there."""
    shown = _environment(subject)
    if not isinstance(shown, Mapping):
        return shown
    rules = [rule for rule in shown.get("protection_rules") or [] if isinstance(rule, Mapping)]
    reviewers = [rule for rule in rules if rule.get("type") == "required_reviewers" and rule.get("reviewers")]
    branches = _branches(subject, shown.get("deployment_branch_policy"))
    if isinstance(branches, Found):
        return branches
    if reviewers:
        return there(f"{PRODUCTION} has reviewers, and is for {branches}")
    if subject.about is not None and subject.about.private:
        return unseen(
            f"{PRODUCTION} has no reviewers; of a private repository only some plans have them, which is not seen"
        )
    return missing(f"nobody approves what uses the environment {PRODUCTION}", f"{SETTINGS}: Required reviewers")


def _environment(subject: Subject) -> Mapping[str, Any] | Found:
    try:
        shown = subject.hub.get(ENVIRONMENT)
    except Refused as refused:
        if refused.status != 404 or isinstance(refused, Limited):
            raise
        # A token that may not see environments would get 403 for the list; who sees the list sees each of them.
        subject.hub.get("/environments")
        return missing(
            f"there is no environment {PRODUCTION}: GitHub would make one that any branch may use",
            f"gh api --method PUT repos/{{repository}}{ENVIRONMENT}; then {SETTINGS}",
        )
    return shown if isinstance(shown, Mapping) else unseen("GitHub describes the environment in an unknown format")


def _branches(subject: Subject, policy: Any) -> str | Found:
    """Which may use it, or what is wrong with one: what is released from is protected, by whatever name."""
    fix = f"{SETTINGS}: Deployment branches and tags, {subject.branch} alone"
    if not isinstance(policy, Mapping):
        return missing(f"every branch may use the environment {PRODUCTION}, and the key in it", fix)
    return "protected branches alone" if policy.get("protected_branches") else _named_branches(subject, fix)


def _named_branches(subject: Subject, fix: str) -> str | Found:
    rows = list(subject.hub.pages(f"{ENVIRONMENT}/deployment-branch-policies", "branch_policies"))
    names = [(str(row.get("name")), str(row.get("type", "branch"))) for row in rows if isinstance(row, Mapping)]
    tags = [f"{type} {name} may use the environment {PRODUCTION} too" for name, type in names if type != "branch"]
    others = [name for name, type in names if type == "branch" and name != subject.branch]
    odd = [name for name in others if ODD.intersection(name)]
    rulesets = Rulesets(subject.hub)
    try:
        wrong = tags + [
            f"{name} {gap}" for name in others if name not in odd and (gap := _gap(subject, name, rulesets))
        ]
    except Failed as error:
        return unseen(f"{', '.join(others)} may use the environment {PRODUCTION} too; {error}", error.hint)
    if wrong:
        return missing(f"{several(wrong, 3)}: the key is there, too", fix)
    if odd:
        return unseen(f"{', '.join(odd)} may use the environment {PRODUCTION} too; its protection is not seen", fix)
    if not any(type == "branch" and lets_in(name, subject.branch) for name, type in names):
        return missing(f"{subject.branch} may not use the environment {PRODUCTION}, so nothing is released", fix)
    if not others:
        return f"{subject.branch} alone"
    return f"{several([subject.branch, *others], 4)}, all of them protected"


def _gap(subject: Subject, pattern: str, rulesets: Rulesets) -> str:
    """What protection a branch lacks that this lets in. GitHub tells the rules of any name, also of no branch.

    Raises `Failed` where that is not seen.
    """
    left_out: dict[str, None] = {}
    for name in example_names(pattern):
        rules = load_protection(subject.hub, name, rulesets)
        if rules.gaps:
            return f"may use the environment {PRODUCTION} too, and is not protected: {rules.gaps[0]}"
        left_out |= dict.fromkeys(load_left_out(rulesets, rules) if pattern != name else ())
    for name in names_left_out(pattern, left_out):
        if gaps := load_protection(subject.hub, name, rulesets).gaps:
            return f"may use the environment {PRODUCTION} too, and {name} is not protected: {gaps[0]}"
    return ""


def secrets(subject: Subject) -> Found:
    """GitHub tells the names of secrets alone. The key is where only the release gets it."""
    listed = _seen(lambda: names_of(subject.hub, "/environments", "environments"))
    others = sorted(name for name in listed or () if name.lower() != PRODUCTION)
    places = [*_places(subject), *map(_environment_place, (PRODUCTION, *others[:MOST_ENVIRONMENTS]))]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        seen = list(pool.map(lambda place: _seen(lambda: place.names(subject)), places))
    held = dict(zip(places, seen, strict=True))
    own = next(names for place, names in held.items() if place.title == PRODUCTION)
    wrong = [place for place, names in held.items() if place.title != PRODUCTION and SIGNING_KEY in (names or ())]
    if wrong:
        reason = " and ".join(place.reason for place in wrong[:3])
        first = [] if own is not None and SIGNING_KEY in own else [KEY_COMMAND]
        return missing(f"{SIGNING_KEY} is {reason}", "; ".join([*first, *(place.fix for place in wrong)]))
    if own is None:
        return needs("Environments, read, and Secrets, read, and that there is an environment production")
    if lacks := _lacks(own):
        return lacks
    reason = f"{', '.join(sorted(own))} in {PRODUCTION}"
    unasked = dict.fromkeys(place.right for place, names in held.items() if names is None)
    if listed is None:
        unasked["Actions, read"] = None
    if unasked:
        return unseen(f"{reason}; whether the key is elsewhere too is not seen: needs {', and '.join(unasked)}")
    if len(others) > MOST_ENVIRONMENTS:
        return unseen(f"{reason}; {MOST_ENVIRONMENTS} of {len(others)} other environments were asked for the key")
    return there(reason)


def _lacks(own: set[str]) -> Found | None:
    if SIGNING_KEY not in own:
        return missing(
            f"{SIGNING_KEY} is no secret of the environment {PRODUCTION}, so no permit is signed", KEY_COMMAND
        )
    login = {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"}
    if len(alone := own & login) != 1:
        return None
    (other,) = login - alone
    fix = f"gh secret set {other} --env {PRODUCTION} --repo {{repository}}"
    return missing(f"{PRODUCTION} has the secret {alone.pop()} without {other}", fix)


@dataclass(frozen=True)
class _Place:
    """Where a secret can be; `reason` and `fix` are of the key in it."""

    title: str
    path: str
    reason: str
    fix: str
    right: str
    also_without: bool = False
    """Whether a server may have no such place, and answers 404 for it."""

    def names(self, subject: Subject) -> set[str]:
        try:
            return names_of(subject.hub, self.path, "secrets")
        except Refused as refused:
            if self.also_without and refused.status == 404 and not isinstance(refused, Limited):
                return set()
            raise


def _places(subject: Subject) -> Iterator[_Place]:
    delete = f"gh secret delete {SIGNING_KEY} --repo {{repository}}"
    reason = "a secret of the whole repository, which any workflow of it can name"
    yield _Place("the repository", "/actions/secrets", reason, delete, "Secrets, read")
    reason = "a secret of Dependabot, which jobs of its pull requests can name"
    fix = f"{delete} --app dependabot"
    yield _Place("Dependabot", "/dependabot/secrets", reason, fix, "Dependabot secrets, read", also_without=True)
    if subject.about is None or subject.about.owner.type != "User":
        reason = "a secret of the organization, which any workflow can name"
        fix = f"take {SIGNING_KEY} from the organization's secrets, or this repository from those that get it"
        yield _Place("the organization", "/actions/organization-secrets", reason, fix, "Secrets, read")


def _environment_place(name: str) -> _Place:
    reason = f"a secret of the environment {name}, whose jobs are no release"
    fix = f"gh secret delete {SIGNING_KEY} --env {shlex.quote(name)} --repo {{repository}}"
    return _Place(name, f"/environments/{quote(name, safe='')}/secrets", reason, fix, "Environments, read")


def protection(subject: Subject) -> Found:
    """The proof that interlocks ask for: rules of the branch, its required check, rules of the ledger's branch."""
    try:
        rules = load_protection(subject.hub, subject.branch)
        ledger = load_ledger_gaps(subject.hub)
    except Failed as error:
        return unseen(str(error), error.hint)
    permit = permit_of(subject.files.workflows)
    gaps = (*rules.gaps, *rules.check_gaps(permit.context), *ledger)
    if gaps:
        idle = f" ({', '.join(rules.idle)})" if rules.idle else ""
        return missing(f"{subject.branch} is not protected: {'; '.join(gaps)}{idle}", HINT)
    bypass = "" if rules.bypass is not None else "; who may bypass the rules only an administrator sees"
    by = " by rules of the organization" if rules.of_organization else ""
    return there(f"{subject.branch} is protected{by}, and needs {permit.context!r}{bypass}")
