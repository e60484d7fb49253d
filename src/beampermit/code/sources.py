"""The text files of a project, and what its Python says: imports, texts, names. Nothing is imported or run."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import PurePosixPath

from beampermit.changes.base_and_head import BaseAndHead
from beampermit.contract import FILE_NAME as CONTRACT
from beampermit.datasets.dvc_lock import PIPELINE
from beampermit.errors import BadInput
from beampermit.git import SUBMODULE
from beampermit.project import Project

PARAMS = "params.yaml"
LINK = "120000"
LARGEST = 2**20
"""Characters of a file that is looked at; code and settings are smaller."""
SCRIPTS = frozenset(
    (".sh", ".bash", ".mk", ".toml", ".cfg", ".ini", ".yaml", ".yml", ".ipynb", ".r", ".jl", ".j2", ".in", ".sql", "")
)
"""Ends of names of files, beside Python, that run code or configure what runs."""
NO_SCRIPTS = ("CODEOWNERS", "LICENSE", "conda-lock.yml")
WORD = re.compile(r"[^\W\d]\w*")
DOTTED = re.compile(r"(?<!\w)[A-Za-z_]\w*+(?:\.[A-Za-z_]\w*+)+")
FILE = re.compile(r"(?<![\w./-])[\w./-]+\.py\b")
HISTORY = re.compile(r"(^|/)((change|history|news|release)[^/]*|decisions/.*|adrs?/.*)$", re.IGNORECASE)
FROM = re.compile(r"\bfrom\s+([\w.]+)\s+import\s+([\w, ]+)")


@dataclass(frozen=True)
class Import:
    """`module` without the leading dots, of which there are `level`; `names` are those of a `from` import."""

    module: str
    names: tuple[str, ...]
    level: int
    line: int
    optional: bool


@dataclass(frozen=True)
class Text:
    """A string in Python that is not a docstring."""

    value: str
    line: int


@dataclass(frozen=True)
class Python:
    """What a Python file says.

    `patterns` match what its f-strings can give, `words` are its identifiers, `defined` its names at the top (None
    where they cannot be known), `fields` the annotated names of its classes. `loads` where it imports a module by a
    name that is made at run time.
    """

    imports: tuple[Import, ...]
    texts: tuple[Text, ...]
    patterns: tuple[re.Pattern[str], ...]
    words: frozenset[str]
    defined: frozenset[str] | None
    fields: Mapping[str, Mapping[str, str]]
    is_program: bool
    loads: bool


class Sources:
    """The files of a project on one side of a comparison; `read` gives the text of one, None where there is none."""

    def __init__(self, paths: Iterable[str], read: Callable[[str], str | None]):
        self.paths = frozenset(paths)
        self._read = read
        self._texts: dict[str, str | None] = {}

    def text(self, path: str) -> str | None:
        """None where the file is absent, too large or no text."""
        if path not in self._texts:
            self._texts[path] = self._read(path) if path in self.paths else None
        return self._texts[path]

    @cached_property
    def folders(self) -> frozenset[str]:
        return frozenset(str(folder) for path in self.paths for folder in PurePosixPath(path).parents)

    @cached_property
    def python(self) -> dict[str, Python]:
        """The Python files that can be parsed here, by path."""
        files = ((path, _parsed(self.text(path) or "")) for path in sorted(self.paths) if path.endswith(".py"))
        return {path: python for path, python in files if python}

    @cached_property
    def scripts(self) -> dict[str, str]:
        """Other files that run code or configure it, with Python that is too new to be parsed here."""
        chosen = (
            path
            for path in sorted(self.paths)
            if PurePosixPath(path).suffix.lower() in SCRIPTS and PurePosixPath(path).name not in NO_SCRIPTS
        )
        unparsed = (path for path in sorted(self.paths) if path.endswith(".py") and path not in self.python)
        return {path: text for path in (*chosen, *unparsed) if (text := self.text(path)) is not None}

    @cached_property
    def documents(self) -> dict[str, str]:
        """Markdown, without what tells of the past and so names what is gone."""
        chosen = (path for path in sorted(self.paths) if path.endswith(".md") and not HISTORY.search(path))
        return {path: text for path in chosen if (text := self.text(path)) is not None}

    @cached_property
    def words(self) -> frozenset[str]:
        """Words that the project's code and scripts use; of `dvc.yaml`, only what a command is filled with."""
        words: set[str] = set()
        for python in self.python.values():
            words |= python.words
            words.update(word for text in python.texts for word in WORD.findall(text.value))
        for path, text in self.scripts.items():
            name = PurePosixPath(path).name
            if name == PIPELINE:
                words.update(word for filled in re.findall(r"\$\{([^}]*)\}", text) for word in WORD.findall(filled))
            elif path not in (PARAMS, CONTRACT):
                words.update(WORD.findall(text))
        return frozenset(words)


