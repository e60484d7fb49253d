"""Fixtures for tests of what a trip does."""

from support.prediction_logs import logged
from support.responses import responding
from support.served import serve, serving

__all__ = ["logged", "responding", "serve", "serving"]
