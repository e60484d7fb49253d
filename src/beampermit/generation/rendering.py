"""Generate a project in a temporary folder and move it to its place when it is complete."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from beampermit.contract import FILE_NAME, load_contract
from beampermit.environments.addresses import addresses
from beampermit.environments.choice import backend_of
from beampermit.environments.coverage import uncovered
from beampermit.environments.recording import record_indexes
from beampermit.environments.uv.pytorch import cpu_index
from beampermit.errors import BadInput, Failed, Outside
from beampermit.generation.answers import AGAIN, complete, rendered
from beampermit.generation.begun import begun_in
from beampermit.generation.compiled import compiled
from beampermit.generation.template import copied, filled
from beampermit.git import Git
from beampermit.processes import run
from beampermit.progress import Progress, silent
from beampermit.reading import parse_json, parse_toml, parse_yaml
from beampermit.template import PROJECT, template_folder

Fill = Callable[[Path, Mapping[str, str]], None]
"""Completes the project in a folder, with the answers to the template's questions."""
JINJA = re.compile(rb"\{[{%#]")
NONE: Mapping[str, str] = MappingProxyType({})


def generate(
    output_dir: Path,
    answers: Mapping[str, str],
    *,
    defaults: Mapping[str, str] = NONE,
    fill: Fill | None = None,
    lock: bool | Literal["try"] = False,
    progress: Progress = silent,
    warn: Callable[[str], None] = lambda _: None,
) -> Path:
    """Generate a project in a new folder of `output_dir`, named after its slug; returns the folder.

    `defaults`, then the template's own, complete `answers`. `fill` writes what no answer can say, such as a contract
    from a table; it belongs to the first commit. `lock` locks the environment and writes the indexes of the lock into
    the contract; `lock="try"` continues without a lock where no index or channel can be reached. `warn` receives what
    is left to do by hand.

    Raises `BadInput` for an invalid answer or an existing folder, before anything is written; `Outside` when locking
    fails, with nothing left behind.
    """
    all_answers = complete(answers, defaults=defaults)
    if fill is None:
        refuse_without_fill(all_answers)
    output_dir = output_dir.resolve()
    target = output_dir / all_answers["project_slug"]
    if is_there(target):
        raise BadInput(
            "this folder already exists", file=target, hint="beampermit new --answer project_slug=ANOTHER-NAME"
        )
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        with begun_in(output_dir) as temporary:
            project = _render(temporary, all_answers, fill, warn)
            _read_back(project, all_answers)
            if _write_deployment(project) or fill:
                _amend(project)
            if lock:
                refused = None if lock is True else warn
                wrong = _lock(project, progress, refused)
                if wrong and (answer := _pytorch_index(all_answers, progress)):
                    shutil.rmtree(project)
                    project = _render(temporary, {**all_answers, **answer}, fill, warn)
                    wrong = _lock(project, progress, refused)
                for problem in wrong:
                    warn(problem)
                    warn("  ENV003 fails until the lock is made again: docs/environments.md, Accelerators, says how")
            project.rename(target)
    except OSError as error:
        raise BadInput(f"the project cannot be written: {error.strerror}", file=target) from None
    return target


def refuse_without_fill(answers: Mapping[str, str]) -> None:
    """Raise `BadInput` for an example that is nothing without what another command fills in."""
    example = answers.get("example", "")
    if command := filled().get(example):
        raise BadInput(f"example: {example} is made by {command}", hint="beampermit new --help")


def is_there(target: Path) -> bool:
    return target.exists() or target.is_symlink()


def _render(folder: Path, answers: dict[str, str], fill: Fill | None, warn: Callable[[str], None]) -> Path:
    project = render_template(template_folder(), folder, answers, warn)
    if fill:
        fill(project, answers)
    return project


def render_template(
    template: Path, folder: Path, answers: Mapping[str, str], warn: Callable[[str], None], *, commit: bool = True
) -> Path:
    """Render a template with cookiecutter, whose command would take longer to start, finish as its hook does.

    The answers are judged before; the template's first hook would only do it again. Without `commit` the project is no
    repository, where the template knows that word.
    """
    from cookiecutter.exceptions import CookiecutterException
    from cookiecutter.generate import generate_files
    from jinja2 import TemplateError

    how = {
        "_copy_without_render": [*copied(template), *_plain(template)],
        "_jinja2_env_vars": {"bytecode_cache": compiled()},
    }
    context = {"cookiecutter": {**answers, **how}}
    given = {**answers, "_repo_dir": str(template), **({} if commit else {"_uncommitted": "true"})}
    try:
        project = Path(generate_files(template, context, output_dir=folder, accept_hooks=False))
        hook = rendered((template / "hooks/post_gen_project.py").read_text(encoding="utf-8"), given)
    except (CookiecutterException, TemplateError) as error:
        raise Outside(f"cookiecutter: {error}") from None
    finished = run((sys.executable, "-I", "-"), cwd=project, stdin=hook)
    if finished.code:
        raise Outside(f"the template's hook: {finished.tail}")
    for line in finished.err.splitlines():
        warn(line)
    return project


