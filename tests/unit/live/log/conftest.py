"""Fixtures of the prediction log."""

from support.prediction_logs import logged

__all__ = ["logged"]
