"""Which Sigstore is trusted, the public one or a private one; and access to its library."""

from __future__ import annotations

import importlib
import logging
import os
import re
from pathlib import Path
from typing import Any

from beampermit.errors import BadInput, BeampermitError
from beampermit.git import find_top

TRUST_IN_PROJECT = ".github/permit.trust.json"
LARGEST = 16 * 2**20
ID_REQUEST = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
TOKEN = re.compile(r"eyJ[\w-]+(\.[\w-]+)+")


def find_trust(project: Path) -> Path | None:
    """The project's trust configuration in git, if it has one."""
    try:
        file = find_top(project) / TRUST_IN_PROJECT
    except BeampermitError:
        return None
    return file if file.is_file() else None


def read_trust(file: Path | None, *, offline: bool) -> Any:
    """The ClientTrustConfig in `file`; for None that of the public Sigstore, as last fetched where `offline`.

    Raises `BadInput` for an invalid file, and sigstore's own errors where the public one cannot be fetched.
    """
    config = library("models").ClientTrustConfig
    if file is None:
        # It warns that nothing is fetched, which is what `offline` is for.
        logging.getLogger("sigstore._internal.tuf").setLevel(logging.ERROR)
        return config.production(offline=offline)
    if not file.is_file():
        raise BadInput("there is no trust configuration", file=file)
    if file.stat().st_size > LARGEST:
        raise BadInput(f"larger than the {LARGEST} bytes allowed for a trust configuration", file=file)
    try:
        parsed = config.from_json(file.read_text(encoding="utf-8"))
        library("verify").Verifier(trusted_root=parsed.trusted_root)
    except Exception as error:  # the library raises many kinds
        raise BadInput(f"not a Sigstore ClientTrustConfig: {first_line(error)}", file=file) from None
    return parsed


def library(name: str) -> Any:
    """A module of the sigstore library. Raises `BadInput` where the extra is not installed."""
    try:
        return importlib.import_module(f"sigstore.{name}")
    except ImportError:
        raise BadInput(
            "the extra 'keyless', which Sigstore needs, is not installed", hint="pip install 'beampermit[keyless]'"
        ) from None


def first_line(error: BaseException) -> str:
    """The first lines of an error and its cause, without tokens of the job that a server may have repeated."""
    lines = [str(each).strip().partition("\n")[0] for each in (error, error.__cause__) if each is not None]
    text, request_token = TOKEN.sub("***", ": ".join(filter(None, lines))), os.environ.get(ID_REQUEST)
    return (text.replace(request_token, "***") if request_token else text)[:300] or type(error).__name__
