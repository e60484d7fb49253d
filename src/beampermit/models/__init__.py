"""The saved model: its files, formats and manifest, and its scores from a process of its own."""

from beampermit.models.mlmodel import SavedModel

__all__ = ["SavedModel"]
