"""Who computes metrics: the base branch's commands and code decide about a pull request."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from beampermit.environments import Environment
from beampermit.errors import Failed
from beampermit.interlocks.inputs import Inputs
from beampermit.interlocks.model import Evaluators, Examined
from beampermit.interlocks.performance.gates import judged
from beampermit.project import Project
from support.attacks import attack_case
from support.dvc_repositories import replace
from support.planted_models import write_table

pytestmark = pytest.mark.slow

TEST = "data/dataset/test.parquet"
EVALUATE = """\
import json, pathlib, sys, yaml
high = yaml.safe_load(open("contract.yaml"))["signals"]["outputs"][0]["high"]
helper = pathlib.Path("data/raw.parquet")
found = {"auc": 0.94, "false_alarm_rate": 0.01, "high": high, "helped": float(helper.is_file())}
json.dump(found, open(sys.argv[3], "w"))
"""


@pytest.fixture
def branch(project: Project, git: Callable[..., str], tmp_path: Path) -> Project:
    """A pull request without a change yet; its base branch has evaluated a model."""
    contract = project.root / "contract.yaml"
    lines = contract.read_text().splitlines(keepends=True)
    place = next(number for number, line in enumerate(lines) if line.startswith("  command:"))
    lines[place] = '  command: [python, evaluate.py, "{inputs}", "{scores}", "{out}"]\n'
    contract.write_text("".join(lines))
    (project.root / "evaluate.py").write_text(EVALUATE)
    (project.root / "manifest.json").write_text("{}")
    (project.root / "dvc.lock").write_text("stages: {raw: {outs: [{path: data/raw.parquet, md5: " + "a" * 32 + "}]}}\n")
    (project.root / ".gitignore").write_text("/data\n")
    git("add", "--all")
    git("commit", "--quiet", "--message", "A model")
    git("switch", "--quiet", "--create", "change")
    for file in (TEST, "data/raw.parquet"):
        (project.root / file).parent.mkdir(parents=True, exist_ok=True)
        write_table(project.root / file, score=np.array([0.5]))
    write_table(tmp_path / "scores.parquet", score=np.array([0.5]))
    return Project(project.root, base="main")


def evaluators(branch: Project) -> Evaluators:
    project = Project(branch.root, base="main")
    return Inputs(project=project, environment=Environment(Path(sys.prefix)))["evaluators"]


def metrics(branch: Project) -> dict[str, float]:
    return evaluators(branch).judging.evaluate(branch.root.parent / "scores.parquet")


def test_where_nothing_has_changed_there_is_one_evaluation(branch: Project) -> None:
    assert evaluators(branch).base is None
    for file in ("dvc.lock", "manifest.json", "metrics/metrics.json"):
        (branch.root / file).parent.mkdir(exist_ok=True)
        (branch.root / file).write_text("{}")
    assert evaluators(branch).base is None, "another model, evaluated as before"


def test_code_is_no_result_whatever_the_contract_says(branch: Project) -> None:
    replace(branch.root / "contract.yaml", "plots: metrics/plots.json", "plots: evaluate.py")
    branch.git("commit", "--quiet", "--all", "--message", "Plots")
    branch.git("branch", "--force", "main")
    replace(branch.root / "evaluate.py", "0.94", "0.99")
    assert metrics(branch)["auc"] == 0.94


ATTACKS = [
    attack_case(
        lambda root: replace(root / "evaluate.py", "0.94", "0.99"),
        guard="PRF001",
        tried="the code of the evaluation gives better numbers",
        said="auc is 0.94",
        id="code",
    ),
    attack_case(
        lambda root: [
            (root / "judge.py").write_text(EVALUATE.replace("0.94", "0.99")),
            replace(root / "contract.yaml", "[python, evaluate.py", "[python, judge.py"),
        ],
        guard="PRF001",
        tried="another command evaluates",
        said="auc is 0.94",
        id="command",
    ),
    attack_case(
        lambda root: [
            (root / "src").mkdir(),
            (root / "src/json.py").write_text("def dump(found, file): file.write('{\"auc\": 0.99}')"),
        ],
        guard="PRF001",
        tried="a module of the name of one that the evaluation imports",
        said="auc is 0.94",
        id="shadow",
    ),
]


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_base_branchs_commands_and_code_decide(branch: Project, attack: Callable[[Path], Any], said: str) -> None:
    attack(branch.root)
    assert f"auc is {metrics(branch)['auc']:g}" == said
    found = evaluators(branch)
    assert found.own.evaluate(branch.root.parent / "scores.parquet")["auc"] == 0.99


def test_what_is_merged_is_judged_by_its_own_evaluation_though_the_branch_moved_on(branch: Project) -> None:
    branch.git("switch", "--quiet", "main")
    replace(branch.root / "evaluate.py", "0.94", "0.93")
    branch.git("commit", "--quiet", "--all", "--message", "The next change")
    branch.git("switch", "--quiet", "change")
    given = {"environment": Environment(Path(sys.prefix))}
    assert Inputs(project=Project(branch.root, base="main"), **given)["evaluators"].base is None
    (branch.root / "new.py").touch()
    assert Inputs(project=Project(branch.root, base="main"), **given)["evaluators"].base is not None, "not committed"


def test_a_renamed_evaluation_is_no_fault(branch: Project) -> None:
    branch.git("mv", "evaluate.py", "judge.py")
    replace(branch.root / "contract.yaml", "[python, evaluate.py", "[python, judge.py")
    assert metrics(branch)["auc"] == 0.94


def test_the_limits_of_the_alarms_are_the_pull_requests_for_they_are_served(branch: Project) -> None:
    replace(branch.root / "contract.yaml", "high: 0.5", "high: 6.0e-1")
    replace(branch.root / "contract.yaml", "latency: 50ms", "latency: 70ms")
    found = evaluators(branch)
    assert found.base is not None
    assert metrics(branch)["high"] == 0.6
    text = (found.base.root / "contract.yaml").read_text()
    assert "latency: 50ms" in text, "all but the signals is the base branch's"
    assert "weight_tolerance: 1.0e-6" in text, "numbers stay as they were written"


def test_data_that_git_does_not_hold_are_there_for_the_base_branchs_code(branch: Project) -> None:
    (branch.root / "new.py").touch()
    assert metrics(branch)["helped"] == 1.0
    branch.git("switch", "--quiet", "main")
    (branch.root / "parts").mkdir()
    branch.git("mv", "dvc.lock", "parts/dvc.lock")
    replace(branch.root / "parts/dvc.lock", "data/raw.parquet", "raw.parquet")
    (branch.root / "parts/dvc.yaml").write_text('stages: {raw: {cmd: "true", wdir: ../data, outs: [raw.parquet]}}\n')
    branch.git("add", "parts")
    branch.git("commit", "--quiet", "--all", "--message", "The pipeline is in a folder, and works in another")
    branch.git("switch", "--quiet", "--create", "next")
    assert metrics(branch)["helped"] == 1.0, "new.py is there, so the base evaluates as well"
    (branch.root / "new.py").unlink()
    (branch.root / "parts/dvc.lock").write_text("stages: {}\n")
    assert evaluators(branch).base is None, "another model, evaluated as before"


def test_a_base_branch_that_never_evaluated_a_model_decides_nothing(branch: Project) -> None:
    branch.git("rm", "--quiet", "manifest.json")
    branch.git("commit", "--quiet", "--message", "No model")
    branch.git("branch", "--force", "main")
    (branch.root / "evaluate.py").write_text(EVALUATE.replace("0.94", "0.99"))
    assert evaluators(branch).base is None
    alone = Project(branch.root).alone()
    found = Inputs(project=alone, environment=Environment(Path(sys.prefix)))["evaluators"]
    assert found.base is None, "a first release has no base branch"


def test_a_base_branchs_evaluation_that_cannot_judge_the_model_says_what_to_do(branch: Project) -> None:
    replace(branch.root / "evaluate.py", "json.dump", "print")
    branch.git("commit", "--quiet", "--all", "--message", "A broken evaluation")
    branch.git("branch", "--force", "main")
    replace(branch.root / "evaluate.py", "print", "json.dump")
    with pytest.raises(Failed, match="by the base branch's evaluation: the metrics that the evaluation") as caught:
        metrics(branch)
    assert "in a pull request of its own" in caught.value.hint


@pytest.mark.attack(
    guard="PRF001",
    tried="the pull request's evaluation writes better scores for the base branch's evaluation, which runs after it",
    said="the scores of the saved model were changed by code that ran afterwards",
)
def test_scores_that_were_changed_after_the_model_ran_are_not_judged(branch: Project, said: str) -> None:
    from beampermit.digest import digest_file

    (branch.root / "new.py").touch()
    scores = branch.root.parent / "scores.parquet"
    examined = Examined(None, None, scores, digest_file(scores))
    assert judged(evaluators(branch), {}, examined)["auc"] == 0.94
    scores.unlink()
    write_table(scores, score=np.array([0.9]))
    with pytest.raises(Failed) as caught:
        judged(evaluators(branch), {}, examined)
    assert said in str(caught.value)


def test_the_rows_are_the_base_branchs_wherever_the_pull_request_points(branch: Project) -> None:
    other = "data/dataset/easy.parquet"
    write_table(branch.root / other, score=np.array([0.5]))
    contract = branch.root / "contract.yaml"
    contract.write_text(contract.read_text().replace(TEST, other))
    assert evaluators(branch).judging.inputs == branch.root / TEST
    (branch.root / TEST).unlink()
    assert evaluators(branch).judging.inputs == branch.root / other, "renamed: the rows are compared"
