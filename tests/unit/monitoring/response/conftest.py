"""Fixtures for tests of what a trip does."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.prediction_logs import Logged, logged
from support.responses import receiver, responding
from support.served import Served, serve, serving

__all__ = ["logged", "receiver", "responding", "serve", "serving"]


@pytest.fixture
def log(serving: Served, logged: Logged, tmp_path: Path) -> Path:
    """Rows at 1 s, 1801 s and 3601 s, of three devices each."""
    log = logged(serving)
    for after in (1, 1800, 1800):
        serving.put()
        serving.current()
        serving.at += after
        serving.put()
        serving.current()
        log.publish(serving.cycle())
        log._write()
    log.close()
    return tmp_path / "log"
