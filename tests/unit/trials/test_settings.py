"""What params.yaml says of trials is refused with file, line and what to write where it is wrong."""

from __future__ import annotations

import optuna
import pytest

from beampermit.contract import Contract, parse_contract
from beampermit.errors import BadInput
from beampermit.trials.records import Direction
from beampermit.trials.sampling import new_pruner, new_sampler
from beampermit.trials.settings import Settings, read_settings
from beampermit.trials.study import quiet_optuna
from support.searched_project import PARAMS

HEAD = PARAMS[: PARAMS.index("trials:")]


@pytest.fixture(scope="module")
def contract(contract_text: str) -> Contract:
    return parse_contract(contract_text)


def settings(contract: Contract, section: str) -> Settings:
    return read_settings(f"{HEAD}trials:\n{section}", contract)


def test_all_kinds_of_parameters_are_read(contract: Contract) -> None:
    read = settings(
        contract,
        "  space:\n"
        "    train.drop: {float: [0.1, 0.5], step: 0.1, when: {train.kind: deep}}\n"
        "    train.kind: {choice: [wide, deep]}\n"
        "    train.x: {float: [1e-3, 1], log: true}\n"
        "    train.inputs: {subset: [turns, tune, bunch]}\n"
        "  sampler: {kind: tpe, startup: 5}\n"
        "  objectives: [auc, validation_loss]\n",
    )
    assert [one.path for one in read.space.parameters if one.when] == ["train.drop"]
    paths = [one.path for one in read.space.parameters]
    assert paths.index("train.kind") < paths.index("train.drop")
    assert [(one.name, one.direction) for one in read.objectives] == [
        ("auc", Direction.MAXIMIZE),
        ("validation_loss", Direction.MINIMIZE),
    ]
    assert str(read.sampler) == "tpe, startup 5"
    assert read.lines["train.x"] == 14


