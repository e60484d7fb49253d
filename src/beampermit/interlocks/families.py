"""The families of interlocks, and the modules that hold them."""

from __future__ import annotations

import importlib
from collections.abc import Iterable

from beampermit.errors import BadInput
from beampermit.interlocks.interlock import Interlock

FAMILIES = {
    "ENV": "environment",
    "DAT": "data",
    "TST": "tests",
    "REP": "reproducibility",
    "PRF": "performance",
    "MDL": "model",
    "DOC": "documents",
    "OPS": "operations",
    "GIT": "repository",
}


def load_interlocks(families: Iterable[str] = tuple(FAMILIES)) -> dict[str, type[Interlock]]:
    """Interlocks by id, in the order of their families: at least those of `families`, such as `ENV`."""
    for family in families:
        importlib.import_module(f"beampermit.interlocks.{FAMILIES[family]}")
    order = list(FAMILIES)
    return dict(sorted(Interlock.known.items(), key=lambda item: (order.index(item[0][:3]), item[0])))


def select_interlocks(names: Iterable[str]) -> list[type[Interlock]]:
    """The interlocks of these families (`ENV` or `environment`) and ids, all if none is named. Raises `BadInput`."""
    prefixes = {family: prefix for prefix, family in FAMILIES.items()}
    by_name = {name: prefixes.get(name.lower(), name.upper()) for name in names}
    # One family alone starts twice as fast as all of them.
    loaded = load_interlocks({prefix[:3] for prefix in by_name.values()} & FAMILIES.keys() or FAMILIES)
    selected: dict[str, type[Interlock]] = {}
    for name, prefix in by_name.items():
        matching = {id: cls for id, cls in loaded.items() if prefix in (id, id[:3])}
        if not matching:
            raise BadInput(
                f"there is no interlock or family {name!r}; the families are {', '.join(FAMILIES.values())}",
                hint="beampermit check --list",
            )
        selected |= matching
    return list((selected or loaded).values())
