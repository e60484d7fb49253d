"""A project's real workflow files, run on this machine with act: no GitHub, no Docker."""

from beampermit.rehearsal.following import Watch
from beampermit.rehearsal.record import NOT_PROVEN, Rehearsal, RehearsedJob, Result
from beampermit.rehearsal.rehearse import FILES, Kind, rehearse

__all__ = ["FILES", "NOT_PROVEN", "Kind", "Rehearsal", "RehearsedJob", "Result", "Watch", "rehearse"]
