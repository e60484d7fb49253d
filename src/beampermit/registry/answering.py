"""Answers one question about a registry, as a program: it reads a request from stdin and writes an answer, both JSON.

The variables that log in come with the request: those that a process is started with can be read by a model, which runs
as the same user.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from beampermit.errors import BadInput, BeampermitError, Outside
from beampermit.processes import hide_memory
from beampermit.registry.fetching import fetch_version
from beampermit.registry.mlflow import BOUNDS, Registry, registry_uri

PERMIT = "permit.dsse.json"
"""What a promotion stores beside the model."""
LARGEST = 16 * 2**20


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """The folder of a version by its digest, or the version of an alias with its permit; nothing of it verified.

    Raises `BadInput` where no registry or no such version is named, `Outside`.
    """
    uri, model = registry_uri(request["address"]), request["model"]
    if "digest" in request:
        into = Path(request["into"])
        return {"folder": str(fetch_version(model, request["version"], request["digest"], into, uri))}
    return _find_permit(Registry(uri), model, request["alias"])


def _find_permit(registry: Registry, model: str, alias: str) -> dict[str, Any]:
    version = registry.alias(model, alias)
    if version is None:
        raise BadInput(f"no version of {model} has the alias {alias} in the registry {registry.name}")
    with tempfile.TemporaryDirectory(prefix="beampermit-") as scratch:
        permit = registry.download(model, version, Path(scratch), PERMIT)
        if permit.stat().st_size > LARGEST:
            raise Outside(f"the registry {registry.name} has a permit of {permit.stat().st_size} bytes")
        return {"version": version, "permit": permit.read_bytes().decode(errors="replace")}


def import_ahead() -> None:
    """MLflow, while the service reads the ledger. What fails here fails again when it is asked, which says why."""
    gc.disable()  # of a hundred thousand objects none goes: looking for one takes a sixth of the time
    os.environ.update(BOUNDS)  # some count only while it is imported
    with suppress(Exception):
        import mlflow.artifacts  # noqa: F401
    gc.enable()


def main() -> None:
    hide_memory()
    import_ahead()
    request = json.loads(sys.stdin.read() or "null")
    if request is None:
        return  # whoever started it is gone
    os.environ.update(request.pop("variables", {}))
    os.chdir(request.pop("folder", "."))
    try:
        found = answer(request)
    except BeampermitError as error:
        found = {"error": str(error), "hint": error.hint, "code": error.exit_code}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
