"""The families of interlocks: finds the modules, and the interlocks in them."""

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
    "GIT": "repository",
}


def load_interlocks(families: Iterable[str] = tuple(FAMILIES)) -> dict[str, type[Interlock]]:
    """Interlocks by id, in the order of their families; of `families` at least, such as `ENV`."""
    for family in families:
        importlib.import_module(f"beampermit.interlocks.{FAMILIES[family]}")
    order = list(FAMILIES)
    return dict(sorted(Interlock.known.items(), key=lambda item: (order.index(item[0][:3]), item[0])))


def select_interlocks(wanted: Iterable[str]) -> list[type[Interlock]]:
    """The interlocks that families (`ENV` or `environment`) and ids name, all if none is named. Raises `BadInput`."""
    names = {name: prefix for prefix, name in FAMILIES.items()}
    words = {word: names.get(word.lower(), word.upper()) for word in wanted}
    # One family alone starts twice as fast as all of them.
    known = load_interlocks({prefix[:3] for prefix in words.values()} & FAMILIES.keys() or FAMILIES)
    chosen: dict[str, type[Interlock]] = {}
    for word, prefix in words.items():
        found = {id: cls for id, cls in known.items() if id == prefix or id[:3] == prefix}
        if not found:
            families = ", ".join(FAMILIES.values())
            raise BadInput(
                f"no interlock or family is called {word!r}; the families are {families}",
                hint="beampermit check --list",
            )
        chosen |= found
    return list((chosen or known).values())
