"""Since when the service is as it is."""

from __future__ import annotations

from beampermit.live.observation.notify import BEGINS
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


def test_a_version_that_does_not_begin_is_dead_after_five_minutes_and_one_that_waits_never() -> None:
    clock = [0.0]
    vitals = Vitals(monotonic=lambda: clock[0])
    for clock[0] in (BEGINS, 2 * BEGINS, 3 * BEGINS):
        assert vitals.alive(1.0), "somebody waits for a first promotion"
        vitals.wait()
    clock[0] += BEGINS + 1
    assert not vitals.alive(1.0), "a source hangs as it is started, or EPICS does"
