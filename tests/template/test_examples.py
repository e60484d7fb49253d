"""The worked examples besides bpm-faults: contracts worth reading, simulators that are right, gates that are met."""

from __future__ import annotations

from pathlib import Path

import pytest

from beampermit.contract.alarms import problems
from beampermit.contract.completeness import about_gaps, gaps
from beampermit.contract.load import FILE_NAME
from beampermit.generation import generate
from beampermit.generation.template import questions
from beampermit.project import Project
from support.filled_projects import project_to_read
from support.forked_trainings import own_tests, script
from support.trained_project import PEOPLE, RUN, metrics_of

EXAMPLES = ("injector-surrogate", "loss-anomaly")


@pytest.fixture(scope="module", params=EXAMPLES)
def generated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(project_to_read(tmp_path_factory, _answers(request.param)))


def test_they_can_be_chosen() -> None:
    assert set(EXAMPLES) <= set(questions()["example"])


@pytest.mark.slow
def test_nothing_but_the_owners_is_left_to_write_and_every_alarm_has_an_action(generated: Project) -> None:
    contract, text = generated.contract, (generated.root / FILE_NAME).read_text(encoding="utf-8")
    assert problems(contract, text) == ()
    assert gaps(contract, text) == ()
    assert contract.dataset.about is not None
    assert about_gaps(contract, text) == ()
    assert contract.dataset.labels is None


def test_each_gate_says_in_a_comment_what_was_measured(generated: Project) -> None:
    text = (generated.root / FILE_NAME).read_text(encoding="utf-8")
    assert "seeds 0, 1 and 2" in text.split("\nmetrics:\n")[1].split("\nreproducibility:\n")[0]


@pytest.mark.slow
def test_their_simulators_pass_their_own_tests(generated: Project, environment_prefix: Path) -> None:
    tests = ("tests/unit/test_simulator.py", "tests/unit/test_source.py")
    done = own_tests(generated, *tests)
    assert done.code == 0, done.out


@pytest.mark.slow
def test_an_autoencoder_without_labels_meets_its_gates(environment_prefix: Path, tmp_path: Path) -> None:
    project = Project(generate(tmp_path, _answers("loss-anomaly")))
    done = script(project, RUN)
    assert done.code == 0, done.err
    assert "split train: provoked has one value in all 2160 rows, so no model can learn it\n" in done.err
    found = metrics_of(project)
    assert {metric.name for metric in project.contract.metrics if not metric.met(found[metric.name])} == set()


def _answers(example: str) -> dict[str, str]:
    return {"example": example, "environment": "uv", **PEOPLE}
