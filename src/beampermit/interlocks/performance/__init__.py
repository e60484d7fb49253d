"""PRF: the model is good enough, in all and in each group, and not worse than the one in service."""

from beampermit.interlocks.performance.champion import PRF002
from beampermit.interlocks.performance.gates import PRF001
from beampermit.interlocks.performance.subgroups import PRF003

__all__ = ["PRF001", "PRF002", "PRF003"]
