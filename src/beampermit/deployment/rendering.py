"""Fills the templates of deployment files."""

from __future__ import annotations

from functools import cache
from typing import Any

from beampermit.deployment.deployment import Deployment


def render(template: str, deployment: Deployment, **values: Any) -> str:
    return _environment().get_template(template).render(deployment=deployment, **values)


@cache
def _environment() -> Any:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("beampermit.deployment", "templates"),
        autoescape=False,  # noqa: S701 - no HTML; names fit the contract's pattern, and other text is escaped below
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"one_line": _one_line}
    return environment


def _one_line(text: str) -> str:
    """Text for systemd, where `%` begins a specifier and a backslash at the end goes on in the next line."""
    return " ".join(text.split()).replace("%", "%%").replace("\\", "/")
