"""What installed packages require is read, but for requirements of an extra alone."""

from __future__ import annotations

import pytest

from beampermit.environments.uv.installed import FOR_EXTRA


@pytest.mark.parametrize(
    ("text", "skipped"),
    [
        ("ruff; extra == 'dev'", True),
        ('ruff>=1; python_version < "3.13" and extra == "dev"', True),
        ("ruff; (python_version<'3' or os_name=='nt') and extra=='dev'", False),  # read, and not needed
        ("ruff; python_version > '3' or extra == 'dev'", False),
        ("ruff; (os_name == 'nt')or(extra == 'dev')", False),
        ("ruff; extra != 'dev'", False),
        ("ruff; extra == ''", False),
        ("extra==1.0", False),
        ("ruff", False),
    ],
)
def test_a_requirement_that_holds_without_an_extra_is_always_read(text: str, skipped: bool) -> None:
    assert bool(FOR_EXTRA.match(text)) is skipped
