"""The uv backend: `pyproject.toml` and `uv.lock`."""

from beampermit.environments.uv.backend import Uv

__all__ = ["Uv"]
