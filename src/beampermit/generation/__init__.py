"""Generate a project from the template."""

from beampermit.generation.rendering import generate

__all__ = ["generate"]
