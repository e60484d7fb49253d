"""What no longer fits the contract in a project's code, stages, parameters, tests and documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from beampermit.changes.base_and_head import BaseAndHead
from beampermit.code.documents import broken_links
from beampermit.code.leftovers import gone_files, gone_keys, gone_names, in_documents, leftovers
from beampermit.code.modules import Modules, broken_imports, missing_programs, possible_files, unused
from beampermit.code.parameters import missing_seed, unread_parameters, unwritten_metrics
from beampermit.code.pipeline import compare_pipelines, pipeline_problems, version_notes
from beampermit.code.sources import Sources, base_sources, head_sources, is_test
from beampermit.code.stages import outputs, stage_problems, unmade
from beampermit.contract import FILE_NAME as CONTRACT
from beampermit.contract import Contract, parse_contract
from beampermit.contract.completeness import todos
from beampermit.datasets.repository import Repository, overlap
from beampermit.errors import BadInput, Problem, more
from beampermit.project import Project
from beampermit.reading import read_json

SHOWN = 5
"""Further lines of a file that are named."""


@dataclass(frozen=True)
class Fit:
    """What does not fit, in the order of files and lines; a problem's `hint` is its fix. `notes` are sentences."""

    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


def check_code(project: Project) -> Fit:
    """Compare a project's files with its contract. What is gone is seen in the commit where the branch left its base,
    or in the last commit where there is no base.

    Raises `BadInput` for a contract, pipeline or parameters that cannot be read.
    """
    head = head_sources(project)
    commit = BaseAndHead(project).merge_base or project.git.resolve("HEAD")
    base = base_sources(project, commit, head) if commit else None
    repository = Repository(project) if Repository.exists(project) else None
    made = outputs(repository) if repository else ()
    pipelines = compare_pipelines(project)
    ours = tuple(f"{pipeline.folder}/" for pipeline in pipelines)
    modules = Modules(head)
    found = [
        *_own(project, repository, head, modules),
        *broken_imports(head, modules, _ignored(project, possible_files(head, modules))),
        *broken_links(head, lambda path: _is_there(project, made, path)),
        *unread_parameters(head, base),
        *pipeline_problems(pipelines),
        *(
            problem
            for problem in (*_unused(head, modules, base, ours), *_gone(project, made, base, head))
            if not (problem.file or "").startswith(ours)
        ),
    ]
    ordered = sorted(_together(found), key=lambda problem: (problem.file or "", problem.line or 0))
    notes = [f"compared with commit {commit[:12]}, which says what is gone"] if commit else []
    return Fit(tuple(ordered), (*notes, *version_notes(pipelines)))


def _together(problems: Iterable[Problem]) -> Iterator[Problem]:
    """One problem for each text of a file, which names its other lines."""
    places: dict[tuple[str | None, str, str], list[int]] = {}
    for problem in problems:
        places.setdefault((problem.file, problem.message, problem.hint), []).append(problem.line or 0)
    for (file, message, fix), numbers in places.items():
        first, *others = sorted(set(numbers))
        lines = f"line{'s' * (len(others) > 1)} {', '.join(map(str, others[:SHOWN]))}{more(len(others) - SHOWN)}"
        yield Problem(f"{message}, also on {lines}" if others else message, file, first or None, fix)


def _unused(head: Sources, modules: Modules, base: Sources | None, ours: tuple[str, ...]) -> Iterator[Problem]:
    """Where any file but ours imports a module by a name that is made at run time, nothing is known."""
    if any(python.loads and not is_test(path) for path, python in head.python.items() if not path.startswith(ours)):
        return
    yield from unused(head, modules, Modules(base) if base else None)


def _own(project: Project, repository: Repository | None, head: Sources, modules: Modules) -> Iterator[Problem]:
    """What the contract itself and the stages name."""
    contract, text = project.contract, project.path(CONTRACT).read_text(encoding="utf-8")
    marked = frozenset(todo.line for todo in todos(text))
    if repository:
        yield from stage_problems(repository, head)
        yield from unmade(repository, contract, text, head)
    yield from missing_programs(head, modules, marked)
    yield from missing_seed(contract, head, text, marked)
    written = _metrics(project.path(contract.evaluation.metrics))
    yield from unwritten_metrics(contract, head, modules, text, marked, written)


def _gone(project: Project, made: Iterable[str], base: Sources | None, head: Sources) -> Iterator[Problem]:
    """Names, files and keys of the base that still occur here."""
    if base is None:
        return
    there = frozenset(path for path in base.paths - head.paths if _is_there(project, made, path))
    files = gone_files(base, head, there)
    before = _contract_of(base)
    names = gone_names(before, project.contract) if before else {}
    yield from leftovers(head, names, files)
    yield from in_documents(head, {**gone_keys(base, head), **files, **names})


def _contract_of(base: Sources) -> Contract | None:
    """None where the base has none, or one of another version of the format."""
    text = base.text(CONTRACT)
    try:
        return None if text is None else parse_contract(text, CONTRACT)
    except BadInput:
        return None


def _is_there(project: Project, made: Iterable[str], path: str) -> bool:
    return project.path(path).exists() or any(overlap(path, out) for out in made)


def _ignored(project: Project, paths: list[str]) -> list[str]:
    """Those of some paths that git ignores."""
    if not paths:
        return []
    return project.git.try_("check-ignore", "-z", "--stdin", stdin="\0".join(paths)).out.split("\0")


def _metrics(file: Path) -> frozenset[str]:
    """Names of the metrics that the pipeline has written."""
    try:
        content = read_json(file)
    except BadInput:
        return frozenset()
    return frozenset(content) if isinstance(content, dict) else frozenset()
