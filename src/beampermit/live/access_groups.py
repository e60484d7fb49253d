"""The access security groups that records are in (field ASG), to which the file of `--access` gives rules."""

from __future__ import annotations

READ_ONLY = "DEFAULT"
"""What nobody writes: values of outputs, status PVs."""
LIMITS = "LIMITS"
"""Output records, whose alarm limits may be written."""
RESTART = "RESTART"
"""The PV that starts the model's process again."""
WRITABLE = (LIMITS, RESTART)
