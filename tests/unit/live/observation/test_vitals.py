"""Since when the service is as it is."""

from __future__ import annotations

from beampermit.live.observation.vitals import Vitals
from support.served import Serve, Served


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


def test_why_the_prediction_log_cannot_be_written_is_part_of_the_status(serving: Served) -> None:
    problem = ["no space left on device"]
    vitals = Vitals(lambda: problem[0])
    vitals.publish(serving.cycle())
    about = vitals.describe("orbit", 1.0)
    assert (about["status"], about["log"]) == ("SERVING", "no space left on device")
    problem[0] = ""
    assert vitals.describe("orbit", 1.0)["log"] == ""
