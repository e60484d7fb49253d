"""Threads of p4p and libca keep what Python knows of them between two calls (decision 55)."""

from __future__ import annotations

import ctypes
import threading

_own = threading.local()


def keep_state(left: threading.Semaphore | None = None) -> None:
    """Of the calling thread, one that Python did not start; `left` bounds how many do, for what it keeps stays.

    For such a thread Python makes a state at the begin of each call and frees it at its end, with memory that it has
    from the kernel. One state more than it needs leaves it nothing to free.
    """
    if not getattr(_own, "kept", False) and (left is None or left.acquire(blocking=False)):
        _own.kept = True
        ctypes.pythonapi.PyGILState_Ensure()
