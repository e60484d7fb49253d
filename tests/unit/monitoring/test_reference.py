"""What is measured of rows, and the limits of a reference: the same in Beampermit and in a project."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from beampermit.monitoring import reference
from support.monitored import content_of, drawn, limits_of, monitored_contract
from support.paths import ROOT

PIPELINE = ROOT / "template/{{cookiecutter.project_slug}}/src/{{cookiecutter.package_name}}/pipeline"


def drift(reference_rows: np.ndarray, rows: np.ndarray) -> tuple[float, float]:
    """Of one scalar: the index and its limit."""
    found = reference.limits({"x": reference_rows}, {}, expected={"x": (-np.inf, np.inf)}, alarms={}, truth={})
    of = found["inputs"]["x"]["numbers"]["x"]
    counts = reference.counts_of(np.array(of["edges"]), rows)
    limit = reference.limit_in(of["limit"], 0.0, found["window"], int(counts.sum()), 1.0)
    return reference.stability(np.array(of["shares"]), counts, found["window"]), limit


def walk(rows: int, seed: int, memory: float = 0.99) -> np.ndarray:
    """Each value remembers the one before it; mean 0, standard deviation 1."""
    draw = np.random.default_rng(seed).normal(0, np.sqrt(1 - memory**2), rows)
    draw[0] /= np.sqrt(1 - memory**2)
    for row in range(1, rows):
        draw[row] += memory * draw[row - 1]
    return draw


@pytest.mark.parametrize("rows", [20, 60, 120, 360, 999, 1000])
def test_a_limit_that_few_rows_widen_can_be_exceeded(rows: int) -> None:
    found = reference.limits({"x": walk(8000, 2)}, {}, expected={"x": (-np.inf, np.inf)}, alarms={}, truth={})
    of = found["inputs"]["x"]["numbers"]["x"]
    most = reference.largest(np.array(of["shares"]), found["window"], rows)
    limit = reference.limit_in(of["limit"], 0.0, found["window"], rows, 1.0, most)
    assert limit < most
    if rows == 1000:
        assert limit == of["limit"]
        return
    assert limit >= 0.9 * most or limit == pytest.approx(of["limit"] * 1000 / rows)  # and no lower than needed
    share = reference.limit_in(0.37, 0.04, 1000, rows, 0.5, 1.0)
    assert share == pytest.approx(min(0.37 + 0.75 * 0.63, 0.04 + 0.33 * (1000 / rows) ** 0.5))


def test_settings_that_changed_late_in_the_reference_leave_the_distance_a_limit_within_reach() -> None:
    rows = {f"s{number}": np.random.default_rng(number).normal(size=4000) for number in range(5)}
    for name, step in (("s0", 30.0), ("s1", 30.0), ("s2", -30.0)):
        rows[name][3000:] += step
    found = reference.limits_of_inputs(rows, dict.fromkeys(rows, (-np.inf, np.inf)), 5)["together"]
    assert found["usual"] < found["limit"] < reference.FARTHEST_ROW


def test_a_project_computes_with_the_same_file() -> None:
    own = Path(reference.__file__).read_bytes()
    assert (PIPELINE / "reference.py").read_bytes() == own


def test_numbers_of_an_array_are_its_mean_spread_span_and_largest_step() -> None:
    found = reference.numbers("turns", np.array([[1.0, 3.0, 8.0], [0.0, np.nan, 1.0]]))
    first = {name: values[0] for name, values in found.items()}
    expected = {"turns.mean": 4.0, "turns.std": np.std([1, 3, 8]), "turns.span": 7.0, "turns.step": 5.0}
    assert first == pytest.approx(expected, rel=1e-6)
    assert all(np.isnan(values[1]) for values in found.values())
    assert [*reference.numbers("one", np.ones((2, 1)))] == ["one.mean", "one.std", "one.span", "one.step"]


@pytest.mark.parametrize(
    ("usual", "odd"),
    [
        (np.full(400, 2.0), np.full(60, 2.001)),
        (np.full(400, 0.0), np.full(60, -1e-6)),
        (np.repeat([0.0, 1.0], [380, 20]), np.full(60, 1.0)),
        (np.repeat([0.0, 1.0], 200), np.full(60, 2.0)),
        (np.repeat([0.0, 1.0], 200), np.full(60, -1.0)),
        (np.linspace(0, 1, 400) % 0.25, np.full(60, 7.0)),
    ],
    ids=["constant", "zero", "rare value", "new value above", "new value below", "far away"],
)
def test_constant_and_discrete_numbers_drift_when_they_change(usual: np.ndarray, odd: np.ndarray) -> None:
    shuffled = np.random.default_rng(0).permutation(usual)
    index, limit = drift(shuffled, shuffled[:60])
    assert index < limit
    index, limit = drift(shuffled, odd)
    assert index > limit


def test_a_constant_that_is_rounded_elsewhere_does_not_drift() -> None:
    index, limit = drift(np.full(400, 499_654_000.0), np.full(60, 499_654_000.0 * (1 + 1e-9)))
    assert index < limit


@pytest.mark.parametrize(("odd", "beyond"), [(1, False), (12, True)])
def test_one_odd_row_of_a_constant_is_chance_and_many_are_not(odd: int, beyond: bool) -> None:
    index, limit = drift(np.full(400, 2.0), np.repeat([2.0, 3.0], [60 - odd, odd]))
    assert (index > limit) == beyond


@pytest.mark.parametrize("rows", [1, 2, 5, 19, 20, 45, 400])
def test_a_reference_of_any_size_has_positive_limits_and_is_within_them(rows: int, contract_text: str) -> None:
    contract, inputs = monitored_contract(contract_text), drawn(rows)
    inputs["lifetime"][0] = np.nan
    limits = limits_of(inputs, contract)
    assert all(np.isfinite(limits.limit(key)) and limits.limit(key) > 0 for key in limits.keys)
    assert (limits.together is None) == (rows < 21)  # one row has no lifetime
    if rows > 1:
        assert "MON001 lifetime" in limits.keys
        assert drift(inputs["current"], inputs["current"])[0] < limits.limit("MON001 current")


@pytest.mark.slow
def test_independent_rows_are_seldom_beyond_a_limit_and_a_shift_of_half_a_sigma_is_seen() -> None:
    draw = np.random.default_rng(1)
    usual, windows = draw.normal(size=2000), draw.normal(size=(300, 250))
    assert sum(index > limit for index, limit in (drift(usual, window) for window in windows[:100])) <= 1
    assert sum(index > limit for index, limit in (drift(usual, window + 0.5) for window in windows[:30])) >= 24


@pytest.mark.slow
def test_rows_that_remember_are_not_taken_for_drift() -> None:
    """Limits for independent rows would call 95 of 100 such windows drift."""
    usual = walk(8000, 1)
    found = [drift(usual, walk(1000, seed)) for seed in range(2, 62)]
    assert sum(index > limit for index, limit in found) <= 3
    chance = reference._chi_square(reference.BINS - 1, 1e-3) * (1 / 1000 + 1 / 8000)
    assert sum(index > chance for index, _ in found) >= 50


def test_rows_in_one_bin_are_as_far_away_however_many_they_are() -> None:
    usual = np.random.default_rng(0).normal(size=800)
    found = [drift(usual, np.full(rows, 9.0))[0] for rows in (100, 1000, 100_000)]
    assert found == pytest.approx([found[0]] * 3)


def test_where_windows_of_the_reference_differ_much_a_limit_is_reached_all_the_same() -> None:
    """A machine with a setting for each window: nothing is further away than the outermost one, by much."""
    index, limit = drift(walk(800, 1, 0.97), np.full(100, 9.0))
    assert index > limit, "twice the worst window is more than there is"
    steps = np.repeat([3.0, 1.0, 4.0, 2.0, 6.0, 5.0, 8.0, 7.0], 100) + np.random.default_rng(0).normal(0, 0.01, 800)
    for rows in (100, 3000):
        index, limit = drift(steps, np.resize(steps[200:300], rows))
        assert index < limit
    assert drift(steps, np.full(100, 99.0))[0] == pytest.approx(drift(steps, np.full(100, 8.1))[0])


def test_a_window_of_fewer_rows_has_a_wider_limit() -> None:
    usual = np.random.default_rng(0).normal(size=8000)
    (_, narrow), (_, wide), (_, widest) = (drift(usual, usual[:rows]) for rows in (4000, 500, 50))
    assert wide == pytest.approx(2 * narrow, rel=1e-6)
    assert widest == pytest.approx(20 * narrow, rel=1e-6)


def test_a_broken_correlation_is_seen_in_all_inputs_together_alone(contract_text: str) -> None:
    contract = monitored_contract(contract_text)
    limits, odd = limits_of(drawn(1500), contract), drawn(600, 1)
    assert limits.together is not None
    fitted = limits.together.model_dump()
    matrix = np.concatenate(reference.columns(odd), axis=1)
    assert reference.distances(matrix, fitted).mean() < limits.limit("MON002")
    odd["lifetime"] = odd["lifetime"][::-1]  # as often each value, at another current
    matrix = np.concatenate(reference.columns(odd), axis=1)
    assert reference.distances(matrix, fitted).mean() > 2 * limits.limit("MON002")
    index, limit = drift(drawn(1500)["lifetime"], odd["lifetime"])
    assert index < limit


def test_inputs_that_are_exact_copies_are_compared_too() -> None:
    current = np.random.default_rng(0).normal(size=400)
    found = reference.limits(
        {"a": current, "b": 2 * current}, {}, expected={"a": (-9, 9), "b": (-9, 9)}, alarms={}, truth={}
    )["together"]
    assert (len(found["components"]), found["rest"]) == (1, reference.SMALLEST)
    odd = np.stack([current, 2 * np.roll(current, 1)], axis=1)
    assert reference.distances(odd, found).mean() > found["limit"]
    assert reference.distances(np.stack([current, 2 * current], axis=1), found).mean() < found["limit"]


@pytest.mark.slow
def test_of_many_inputs_as_many_are_compared_together_as_a_file_can_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "MOST_COLUMNS", 50)
    draw = np.random.default_rng(0)
    inputs = {f"x{number}": draw.normal(size=300) for number in range(60)}
    inputs["image"] = draw.normal(size=(300, 20, 20))
    found = reference.limits(inputs, {}, expected=dict.fromkeys(inputs, (-9.0, 9.0)), alarms={}, truth={})
    assert len(found["inputs"]) == 61
    assert len(found["together"]["centre"]) == 50
    assert len(found["together"]["components"]) == reference.COMPONENTS


def test_the_content_is_the_same_each_time(contract_text: str) -> None:
    contract = monitored_contract(contract_text)
    assert content_of(drawn(300), contract) == content_of(drawn(300), contract)
