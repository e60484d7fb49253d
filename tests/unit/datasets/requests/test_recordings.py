"""Recorded signals in every format give the same rows as the archiver; problems of a file are named."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from beampermit.datasets.requests.recordings import Recording
from beampermit.datasets.requests.request import RequestResult, request
from beampermit.errors import BadInput, Failed
from beampermit.project import Project
from support.data_requests import AT, END, START, rows
from support.paths import ROOT

pytestmark = pytest.mark.slow

Ask = Callable[..., RequestResult]
CURRENT = {"name": "current", "pv": "BEAM:CURRENT", "unit": "mA"}
TABLE = (
    f"SELECT make_timestamptz(CAST(({AT} + number) * 1000000 AS BIGINT)) AS acquired_at,"
    " 100.0 + number AS current FROM range(10) r(number)"
)


@pytest.fixture
def ask_files(asking: Callable[..., Project]) -> Ask:
    """Ask for the current, from a file; keywords change the request, `options` those of the source."""

    def run(path: str, options: Any = None, parts: Any = None, accept: bool = False, **changes: Any) -> RequestResult:
        wanted = {
            "source": "files",
            "options": {"paths": [path], **(options or {})},
            "signals": [CURRENT],
            "ranges": [{"start": START, "end": END}],
            "sampling": {"period": "1s"},
            "gaps": {"max_age": "1s"},
        }
        project = asking({**wanted, **changes}, **(parts or {}))
        return request(project, lambda *_: None, accept=accept)  # pyright: ignore[reportArgumentType]

    return run


@pytest.fixture
def record(project: Project) -> Callable[..., Path]:
    """Write a recording in SQL: `record("r.parquet", "SELECT ...")`."""

    def write(name: str, sql: str = TABLE, options: str = "") -> Path:
        import duckdb

        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(
                f"COPY ({sql}) TO '{project.root / name}' ({options or 'FORMAT ' + name.partition('.')[2]})"
            )
        return project.root / name

    return write


def currents(project: Project) -> list[float]:
    return [value for (value,) in rows(project.root, "current")]


@pytest.mark.parametrize("name", ["r.parquet", "r.csv"])
def test_a_table_with_a_column_a_signal(
    ask_files: Ask, record: Callable[..., Path], project: Project, name: str
) -> None:
    record(name)
    said = ask_files(name, ranges=[{"start": START, "end": END.replace("10+", "06+")}]).sidecar
    assert currents(project) == list(range(100, 106))
    assert (said["counts"]["samples"], said["counts"]["outside"]) == (6, 0)
    said = ask_files(name, version=2).sidecar
    assert currents(project) == list(range(100, 110))
    assert list(said["origin"]["files"]) == [name]


def test_hdf5_arrays_are_read_with_their_units(ask_files: Ask, project: Project) -> None:
    h5py = pytest.importorskip("h5py", reason="the extra hdf5 is not installed")
    import numpy as np

    with h5py.File(project.root / "r.h5", "w") as file:
        file["beam/time"] = AT + np.arange(10)
        file["beam/current"] = np.arange(100, 110, dtype=">i4")
        file["beam/wave"] = np.arange(30.0).reshape(10, 3)
        file["beam/current"].attrs["units"] = "mA"
    wave = {"name": "wave", "pv": "W", "unit": "1", "shape": [3]}
    names = {"current": "beam/current", "wave": "beam/wave"}
    options = {"time": "beam/time", "epoch": "s", "columns": names}
    ask_files("r.h5", options, signals=[CURRENT, wave])
    assert currents(project) == list(range(100, 110))
    assert rows(project.root, "wave", "LIMIT 2") == [([0.0, 1.0, 2.0],), ([3.0, 4.0, 5.0],)]
    with pytest.raises(Failed, match="beam/current is in mA, the contract says A"):
        ask_files("r.h5", options, signals=[{**CURRENT, "unit": "A"}, wave])
    with pytest.raises(Failed, match="no dataset of a requested signal; it has beam/current, beam/time, beam/wave"):
        ask_files("r.h5", {"time": "t"})


def test_a_notebook_reads_what_the_page_on_notebooks_says(
    ask_files: Ask,
    record: Callable[..., Path],
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    record("r.csv")
    ask_files("r.csv")
    (cell,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/notebooks.md").read_text(), re.DOTALL)
    monkeypatch.chdir(project.root)
    exec(cell, {})  # noqa: S102 - of our own page
    assert capsys.readouterr().out.startswith("files 10 [")


def test_sdds_columns_are_read_page_by_page(ask_files: Ask, project: Project) -> None:
    sdds = pytest.importorskip("pysdds", reason="the extra sdds is not installed")
    import numpy as np
    import pandas as pd  # pyright: ignore[reportMissingImports]

    pages = [
        pd.DataFrame({"Time": AT + np.arange(first, first + 5.0), "current": np.arange(100.0 + first, 105.0 + first)})
        for first in (0, 5)
    ]
    sdds.write(sdds.SDDSFile.from_df(pages), str(project.root / "r.sdds"))
    ask_files("r.sdds", {"time": "Time", "epoch": "s"})
    assert currents(project) == list(range(100, 110))
    (project.root / "r.sdds").write_bytes((project.root / "r.sdds").read_bytes()[:150])
    with pytest.raises(Failed, match=r"r\.sdds: cannot be read"):
        ask_files("r.sdds", {"time": "Time", "epoch": "s"})


@pytest.mark.parametrize("unit", [["mA"], [b"mA", b"mA"], "", None, ["mA", "A"]])
def test_a_unit_of_hdf5_may_be_an_array_or_empty(ask_files: Ask, project: Project, unit: Any) -> None:
    h5py = pytest.importorskip("h5py", reason="the extra hdf5 is not installed")
    import numpy as np

    with h5py.File(project.root / "r.h5", "w") as file:
        file["acquired_at"] = AT + np.arange(10)
        file["current"] = np.arange(100, 110).astype(np.longdouble)
        file["BEAM:CURRENT"] = h5py.Empty("f")
        file["current"].attrs["units"] = h5py.Empty("S1") if unit is None else unit
    if unit == ["mA", "A"]:
        with pytest.raises(Failed, match="current states the units A, mA; one is needed"):
            ask_files("r.h5", {"epoch": "s"})
        return
    ask_files("r.h5", {"epoch": "s"})
    assert currents(project) == list(range(100, 110))
    if unit:
        with pytest.raises(Failed, match="current is in mA, the contract says A"):
            ask_files("r.h5", {"epoch": "s"}, signals=[{**CURRENT, "unit": "A"}])


def test_sdds_as_the_lhc_writes_it_is_read(ask_files: Ask, project: Project) -> None:
    """Arrays instead of columns, and a name of a type that the standard does not have."""
    pytest.importorskip("pysdds", reason="the extra sdds is not installed")
    import numpy as np

    kinds = {"acquired_at": (">i8", "llong"), "current": (">f4", "float")}
    values = {"acquired_at": int(AT) * 1000 + np.arange(10) * 1000, "current": np.arange(100, 110)}
    head = "".join(f"&array name={name}, type={kind} &end\n" for name, (_, kind) in kinds.items())
    body = b"".join(np.array(10, ">i4").tobytes() + values[name].astype(kinds[name][0]).tobytes() for name in kinds)
    (project.root / "r.sdds").write_bytes(
        f"SDDS1\n!# big-endian\n{head}&data mode=binary &end\n".encode() + bytes(4) + body
    )
    ask_files("r.sdds", {"epoch": "ms"})
    assert currents(project) == list(range(100, 110))


def test_a_missing_library_is_named(ask_files: Ask, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    (project.root / "r.sdds").write_bytes(b"SDDS1\n")
    monkeypatch.setitem(sys.modules, "pysdds", None)
    with pytest.raises(BadInput, match="the library that reads SDDS is not installed") as caught:
        ask_files("r.sdds")
    assert caught.value.hint == "pip install 'beampermit[sdds]'"


def test_a_device_column_of_a_file_selects_rows(ask_files: Ask, record: Callable[..., Path], project: Project) -> None:
    devices = "SELECT 'BPM.' || device AS device, * EXCLUDE (device) FROM"
    record(
        "r.parquet",
        f"{devices} (SELECT * REPLACE (current + 1000 * device AS current) FROM ({TABLE}), range(3) d(device))",
    )
    (project.root / "devices.csv").write_text("device\nBPM.0\nBPM.2\n")
    parts = {"signals.devices": "devices.csv"}
    ask_files("r.parquet", parts=parts, signals=[{**CURRENT, "pv": "{device}:CURRENT"}])
    found = rows(project.root, "device, min(current), count(*)", "GROUP BY ALL ORDER BY ALL")
    assert found == [("BPM.0", 100.0, 10), ("BPM.2", 2100.0, 10)]


def test_a_file_is_read_once_for_all_devices(
    ask_files: Ask, record: Callable[..., Path], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    query = Recording.query
    monkeypatch.setattr(Recording, "query", lambda self, sql: asked.append(sql) or query(self, sql))
    devices = "SELECT 'BPM.' || device AS device, * EXCLUDE (device) FROM"
    record("r.csv", f"{devices} (FROM ({TABLE}), range(8) d(device))", "HEADER")
    (project.root / "devices.csv").write_text("device\n" + "".join(f"BPM.{number}\n" for number in range(8)))
    signals = [{**CURRENT, "pv": "{device}:CURRENT"}]
    ask_files("r.csv", parts={"signals.devices": "devices.csv"}, signals=signals)
    assert len(currents(project)) == 80
    reading = [sql for sql in asked if "read_csv" in sql]
    assert len(reading) == 3, "zones, numbers, and the copy by device; none for each PV"


def test_a_pattern_matches_several_files(ask_files: Ask, record: Callable[..., Path], project: Project) -> None:
    record("r1.parquet", f"{TABLE} LIMIT 5")
    record("r2.parquet", f"{TABLE} OFFSET 5")
    ask_files("r*.parquet")
    assert currents(project) == list(range(100, 110))
    with pytest.raises(BadInput, match="no file matches 's\\*"):
        ask_files("s*.parquet")


def test_times_without_a_zone_need_the_option_naive(
    ask_files: Ask, record: Callable[..., Path], project: Project
) -> None:
    naive = f"SELECT * REPLACE (CAST(acquired_at AS TIMESTAMP) AS acquired_at) FROM ({TABLE})"
    for name in ("r.parquet", "r.csv"):
        record(name, naive)
        with pytest.raises(Failed, match="have no zone") as caught:
            ask_files(name)
        assert caught.value.hint.endswith("dataset.request.options.naive: UTC")
        ask_files(name, {"naive": "UTC"}, accept=True)
        assert currents(project) == list(range(100, 110))


def test_numeric_times_need_the_option_epoch(ask_files: Ask, record: Callable[..., Path], project: Project) -> None:
    record("r.parquet", f"SELECT * REPLACE (epoch_ms(acquired_at) AS acquired_at) FROM ({TABLE})")
    with pytest.raises(Failed, match="acquired_at has type BIGINT, which is not a time"):
        ask_files("r.parquet")
    ask_files("r.parquet", {"epoch": "ms"})
    assert currents(project) == list(range(100, 110))


def test_a_severity_column_is_used(ask_files: Ask, record: Callable[..., Path], project: Project) -> None:
    record("r.parquet", f"SELECT *, CASE WHEN current > 104 THEN 3 ELSE 0 END AS current_severity FROM ({TABLE})")
    assert ask_files("r.parquet").sidecar["counts"]["severe"] == 5
    assert currents(project) == [100, 101, 102, 103, 104]


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        (
            f"SELECT * RENAME (current AS currents) FROM ({TABLE})",
            "no column 'current' or 'BEAM:CURRENT'; is it 'currents'",
        ),
        (
            f"SELECT * RENAME (acquired_at AS acquired) FROM ({TABLE})",
            "no time column 'acquired_at'; is it 'acquired'",
        ),
        (f"SELECT * REPLACE ([current] AS current) FROM ({TABLE})", "current has type .*, not numbers"),
        (f"SELECT * REPLACE ('high' AS current) FROM ({TABLE})", "current contains 'high', which is not a number"),
        (f"SELECT * REPLACE (NULL::TIMESTAMPTZ AS acquired_at) FROM ({TABLE})", "10 rows have no time"),
    ],
)
def test_missing_columns_and_wrong_values_are_named(
    ask_files: Ask, record: Callable[..., Path], sql: str, words: str
) -> None:
    record("r.parquet", sql)
    with pytest.raises(Failed, match=rf"r\.parquet: .*{words}"):
        ask_files("r.parquet")


def test_another_unit_in_the_file_fails(ask_files: Ask, record: Callable[..., Path]) -> None:
    record("r.parquet", options='FORMAT parquet, KV_METADATA {units: \'{"current": "A"}\'}')
    with pytest.raises(Failed, match=r"r\.parquet: current is in A, the contract says mA"):
        ask_files("r.parquet")


def test_a_truncated_file_fails(ask_files: Ask, record: Callable[..., Path]) -> None:
    file = record("r.parquet")
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(Failed, match=r"r\.parquet: cannot be read"):
        ask_files("r.parquet")


def test_text_that_is_not_utf8_fails(ask_files: Ask, project: Project) -> None:
    (project.root / "r.csv").write_bytes(b"acquired_at,current\n2026-03-01T07:00:00Z,1\xff\n")
    with pytest.raises(Failed, match=r"r\.csv: cannot be read|is not a number"):
        ask_files("r.csv")


def test_links_pipes_and_outside_files_are_refused(
    ask_files: Ask, record: Callable[..., Path], project: Project
) -> None:
    os.mkfifo(project.root / "pipe.parquet")
    (project.root / "link.parquet").symlink_to("/etc/hostname")
    for path, words in {
        "pipe.parquet": "is a named pipe",
        "link.parquet": "is a link to /etc/hostname",
        "absent.parquet": "the file is missing",
        "../r.parquet": "has the part '..'",
        "/etc/hostname": "is not a relative path",
        "contract.yaml": "recordings with suffix '.yaml' are not supported",
    }.items():
        with pytest.raises(BadInput, match=words):
            ask_files(path)


def test_a_file_name_that_is_not_utf8_is_refused(ask_files: Ask, record: Callable[..., Path], project: Project) -> None:
    record("r.parquet")
    os.link(project.root / "r.parquet", os.fsencode(project.root) + b"/r\xff.parquet")
    with pytest.raises(BadInput, match="is not UTF-8") as caught:
        ask_files("r*.parquet")
    str(caught.value).encode()


def test_a_changed_file_is_reported(ask_files: Ask, record: Callable[..., Path], project: Project) -> None:
    record("r.parquet")
    ask_files("r.parquet")
    record("r.parquet", f"SELECT * REPLACE (current + 1 AS current) FROM ({TABLE})")
    with pytest.raises(Failed, match="current changed in 10 rows"):
        ask_files("r.parquet")


def test_columns_of_no_signal_are_refused(ask_files: Ask, record: Callable[..., Path]) -> None:
    record("r.parquet")
    with pytest.raises(BadInput, match=r"options\.columns: 'curent' is not a signal of the request"):
        ask_files("r.parquet", {"columns": {"curent": "x"}})