def head_sources(project: Project) -> Sources:
    """The work tree without what git ignores, links and other repositories."""
    side = BaseAndHead(project)

    def read(path: str) -> str | None:
        try:
            text = side.after(path)
        except (BadInput, OSError):
            return None
        return text if text is not None and len(text) <= LARGEST else None

    held = project.git.work_files()
    there = (path for path, mode in held.items() if mode not in (LINK, SUBMODULE) and (project.root / path).is_file())
    return Sources(there, read)


def base_sources(project: Project, commit: str, head: Sources) -> Sources:
    """A commit; what is the same in the work tree is not read again."""
    differing = frozenset(project.git.differing(commit))

    def read(path: str) -> str | None:
        return project.git.read(commit, path) if path in differing else head.text(path)

    return Sources(project.git.files_at(commit), read)


def is_test(path: str) -> bool:
    name = PurePosixPath(path).name
    return "tests" in path.split("/")[:-1] or name.startswith(("test_", "conftest.")) or name.endswith("_test.py")


def mentioned(text: str) -> Iterator[str]:
    """What may be the name of a module or the path of a Python file."""
    yield from DOTTED.findall(text)
    yield from FILE.findall(text)
    for module, names in FROM.findall(text):
        yield module
        yield from (f"{module}.{name}" for name in WORD.findall(names))


@lru_cache(maxsize=512)  # most files are the same on both sides
def _parsed(text: str) -> Python | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
            reader = _Reader(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None  # such as the syntax of a newer Python than ours, or what nests too deep for the parser
    return Python(
        imports=tuple(reader.imports),
        texts=tuple(reader.texts),
        patterns=tuple(reader.patterns),
        words=frozenset(reader.words),
        defined=None if reader.opaque else frozenset(reader.defined),
        fields=reader.fields,
        is_program=reader.is_program,
        loads=reader.loads,
    )


def _pattern(texts: list[str]) -> re.Pattern[str]:
    """What has these texts in this order, with at least one letter where one is empty.

    The first place where a text follows is as good as any later one, so none but the last is tried again: of as many
    gaps as a line can have, the ways to fill them would never end.
    """
    found, gap = "", 0
    for text in texts[:-1]:
        found += f"(?>.{{{gap},}}?{re.escape(text)})" if text and gap else re.escape(text)
        gap = 0 if text else gap + 1
    gap += not texts[-1]
    return re.compile(found + (f".{{{gap},}}" if gap else "") + re.escape(texts[-1]), re.DOTALL)


class _Reader(ast.NodeVisitor):
    def __init__(self, tree: ast.Module):
        self.imports: list[Import] = []
        self.texts: list[Text] = []
        self.patterns: list[re.Pattern[str]] = []
        self.words: set[str] = set()
        self.defined: set[str] = set()
        self.fields: dict[str, dict[str, str]] = {}
        self.opaque = self.is_program = self.loads = False
        self._tried = self._inside = 0
        self.visit(tree)

    def visit(self, node: ast.AST) -> None:
        for field in ("id", "attr", "arg", "name", "asname"):
            if isinstance(word := getattr(node, field, None), str):
                self.words.update(word.split("."))
        super().visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.imports.append(Import(alias.name, (), 0, node.lineno, self._tried > 0))
            self._define(alias.asname or alias.name.partition(".")[0])
        self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        names = tuple(alias.name for alias in node.names)
        self.imports.append(Import(node.module or "", names, node.level, node.lineno, self._tried > 0))
        self.opaque |= "*" in names and not self._inside
        for alias in node.names:
            self._define(alias.asname or alias.name)
        self.generic_visit(node)

    def visit_Try(self, node: ast.Try) -> None:
        self._tried += 1
        self.generic_visit(node)
        self._tried -= 1

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._visit_definition(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._visit_definition(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.fields[node.name] = {
            item.target.id: ast.unparse(item.annotation)
            for item in node.body
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
        }
        self._visit_definition(node)

    def _visit_definition(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        self._define(node.name)
        self.opaque |= node.name == "__getattr__" and not self._inside
        self._inside += 1
        self.generic_visit(node)
        self._inside -= 1

    def visit_Global(self, node: ast.Global) -> None:
        self.defined.update(node.names)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self._define(node.id)
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        if not self._inside and isinstance(node.test, ast.Compare) and "__main__" in ast.unparse(node.test):
            self.is_program = True
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if not (isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)):
            self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.texts.append(Text(node.value, node.lineno))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        texts = [str(part.value) if isinstance(part, ast.Constant) else "" for part in node.values]
        if WORD.search("".join(texts)):
            self.patterns.append(_pattern(texts))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        called = ast.unparse(node.func).rpartition(".")[2]
        first = ast.unparse(node.args[0]) if node.args else ""
        if called in ("globals", "exec") or (called == "setattr" and "modules" in first):
            self.opaque = True
        if called in ("import_module", "__import__", "iter_modules", "walk_packages", "run_module"):
            self.loads |= not (node.args and isinstance(node.args[0], ast.Constant))
        self.generic_visit(node)

    def _define(self, name: str) -> None:
        if not self._inside:
            self.defined.add(name)
