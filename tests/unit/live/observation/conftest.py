"""Fixtures of what looks at a service."""

from support.epics import epics
from support.http_service import browse

__all__ = ["browse", "epics"]
