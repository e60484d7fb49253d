"""Two contracts that promise one PV."""

from __future__ import annotations

from beampermit.inventory.seen import Seen
from beampermit.inventory.shared_pvs import shared_pvs
from support.inventories import DECLARED, OUTPUTS, retired_model, sound, sound_model


def model(name: str, prefix: str, *outputs: str) -> Seen:
    declared = DECLARED.model_copy(update={"model": name, "prefix": prefix, "outputs": outputs})
    return sound(project=f"/srv/{name}.git", model=sound_model(name=name, now=declared, running=declared))


def test_a_pv_that_two_models_in_service_promise_is_found_at_the_second() -> None:
    (finding,) = shared_pvs([sound(), model("losses", "LOSSES", "L1:LOSS", *OUTPUTS)])
    assert (finding.id, finding.level, finding.model) == ("INV003", "MAJOR", "losses")
    assert finding.message == f"B1:FAULT (and 1 more) is also served by bpm-faults of {sound().project}"


def test_one_prefix_is_one_server_too_many_as_well() -> None:
    (finding,) = shared_pvs([sound(), model("losses", "BPM-FAULTS", "L1:LOSS")])
    assert finding.message.startswith("BPM-FAULTS:VERSION (and ")


def test_what_is_retired_and_what_is_another_pv_is_no_second_server() -> None:
    other = model("losses", "LOSSES", "L1:LOSS")
    assert list(shared_pvs([sound(), other, model("orbit", "ORBIT", "O1")])) == []
    assert list(shared_pvs([sound(model=retired_model()), model("bpm-faults-2", "BPM-FAULTS", *OUTPUTS)])) == []
