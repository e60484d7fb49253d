"""Labels that people give to rows: a CSV table in git, append-only, safe for concurrent writers and crashes."""

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
"""The time format of the lines that this module writes."""
LARGEST = 64 * 2**20
CLOCK_TOLERANCE = timedelta(days=1)
"""How far in the future a label's time may be: clocks differ."""


@dataclass(frozen=True)
class Annotation:
    """One person's label of one row; `line` of the file, from 1."""

    key: tuple[str, ...]
    value: str
    by: str
    at: datetime
    why: str = ""
    confidence: float = 1.0
    line: int = 0

    @property
    def order(self) -> tuple[datetime, int]:
        """The later one counts; at equal times, the one further down."""
        return self.at, self.line

    def as_json(self) -> dict[str, object]:
        label = {"value": self.value, "by": self.by, "at": self.at.isoformat(), "why": self.why}
        return {"row": list(self.key), **label, "confidence": self.confidence}


def review_columns(dataset: Dataset, review: Review) -> tuple[str, ...]:
    return (*dataset.key, review.column, WHO, WHEN, WHY, CONFIDENCE)


def read_annotations(root: Path, dataset: Dataset, review: Review) -> tuple[Annotation, ...]:
    """All annotations in the order of the file; empty if there is none. Raises `BadInput` with file and line.

    A last line that a crash truncated was never confirmed, and is ignored.
    """
    file = root / review.file
    if not file.exists():
        return ()
    if not file.is_file() or file.stat().st_size > LARGEST:
        raise BadInput(f"this is not a regular file of at most {LARGEST >> 20} MiB", file=review.file)
    content = file.read_bytes()
    return tuple(_parse(content[: _complete_length(content)], dataset, review))


def latest_annotations(annotations: Iterable[Annotation]) -> dict[tuple[str, ...], list[Annotation]]:
    """Row -> the last annotation of each person, latest first: that one counts."""
    by_person: dict[tuple[tuple[str, ...], str], Annotation] = {}
    for annotation in sorted(annotations, key=lambda annotation: annotation.order):
        by_person[annotation.key, annotation.by] = annotation
    by_row: dict[tuple[str, ...], list[Annotation]] = {}
    for annotation in sorted(by_person.values(), key=lambda annotation: annotation.order, reverse=True):
        by_row.setdefault(annotation.key, []).append(annotation)
    return by_row


def append_annotation(root: Path, dataset: Dataset, review: Review, annotation: Annotation) -> None:
    """Append one annotation; it is on the disk when this returns. Others may append at the same time.

    Raises `BadInput` if the table has other columns, or `review` does not allow the value.
    """
    _validate(annotation, review, None)
    columns = review_columns(dataset, review)
    label = (annotation.value, annotation.by, _format_time(annotation.at), annotation.why)
    fields = (*annotation.key, *label, f"{annotation.confidence:g}")
    row = dict(zip(columns, (" ".join(field.split()) for field in fields), strict=True))
    with _locked(root / review.file) as stream:
        content = stream.read()
        length = _complete_length(content)
        if length < len(content):
            stream.truncate(length)
            content = content[:length]
        header = next(csv.reader(io.StringIO(content.decode("utf-8-sig"))), None) if content else None
        if header is not None and not set(columns) - {CONFIDENCE} <= set(header):
            missing = ", ".join(sorted(set(columns) - {CONFIDENCE} - set(header)))
            raise BadInput(f"this table has no column {missing}", file=review.file, line=1)
        before = b"" if not content or content.endswith(b"\n") else b"\n"
        lines = [] if header else [columns]
        lines.append(tuple(row.get(name, "") for name in header or columns))
        stream.seek(0, os.SEEK_END)
        stream.write(before + _csv(lines))
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def _locked(file: Path) -> Iterator[BinaryIO]:
    """The file, locked; opened again if it was replaced while waiting for the lock, as git does."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.exists() and not file.is_file():
        raise BadInput("this is not a regular file", file=file)
    while True:
        with file.open("a+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            if not file.exists() or not os.path.samestat(os.fstat(stream.fileno()), file.stat()):
                continue
            stream.seek(0)
            yield stream
            return


def _complete_length(content: bytes) -> int:
    """The length without a truncated last line. A last line without a newline is kept if a person wrote it by hand:
    with all fields, and a time in another format than this module's, whose lines always end in a newline.
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
    truncated = WRITTEN_TIME.fullmatch(dict(zip(header, fields, strict=False)).get(WHEN, ""))
    return len(content) if len(fields) == len(header) and not truncated else end


