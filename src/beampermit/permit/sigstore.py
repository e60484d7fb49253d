"""Which Sigstore is trusted, the public one or the laboratory's own; and the library that speaks with it."""

from __future__ import annotations

import importlib
import logging
import os
import re
from pathlib import Path
from typing import Any

from beampermit.errors import BadInput, BeampermitError
from beampermit.git import find_root

TRUST_IN_PROJECT = ".github/permit.trust.json"
LARGEST = 16 * 2**20
RIGHT = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
TOKEN = re.compile(r"eyJ[\w-]+(\.[\w-]+)+")


def find_trust(project: Path) -> Path | None:
    """The project's own word about Sigstore, where it has one; like its public keys it stands in git."""
    try:
        file = find_root(project) / TRUST_IN_PROJECT
    except BeampermitError:
        return None
    return file if file.is_file() else None


def read_trust(file: Path | None, *, offline: bool) -> Any:
    """Sigstore's ClientTrustConfig in `file`; for None that of the public instance, as last fetched where `offline`.

    Raises `BadInput` for a file that is none, whatever sigstore raises where the public one cannot be fetched.
    """
    config = library("models").ClientTrustConfig
    if file is None:
        # It warns of what is asked for here: that nothing is fetched.
        logging.getLogger("sigstore._internal.tuf").setLevel(logging.ERROR)
        return config.production(offline=offline)
    if not file.is_file():
        raise BadInput("there is no trust configuration here", file=file)
    if file.stat().st_size > LARGEST:
        raise BadInput(f"a trust configuration of more than {LARGEST} bytes is not read", file=file)
    try:
        found = config.from_json(file.read_text(encoding="utf-8"))
        library("verify").Verifier(trusted_root=found.trusted_root)
    except Exception as error:  # the library raises many kinds for what is none
        raise BadInput(f"not a ClientTrustConfig of Sigstore: {first_line(error)}", file=file) from None
    return found


def library(name: str) -> Any:
    """A module of sigstore's. Raises `BadInput` where the extra is not installed."""
    try:
        return importlib.import_module(f"sigstore.{name}")
    except ImportError:
        raise BadInput(
            "signing without a key needs the extra: it is not installed", hint="pip install 'beampermit[keyless]'"
        ) from None


def first_line(error: BaseException) -> str:
    """The first line of what a library says, and of the cause that it hides; without the secrets of a job.

    A server may have repeated what it was shown: a token, or what GitHub gives a job to ask for tokens with.
    """
    said = [str(one).strip().partition("\n")[0] for one in (error, error.__cause__) if one is not None]
    text, right = TOKEN.sub("***", ": ".join(filter(None, said))), os.environ.get(RIGHT)
    return (text.replace(right, "***") if right else text)[:300] or type(error).__name__
