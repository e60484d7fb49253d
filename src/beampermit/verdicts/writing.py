"""Writes files of verdicts. Where one would be too large to be read, it leaves out what decides nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from beampermit.digest import digest_json
from beampermit.files import write_text
from beampermit.verdicts.verdict import LARGEST, Verdict, VerdictFile


def write_verdicts(path: Path, file: VerdictFile) -> None:
    """What would make it too large to be read is left out, of a laboratory's own interlocks alone."""
    text = _written(file)
    if (excess := len(text.encode()) - LARGEST) > 0:
        text = _written(file.model_copy(update={"verdicts": _fitted(file.verdicts, excess, LARGEST)}))
    write_text(path, text)


def _written(file: VerdictFile) -> str:
    body = json.loads(file.model_dump_json())
    return json.dumps({**body, "digest": digest_json(body)}, indent=2, ensure_ascii=False) + "\n"


def _fitted(verdicts: tuple[Verdict, ...], excess: int, limit: int) -> tuple[Verdict, ...]:
    """The verdicts without `excess` bytes: the laboratory's lose evidence, the largest first, and then places.

    `limit` is the size of the file, for what stands in their place.
    """

    def without_evidence(verdict: Verdict) -> dict[str, Any]:
        size = _size(verdict.model_dump(mode="json")["evidence"])
        return {"evidence": {"left_out": f"{size} bytes of JSON, and a file of verdicts has at most {limit}"}}

    def without_places(verdict: Verdict) -> dict[str, Any]:
        return {"locations": verdict.locations[:1]}

    kept = list(verdicts)
    for shorten in (without_evidence, without_places):
        for index, shorter, saved in _by_size(kept, shorten):
            if excess <= 0:
                return tuple(kept)
            kept[index] = shorter
            excess -= saved
    return tuple(kept)


def _by_size(verdicts: list[Verdict], shorten: Callable[[Verdict], dict[str, Any]]) -> list[tuple[int, Verdict, int]]:
    """Place of each verdict that gets smaller, what it becomes, and at least how many bytes that saves."""
    found: list[tuple[int, Verdict, int]] = []
    for index, verdict in enumerate(verdicts):
        if not verdict.by:
            continue
        shorter = verdict.model_copy(update=shorten(verdict))
        saved = _size(verdict.model_dump(mode="json")) - _size(shorter.model_dump(mode="json"))
        if saved > 0:
            found.append((index, shorter, saved))
    return sorted(found, key=lambda one: -one[2])


def _size(value: Any) -> int:
    """Bytes, at most as many as inside of a file, where lines are further in."""
    return len(json.dumps(value, indent=2, ensure_ascii=False).encode())
