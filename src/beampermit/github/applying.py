"""Brings a ruleset's file to GitHub: made, or changed where it differs, and never twice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import unified_diff
from typing import Any, Literal

from beampermit.errors import BadInput, Outside
from beampermit.github.client import Client, Refused, Unsure
from beampermit.github.rulesets import Ruleset

ADMINISTRATOR = "a token of an administrator of the repository: for a fine-grained one, the right Administration: write"


@dataclass(frozen=True)
class Applied:
    """What was done, or would be with `dry_run`; `difference` is a unified diff, from GitHub's to the file's."""

    done: Literal["created", "updated", "unchanged"]
    name: str
    difference: str


def apply_ruleset(client: Client, ruleset: Ruleset, *, dry_run: bool = False) -> Applied:
    """Let GitHub hold what `ruleset` says, found there by its name.

    Raises `BadInput` for a token that may not, or a ruleset that GitHub does not accept; `Outside`.
    """
    try:
        return _apply(client, ruleset, dry_run)
    except Refused as refused:
        if refused.status in (401, 403, 404):
            raise BadInput(f"{refused}; this needs {ADMINISTRATOR}", hint="export GITHUB_TOKEN=...") from None
        if refused.status == 422:
            raise BadInput(f"GitHub does not accept ruleset {ruleset.name!r}: {refused}") from None
        raise


def _apply(client: Client, ruleset: Ruleset, dry_run: bool) -> Applied:
    standing = _standing(client, ruleset.name)
    difference = _difference(ruleset, standing)
    if standing is None:
        if not dry_run:
            _create(client, ruleset)
        return Applied("created", ruleset.name, difference)
    if not difference:
        return Applied("unchanged", ruleset.name, "")
    if not dry_run:
        client.put(f"/rulesets/{standing['id']}", ruleset.body)
    return Applied("updated", ruleset.name, difference)


def _create(client: Client, ruleset: Ruleset) -> None:
    try:
        client.post("/rulesets", ruleset.body)
    except Unsure:
        # The answer was lost; what was asked for may stand all the same.
        if _standing(client, ruleset.name) is None:
            raise


def _standing(client: Client, name: str) -> dict[str, Any] | None:
    """The repository's own ruleset of that name, as GitHub holds it."""
    rows = list(client.pages("/rulesets", includes_parents="false"))
    ids = [row.get("id") for row in rows if isinstance(row, Mapping) and row.get("name") == name]
    if not ids:
        return None
    found = client.get(f"/rulesets/{ids[0]}")
    if not isinstance(found, dict) or type(found.get("id")) is not int:
        raise Outside(f"GitHub shows ruleset {name!r} in a shape that is not known")
    return found


def _difference(ruleset: Ruleset, standing: Mapping[str, Any] | None) -> str:
    """Nothing where GitHub holds what the file says; what GitHub adds by itself is no difference."""
    ours = _ordered(ruleset.body)
    theirs = _ordered(_said(standing, ruleset.body)) if standing else {}
    before, after = (json.dumps(one, indent=2, sort_keys=True).splitlines() for one in (theirs, ours))
    return "\n".join(unified_diff(before, after, "GitHub", "file", lineterm=""))


def _said(theirs: Any, ours: Any) -> Any:
    """Of what GitHub holds, what the file has a word for; lists whole, each item cut to its like in the file."""
    if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
        return {key: _said(theirs[key], ours[key]) for key in ours if key in theirs}
    if isinstance(theirs, list) and isinstance(ours, list):
        like = {_name(item): item for item in ours}
        return [_said(item, like.get(_name(item), item)) for item in theirs]
    return theirs


def _ordered(found: Any) -> Any:
    if isinstance(found, Mapping):
        return {key: _ordered(value) for key, value in found.items()}
    if isinstance(found, list):
        return sorted((_ordered(item) for item in found), key=lambda item: json.dumps(_name(item), sort_keys=True))
    return found


def _name(item: Any) -> Any:
    """What tells an item of a list from the others: a rule its type, a check its context, an actor its id."""
    if not isinstance(item, Mapping):
        return item
    return next((item[key] for key in ("type", "context", "actor_id", "actor_type") if item.get(key)), str(item))
