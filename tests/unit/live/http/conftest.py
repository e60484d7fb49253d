"""Fixtures of the HTTP server."""

from support.http_service import browse

__all__ = ["browse"]
