"""The packages that only the service needs."""

from __future__ import annotations

from importlib.util import find_spec

from beampermit.errors import BadInput

PACKAGES = ("p4p", "prometheus_client", "pyarrow", "softioc", "starlette", "uvicorn")


def require_live(what: str = "beampermit serve") -> None:
    """Raise `BadInput` where the extra `live` is not installed."""
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise BadInput(
            f"{what} needs the extra live: {missing[0]} is not installed", hint="pip install 'beampermit[live]'"
        )
