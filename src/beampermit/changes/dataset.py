"""What changed between two versions of a dataset, as Markdown; also as a report reads it out of evidence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from beampermit.datasets.differences import Difference, bars
from beampermit.documents import rendering
from beampermit.documents.markdown import Markdown
from beampermit.verdicts.verdict import Verdict

MOST = 20


@dataclass(frozen=True)
class Told:
    """One split's changes, in words and histograms."""

    split: str
    words: tuple[str, ...]
    histograms: dict[str, tuple[str, str]]

    @classmethod
    def of(cls, found: Difference) -> Told:
        """A difference, made short."""
        both = found.before.signals.keys() & found.after.signals.keys() if found.before and found.after else ()
        shown = {
            name: (bars(found.before.signals[name].bins), bars(found.after.signals[name].bins))
            for name in sorted(both)
            if found.before and found.after
        }
        return cls(found.split, found.words, shown if found.words else {})

    def as_json(self) -> dict[str, Any]:
        """For evidence."""
        return {
            "split": self.split,
            "words": list(self.words),
            "histograms": {k: list(v) for k, v in self.histograms.items()},
        }


def markdown(found: Iterable[Difference], before: str, after: str) -> Markdown:
    """The comparison as a document."""
    told = tuple(Told.of(one) for one in found)
    return rendering.join(rendering.blocks("data_diff.md.j2", {"found": told, "before": before, "after": after}))


def evidence(verdicts: Iterable[Verdict], interlock: str = "DAT004") -> tuple[Told, ...]:
    """The comparison with the base branch that the job with the data made; empty where there is none."""
    found = next((verdict.evidence for verdict in verdicts if verdict.id == interlock), {}).get("changes")
    rows = [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
    return tuple(
        Told(str(row.get("split")), _texts(row.get("words")), _pairs(row.get("histograms"))) for row in rows[:MOST]
    )


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(str(word) for word in value[:MOST]) if isinstance(value, list) else ()


def _pairs(value: Any) -> dict[str, tuple[str, str]]:
    rows = list(value.items())[:MOST] if isinstance(value, dict) else []
    return {str(name): (str(both[0]), str(both[1])) for name, both in rows if isinstance(both, list) and len(both) == 2}
