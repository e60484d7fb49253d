"""`beampermit backtest`: alarms that the monitor would have raised, and limits that it should have."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beampermit.cli.compute_options import AtOnce, Cores, Memory, On, Partition, Time, Work, resources_of
from beampermit.cli.output import Folder, Json, console, plain, show, shown_progress

if TYPE_CHECKING:
    from beampermit.monitoring.backtest.backtest import Backtest, Expected
    from beampermit.monitoring.backtest.recorded import Recording

LISTED = 10
"""Checks and inputs that are printed."""


def backtest(
    recorded: Annotated[
        Path, typer.Argument(metavar="FOLDER|TABLE", help="A prediction log, or a table of `beampermit replay`.")
    ],
    since: Annotated[
        str, typer.Option("--from", metavar="TIME", help="First time, with a zone, or so long ago.", show_default="all")
    ] = "",
    until: Annotated[
        str, typer.Option("--to", metavar="TIME", help="The same of the end, which is excluded.", show_default="all")
    ] = "",
    false_alarms: Annotated[
        float | None,
        typer.Option(min=0.01, max=1000, help="Find limits for at most so many false alarms...", show_default="none"),
    ] = None,
    weeks: Annotated[float, typer.Option(min=0.1, max=1000, help="... in so many weeks.")] = 4.0,
    of_inputs: Annotated[
        bool,
        typer.Option("--inputs-only", help="Judge MON001 to MON003 alone: limits of outputs change with training."),
    ] = False,
    write: Annotated[bool, typer.Option("--write", help="Write these limits to calibration.json.")] = False,
    shifts: Annotated[bool, typer.Option(help="Say how large a shift of which input is seen.")] = True,
    on: On = None,
    cores: Cores = None,
    memory: Memory = None,
    time: Time = None,
    partition: Partition = None,
    at_once: AtOnce = None,
    work: Work = None,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Judge recorded data as the monitor would.

    Says how many alarms a week the limits give, which limits give at most so many, and how large a shift of an input is
    seen after how long. Recorded data should be of good operation: every alarm counts as a false one.

    Days are judged at the same time, here or on a cluster (--on), and not judged again while log, limits and contract
    stay the same.
    """
    from beampermit.compute.executor import open_executor
    from beampermit.errors import BadInput
    from beampermit.files import write_json
    from beampermit.monitoring.backtest.backtest import backtest as run
    from beampermit.monitoring.backtest.backtest import calibration_of
    from beampermit.monitoring.backtest.days import measure_by_days
    from beampermit.monitoring.backtest.parts import digest_of
    from beampermit.monitoring.backtest.recorded import opened
    from beampermit.monitoring.limits import read_limits
    from beampermit.processes import ended_by_signals
    from beampermit.project import Project

    if write and false_alarms is None:
        raise BadInput(
            "--write needs --false-alarms", hint="beampermit backtest LOG --false-alarms 1 --weeks 4 --write"
        )
    found = Project.find(project.resolve())
    contract = found.contract
    resources = resources_of(on, cores, None, memory, time, partition, at_once, None, work)
    folder = resources.folder()
    opening = open_executor(resources.on, resources, folder)  # says what is wrong with --on before anything is done
    limits = read_limits(found.root, contract)
    with ended_by_signals(), opened(recorded, contract.model.name, folder) as log, shown_progress() as progress:
        recording = _recording(log, contract, since, until)
        with opening as executor:
            made = run(
                recording,
                limits,
                false_alarms=false_alarms,
                in_weeks=weeks,
                of_inputs=of_inputs,
                shifts=shifts,
                judge=partial(measure_by_days, executor=executor, work=folder),
                progress=progress,
            )
        data = digest_of(recorded, recording) if write else None
    written = ""
    if write and false_alarms is not None:
        file = found.path(contract.monitoring.calibration)
        calibration = calibration_of(made, recording, false_alarms, weeks, data)
        write_json(file, calibration.model_dump(mode="json"))
        written = contract.monitoring.calibration
    show(_as_json(made, recording, written), lambda: _print(made, recording, written), as_json)


def _recording(log: Path, contract: Any, since: str, until: str) -> Recording:
    from beampermit.errors import BadInput
    from beampermit.live.log.reading import parse_moment
    from beampermit.monitoring.backtest.recorded import Recording, span_of

    first, last = span_of(log, contract.model.name)
    begin = parse_moment(since).timestamp() if since else first
    end = parse_moment(until).timestamp() if until else last
    if end - begin < contract.monitoring.window:
        window = f"{contract.monitoring.window:g} s, a window (monitoring.window)"
        raise BadInput(f"there are {max(end - begin, 0):g} s from --from to --to, less than {window}")
    return Recording(log, contract, begin, end)


def _as_json(made: Backtest, recording: Recording, written: str) -> dict[str, Any]:
    body: dict[str, Any] = {
        "from": recording.since,
        "to": recording.until,
        "windows": made.series.judged,
        "rows": made.series.rows,
        "notes": list(made.series.notes),
        "now": _expected(made.now),
        "shifts": [vars(one) for one in made.shifts],
        "written": written,
    }
    if made.calibrated and made.after:
        body["calibrated"] = {
            "limits": dict(made.calibrated.limits),
            "kept": list(made.calibrated.kept),
            "extrapolated": made.calibrated.extrapolated,
            **_expected(made.after),
        }
    return body


def _expected(of: Expected) -> dict[str, Any]:
    mean, low, high = of.per_week
    return {
        "episodes": of.episodes,
        "weeks": of.weeks,
        "per_week": mean,
        "per_week_between": [low, high],
        "alarms": [{"of": one.key, "since": one.since, "until": one.until} for one in of.alarms],
    }


def _print(made: Backtest, recording: Recording, written: str) -> None:
    from beampermit.monitoring.backtest.shifts import shown_sizes

    target = console()
    target.print(
        f"{made.series.judged} windows of {recording.contract.monitoring.window:g} s, {made.series.rows:,} rows"
    )
    for note in made.series.notes[:LISTED]:
        target.print(f"  {plain(note)}")
    target.print(f"with limits as they are: {_said(made.now)}")
    for key, count in made.now.by_key[:LISTED]:
        target.print(f"  {count:>5}  {plain(key)}")
    if made.calibrated and made.after:
        target.print(f"with calibrated limits: {_said(made.after)}")
        if made.calibrated.extrapolated:
            target.print("  the record is too short to show so few: its highest values were continued")
        for key, limit in sorted(made.calibrated.limits.items()):
            target.print(f"  {limit:>10.4g}  {plain(key)} (now {_usual(made, key)})")
    for line in list(shown_sizes(made.shifts))[:LISTED]:
        target.print(plain(line))
    if written:
        target.print(f"wrote {written}: commit it, and the pull request shows what it changes")


def _said(of: Expected) -> str:
    from beampermit.errors import counted

    mean, low, high = of.per_week
    found = f"{counted(of.episodes, 'time')} in alarm in {of.weeks:.2g} weeks"
    return f"{mean:.2g} alarms a week ({low:.2g} to {high:.2g} with 90 % confidence; {found})"


def _usual(made: Backtest, key: str) -> str:
    import numpy as np

    limits = made.series.limits.get(key)
    return "not judged" if limits is None else f"{float(np.nanmedian(limits)):.4g}"
