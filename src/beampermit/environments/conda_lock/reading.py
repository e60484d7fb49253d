"""YAML as this program is willing to read it: no conflict markers, aliases or keys given twice, of a bounded size."""

from __future__ import annotations

import re
from typing import Any

from beampermit.errors import BadInput

LARGEST = 64 * 2**20
MARKERS = ("<<<<<<<", ">>>>>>>", "|||||||")
ANCHOR = re.compile(r"(?:^|[\s\[{,:?-])[&*][^\s'\"]", re.MULTILINE)


def tree(text: str, name: str, *, hint: str = "") -> Any:
    """The value of a YAML text whose line ends are `\\n`; `name` is what errors call it. Raises `BadInput`."""
    import yaml

    if len(text) > LARGEST:
        raise BadInput(f"more than {LARGEST} characters are not read", file=name)
    if any(marker in text for marker in MARKERS):
        for number, line in enumerate(text.splitlines(), 1):
            if line.startswith(MARKERS):
                raise BadInput("there are merge-conflict markers in this file", file=name, line=number, hint=hint)
    try:
        if ANCHOR.search(text):
            _refuse_aliases(text, name, hint)
        return yaml.load(text, _loader())  # noqa: S506 - a safe loader, in C
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        message = (error.problem or "cannot be read").splitlines()[0]
        raise BadInput(f"not YAML: {message}", file=name, line=line, hint=hint) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise BadInput(f"not YAML: {str(error).splitlines()[0]}", file=name, hint=hint) from None


def decoded(content: bytes, name: str) -> str:
    """UTF-8 text with `\\n` line ends. Raises `BadInput`."""
    try:
        return content.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise BadInput(f"not UTF-8: {error.reason} at byte {error.start}", file=name) from None


def _refuse_aliases(text: str, name: str, hint: str) -> None:
    import yaml

    for event in yaml.parse(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if isinstance(event, yaml.AliasEvent):
            line = event.start_mark.line + 1 if event.start_mark else None
            raise BadInput("YAML aliases are not read here: write each value", file=name, line=line, hint=hint)


def _loader() -> Any:
    import yaml

    safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Strict(safe):
        """Refuses a key given twice: readers differ in which one they take."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            found = super().construct_mapping(node, deep)
            if len(found) != len(node.value):
                raise yaml.constructor.ConstructorError(
                    problem=f"a key is given twice among {', '.join(map(str, found))}", problem_mark=node.start_mark
                )
            return found

    return Strict
