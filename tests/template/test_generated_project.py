"""The generated project in its own locked environment: its lint, its tests, its pipeline, its saved model."""

from __future__ import annotations

import json
import os
import re
from datetime import date
from pathlib import Path

import pytest
import yaml

from beampermit.code.check import check_code
from beampermit.digest import digest_file, manifest
from beampermit.environments.environment import VARIABLE, Environment
from beampermit.models.metrics import read_metrics
from beampermit.processes import Finished
from beampermit.project import Project
from beampermit.trials.records import Study
from support.forked_commands import executable
from support.forked_trainings import own_tests, script
from support.trained_project import RUN, metrics_of, python, status

pytestmark = pytest.mark.slow
HARMLESS = {".safetensors", ".json", ".yaml", ".py", ".txt", ""}
PICKLE = re.compile(rb"\A(\x80[\x02-\x05]|PK\x03\x04)")


def hooks(project: Project) -> Finished:
    """All of them on all files, with a checker beside the environment."""
    environment = Environment(Path(os.environ[VARIABLE])).variables(project.root)
    path = os.pathsep.join((environment["PATH"], str(executable(project.root.parent).parent)))
    return python(project, "-m", "pre_commit", "run", "--all-files", env={"PATH": path})


def test_its_own_hooks_have_nothing_to_say(trained_copy: Project) -> None:
    done = hooks(trained_copy)
    assert done.code == 0, done.out
    assert done.out.count("Passed") == 5


def test_its_code_fits_its_contract(trained_project: Project) -> None:
    assert check_code(trained_project).problems == ()


def test_what_another_model_leaves_of_the_example_is_named(trained_copy: Project) -> None:
    root = trained_copy.root
    contract, stages = (root / "contract.yaml").read_text(), (root / "dvc.yaml").read_text()
    contract = re.sub(r"(?m)^  labels: .*\n|^  review:\n(    .*\n)+", "", contract)
    (root / "contract.yaml").write_text(contract.replace("turns", "positions"))
    (root / "dvc.yaml").write_text(re.sub(r"(?m)^  label:\n(    .*\n)+", "", stages))
    (root / "src/bpm_faults/simulator.py").unlink()
    found = "\n".join(map(str, check_code(trained_copy).problems))
    for line in (
        "`dataset.labels` was a key of contract.yaml before",
        "stage request reads src/bpm_faults/simulator.py, which is not there",
        "stage dataset reads data/labels.parquet, which git ignores",
        "src/bpm_faults/label.py: only tests import this module, and the pipeline used it before",
        "it imports .simulator, which is not there",
        '"turns" was an input before',
        "it imports simulator from bpm_faults",
    ):
        assert line in found


def test_git_ignores_what_commands_write_about_one_commit(trained_project: Project) -> None:
    made = ["MODEL_CARD.md", "MODEL_CARD.html", "RUNBOOK.md", "DATASHEET.md", "permit.json", "permit.dsse.json"]
    made += [f"{folder}/a.json" for folder in ("verdicts", "report", "documents", "alarms")]
    assert trained_project.git("check-ignore", "--no-index", *made).splitlines() == made
    assert trained_project.git("ls-files", "--cached", "--ignored", "--exclude-standard") == ""


def test_its_own_hooks_refuse_data_in_git(trained_copy: Project) -> None:
    (trained_copy.root / "stray.parquet").write_bytes(b"PAR1")
    trained_copy.git("add", "stray.parquet")
    done = hooks(trained_copy)
    assert done.code == 1
    assert "stray.parquet: Parquet, 4 bytes\nData and models belong in DVC, not in git." in done.out


def test_its_own_tests_notice_a_feature_that_looks_at_neighbours_and_a_split_that_shares_devices(
    trained_copy: Project,
) -> None:
    _edit(trained_copy, "features.py", "np.log10(x.std(axis=1) + SMALLEST)", "np.log10(x.std(axis=1) + x.std())")
    _edit(
        trained_copy, "pipeline/splits.py", ".where(pd.concat(chosen, axis=1).nunique(axis=1, dropna=False) == 1)", ""
    )
    done = own_tests(trained_copy, "tests/unit/test_features.py", "tests/unit/test_splits.py")
    assert "FAILED tests/unit/test_features.py::test_batch_and_single_signals_agree" in done.out
    assert "FAILED tests/unit/test_splits.py::test_no_group_or_time_is_in_two_splits" in done.out


