"""A ledger is read strictly: the first line that does not hold is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from beampermit.errors import BadInput
from beampermit.registry.event import Event
from beampermit.registry.lines import read_lines, write_lines


@pytest.fixture
def text(event: Callable[..., Event]) -> str:
    """Two promotions and the way back."""
    written = ""
    for changes in (
        {},
        {"version": 2, "sequence": 2, "expected": 1, "commit": "2" * 40},
        {"event": "rollback", "sequence": 3, "expected": 2, "reason": "drifts"},
    ):
        written = write_lines(written, event(**changes))
    return written


def test_what_is_written_is_read(text: str) -> None:
    assert [(one.event, one.version) for one in read_lines(text)] == [("promote", 1), ("promote", 2), ("rollback", 1)]
    assert "".join(write_lines("", one) for one in read_lines(text)) == text


def _edit(number: int, **changes: Any) -> Callable[[str], str]:
    def edit(text: str) -> str:
        lines = text.splitlines()
        lines[number - 1] = json.dumps({**json.loads(lines[number - 1]), **changes})
        return "\n".join(lines) + "\n"

    return edit


DEFECTS: dict[str, tuple[Callable[[str], str], int, str]] = {
    "cut off": (lambda text: text[:-10], 3, "cut off"),
    "not JSON": (lambda text: text.replace('{"event": "rollback"', '"event": "rollback"'), 3, "not JSON"),
    "a list": (lambda text: "[]\n" + text, 1, "an event is a JSON object"),
    "an empty line": (lambda text: "\n" + text, 1, "not JSON"),
    "a key twice": (lambda text: text.replace('"by":', '"at": "x", "by":', 1), 1, "'at' is given twice"),
    "a newer kind": (_edit(2, event="bless"), 2, "knows no event 'bless'; a newer one wrote it"),
    "a newer key": (_edit(2, colour="red"), 2, "unknown key 'colour'; a newer beampermit wrote it"),
    "version as text": (_edit(2, version="2"), 2, "version: Input should be a valid integer"),
    "a short digest": (_edit(2, digest="sha256:00"), 2, "digest: String should match"),
    "a line lost": (lambda text: "".join(text.splitlines(keepends=True)[::2]), 2, "sequence is 3, and this is line 2"),
    "another expected": (_edit(3, expected=1), 3, "expected champion version 1, but it was 2"),
    "back to what never was": (_edit(3, version=9), 3, "version 9, which was never promoted"),
    "back with other bytes": (_edit(3, digest=f"sha256:{'d' * 64}"), 3, "never promoted as this digest"),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_bad_line_is_named(text: str, defect: str) -> None:
    spoil, line, message = DEFECTS[defect]
    with pytest.raises(BadInput) as caught:
        read_lines(spoil(text))
    assert str(caught.value).startswith(f"ledger.jsonl:{line}: ")
    assert message in caught.value.message
