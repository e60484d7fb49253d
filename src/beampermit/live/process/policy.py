"""When the model's process is started again, and when it has too much memory."""

from __future__ import annotations

FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0
"""Seconds before a process is started again: the first time, and after many failures."""
GOOD = 60.0
"""Seconds with a process that is ready, after which the failures before it are forgotten."""
MIB = 2**20
FACTOR = 2.0


def next_wait(last: float, ready: float) -> float:
    """Seconds to wait now; `last` is what was waited before, 0 at first, `ready` how long the process was ready."""
    if not last or ready >= GOOD:
        return FIRST_WAIT
    return min(2 * last, LONGEST_WAIT)


def too_much_memory(resident: float, settled: float, budget: float) -> str:
    """Why a process is replaced that has so many bytes in memory; empty where they are not too many.

    `settled` is what it had after its first answers, `budget` is `budget.memory` in MiB. A limit nearer than twice the
    larger of them would end sound models: the budget was measured on another machine, without the driver of a GPU, and
    what a process frees it seldom gives back.
    """
    limit = FACTOR * max(settled, budget * MIB)
    if resident <= limit:
        return ""
    whose = "budget.memory" if budget * MIB >= settled else "what it had after its first answers"
    return f"its process has {resident / MIB:.0f} MiB in memory, more than twice {whose}, {limit / MIB:.0f} MiB"
