"""Asks the registry in a process of its own: MLflow takes seconds and 200 MB to import, and a service runs for months.

As a program it reads one request from stdin and writes one answer to stdout, both JSON. The variables that log in
come with the request: those that a process is started with can be read by a model, which runs as the same user.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beampermit.errors import BadInput, BeampermitError, Outside
from beampermit.live.promoted.wanted import Wanted
from beampermit.processes import clean_variables, hide_memory, run
from beampermit.registry.models import fetch_version, find_cached

PERMIT = "permit.dsse.json"
"""What a promotion stores beside the model."""
PATIENCE = 1800.0
"""Seconds that a download may take."""
LARGEST = 16 * 2**20


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
    answer = _ask(wanted, {"model": wanted.model, "address": ""})
    return Challenger(answer["version"], answer["permit"].encode())


def _ask(wanted: Wanted, request: dict[str, Any]) -> dict[str, Any]:
    from beampermit.registry.mlflow import VARIABLE

    variables = {**os.environ, **({VARIABLE: wanted.registry} if wanted.registry else {})}
    finished = run(
        [sys.executable, "-P", "-m", __name__],
        cwd=wanted.state,
        env=clean_variables(),
        stdin=json.dumps({**request, "variables": variables}),
        timeout=PATIENCE,
        clean=True,
    )
    try:
        answer = json.loads(finished.out)
    except ValueError:
        raise Outside(f"the registry could not be asked: {finished.tail}") from None
    if "error" in answer:
        error = BadInput if answer["code"] == BadInput.exit_code else Outside
        raise error(answer["error"], hint=answer["hint"])
    return answer


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    from beampermit.registry.mlflow import Registry, registry_uri

    uri, model = registry_uri(request["address"]), request["model"]
    if "digest" in request:
        into = Path(request["into"])
        return {"folder": str(fetch_version(model, request["version"], request["digest"], into, uri))}
    return _find_challenger(Registry(uri), model)


def _find_challenger(registry: Any, model: str) -> dict[str, Any]:
    from beampermit.registry.promotion import CHALLENGER

    version = registry.alias(model, CHALLENGER)
    if version is None:
        raise BadInput(f"no version of {model} has the alias {CHALLENGER} in the registry {registry.name}")
    with tempfile.TemporaryDirectory(prefix="beampermit-") as scratch:
        permit = registry.download(model, version, Path(scratch), PERMIT)
        if permit.stat().st_size > LARGEST:
            raise Outside(f"the registry {registry.name} has a permit of {permit.stat().st_size} bytes")
        return {"version": version, "permit": permit.read_bytes().decode(errors="replace")}


def main() -> None:
    hide_memory()
    request = json.loads(sys.stdin.read())
    os.environ.update(request.pop("variables", {}))
    try:
        answer = _answer(request)
    except BeampermitError as error:
        answer = {"error": str(error), "hint": error.hint, "code": error.exit_code}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
