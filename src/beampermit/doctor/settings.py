"""Settings of the repository on GitHub: variables, names of secrets, the environment of the release, its rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from beampermit.doctor.look import Found, missing, needs, there, unseen
from beampermit.doctor.once import permit_of
from beampermit.doctor.subject import Subject, names_of
from beampermit.errors import BadInput, Failed
from beampermit.github.client import Limited, Refused
from beampermit.github.protection import HINT, load_ledger_gaps, load_protection
from beampermit.permit.keys import VARIABLE as SIGNING_KEY
from beampermit.registry.mlflow import VARIABLE as TRACKING
from beampermit.registry.mlflow import checked_uri

PRODUCTION = "production"
ENVIRONMENT = f"/environments/{PRODUCTION}"
SETTINGS = "Settings, Environments, production"
KEY_COMMAND = f"gh secret set {SIGNING_KEY} --env {PRODUCTION} --repo {{repository}} < FOLDER/permit.key"


def tracking_variable(subject: Subject) -> Found:
    """Jobs of pull requests read it too, so a variable of an environment is not enough."""
    own, shared = (_or_none(lambda: subject.variables), _or_none(lambda: subject.shared_variables))
    found = [values[TRACKING] for values in (own, shared) if values is not None and values.get(TRACKING)]
    mend = f"gh variable set {TRACKING} --repo {{repository}} --body ADDRESS"
    if not found:
        if own is None or shared is None:
            return needs("Variables, read")
        return missing(f"the variable {TRACKING} is not set, so no job knows the registry", mend)
    try:
        checked_uri(found[0], f"the variable {TRACKING}")
    except BadInput as error:
        return missing(str(error), mend)
    return there(f"the variable {TRACKING} is set{'' if own and TRACKING in own else ', by the organization'}")


def _or_none(load: Callable[[], Mapping[str, str]]) -> Mapping[str, str] | None:
    """None where the token may not see it."""
    try:
        return load()
    except Refused as refused:
        if isinstance(refused, Limited) or refused.status not in (401, 403, 404):
            raise
        return None


def environment(subject: Subject) -> Found:
    """Somebody approves each release, and only the protected branch gets what is secret there."""
    shown = _environment(subject)
    if not isinstance(shown, Mapping):
        return shown
    rules = [rule for rule in shown.get("protection_rules") or [] if isinstance(rule, Mapping)]
    reviewers = [rule for rule in rules if rule.get("type") == "required_reviewers" and rule.get("reviewers")]
    if wrong := _wrong_branches(subject, shown.get("deployment_branch_policy")):
        return wrong
    if reviewers:
        return there(f"{PRODUCTION} has reviewers, and is for {subject.branch} alone")
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


def _wrong_branches(subject: Subject, policy: Any) -> Found | None:
    mend = f"{SETTINGS}: Deployment branches and tags, {subject.branch} alone"
    if not isinstance(policy, Mapping):
        return missing(f"every branch may use the environment {PRODUCTION}, and the key in it", mend)
    if policy.get("protected_branches"):
        return None
    rows = list(subject.hub.pages(f"{ENVIRONMENT}/deployment-branch-policies", "branch_policies"))
    names = [(str(row.get("name")), str(row.get("type", "branch"))) for row in rows if isinstance(row, Mapping)]
    others = [f"{type} {name}" for name, type in names if (name, type) != (subject.branch, "branch")]
    if others:
        return missing(f"{', '.join(others)} may use the environment {PRODUCTION} too, and the key in it", mend)
    if not names:
        return missing(f"{subject.branch} may not use the environment {PRODUCTION}, so nothing is released", mend)
    return None


def secrets(subject: Subject) -> Found:
    """GitHub tells the names of secrets alone. The key is where only the release gets it."""
    hub = subject.hub
    wide = f"gh secret delete {SIGNING_KEY} --repo {{repository}}"
    elsewhere = _seen(lambda: names_of(hub, "/actions/secrets", "secrets"))
    if elsewhere is not None and SIGNING_KEY in elsewhere:
        said = f"{SIGNING_KEY} is a secret of the whole repository, which any workflow of it can name"
        return missing(said, f"{KEY_COMMAND}; {wide}")
    shared = _seen(lambda: names_of(hub, "/actions/organization-secrets", "secrets"))
    if shared is not None and SIGNING_KEY in shared:
        return missing(f"{SIGNING_KEY} is a secret of the organization, which any workflow can name", KEY_COMMAND)
    own = _seen(lambda: names_of(hub, f"{ENVIRONMENT}/secrets", "secrets"))
    if own is None:
        return needs("Environments, read, and Secrets, read, and that there is an environment production")
    if SIGNING_KEY not in own:
        return missing(
            f"{SIGNING_KEY} is no secret of the environment {PRODUCTION}, so no permit is signed", KEY_COMMAND
        )
    login = {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"}
    if len(alone := own & login) == 1:
        (other,) = login - alone
        mend = f"gh secret set {other} --env {PRODUCTION} --repo {{repository}}"
        return missing(f"{PRODUCTION} has the secret {alone.pop()} without {other}", mend)
    unseen_rest = "; those of the repository are not seen with this token" if elsewhere is None else ""
    return there(f"{', '.join(sorted(own))} in {PRODUCTION}{unseen_rest}")


def _seen(load: Callable[[], set[str]]) -> set[str] | None:
    try:
        return load()
    except Refused as refused:
        if isinstance(refused, Limited) or refused.status not in (401, 403, 404):
            raise
        return None


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
