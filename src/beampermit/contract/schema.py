"""The JSON schema of `contract.yaml`, for editors."""

from __future__ import annotations

from typing import Any

from beampermit.contract.model import Contract


def contract_schema() -> dict[str, Any]:
    """A JSON schema (2020-12) with a description at each key."""
    schema = Contract.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "contract.yaml", **schema}
