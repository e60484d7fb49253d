"""Truth of PVs: real ones, subscribed and kept; or as an archiver has them. Joined by device and time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from beampermit.changes.contract_changes import compare_contracts
from beampermit.contract import Contract, parse_contract
from beampermit.errors import BadInput, Outside
from beampermit.monitoring import truth_recorder
from beampermit.monitoring.quality import Truth, compare, device_text, quality
from beampermit.monitoring.truth_archive import TruthArchive
from beampermit.monitoring.truth_pvs import Samples, TruthPv, truth_of, truth_pvs
from beampermit.monitoring.truth_recorder import TruthRecorder
from beampermit.monitoring.truth_samples import MOST_FILES, SampleFiles
from support.archiver import Archiver, sample
from support.epics import Ioc, Network, epics, pva_server, until
from support.monitored import BEGAN, DEVICES, SIGNALS, answers, drawn, log_rows, monitored_text, usual_limits

__all__ = ["epics"]
CYCLES = 30
NOW = BEGAN + 3600
INVALID = 3


def told_text(text: str, score: str | None = "{device}:TRUTH", **keys: Any) -> str:
    """The monitored contract, where a PV says later what `score` should have been; `keys` of that output."""
    found = yaml.safe_load(monitored_text(text))
    outputs = [dict(output) for output in SIGNALS["outputs"]]
    outputs[0] |= {**({"target_pv": score} if score else {}), **keys}
    return yaml.safe_dump({**found, "signals": {**SIGNALS, "outputs": outputs}})


@pytest.fixture
def contract(contract_text: str) -> Contract:
    return parse_contract(told_text(contract_text))


@pytest.fixture
def log(tmp_path: Path, contract: Contract) -> Path:
    """With the device table beside it."""
    return log_rows(tmp_path, contract, drawn(CYCLES * len(DEVICES)))


def posted(cycle: int, error: float = 0.1) -> dict[str, float]:
    """What the PVs say of a cycle."""
    scores = answers(drawn(CYCLES * len(DEVICES)))["score"].reshape(CYCLES, -1)
    return {f"{device}:TRUTH": float(scores[cycle, place]) + error for place, device in enumerate(DEVICES)}


@pytest.fixture(scope="module")
def server(epics: Network) -> Iterator[Ioc]:
    with pva_server(epics, {f"{device}:TRUTH": {"nt": "d", "value": 0.0} for device in DEVICES}) as ioc:
        yield ioc


def newest(recorder: TruthRecorder) -> Mapping[str, tuple[float, float]]:
    """PV -> time and value of what arrived last."""
    found = recorder.read(0.0, NOW)
    return {pv: (float(of.time[-1]), float(of.values[-1, 0])) for pv, of in found.items()}


@pytest.fixture
def recorder(tmp_path: Path, log: Path, contract: Contract, server: Ioc) -> Iterator[TruthRecorder]:
    made = TruthRecorder(tmp_path / "truth", lambda: NOW)
    made.follow(truth_pvs(contract, log.parent), contract)
    yield made
    made.close()


@pytest.mark.slow
def test_what_pvs_say_later_is_compared_with_the_rows_of_their_devices(
    recorder: TruthRecorder, server: Ioc, tmp_path: Path, log: Path, contract: Contract, contract_text: str
) -> None:
    for cycle in range(CYCLES):
        values = posted(cycle)
        server.set_all(values, timestamp=BEGAN + 2.0 * cycle)
        until(lambda values=values: {pv: value for pv, (_, value) in newest(recorder).items()} == values)
    recorder.close()
    again = TruthRecorder(tmp_path / "truth", lambda: NOW)  # what was said before a restart is known
    pvs = truth_pvs(contract, log.parent)
    again.follow(pvs, contract)
    truth = compare(truth_of(pvs, again.read(0.0, NOW), NOW, 0.0), log, contract, NOW)
    assert again.faults() == []
    again.close()
    found = {one.subject: one for one in quality([truth], contract, usual_limits(contract_text), NOW)}
    assert found["score"].value == pytest.approx(0.1)
    assert found["score"].detail.startswith("mean distance of 90 rows")
    assert found["truth"].value == pytest.approx(3600 - 58)


@pytest.mark.parametrize(
    ("value", "said", "note"),
    [
        (5.0, {"severity": INVALID, "timestamp": NOW}, "INVALID"),
        (5.0, {"severity": 2, "timestamp": NOW + 9}, ""),
        (5.0, {"timestamp": NOW + 11}, "of the future"),
        (5.0, {"timestamp": 0}, "INVALID"),
        (float("nan"), {"timestamp": NOW}, "no number"),
    ],
    ids=["INVALID", "just inside", "of the future", "without a time", "no number"],
)
def test_a_sample_that_is_no_truth_does_not_count_and_is_said(
    recorder: TruthRecorder, server: Ioc, contract: Contract, log: Path, value: float, said: Any, note: str
) -> None:
    pvs, asked = truth_pvs(contract, log.parent), {f"{device}:TRUTH" for device in DEVICES}
    server.set_all(dict.fromkeys(asked, 1.0), timestamp=BEGAN)
    until(lambda: {one for one, (_, value) in newest(recorder).items() if value == 1.0} == asked)
    before = recorder.note(pvs[:1])
    server.set("B1:TRUTH", value, **said)
    if note:
        until(lambda: recorder.note(pvs[:1]) != before)
        assert newest(recorder)["B1:TRUTH"] == (BEGAN, 1.0)
        assert note in recorder.note(pvs[:1])
    else:
        until(lambda: newest(recorder)["B1:TRUTH"] == (NOW + 9, 5.0))


@pytest.mark.slow
def test_a_truth_pv_that_is_gone_or_was_never_there_is_said(
    epics: Network, tmp_path: Path, log: Path, contract_text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(truth_recorder, "CONNECTED", 0.1)
    contract = parse_contract(told_text(contract_text, "OTHER:{device}"))
    recorder = TruthRecorder(tmp_path / "truth", lambda: NOW)
    served = {"OTHER:B1": {"nt": "d", "value": 1.0, "timestamp": NOW}, "OTHER:B2": {"nt": "s", "value": "off"}}
    with pva_server(epics, served) as ioc:
        recorder.follow(truth_pvs(contract, log.parent), contract)
        wrong = ["OTHER:B2 has text 'off' instead of a number", "OTHER:B3 has sent nothing yet"]
        until(lambda: recorder.faults() == wrong)
        ioc.kill()
        until(lambda: recorder.faults()[0] == "OTHER:B1 is disconnected")
        ioc.start(served)
        until(lambda: recorder.faults() == wrong)
    recorder.close()


def test_of_what_comes_twice_the_last_one_counts_and_each_device_has_its_own(contract: Contract) -> None:
    output = contract.signals.outputs[0]
    first, both = TruthPv("A", output, ("d1",)), TruthPv("B", output, ("d2", "d3"))
    samples = {
        "A": Samples(np.array([30.0, 20.0, 20.0]), np.array([[3.0], [1.0], [2.0]])),
        "B": Samples(np.array([20.0, 60.0]), np.array([[7.0], [8.0]])),
    }
    truth = truth_of([first, both], samples, until=50.0, lag=10.0)
    assert truth.device.tolist() == ["d1", "d1", "d2", "d3"]
    assert truth.time.tolist() == [10.0, 20.0, 10.0, 10.0]
    assert truth.values["score"][:, 0].tolist() == [2.0, 3.0, 7.0, 7.0]
    assert len(truth_of([first, both], samples, until=50.1, lag=10.0).time) == 6
    assert not len(truth_of([first], {}, until=50.0, lag=0.0).time)


def test_of_several_outputs_that_whose_truth_is_oldest_is_told(contract: Contract, contract_text: str) -> None:
    limits = usual_limits(contract_text)
    late, never = Truth(np.array([NOW - 5.0]), np.array(["d"]), {"score": np.ones((1, 1))}), Truth.none(["orbit"])
    (one,) = quality([late], contract, limits, NOW)
    assert (one.value, one.detail) == (5.0, "the newest truth is so old")
    (one,) = quality([late, never], contract, limits, NOW)
    assert (one.exceeded, one.detail) == (True, "no truth of orbit has arrived")


@pytest.mark.slow
def test_a_pv_may_name_devices_by_another_column_than_the_outputs(tmp_path: Path, contract_text: str) -> None:
    (tmp_path / "devices.csv").write_text("device,monitor\nB1,M7\nB2,M8\nB3,M8\n")
    contract = parse_contract(told_text(contract_text, "pva://{monitor}:T#x"))
    found = {one.pv: one.devices for one in truth_pvs(contract, tmp_path)}
    assert found == {
        "pva://M7:T#x": (device_text(["B1"]),),
        "pva://M8:T#x": (device_text(["B2"]), device_text(["B3"])),
    }
    with pytest.raises(BadInput, match="is a column of a table, which no archiver has"):
        TruthArchive("http://127.0.0.1:1").follow(truth_pvs(contract, tmp_path), contract)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"score": "{device}:FAULT"}, "target_pv {device}:FAULT is served by the model itself"),
        ({"score": "ca://{device}:FAULT"}, "is served by the model itself"),
        ({"target": None}, "output 'score' has a target_pv, but no target to make its limit from"),
    ],
)
def test_a_pv_that_cannot_be_the_truth_is_refused(contract_text: str, keys: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        parse_contract(told_text(contract_text, **keys))


@pytest.mark.slow
def test_files_of_samples_become_one_and_old_ones_end(tmp_path: Path) -> None:
    files = SampleFiles(tmp_path)
    for number in range(MOST_FILES + 1):
        files.write(["A", "B"], [100.0 + number, 5.0], [np.array([number]), np.arange(3.0)])
    assert len([*tmp_path.iterdir()]) == MOST_FILES + 1
    files.tidy(110.0)
    assert len([*tmp_path.iterdir()]) == 1
    found = files.read(0.0, {"A": 1, "B": 3})
    assert found["A"].values[:, 0].tolist() == [*range(10, MOST_FILES + 1)]
    assert "B" not in found
    files.tidy(100.0 + MOST_FILES)
    assert [*tmp_path.iterdir()]
    files.tidy(100.1 + MOST_FILES)
    assert not [*tmp_path.iterdir()]


def test_a_damaged_file_of_samples_is_left_out_and_said(tmp_path: Path, contract: Contract) -> None:
    files = SampleFiles(tmp_path / "truth")
    for at in (1.0, 2.0, 3.0):
        files.write(["A"], [at], [np.array([at])])
    (tmp_path / "truth/000000000001.parquet").write_bytes(b"PAR1 no table PAR1")
    recorder = TruthRecorder(tmp_path / "truth", lambda: NOW)
    recorder.follow((), contract)
    assert files.read(0.0, {"A": 1})["A"].time.tolist() == [1.0, 3.0]
    recorder.read(0.0, 10.0)
    assert recorder.faults()[0].startswith("000000000001.parquet cannot be read: ")


def test_samples_that_cannot_be_written_are_known_meanwhile(tmp_path: Path, contract: Contract) -> None:
    blocked = tmp_path / "truth"
    recorder = TruthRecorder(blocked, lambda: NOW)
    recorder._followed, recorder._keep = (TruthPv("A", contract.signals.outputs[0], ("d",)),), 1e12
    blocked.write_text("a file is in the way")
    recorder.keep("A", 1.0, np.array([1.0]))
    assert recorder.read(0.0, NOW)["A"].time.tolist() == [1.0]
    blocked.unlink()
    recorder.keep("A", 2.0, np.array([2.0]))
    assert recorder.read(0.0, NOW)["A"].time.tolist() == [1.0, 2.0]
    assert [*blocked.iterdir()]


@pytest.fixture
def archiver() -> Iterator[Archiver]:
    with Archiver().serve() as made:
        yield made


@pytest.mark.slow
def test_an_archiver_knows_what_pvs_said(archiver: Archiver, log: Path, contract: Contract, contract_text: str) -> None:
    pvs = truth_pvs(contract, log.parent)
    for device in DEVICES:
        said = [sample(BEGAN + 2.0 * cycle, posted(cycle)[f"{device}:TRUTH"]) for cycle in range(CYCLES)]
        archiver.add(f"{device}:TRUTH", [sample(BEGAN - 100, 50.0), *said, sample(BEGAN + 60, 50.0, INVALID)], "mm")
    source = TruthArchive(archiver.url)
    source.follow(pvs, contract)
    truth = truth_of(pvs, source.read(BEGAN - 10, NOW), NOW, 0.0)
    assert len(truth.time) == CYCLES * len(DEVICES)
    truth = compare(truth, log, contract, NOW)
    found = {one.subject: one for one in quality([truth], contract, usual_limits(contract_text), NOW)}
    assert found["score"].value == pytest.approx(0.1)
    del archiver.samples["B2:TRUTH"]
    with pytest.raises(BadInput, match="the archiver does not know the PV 'B2:TRUTH'"):
        source.read(BEGAN - 10, NOW)


@pytest.mark.slow
def test_an_archiver_that_is_not_there_is_the_outside_world(log: Path, contract: Contract) -> None:
    with pytest.raises(BadInput, match="--truth archiver:nowhere: url: expected an address such as"):
        TruthArchive("nowhere")
    source = TruthArchive("http://127.0.0.1:1")
    source.follow(truth_pvs(contract, log.parent), contract)
    with pytest.raises(Outside, match=r"the archiver at http://127\.0\.0\.1:1 does not return"):
        source.read(BEGAN, NOW)


@pytest.mark.slow
def test_another_truth_or_a_wider_bound_is_looser_in_a_pull_request(contract_text: str) -> None:
    said = {}
    for name, pv, lag in (("none", None, None), ("one", "{device}:TRUTH", "1s"), ("other", "{device}:EASY", "2s")):
        made = told_text(contract_text, pv)
        if lag:
            made = made.replace("monitoring:\n", f"monitoring:\n  truth_lag: {lag}\n")
        said[name] = parse_contract(made)
    changes = compare_contracts(said["one"], said["other"])
    assert {one.key: one.looser for one in changes.gates} == {
        "monitoring.truth_lag": True,
        "signals.outputs.score.target_pv": True,
    }
    removed, added = compare_contracts(said["one"], said["none"]), compare_contracts(said["none"], said["one"])
    assert "signals.outputs.score.target_pv" in {one.key for one in removed.looser}
    assert [one.key for one in added.looser] == ["monitoring.truth_lag"]  # 0 s before
