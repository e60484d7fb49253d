"""The access security groups that records are in (field ASG), to which the file of `--access` gives rules.

`RULE(0, WRITE, TRAPWRITE)` lets write what is there to be changed: alarm limits of an output, and the PV that starts
the model again. `RULE(1, WRITE)` would let write all fields, and is refused.
"""

from __future__ import annotations

READ_ONLY = "DEFAULT"
"""What nobody writes: status PVs, and vectors, which have no limits in their records."""
LIMITS = "LIMITS"
"""Output records, whose alarm limits may be written."""
RESTART = "RESTART"
"""The PV that starts the model's process again."""
WRITABLE = (LIMITS, RESTART)
