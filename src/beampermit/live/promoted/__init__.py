"""From a project, or the address of a ledger, to what may be served: verified at load, every time."""

from beampermit.live.promoted.follower import Follower
from beampermit.live.promoted.promoted import Declared, Promoted
from beampermit.live.promoted.promotions import Promotions, find
from beampermit.live.promoted.wanted import Repository, Wanted

__all__ = ["Declared", "Follower", "Promoted", "Promotions", "Repository", "Wanted", "find"]
