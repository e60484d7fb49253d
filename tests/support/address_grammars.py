"""The grammars by which jsonschema judges addresses, read where an address is judged and not where it is imported.

To read them takes 2 s of CPU, and each worker imports jsonschema for its tests of manifests, notebooks and schemas.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType

NAME = "rfc3987_syntax"


def read_where_judged() -> None:
    if NAME not in sys.modules:
        waiting = ModuleType(NAME)
        waiting.is_valid_syntax = _is_valid_syntax  # type: ignore[attr-defined]
        sys.modules[NAME] = waiting


def _is_valid_syntax(term: str, value: str) -> bool:
    if sys.modules[NAME].is_valid_syntax is _is_valid_syntax:
        del sys.modules[NAME]
        import_module(NAME)
    return sys.modules[NAME].is_valid_syntax(term, value)
