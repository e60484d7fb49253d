"""Modules of a project: imports and commands of what is not there, and modules that nothing uses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import PurePosixPath

from beampermit.code.sources import PARAMS, WORD, Import, Sources, is_test, mentioned
from beampermit.contract import FILE_NAME as CONTRACT
from beampermit.errors import Problem, did_you_mean

RUN = re.compile(r"(?<![\w-])-m[\s,'\"]+([A-Za-z_]\w*(?:\.\w+)*)(?![\w.$/{-])")
"""`python -m package.module`, also in a YAML list."""
COMPILED = frozenset((".c", ".cc", ".cpp", ".cu", ".cxx", ".f", ".f90", ".pyx", ".rs"))
DEEPEST = 64
"""Parts of a dotted name that are looked up; packages are less deep."""
BUILDS = frozenset(("CMakeLists.txt", "Cargo.toml", "meson.build", "setup.py"))
"""Files that name the extensions that are built."""


class Modules:
    """The modules in the files of one side, and which of them use which."""

    def __init__(self, sources: Sources):
        self._sources = sources
        self._stems: dict[str, str] = {}
        for path in sorted(sources.paths, key=lambda path: (not path.endswith(".py"), path)):
            stem = path.removesuffix(PurePosixPath(path).suffix)
            self._stems.setdefault(stem.removesuffix("/__init__") if path.endswith("/__init__.py") else stem, path)
        folders = {str(PurePosixPath(path).parent) for path in sources.python}
        self._roots = sorted(
            {"", "src/", *(f"{folder}/" for folder in folders if not self._is_package(folder))} - {"./"}
        )

    def _is_package(self, folder: str) -> bool:
        return f"{folder}/__init__.py" in self._sources.paths

    @cached_property
    def extensions(self) -> frozenset[str]:
        """Names of modules that may be built of other languages, without leading underscores."""
        names = {PurePosixPath(path).stem for path in self._sources.paths if PurePosixPath(path).suffix in COMPILED}
        for path in self._sources.paths:
            if PurePosixPath(path).name in BUILDS:
                names.update(WORD.findall(self._sources.text(path) or ""))
        return frozenset(name.lstrip("_") for name in names)

    @cached_property
    def packages(self) -> dict[str, tuple[str, ...]]:
        """Name of each of the project's own packages -> the folders that it may be imported from."""
        found: dict[str, list[str]] = {}
        for root in self._roots:
            for folder in self._sources.folders:
                name = folder.removeprefix(root)
                inside = folder.startswith(root) and "/" not in name and name.isidentifier()
                if inside and (self._is_package(folder) or (root == "src/" and self._has_python(folder))):
                    found.setdefault(name, []).append(root)
        return {name: tuple(roots) for name, roots in found.items()}

    def _has_python(self, folder: str) -> bool:
        return any(path.startswith(f"{folder}/") for path in self._sources.python)

    def name(self, path: str) -> str:
        """The dotted name of a Python file below `src`; empty for another file."""
        if not path.startswith("src/") or not path.endswith(".py"):
            return ""
        return path.removeprefix("src/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    def stems(self, name: str) -> list[str]:
        """Where a module of an own package may be, without the end of the file's name; empty for another's."""
        roots = self.packages.get(name.partition(".")[0], ())
        return [f"{root}{name.replace('.', '/')}" for root in roots]

    def at(self, stem: str) -> str | None:
        """The file of a module, or the folder of a package without `__init__.py`."""
        return self._stems.get(stem) or (stem if stem in self._sources.folders else None)

    def targets(self, path: str, item: Import) -> list[str]:
        """Where the module of an import may be; empty for a module that is not the project's own."""
        if not item.level:
            return self.stems(item.module)
        parents = PurePosixPath(path).parents
        if item.level > len(parents):
            return []
        folder = str(parents[item.level - 1])
        return ["/".join(filter(None, ("" if folder == "." else folder, *item.module.split("."))))]

    def imported(self, path: str) -> Iterator[str]:
        """The files of the project that a Python file imports, or names in a text."""
        python = self._sources.python.get(path)
        if python is None:
            return
        for item in python.imports:
            for stem in self.targets(path, item):
                yield from self._with_packages(stem)
                for name in item.names:
                    yield from self._with_packages(f"{stem}/{name}")
        for text in python.texts:
            yield from self.named(mentioned(text.value))

    def named(self, mentions: Iterable[str]) -> Iterator[str]:
        """The files that dotted names and paths mean: `package.module.function`, `src/package/module.py`."""
        for mention in mentions:
            if mention.endswith(".py"):
                yield from self._by_file_name(mention)
                continue
            parts = mention.split(".", DEEPEST)[:DEEPEST]
            for end in range(len(parts), 0, -1):
                found = [file for stem in self.stems(".".join(parts[:end])) for file in self._with_packages(stem)]
                yield from found
                if found:
                    break

    def _by_file_name(self, mention: str) -> Iterator[str]:
        name = mention.removeprefix("./")
        yield from (path for path in self._sources.python if path == name or path.endswith(f"/{name}"))

    def _with_packages(self, stem: str) -> Iterator[str]:
        """A module's file, with those of the packages around it; importing one runs them."""
        if (file := self._stems.get(stem)) is None:
            return
        yield file
        for folder in PurePosixPath(stem).parents:
            if around := self._stems.get(str(folder)):
                yield around

    @cached_property
    def run(self) -> frozenset[str]:
        """Python files that stages, the contract or scripts run, with all that those import."""
        texts = (text for path, text in self._sources.scripts.items() if path != PARAMS)
        waiting = [file for text in texts for file in self.named(mentioned(text))]
        reached: set[str] = set()
        while waiting:
            path = waiting.pop()
            if path not in reached:
                reached.add(path)
                waiting.extend(self.imported(path))
        return frozenset(reached)

    @cached_property
    def by_hand(self) -> frozenset[str]:
        """What a document says how to run or to import."""
        names = (name for text in self._sources.documents.values() for name in mentioned(text))
        return frozenset(self.named(name for name in names if not name.endswith(".py")))

    @cached_property
    def all_imported(self) -> frozenset[str]:
        """What any other file imports, tests included."""
        return frozenset(file for path in self._sources.python for file in self.imported(path) if file != path)


def broken_imports(sources: Sources, modules: Modules, ignored: Iterable[str]) -> Iterator[Problem]:
    """Imports of the project's own modules and names that are not there, unless they are in a `try`.

    `ignored` are paths that git ignores: a file there is made by a tool.
    """
    made = frozenset(ignored)
    for path, python in sources.python.items():
        for item in (item for item in python.imports if not item.optional):
            stems = modules.targets(path, item)
            if stems and not any(_is_built(modules, stem, item.names, made) for stem in stems):
                yield from _broken(sources, modules, path, item, stems)


def _is_built(modules: Modules, stem: str, names: Iterable[str], made: frozenset[str]) -> bool:
    """Whether a module, or one of those names in it, is not a file of the project, but made of one."""
    places = [place for place in (stem, *(f"{stem}/{name}" for name in names)) if modules.at(place) is None]
    built = (place.rpartition("/")[2].lstrip("_") in modules.extensions for place in places)
    return any(f"{place}.py" in made for place in places) or any(built)


def _broken(sources: Sources, modules: Modules, path: str, item: Import, stems: list[str]) -> Iterator[Problem]:
    found = [place for stem in stems if (place := modules.at(stem))]
    written = "." * item.level + item.module
    if not found:
        what = f"it imports {written}, which is not there"
        yield Problem(what, path, item.line, "Import what replaces it, or remove this file or its test.")
        return
    for name in item.names:
        if any(_has(sources, modules, place, stem, name) for place in found for stem in stems):
            continue
        known = (sources.python[place].defined or () for place in found if place in sources.python)
        similar = did_you_mean(name, {word for words in known for word in words})
        what = f"it imports {name} from {written}, where no {name} is{similar}"
        yield Problem(what, path, item.line, f"Import what replaces it, or define it in {found[0]}.")


def possible_files(sources: Sources, modules: Modules) -> list[str]:
    """Files that imports may mean and that are not there, for git to say which of them it ignores."""
    items = ((path, item) for path, python in sources.python.items() for item in python.imports)
    meant = ((stem, item.names) for path, item in items for stem in modules.targets(path, item))
    places = {place for stem, names in meant for place in (stem, *(f"{stem}/{name}" for name in names))}
    return sorted(f"{place}.py" for place in places if modules.at(place) is None)


def _has(sources: Sources, modules: Modules, place: str, stem: str, name: str) -> bool:
    if name == "*" or modules.at(f"{stem}/{name}"):
        return True
    python = sources.python.get(place)
    if python is None:
        return place in sources.paths  # an extension, or Python that cannot be read here
    return python.defined is None or name in python.defined or name in ("__file__", "__name__", "__path__", "__doc__")


def missing_programs(sources: Sources, modules: Modules, drafted: frozenset[int]) -> Iterator[Problem]:
    """`python -m` of a module that the project's own package does not have, wherever it is written.

    `drafted` are the lines of the contract that are marked TODO.
    """
    for path, text in (*sources.scripts.items(), *sources.documents.items()):
        for number, line in enumerate(text.splitlines(), 1):
            comment = line.lstrip().startswith("#") and not path.endswith(".md")
            if comment or (path == CONTRACT and number in drafted):
                continue
            for name in RUN.findall(line):
                if path.endswith(".md") and name != name.lower():
                    continue  # `python -m package.STAGE` names none
                if problem := _missing_program(modules, name):
                    what = f"it runs `python -m {name}`, and {problem}"
                    yield Problem(what, path, number, "Name the module that does this now, or remove the command.")


def _missing_program(modules: Modules, name: str) -> str:
    stems = modules.stems(name)
    if not stems:
        return ""  # a program of a library
    places = [place for stem in stems if (place := modules.at(stem))]
    if not places:
        return f"there is no {stems[0]}.py"
    is_package = not any(place.endswith(".py") and not place.endswith("/__init__.py") for place in places)
    if is_package and not any(modules.at(f"{stem}/__main__") for stem in stems):
        return f"the package has no {stems[0]}/__main__.py"
    return ""


def unused(sources: Sources, modules: Modules, before: Modules | None) -> Iterator[Problem]:
    """Modules below `src` that nothing imports and nothing runs.

    A program that a person may run by hand, and a module that only tests import, count where the pipeline of the base
    branch used them.
    """
    earlier = before.run if before else frozenset()
    for path, python in sources.python.items():
        special = PurePosixPath(path).name in ("__init__.py", "__main__.py") or is_test(path)
        empty = not (python.words or python.texts)
        if special or empty or not path.startswith("src/") or path in modules.run | modules.by_hand:
            continue
        tested = path in modules.all_imported
        if (tested or python.is_program) and path not in earlier:
            continue
        what = "only tests import this module" if tested else "nothing imports this module and no stage runs it"
        since = ", and the pipeline used it before" if path in earlier else ""
        yield Problem(f"{what}{since}", path, None, "Remove it and its tests, or name it in the stage that needs it.")