SPACE = "  space: {train.x: {float: [0, 1]}, train.depth: {int: [1, 8]}}\n"
DEFECTS = {
    "unknown key": ("  spaces: {}\n", 11, "trials.spaces: unknown key 'spaces'; did you mean 'space'?"),
    "no space": ("  seed: 1\n", 10, "trials.space: names what is tried of which parameters, and is empty"),
    "empty range": (
        "  space:\n    train.x: {float: [2, 2]}\n",
        12,
        "trials.space.train.x.float: the range 2 to 2 is empty",
    ),
    "the wrong way round": ("  space:\n    train.x: {float: [2, 1]}\n", 12, "the range 2 to 1 is empty"),
    "not in params.yaml": (
        "  space:\n    train.deepth: {int: [1, 8]}\n",
        12,
        "params.yaml has no parameter train.deepth; did you mean 'train.depth'?",
    ),
    "two kinds": ("  space:\n    train.x: {float: [0, 1], int: [0, 1]}\n", 12, "one of float, int, choice, subset"),
    "no kind": ("  space:\n    train.x: {flaot: [0, 1]}\n", 12, "not 'flaot'; did you mean 'float'?"),
    "no mapping": (
        "  space:\n    train.x: [0, 1]\n",
        12,
        "says what is tried, such as {float: [0.001, 0.1], log: true}",
    ),
    "another kind's key": (
        "  space:\n    train.kind: {choice: [wide, deep], log: true}\n",
        12,
        "unknown key 'log' of choice",
    ),
    "three ends": ("  space:\n    train.x: {float: [0, 1, 2]}\n", 12, "is the lowest and the highest value"),
    "infinite": ("  space:\n    train.x: {float: [0, .inf]}\n", 12, "is the lowest and the highest value"),
    "log of zero": ("  space:\n    train.x: {float: [0, 1], log: true}\n", 12, "with log, the lowest value is above 0"),
    "log and step": (
        "  space:\n    train.x: {float: [1, 2], log: true, step: 0.1}\n",
        12,
        "log and step exclude each other",
    ),
    "too wide a step": (
        "  space:\n    train.x: {float: [1, 2], step: 1.5}\n",
        12,
        "step is a number above 0 and at most 1",
    ),
    "parts of an int": ("  space:\n    train.depth: {int: [1, 8.5]}\n", 12, "int takes whole numbers"),
    "int of a float": ("  space:\n    train.x: {int: [1, 8]}\n", 12, "int takes whole numbers, in params.yaml as well"),
    "float of a text": (
        "  space:\n    train.kind: {float: [0, 1]}\n",
        12,
        "is 'wide' in params.yaml, which is no number",
    ),
    "one choice": ("  space:\n    train.kind: {choice: [wide]}\n", 12, "choice is a list of two or more"),
    "the same twice": ("  space:\n    train.kind: {choice: [wide, wide]}\n", 12, "has one of its values twice"),
    "subset of a number": ("  space:\n    train.x: {subset: [a, b]}\n", 12, "is 1.0 in params.yaml, which is no list"),
    "a whole section": (
        "  space:\n    train: {choice: [1, 2]}\n    train.x: {float: [0, 1]}\n",
        13,
        "is a part of train",
    ),
    "a condition on nothing": (
        "  space:\n    train.x: {float: [0, 1], when: {train.kind: wide}}\n",
        12,
        "train.kind is not in the space, so it never changes",
    ),
    "a condition never met": (
        "  space:\n    train.kind: {choice: [wide, deep]}\n    train.x: {float: [0, 1], when: {train.kind: round}}\n",
        13,
        "train.kind is never 'round'",
    ),
    "a condition on a number": (
        "  space:\n    train.depth: {int: [1, 2]}\n    train.x: {float: [0, 1], when: {train.depth: 1}}\n",
        13,
        "train.depth is no choice, and conditions are on choices",
    ),
    "a circle": (
        "  space:\n    train.kind: {choice: [a, b], when: {train.does: a}}\n"
        "    train.does: {choice: [a, b], when: {train.kind: a}}\n",
        11,
        "the conditions are a circle: ",
    ),
    "a metric that is none": (f"{SPACE}  objectives: [ac]\n", 12, "there is no metric 'ac'; did you mean 'auc'?"),
    "a metric twice": (f"{SPACE}  objectives: [auc, auc]\n", 12, "auc is there twice"),
    "a direction that is none": (f"{SPACE}  objectives: {{auc: up}}\n", 12, "is minimize or maximize, and is 'up'"),
    "a sampler that is none": (f"{SPACE}  sampler: tpee\n", 12, "is one of tpe, cmaes, random, grid, and is 'tpee'"),
    "an option that is none": (f"{SPACE}  sampler: {{kind: tpe, start: 5}}\n", 12, "tpe has no option 'start'"),
    "an option below 0": (f"{SPACE}  sampler: {{kind: tpe, startup: -1}}\n", 12, "not below 0, and is -1"),
    "grid without step": (f"{SPACE}  sampler: grid\n", 11, "a grid needs the step of a float"),
    "cmaes of a choice": (
        "  space: {train.x: {float: [0, 1]}, train.kind: {choice: [wide, deep]}}\n  sampler: cmaes\n",
        11,
        "cmaes takes numbers alone, and this is a choice: use tpe",
    ),
    "cmaes of one": (
        "  space: {train.x: {float: [0, 1]}}\n  sampler: cmaes\n",
        12,
        "cmaes needs two parameters or more",
    ),
    "cmaes of two objectives": (
        f"{SPACE}  sampler: cmaes\n  objectives: [auc, validation_loss]\n",
        12,
        "one objective",
    ),
    "pruner of two": (f"{SPACE}  pruner: median\n  objectives: [auc, validation_loss]\n", 12, "nothing is pruned"),
    "pruner of a metric": (f"{SPACE}  pruner: median\n  objectives: [auc]\n", 12, "and the objective is auc"),
    "a choice that is no number": (
        "  space:\n    train.x: {choice: [.nan, 1]}\n",
        12,
        "nan is no number that a trial can",
    ),
    "a choice deep inside": (
        "  space:\n    train.x: {choice: [[{a: .inf}], 1]}\n",
        12,
        "inf is no number that a trial can",
    ),
    "a choice too large": (
        f"  space:\n    train.x: {{choice: [{2**64}, 1]}}\n",
        12,
        "whole numbers are from -2**63 to 2**",
    ),
    "a choice of half a character": (
        '  space:\n    train.kind: {choice: ["\\ud800", b]}\n',
        12,
        'choice: "\\ud800" has half of a character',
    ),
    "a float too large": (
        f"  space:\n    train.x: {{float: [0.1, {10**400}]}}\n",
        12,
        "wider than the largest number, 1.8e308: [0.1, 1000",
    ),
    "a float too wide": (
        "  space:\n    train.x: {float: [-1e308, 1e308]}\n",
        12,
        "the range is wider than the largest",
    ),
    "a step too small": (
        "  space:\n    train.x: {float: [0, 1e308], step: 1e-300}\n",
        12,
        "with a step of 1e-300 there are more values",
    ),
    "an int too large": (
        f"  space:\n    train.depth: {{int: [4, {2**53 + 1}]}}\n",
        12,
        "whole numbers are from -2**53 to 2**53, and this",
    ),
    "an int too small": (
        f"  space:\n    train.depth: {{int: [{-(2**53) - 1}, 4]}}\n",
        12,
        "whole numbers are from -2**53 to 2**53, and",
    ),
    "an int of 5000 digits": (
        f"  space:\n    train.depth: {{int: [4, 0x{'f' * 5000}]}}\n",
        12,
        "and this is a number of thousands of digits",
    ),
    "a condition without a value": (
        "  space:\n    train.kind: {choice: [wide, deep]}\n    train.x: {float: [0, 1], when: {train.kind: []}}\n",
        13,
        "train.x.when.train.kind: without a value, this is never tried",
    ),
    "a module that is none": (f"{SPACE}  module: lab-trial\n", 12, "is a name of a Python module, such as lab.trial"),
    "a module too long": (
        f"{SPACE}  module: {'a' * 201}\n",
        12,
        "is a name of a Python module, such as lab.trial, and",
    ),
    "hyperband the wrong way": (f"{SPACE}  pruner: {{kind: hyperband, min: 10, max: 9}}\n", 12, "max is 9, below min"),
    "hyperband in optuna's word": (f"{SPACE}  pruner: {{kind: hyperband, max: auto}}\n", 12, "max: is a whole number"),
    "hyperband of one part": (f"{SPACE}  pruner: {{kind: hyperband, factor: 1}}\n", 12, "not below 2, and is 1"),
    "hyperband from nothing": (f"{SPACE}  pruner: {{kind: hyperband, min: 0}}\n", 12, "not below 1, and is 0"),
    "an interval of nothing": (f"{SPACE}  pruner: {{kind: median, interval: 0}}\n", 12, "not below 1, and is 0"),
    "a startup too late": (f"{SPACE}  sampler: {{kind: tpe, startup: {2**53 + 1}}}\n", 12, "not below 0, and is 90071"),
    "a sigma of nothing": (f"{SPACE}  sampler: {{kind: cmaes, sigma: 0}}\n", 12, "is a number above 0, and is 0"),
    "a seed that is none": (f"{SPACE}  seed: -1\n", 12, "is a whole number from 0, and is -1"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_refused_with_its_line(contract: Contract, defect: str) -> None:
    section, line, message = DEFECTS[defect]
    with pytest.raises(BadInput) as caught:
        settings(contract, section)
    problems = caught.value.problems
    found = next((problem for problem in problems if message in problem.message), None)
    assert found is not None, [str(problem) for problem in problems]
    assert (found.file, found.line) == ("params.yaml", line)


@pytest.mark.slow
def test_what_is_just_inside_of_the_limits_can_be_drawn(contract: Contract) -> None:
    space = (
        f"  space:\n    train.x: {{float: [-8.0e+307, 8.0e+307]}}\n    train.depth: {{int: [{-(2**53)}, {2**53}]}}\n"
        f"    train.kind: {{choice: [{-(2**63)}, {2**64 - 1}]}}\n  module: {'a' * 200}\n"
    )
    quiet_optuna()
    several = "  space: {train.x: {float: [-8.0e+307, 8.0e+307]}, train.depth: {int: [1, 2]}}\n"
    for section in (
        f"{space}  pruner: {{kind: hyperband, min: 9, max: 9, factor: 2}}\n",
        f"{space}  sampler: {{kind: tpe, startup: 0}}\n  pruner: {{kind: median, startup: 0, interval: 1}}\n",
        f"{several}  sampler: {{kind: cmaes, startup: 0, sigma: 1.0e-9}}\n",
        f"{space}  pruner: {{kind: hyperband, max: {2**53}}}\n",
        f"{space}  pruner: {{kind: hyperband, min: 9}}\n",  # no trial has so many steps
    ):
        read = settings(contract, section)
        study = optuna.create_study(sampler=new_sampler(read, 0), pruner=new_pruner(read.pruner))
        for _ in range(4):
            trial = study.ask()
            read.space.suggest(trial)
            trial.report(1.0, 1)
            trial.should_prune()
            study.tell(trial, 1.0)


def test_a_grid_has_a_limit(contract: Contract) -> None:
    space = "  space: {{train.x: {{float: [0, 1], step: {}}}, train.depth: {{int: [1, 1000]}}}}\n  sampler: grid\n"
    assert settings(contract, space.format(0.01010101)).space.most_points == 100_000
    with pytest.raises(BadInput, match="the grid has 101000 points, 100000 is the limit"):
        settings(contract, space.format(0.01))


def test_no_section_says_where_it_is_described(contract: Contract) -> None:
    with pytest.raises(BadInput, match="there is no section trials") as caught:
        read_settings(HEAD, contract)
    assert "docs/trials.md" in caught.value.hint
