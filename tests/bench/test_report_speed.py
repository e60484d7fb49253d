"""What a large report costs: 200 verdicts and 50 plots, as a comment, as a page, as drawings, and read again."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from math import sin
from typing import Any

import pytest

from beampermit.changes.flat import Change
from beampermit.documents import charts, rendering
from beampermit.documents.plots import ENOUGH, Curve, Lines, Plots
from beampermit.documents.report import Report, bound_report, read_report
from beampermit.verdicts.merge import merge_verdicts
from beampermit.verdicts.verdict import Location, Outcome, Verdict

VERDICTS, PLOTS = 200, 50


def verdict(number: int) -> Verdict:
    passed = number % 4 != 0
    return Verdict(
        id=f"{('ENV', 'DAT', 'TST', 'MDL')[number % 4]}{number:03}",
        title="Rows keep the contract",
        outcome=Outcome.PASSED if passed else Outcome.FAILED,
        reason=f"row {number}: `turns` is 21.5 mm | outside [-20, 20] in @data_{number}",
        fix="" if passed else "Run `dvc repro`.\n\nThen commit.",
        locations=() if passed else (Location(file="data/raw.parquet", line=number),),
    )


def large() -> Report:
    points = tuple((place / ENOUGH, abs(sin(place / 9))) for place in range(ENOUGH))
    curves = (Curve(name="a", points=points), Curve(name="b", points=points))
    charts = tuple(Lines(title=f"Curve {n}", x="x", y="y", curves=curves) for n in range(PLOTS))
    return Report(
        name="bpm-faults",
        judged=merge_verdicts(map(verdict, range(VERDICTS)), {}),
        commit="a" * 40,
        head="b" * 40,
        tree="c" * 40,
        base=None,
        packages=tuple(Change(f"package-{n}", "1.0", "1.1") for n in range(300)),
        plots=Plots(charts=charts),
    )


@pytest.mark.bench
def test_report() -> None:
    found = large()
    text = found.json_text().encode()
    images = charts.png_images(found.plots)
    steps: dict[str, Callable[[], Any]] = {
        "kept within its bounds": lambda: bound_report(found),
        "report.json read again": lambda: read_report(text, {}),
        "report.md": found.markdown,
        "summary.md": found.step_summary,
        "plots/*.png": lambda: charts.png_images(found.plots),
        "report.html, from the drawings": lambda: found.html(images),
    }
    sizes = {
        "report.json read again": len(text),
        "report.md": rendering.length(found.markdown()),
        "summary.md": len(found.step_summary().encode()),
        "plots/*.png": sum(map(len, images.values())),
        "report.html, from the drawings": len(found.html(images).encode()),
    }
    for name, step in steps.items():
        start = time.process_time()
        step()
        seconds = time.process_time() - start
        size = f", {sizes[name] / 1024:.0f} KiB" if name in sizes else ""
        sys.stdout.write(f"\n{name}: {seconds:.2f} s CPU{size}")
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(
        f"\n{VERDICTS} verdicts, {PLOTS} plots; the process, tests with it: {resident:.0f} MiB at its peak\n"
    )
