"""The toy project that trains, with a search space and a lock; and studies of it that nobody ran."""

from __future__ import annotations

from typing import Any

from beampermit.project import Project
from beampermit.trials.binding import subject_of
from beampermit.trials.records import Study, Trial
from support.studies import study

PARAMS = """\
# What training reads
train:
  seed: 0  # of the weight
  rate: 0.05   # of the descent
  steps: [10, 20]
trials:
  space:
    train.rate: {float: [0.01, 0.1], log: true}
    train.steps: {choice: [[10, 20], [30]]}
  module: trial
"""
LOCK = """\
version = 1
requires-python = ">=3.11"

[[package]]
name = "toy"
version = "1"
source = { virtual = "." }
"""
SPECIFICATION = '[project]\nname = "toy"\nversion = "1"\nrequires-python = ">=3.11"\n'
CHOSEN: dict[str, Any] = {"train.rate": 0.03, "train.steps": [30]}


def make_searched(project: Project) -> Project:
    """A copy of `trainable`, with a space, a trial's module and a lock."""
    files = {"params.yaml": PARAMS, "uv.lock": LOCK, "pyproject.toml": SPECIFICATION, "src/trial.py": "import json\n"}
    for name, text in files.items():
        (project.root / name).parent.mkdir(exist_ok=True)
        (project.root / name).write_text(text)
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "A search space")
    return Project(project.root)


def study_of(project: Project, *trials: Trial) -> Study:
    """As if it had been run on the project as it is now."""
    subject = subject_of(project)
    made = study(*trials, bound=subject.bound, space=subject.settings.written)
    return made.model_copy(update={"name": subject.name})
