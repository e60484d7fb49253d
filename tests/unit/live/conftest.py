"""Fixtures of the service."""

from support.served import serve, serving
from support.truth import truth

__all__ = ["serve", "serving", "truth"]
