"""What no longer fits a contract is named with file, line and fix; what only looks odd is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.code.check import check_code
from beampermit.code.leftovers import gone_names
from beampermit.contract import parse_contract
from beampermit.errors import BadInput
from beampermit.project import Project

Edits = dict[str, tuple[str, str] | None]
NOT_THERE = "imports bpm_faults.dataset, which is not there"
TYPED = "class Training:\n    seed: int\n    epochs: int\n\n\nclass All:\n    train: Training\n\n\ndef grow"
DEFECTS: dict[str, tuple[Edits, list[str]]] = {
    "a parameter that the contract has not": (
        {"dvc.yaml": ("dataset.raw]", "dataset.raws]")},
        [
            "dvc.yaml:5: stage raw names the parameter dataset.raws, which contract.yaml does not have; did you mean"
            " 'dataset.raw'?"
        ],
    ),
    "a parameter that params.yaml has not": (
        {"params.yaml": ("split: {train: 0.5, ", "split: {")},
        [
            "dvc.yaml:13: stage dataset names the parameter split.train, which params.yaml does not have; did you mean"
            " 'split.validation'?"
        ],
    ),
    "an input that nobody makes": (
        {"dvc.yaml": ("[src/bpm_faults/request.py", "[src/bpm_faults/requests.py")},
        ["dvc.yaml:6: stage raw reads src/bpm_faults/requests.py, which is not there and which no stage makes"],
    ),
    "a table that moved": (
        {"contract.yaml": ("raw: data/raw.parquet", "raw: data/rows.parquet")},
        [
            "README.md:3: `data/raw.parquet` was dataset.raw before, and is gone",
            "contract.yaml:28: dataset.raw is data/rows.parquet, and no stage of dvc.yaml makes it; did you mean"
            " 'data/raw.parquet'?",
            "dvc.yaml:7: data/raw.parquet was dataset.raw before, and is gone, also on line 14",
        ],
    ),
    "a table that is not asked for any more": (
        {"contract.yaml": ("  labels: data/labels.parquet\n", "")},
        ["dvc.yaml:7: data/labels.parquet was dataset.labels before, and is gone, also on line 14"],
    ),
    "an input that has another name": (
        {"contract.yaml": ("turns", "positions")},
        [
            "README.md:3: `turns` was an input before, and is gone",
            'src/bpm_faults/dataset.py:3: "turns" was an input before, and is gone',
        ],
    ),
    "a metric that has another name": (
        {"contract.yaml": ("name: auc", "name: area")},
        [
            "contract.yaml:49: metric area has no measure, and no code of the project computes it",
            'src/bpm_faults/evaluate.py:4: "auc" was a metric before, and is gone',
        ],
    ),
    "a target that has another name": (
        {"contract.yaml": ("target: faulty", "target: broken")},
        ['src/bpm_faults/dataset.py:3: "faulty" was a target before, and is gone'],
    ),
    "a split that has another name": (
        {"contract.yaml": ("validation", "tuning")},
        [
            "params.yaml:1: validation was a split before, and is gone",
            'src/bpm_faults/settings.py:16: "validation" was a split before, and is gone',
        ],
    ),
    "a module that is gone": (
        {"src/bpm_faults/dataset.py": None},
        [
            "dvc.yaml:10: it runs `python -m bpm_faults.dataset`, and there is no src/bpm_faults/dataset.py",
            f"scripts/look.py:1: it {NOT_THERE}",
            f"src/bpm_faults/limits.py:1: it {NOT_THERE}",
            f"tests/unit/test_rows.py:3: it {NOT_THERE}",
        ],
    ),
    "a command of the contract that is gone": (
        {"src/bpm_faults/evaluate.py": None},
        [
            "contract.yaml:47: it runs `python -m bpm_faults.evaluate`, and there is no src/bpm_faults/evaluate.py",
            "src/bpm_faults/serving.py: nothing imports this module and no stage runs it, and the pipeline used it"
            " before",
        ],
    ),
    "a command of the Makefile that is gone": (
        {"src/bpm_faults/show.py": None},
        ["Makefile:3: it runs `python -m bpm_faults.show`, and there is no src/bpm_faults/show.py"],
    ),
    "a package that is not a program": (
        {"Makefile": ("bpm_faults.show", "bpm_faults.plugins")},
        [
            "Makefile:3: it runs `python -m bpm_faults.plugins`, and the package has no"
            " src/bpm_faults/plugins/__main__.py",
            "src/bpm_faults/show.py: nothing imports this module and no stage runs it, and the pipeline used it before",
        ],
    ),
    "a file that is gone": (
        {"tables/limits.csv": None},
        ['src/bpm_faults/limits.py:3: "tables/limits.csv" was a file before, and is gone'],
    ),
    "a stage's script that is gone": (
        {"dvc.yaml": ("scripts/look.py", "scripts/look_at.py")},
        ["dvc.yaml:11: stage dataset runs scripts/look_at.py, which is not there"],
    ),
    "a module whose stage is gone": (
        {"dvc.yaml": (" && cd .. && python -m bpm_faults.limits", "")},
        ["src/bpm_faults/limits.py: nothing imports this module and no stage runs it, and the pipeline used it before"],
    ),
    "a module that only its test imports now": (
        {
            "src/bpm_faults/limits.py": ("from bpm_faults.dataset import columns", "columns = []"),
            "dvc.yaml": ("-m bpm_faults.dataset", "-m bpm_faults.limits"),
            "scripts/look.py": ("bpm_faults.dataset", "bpm_faults.limits"),
        },
        ["src/bpm_faults/dataset.py: only tests import this module, and the pipeline used it before"],
    ),
    "a module that nothing names": (
        {"notebooks/look.ipynb": ("from bpm_faults import noted", "import numpy")},
        ["src/bpm_faults/noted.py: nothing imports this module and no stage runs it, and the pipeline used it before"],
    ),
    "a new module that nothing names": (
        {"src/bpm_faults/new.py": ("", "def draw():\n    return 0\n")},
        ["src/bpm_faults/new.py: nothing imports this module and no stage runs it"],
    ),
    "a test of what is gone": (
        {"src/bpm_faults/for_tests.py": ("def rows", "def tables")},
        ["tests/unit/test_rows.py:4: it imports rows from bpm_faults.for_tests, where no rows is"],
    ),
    "a parameter that no code reads": (
        {
            "params.yaml": (
                "learning-rate",
                "dropout: 0.1\ntrials: {space: {train.epochs: {int: [1, 9], log: true}}}\nlearning-rate",
            ),
            "dvc.yaml": ("split.validation, ", "split.validation, dropout, "),
        },
        ["params.yaml:4: dropout is a parameter that no code reads"],
    ),
    "a section of parameters that no code reads any more": (
        {"src/bpm_faults/settings.py": ('read()["forest"], ', "")},
        ["params.yaml:3: forest is a parameter that no code reads"],
    ),
    "a parameter that its type does not have": (
        {"src/bpm_faults/settings.py": ("def grow", TYPED), "params.yaml": ("epochs: 5", "epochs: 5, dropout: 0.1")},
        ["params.yaml:2: train.dropout is a parameter that no code reads"],
    ),
    "a seed that is not there": (
        {"params.yaml": ("seed: 0, ", "")},
        ["contract.yaml:51: reproducibility.seed_at is params.yaml:train.seed, and params.yaml has no train.seed"],
    ),
    "a document of a parameter that is gone": (
        {"params.yaml": ("epochs", "rounds"), "dvc.yaml": ("{train.epochs", "{train.rounds")},
        ["README.md:9: `train.epochs` was a key of params.yaml before, and is gone"],
    ),
    "a document of a stage that is gone": (
        {"dvc.yaml": ("  dataset:", "  rows:")},
        ["README.md:3: `dvc repro dataset` was a stage before, and is gone"],
    ),
    "a document of a command that is gone": (
        {"docs/the model.md": ("See", "Run `python -m bpm_faults.gone`. See")},
        ["docs/the model.md:1: it runs `python -m bpm_faults.gone`, and there is no src/bpm_faults/gone.py"],
    ),
    "a link to what is gone": (
        {"docs/the model.md": None},
        ["README.md:5: it links to docs/the model.md, which is not there"],
    ),
}


def change(root: Path, edits: Edits) -> None:
    for name, edit in edits.items():
        file = root / name
        if edit is None:
            file.unlink()
            continue
        text = file.read_text() if file.exists() else ""
        assert edit[0] in text
        file.write_text(text.replace(*edit))


def found(root: Path) -> list[str]:
    return [*map(str, check_code(Project(root, base="main")).problems)]


@pytest.mark.slow
def test_what_is_odd_but_sound_is_not_named(fitting: Project) -> None:
    assert found(fitting.root) == []


@pytest.mark.slow
@pytest.mark.parametrize("defect", DEFECTS)
def test_each_kind_of_misfit_is_named_in_its_place_and_nothing_else(fitting: Project, defect: str) -> None:
    edits, expected = DEFECTS[defect]
    change(fitting.root, edits)
    problems = check_code(fitting).problems
    assert [*map(str, problems)] == expected
    assert all(problem.hint for problem in problems)


@pytest.mark.slow
def test_a_fix_names_what_a_name_is_called_now(fitting: Project) -> None:
    change(fitting.root, {"contract.yaml": ("turns", "positions")})
    assert {problem.hint for problem in check_code(fitting).problems} == {
        "Write positions, or leave it where it means something else."
    }


@pytest.mark.slow
def test_a_name_of_one_letter_is_not_looked_for(contract_text: str) -> None:
    def gone(before: str, after: str) -> list[str]:
        texts = (contract_text.replace("target: faulty", f"target: {name}") for name in (before, after))
        return [*gone_names(*map(parse_contract, texts))]

    assert gone("x", "y") == []
    assert gone("xx", "y") == ["xx"]


@pytest.mark.slow
def test_modules_that_are_imported_by_a_name_made_at_run_time_are_left_alone(fitting: Project) -> None:
    edits, expected = DEFECTS["a module that nothing names"]
    change(fitting.root, edits)
    assert found(fitting.root) == expected
    (fitting.root / "src/bpm_faults/plugins/registry.py").write_text(
        "import importlib\n\ndef load(name):\n    return importlib.import_module(f'bpm_faults.{name}')\n"
    )
    assert found(fitting.root) == []


@pytest.mark.slow
def test_an_input_that_only_this_machine_has_is_named(fitting: Project) -> None:
    change(fitting.root, {"dvc.yaml": ("outs: [data/raw.parquet, data/labels.parquet, ", "outs: [data/raw.parquet, ")})
    (fitting.root / "data").mkdir()
    (fitting.root / "data/labels.parquet").write_bytes(b"of a stage that is gone")
    what = "stage dataset reads data/labels.parquet, which git ignores and which no stage makes"
    assert found(fitting.root) == [
        "contract.yaml:29: dataset.labels is data/labels.parquet, and no stage of dvc.yaml makes it; did you mean"
        " 'data/raw.parquet'?",
        f"dvc.yaml:14: {what}; did you mean 'data/raw.parquet'?",
    ]


@pytest.mark.slow
def test_a_name_that_a_file_has_many_times_is_one_line(fitting: Project) -> None:
    (fitting.root / "src/bpm_faults/settings.py").write_text('turns = "turns"\n' * 8)
    change(fitting.root, {"contract.yaml": ("turns", "positions")})
    (line,) = [line for line in found(fitting.root) if "settings.py" in line and "turns" in line]
    assert line.endswith(
        'settings.py:1: "turns" was an input before, and is gone, also on lines 2, 3, 4, 5, 6 (and 2 more)'
    )


@pytest.mark.slow
def test_a_first_draft_is_not_asked_for_what_its_stages_do_not_make_yet(fitting: Project) -> None:
    change(fitting.root, {"contract.yaml": ("limits: metrics/limits.json", "limits: metrics/alarms.json")})
    assert len(found(fitting.root)) == 1
    change(fitting.root, {"contract.yaml": ("on_call:", "on_call: TODO whom to call # ")})
    assert found(fitting.root) == []


@pytest.mark.slow
def test_without_a_base_the_last_commit_says_what_is_gone(fitting: Project) -> None:
    change(fitting.root, {"contract.yaml": ("turns", "positions")})
    assert len(check_code(Project(fitting.root)).problems) == 2
    git = Project(fitting.root).git
    git("commit", "--all", "--quiet", "--message", "Another name")
    assert check_code(Project(fitting.root)).problems == ()
    assert check_code(Project(fitting.root)).notes[0].startswith(f"compared with commit {git.head()[:12]}")


def test_what_cannot_be_read_is_bad_input_with_file_and_line(fitting: Project) -> None:
    (fitting.root / "dvc.yaml").write_text("stages:\n  a: {cmd: [}\n")
    with pytest.raises(BadInput, match=r"^dvc\.yaml:2: not YAML"):
        check_code(fitting)


@pytest.mark.slow
def test_nothing_of_the_project_is_run(fitting: Project, git: Callable[..., str]) -> None:
    (fitting.root / "src/bpm_faults/__init__.py").write_text("open('ran', 'w')\n")
    (fitting.root / "params.py").write_text("open('ran', 'w')\n")
    found(fitting.root)
    assert "ran" not in git("status", "--short", "--ignored")
