"""A private EPICS network."""

from support.epics import epics

__all__ = ["epics"]
