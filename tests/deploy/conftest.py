"""Fixtures: a laboratory to promote in."""

from __future__ import annotations

from support.registry_project import database, laboratory, prepared
from support.searched_project import searched_once

__all__ = ["database", "laboratory", "prepared", "searched_once"]
