"""The saved model as files: what it says of itself, what binds its bytes, which formats it may be made of."""

from beampermit.models.mlmodel import SavedModel

__all__ = ["SavedModel"]