def _write_deployment(root: Path) -> bool:
    """Write the deployment files of a contract that names a folder for them; whether it does."""
    from beampermit.deployment import files
    from beampermit.deployment.deployment import deployment_of
    from beampermit.project import Project

    project = Project(root).alone()
    folder = project.contract.serving.deployment
    if folder:
        files.write(project, folder, deployment_of(project))
    return bool(folder)


@cache
def _plain(template: Path) -> dict[str, bytes]:
    """The template's files without a mark of Jinja: most of them, and quicker copied than compiled."""
    project = template / PROJECT
    contents = {str(path.relative_to(project)): path.read_bytes() for path in project.rglob("*") if path.is_file()}
    return {name: content for name, content in contents.items() if not JINJA.search(content)}


def _amend(project: Path) -> None:
    """Put what was filled in into the first commit, where there is one."""
    git = Git(project)
    if git.resolve("HEAD"):
        git("add", "--all")
        git("commit", "--quiet", "--amend", "--no-edit", "--no-verify")


def _read_back(project: Path, answers: Mapping[str, str]) -> None:
    """Read every file that was rendered and has a syntax, and each text that was typed.

    Raises `BadInput` for one that came out otherwise.
    """
    contract = load_contract(project)
    copied_as_it_is = {*_plain(template_folder()).values()}
    for name in sorted(path.relative_to(project) for path in project.rglob("*") if path.suffix in PARSERS):
        content = (project / name).read_bytes()
        if not name.parts[0].startswith(".git") and str(name) != FILE_NAME and content not in copied_as_it_is:
            PARSERS[name.suffix](content, name)
    model, operations = contract.model, contract.operations
    maintainer, deputy = model.owners
    described = parse_toml((project / "pyproject.toml").read_bytes(), "pyproject.toml")["project"]["description"]
    written = {
        "project_slug": model.name,
        "summary": model.summary,
        "maintainer_name": maintainer.name,
        "maintainer_email": maintainer.email,
        "deputy_name": deputy.name,
        "deputy_email": deputy.email,
        "on_call": operations.on_call,
        "logbook": operations.logbook,
    }
    places = [(FILE_NAME, written), ("pyproject.toml", {"summary": described})]
    for file, texts in places:
        for question, text in texts.items():
            if text != answers[question]:
                raise BadInput(f"{question}: {answers[question]!r} is written as {text!r}", file=file, hint=AGAIN)


def _parse_python(content: bytes, name: Path) -> None:
    try:
        compile(content, str(name), "exec")
    except (SyntaxError, ValueError) as error:
        raise BadInput(f"not Python: {error}", file=name) from None


def _parse_yaml(content: bytes, name: Path) -> None:
    """What a person has written for another tool, and is kept in the project as it is, may have aliases."""
    parse_yaml(content, name, aliases=True)


PARSERS: dict[str, Callable[[bytes, Path], Any]] = {
    ".yml": _parse_yaml,
    ".yaml": _parse_yaml,
    ".toml": parse_toml,
    ".json": parse_json,
    ".py": _parse_python,
}


def _pytorch_index(answers: Mapping[str, str], progress: Progress) -> dict[str, str]:
    """The answer that has machines without a GPU take PyTorch's wheels for CPUs; empty where there is none to give.

    The default index has wheels for CUDA, which are several gigabytes.
    """
    if answers["environment"] != "uv" or answers["pytorch_index"]:
        return {}
    progress("looking for PyTorch's wheels for CPUs")
    index = cpu_index()
    return {"pytorch_index": index} if index else {}


def _lock(project: Path, progress: Progress, warn: Callable[[str], None] | None) -> list[str]:
    """Lock the environment, write its indexes into the contract and commit both where commits are possible.

    Where that fails, call `warn`, or raise if it is None. Returns what the lock does not cover of the contract, such as
    machines without a GPU.
    """
    try:
        lock = backend_of(project).lock(project, progress=progress)
    except (Outside, Failed) as error:
        if warn is None:
            raise
        warn(f"The project is complete, but its environment is not locked: {error.message}")
        warn("  when the packages can be reached: beampermit env lock")
        return []
    record_indexes(project, addresses(lock))
    git = Git(project)
    if git.resolve("HEAD"):
        git("add", "--all")
        git("commit", "--quiet", "--no-verify", "--message", "Lock the environment")
    required = load_contract(project).environment
    return [problem.message for problem in uncovered(lock, required.platforms, required.accelerators)]
