"""All paths together. Every error is JSON with `error`, as the Open Inference Protocol has it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from beampermit.live.http import health, protocol
from beampermit.live.http.observed import Observed
from beampermit.live.http.replies import error_of


def application(observed: Observed, answerer: ThreadPoolExecutor | None) -> Starlette:
    """Without an `answerer`, the paths that only look: no question, and nothing of what the outputs show."""
    asking = protocol.routes(observed, answerer) if answerer else []
    return Starlette(
        routes=[*health.routes(observed), *asking],
        exception_handlers={HTTPException: _refused, Exception: _failed},
    )


def _refused(_: Request, error: Exception) -> Response:
    code, headers = getattr(error, "status_code", 500), getattr(error, "headers", None)
    return error_of(code, getattr(error, "detail", ""), headers)


def _failed(_: Request, error: Exception) -> Response:
    return error_of(500, f"the service failed: {type(error).__name__}")
