"""What people say of rows: a CSV table in git that is only ever appended to, by several at once, through crashes."""

from __future__ import annotations

import csv
import fcntl
import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from beampermit.contract.dataset import Dataset, Review
from beampermit.errors import BadInput

WHO, WHEN, WHY, CONFIDENCE = "labelled_by", "labelled_at", "why", "confidence"
WRITTEN_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
"""A moment as we write it."""
LARGEST = 64 * 2**20
CLOCK_TOLERANCE = timedelta(days=1)
"""A label may come from a clock that is this much ahead; farther, the clock is wrong."""


@dataclass(frozen=True)
class Annotation:
    """What one person said of one row; `line` of the file, from 1."""

    key: tuple[str, ...]
    value: str
    by: str
    at: datetime
    why: str = ""
    confidence: float = 1.0
    line: int = 0

    @property
    def order(self) -> tuple[datetime, int]:
        """The later of two counts; written at the same moment, the lower line."""
        return self.at, self.line

    def as_json(self) -> dict[str, object]:
        """For a program."""
        said = {"value": self.value, "by": self.by, "at": self.at.isoformat(), "why": self.why}
        return {"row": list(self.key), **said, "confidence": self.confidence}


def review_columns(dataset: Dataset, review: Review) -> tuple[str, ...]:
    """The table's columns."""
    return (*dataset.key, review.column, WHO, WHEN, WHY, CONFIDENCE)


def read_annotations(root: Path, dataset: Dataset, review: Review) -> tuple[Annotation, ...]:
    """All opinions, in the order of the file; none where there is no file. Raises `BadInput` with file and line.

    A last line that a crash cut off was never confirmed to anybody, and is no opinion.
    """
    file = root / review.file
    if not file.exists():
        return ()
    if not file.is_file() or file.stat().st_size > LARGEST:
        raise BadInput(f"not a file of at most {LARGEST >> 20} MiB", file=review.file)
    content = file.read_bytes()
    return tuple(_parse(content[: _complete_length(content)], dataset, review))


def latest_annotations(opinions: Iterable[Annotation]) -> dict[tuple[str, ...], list[Annotation]]:
    """Row -> the last word of each who spoke of it, the latest first: that one counts."""
    each: dict[tuple[tuple[str, ...], str], Annotation] = {}
    for opinion in sorted(opinions, key=lambda opinion: opinion.order):
        each[opinion.key, opinion.by] = opinion
    found: dict[tuple[str, ...], list[Annotation]] = {}
    for opinion in sorted(each.values(), key=lambda opinion: opinion.order, reverse=True):
        found.setdefault(opinion.key, []).append(opinion)
    return found


