"""MLflow's client. Before each tag and alias it asks whether the name is a model's, and not a prompt's; ours asks once.

To a server that is half of the requests, each with a password that it verifies.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any


def open_client(uri: str) -> Any:
    client = _kind()
    for logger in ("mlflow", "alembic"):
        logging.getLogger(logger).setLevel(logging.CRITICAL)  # they print tracebacks of what we report
    return client(tracking_uri=uri, registry_uri=uri)


@cache
def _kind() -> type[Any]:
    from mlflow import MlflowClient

    class Client(MlflowClient):
        def __init__(self, tracking_uri: str, registry_uri: str):
            self._models: set[str] = set()
            super().__init__(tracking_uri=tracking_uri, registry_uri=registry_uri)

        def get_registered_model(self, name: str) -> Any:
            """Raises for a prompt."""
            found = super().get_registered_model(name)
            self._models.add(name)
            return found

        def _raise_if_prompt(self, name: str) -> None:
            """MLflow's own, which a later version may not have: then nothing calls this."""
            if name not in self._models:
                super()._raise_if_prompt(name)

    return Client


def is_new_file(file: Path) -> bool:
    if not file.is_file():
        return True
    with closing(sqlite3.connect(file)) as base:
        return not base.execute("SELECT 1 FROM sqlite_master WHERE name = 'registered_models'").fetchone()
