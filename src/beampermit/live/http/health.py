"""The paths for those who look whether the service is well: Kubernetes, Prometheus, `beampermit status`."""

from __future__ import annotations

from math import isfinite
from typing import Any

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from beampermit.live.http.observed import Observed
from beampermit.live.http.replies import json_of

SERVED = ("SERVING", "DEGRADED")
"""States in which some output has a value."""


def routes(observed: Observed) -> list[Route]:
    def describe() -> dict[str, Any]:
        about = observed.vitals.describe(observed.name, observed.timeout)
        if observed.monitor is None:
            return about
        age = observed.monitor.age
        return {**about, "monitor_age": age if isfinite(age) else None}

    async def alive(_: Request) -> Response:
        body = describe()
        return json_of(body, 200 if body["alive"] else 503)

    async def ready(_: Request) -> Response:
        body = describe()
        is_ready = body["alive"] and body["status"] in SERVED
        return json_of({"ready": is_ready, **body}, 200 if is_ready else 503)

    async def status(_: Request) -> Response:
        return json_of(describe())

    async def metrics(_: Request) -> Response:
        return Response(observed.metrics.text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return [
        Route("/healthz", alive),
        Route("/readyz", ready),
        Route("/status", status),
        Route("/metrics", metrics),
    ]
