"""What can be found in a repository: its name, authors, main branch, kind of lock, and pipeline outputs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from beampermit.documents.plots import is_number
from beampermit.environments.addresses import trusted_addresses
from beampermit.environments.choice import backend_of
from beampermit.errors import BadInput
from beampermit.git import Git
from beampermit.reading import parse_json, parse_toml, parse_yaml

EMAIL = re.compile(r"[^@\s<>\"'\\]+@[^@\s<>\"'\\]+\.[^@\s<>\"'\\]+")
AUTHOR = re.compile(r"\s*\d+\s+(?P<name>.*?)\s*<(?P<email>[^>]*)>")
BOTS = re.compile(r"\[bot\]|noreply|no-reply", re.IGNORECASE)
NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
LOWER_IS_BETTER = re.compile(r"loss|error|rmse|mae|mse|latency|false|fpr|fnr|brier|perplexity", re.IGNORECASE)
MOST_METRICS = 12


@dataclass(frozen=True)
class Author:
    name: str
    email: str


@dataclass(frozen=True)
class Survey:
    """What was not found is empty or None, and becomes a TODO in the contract.

    `owners` are the two authors with the most commits, `metrics` the numbers of `metrics_file` by name, `splits` the
    tables by the name of a split, and `seed` is where training reads its seed, as `file:key`. `indexes` are those of
    the lock that is there, and those that it may come from.
    """

    name: str
    package: str
    branch: str
    owners: tuple[Author, ...]
    backend: str | None
    indexes: tuple[str, ...]
    metrics_file: str | None
    metrics: Mapping[str, float]
    plots_file: str | None
    model: str | None
    raw: str | None
    splits: Mapping[str, str]
    seed: str | None


def survey(root: Path) -> Survey:
    """Survey the repository at `root`. Raises `BadInput` for an unreadable `dvc.yaml` or `pyproject.toml`."""
    git = Git(root)
    name = slug(_project(root).get("name") or root.name)
    outs, metrics, plots = _pipeline(root)
    metrics_file = next((path for path in metrics if path.endswith(".json")), None)
    tables = [path for path in outs if path.endswith(".parquet")]
    return Survey(
        name=name,
        package=_package(root) or name.replace("-", "_"),
        branch=_branch(git),
        owners=tuple(islice(_authors(git), 2)),
        backend=_backend(root),
        indexes=_indexes(root),
        metrics_file=metrics_file,
        metrics=_numbers(root, metrics_file),
        plots_file=next((path for path in plots if path.endswith(".json")), None),
        model=next((path for path in outs if "model" in path.lower() and path not in tables), None),
        raw=next((path for path in tables if "raw" in path.lower()), None),
        splits={
            split: path
            for split, word in (("train", "train"), ("validation", "val"), ("test", "test"))
            if (path := next((path for path in tables if word in Path(path).name.lower()), None))
        },
        seed=_seed(root),
    )


def slug(name: str) -> str:
    """`name` in lower case with hyphens, as the contract and the registry require."""
    hyphenated = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:64].strip("-")
    return hyphenated if hyphenated[:1].isalpha() else f"model-{hyphenated}".strip("-")


def _project(root: Path) -> dict[str, Any]:
    file = root / "pyproject.toml"
    if not file.is_file():
        return {}
    table = parse_toml(file.read_bytes(), "pyproject.toml").get("project")
    return table if isinstance(table, dict) else {}


def _package(root: Path) -> str | None:
    folders = sorted(path.parent for pattern in ("src/*", "*") for path in root.glob(f"{pattern}/__init__.py"))
    return next((folder.name for folder in folders if folder.name not in ("tests", "test")), None)


def _branch(git: Git) -> str:
    """The target of pull requests: the remote's HEAD, else main or master, else the current branch."""
    if remote := git.default_branch():
        return remote
    for name in ("main", "master"):
        if git.resolve(f"refs/heads/{name}"):
            return name
    return git.try_("symbolic-ref", "--quiet", "--short", "HEAD").out.strip() or "main"


def _authors(git: Git) -> Iterator[Author]:
    """The two people with the most commits: one who has two addresses, or writes the name in two ways, is one."""
    if git.resolve("HEAD") is None:
        return
    seen: set[str] = set()
    for line in git("shortlog", "--summary", "--numbered", "--email", "HEAD").splitlines():
        author = AUTHOR.fullmatch(line)
        if author is None or BOTS.search(line) or not EMAIL.fullmatch(author["email"]) or not author["name"]:
            continue
        known_by = {author["email"].lower(), " ".join(author["name"].split()).casefold()}
        if not known_by & seen:
            yield Author(author["name"], author["email"])
        seen |= known_by


def _backend(root: Path) -> str | None:
    try:
        return backend_of(root).name
    except BadInput:
        return None


def _indexes(root: Path) -> tuple[str, ...]:
    """The indexes that ENV004 accepts without a contract. A file from elsewhere is left for a person to judge."""
    try:
        backend = backend_of(root)
        locks, specification = backend.read(root).all, backend.specification(root)
    except BadInput:
        return ()
    locked = (address for lock in locks for address in trusted_addresses(lock))
    return tuple(dict.fromkeys((*locked, *(address for address, _ in specification.indexes))))


def _pipeline(root: Path) -> tuple[list[str], list[str], list[str]]:
    """Outputs, metrics and plots of the stages and at the top level of `dvc.yaml`."""
    file = root / "dvc.yaml"
    tree = parse_yaml(file.read_bytes(), "dvc.yaml", aliases=True) if file.is_file() else None
    tree = tree if isinstance(tree, dict) else {}
    stages = tree.get("stages")
    bodies = [tree, *(stages.values() if isinstance(stages, dict) else ())]
    outs, metrics, plots = (
        [path for body in bodies if isinstance(body, dict) for path in _paths(body.get(key))]
        for key in ("outs", "metrics", "plots")
    )
    pointers = [str(path.relative_to(root).with_suffix("")) for path in sorted(root.rglob("*.dvc")) if path.is_file()]
    return [*outs, *pointers], metrics, plots


def _paths(listed: Any) -> Iterator[str]:
    """`[a, {b: {cache: false}}]` -> a, b; without paths that contain variables."""
    for item in listed if isinstance(listed, list) else ():
        for path in item if isinstance(item, dict) else (item,):
            if isinstance(path, str) and "$" not in path and not path.startswith(("/", "..")) and "://" not in path:
                yield path


def _numbers(root: Path, path: str | None) -> dict[str, float]:
    file = root / path if path else None
    if file is None or not file.is_file():
        return {}
    try:
        content = parse_json(file.read_bytes(), path or "")
    except BadInput:
        return {}
    items = content.items() if isinstance(content, dict) else ()
    numbers = ((key, float(value)) for key, value in items if is_number(value) and NAME.fullmatch(key))
    return dict(list(numbers)[:MOST_METRICS])


def _seed(root: Path) -> str | None:
    file = root / "params.yaml"
    try:
        tree = parse_yaml(file.read_bytes(), "params.yaml", aliases=True) if file.is_file() else None
    except BadInput:
        return None
    return next(
        (f"params.yaml:{key}" for key in _keys(tree) if key.rpartition(".")[2] in ("seed", "random_seed")), None
    )


def _keys(tree: Any, prefix: str = "") -> Iterator[str]:
    for key, value in tree.items() if isinstance(tree, dict) else ():
        name = f"{prefix}{key}"
        yield from _keys(value, f"{name}.") if isinstance(value, dict) else (name,)
