"""Run a project's own workflow files on this machine with act: without GitHub and without Docker."""

from beampermit.rehearsal.act_log import Watch
from beampermit.rehearsal.record import NOT_PROVEN, Rehearsal, RehearsedJob, Result
from beampermit.rehearsal.rehearse import FILES, Kind, rehearse

__all__ = ["FILES", "NOT_PROVEN", "Kind", "Rehearsal", "RehearsedJob", "Result", "Watch", "rehearse"]
