"""One file out of an artifact, which whoever opened the pull request may have made: nothing is ever unpacked.

An archive that is not exactly as we would have made it is refused as a whole.
"""

from __future__ import annotations

import io
import re
import stat
from typing import TYPE_CHECKING

from beampermit.errors import BadInput
from beampermit.github.client import Artifact, Client, Refused, parse_answer

if TYPE_CHECKING:
    from zipfile import ZipFile, ZipInfo

LARGEST = 32 * 2**20
"""Bytes of an archive."""
MOST = 200
"""Files in one."""
ENTRY = b"PK\x01\x02"
"""What each file's line in an archive's directory begins with."""


def download_file(client: Client, run: int, artifact: str, name: str, others: re.Pattern[str], limit: int) -> bytes:
    """The file `name`, at most `limit` bytes, of the newest artifact of that name; beside it may stand `others`.

    Raises `BadInput` for an archive that cannot be accepted or is not there, `Outside` where it cannot be had.
    """
    found = [
        one
        for raw in client.pages(f"/actions/runs/{run}/artifacts", "artifacts", name=artifact)
        if (one := parse_answer(Artifact, raw)).name == artifact
    ]
    if not found:
        raise BadInput(f"run {run} has no artifact {artifact!r}", hint="look in the run for the job that ended early")
    newest = max(found, key=lambda one: one.id)  # a run that was repeated has one of each attempt
    return read_archive(_download(client, newest), f"{artifact}.zip", name, others, limit)


def read_archive(archive: bytes, file: str, name: str, others: re.Pattern[str], limit: int) -> bytes:
    """The member `name` of an archive that errors call `file`. Raises `BadInput`."""
    import struct
    import zlib
    from zipfile import BadZipFile, ZipFile

    if archive.count(ENTRY) > MOST:  # before a list of them is made
        raise BadInput(f"more than {MOST} files in it", file=file)
    try:
        with ZipFile(io.BytesIO(archive)) as opened:
            return _member(opened, file, name, others, limit)
    except (BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, RuntimeError, OverflowError) as error:
        words = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadInput(f"not an archive that can be read: {words!a}", file=file) from None


def _download(client: Client, found: Artifact) -> bytes:
    gone = BadInput("the artifact has expired", hint="run the workflow again, then this")
    if found.expired:
        raise gone
    if found.size_in_bytes > LARGEST:
        raise BadInput(f"larger than the {LARGEST} bytes allowed here", file=f"{found.name}.zip")
    try:
        return client.download(f"/actions/artifacts/{found.id}/zip", LARGEST)
    except Refused as refused:
        raise (gone if refused.status in (404, 410) else refused) from None


def _member(opened: ZipFile, file: str, name: str, others: re.Pattern[str], limit: int) -> bytes:
    listed = opened.infolist()
    names = [one.filename for one in listed]
    for one in listed:
        if defect := _defect(one, name, others):
            raise BadInput(f"{one.filename[:100]!a} in it {defect}", file=file)
        if names.count(one.filename) > 1:
            raise BadInput(f"{one.filename} stands in it twice", file=file)
    if name not in names:
        raise BadInput(f"{name} is not in it", file=file)
    if opened.getinfo(name).file_size > limit:
        raise BadInput(f"{name} in it is larger than the {limit} bytes allowed here", file=file)
    with opened.open(name) as stream:
        content = stream.read(limit + 1)  # whatever the archive says about its size; the end checks the sum
    if len(content) > limit:
        raise BadInput(f"{name} in it is larger than the {limit} bytes allowed here", file=file)
    return content


def _defect(one: ZipInfo, name: str, others: re.Pattern[str]) -> str:
    """Why this is none of ours; nothing where it may be."""
    from zipfile import ZIP_DEFLATED, ZIP_STORED

    if one.filename != name and not others.fullmatch(one.filename):
        return "is none of the files of a report"
    if one.orig_filename != one.filename:
        return "has a name that programs read differently"
    if not stat.S_ISREG(mode := one.external_attr >> 16) and stat.S_IFMT(mode):
        return "is no plain file"
    if one.flag_bits & 0x1:
        return "is encrypted"
    if one.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        return "is compressed in a way that is not read here"
    return ""
