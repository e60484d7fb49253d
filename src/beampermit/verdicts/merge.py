"""The verdicts of all jobs, brought together: what came, what did not, what cannot be read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from beampermit.errors import BadInput
from beampermit.verdicts.verdict import Outcome, Verdict, VerdictFile, Where, read_verdicts

ORDER = (Outcome.TRIPPED, Outcome.ERROR, Outcome.SKIPPED, Outcome.CLOSED)
"""Worst first: where two jobs judged the same interlock, the worse word counts."""
LAMPS = {Outcome.CLOSED: "✅", Outcome.TRIPPED: "❌", Outcome.SKIPPED: "⏭️", Outcome.ERROR: "⚠️"}
MOST = 500


@dataclass(frozen=True)
class Judged:
    """Verdicts by id, worst first; ids of `missing` ones with their titles; a line for each file that is of no use.

    `places` are the machines and CI runs that verdicts were made on, `referees` the versions that made them.
    """

    verdicts: tuple[Verdict, ...]
    missing: dict[str, str]
    unread: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    referees: tuple[str, ...] = ()

    @property
    def open(self) -> tuple[Verdict, ...]:
        """All that are not closed, and due."""
        return tuple(verdict for verdict in self.verdicts if not verdict.closed and not verdict.until)

    @property
    def put_off(self) -> tuple[Verdict, ...]:
        """Those that are looked at when the model is released."""
        return tuple(verdict for verdict in self.verdicts if verdict.until)

    @property
    def closed(self) -> tuple[Verdict, ...]:
        """All that are."""
        return tuple(verdict for verdict in self.verdicts if verdict.closed)

    @property
    def to_mend(self) -> tuple[Verdict, ...]:
        """Those with something to do about: tripped ones and errors."""
        return tuple(verdict for verdict in self.verdicts if verdict.outcome in (Outcome.TRIPPED, Outcome.ERROR))

    @property
    def all_closed(self) -> bool:
        """Whether every expected interlock that is due has a closed verdict and every file could be used."""
        return bool(self.closed) and not (self.open or self.missing or self.unread)

    @property
    def headline(self) -> str:
        """One line: `All 23 interlocks closed`, or what is open, by name."""
        if self.all_closed:
            later = f", {', '.join(verdict.id for verdict in self.put_off)} put off until the release"
            return f"All {len(self.closed)} interlocks closed{later if self.put_off else ''}"
        tripped, broken, skipped = (
            [verdict.id for verdict in self.open if verdict.outcome is outcome]
            for outcome in (Outcome.TRIPPED, Outcome.ERROR, Outcome.SKIPPED)
        )
        groups = (
            ("tripped", tripped, True),
            ("could not be judged", broken, True),
            # What is skipped mostly follows from what tripped: its names only where nothing did.
            ("skipped", skipped, not (tripped or broken)),
            ("without a verdict", list(self.missing), True),
        )
        said = [f"{len(ids)} {word}{_named(ids) if named else ''}" for word, ids, named in groups if ids]
        if self.unread:
            said.append(f"{len(self.unread)} file{'s'[: len(self.unread) > 1]} of verdicts of no use")
        return "; ".join(said) or "No verdict at all"


def judged(folder: Path, expected: Mapping[str, str], commit: str) -> Judged:
    """Merge the files of verdicts below `folder`, which must be about `commit`; `expected` are ids and titles."""
    unread: list[str] = []
    files: list[VerdictFile] = []
    for path in _files(folder, unread):
        name = path.relative_to(folder).as_posix()
        try:
            found = read_verdicts(path)
        except BadInput as error:
            unread.append(f"{name}: {error.message}")
            continue
        if found.commit != commit:
            unread.append(f"{name}: its verdicts are about commit {found.commit[:12]}, not {commit[:12]}")
            continue
        files.append(found)
    found = (verdict for file in files for verdict in file.verdicts)
    return merged(
        found,
        expected,
        unread=tuple(unread),
        places=tuple(dict.fromkeys(_place(file.where) for file in files)),
        referees=tuple(dict.fromkeys(file.referee for file in files)),
    )


def merged(
    found: Iterable[Verdict],
    expected: Mapping[str, str],
    *,
    unread: tuple[str, ...] = (),
    places: tuple[str, ...] = (),
    referees: tuple[str, ...] = (),
) -> Judged:
    """One verdict an id, the worst that was given; what was `expected` and not given is missing."""
    verdicts: dict[str, Verdict] = {}
    for verdict in found:
        known = verdicts.get(verdict.id)
        if known is None or ORDER.index(verdict.outcome) < ORDER.index(known.outcome):
            verdicts[verdict.id] = verdict
    missing = {id: title for id, title in expected.items() if id not in verdicts}
    return Judged(ranked(verdicts.values(), tuple(expected)), missing, unread, places, referees)


def ranked(verdicts: Iterable[Verdict], order: Sequence[str] = ()) -> tuple[Verdict, ...]:
    """Worst first; among equals in the given order of ids."""
    places = {id: place for place, id in enumerate(order)}
    return tuple(
        sorted(verdicts, key=lambda item: (ORDER.index(item.outcome), places.get(item.id, len(places)), item.id))
    )


def _files(folder: Path, unread: list[str]) -> list[Path]:
    if not folder.is_dir():
        unread.append(f"{folder}: there is no such folder")
        return []
    found = sorted(path for path in folder.rglob("*.json") if path.is_file() and not path.is_symlink())
    if len(found) > MOST:
        unread.append(f"{folder}: {len(found)} files; the first {MOST} were read")
    return found[:MOST]


def _place(where: Where) -> str:
    return f"{where.host} ({where.system}, Python {where.python})" + (f" in {where.run}" if where.run else "")


def _named(ids: list[str]) -> str:
    """Names where they fit in a line."""
    return f": {', '.join(ids)}" if len(ids) <= 6 else ""
