"""A generated project with everything real: torch, its environment, the command as it is typed."""

from __future__ import annotations

import os

import pytest
from typer.testing import CliRunner

from beampermit.cli.main import app
from beampermit.project import Project
from beampermit.reproduction.diagnosis import Kind
from beampermit.reproduction.environments import reused_environments
from beampermit.reproduction.reproduce import reproduce

pytestmark = pytest.mark.slow


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="another processor has other capabilities to leave out")
def test_a_processor_with_less_is_another_environment_where_no_difference_is_allowed(
    trained_copy: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = trained_copy.contract
    outputs = tuple(signal.model_copy(update={"tolerance": 0.0}) for signal in contract.signals.outputs)
    strict = contract.signals.model_copy(update={"outputs": outputs})
    environment = contract.environment.model_copy(update={"variables": ("ATEN_CPU_CAPABILITY",)})
    base_contract = contract.model_copy(update={"signals": strict, "environment": environment})
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    done = reproduce(trained_copy, base_contract, trained_copy.git.head(), reused_environments(lambda _: None))
    assert done.compared is not None
    if done.compared.predictions is None:
        pytest.skip("this processor computes the same either way")
    assert done.diagnosis.kind is Kind.ENVIRONMENT
    assert done.diagnosis.because[0].startswith("cpu was ")
    assert 0 < done.compared.predictions.largest < 0.05
    assert all(pair.within for pair in done.compared.metrics)


def test_a_commit_that_is_none_is_bad_input(trained_project: Project) -> None:
    from beampermit.errors import BadInput

    finished = CliRunner().invoke(app, ["reproduce", "nonsense", "--project", str(trained_project.root)])
    assert isinstance(finished.exception, BadInput)
    assert "'nonsense' is not a commit of this repository" in str(finished.exception)
