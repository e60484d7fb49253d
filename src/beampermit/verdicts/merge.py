"""The verdicts of all jobs, merged: one for each interlock, those that are missing, and files that cannot be read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from beampermit.errors import BadInput, counted
from beampermit.verdicts.verdict import Outcome, Verdict, VerdictFile, Where, read_verdicts

ORDER = (Outcome.FAILED, Outcome.ERROR, Outcome.SKIPPED, Outcome.PASSED)
"""Worst first: where two jobs judged the same interlock, the worse outcome counts."""
ICONS = {Outcome.PASSED: "✅", Outcome.FAILED: "❌", Outcome.SKIPPED: "⏭️", Outcome.ERROR: "⚠️"}
MOST = 500


@dataclass(frozen=True)
class MergedVerdicts:
    """One verdict for each id, worst first.

    `missing` are ids with their titles, `unread` one line for each file that cannot be used, `places` the machines and
    CI runs that made the verdicts, `checkers` their versions.
    """

    verdicts: tuple[Verdict, ...]
    missing: dict[str, str]
    unread: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    checkers: tuple[str, ...] = ()

    @property
    def not_passed(self) -> tuple[Verdict, ...]:
        """All that did not pass and are not put off."""
        return tuple(verdict for verdict in self.verdicts if not verdict.passed and not verdict.until)

    @property
    def put_off(self) -> tuple[Verdict, ...]:
        """Those that run at the release."""
        return tuple(verdict for verdict in self.verdicts if verdict.until)

    @property
    def passed(self) -> tuple[Verdict, ...]:
        return tuple(verdict for verdict in self.verdicts if verdict.passed)

    @property
    def to_fix(self) -> tuple[Verdict, ...]:
        """Failures and errors."""
        return tuple(verdict for verdict in self.verdicts if verdict.outcome in (Outcome.FAILED, Outcome.ERROR))

    @property
    def all_passed(self) -> bool:
        """Whether every expected interlock that is not put off has passed, and every file could be read."""
        return bool(self.passed) and not (self.not_passed or self.missing or self.unread)

    @property
    def headline(self) -> str:
        """One line: `All 23 interlocks passed`, or what did not pass, by name."""
        if self.all_passed:
            passed = len(self.passed)
            later = f", {', '.join(verdict.id for verdict in self.put_off)} put off until the release"
            return f"{'All ' * (passed > 1)}{counted(passed, 'interlock')} passed{later if self.put_off else ''}"
        failed, broken, skipped = (
            [verdict.id for verdict in self.not_passed if verdict.outcome is outcome]
            for outcome in (Outcome.FAILED, Outcome.ERROR, Outcome.SKIPPED)
        )
        groups = (
            ("failed", failed, True),
            ("could not be judged", broken, True),
            # What is skipped mostly waits for what failed: its names only where nothing did.
            ("skipped", skipped, not (failed or broken)),
            ("without a verdict", list(self.missing), True),
        )
        parts = [f"{len(ids)} {label}{_list(ids) if listed else ''}" for label, ids, listed in groups if ids]
        if self.unread:
            parts.append(f"{len(self.unread)} verdict file{'s'[: len(self.unread) > 1]} could not be read")
        return "; ".join(parts) or "No verdicts"


def read_verdict_folder(folder: Path, commit: str) -> tuple[Verdict, ...]:
    """The verdicts below `folder`, which must be about `commit`.

    Raises `BadInput` for the first file that cannot be used.
    """
    merged = merge_verdict_files(folder, {}, commit)
    if merged.unread:
        raise BadInput(merged.unread[0], hint="beampermit check --out verdicts/all.json")
    return merged.verdicts


def merge_verdict_files(
    folder: Path, expected: Mapping[str, str], commit: str, *, run: str = "", base_contract: str | None = None
) -> MergedVerdicts:
    """Merge the verdict files below `folder`, which must be about `commit`; `expected` are ids and titles.

    With `run` and `base_contract`, a file that names another workflow run or contract is not used: no permit would.
    """
    unread: list[str] = []
    files: list[VerdictFile] = []
    for path in _files(folder, unread):
        name = path.relative_to(folder).as_posix()
        try:
            file = read_verdicts(path)
        except BadInput as error:
            unread.append(f"{name}: {error.message}")
            continue
        if why := _why_not_used(file, commit, run, base_contract):
            unread.append(f"{name}: its verdicts are {why}")
            continue
        files.append(file)
    return merge_verdicts(
        (verdict for file in files for verdict in file.verdicts),
        expected,
        unread=tuple(unread),
        places=tuple(dict.fromkeys(_place(file.where) for file in files)),
        checkers=tuple(dict.fromkeys(file.checker for file in files)),
    )


def _why_not_used(file: VerdictFile, commit: str, run: str, base_contract: str | None) -> str | None:
    if file.commit != commit:
        return f"about commit {file.commit[:12]}, not {commit[:12]}"
    if run and file.where.run != run:
        return "of another workflow run"
    if base_contract and file.base_contract not in (None, base_contract):
        return f"by another contract than the base's, {base_contract[:19]}"
    return None


def merge_verdicts(
    verdicts: Iterable[Verdict],
    expected: Mapping[str, str],
    *,
    unread: tuple[str, ...] = (),
    places: tuple[str, ...] = (),
    checkers: tuple[str, ...] = (),
) -> MergedVerdicts:
    """One verdict for each id, the worst of several; what is `expected` and has none is missing."""
    worst: dict[str, Verdict] = {}
    for verdict in verdicts:
        other = worst.get(verdict.id)
        if other is None or ORDER.index(verdict.outcome) < ORDER.index(other.outcome):
            worst[verdict.id] = verdict
    missing = {id: title for id, title in expected.items() if id not in worst}
    return MergedVerdicts(_ranked(worst.values(), tuple(expected)), missing, unread, places, checkers)


def _ranked(verdicts: Iterable[Verdict], order: Sequence[str]) -> tuple[Verdict, ...]:
    """Worst first; among equals in the given order of ids."""
    ranks = {id: rank for rank, id in enumerate(order)}
    return tuple(
        sorted(verdicts, key=lambda item: (ORDER.index(item.outcome), ranks.get(item.id, len(ranks)), item.id))
    )


def _files(folder: Path, unread: list[str]) -> list[Path]:
    if not folder.is_dir():
        unread.append(f"{folder}: there is no such folder")
        return []
    files = sorted(path for path in folder.rglob("*.json") if path.is_file() and not path.is_symlink())
    if len(files) > MOST:
        unread.append(f"{folder}: {len(files)} files; only the first {MOST} were read")
    return files[:MOST]


def _place(where: Where) -> str:
    return f"{where.host} ({where.system}, Python {where.python})" + (f" in {where.run}" if where.run else "")


def _list(ids: list[str]) -> str:
    """As many as fit in a line, or none."""
    return f": {', '.join(ids)}" if len(ids) <= 6 else ""
