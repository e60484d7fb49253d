"""A row of a parametrised test that plays an attacker; docs/attacks.md lists these rows."""

from __future__ import annotations

from typing import Any

import pytest


def attack_case(*values: Any, guard: str, tried: str, said: str, id: str | None = None) -> Any:
    """`pytest.param` with the mark `attack`. The three texts are literal: the page is read from the source."""
    return pytest.param(*values, id=id, marks=pytest.mark.attack(guard=guard, tried=tried, said=said))
