"""Promotion, rollback and reconcile beside 1,000 models of 100 versions and 10,000 events, against beside nothing.

`REGISTRY_MODELS`, `REGISTRY_VERSIONS` and `LEDGER_EVENTS` ask for other sizes; what is printed is of the size that ran.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from beampermit.digest import manifest
from beampermit.permit import keys
from beampermit.registry.event import Event
from beampermit.registry.ledger import BRANCH, Ledger
from beampermit.registry.ledger_state import LEDGER_FILE, LedgerState, format_line
from support.registry_project import MODEL, Laboratory, database, found_laboratory, sign_promotion

__all__ = ["database"]
pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]
MODELS = int(os.environ.get("REGISTRY_MODELS", "1000"))
VERSIONS = int(os.environ.get("REGISTRY_VERSIONS", "100"))
EVENTS = int(os.environ.get("LEDGER_EVENTS", "10000"))
Say = Callable[[str], None]


def _spent(action: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the clock and of CPU, children included, that an action takes."""
    before, start = os.times(), time.perf_counter()
    action()
    after = os.times()
    return time.perf_counter() - start, sum(after[:4]) - sum(before[:4])


def _digest(number: int) -> str:
    return f"sha256:{number:064x}"


def _events(commit: str, versions: int, total: int) -> Iterator[Event]:
    """Promotions of `versions` versions of our model, and of others as often as the total asks for."""
    for place in range(1, total + 1):
        ours = total - place < versions
        number = versions - (total - place) if ours else (place - 1) // 100 + 1
        yield Event(
            event="promote", sequence=place, model=MODEL if ours else f"model-{(place - 1) % 100:03}", version=number,
            digest=_digest(place), permit=_digest(place), commit=commit, expected=number - 1 or None,
            at="2026-11-23T08:00:00Z", by="Ada Operator <ada@lab.example>", reason="A model of many",
        )  # fmt: skip


def _sign(made: Laboratory, events: list[Event]) -> dict[str, bytes]:
    """Give each promotion of our model, in place, a signed permit, the last for the model that is there."""
    permits: dict[str, bytes] = {}
    files = manifest(made.root / "model")
    for place, event in enumerate(events):
        if event.model == MODEL:
            of_event = files if event is events[-1] else {"weights.safetensors": event.digest}
            key = keys.load_signing_key(str(made.key))
            events[place], permit = sign_promotion(event, of_event, key=key)
            permits[events[place].permit.removeprefix("sha256:")] = permit
    return permits


def _fill_ledger(made: Laboratory, events: list[Event], permits: dict[str, bytes]) -> None:
    git = made.project.git

    def blob(text: str) -> str:
        return git("hash-object", "-w", "--stdin", stdin=text)

    beside = "".join(f"100644 blob {blob(permit.decode())}\t{name}.json\n" for name, permit in permits.items())
    folder = git("mktree", stdin=beside)
    ledger = blob("".join(map(format_line, events)))
    tree = git("mktree", stdin=f"100644 blob {ledger}\t{LEDGER_FILE}\n040000 tree {folder}\tpermits\n")
    commit = git("commit-tree", tree, "-m", "Many events")
    git("push", "--quiet", "origin", f"{commit}:{BRANCH}")


def _fill_registry(file: Path, models: int, versions: int, ours: dict[int, Event], model: Path) -> None:
    """Straight into the tables, as MLflow would have filled them; of our model as the ledger was updated."""
    kept = file.parent / "kept"
    shutil.copytree(model, kept)
    names = [MODEL, *(f"model-{number:03}" for number in range(models - 1))]
    with closing(sqlite3.connect(file)) as base, base:
        base.executemany("INSERT INTO registered_models (name) VALUES (?)", [(name,) for name in names])
        base.executemany(
            "INSERT INTO model_versions (name, version, creation_time, last_updated_time, current_stage, source,"
            " run_id, status) VALUES (?, ?, 0, 0, 'None', ?, 'run', 'READY')",
            ((name, number, kept.as_uri()) for name in names for number in range(1, versions + 1)),
        )
        base.executemany(
            "INSERT INTO model_version_tags (name, version, key, value) VALUES (?, ?, ?, ?)",
            (
                (name, number, f"beampermit.{key}", value)
                for name in names
                for number in range(1, versions + 1)
                for key, value in _tags(ours[number], number == versions).items()
            ),
        )
        base.executemany(
            "INSERT INTO registered_model_aliases (name, alias, version) VALUES (?, 'champion', ?)",
            [(name, versions) for name in names],
        )
        base.executemany(
            "INSERT INTO registered_model_tags (name, key, value) VALUES (?, 'beampermit.state', 'in service')",
            [(name,) for name in names],
        )


def _tags(event: Event, champion: bool) -> dict[str, str]:
    found = {"permit": event.permit, "digest": event.digest, "commit": event.commit}
    status = {"status": "champion", "sequence": str(event.sequence)} if champion else {"status": "former"}
    return {**found, **status}


Costs = dict[str, tuple[float, float]]
"""What was done -> seconds, and seconds of CPU."""


def _measured(folder: Path, contract: str, database: Path, sizes: tuple[int, int, int]) -> Costs:
    models, versions, total = sizes
    made = found_laboratory(folder, contract, database)
    commit = made.change(1)
    events = list(_events(commit, versions, total))
    _fill_ledger(made, events, _sign(made, events))
    ours = LedgerState.of(events).state(MODEL).promoted
    _fill_registry(folder / "mlflow.db", models, versions, ours, made.root / "model")
    assert made.reconcile() == (), "what was filled in is what the ledger says"
    found = {"reconcile, nothing to do": _spent(made.reconcile)}
    made.registry.set_alias(MODEL, "champion", 1)
    found["reconcile, an alias moved by hand"] = _spent(made.reconcile)
    made.change(2)
    signed = made.sign()
    found["promote"] = _spent(lambda: made.promote(signed=signed))
    made.change(3)
    made.promote()
    found["rollback"] = _spent(made.rollback)
    ledger = Ledger(made.project.git)
    ledger.fetch()
    found["read one model's events"] = _spent(lambda: ledger.state(MODEL))
    found["read all events"] = _spent(ledger.events)
    assert made.champion() == versions + 1
    return found


def test_cost_follows_what_changed(tmp_path: Path, contract_text: str, database: Path, say: Say) -> None:
    sizes = {"alone": (1, 2, 2), "beside": (MODELS, VERSIONS, EVENTS)}
    found: dict[str, Costs] = {}
    for name, size in sizes.items():
        (tmp_path / name).mkdir()
        found[name] = _measured(tmp_path / name, contract_text, database, size)
    say(f"beside {MODELS} models of {VERSIONS} versions and {EVENTS} events, against alone: seconds (CPU seconds)")
    for verb, (seconds, cpu) in found["beside"].items():
        alone, cpu_alone = found["alone"][verb]
        ratio = cpu / max(cpu_alone, 0.01)
        say(f"{verb}: {seconds:.2f} s ({cpu:.2f}) against {alone:.2f} s ({cpu_alone:.2f}) = {ratio:.2f}")
