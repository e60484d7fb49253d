"""Fixtures of the service."""

from support.served import serve, serving

__all__ = ["serve", "serving"]
