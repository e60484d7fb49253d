"""Fixtures: a laboratory with a version in service."""

from support.promoted_project import followed, in_this_process, lab, serving, wanted
from support.recorded_project import recorded
from support.registry_project import database, prepared

__all__ = ["database", "followed", "in_this_process", "lab", "prepared", "recorded", "serving", "wanted"]
