"""Every question of `cookiecutter.json`, answered otherwise than by its default: the project is still sound.

The questions and their choices are read from the template, so a new one is tested without anybody remembering it.
"""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Callable
from configparser import ConfigParser
from pathlib import Path

import pytest
import yaml
from ruff import find_ruff_bin

from beampermit.code.check import check_code
from beampermit.contract import load_contract
from beampermit.environments.choice import backend_of
from beampermit.environments.conda_lock import CondaLock
from beampermit.errors import Outside
from beampermit.generation import generate
from beampermit.generation.answers import complete
from beampermit.generation.template import questions
from beampermit.interlocks import runner
from beampermit.interlocks.families import select_interlocks
from beampermit.interlocks.tests import find_marks
from beampermit.processes import run
from beampermit.project import Project
from beampermit.rehearsal import FILES
from beampermit.template import template_folder
from support.filled_projects import project_to_read

pytestmark = pytest.mark.slow

OTHER = {
    "project_slug": "a",
    "package_name": "zzz_a_long_name_of_a_package_that_sorts_last",
    "summary": 'It\'s "quoted": #1 \\ [x]',
    "maintainer_name": "Zoë: O'Neill",
    "maintainer_email": "zoe+ml@lab.example",
    "deputy_name": "李 #𠮷 👩\u200d🔬",
    "deputy_email": "li@lab.example",
    "on_call": "yes",
    "logbook": "http://127.0.0.1/log?q=a&b=c",
    "review_by": "2098-12-31",
    "code_owners": "@lab/ml li@lab.example",
    "gpu_runner": "arc-gpu",
    "pytorch_index": "https://mirror.lab.example/whl/cpu",
    "pytorch_cuda_index": "https://mirror.lab.example/whl/cu130",
    "container_image": f"mirror.lab.example/python:3.11@sha256:{'0' * 64}",
    "dvc_remote": "s3://bucket/path",
    "beampermit_repository": "lab/mirror.of-beampermit",
}
CHOICES = [(key, choice) for key, value in questions().items() if isinstance(value, list) for choice in value[1:]]
"""Each choice but the first, which is the default."""
FILLED = {("example", "table"), ("library", "xgboost"), ("library", "scikit-learn")}
"""Answers that go only together with others."""
TABLES = [{"example": "table", "library": library} for library in questions()["library"]]
TABLES += [{"environment": "uv", **TABLES[1]}]
ENVIRONMENTS = [
    {"environment": environment, "accelerator": accelerator, **more}
    for environment, accelerator in itertools.product(questions()["environment"], questions()["accelerator"])
    for more in ({}, {key: OTHER[key] for key in ("pytorch_index", "pytorch_cuda_index")})
]
"""The first is the project of no answer at all."""
ALONE = [{key: choice} for key, choice in CHOICES if key not in ENVIRONMENTS[0] and (key, choice) not in FILLED]
RENDERED = [*ENVIRONMENTS, OTHER, *ALONE, *TABLES]
CONDA = {"environment.yml", "environment-dev.yml", "virtual-packages.yml"}


def test_every_question_is_answered_otherwise_somewhere() -> None:
    assert set(questions()) == OTHER.keys() | {key for key, _ in CHOICES}
    assert complete(ENVIRONMENTS[0]) == complete({})
    for key, choice in CHOICES:
        assert any(answers.get(key) == choice for answers in RENDERED), choice


@pytest.fixture(scope="module", params=RENDERED, ids="+".join)
def rendered(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(project_to_read(tmp_path_factory, request.param))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[dict[str, str]], Path]:
    return lambda answers: project_to_read(tmp_path_factory, answers)


def test_the_project_is_sound(rendered: Project) -> None:
    contract = load_contract(rendered.root)
    assert len({owner.email for owner in contract.model.owners}) == 2
    assert tomllib.loads((rendered.root / "pyproject.toml").read_text())["project"]["name"] == contract.model.name
    assert _left_over(rendered.root) == []
    assert check_code(rendered).problems == ()


def test_the_code_of_all_is_linted_and_formatted(made: Callable[[dict[str, str]], Path], tmp_path: Path) -> None:
    """Each by the settings of its own `pyproject.toml`, which ruff looks for from a file upwards."""
    roots = [made(answers) for answers in RENDERED]
    for tool in (["check"], ["format", "--check"]):
        done = run([find_ruff_bin(), *tool, "--no-cache", *roots], cwd=tmp_path)
        assert done.code == 0, done.out


@pytest.mark.parametrize("answers", ENVIRONMENTS, ids=str)
def test_only_the_files_of_the_chosen_environment_are_there(
    answers: dict[str, str], made: Callable[[dict[str, str]], Path]
) -> None:
    root = made(answers)
    cuda = answers["accelerator"] == "cuda"
    asked = load_contract(root).environment
    assert (asked.backend, "cuda" in asked.accelerators) == (answers["environment"], cuda)
    found = {path.name for path in root.glob("*.yml")} - {"contract.yaml", "dvc.yaml"}
    tables = tomllib.loads((root / "pyproject.toml").read_text())
    if asked.backend == "conda-lock":
        assert found == CONDA | ({"cuda.virtual-packages.yml"} if cuda else set())
        assert "dependencies" not in tables["project"]
        assert "uv" not in tables["tool"]
    else:
        assert found == set()
        extras = tables["project"].get("optional-dependencies", {})
        assert set(extras) == ({"cpu", "cuda"} if cuda else set())
        assert len(tables["tool"]["uv"].get("index", [])) == len(answers) - 2 - (len(answers) > 2 and not cuda)
    backend = backend_of(root)
    assert backend.name == asked.backend
    assert [one.name for one in backend.specification(root).requirements].count("numpy") == 1


