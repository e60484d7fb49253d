"""Releases on GitHub after the ledger: the one of the version in service is the latest, and each says what it is."""

from __future__ import annotations

import re

from beampermit.documents.markdown import text
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

    After a rollback or a retirement, whoever opens the releases finds the documents of what serves. Raises `Outside`.
    """
    ledger.fetch()
    state = ledger.state(model)
    versions = {f"{model}-v{number}": event for number, event in state.promoted.items()}
    there = {one.tag_name: one for one in list_releases(client) if one.tag_name in versions and not one.draft}
    # The champion's last: it is the latest once the others say that they are not.
    order = sorted(there, key=lambda tag: versions[tag].version == state.champion_version)
    return tuple(tag for tag in order if _correct(client, there[tag], versions[tag], state, there))


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
