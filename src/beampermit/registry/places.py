"""Where a registry may say that the bytes of a version are."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from beampermit.errors import Outside

GETS_LOGIN = ("http", "https", "mlflow-artifacts")
"""MLflow sends the login of the registry to whatever host such an address names."""
LEADS_ON = ("runs", "models")
"""These lead to another place, which may be any; a promotion never writes one."""


def require_known_place(version: str, source: str, registry: str, experiment: Callable[[], str]) -> None:
    """Raises `Outside` where nothing may be fetched from `source`, for whoever may write a registry can name any place.

    `registry` is its address, `experiment` gives the place of all files of the model, which cannot be changed later.
    """
    if why := _why_unknown(source, registry, experiment):
        raise Outside(f"the registry says that {version} is at {source[:200]!a}: {why}", hint="beampermit history")


def _why_unknown(source: str, registry: str, experiment: Callable[[], str]) -> str:
    try:
        parts = urlsplit(source)
    except ValueError:
        return "this is not an address"
    if parts.scheme in LEADS_ON:
        return "this leads to another place, and a promotion writes none such"
    if parts.scheme not in GETS_LOGIN or (parts.scheme == "mlflow-artifacts" and not parts.netloc):
        return ""
    # With a login of its own, readers of addresses differ in what the host is.
    if parts.netloc and parts.netloc.lower() in (_host(registry), _host(experiment())):
        return ""
    return "this is another host, and MLflow would send it the registry's login"


def _host(address: str) -> str:
    return urlsplit(address).netloc.rpartition("@")[2].lower()
