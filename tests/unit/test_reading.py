"""Files that somebody else wrote are parsed strictly; errors have a file and a line."""

from __future__ import annotations

import time
from email.utils import formatdate
from pathlib import Path

import pytest

from beampermit.errors import BadInput
from beampermit.reading import parse_toml, parse_yaml, read_json, refuse_merge_markers, seconds_to_wait


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"auc": NaN}', "NaN is not a JSON number"),
        (b'{"auc": -Infinity}', "-Infinity is not a JSON number"),
        (b'{"auc": 1,\n "auc": 2}', "key 'auc' is given twice"),
        (b'{"auc": 1,\n', "a.json:2: not JSON"),
        (b"", "a.json:1: not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"9" * 10_000, "an integer with thousands of digits"),
    ],
)
def test_json_that_parsers_disagree_on_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(content)
    with pytest.raises(BadInput) as caught:
        read_json(file)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("after", "seconds"),
    [
        ("300", 300),
        ("Fri, 15 Jan 2027 08:10:00 GMT", 600),
        ("Fri, 15 Jan 2027 08:10:00 -0000", 600),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0),
        ("soon", None),
        ("", None),
    ],
)
def test_a_time_to_wait_until_is_by_the_clock_of_who_asks_to_wait(after: str, seconds: float | None) -> None:
    assert seconds_to_wait({"retry-after": after, "date": "Fri, 15 Jan 2027 08:00:00 GMT"}) == seconds


def test_without_a_date_of_the_answer_a_time_to_wait_until_is_by_our_clock() -> None:
    for date in ({}, {"date": "today"}):
        assert 500 < (seconds_to_wait({"retry-after": formatdate(time.time() + 600), **date}) or 0) <= 600


def test_a_file_larger_than_the_limit_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('"' + "x" * 100 + '"')
    with pytest.raises(BadInput, match="larger than 50 bytes"):
        read_json(file, limit=50)


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"a: [1\nb: 2\n", 2, "not YAML"),
        (b"a: &x [1]\nb: *x\n", 2, "YAML aliases are not allowed here"),
        (b"a: 1\nb: !!python/object/apply:os.system [ls]\n", 2, "not YAML"),
        (b"a: \xff\n", None, "not UTF-8: invalid start byte at byte 3"),
    ],
)
def test_yaml_that_is_broken_or_hostile_is_refused_with_its_line(
    content: bytes, line: int | None, message: str
) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        parse_yaml(content, "a.yaml", hint="beampermit check")
    assert (caught.value.file, caught.value.line, caught.value.hint) == ("a.yaml", line, "beampermit check")


def test_aliases_are_followed_where_people_write_them_for_other_tools() -> None:
    text = "base: &b {rows: 8}\nall: [*b, {<<: *b, seed: 1}]\n"
    assert parse_yaml(text, "params.yaml", aliases=True)["all"] == [{"rows": 8}, {"rows": 8, "seed": 1}]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}' if n else 'x'] * 9)}]\n" for n in range(9)), 6, "more than"),
        ("a: &x [1, *x]\n", 1, r"the YAML alias \*x stands inside of what it repeats"),
    ],
    ids=["gigabytes", "itself"],
)
def test_aliases_that_stand_for_too_much_are_refused(text: str, line: int, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        parse_yaml(text, "params.yaml", aliases=True)
    assert caught.value.line == line


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"a = 1\na = 2\n", 2, "not TOML"),
        (b"a = " + b"[" * 10_000, None, "not TOML: nested too deeply"),
        (b"a = '\xff'\n", None, "not UTF-8"),
    ],
)
def test_toml_that_is_broken_is_refused_with_its_line(content: bytes, line: int | None, message: str) -> None:
    with pytest.raises(BadInput, match=message) as caught:
        parse_toml(content, "a.toml", hint="uv lock")
    assert (caught.value.file, caught.value.line, caught.value.hint) == ("a.toml", line, "uv lock")


def test_an_unresolved_merge_is_named_as_such() -> None:
    refuse_merge_markers("a: '<<<<<<< in the middle of a line'\n", "a.yaml", hint="git mergetool")
    with pytest.raises(BadInput, match=r"a.yaml:2: there are merge-conflict markers"):
        refuse_merge_markers("a: 1\n<<<<<<< HEAD\n", "a.yaml", hint="git mergetool")
