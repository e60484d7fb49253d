"""Credentials of private indexes, from where uv itself takes them: variables named after an index, then netrc."""

from __future__ import annotations

import netrc
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from beampermit.environments.addresses import origin
from beampermit.environments.uv import specification
from beampermit.errors import BadInput

HINT = "log in as for uv: UV_INDEX_NAME_USERNAME and UV_INDEX_NAME_PASSWORD of the index, or netrc"


def login(root: Path, index: str | None, address: str) -> tuple[str, str] | None:
    """User and password for a file at `address` that a package of `index` consists of; None for a stranger.

    What is named for an index goes to its own host alone. Raises `BadInput` for a netrc that cannot be read.
    """
    if index and origin(index) == origin(address):
        for name in _names(root, index):
            stem = "UV_INDEX_" + re.sub(r"[^A-Z0-9]", "_", name.upper())
            user, password = (os.environ.get(f"{stem}_{word}", "") for word in ("USERNAME", "PASSWORD"))
            if user or password:
                return user, password
    return _in_netrc(urlsplit(address).hostname or "")


def _names(root: Path, index: str) -> list[str]:
    """What `[[tool.uv.index]]` calls the index."""
    listed = specification.read(root).content.get("tool", {}).get("uv", {}).get("index", [])
    return [one["name"] for one in listed if one.get("name") and str(one.get("url")).rstrip("/") == index.rstrip("/")]


def _in_netrc(host: str) -> tuple[str, str] | None:
    file = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    if not file.is_file():
        return None
    try:
        found = netrc.netrc(str(file)).authenticators(host)
    except netrc.NetrcParseError as error:
        raise BadInput(f"not a netrc file: {error.msg}", file=file, line=error.lineno) from None
    except OSError as error:
        raise BadInput(f"cannot be read: {error.strerror}", file=file) from None
    return (found[0], found[2] or "") if found else None
