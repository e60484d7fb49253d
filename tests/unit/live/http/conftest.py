"""Fixtures of the HTTP server."""

from support.http_service import browse
from support.planted_processes import ask, plant

__all__ = ["ask", "browse", "plant"]
