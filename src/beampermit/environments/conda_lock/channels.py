"""Channels as conda-lock names them, and the addresses of their packages."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from beampermit.environments.conda_lock.conda_lock_api import conda_lock_module

KINDS = (".conda", ".tar.bz2")


def addresses(channel: str, root: Path | None = None) -> tuple[str, ...]:
    """The URLs of a channel without a slash at the end; `${VARIABLE}` of a token is kept.

    Bare names are looked up in conda's own constants, which come with conda-lock.
    """
    if "://" in channel:
        return (channel.rstrip("/"),)
    if channel == "defaults":
        return tuple(conda_lock_module("_vendor.conda.base.constants").DEFAULT_CHANNELS_UNIX)
    if root and channel.startswith((".", "/", "~")):
        return ((root / Path(channel).expanduser()).resolve().as_uri(),)
    return (f"{conda_lock_module('_vendor.conda.base.constants').DEFAULT_CHANNEL_ALIAS}/{channel.strip('/')}",)


def of(required: Any, root: Path) -> list[str]:
    """The URLs of the channels that are listed, then of those that single packages name (`pytorch::pytorch`)."""
    listed = [channel.url for channel in required.channels]
    dependencies = (one for several in required.dependencies.values() for one in several)
    named = [channel for one in dependencies if (channel := getattr(one, "conda_channel", None))]
    return list(dict.fromkeys(address for channel in (*listed, *named) for address in addresses(channel, root)))


def with_secrets(address: str) -> str:
    """Replace `${VARIABLE}` of the environment, as conda and conda-lock do."""
    return posixpath.expandvars(address)


def without_secrets(address: str, channels: Iterable[str]) -> str:
    """Put back the `${VARIABLE}` of `channels` in an address."""
    for channel in channels:
        plain = with_secrets(channel)
        if plain != channel and address.startswith(plain):
            return channel + address[len(plain) :]
    return address


def split(address: str) -> tuple[str, str, str]:
    """Channel, platform folder and file name of a package's URL; empty where there is none."""
    channel, _, file_name = address.rpartition("/")
    channel, _, subdir = channel.rpartition("/")
    return channel, subdir, unquote(file_name)


def parse_file_name(file_name: str) -> tuple[str, str, str] | None:
    """Name, version and build from a package's file name; None if it is not one."""
    stem = next((file_name.removesuffix(kind) for kind in KINDS if file_name.endswith(kind)), None)
    parts = stem.rsplit("-", 2) if stem else []
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 and all(parts) else None


def local_path(address: str) -> Path | None:
    """The file that a `file://` address names; None for any other."""
    from urllib.request import url2pathname

    parts = urlsplit(address)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else None


def current_subdir() -> str:
    """This machine as conda calls it: `linux-64`."""
    import platform
    import sys

    system = {"darwin": "osx", "win32": "win"}.get(sys.platform, "linux")
    machine = platform.machine().lower()
    kind = {"x86_64": "64", "amd64": "64", "i686": "32"}.get(machine, machine)
    if system == "osx" and machine == "arm64":
        return "osx-arm64"
    return os.environ.get("CONDA_SUBDIR") or f"{system}-{kind}"
