"""Every use of the base branch's contract: where the pull request's own asks for less, it does not count.

Each case has the two contracts, and something that only the lenient one accepts. With the strict one on the base branch
it must not be accepted, and with the lenient one there it must: the contract of the base branch decides, nothing else.
"""

from __future__ import annotations

import ast
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from beampermit.errors import Problem
from beampermit.interlocks import runner
from beampermit.interlocks.families import select_interlocks
from beampermit.interlocks.inputs import Inputs
from beampermit.interlocks.model import Evaluators, Examined
from beampermit.interlocks.performance.base_rows import BaseRows
from beampermit.models import SavedModel
from beampermit.models.evaluation import Evaluator
from beampermit.models.scoring import Description, Field, Scores, ValueRange, single_row_scores
from beampermit.project import Project
from support.attacks import attack_case
from support.planted_models import DEVICE, NONE, PLANE, SHOT, THIS_ENVIRONMENT, Arena, write_table

pytestmark = pytest.mark.slow

SOURCE = Path(__file__).parents[3] / "src/beampermit"
GOOD = {"auc": 0.97, "false_alarm_rate": 0.01}
SCORED = Scores(
    seconds=1, memory=200, single_rows=2, p50=1, p99=2, worst=3, rows=2,
    columns={"score": ValueRange(rows=2, finite=True, low=0.1, high=0.9)},
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """`before` of the contract is replaced by `strict` and by `lenient`; `accepts` says whether the change is accepted.

    `keys` are the uses that it covers, as they stand in the source after `base_contract.`.
    """

    before: str
    strict: str
    lenient: str
    accepts: Callable[[Project, Any], bool]
    keys: tuple[str, ...]
    fixture: str = "project"


def verdict(project: Project, id: str, **given: Any) -> bool:
    (found,) = runner.run(select_interlocks([id]), Inputs(project=project, **given))
    assert found.exit_code in (0, 1), found.reason
    return found.passed


def prf001(metrics: dict[str, float], committed: dict[str, float]) -> Callable[[Project, Any], bool]:
    def accepts(project: Project, _: Any) -> bool:
        file = project.root / "metrics/metrics.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(committed))
        evaluators = Evaluators(Evaluator(THIS_ENVIRONMENT, project.root, project.contract, project.root))
        given = {"evaluators": evaluators, "base_rows": BaseRows(), "on_base_rows": None}
        return verdict(project, "PRF001", evaluated=metrics, judged=metrics, **given)

    return accepts


def rep003(project: Project, _: Any) -> bool:
    prf001(GOOD, {**GOOD, "auc": 0.98})(project, _)
    return verdict(project, "REP003", evaluated=GOOD)


def over_budget(**cost: float) -> Callable[[Project, Any], bool]:
    def accepts(project: Project, _: Any) -> bool:
        examined = Examined(None, SCORED.model_copy(update=cost), Path("scores.parquet"))
        return verdict(project, "MDL004", model=SavedModel(project.root, "model", {}), examined=examined)

    return accepts


def beyond_its_range(project: Project, _: Any) -> bool:
    score = Field(name="score", type="float", shape=None)
    loaded = Description(
        inputs=(Field(name="turns", type="float32", shape=(-1, 250)),), outputs=(score,),
        example=SCORED.columns, accepted=(),
    )  # fmt: skip
    (project.root / "artifacts").mkdir(exist_ok=True)
    shutil.copy(project.root / "contract.yaml", project.root / "artifacts")
    seen = Examined(loaded, SCORED, Path("scores.parquet"))
    return verdict(project, "MDL003", model=SavedModel(project.root, "model", {}), examined=seen)


def scores_apart(project: Project, _: Any) -> bool:
    scores = project.root / ".git/scores.parquet"
    if not scores.exists():
        write_table(scores, score=np.array([0.5, 0.25]))
        keys = {'"beampermit.row"': np.array([0, 0]), '"beampermit.round"': np.array([0, 1])}
        write_table(single_row_scores(scores), **keys, score=np.array([0.5, 0.5]))
        write_table(project.root / "training.parquet", score=np.array([0.6, 0.25]))
    return verdict(project, "MDL005", examined=Examined(None, SCORED, scores))


def retrained(looks: Callable[[Any, Any], bool]) -> Callable[[Project, Any], bool]:
    """REP001 and REP002 hand the base branch's contract to the training; what it does with it stands there."""

    def accepts(project: Project, monkeypatch: pytest.MonkeyPatch) -> bool:
        seen: dict[str, Any] = {}

        def reproduce(_: Any, contract: Any, *__: Any, **options: Any) -> Any:
            seen.update(contract=contract, **options)
            return SimpleNamespace()

        monkeypatch.setattr("beampermit.reproduction.reproduce.reproduce", reproduce)
        Inputs(project=project, environment=THIS_ENVIRONMENT)["retrained"]
        return looks(seen["contract"], seen["seeds"])

    return accepts


def another_name(project: Project, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Under another name nothing is in service, so nothing would have to be better."""
    champions = {"bpm-faults": "the model in service"}
    ledger = SimpleNamespace(fetch=lambda: None, champion=champions.get)
    monkeypatch.setattr("beampermit.registry.ledger.Ledger", lambda _: ledger)
    return Inputs(project=project)["champion"] is None


def worse_than_champion(project: Project, arena: Arena) -> bool:
    return arena.against(NONE, arena.faulty & (SHOT == 3)).outcome == "passed"


def by_chance(project: Project, arena: Arena) -> bool:
    """The champion errs on one device, the challenger on half of another: of ten devices that is chance."""
    return arena.against((DEVICE == 3), (DEVICE == 5) & (SHOT % 2 == 0)).outcome == "passed"


def bad_group(project: Project, arena: Arena) -> bool:
    arena.project = project
    examined = Examined(None, None, arena.scores("challenger", (PLANE == 1) & (SHOT < 4)))
    return verdict(project, "PRF003", examined=examined, evaluators=arena.evaluators(project))


def other_rows(project: Project, _: Any) -> bool:
    for file in ("test", "easy"):
        (project.root / "data/dataset").mkdir(parents=True, exist_ok=True)
        (project.root / f"data/dataset/{file}.parquet").touch()
    return Inputs(project=project)["judged_rows"].name == "easy.parquet"


def other_evaluation(project: Project, _: Any) -> bool:
    if not (project.root / "src").exists():
        main = project.git("rev-parse", "main")
        (project.root / "manifest.json").write_text("{}")
        (project.root / "src").mkdir()
        project.git("add", "--all")
        project.git("commit", "--quiet", "--message", "A model")
        tree = project.git("rev-parse", "HEAD^{tree}")
        contract = project.git("rev-parse", f"{main}:contract.yaml")
        entries = project.git("ls-tree", tree).splitlines()
        listed = "\n".join(
            line if not line.endswith("\tcontract.yaml") else f"100644 blob {contract}\tcontract.yaml"
            for line in entries
        )
        strict = project.git("mktree", stdin=listed + "\n")
        project.git("update-ref", "refs/heads/main", project.git("commit-tree", strict, "-p", main, "-m", "Strict"))
        (project.root / "data/dataset").mkdir(parents=True)
        (project.root / "data/dataset/test.parquet").touch()
        (project.root / ".git/info/exclude").write_text("/data\n")
        (project.root / "numbers.json").touch()
    project = Project(project.root, base="main")
    command = project.base_contract.evaluation.command
    base = Inputs(project=project, environment=THIS_ENVIRONMENT)["evaluators"].base
    return base is None or base.contract.evaluation.command != command


def data(id: str) -> Callable[[Project, Any], bool]:
    return lambda project, _: verdict(project, id)


def gpu(project: Project, _: Any) -> bool:
    return float(Inputs(project=project)["required_gpu"].capability) <= 6


def lets_through(project: Project, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setenv("BEAMPERMIT_ENVIRONMENT", sys.prefix)
    monkeypatch.setenv("LAB_ADDRESS", "somewhere")
    return "LAB_ADDRESS" in Inputs(project=project)["environment"].clean_variables(project.root)


def lock_lacks_cuda(project: Project, monkeypatch: pytest.MonkeyPatch) -> bool:
    def uncovered(_lock: Any, _platforms: Any, accelerators: Any) -> Iterator[Problem]:
        yield from (Problem("there is no cuda", "uv.lock") for name in accelerators if name == "cuda")

    monkeypatch.setattr("beampermit.interlocks.environment.uncovered", uncovered)
    return verdict(project, "ENV003", lock=SimpleNamespace(all=(), packages=()))


def foreign_index(project: Project, monkeypatch: pytest.MonkeyPatch) -> bool:
    def untrusted(_lock: Any, allowed: Any, *_: Any) -> Iterator[Problem]:
        yield from () if "https://foreign.example" in allowed else (Problem("foreign", "uv.lock"),)

    monkeypatch.setattr("beampermit.interlocks.environment.untrusted", untrusted)
    monkeypatch.setattr("beampermit.interlocks.environment.unlisted", lambda *_: iter(()))
    monkeypatch.setattr("beampermit.interlocks.environment._before", lambda *_: None)
    lock = SimpleNamespace(all=(SimpleNamespace(packages=()),), sources=())
    return verdict(project, "ENV004", lock=lock, specification=None, backend=None)


ANSWER = "range: [0, 1], high: 0.5, hihi: 0.9, default: 1.0"
COMMAND, PLOTS = "  command: [", "  plots: metrics/plots.json\n"
SAMPLED = "  tolerance: {relative: 0.5, because: Rows are sampled.}\n"
SCORES = "  scores: training.parquet\n"
METRIC, OUTPUT = "tolerance: 0.005, description: A", "default: 1.0, tolerance: 1.0e-4"
TEXT = (Path(__file__).parents[2] / "data/contract.yaml").read_text()
MIDDLE = TEXT[TEXT.index(OUTPUT) : TEXT.index(COMMAND) + len(COMMAND)]
"""From the output to what evaluates it."""
KEY = "  key: [acquisition, device, plane]"
BY = "split: {by: [acquisition, device], time: acquired_at}"
TEST = "data/dataset/test.parquet"

CASES = {
    "PRF001 gate": Case(
        "gate: 0.95", "gate: 0.95", "gate: 0.5", prf001({**GOOD, "auc": 0.6}, {**GOOD, "auc": 0.6}), ("metrics",)
    ),
    "PRF001 tolerance": Case(
        COMMAND, COMMAND, SAMPLED + COMMAND, prf001(GOOD, {**GOOD, "auc": 0.98}), ("evaluation.agree",)
    ),
    "PRF001 rows": Case(TEST, TEST, "data/dataset/easy.parquet", other_rows, ("evaluation.inputs",)),
    "PRF001 what counts as a result": Case(
        PLOTS, PLOTS, "  plots: numbers.json\n", other_evaluation,
        ("evaluation", "reproducibility", "model.manifest", "dataset.lineage", "monitoring.limits"),
    ),
    "REP003 tolerance": Case(COMMAND, COMMAND, SAMPLED + COMMAND, rep003, ("evaluation",)),
    "REP001 tolerance": Case(
        METRIC, METRIC, METRIC.replace("0.005", "0.5"),
        retrained(lambda contract, _: contract.metrics[0].tolerance == 0.5), ("reproducibility",),
    ),
    "REP001 tolerance of an output": Case(
        OUTPUT, OUTPUT, OUTPUT.replace("1.0e-4", "50%"),
        retrained(lambda contract, _: contract.signals.outputs[0].tolerance == "50%"), ("signals.outputs",),
    ),
    "REP002 seeds": Case(
        "seeds: [0, 1, 2],", "seeds: [0, 1, 2], spread: pull-request,", "seeds: [0], spread: pull-request,",
        retrained(lambda _, seeds: len(seeds) == 1), ("reproducibility",),
    ),
    "REP001 put off": Case(
        "seeds: [0, 1, 2],", "seeds: [0, 1, 2],", "seeds: [0, 1, 2], retrain: release,",
        lambda project, _: "REP001" in runner.put_off(project), ("reproducibility",),
    ),
    "PRF002 name": Case("name: bpm-faults\n", "name: bpm-faults\n", "name: two\n", another_name, ("model.name",)),
    "PRF002 margin": Case(
        "champion_margin: 0.005", "champion_margin: 0.005", "champion_margin: 0.5", worse_than_champion, ("metrics",),
        "arena",
    ),
    "PRF002 resampling columns": Case(
        BY, "split: {by: [device]}", "split: {by: [acquisition]}", by_chance, (), "arena"
    ),
    "PRF003 gate": Case(
        "gate: 0.95, ", "gate: 0.95, subgroups: [{by: plane, gate: 0.9}], ", "gate: 0.95, ", bad_group, (), "arena"
    ),
    "MDL004 latency": Case("latency: 50ms", "latency: 50ms", "latency: 5s", over_budget(p99=60), ("budget",)),
    "MDL004 memory": Case("memory: 2048", "memory: 2048", "memory: 9999", over_budget(memory=3000), ("budget",)),
    "MDL005 tolerance": Case(
        MIDDLE, MIDDLE.replace(COMMAND, SCORES + COMMAND),
        MIDDLE.replace(COMMAND, SCORES + COMMAND).replace(OUTPUT, f"{OUTPUT}, score_tolerance: 1"), scores_apart,
        ("signals.outputs",),
    ),
    "MDL003 range": Case(
        ANSWER, "range: [0, 0.85], high: 0.5, hihi: 0.85, default: 0.8", ANSWER, beyond_its_range, ("signals.outputs",)
    ),
    "DAT004 range": Case("range: [-20, 20]", "range: [-2, 2]", "range: [-9, 9]", data("DAT004"), (), "dvc_project"),
    "DAT004 range of a target": Case(
        ANSWER, "range: [0, 0.85], high: 0.5, hihi: 0.85, default: 0.8, target: faulty", f"{ANSWER}, target: faulty",
        data("DAT004"), ("signals.outputs",), "dvc_project",
    ),
    "DAT004 values": Case(
        BY, "columns: [{name: plane, values: [Y]}]\n  " + BY, "columns: [{name: plane, values: [X, Y]}]\n  " + BY,
        data("DAT004"), ("dataset",), "dvc_project",
    ),
    "DAT004 values taken away": Case(
        BY, "columns: [{name: plane, values: [Y]}]\n  " + BY, BY, data("DAT004"), ("dataset",), "dvc_project",
    ),
    "DAT004 key": Case(KEY, "  key: [device, plane]", KEY, data("DAT004"), ("dataset.key",), "dvc_project"),
    "DAT005 groups": Case(
        BY, "split: {by: [plane], time: acquired_at}", BY, data("DAT005"), ("dataset", "dataset.split"), "dvc_project"
    ),
    "DAT006 target": Case(
        "target: faulty", "target: broken", "target: faulty", data("DAT006"), ("dataset.model_copy",), "dvc_project"
    ),
    "ENV003 accelerators": Case(
        "  backend: uv", "  backend: uv\n  accelerators: [cpu, cuda]", "  backend: uv", lock_lacks_cuda,
        ("environment",),
    ),
    "ENV004 indexes": Case(
        "  backend: uv", '  backend: uv\n  indexes: ["https://own.example"]',
        '  backend: uv\n  indexes: ["https://foreign.example"]', foreign_index, ("environment.indexes",),
    ),
    "environment variables": Case(
        "  backend: uv", "  backend: uv", "  backend: uv\n  variables: [LAB_ADDRESS]", lets_through,
        ("environment.variables",),
    ),
    "TST003 GPU": Case(
        "  backend: uv\n", '  backend: uv\n  accelerators: [cpu, cuda]\ntests: {gpu: {capability: "9.0"}}\n',
        '  backend: uv\n  accelerators: [cpu, cuda]\ntests: {gpu: {capability: "6.0"}}\n', gpu, ("tests.gpu",),
    ),
}  # fmt: skip
ELSEWHERE = {
    "dataset.in_git": "tests/unit/interlocks/data/test_strays.py",
    "dataset.labels": "tests/unit/interlocks/data/test_labels.py",
    "reproducibility.folds": "tests/unit/interlocks/test_folds.py",
    "serving.deployment": "tests/unit/interlocks/test_operations.py",
    "incomparable": "tests/unit/interlocks/performance/test_incomparable.py",
    "tests": "tests/unit/interlocks/test_unrun_tests.py",
    "tests.style": "tests/unit/interlocks/test_style.py",
    "signals.inputs": "tests/unit/interlocks/performance/test_base_rows.py",
    "monitoring.recorded": "tests/unit/interlocks/test_reuse.py",
}
"""Uses that another file of tests covers."""


@pytest.fixture
def sides(request: pytest.FixtureRequest) -> Callable[[Case], tuple[Project, Any]]:
    """A pull request with the lenient contract, and the strict one on the base branch."""

    def make(case: Case) -> tuple[Project, Any]:
        made: Any = request.getfixturevalue(case.fixture)
        project: Project = made.project if isinstance(made, Arena) else made
        git, contract = project.git, project.root / "contract.yaml"
        text = contract.read_text()
        assert case.before in text
        for branch, part in (("main", case.strict), ("lenient", case.lenient)):
            git("switch", "--quiet", *(["--create"] if branch == "lenient" else []), branch)
            contract.write_text(text.replace(case.before, part))
            git("commit", "--quiet", "--all", "--allow-empty", "--message", branch)
        return Project(project.root, base="main"), made if isinstance(made, Arena) else None

    return make


@pytest.mark.parametrize(
    "name",
    [
        attack_case(
            name, guard="base", tried="a pull request loosens what judges it in its own contract", said="not accepted"
        )
        for name in CASES
    ],
)
def test_the_contract_of_the_base_branch_decides(
    sides: Callable[[Case], tuple[Project, Any]], monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    case = CASES[name]
    project, arena = sides(case)
    answers = {True: "accepted", False: "not accepted"}
    assert answers[case.accepts(project, arena or monkeypatch)] == said
    project.git("update-ref", "refs/heads/main", project.git("rev-parse", "lenient"))
    project.git("commit", "--quiet", "--allow-empty", "--message", "Not merged yet")
    assert case.accepts(Project(project.root, base="main"), arena or monkeypatch), "only the base branch made it fail"


def test_every_use_of_the_base_contract_has_a_case() -> None:
    covered = {key for case in CASES.values() for key in case.keys} | ELSEWHERE.keys()
    parts = {key.split(".")[0] for key in covered if "." in key}
    used = {key: file for file in sorted(SOURCE.glob("interlocks/**/*.py")) for key in _uses(file)}
    assert {key: str(file) for key, file in used.items() if key not in covered | parts} == {}


def _uses(file: Path) -> Iterator[str]:
    """`budget` of `base_contract.budget`, `dataset.key` of `project.base_contract.dataset.key`."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            text = ast.unparse(node)
            if "base_contract." in text and "(" not in text:
                yield ".".join(text.split("base_contract.", 1)[1].split(".")[:2])
