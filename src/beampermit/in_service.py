"""Releases on GitHub after the ledger: the one of the version in service is the latest, and each says what it is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from beampermit.documents.markdown import text
from beampermit.errors import BeampermitError
from beampermit.github.client import Client
from beampermit.github.releases import GitHubRelease, list_releases, set_body
from beampermit.registry.event import Event
from beampermit.registry.ledger import Ledger
from beampermit.registry.ledger_state import ModelState

MARK = "<!-- in service -->"
"""Ends the line of a release's text that is ours to replace."""
_LINE = re.compile(rf"\A[^\n]*{re.escape(MARK)}\n\n")


def show_in_service(client: Client, ledger: Ledger, model: str) -> tuple[str, ...]:
    """Correct the releases of the promoted versions; the tags of those that were changed.

    After a rollback or a retirement, whoever opens the releases finds the documents of what serves. So do those of the
    models of this ledger that are out of service: one that was replaced publishes nothing any more. Raises `Outside`.
    """
    ledger.fetch()
    releases, state = list_releases(client), ledger.state(model)
    gone = ((name, of) for name, of in _states(ledger).items() if name != model and of.champion is None)
    return tuple(tag for name, of in (*gone, (model, state)) for tag in _correct_all(client, releases, name, of))


def _states(ledger: Ledger) -> Mapping[str, ModelState]:
    """Of all models; empty where the line of another one is bad, which is no reason to leave out this one."""
    try:
        return ledger.read().states
    except BeampermitError:
        return {}


def _correct_all(client: Client, releases: Sequence[GitHubRelease], model: str, state: ModelState) -> Sequence[str]:
    versions = {f"{model}-v{number}": event for number, event in state.promoted.items()}
    there = {one.tag_name: one for one in releases if one.tag_name in versions and not one.draft}
    # The champion's last: it is the latest once the others say that they are not.
    order = sorted(there, key=lambda tag: versions[tag].version == state.champion_version)
    return [tag for tag in order if _correct(client, there[tag], versions[tag], state, there)]


def _correct(
    client: Client, release: GitHubRelease, event: Event, state: ModelState, there: dict[str, GitHubRelease]
) -> bool:
    body = release.body or ""
    wanted = f"{_line(event, state, there)} {MARK}\n\n{_LINE.sub('', body, count=1)}"
    if wanted == body:
        return False
    set_body(client, release, wanted, latest=event.version == state.champion_version)
    return True


def _line(event: Event, state: ModelState, there: dict[str, GitHubRelease]) -> str:
    champion = state.champion
    if champion and champion.version == event.version:
        return f"**In service** since {champion.at}."
    if retirement := state.retired.get(event.version):
        instead = f" Use {retirement.successor_name}." if retirement.successor else ""
        return f"**Retired** at {retirement.at} by {text(retirement.by)}: {text(retirement.reason)}.{instead}"
    if champion is None:
        return "**Not in service**: no version is."
    release = there.get(f"{event.model}-v{champion.version}")
    name = f"version {champion.version}"
    return f"**Not in service**: {f'[{name}]({release.html_url})' if release else name} is, since {champion.at}."
