"""Fixtures of the model's process."""

from support.planted_processes import ask, plant

__all__ = ["ask", "plant"]
