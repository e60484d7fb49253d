"""Wrong answers are refused in one line, by `beampermit new` and by cookiecutter alone, with nothing written."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from beampermit.contract import load_contract
from beampermit.deployment.deployment import deployment_of
from beampermit.deployment.files import write
from beampermit.environments.backend import Lock
from beampermit.environments.uv import Uv
from beampermit.errors import BadInput
from beampermit.generation import generate
from beampermit.generation.answers import complete, parse
from beampermit.generation.template import explanation, questions
from beampermit.project import Project
from beampermit.template import template_folder
from support.filled_projects import project_to_read
from support.forked_commands import beampermit, executable

pytestmark = pytest.mark.slow

WRONG = [
    ("project_slug", "BPM faults", "'BPM faults' must be lower-case words joined by hyphens"),
    ("project_slug", "../outside", "'../outside' must be lower-case words"),
    ("project_slug", "a" * 65, "at most 64 characters"),
    ("package_name", "bpm-faults", "'bpm-faults' is not a Python package name"),
    ("package_name", "class", "'class' is a keyword of Python"),
    ("package_name", "match", "'match' is a keyword of Python"),
    ("package_name", "json", "'json' is a module of Python's standard library"),
    ("package_name", "torch", "'torch' is the name of a library"),
    ("package_name", "cookiecutter", "'cookiecutter' is the name of a library"),
    ("package_name", "data", "or of a folder of the project"),
    ("summary", "  ", "is empty"),
    ("summary", "two\nlines", "contains a line break"),
    ("maintainer_name", "", "is empty"),
    ("maintainer_name", "Ada\x1b[31m", "an invisible character"),
    ("maintainer_email", "ada at lab", "'ada at lab' is not an e-mail address"),
    ("deputy_email", "todo@MAINTAINER.example", "maintainer and deputy have the same address"),
    ("code_owners", "ada", "'ada' is neither @login, @organization/team nor an e-mail address"),
    ("code_owners", "@ada  @bo", "'' is neither"),
    ("code_owners", "ada@lab.example, bo@lab.example", "'ada@lab.example,' is neither"),
    ("code_owners", "@lab/models/all", "'@lab/models/all' is neither"),
    ("logbook", "logbook.lab.example", "'logbook.lab.example' is not an http(s) URL"),
    ("review_by", "next year", "'next year' is not a date"),
    ("review_by", "2020-01-01", "2020-01-01 is in the past"),
    ("on_call", "{{ 7 * 7 }}", "which is template syntax"),
    ("python_version", "3.9", "'3.9' is not one of 3.11, 3.12, 3.13, 3.14"),
    ("gpu_runner", "self-hosted, gpu", "'self-hosted, gpu' must be labels joined by commas"),
    ("pytorch_index", "cpu", "'cpu' is not an http(s) URL"),
    ("pytorch_cuda_index", "ftp://lab.example", "is not an http(s) URL"),
    ("example", "injector", "'injector' is not one of bpm-faults"),
    ("library", "jax", "'jax' is not one of torch, xgboost, scikit-learn"),
    ("environment", "poetry", "'poetry' is not one of conda-lock, uv"),
    ("accelerator", "tpu", "'tpu' is not one of cpu, cuda"),
    ("container_image", "python:3.11", "must be an image with its digest"),
    ("dvc_remote", "storage", "'storage' is inside the project"),
    ("dvc_remote", "ftp://lab.example/data", "a scheme that DVC supports"),
    ("dvc_remote", "../my storage", "without spaces"),
    ("beampermit_repository", "beampermit", "'beampermit' is not OWNER/NAME"),
]


@pytest.mark.parametrize(("question", "answer", "why"), WRONG)
def test_a_wrong_answer_is_refused_by_its_question_and_nothing_is_written(
    question: str, answer: str, why: str, tmp_path: Path
) -> None:
    with pytest.raises(BadInput) as caught:
        generate(tmp_path, {question: answer})
    assert caught.value.message.startswith(f"{question}: ")
    assert why in caught.value.message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("question", sorted(questions()))
def test_every_question_is_explained_and_has_a_wrong_answer_here(question: str) -> None:
    assert explanation(question) != question
    assert question in {wrong for wrong, _, _ in WRONG} | {"deputy_name"}  # judged like maintainer_name


def test_a_question_that_is_not_there_names_the_nearest_one() -> None:
    with pytest.raises(BadInput, match=r"no question 'project_name'; did you mean 'project_slug'\?"):
        complete({"project_name": "BPM faults"})


def test_a_word_without_an_equals_sign_is_no_answer() -> None:
    with pytest.raises(BadInput, match="'bpm-faults' is not an answer of the form key=value"):
        parse(["bpm-faults"])
    assert parse(["summary=a=b"]) == {"summary": "a=b"}


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")])
def test_a_folder_that_exists_is_left_as_it_is(make, tmp_path: Path) -> None:
    make(tmp_path / "bpm-faults")
    with pytest.raises(BadInput, match="this folder already exists"):
        generate(tmp_path, {})
    assert [path.name for path in tmp_path.iterdir()] == ["bpm-faults"]


def test_an_output_folder_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="the project cannot be written"):
        generate(tmp_path / "file", {})


def test_a_lock_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise BadInput("no such package")

    monkeypatch.setattr("beampermit.generation.rendering._lock", refuse)
    with pytest.raises(BadInput, match="no such package"):
        generate(tmp_path, {}, lock=True)
    assert list(tmp_path.iterdir()) == []


LOCKED = """\
version = 1
requires-python = "==3.11.*"
[[package]]
name = "bpm-faults"
source = {{ virtual = "." }}
dependencies = [{{ name = "torch" }}]
[[package]]
name = "torch"
version = "2.13.0+{build}"
source = {{ registry = "https://wheels.example/{build}" }}
wheels = [{{ url = "https://wheels.example/torch-2.13.0+{build}-cp311-cp311-linux_x86_64.whl", hash = "sha256:{sha}" }}]
"""


@pytest.mark.parametrize("reached", [True, False])
@pytest.mark.parametrize("accelerator", ["cpu", "cuda"])
def test_wheels_for_cpus_come_from_an_index_that_is_looked_for_where_the_lock_has_cuda(
    reached: bool, accelerator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = "https://wheels.example/cpu"

    def lock(_: Uv, root: Path, **__: object) -> Lock:
        text = LOCKED.format(build="cpu" if address in (root / "pyproject.toml").read_text() else "cu130", sha="a" * 64)
        if accelerator == "cuda":
            text = text.replace("dependencies =", '[package.optional-dependencies]\ncuda = [{ name = "torch" }]\ncpu =')
        (root / "uv.lock").write_text(text)
        return Uv().read(root)

    monkeypatch.setattr(Uv, "lock", lock)
    monkeypatch.setattr("beampermit.generation.rendering.cpu_index", lambda: address if reached else None)
    said: list[str] = []
    answers = {"environment": "uv", "accelerator": accelerator}
    project = generate(tmp_path, answers, lock=True, warn=said.append)
    tables = tomllib.loads((project / "pyproject.toml").read_text())["tool"]["uv"]
    source = {"index": "pytorch", **({"extra": "cpu"} if accelerator == "cuda" else {})}
    expected = ([{"name": "pytorch", "url": address, "explicit": True}], [source]) if reached else ([], None)
    assert (tables.get("index", []), tables.get("sources", {}).get("torch")) == expected
    assert [line.partition(" CUDA package")[0] for line in said] == (
        [] if reached else ["the lock gives linux-x86_64 with cpu 1", said[-1]]
    )
    assert load_contract(project).environment.indexes == (f"https://wheels.example/{'cpu' if reached else 'cu130'}",)


WORDS = (
    '1. it\'s "quoted": {braces} #hash \\ <b> & [list](x) *star* _line_ `code` $x$ ~no~ | '
    "Joa\u0303o \U00020bb7 \U0001f6f0\ufe0f \U0001f469\u200d\U0001f52c \U0001fae8 "
    "\u05d3\u05d5\u05d3 \u592a\u3000\u90ce \u0645\u06cc\u200c\u062e"
)


EMAIL = "*jo\u00e3o,{a}&b@lab.example"
TYPED = {"summary": WORDS, "maintainer_name": WORDS, "on_call": WORDS, "maintainer_email": EMAIL}


def test_every_text_comes_out_as_it_went_in(tmp_path_factory: pytest.TempPathFactory) -> None:
    project = project_to_read(tmp_path_factory, TYPED)
    contract = load_contract(project)
    owner = contract.model.owners[0]
    assert (contract.model.summary, owner.name, contract.operations.on_call) == (WORDS,) * 3
    assert owner.email == EMAIL
    assert tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["project"]["description"] == WORDS
    page = MarkdownIt().parse((project / "README.md").read_text(encoding="utf-8"))
    (paragraph,) = (token.children or [] for token in page if token.type == "inline" and "quoted" in token.content)
    assert {token.type for token in paragraph} <= {"text", "text_special"}
    assert "".join(token.content for token in paragraph) == WORDS
    text = (project / "contract.yaml").read_text(encoding="utf-8")
    assert "Joa\u0303o \U00020bb7" in text, "nothing is spelled as an escape"


@pytest.mark.parametrize(
    ("file", "before", "after", "message"),
    [
        ("contract.yaml", "Jo\u00e3o", "Jo\u00f3o", "maintainer_name: 'Jo\u00e3o' is written as 'Jo\u00f3o'"),
        ("pyproject.toml", "name =", 'name = "', "not TOML"),
        ("dvc.yaml", "stages:", "stages: *", "not YAML"),
    ],
)
def test_a_project_that_cannot_be_read_back_is_not_left_behind(
    tmp_path_factory: pytest.TempPathFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    before: str,
    after: str,
    message: str,
) -> None:
    def render(folder: Path, *_: object) -> Path:
        for name in ("contract.yaml", "pyproject.toml", "dvc.yaml"):
            text = (made / name).read_text(encoding="utf-8")
            (folder / name).write_text(text.replace(before, after) if name == file else text, encoding="utf-8")
        return folder

    made = project_to_read(tmp_path_factory, {"maintainer_name": "Jo\u00e3o"})
    monkeypatch.setattr("beampermit.generation.rendering._render", render)
    (tmp_path / "again").mkdir()
    with pytest.raises(BadInput, match=message):
        generate(tmp_path / "again", {"maintainer_name": "Jo\u00e3o"})
    assert list((tmp_path / "again").iterdir()) == []


def test_the_command_ends_in_2_with_one_line_and_the_next_command(tmp_path: Path) -> None:
    done = beampermit("new", "--no-input", "--output-dir", tmp_path, "--answer", "package_name=torch", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[0].startswith("beampermit: package_name: 'torch' is the name of a library")
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_nobody_to_answer_is_said_at_once(tmp_path: Path) -> None:
    done = beampermit("new", "--output-dir", tmp_path, cwd=tmp_path)
    assert done.returncode == 2
    assert "the input ended before an answer to 'example'" in done.stderr
    assert "next: add --no-input to take the defaults" in done.stderr


def test_answers_typed_in_are_asked_again_until_they_can_be_used(tmp_path: Path) -> None:
    command = [executable(tmp_path), "new", "--no-lock", "--output-dir", tmp_path]
    typed = "\nNo good\nbeam-loss\n" + "\n" * len(questions())
    done = subprocess.run(command, input=typed, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "'No good' must be lower-case words" in done.stderr
    assert (tmp_path / "beam-loss/src/beam_loss/pipeline/train.py").is_file()


def test_without_a_git_identity_the_project_is_whole_and_the_commands_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("EMAIL", "")
    said: list[str] = []
    project = generate(tmp_path, {}, warn=said.append)
    assert (project / "contract.yaml").is_file()
    assert "git has no author: git config --global user.name" in said[0]
    assert "git commit -m 'A new project'" in said[1]


def test_cookiecutter_alone_refuses_the_same_and_leaves_nothing(tmp_path: Path) -> None:
    done = cookiecutter(tmp_path, "package_name=torch")
    assert done.returncode == 1
    assert "package_name: 'torch' is the name of a library" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_cookiecutter_alone_makes_the_same_project_of_texts_of_any_script(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of the package's name among temporary files, where cookiecutter runs our hook, is not a library.

    Deployment files are made by a command: OPS002 names it.
    """
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / "bpm_faults.py").write_text("")
    words = [f"{question}={answer}" for question, answer in TYPED.items()]
    assert cookiecutter(tmp_path / "one", *words).returncode == 0
    other = project_to_read(tmp_path_factory, TYPED)
    one = tmp_path / "one/bpm-faults"
    write(Project(one), "deploy", deployment_of(Project(one)))
    for file in sorted(path.relative_to(other) for path in other.rglob("*") if path.is_file()):
        if ".git" not in file.parts:
            assert (one / file).read_bytes() == (other / file).read_bytes(), file


def cookiecutter(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-I", "-m", "cookiecutter", "--no-input", "--output-dir", folder, template_folder(), *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "HOME": str(home), "PATH": os.environ["PATH"]},
    )
