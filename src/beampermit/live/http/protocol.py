"""The paths of the Open Inference Protocol v2, and `/outputs` and `/clients`: what the PVs show, and to whom."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from math import ceil

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from beampermit import __version__
from beampermit.errors import BadInput
from beampermit.live.http import inference
from beampermit.live.http.observed import Observed
from beampermit.live.http.question import MOST_BYTES
from beampermit.live.http.replies import error_of, json_of
from beampermit.live.loop import Loop
from beampermit.live.sharing import Busy, ModelError, Paused

MOST_WAITING = 16
"""Questions at a time: one is answered, the others wait."""
PATIENCE = 10.0
"""Seconds that a question may take to arrive."""
LATER = {"Retry-After": "1"}
BINARY = "inference-header-content-length"
"""A header of the protocol's extension for binary data, which is not read here."""


def routes(observed: Observed, answerer: ThreadPoolExecutor) -> list[Route]:
    """`answerer` is the one thread that asks the model."""
    infer = _Infer(observed, answerer)

    async def server(_: Request) -> Response:
        return json_of({"name": "beampermit", "version": __version__, "extensions": []})

    async def live(_: Request) -> Response:
        alive = observed.vitals.alive(observed.timeout)
        return json_of({"live": alive}, 200 if alive else 503)

    async def ready(_: Request) -> Response:
        is_ready = _can_answer(observed.current())
        return json_of({"ready": is_ready}, 200 if is_ready else 503)

    async def model(request: Request) -> Response:
        return json_of(inference.describe(_asked_for(observed, request)))

    async def model_ready(request: Request) -> Response:
        loop = _asked_for(observed, request)
        is_ready = _can_answer(loop)
        return json_of({"name": loop.contract.model.name, "ready": is_ready}, 200 if is_ready else 503)

    async def outputs(_: Request) -> Response:
        loop = observed.current()
        return json_of(inference.show(loop.shown()) if loop else {})

    async def clients(_: Request) -> Response:
        connected = await asyncio.to_thread(observed.clients)
        return json_of({"name": observed.name, "clients": [asdict(peer) for peer in connected]})

    of_model: list[tuple[str, str, Callable[[Request], Awaitable[Response]]]] = [
        ("", "GET", model),
        ("/ready", "GET", model_ready),
        ("/infer", "POST", infer.endpoint),
    ]
    return [
        Route("/outputs", outputs),
        Route("/clients", clients),
        Route("/v2", server),
        Route("/v2/health/live", live),
        Route("/v2/health/ready", ready),
        *(
            Route(f"/v2/models/{{name}}{version}{path}", endpoint, methods=[method])
            for version in ("", "/versions/{version}")
            for path, method, endpoint in of_model
        ),
    ]


def _can_answer(loop: Loop | None) -> bool:
    if loop is None or loop.standing.refused or loop.failure:
        return False
    return loop.model.ready and not loop.model.pause()


def _asked_for(observed: Observed, request: Request) -> Loop:
    """The loop of the model and version in the path."""
    loop, name, version = observed.current(), request.path_params["name"], request.path_params.get("version")
    if name != observed.name:
        raise HTTPException(404, f"the model {name!r} is not served here; {observed.name!r} is")
    if loop is None:
        raise HTTPException(503, "no version is in service yet", LATER)
    served = str(loop.standing.version)
    if version not in (None, served):
        raise HTTPException(404, f"version {version} is not served; version {served} is")
    return loop


class _Infer:
    """POST infer. Its size, its time to arrive, and how many wait are limited before anything of it is read."""

    def __init__(self, observed: Observed, answerer: ThreadPoolExecutor):
        self._observed, self._answerer = observed, answerer
        self._waiting = 0
        """Changed by the server's thread alone."""

    async def endpoint(self, request: Request) -> Response:
        _asked_for(self._observed, request)
        if BINARY in request.headers:
            return error_of(400, "binary data are not read here: send the data as JSON")
        if self._waiting >= MOST_WAITING:
            return error_of(503, f"{MOST_WAITING} questions wait already", LATER)
        self._waiting += 1
        until = time.monotonic() + inference.LONGEST
        try:
            content = await asyncio.wait_for(_content(request), PATIENCE)
            return await self._answer(request, content, until)
        except TimeoutError:
            return error_of(408, f"the question has not arrived within {PATIENCE:g} s")
        finally:
            self._waiting -= 1

    async def _answer(self, request: Request, content: bytes, until: float) -> Response:
        """What is not begun in its time is never begun: those before it may each take all of theirs."""
        job = self._answerer.submit(_answer, self._observed, request, content, until)
        answered = asyncio.wrap_future(job)
        await asyncio.wait([answered], timeout=until - time.monotonic())
        return _no_time(Busy()) if job.cancel() else await answered


async def _content(request: Request) -> bytes:
    """The body, where it is small enough."""
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > MOST_BYTES:
            raise HTTPException(413, f"the question is larger than {MOST_BYTES} bytes, the limit")
    return bytes(content)


def _answer(observed: Observed, request: Request, content: bytes, until: float) -> Response:
    """By the version that is in service now: another one may have been when the question arrived."""
    loop = _asked_for(observed, request)
    try:
        return json_of(inference.answer(loop, content, until))
    except BadInput as error:
        return error_of(400, error)
    except inference.Refused as error:
        return error_of(503, error)
    except ModelError as error:
        if observed.current() is not loop:  # its process has ended
            return error_of(503, "another version came into service while the model was asked", LATER)
        return error_of(500, error)
    except Busy as error:
        return _no_time(error)


def _no_time(error: Busy) -> Response:
    if isinstance(error, Paused):
        return error_of(503, error, {"Retry-After": str(ceil(error.left))})
    return error_of(503, f"the model had no time within {inference.LONGEST:g} s", LATER)
