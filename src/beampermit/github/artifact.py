"""Reads one file from a workflow artifact. The pull request's code may have made it, so nothing is unpacked.

An archive with anything in it that `beampermit report` does not write is refused.
"""

from __future__ import annotations

import io
import re
import stat
from typing import TYPE_CHECKING

from beampermit.errors import BadInput, one_line
from beampermit.github.client import Answer, Client, Refused, parse_answer

if TYPE_CHECKING:
    from zipfile import ZipFile, ZipInfo

LARGEST = 32 * 2**20
"""Bytes of an archive."""
MOST = 200
"""Files in an archive."""
ENTRY = b"PK\x01\x02"
"""Start of each entry in the directory of a zip archive."""


class Artifact(Answer):
    id: int
    name: str
    expired: bool
    size_in_bytes: int


def download_file(client: Client, run: int, artifact: str, name: str, others: re.Pattern[str], limit: int) -> bytes:
    """The file `name`, at most `limit` bytes, of the newest artifact called `artifact`; `others` may be in it as well.

    Raises `BadInput` where there is no such artifact or it is refused, `Outside` where it cannot be downloaded.
    """
    rows = client.pages(f"/actions/runs/{run}/artifacts", "artifacts", name=artifact)
    artifacts = [entry for entry in (parse_answer(Artifact, row) for row in rows) if entry.name == artifact]
    if not artifacts:
        raise BadInput(
            f"run {run} has no artifact {artifact!r}", hint="open the run on GitHub: the job that uploads it failed"
        )
    newest = max(artifacts, key=lambda entry: entry.id)  # each attempt of a run leaves one
    return read_archive(_download(client, newest), f"{artifact}.zip", name, others, limit)


def read_archive(archive: bytes, file: str, name: str, others: re.Pattern[str], limit: int) -> bytes:
    """The file `name` in an archive; `file` is the archive's name in errors. Raises `BadInput`."""
    import struct
    import zlib
    from zipfile import BadZipFile, ZipFile

    if archive.count(ENTRY) > MOST:  # before a list of them is made
        raise BadInput(f"the archive has more than {MOST} files", file=file)
    try:
        with ZipFile(io.BytesIO(archive)) as opened:
            return _read_member(opened, file, name, others, limit)
    except (BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, RuntimeError, OverflowError) as error:
        raise BadInput(f"the archive cannot be read: {one_line(error)[:200]!a}", file=file) from None


def _download(client: Client, artifact: Artifact) -> bytes:
    gone = BadInput("the artifact has expired", hint="run the workflow again, then this command")
    if artifact.expired:
        raise gone
    if artifact.size_in_bytes > LARGEST:
        raise BadInput(f"the archive is larger than the {LARGEST} bytes allowed", file=f"{artifact.name}.zip")
    try:
        return client.download(f"/actions/artifacts/{artifact.id}/zip", LARGEST)
    except Refused as refused:
        raise (gone if refused.status in (404, 410) else refused) from None


def _read_member(archive: ZipFile, file: str, name: str, others: re.Pattern[str], limit: int) -> bytes:
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    for entry in entries:
        if defect := _defect(entry, name, others):
            raise BadInput(f"{entry.filename[:100]!a} in the archive {defect}", file=file)
        if names.count(entry.filename) > 1:
            raise BadInput(f"{entry.filename} is in the archive twice", file=file)
    if name not in names:
        raise BadInput(f"{name} is not in the archive", file=file)
    too_large = BadInput(f"{name} in the archive is larger than the {limit} bytes allowed", file=file)
    if archive.getinfo(name).file_size > limit:
        raise too_large
    with archive.open(name) as stream:
        content = stream.read(limit + 1)  # the size in the archive's directory may be wrong; the end checks the CRC
    if len(content) > limit:
        raise too_large
    return content


def _defect(entry: ZipInfo, name: str, others: re.Pattern[str]) -> str:
    """Why the entry is refused; empty where it is accepted."""
    from zipfile import ZIP_DEFLATED, ZIP_STORED

    if entry.filename != name and not others.fullmatch(entry.filename):
        return "is not a file of a report"
    if entry.orig_filename != entry.filename:
        return "has a name that programs read differently"
    if not stat.S_ISREG(mode := entry.external_attr >> 16) and stat.S_IFMT(mode):
        return "is not a regular file"
    if entry.flag_bits & 0x1:
        return "is encrypted"
    if entry.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        return "has an unsupported compression"
    return ""