def _parse(content: bytes, dataset: Dataset, review: Review) -> Iterator[Annotation]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise BadInput("not UTF-8", file=review.file, line=line) from None
    reader = csv.DictReader(io.StringIO(text), strict=True)
    try:
        missing = [
            name
            for name in review_columns(dataset, review)
            if name not in (reader.fieldnames or ()) and name != CONFIDENCE
        ]
        if missing:
            raise BadInput(f"this table has no column {missing[0]!r}", file=review.file, line=1)
        for row in reader:
            yield _annotation(row, reader.line_num, dataset, review)
    except csv.Error as error:
        raise BadInput(f"not CSV: {error}", file=review.file, line=reader.reader.line_num) from None


def _annotation(row: Mapping[str | None, str | None], line: int, dataset: Dataset, review: Review) -> Annotation:
    if None in row or None in row.values():
        conflict = "; resolve the merge conflict by keeping the lines of both sides" if _is_merge_marker(row) else ""
        raise BadInput(f"this line has more or fewer fields than the header{conflict}", file=review.file, line=line)
    given = row.get(CONFIDENCE) or "1"
    confidence = _parse_confidence(given)
    if confidence is None:
        raise BadInput(f"confidence {given[:40]!r} is not a number from 0 to 1", file=review.file, line=line)
    annotation = Annotation(
        tuple(str(row[name]) for name in dataset.key),
        str(row[review.column]),
        str(row[WHO]).strip(),
        _parse_time(str(row[WHEN]), review, line),
        str(row[WHY]),
        confidence,
        line,
    )
    _validate(annotation, review, line)
    return annotation


def _validate(annotation: Annotation, review: Review, line: int | None) -> None:
    if annotation.value not in review.values:
        problem = f"{review.column} {annotation.value[:40]!r} is none of {', '.join(review.values)}"
    elif not annotation.by:
        problem = f"{WHO} is empty"
    elif not all(annotation.key):
        problem = "a column of the row's key is empty"
    elif annotation.at > datetime.now(UTC) + CLOCK_TOLERANCE:
        problem = f"{WHEN} {annotation.at.isoformat()} is in the future"
    elif not 0 <= annotation.confidence <= 1:
        problem = f"confidence {annotation.confidence:g} is not a number from 0 to 1"
    else:
        return
    raise BadInput(problem, file=review.file, line=line)


def _parse_time(text: str, review: Review, line: int) -> datetime:
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        raise BadInput(
            f"{WHEN} {text[:40]!r} is not a time such as 2027-01-20T14:00:00Z", file=review.file, line=line
        ) from None
    if time.tzinfo is None:
        raise BadInput(f"{WHEN} {text[:40]!r} has no time zone; add Z for UTC", file=review.file, line=line)
    return time.astimezone(UTC)


def _format_time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _parse_confidence(text: str) -> float | None:
    try:
        confidence = float(text)
    except ValueError:
        return None
    return confidence if 0 <= confidence <= 1 else None


def _is_merge_marker(row: Mapping[str | None, str | None]) -> bool:
    return str(next(iter(row.values()), "")).startswith(("<<<<<<<", "=======", ">>>>>>>"))


def _csv(lines: list[tuple[str, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue().encode()
