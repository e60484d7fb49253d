"""Releases: drafted, filled, then published; found again by their tag, and finished where a run was killed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beampermit.digest import digest_file
from beampermit.errors import Conflict, Outside
from beampermit.github.client import Answer, Client, Refused, Unsure, parse_answer

TRIES = 3
"""So often it is looked whether what was sent without an answer arrived."""


class Asset(Answer):
    """A file of a release. `state` is `uploaded` when all of it is there; GitHub names the digest of newer ones."""

    id: int
    name: str
    size: int
    state: str
    digest: str | None = None


class GitHubRelease(Answer):
    """A release as GitHub has it: a draft is seen by those alone who may write."""

    id: int
    tag_name: str
    draft: bool
    html_url: str
    upload_url: str
    assets: tuple[Asset, ...]


@dataclass(frozen=True)
class Release:
    """What is to stand below a tag: a commit, a title, Markdown, and files by name."""

    tag: str
    commit: str
    title: str
    body: str
    files: Mapping[str, Path]


@dataclass(frozen=True)
class Published:
    """Where a release is, whether this run published it, and the files that it sent."""

    address: str
    new: bool
    uploaded: tuple[str, ...]


def publish(client: Client, release: Release) -> Published:
    """Publish a release, or complete the one that bears its tag; what is published is never replaced.

    Raises `Conflict` where the tag is on another commit, `Outside`.
    """
    _must_be_free(client, release)
    found = _find(client, release.tag) or _drafted(client, release)
    uploaded = _filled(client, found, release.files)
    if found.draft:
        found = _standing(client.patch(f"/releases/{found.id}", {"draft": False}))
        return Published(found.html_url, True, uploaded)
    return Published(found.html_url, False, uploaded)


def _must_be_free(client: Client, release: Release) -> None:
    """GitHub makes a tag where there is none, and takes the one that is there wherever it points."""
    try:
        found = client.get(f"/commits/tags/{release.tag}")
    except Refused as refused:
        if refused.status in (404, 422):
            return
        raise
    at = found.get("sha") if isinstance(found, Mapping) else None
    if at != release.commit:
        raise Conflict(
            f"the tag {release.tag} is on {str(at)[:12]}, and this release is of {release.commit[:12]}",
            hint=f"git push --delete origin {release.tag}, if nobody needs it",
        )


def _find(client: Client, tag: str) -> GitHubRelease | None:
    """The release of a tag: the published one, else the first draft, should a lost answer have left two."""
    found = [one for one in map(_standing, client.pages("/releases")) if one.tag_name == tag]
    return min(found, key=lambda one: (one.draft, one.id), default=None)


def _drafted(client: Client, release: Release) -> GitHubRelease:
    asked = {
        "tag_name": release.tag,
        "target_commitish": release.commit,
        "name": release.title,
        "body": release.body,
        "draft": True,
    }
    try:
        return _standing(client.post("/releases", asked))
    except Unsure:
        found = _find(client, release.tag)
        return found or _standing(client.post("/releases", asked))


def _filled(client: Client, found: GitHubRelease, files: Mapping[str, Path]) -> tuple[str, ...]:
    """Send what is missing; in a draft also what is there and other, which an earlier run left. Gives what was sent."""
    sent: list[str] = []
    for _ in range(TRIES):
        there = _assets(client, found)
        if found.draft:
            for asset in there.values():
                if asset.name not in files or not _same(asset, files[asset.name]):
                    client.delete(f"/releases/assets/{asset.id}")
            there = {name: one for name, one in there.items() if name in files and _same(one, files[name])}
        missing = sorted(files.keys() - there.keys())
        if not missing:
            return tuple(sorted(set(sent)))
        sent += _sent(client, found, {name: files[name] for name in missing})
    there = _assets(client, found)
    if lacking := sorted(files.keys() - there.keys()):
        raise Outside(f"GitHub does not keep {lacking[0]} of the release {found.tag_name}", hint="run it again")
    return tuple(sorted(set(sent)))


def _sent(client: Client, found: GitHubRelease, files: Mapping[str, Path]) -> list[str]:
    """Send files until one is sent without an answer; who asks again looks first."""
    sent: list[str] = []
    for name, file in files.items():
        sent.append(name)
        try:
            client.upload(found.upload_url, file.read_bytes(), name=name)
        except Unsure:
            break
    return sent


def _assets(client: Client, found: GitHubRelease) -> dict[str, Asset]:
    return {asset.name: asset for asset in _standing(client.get(f"/releases/{found.id}")).assets}


def _same(asset: Asset, file: Path) -> bool:
    if asset.state != "uploaded" or asset.size != file.stat().st_size:
        return False
    return asset.digest is None or asset.digest == digest_file(file)


def _standing(body: Any) -> GitHubRelease:
    if isinstance(body, dict) and isinstance(body.get("assets"), list):
        body = {**body, "assets": tuple(body["assets"])}
    return parse_answer(GitHubRelease, body)
