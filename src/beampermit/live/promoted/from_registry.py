"""What a version needs of the registry, asked for in a process of its own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beampermit.errors import BeampermitError
from beampermit.live.promoted.wanted import Wanted
from beampermit.registry.asking import RegistryProcess
from beampermit.registry.fetching import find_cached
from beampermit.registry.mlflow import CHALLENGER, VARIABLE


@dataclass(frozen=True)
class Challenger:
    """The version with alias `challenger`, nothing of it verified."""

    version: int
    permit: bytes


def fetch(wanted: Wanted, version: int, digest: str, address: str, into: Path) -> Path:
    """The folder of a version with the `digest`, from `into` or else from the registry.

    `address` is that of the registry according to the ledger, for the message. Raises `Outside` where the registry does
    not answer or has other bytes, `BadInput` where none is named.
    """
    cached = find_cached(digest, into)
    if cached:
        return cached
    spoiled = (into / digest.removeprefix("sha256:")).exists()
    request = {"model": wanted.model, "version": version, "digest": digest, "into": str(into), "address": address}
    try:
        return Path(_ask(wanted, request)["folder"])
    except BeampermitError as error:
        if spoiled:
            error.message += "; the copy on this machine has other bytes as well"
        raise


def fetch_challenger(wanted: Wanted) -> Challenger:
    """Raises as `fetch`, and `BadInput` where no version has the alias."""
    answer = _ask(wanted, {"model": wanted.model, "alias": CHALLENGER, "address": ""})
    return Challenger(answer["version"], answer["permit"].encode())


def _ask(wanted: Wanted, request: dict[str, Any]) -> dict[str, Any]:
    variables = {**os.environ, **({VARIABLE: wanted.registry} if wanted.registry else {})}
    begun = wanted.begun
    process = begun if begun and begun.take() else RegistryProcess()
    return process.ask(wanted.state, request, variables)
