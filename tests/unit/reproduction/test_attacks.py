"""Models, data and results that are not what the stages give: each attack is played, and the sound case beside it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.datasets.repository import Repository
from beampermit.errors import Failed
from beampermit.interlocks.reproducibility import REP001
from beampermit.project import Project
from beampermit.reproduction.diagnosis import Kind
from beampermit.reproduction.plan import make_plan, no_longer_made
from beampermit.reproduction.reproduce import Reproduction, reproduce
from beampermit.reproduction.tree import commit_of_work_tree, place_of, private_folder
from beampermit.verdicts.verdict import Outcome
from support.attacks import attack_case
from support.dvc_repositories import replace
from support.staged_project import made_by_hand, staged, staged_once
from support.toy_project import HERE

pytestmark = pytest.mark.slow

__all__ = ["staged", "staged_once"]
Again = Callable[..., Reproduction]


def commit(project: Project, message: str = "Work") -> str:
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", message)
    return project.git.head()


def run(project: Project, **options: object) -> Reproduction:
    project = Project(project.root)
    rules = project.base_contract
    return reproduce(project, rules, commit_of_work_tree(project.git), lambda _: HERE, **options)  # type: ignore[arg-type]


def judged(project: Project, done: Reproduction) -> str:
    finding = REP001().check(project.contract, done)
    assert finding.outcome is (Outcome.PASSED if done.diagnosis.kind.sound else Outcome.FAILED)
    return finding.reason


def test_sound_stages_pass_with_times_and_pictures_that_differ_each_time(staged: Project) -> None:
    done = run(staged)
    assert done.diagnosis.kind is Kind.IDENTICAL
    assert judged(staged, done) == (
        "identical: 2 tensors and every gated metric; "
        "stage fetch was not run again: it fetches data/raw.parquet, the raw data; "
        "metrics/roc.svg differs each time it is made"
    )
    assert {"data/dataset/test.parquet", "metrics/evaluation.md", "metrics/limits.json"} <= set(done.remade)


@pytest.mark.plants("REP001")
@pytest.mark.attack(
    guard="REP001",
    tried="rows that the model misjudges are taken out of the test split, and `dvc commit -f` locks the rest",
    said="data/dataset/test.parquet: it has 24 rows, 30 are made by stage divide",
)
def test_test_split_without_the_rows_that_are_misjudged_fails(staged: Project, said: str) -> None:
    import duckdb

    test = staged.root / "data/dataset/test.parquet"
    less = test.with_name("less.parquet")
    duckdb.sql(f"COPY (SELECT * FROM '{test}' LIMIT 24) TO '{less}' (FORMAT parquet)")
    less.replace(test)
    made_by_hand(staged.root, "evaluate.py", "package.py")
    done = run(staged)
    assert done.diagnosis.kind is Kind.DATA
    assert done.compared is None, "nothing was trained"
    assert said in judged(staged, done)


READS_TEST = "import duckdb\nlen(duckdb.read_parquet('data/dataset/test.parquet'))\n"


@pytest.mark.attack(
    guard="REP001",
    tried="training reads the test split, as careless authors do, while dvc.yaml names only the folder of all splits",
    said="training reads data/dataset/test.parquet, on which the model is judged",
)
def test_training_that_reads_the_test_split_fails(staged: Project, said: str) -> None:
    replace(staged.root / "train.py", "from pathlib import Path\n", f"from pathlib import Path\n{READS_TEST}")
    made_by_hand(staged.root)
    with pytest.raises(Failed, match=re.escape(said)):
        run(staged)


@pytest.mark.parametrize(
    ("splits", "dep"),
    [
        attack_case(
            {"train": "data/dataset/test.parquet", "test": "data/dataset/train.parquet"},
            "data/dataset/test.parquet",
            guard="REP001",
            tried="the pull request's contract calls the test split of the base `train`, and trains on it",
            said="reads data/dataset/test.parquet, on which the model is judged",
        ),
        attack_case(
            {"validation": "data/raw.parquet"},
            "data/raw.parquet",
            guard="REP001",
            tried="the pull request's contract calls the raw data a split, and trains on all of it",
            said="reads data/raw.parquet, which has the rows that judge the model",
        ),
    ],
)
def test_what_judges_cannot_be_called_another_split(
    staged: Project, said: str, splits: dict[str, str], dep: str
) -> None:
    base = staged.contract
    dataset = base.dataset.model_copy(update={"splits": {**base.dataset.splits, **splits}})
    contract = base.model_copy(update={"dataset": dataset})
    plan = make_plan(Repository(staged), contract, base)
    assert dep in plan.withheld, "where dvc.yaml names only the folder of all splits"
    replace(staged.root / "dvc.yaml", "deps: [train.py, data/dataset]", f"deps: [train.py, {dep}]")
    with pytest.raises(Failed, match=f"stage train makes the weights and {said}"):
        make_plan(Repository(Project(staged.root)), contract, base)
    assert make_plan(Repository(Project(staged.root)), contract, contract), "what the base says itself is its own"


@pytest.mark.plants("REP001")
@pytest.mark.attack(
    guard="REP001",
    tried="training reads the test split only where it is there, so that it does not fail without",
    said="training gives the committed model only where the rows are there that it is judged on",
)
def test_training_that_reads_the_test_split_where_it_can_fails(staged: Project, said: str) -> None:
    quiet = "weight += 0.3 * Path('data/dataset/test.parquet').exists()\nfor folder in"
    replace(staged.root / "train.py", "for folder in", quiet)
    made_by_hand(staged.root, "train.py", "evaluate.py", "package.py")
    done = run(staged)
    assert done.diagnosis.kind is Kind.JUDGING
    assert said in judged(staged, done)


@pytest.mark.parametrize(
    ("path", "what"),
    [
        attack_case(
            "data/dataset/test.parquet",
            "on which the model is judged",
            guard="REP001",
            tried="the stage that trains has the test split as a dependency",
            said="stage train makes the weights and reads data/dataset/test.parquet",
        ),
        attack_case(
            "data/raw.parquet",
            "which has the rows that judge the model",
            guard="REP001",
            tried="training takes the rows of the test split from the raw data",
            said="stage train makes the weights and reads data/raw.parquet",
        ),
    ],
)
def test_training_that_declares_what_judges_it_is_refused(staged: Project, said: str, path: str, what: str) -> None:
    replace(staged.root / "dvc.yaml", "deps: [train.py, data/dataset]", f"deps: [train.py, data/dataset, {path}]")
    commit(staged)
    with pytest.raises(Failed, match=re.escape(f"{said}, {what}")):
        run(staged)


def no_longer(project: Project, base: str) -> list[str]:
    project = Project(project.root, base)
    repository = Repository(project)
    plan = make_plan(repository, project.contract, project.contract)
    return no_longer_made(repository, project, project.contract.dataset, plan.rerun)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        attack_case(
            "    cmd: python divide.py\n",
            "    cmd: python divide.py\n    frozen: true\n",
            guard="REP001",
            tried="the stage of the splits is frozen in the pull request, so that nobody runs it again",
            said="data/dataset can be made again on the base branch, and here stage divide is frozen",
        ),
        attack_case(
            "    deps: [divide.py, data/raw.parquet]\n",
            "    deps: [divide.py, /etc/hostname]\n",
            guard="REP001",
            tried="the stage of the splits reads a file outside the project, so that nobody can run it again",
            said="data/dataset is made from data/raw.parquet on the base branch, and here stage divide is its own "
            "source",
        ),
        attack_case(
            "    - metrics/evaluation.md: {cache: false}\n",
            "",
            guard="REP001",
            tried="evaluation.md is written by hand, and no longer an output of the stage that made it",
            said="metrics/evaluation.md is made by stage evaluate on the base branch, and by no stage here",
        ),
    ],
)
def test_output_that_no_stage_makes_any_more_is_named(staged: Project, said: str, before: str, after: str) -> None:
    base = staged.git.head()
    assert no_longer(staged, base) == []
    replace(staged.root / "dvc.yaml", before, after)
    commit(staged)
    assert said in no_longer(staged, base)


@pytest.mark.attack(
    guard="REP001",
    tried="the stage that evaluates is frozen, so that nobody makes plots, limits and pages again",
    said="stage evaluate is frozen, so metrics/plots.json, metrics/evaluation.md",
)
def test_stage_after_training_that_is_frozen_is_refused(staged: Project, said: str) -> None:
    command = "    cmd: python evaluate.py\n"
    replace(staged.root / "dvc.yaml", command, f"{command}    frozen: true\n")
    commit(staged)
    with pytest.raises(Failed, match=said) as refused:
        no_longer(staged, staged.git.head())
    assert refused.value.hint == "dvc unfreeze evaluate"


def test_output_that_is_gone_altogether_needs_no_stage(staged: Project) -> None:
    base = staged.git.head()
    replace(staged.root / "dvc.yaml", "    - metrics/evaluation.md: {cache: false}\n", "")
    (staged.root / "metrics/evaluation.md").unlink()
    commit(staged)
    assert no_longer(staged, base) == []


@pytest.mark.plants("REP001")
@pytest.mark.attack(
    guard="REP001",
    tried="the plots of the report, the monitoring limits and evaluation.md are edited, and `dvc commit -f` locks them",
    said="metrics/limits.json: line 1 is",
)
def test_results_that_the_stages_do_not_make_fail(staged: Project, said: str) -> None:
    for name, old, new in (("plots.json", "0.25", "0.125"), ("evaluation.md", "30 rows", "90 rows")):
        replace(staged.root / "metrics" / name, old, new)
    (staged.root / "metrics/limits.json").write_text(json.dumps({"limit": 99.0}))
    made_by_hand(staged.root)
    done = run(staged)
    assert done.diagnosis.kind is Kind.RESULTS
    reason = judged(staged, done)
    assert said in reason
    for name in ("plots.json", "evaluation.md"):
        assert f"metrics/{name}: line " in reason


LOOKS_AROUND = """\
import os, subprocess
places = [line.strip() for line in os.environ.values()]
if Path(".git").is_file():
    places.append(str(Path(Path(".git").read_text().split()[1]).parents[2]))
