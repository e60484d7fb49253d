"""Fixtures: a laboratory to promote in."""

from __future__ import annotations

from support.registry_project import database, laboratory, prepared

__all__ = ["database", "laboratory", "prepared"]
