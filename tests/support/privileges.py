"""What an unprivileged user may not do, in tests that may run as root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unprivileged() -> Iterator[None]:
    """As nobody, where the tests run as root."""
    ours = os.geteuid()
    if ours:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(ours)