def test_the_first_model_passes_its_gates_and_the_one_of_its_page_is_clearly_better(trained_copy: Project) -> None:
    first = metrics_of(trained_copy)
    for metric in trained_copy.contract.metrics:
        assert metric.met(first[metric.name]), metric.name
    better = (trained_copy.root / "docs/model.md").read_text().split("```yaml\n")[1].split("```")[0]
    params = (trained_copy.root / "params.yaml").read_text()
    for line in better.splitlines():
        if line.startswith("  "):
            key = line.split(":")[0]
            params = re.sub(rf"(?m)^{key}:.*$", line, params)
    (trained_copy.root / "params.yaml").write_text(params)
    _in_one(trained_copy, "run('pipeline.train', 'pipeline.evaluate')")
    second = metrics_of(trained_copy)
    for metric in trained_copy.contract.metrics:
        assert metric.not_worse(second[metric.name], first[metric.name]), metric.name
    assert second["auc"] > first["auc"] + trained_copy.contract.metrics[0].champion_margin


def test_a_stage_runs_again_for_what_it_uses_and_not_for_what_it_does_not(trained_copy: Project) -> None:
    params = trained_copy.root / "params.yaml"
    params.write_text(params.read_text().replace("learning_rate: 0.003", "learning_rate: 0.004"))
    stale = status(trained_copy).keys()
    assert "train" in stale
    assert not {"request", "label", "dataset"} & stale
    trained_copy.git("checkout", "--quiet", "params.yaml")
    text = (trained_copy.root / "contract.yaml").read_text()
    telephone_and_limit = text.replace("on_call: ", "on_call: another of ").replace("high: 0.5", "high: 0.6")
    assert _stale_after(trained_copy, telephone_and_limit) == {"evaluate", "package"}
    assert _stale_after(trained_copy, text.replace("amplitude: 1.0", "amplitude: 30.0")) == {"request", "package"}


def test_a_contract_without_keys_that_may_be_left_out_and_with_an_unquoted_date_runs(trained_copy: Project) -> None:
    contract = trained_copy.root / "contract.yaml"
    content = yaml.safe_load(contract.read_text())
    for section, key in (
        *(("dataset", "review"), ("dataset", "lineage"), ("dataset", "about")),
        *(("model", "path"), ("model", "manifest")),
        *(("monitoring", "limits"), ("monitoring", "reference"), ("evaluation", "plots"), ("evaluation", "metrics")),
        ("evaluation", "scores"),
    ):
        del content[section][key]
    content["dataset"]["request"]["options"] |= {"acquisitions": 12, "start": date(2024, 1, 8)}
    contract.write_text(yaml.safe_dump(content))
    assert "start: 2024-01-08\n" in contract.read_text()
    assert trained_copy.contract.dataset.review is None  # it is valid
    params = trained_copy.root / "params.yaml"
    params.write_text(params.read_text().replace("epochs: 20", "epochs: 2"))
    done = script(trained_copy, RUN)
    assert done.code == 0, done.err
    sidecar = json.loads((trained_copy.root / "data/raw.json").read_text())
    assert sidecar["first"] == "2024-01-08T00:00:00+00:00"
    assert status(trained_copy, commit=True) == {}


def test_signals_of_another_amplitude_leave_the_range_of_the_contract(trained_copy: Project) -> None:
    contract = trained_copy.root / "contract.yaml"
    contract.write_text(contract.read_text().replace("amplitude: 1.0", "amplitude: 30.0"))
    largest = _in_one(
        trained_copy,
        "run('pipeline.contract', 'pipeline.request', 'label', 'pipeline.splits')",
        "import numpy as np, pandas as pd",
        "print(np.abs(np.stack(pd.read_parquet('data/dataset/test.parquet').turns)).max())",
    )
    assert float(largest) > trained_copy.contract.signals.inputs[0].range[1]


