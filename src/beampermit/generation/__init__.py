"""A new project from the template, whole or not at all."""

from beampermit.generation.rendering import generate

__all__ = ["generate"]
