"""A laboratory's own source is found by its entry point and only has to return samples."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from beampermit.datasets.requests import source
from beampermit.datasets.requests.request import request
from beampermit.datasets.requests.source import Options, SampledSource, load_options
from beampermit.datasets.requests.store import Store
from beampermit.errors import BadInput, Failed
from beampermit.progress import Progress
from beampermit.project import Project
from support.data_requests import AT, END, START, rows


class LoggerOptions(Options):
    offset: float = 0.0


class Logger(SampledSource):
    def collect(self, store: Store, progress: Progress) -> dict[str, Any]:
        import numpy as np

        offset = load_options(LoggerOptions, self.query).offset
        for channel in self.query.channels:
            for span in self.query.ranges:
                times = (AT + np.arange(5)) * 1e9
                values = np.arange(5.0)[:, None] + np.arange(channel.size) if channel.size else np.arange(5.0)
                store.keep(channel.pv, span, times.astype(np.int64), values + offset, [0, 0, 0, 3, 1])
        return {"logger": "two"}


@pytest.fixture
def ask_logger(asking: Callable[..., Project], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    def run(value: str = f"{__name__}:Logger", **changes: Any) -> Any:
        point = EntryPoint("logger", value, source.GROUP)
        monkeypatch.setattr(source, "entry_points", lambda group: [point])
        wanted = {
            "source": "logger",
            "signals": [
                {"name": "x", "pv": "X", "unit": "mm"},
                {"name": "wave", "pv": "W", "unit": "mm", "shape": [2]},
            ],
            "ranges": [{"start": START, "end": END}],
            "sampling": {"period": "1s"},
            "gaps": {"max_age": "1s"},
        }
        return request(asking({**wanted, **changes}), lambda *_: None)  # pyright: ignore[reportArgumentType]

    return run


@pytest.mark.slow
def test_its_samples_become_rows(ask_logger: Callable[..., Any], project: Project) -> None:
    said = ask_logger(options={"offset": 0.5}).sidecar
    assert (said["source"], said["origin"]) == ("logger", {"logger": "two"})
    assert rows(project.root, "x, wave, x_severity") == [
        (0.5, [0.5, 1.5], 0),
        (1.5, [1.5, 2.5], 0),
        (2.5, [2.5, 3.5], 0),
        (4.5, [4.5, 5.5], 1),
        (4.5, [4.5, 5.5], 1),
    ]


@pytest.mark.slow
def test_its_numbers_are_no_words_unless_somebody_says_which(ask_logger: Callable[..., Any], project: Project) -> None:
    valve = {"name": "valve", "pv": "X", "words": ["OUT", "IN"]}
    with pytest.raises(Failed, match="the values of X are numbers, and nothing says which words they stood for"):
        ask_logger(signals=[valve])
    ask_logger(signals=[{**valve, "states": ["IN", "OUT", "IN", "OUT", "OUT"]}])
    assert rows(project.root, "valve") == [(1.0,), (0.0,), (1.0,), (0.0,), (0.0,)]


def test_unknown_options_are_named(ask_logger: Callable[..., Any]) -> None:
    with pytest.raises(BadInput, match=r"options\.ofset: unknown key; did you mean 'offset'"):
        ask_logger(options={"ofset": 1})


def test_a_source_that_cannot_be_loaded_is_named(ask_logger: Callable[..., Any]) -> None:
    with pytest.raises(BadInput, match=r"the source 'logger' \(not_there:Logger\) cannot be loaded"):
        ask_logger("not_there:Logger")


@pytest.mark.slow
@pytest.mark.parametrize("source", ["archivr", "acnet"])
def test_an_unknown_source_is_named(asking: Callable[..., Project], source: str) -> None:
    wanted = {
        "source": source,
        "signals": [{"name": "x", "pv": "X", "unit": "1"}],
        "ranges": [{"start": START, "end": END}],
        "sampling": {"period": "1s"},
        "gaps": {"max_age": "1s"},
    }
    installed = "installed are archiver, files, predictions, simulator"
    words = "did you mean 'archiver'" if source == "archivr" else installed
    with pytest.raises(BadInput, match=f"there is no source {source!r}; {words}"):
        request(asking(wanted), lambda *_: None)  # pyright: ignore[reportArgumentType]
