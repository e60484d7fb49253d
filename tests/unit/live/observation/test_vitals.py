"""Since when the service is as it is."""

from __future__ import annotations

from beampermit.live.observation.vitals import Vitals
from support.served import Serve


def test_a_status_is_as_old_as_its_first_update(serve: Serve) -> None:
    served = serve()
    vitals = Vitals(clock=lambda: served.at)
    began = served.at
    vitals.publish(served.cycle())
    vitals.publish(served.cycle(after=5))
    assert vitals.describe("orbit", 1.0)["since"] == began
    served.put()
    served.current()
    vitals.publish(served.cycle(after=5))
    assert vitals.describe("orbit", 1.0)["since"] == began + 10
