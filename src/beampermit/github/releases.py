"""Releases: draft, upload, publish. A release is found again by its tag and completed after a killed run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beampermit.digest import digest_file
from beampermit.errors import Conflict, Outside
from beampermit.github.client import Answer, Client, Refused, Unsure, parse_answer

TRIES = 3
"""Attempts to upload the files that are missing."""


class Asset(Answer):
    """`state` is `uploaded` when the file is complete; older assets have no digest."""

    id: int
    name: str
    size: int
    state: str
    digest: str | None = None


class GitHubRelease(Answer):
    """Only who may write sees a draft."""

    id: int
    tag_name: str
    draft: bool
    html_url: str
    upload_url: str
    assets: tuple[Asset, ...]
    body: str | None = None


@dataclass(frozen=True)
class Release:
    """`body` is Markdown; `files` are the assets by name."""

    tag: str
    commit: str
    title: str
    body: str
    files: Mapping[str, Path]


@dataclass(frozen=True)
class Published:
    """`new`: this run published it; `uploaded`: the files that this run uploaded."""

    address: str
    new: bool
    uploaded: tuple[str, ...]


def publish(client: Client, release: Release) -> Published:
    """Publish a release, or complete the one with this tag; published files are never replaced.

    Raises `Conflict` where the tag is on another commit, `Outside`.
    """
    _require_free_tag(client, release)
    current = _find(client, release.tag) or _create_draft(client, release)
    uploaded = _upload_missing(client, current, release.files)
    if not current.draft:
        return Published(current.html_url, False, uploaded)
    published = _parse(client.patch(f"/releases/{current.id}", {"draft": False}))
    return Published(published.html_url, True, uploaded)


def list_releases(client: Client) -> tuple[GitHubRelease, ...]:
    return tuple(map(_parse, client.pages("/releases")))


def set_body(client: Client, release: GitHubRelease, body: str, *, latest: bool) -> None:
    """Replace the text of a release; with `latest` it is the one that GitHub shows first."""
    client.patch(f"/releases/{release.id}", {"body": body, **({"make_latest": "true"} if latest else {})})


def _require_free_tag(client: Client, release: Release) -> None:
    """GitHub creates the tag where there is none, and otherwise uses the one that exists, whatever its commit."""
    try:
        commit = client.get(f"/commits/tags/{release.tag}")
    except Refused as refused:
        if refused.status in (404, 422):
            return
        raise
    sha = commit.get("sha") if isinstance(commit, Mapping) else None
    if sha != release.commit:
        raise Conflict(
            f"tag {release.tag} is on commit {str(sha)[:12]}, but this release is of commit {release.commit[:12]}",
            hint=f"if nobody needs the tag, run `git push --delete origin {release.tag}`",
        )


def _find(client: Client, tag: str) -> GitHubRelease | None:
    """The published release of a tag, else the first draft: a lost reply can leave two."""
    releases = [release for release in list_releases(client) if release.tag_name == tag]
    return min(releases, key=lambda release: (release.draft, release.id), default=None)


def _create_draft(client: Client, release: Release) -> GitHubRelease:
    body = {
        "tag_name": release.tag,
        "target_commitish": release.commit,
        "name": release.title,
        "body": release.body,
        "draft": True,
    }
    try:
        return _parse(client.post("/releases", body))
    except Unsure:
        return _find(client, release.tag) or _parse(client.post("/releases", body))


def _upload_missing(client: Client, release: GitHubRelease, files: Mapping[str, Path]) -> tuple[str, ...]:
    """Upload what is missing, and in a draft replace what differs; the names that were uploaded."""
    uploaded: set[str] = set()
    for _ in range(TRIES):
        assets = _assets(client, release)
        if release.draft:
            for asset in [asset for asset in assets.values() if not _matches(asset, files.get(asset.name))]:
                client.delete(f"/releases/assets/{asset.id}")
                del assets[asset.name]
        missing = sorted(files.keys() - assets.keys())
        if not missing:
            return tuple(sorted(uploaded))
        uploaded |= _upload(client, release, {name: files[name] for name in missing})
    if missing := sorted(files.keys() - _assets(client, release).keys()):
        raise Outside(
            f"GitHub does not keep {missing[0]} of release {release.tag_name}", hint="run the same command again"
        )
    return tuple(sorted(uploaded))


def _upload(client: Client, release: GitHubRelease, files: Mapping[str, Path]) -> set[str]:
    """Upload files until a reply is lost; the caller then checks which have arrived."""
    uploaded: set[str] = set()
    for name, file in files.items():
        uploaded.add(name)
        try:
            client.upload(release.upload_url, file.read_bytes(), name=name)
        except Unsure:
            break
    return uploaded


def _assets(client: Client, release: GitHubRelease) -> dict[str, Asset]:
    return {asset.name: asset for asset in _parse(client.get(f"/releases/{release.id}")).assets}


def _matches(asset: Asset, file: Path | None) -> bool:
    if file is None or asset.state != "uploaded" or asset.size != file.stat().st_size:
        return False
    return asset.digest is None or asset.digest == digest_file(file)


def _parse(body: Any) -> GitHubRelease:
    if isinstance(body, dict) and isinstance(body.get("assets"), list):
        body = {**body, "assets": tuple(body["assets"])}
    return parse_answer(GitHubRelease, body)
