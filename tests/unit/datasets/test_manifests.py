"""Manifests and paths: the fast check and the full one agree, and large manifests are refused before parsing."""

from __future__ import annotations

import hashlib
import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beampermit.datasets import manifests

NAMES = st.text(st.sampled_from("aAbé/.\\ "), max_size=6)
HASHES = st.sampled_from(["0" * 32, "F" * 32, "0" * 31, 7])
ENTRIES = st.fixed_dictionaries({"md5": HASHES, "relpath": NAMES}, optional={"size": st.just(1)})


def read(content: bytes) -> manifests.Manifest:
    return manifests.read_manifest(content, hashlib.md5(content, usedforsecurity=False).hexdigest() + ".dir")


@pytest.mark.slow
@given(st.lists(st.one_of(ENTRIES, st.sampled_from([7, "a", []])), max_size=4))
def test_the_fast_check_of_entries_agrees_with_the_full_one(entries: list[object]) -> None:
    assert read(json.dumps(entries).encode()) == manifests._read_entries(
        read(json.dumps(entries).encode()).oid, entries
    )


@pytest.mark.slow
@pytest.mark.parametrize("entry", [b"{}", b"[]", b"0,0,0,0"], ids=["mappings", "lists", "numbers"])
def test_ten_million_entries_are_refused_without_parsing(entry: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orjson, "loads", lambda _: pytest.fail("it was parsed"))
    found = read(b"[" + (entry + b",") * 9_999_999 + entry + b"]")
    assert found.faults == ("has more values than 1000000 files need",)


@pytest.mark.slow
def test_ten_million_files_are_refused_without_parsing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orjson, "loads", lambda _: pytest.fail("it was parsed"))
    found = read(b"[" + b'{"relpath":""},' * 9_999_999 + b'{"relpath":""}]')
    assert found.faults == ("names 10000000 files; the limit is 1000000",)


def test_too_many_bytes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "LARGEST", 2**20)
    assert read(b" " * (2**20 + 1)).faults == ("is larger than 1 MiB",)


def test_a_key_given_twice_counts_as_dvc_counts_it() -> None:
    content = b'[{"md5": "%s", "md5": "%s", "relpath": "a"}]' % (b"0" * 32, b"1" * 32)
    assert read(content).files == {"a": "1" * 32} == {entry["relpath"]: entry["md5"] for entry in json.loads(content)}


PARTS = st.one_of(
    st.text("aB9_-. :\\\x00é/", min_size=0, max_size=8), st.sampled_from([".git", ".GIT", "..", ".", ".dvc", "a" * 256])
)


@pytest.mark.slow
@given(st.lists(PARTS, min_size=1, max_size=4).map("/".join))
def test_the_fast_check_of_paths_agrees_with_the_full_one(path: str) -> None:
    if manifests.PLAIN.fullmatch(path) and len(path) <= 255:
        closer = (found for part in path.split("/") if (found := manifests._part_fault(part)))
        assert next(closer, None) is None
        assert not manifests.CONTROL.search(path)
        assert "\\" not in path
        assert not path.startswith("/")
        assert path[1:2] != ":"


@pytest.mark.slow
@given(st.text(max_size=12))
def test_folding_is_idempotent_and_knows_ascii(text: str) -> None:
    assert manifests.fold_path(manifests.fold_path(text)) == manifests.fold_path(text)
    if text.isascii():
        assert manifests.fold_path(text) == text.casefold()
