"""Replies in JSON."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response


def json_of(body: Any, code: int = 200) -> Response:
    return Response(orjson.dumps(body), code, media_type="application/json")


def error_of(code: int, message: object, headers: dict[str, str] | None = None) -> Response:
    """As the Open Inference Protocol has it. The message may repeat what somebody sent."""
    return Response(orjson.dumps({"error": str(message)[:1000]}), code, headers, "application/json")
