"""Fixtures of the service."""

from support.epics import epics
from support.served import serve, serving
from support.truth import truth

__all__ = ["epics", "serve", "serving", "truth"]