GPU_RUNNERS = [
    ({}, "", False),
    ({"gpu_runner": "gpu"}, "", False),
    ({"accelerator": "cuda"}, '["self-hosted", "gpu"]', True),
    ({"accelerator": "cuda", "gpu_runner": "arc-gpu"}, '["arc-gpu"]', True),
    ({"accelerator": "cuda", "gpu_runner": ""}, "", False),
]


@pytest.mark.parametrize(("answers", "labels", "promised"), GPU_RUNNERS, ids=str)
def test_promise_tests_and_runners_of_a_gpu_come_together(
    answers: dict[str, str], labels: str, promised: bool, made: Callable[[dict[str, str]], Path]
) -> None:
    root = made(answers)
    judging = (FILES["pull-request"], FILES["release"])
    called = [yaml.safe_load((root / file).read_text())["jobs"]["ml"]["with"] for file in judging]
    assert [given["gpu-labels"] for given in called] == [labels] * 2
    assert (load_contract(root).tests.gpu is not None) == promised
    assert (root / "tests/integration/test_gpu.py").exists() == promised
    assert bool(find_marks(root, "gpu")) == promised


def test_a_project_without_a_lock_is_told_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise Outside("a channel cannot be reached")

    monkeypatch.setattr(CondaLock, "lock", unreachable)
    said: list[str] = []
    root = generate(tmp_path, {}, lock="try", warn=said.append)
    assert said[0] == "The project is complete, but its environment is not locked: a channel cannot be reached"
    assert said[1].endswith("beampermit env lock")
    verdict = runner.check(Project(root), select_interlocks(["ENV001"]))[0]
    assert (verdict.outcome, verdict.reason) == ("failed", "there is no conda-lock.yml")
    assert "beampermit env lock" in verdict.fix
    with pytest.raises(Outside):
        generate(tmp_path / "needed", {}, lock=True)


def test_the_remote_is_where_the_answer_says(rendered: Project) -> None:
    config = ConfigParser()
    config.read_string(re.sub(r"(?m)^\s+", "", (rendered.root / ".dvc/config").read_text()))
    url = config["'remote \"storage\"'"]["url"]
    assert url in {"s3://bucket/path", "../../dvc-storage"}
    names = ("pyproject.toml", "environment-dev.yml")
    needed = "".join((rendered.root / name).read_text() for name in names if (rendered.root / name).exists())
    assert ("dvc-s3" in needed) is url.startswith("s3:"), "the package for this kind of storage comes with the answer"
    jobs = {
        (name, job): (called.get("permissions") or {}).get("id-token")
        for name in ("pull-request", "release")
        for job, called in yaml.safe_load((rendered.root / f".github/workflows/{name}.yml").read_text())["jobs"].items()
    }
    granted = {("pull-request", "ml"), ("release", "ml"), ("release", "release")} if url.startswith("s3:") else set()
    assert {where for where, right in jobs.items() if right} == granted, "where it logs in with it"


def test_workflows_come_from_the_repository_that_was_named(made: Callable[[dict[str, str]], Path]) -> None:
    root, mirror = made(OTHER), OTHER["beampermit_repository"]
    for file in (root / ".github/workflows").glob("*.yml"):
        used = re.findall(r"uses:\s*(\S+?/\S+?)/", file.read_text())
        assert "beampermit/beampermit" not in used
    original = template_folder() / "{{cookiecutter.project_slug}}/.github/workflows"
    for file in original.glob("*.yml"):
        expected = file.read_text().replace("uses: beampermit/beampermit/", f"uses: {mirror}/")
        made_of_it = (root / ".github/workflows" / file.name).read_text()
        assert re.sub(r"\n *id-token: write # to log in to the object store.*", "", made_of_it) == expected


def test_the_readme_tells_each_of_the_13_steps_and_names_files_that_are_there(
    made: Callable[[dict[str, str]], Path],
) -> None:
    root = made({})
    readme = (root / "README.md").read_text()
    steps = re.findall(r"^\| (\d+)\. ", readme, re.MULTILINE)
    assert steps == [str(number) for number in range(1, 14)]
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", readme):
        assert (root / link).exists(), link
    stages = set(re.findall(r"dvc repro (\w+)", readme))
    assert stages <= set(re.findall(r"(?m)^  (\w+):$", (root / "dvc.yaml").read_text()))


def test_what_the_models_page_calls_a_better_model_are_parameters_that_are_there(
    made: Callable[[dict[str, str]], Path],
) -> None:
    root = made({})
    better = yaml.safe_load((root / "docs/model.md").read_text().split("```yaml\n")[1].split("```")[0])
    params = yaml.safe_load((root / "params.yaml").read_text())
    for section, values in better.items():
        assert values.keys() <= params[section].keys()


def _left_over(root: Path) -> list[str]:
    """Files in which Jinja was not rendered; workflows have braces of their own."""
    files = [path for path in root.rglob("*") if path.is_file() and ".git" not in path.parts]
    found = [
        path for path in files if ".github" not in path.parts and "cookiecutter." in path.read_text(errors="replace")
    ]
    return [str(path) for path in found]
