"""The verdicts of all jobs, brought together: what came, what did not, what cannot be read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from beampermit.errors import BadInput
from beampermit.verdicts.verdict import Outcome, Verdict, VerdictFile, Where, read_verdicts

ORDER = (Outcome.FAILED, Outcome.ERROR, Outcome.SKIPPED, Outcome.PASSED)
"""Worst first: where two jobs judged the same interlock, the worse word counts."""
ICONS = {Outcome.PASSED: "✅", Outcome.FAILED: "❌", Outcome.SKIPPED: "⏭️", Outcome.ERROR: "⚠️"}
MOST = 500


@dataclass(frozen=True)
class MergedVerdicts:
    """Verdicts by id, worst first; ids of `missing` ones with their titles; a line for each file that is of no use.

    `places` are the machines and CI runs that verdicts were made on, `checkers` the versions that made them.
    """

    verdicts: tuple[Verdict, ...]
    missing: dict[str, str]
    unread: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    checkers: tuple[str, ...] = ()

    @property
    def not_passed(self) -> tuple[Verdict, ...]:
        """All that did not pass and are due."""
        return tuple(verdict for verdict in self.verdicts if not verdict.passed and not verdict.until)

    @property
    def put_off(self) -> tuple[Verdict, ...]:
        """Those that are looked at when the model is released."""
        return tuple(verdict for verdict in self.verdicts if verdict.until)

    @property
    def passed(self) -> tuple[Verdict, ...]:
        """All that are."""
        return tuple(verdict for verdict in self.verdicts if verdict.passed)

    @property
    def to_fix(self) -> tuple[Verdict, ...]:
        """Those with something to do about: failed ones and errors."""
        return tuple(verdict for verdict in self.verdicts if verdict.outcome in (Outcome.FAILED, Outcome.ERROR))

    @property
    def all_passed(self) -> bool:
        """Whether every expected interlock that is due has a passed verdict and every file could be used."""
        return bool(self.passed) and not (self.not_passed or self.missing or self.unread)

    @property
    def headline(self) -> str:
        """One line: `All 23 interlocks passed`, or what did not pass, by name."""
        if self.all_passed:
            later = f", {', '.join(verdict.id for verdict in self.put_off)} put off until the release"
            return f"All {len(self.passed)} interlocks passed{later if self.put_off else ''}"
        failed, broken, skipped = (
            [verdict.id for verdict in self.not_passed if verdict.outcome is outcome]
            for outcome in (Outcome.FAILED, Outcome.ERROR, Outcome.SKIPPED)
        )
        groups = (
            ("failed", failed, True),
            ("could not be judged", broken, True),
            # What is skipped mostly follows from what failed: its names only where nothing did.
            ("skipped", skipped, not (failed or broken)),
            ("without a verdict", list(self.missing), True),
        )
        said = [f"{len(ids)} {word}{_named(ids) if named else ''}" for word, ids, named in groups if ids]
        if self.unread:
            said.append(f"{len(self.unread)} file{'s'[: len(self.unread) > 1]} of verdicts of no use")
        return "; ".join(said) or "No verdict at all"


def read_verdict_folder(folder: Path, commit: str) -> tuple[Verdict, ...]:
    """The verdicts below `folder`, which must be about `commit`. Raises `BadInput` for the first file of no use."""
    merged = merge_verdict_files(folder, {}, commit)
    if merged.unread:
        raise BadInput(merged.unread[0], hint="beampermit check --out verdicts/all.json")
    return merged.verdicts


def merge_verdict_files(folder: Path, expected: Mapping[str, str], commit: str) -> MergedVerdicts:
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
    return merge_verdicts(
        found,
        expected,
        unread=tuple(unread),
        places=tuple(dict.fromkeys(_place(file.where) for file in files)),
        checkers=tuple(dict.fromkeys(file.checker for file in files)),
    )


def merge_verdicts(
    found: Iterable[Verdict],
    expected: Mapping[str, str],
    *,
    unread: tuple[str, ...] = (),
    places: tuple[str, ...] = (),
    checkers: tuple[str, ...] = (),
) -> MergedVerdicts:
    """One verdict an id, the worst that was given; what was `expected` and not given is missing."""
    verdicts: dict[str, Verdict] = {}
    for verdict in found:
        known = verdicts.get(verdict.id)
        if known is None or ORDER.index(verdict.outcome) < ORDER.index(known.outcome):
            verdicts[verdict.id] = verdict
    missing = {id: title for id, title in expected.items() if id not in verdicts}
    return MergedVerdicts(ranked(verdicts.values(), tuple(expected)), missing, unread, places, checkers)


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
