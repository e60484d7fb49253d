"""What a registry answers where it fails or refuses, in one line, and what to do about it."""

from __future__ import annotations

import re

DENIED = re.compile(r"error code 40[13]\b|UNAUTHENTICATED|PERMISSION_DENIED|unauthori[sz]ed|forbidden", re.IGNORECASE)
"""What a registry, or a proxy before it, answers to an unknown identity or one without the permission."""
FULL = re.compile(r"disk is full|disk I/O error|no space left|disk quota|file too large", re.IGNORECASE)


def is_denied(error: Exception) -> bool:
    return bool(DENIED.search(str(error)))


def hint_of(reason: str, variable: str) -> str:
    """`variable` names the registry."""
    if FULL.search(reason):
        return "df -h"
    if DENIED.search(reason):
        return (
            "renew MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or ask for the "
            "permission; then run the same command again"
        )
    return f"check {variable} and that the registry is running, then run the same command again"


def reason_of(error: Exception) -> str:
    """The first line of an error; for a failed connection its cause."""
    told = [line for line in str(error).strip().splitlines() if not line.startswith("(raised as a result of")]
    lines = told or [type(error).__name__]
    cause = re.search(r"\(Caused by \w+\((.*)\)\)", lines[0])
    if cause is None:
        return lines[0][:300]
    # Such as `'<a connection>: Failed to establish a new connection'`.
    text = cause[1].strip("\"'")
    return text.partition(": ")[2] or text
