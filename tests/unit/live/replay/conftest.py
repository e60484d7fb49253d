"""Fixtures of replays."""

from support.prediction_logs import logged

__all__ = ["logged"]