def append_annotation(root: Path, dataset: Dataset, review: Review, opinion: Annotation) -> None:
    """Add one opinion; when this returns, it is on the disk. Others may append at the same time.

    Raises `BadInput` for a table with other columns, or a value that `review` does not know.
    """
    _validate(opinion, review, None)
    wanted = review_columns(dataset, review)
    said = (*opinion.key, opinion.value, opinion.by, _format_time(opinion.at), opinion.why, f"{opinion.confidence:g}")
    row = dict(zip(wanted, (" ".join(word.split()) for word in said), strict=True))
    with _locked(root / review.file) as stream:
        content = stream.read()
        kept = _complete_length(content)
        if kept < len(content):
            stream.truncate(kept)
            content = content[:kept]
        header = next(csv.reader(io.StringIO(content.decode("utf-8-sig"))), None) if content else None
        if header is not None and not set(wanted) - {CONFIDENCE} <= set(header):
            missing = ", ".join(sorted(set(wanted) - {CONFIDENCE} - set(header)))
            raise BadInput(f"this table has no column {missing}", file=review.file, line=1)
        before = b"" if not content or content.endswith(b"\n") else b"\n"
        lines = [] if header else [wanted]
        lines.append(tuple(row.get(name, "") for name in header or wanted))
        stream.seek(0, os.SEEK_END)
        stream.write(before + _csv(lines))
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def _locked(file: Path) -> Iterator[BinaryIO]:
    """The file, locked; opened again if somebody put another in its place while we waited, as git does."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.exists() and not file.is_file():
        raise BadInput("not a file", file=file)
    while True:
        with file.open("a+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            if not file.exists() or not os.path.samestat(os.fstat(stream.fileno()), file.stat()):
                continue
            stream.seek(0)
            yield stream
            return


def _complete_length(content: bytes) -> int:
    """The length of what is whole. A last line without an end is a person's if it has all fields, and a person wrote it
    by hand: what we write ends with an end, so one of ours without was cut off by a crash.
    """
    end = content.rfind(b"\n") + 1
    rest = content[end:]
    if not rest or not end:
        return len(content)
    try:
        header = next(csv.reader([content.split(b"\n", 1)[0].decode("utf-8-sig")]))
        fields = next(csv.reader([rest.decode()], strict=True))
    except (UnicodeDecodeError, csv.Error, StopIteration):
        return end
    ours = WRITTEN_TIME.fullmatch(dict(zip(header, fields, strict=False)).get(WHEN, ""))
    return len(content) if len(fields) == len(header) and not ours else end


def _parse(content: bytes, dataset: Dataset, review: Review) -> Iterator[Annotation]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise BadInput("not UTF-8", file=review.file, line=line) from None
    reader = csv.DictReader(io.StringIO(text), strict=True)
    try:
        missing = [name for name in review_columns(dataset, review) if name not in (reader.fieldnames or ()) and name != CONFIDENCE]
        if missing:
            raise BadInput(f"this table has no column {missing[0]!r}", file=review.file, line=1)
        for row in reader:
            yield _annotation(row, reader.line_num, dataset, review)
    except csv.Error as error:
        raise BadInput(f"not CSV: {error}", file=review.file, line=reader.reader.line_num) from None


def _annotation(row: Mapping[str | None, str | None], line: int, dataset: Dataset, review: Review) -> Annotation:
    if None in row or None in row.values():
        hint = "merge conflicts are settled by keeping both sides' lines"
        words = "this line has not as many fields as the first"
        raise BadInput(f"{words}; {hint}" if _is_merge_marker(row) else words, file=review.file, line=line)
    sure = row.get(CONFIDENCE) or "1"
    confidence = _parse_confidence(sure)
    if confidence is None:
        raise BadInput(f"confidence {sure[:40]!r} is not a number from 0 to 1", file=review.file, line=line)
    found = Annotation(
        tuple(str(row[name]) for name in dataset.key),
        str(row[review.column]),
        str(row[WHO]).strip(),
        _parse_time(str(row[WHEN]), review, line),
        str(row[WHY]),
        confidence,
        line,
    )
    _validate(found, review, line)
    return found


def _validate(opinion: Annotation, review: Review, line: int | None) -> None:
    if opinion.value not in review.values:
        words = f"{review.column} {opinion.value[:40]!r} is none of {', '.join(review.values)}"
    elif not opinion.by:
        words = f"nobody stands behind this opinion: {WHO} is empty"
    elif not all(opinion.key):
        words = "the row's key is not complete"
    elif opinion.at > datetime.now(UTC) + CLOCK_TOLERANCE:
        words = f"{WHEN} {opinion.at.isoformat()} lies in the future"
    elif not 0 <= opinion.confidence <= 1:
        words = f"confidence {opinion.confidence:g} is not a number from 0 to 1"
    else:
        return
    raise BadInput(words, file=review.file, line=line)


def _parse_time(text: str, review: Review, line: int) -> datetime:
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise BadInput(
            f"{WHEN} {text[:40]!r} is no time such as 2027-01-20T14:00:00Z", file=review.file, line=line
        ) from None
    if found.tzinfo is None:
        raise BadInput(f"{WHEN} {text[:40]!r} has no time zone; add Z for UTC", file=review.file, line=line)
    return found.astimezone(UTC)


def _format_time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _parse_confidence(text: str) -> float | None:
    try:
        found = float(text)
    except ValueError:
        return None
    return found if 0 <= found <= 1 else None


def _is_merge_marker(row: Mapping[str | None, str | None]) -> bool:
    return str(next(iter(row.values()), "")).startswith(("<<<<<<<", "=======", ">>>>>>>"))


def _csv(lines: list[tuple[str, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue().encode()
