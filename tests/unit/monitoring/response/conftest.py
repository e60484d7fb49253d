"""Fixtures for tests of what a trip does."""

from support.responses import responding

__all__ = ["responding"]