def test_the_saved_model_holds_nothing_that_is_unpickled(trained_project: Project) -> None:
    model = trained_project.path(trained_project.contract.model.path)
    files = [path for path in model.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {path.suffix for path in files} <= HARMLESS
    assert not [path for path in files if PICKLE.match(path.read_bytes())]


def test_the_manifest_is_that_of_model_training_dataset_and_scores(trained_project: Project) -> None:
    said = json.loads((trained_project.root / "manifest.json").read_text())["files"]
    found = {
        f"{folder}/{name}": digest
        for folder in ("model", "data/dataset", "models/trained")
        for name, digest in manifest(trained_project.path(folder)).items()
    }
    scores = trained_project.contract.evaluation.scores
    assert scores is not None
    assert said == {**found, scores: digest_file(trained_project.path(scores))}


def test_its_own_metrics_are_those_that_the_checker_does_not_compute(trained_project: Project) -> None:
    found = read_metrics(trained_project.root / "metrics/metrics.json")
    assert found.keys() == {f"recall_{fault}" for fault in ("stuck", "spikes", "noise", "shuffled", "lost_bits")}


def test_a_label_by_a_person_is_heard_over_the_injection(trained_copy: Project) -> None:
    found = _in_one(
        trained_copy,
        "import pandas as pd",
        "table = pd.read_parquet('data/labels.parquet')",
        "first = ','.join(map(str, table.loc[table.faulty].iloc[0, :3]))",
        "with open('labels/reviewed.csv', 'a') as file:",
        "    file.write(first + ',none,Ada Operator,2027-01-20T14:00:00Z,checked in the tunnel\\n')",
        "run('label')",
        "table = pd.read_parquet('data/labels.parquet')",
        "print(table[table.labelled_by == 'Ada Operator'].faulty.tolist())",
    )
    assert found.strip() == "[False]"
    assert "labels/reviewed.csv" in str(status(trained_copy)["label"])


def test_a_source_that_is_not_known_is_one_line(trained_copy: Project) -> None:
    contract = trained_copy.root / "contract.yaml"
    contract.write_text(contract.read_text().replace("source: simulator ", "source: archive "))
    done = script(trained_copy, "from bpm_faults.pipeline import request; request.main()")
    assert done.code == 1
    assert done.err == "contract.yaml: dataset.request: source: 'archive' is not one of simulator, files\n"


def test_trials_go_on_where_they_were_with_all_metrics_of_the_validation_split(
    trained_copy: Project, tmp_path: Path
) -> None:
    from beampermit.compute.resources import Resources
    from beampermit.progress import silent
    from beampermit.trials.session import run_study

    params = trained_copy.root / "params.yaml"
    params.write_text(
        params.read_text().replace("train.epochs: {int: [10, 80], log: true}", "train.epochs: {int: [1, 2]}")
    )
    work = Resources(work=str(tmp_path / "work"), at_once=1)
    done = [run_study(Project(trained_copy.root), trials, work, silent, mlflow=False) for trials in (1, 2)]
    assert [one.counts.complete for one in done] == [1, 1], done[-1].counts
    assert done[0].study.name == done[1].study.name
    named = {metric.name for metric in trained_copy.contract.metrics}
    for trial in done[1].study.trials:
        assert named <= set(trial.metrics)
        assert trial.values["validation_loss"] == trial.curve[-1][2]
        assert len(trial.curve) == trial.params["train.epochs"]
    _apply_the_best(Project(trained_copy.root), done[1].study)


def _apply_the_best(project: Project, study: Study) -> None:
    """The real space, with a subset; comments of the example's params.yaml stay."""
    from beampermit.trials.applying import apply, choose
    from beampermit.trials.standing import read_standing

    before = (project.root / "params.yaml").read_text()
    apply(project, study, best := choose(study, None))
    after = (project.root / "params.yaml").read_text()
    assert [line.partition("#")[2] for line in after.splitlines()] == [
        line.partition("#")[2] for line in before.splitlines()
    ]
    assert yaml.safe_load(after)["train"]["features"] == best.params["train.features"]
    standing = read_standing(project)
    assert standing
    assert standing.fits, standing


BEGIN = """
import importlib

def run(*modules):
    for name in modules:
        importlib.import_module(f"bpm_faults.{name}").main()
"""


def _in_one(project: Project, *statements: str) -> str:
    """What statements print in one process of the project's: most of the time of a new one are its imports."""
    done = script(project, "\n".join((BEGIN, *statements)))
    assert done.code == 0, done.err
    return done.out


def _stale_after(project: Project, contract: str) -> set[str]:
    """The stages that a changed contract makes stale, besides stage `contract`, which has looked at it."""
    (project.root / "contract.yaml").write_text(contract)
    _in_one(project, "run('pipeline.contract')")
    return status(project).keys() - {"contract"}


def _edit(project: Project, module: str, old: str, new: str) -> None:
    file = project.root / "src/bpm_faults" / module
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


DEVICES = """\
import os
from bpm_faults.model import Model
from bpm_faults.pipeline.served import DEVICE, on_device
print(on_device(Model.load))
os.environ[DEVICE] = "cuda"
print(on_device(Model.load), on_device(lambda folder: None))
"""


def test_a_model_is_served_where_it_is_told_to_be(trained_project: Project) -> None:
    done = script(trained_project, DEVICES)
    assert done.out.splitlines() == ["{}", "{'device': 'cuda'} {}"], done.err
