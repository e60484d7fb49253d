"""`beampermit trials show` of 10,000 trials: the command as it is typed, and its parts."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.documents.trials_page import trials_page
from beampermit.documents.trials_text import table
from beampermit.processes import run
from beampermit.project import Project
from beampermit.trials.front import shown_order
from beampermit.trials.storage import JOURNAL, folder_of
from beampermit.trials.study import OWN, open_study, quiet_optuna, read_study
from support.toy_project import trainable, trained_once
from support.toy_search import make_searched

__all__ = ["trainable", "trained_once"]

pytestmark = pytest.mark.bench

TRIALS = 10_000


def test_a_large_study_is_shown(trainable: Project, tmp_path: Path, say: Callable[[str], None]) -> None:
    project = make_searched(trainable)
    name, size = _fill(project)
    say(f"a journal of {TRIALS} trials: {size / 1e6:.0f} MB")
    words = [sys.executable, "-m", "beampermit", "trials", "show", "--project", str(project.root)]
    for more in ([], ["--study", name], ["--study", name, "--all"], ["--html", str(tmp_path / "page.html")]):
        began, used = time.perf_counter(), _used()
        finished = run([*words, *more], cwd=project.root)
        took = f"{time.perf_counter() - began:.2f} s, {_used() - used:.2f} s of CPU"
        assert finished.code == 0, finished.err
        assert f"{TRIALS} trials, the best is" in finished.out
        say(f"{' '.join(['trials show', *(word for word in more if word.startswith('-'))])}: {took}")
    study = read_study(project, name)
    trials_page(study)  # what it imports
    parts: dict[str, Callable[[], object]] = {
        "read": lambda: read_study(project, name),
        "table": lambda: table(study, shown_order(study)),
        "page": lambda: trials_page(study),
        "optuna reads this journal": lambda: _read_by_optuna(project),
    }
    for what, make in parts.items():
        began = time.process_time()
        make()
        say(f"  {what}: {time.process_time() - began:.2f} s of CPU")


def _used() -> float:
    """s of CPU of all processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _read_by_optuna(project: Project) -> None:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend(str(folder_of(project) / JOURNAL)))
    assert len(storage.get_all_trials(0, deepcopy=False)) == TRIALS


def _fill(project: Project) -> tuple[str, int]:
    """One trial is told as `trials run` does; the others are its lines with other numbers."""
    quiet_optuna()
    kept = open_study(project)
    file = folder_of(project) / JOURNAL
    before = len(file.read_text().splitlines())
    trial = kept.told.ask()
    kept.subject.settings.space.suggest(trial)
    curve = [[float(epoch), 0.5, 0.5] for epoch in range(20)]
    trial.set_user_attr("run", "0" * 12)
    trial.set_user_attr(OWN, {"seconds": 2.0, "machine": "AVX2, node-1", "curve": curve, "unit": "sha256:" + "0" * 64})
    kept.told.tell(trial, 0.5)
    lines = [json.loads(line) for line in file.read_text().splitlines()[before:]]
    with file.open("a") as stream:
        for number in range(1, TRIALS):
            for line in lines:
                said = {**line, "trial_id": number} if "trial_id" in line else line
                if line["op_code"] == 6:
                    said = {**said, "values": [0.5 + (number * 7919 % TRIALS) / TRIALS]}
                elif line.get("param_name") == "train.rate":
                    said = {**said, "param_value_internal": 0.01 + 0.09 * (number * 31 % 997) / 997}
                stream.write(json.dumps(said, separators=(",", ":")) + "\n")
    return kept.study.name, file.stat().st_size
