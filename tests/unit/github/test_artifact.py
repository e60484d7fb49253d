"""Code of a pull request can write anything into an artifact: one file of it is read, or none."""

from __future__ import annotations

import re
import stat
import struct
import zipfile
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beampermit.errors import BadInput, Outside
from beampermit.github import artifact
from beampermit.github.client import Client
from support.github_stand_in import GitHub
from support.zip_archives import Member, archive

BESIDE = re.compile(r"report\.html|plots/[a-z0-9-]{1,60}\.png")
CONTENT = b'{"name": "bpm-faults"}'

REPORT: Member = ("report.json", CONTENT)


def read(content: bytes, limit: int = 1000) -> bytes:
    return artifact.read_archive(content, "report.zip", "report.json", BESIDE, limit)


def special(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_only_the_report_is_read(kind: int) -> None:
    regular = special("plots/1-roc.png", stat.S_IFREG | 0o644)
    assert read(archive(REPORT, ("report.html", b"<html>"), (regular, b"png"), kind=kind)) == CONTENT


@pytest.mark.parametrize(
    "name",
    [
        *("../report.json", "/etc/passwd", "plots/../../x.png", "..\\report.json", "C:report.json", "plots\\1.png"),
        *("report.json/", "./report.json", "REPORT.JSON", "report.json ", "surprise.txt", "plots/", "plots/x.svg"),
        *("report.json\n::error::x", "\u202ereport.json", "plots/1.png\x1b[31m", "a" * 9999),
    ],
)
def test_an_unexpected_file_name_refuses_the_archive(name: str) -> None:
    with pytest.raises(BadInput) as caught:
        read(archive(REPORT, (name, b"x")))
    assert re.search(r"is not a file of a report|is not a regular file", caught.value.message)
    assert caught.value.message.isprintable()
    assert caught.value.message.isascii()
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFSOCK])
def test_a_link_or_special_file_is_refused(mode: int) -> None:
    with pytest.raises(BadInput, match="is not a regular file"):
        read(archive((special("report.json", mode | 0o777), b"/etc/passwd")))


def test_a_duplicate_file_is_refused() -> None:
    with pytest.raises(BadInput, match=r"report\.json is in the archive twice"):
        read(archive(REPORT, REPORT))


def test_a_name_that_two_programs_read_differently_is_refused() -> None:
    content = archive(("report.json~x", CONTENT)).replace(b"report.json~x", b"report.json\0x")
    with pytest.raises(BadInput, match="programs read differently"):
        read(content)


@pytest.mark.slow
def test_a_zip_bomb_is_not_unpacked() -> None:
    bomb = archive(("report.json", b"\0" * 50_000_000))
    assert len(bomb) < 60_000
    with pytest.raises(BadInput, match="larger than the 1000 bytes"):
        read(bomb)


def test_a_zip_bomb_with_a_forged_size_is_not_unpacked() -> None:
    bomb = archive(("report.json", b"\0" * 5_000_000)).replace(struct.pack("<L", 5_000_000), struct.pack("<L", 900))
    with pytest.raises(BadInput):
        read(bomb)


def test_many_files_are_refused_before_they_are_listed() -> None:
    many = archive(REPORT, *((f"plots/{number}.png", b"") for number in range(artifact.MOST)))
    with pytest.raises(BadInput, match="more than 200 files"):
        read(many)


def test_a_file_with_a_wrong_checksum_is_refused() -> None:
    content = archive(REPORT, kind=zipfile.ZIP_STORED).replace(b"bpm-faults", b"bpm-saints")
    with pytest.raises(BadInput, match=r"the archive cannot be read: .Bad CRC-32"):
        read(content)


def test_an_encrypted_file_and_an_unsupported_compression_are_refused() -> None:
    sound = archive(REPORT)
    encrypted = bytearray(sound)
    encrypted[sound.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(BadInput, match="is encrypted"):
        read(bytes(encrypted))
    with pytest.raises(BadInput, match="unsupported compression"):
        read(archive(REPORT, kind=zipfile.ZIP_LZMA))


@pytest.mark.parametrize("content", [b"", b"PK", b"<html>", archive(), archive(("report.html", b""))])
def test_other_archives_are_refused(content: bytes) -> None:
    with pytest.raises(BadInput):
        read(content)


@pytest.mark.slow
@given(st.data())
def test_a_damaged_archive_returns_the_file_or_an_error(data: st.DataObject) -> None:
    content = bytearray(archive(REPORT, ("report.html", b"<html>" * 30)))
    for place, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=6)
    ):
        content[place] = value
    cut = bytes(content[: data.draw(st.integers(0, len(content)))]) if data.draw(st.booleans()) else bytes(content)
    with suppress(BadInput):
        assert read(cut) == CONTENT


@pytest.fixture
def client(github: GitHub) -> Client:
    return Client(github.repository, "s3cret", github.url, lambda _: None)


def member(client: Client, run: int) -> bytes:
    return artifact.download_file(client, run, "report", "report.json", BESIDE, 1000)


def test_the_artifact_of_the_last_attempt_is_read(client: Client, github: GitHub) -> None:
    run = github.run("c0ffee")["id"]
    for content in (b"{}", CONTENT):
        github.artifact(run, "report", archive(("report.json", content)))
    github.artifact(run, "reports", archive(("report.json", b"[]")))
    github.artifact(github.run("beef")["id"], "report", archive(("report.json", b"7")))
    assert member(client, run) == CONTENT


def test_a_missing_artifact_is_named(client: Client, github: GitHub) -> None:
    with pytest.raises(BadInput, match=r"run \d+ has no artifact 'report'"):
        member(client, github.run("c0ffee")["id"])


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_an_expired_artifact_is_reported(client: Client, github: GitHub, when: str) -> None:
    run = github.run("c0ffee")["id"]
    made = github.artifact(run, "report", archive(REPORT), expired=when == "before")
    if when == "meanwhile":
        from support.github_server import meanwhile

        github.next(meanwhile(lambda: made.update(expired=True)), of="/zip")
    with pytest.raises(BadInput, match="the artifact has expired"):
        member(client, run)


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [(None, BadInput, "larger than the 50 bytes"), (7, Outside, "longer than the 50 bytes")],
    ids=["told", "belied"],
)
def test_an_archive_that_is_too_large_is_not_read_to_its_end(
    client: Client,
    github: GitHub,
    monkeypatch: pytest.MonkeyPatch,
    said: int | None,
    error: type[Exception],
    words: str,
) -> None:
    monkeypatch.setattr(artifact, "LARGEST", 50)
    run = github.run("c0ffee")["id"]
    github.artifact(run, "report", archive(REPORT), **({"size_in_bytes": said} if said else {}))
    with pytest.raises(error, match=words):
        member(client, run)
