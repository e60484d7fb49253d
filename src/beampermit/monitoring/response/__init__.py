"""What a trip does: its window is stored, people and programs are told, and by policy something is proposed.

Nothing here loosens, promotes or retires: what is proposed is judged by people and interlocks.
"""

from beampermit.monitoring.response.kept import opened
from beampermit.monitoring.response.respond import Outlets, Responder

__all__ = ["Outlets", "Responder", "opened"]