for command in ("git rev-parse --git-common-dir", "git worktree list", "git config --get-regexp .*"):
    places += subprocess.run(command.split(), capture_output=True, text=True).stdout.split()
for file in (".git/objects/info/alternates", ".dvc/config", ".dvc/config.local", ".dvc/tmp/rwlock"):
    places += Path(file).read_text().replace('"', " ").split() if Path(file).is_file() else []
places += [str(folder) for folder in Path.cwd().parents]
places = [Path(place) for part in places for place in part.split(":")]
around = [place.parents[up] for place in places for up in range(min(4, len(place.parents)))]
for place in [*places, *around, *Path.cwd().parent.parent.glob("*/*")]:
    for found in (place / "model/weights.safetensors", place / "trained/weights.safetensors"):
        if found.resolve().is_file() and Path.cwd() not in found.resolve().parents:
            from safetensors.numpy import load_file

            weight = float(load_file(found)["weight"][0])
"""


@pytest.mark.plants("REP001")
@pytest.mark.attack(
    guard="REP001",
    tried="training looks for another checkout, from git, DVC, variables and the folders above, to copy its weights",
    said="two trainings here give the same weights, so the committed model was made in another way",
)
def test_training_finds_no_other_checkout_to_copy_weights_from(
    staged: Project, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace(staged.root / "contract.yaml", "variables: [", "variables: [JOB_FOLDER, OLDPWD, ")
    monkeypatch.setenv("JOB_FOLDER", str(staged.root))
    monkeypatch.setenv("OLDPWD", str(staged.root / "metrics"))
    monkeypatch.chdir(staged.root)
    honest = (staged.root / "train.py").read_text()
    replace(staged.root / "train.py", "for folder in", "weight = 0.7\nfor folder in")
    made_by_hand(staged.root, "train.py")
    replace(staged.root / "train.py", "weight = 0.7\nfor folder in", f"{LOOKS_AROUND}for folder in")
    assert honest != (staged.root / "train.py").read_text()
    made_by_hand(staged.root, "evaluate.py", "package.py")
    done = run(staged)
    assert not done.sound
    assert said in judged(staged, done)


@pytest.mark.attack(
    guard="REP001",
    tried="another job leaves a finished training with the committed weights where the cache folder is",
    said="different weights",
)
def test_result_planted_in_the_cache_folder_is_not_believed(
    trainable: Project, again: Again, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    head, outputs = trainable.git.head(), {}
    for name in (f"kept-{head[:16]}-a", "once-a", head[:16]):
        folder = place_of(trainable) / name
        for results in (folder / "results/seed-0", folder / "seed-0"):
            for path in ("model", "metrics"):
                shutil.copytree(trainable.root / path, results / path)
            shutil.copy(trainable.root / "manifest.json", results)
            (results / "done.json").write_text(json.dumps({"seconds": 1.0, "outputs": outputs}))
        folder.chmod(0o700)
    monkeypatch.setenv("NOISE", "0.5")
    monkeypatch.setattr("beampermit.reproduction.reproduce._predictions", lambda *_: None)
    done = again()
    assert done.resumed == ()
    assert said in judged(trainable, done)
    assert again(kept=True, resume=True).resumed == (0,), "a person may resume"


@pytest.mark.plants("REP001")
@pytest.mark.attack(
    guard="REP001",
    tried="training writes a random number where no tensor is, and the contract gets a lenient tolerance of the output",
    said="allowed",
)
def test_model_that_differs_where_no_tensor_shows_it_fails(trainable: Project, said: str) -> None:
    rules = trainable.contract
    replace(trainable.root / "contract.yaml", "tolerance: 0.005", "tolerance: 9")
    replace(trainable.root / "contract.yaml", "tolerance: 1.0e-4", "tolerance: 9")
    line = "Path('model/bias.json').write_text(str(int.from_bytes(os.urandom(4)) / 2**32))\nfiles ="
    replace(trainable.root / "train.py", "files =", line)
    made_by_hand(trainable.root, "train.py")
    project = Project(trainable.root)
    done = reproduce(project, rules, project.git.head(), lambda _: HERE)
    assert done.compared is not None
    assert {str(tensor.likeness) for tensor in done.compared.tensors} == {"identical"}
    reason = judged(project, done)
    assert re.search(rf"predictions of score on 600 rows differ by at most [\d.e-]+, 0.0001 {said}", reason), reason


FOREST = (Path(__file__).parents[2] / "data/models/trees.ubj").read_bytes()


@pytest.mark.plants("REP001")
@pytest.mark.attack(
    guard="REP001",
    tried="a tensor that is always the same lies beside trees of XGBoost that a seed of the system makes",
    said="two trainings here give different weights",
)
def test_a_tensor_beside_the_real_weights_does_not_speak_for_them(trainable: Project, said: str) -> None:
    leaf = FOREST.index(b"[$d#L", FOREST.index(b"split_conditions")) + 13
    line = (
        f"forest = bytearray.fromhex({FOREST.hex()!r})\n"
        f"forest[{leaf} : {leaf + 4}] = struct.pack('>f', 1 + int.from_bytes(os.urandom(3)) / 2**24)\n"
        "Path('model/forest').write_bytes(forest)\nfiles ="
    )
    replace(trainable.root / "train.py", "files =", line)
    made_by_hand(trainable.root, "train.py")
    done = run(trainable)
    assert said in judged(trainable, done)
    assert "predictions" not in judged(trainable, done), "what it predicts here is the same"
    assert done.compared is not None
    different = {tensor.name for tensor in done.compared.tensors if tensor.likeness != "identical"}
    assert different == {"forest: trees.0.split_conditions"}


@pytest.mark.attack(
    guard="REP001",
    tried="real weights come from a stage of their own that reads the test split, beside a tensor of an honest one",
    said="stage fit makes the weights and reads data/dataset/test.parquet, on which the model is judged",
)
@pytest.mark.parametrize("kept_in", ["DVC", "git"])
def test_weights_of_a_second_stage_are_training_too(staged: Project, said: str, kept_in: str) -> None:
    (staged.root / "fit.py").write_text("from pathlib import Path\nPath('fit.json').write_text('[0.5]')\n")
    output = "fit.json" if kept_in == "DVC" else "fit.json: {cache: false}"
    stage = f"  fit:\n    cmd: python fit.py\n    deps: [data/dataset/test.parquet]\n    outs: [{output}]\n  package:\n"
    replace(staged.root / "dvc.yaml", "  package:\n", stage)
    replace(staged.root / "dvc.yaml", "deps: [package.py, ", "deps: [package.py, fit.json, ")
    copied = 'shutil.copy("fit.json", "model/coefficients.json")\nfiles ='
    replace(staged.root / "package.py", "files =", copied)
    made_by_hand(staged.root, "fit.py", "package.py")
    with pytest.raises(Failed, match=re.escape(said)):
        run(staged)


def test_model_without_tensors_is_made_again_and_its_predictions_compared(
    trainable: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = 'save_file({"weight": [weight], "rows": rows}, "model/weights.safetensors")'
    replace(trainable.root / "train.py", save, 'Path("model/bias.json").write_text(str(weight))')
    replace(trainable.root / "train.py", '[Path("model/weights.safetensors"), ', '[Path("model/bias.json"), ')
    (trainable.root / "model/weights.safetensors").unlink()
    made_by_hand(trainable.root, "train.py")
    assert judged(trainable, run(trainable)) == "identical: the predictions on 600 rows and every gated metric"
    monkeypatch.setenv("NOISE", "0.01")
    done = run(trainable)
    assert done.diagnosis.kind is Kind.UNREPEATABLE
    assert "predictions of score on 600 rows differ by at most" in judged(trainable, done)


def interrupted(project: Project, **options: bool) -> Path:
    """The private folder of a reproduction by hand that ends half-way."""
    folders: list[Path] = []

    def begin() -> None:
        with private_folder(project, project.git.head(), kept=True, **options) as folder:
            folders.append(folder)
            raise Failed("interrupted")

    with pytest.raises(Failed, match="interrupted"):
        begin()
    return folders[0]


def test_only_a_person_resumes_and_only_from_a_folder_that_nobody_else_can_open(trainable: Project) -> None:
    left = interrupted(trainable)
    assert left.stat().st_mode & 0o777 == 0o700
    with private_folder(trainable, trainable.git.head()) as other:
        assert other != left
        assert left.is_dir(), "a check leaves what a person may resume"
    assert not other.exists()
    assert interrupted(trainable, resume=True) == left
    left.chmod(0o755)
    with private_folder(trainable, trainable.git.head(), kept=True, resume=True) as new:
        assert new != left
    assert [path.name for path in place_of(trainable).iterdir()] == ["lock"]


def test_a_cache_folder_inside_the_project_is_not_where_it_is_made_again(
    trainable: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(trainable.root / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    assert not place_of(trainable).is_relative_to(trainable.root)
