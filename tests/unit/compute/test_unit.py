from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from beampermit.compute import unit as unit_module
from beampermit.compute.unit import (
    LARGEST,
    Unit,
    last_lines,
    prepare,
    read_ended,
    read_intermediate,
    read_result,
    read_written,
)
from beampermit.compute.worker import store
from beampermit.environments import Environment
from beampermit.errors import BadInput


@pytest.fixture
def folder(unit_of: Callable[..., Unit], work: Path) -> Path:
    unit = unit_of()
    prepare(unit, unit.folder(work))
    return unit.folder(work)


def test_the_digest_is_of_what_decides_the_result(unit_of: Callable[..., Unit]) -> None:
    unit = unit_of(3, a=1, b=2)
    same = replace(unit, label="seed 3", environment=Environment(Path("/x")), tree=Path("/y"))
    assert same.digest == unit.digest
    assert unit_of(3, b=2, a=1).digest == unit.digest
    for change in ({"module": "other"}, {"request": {"x": 4}}, {"tree_digest": "sha256:b"}, {"lock": "sha256:c"}):
        assert replace(unit, **change).digest != unit.digest


def test_a_result_is_its_units_alone(folder: Path, unit_of: Callable[..., Unit], work: Path) -> None:
    other = unit_of(4)
    prepare(other, other.folder(work))
    assert read_ended(folder) is None
    store(folder, {"x": 9})
    assert read_result(folder) == {"x": 9}
    (other.folder(work) / "ended.json").write_bytes((folder / "ended.json").read_bytes())
    assert read_result(other.folder(work)) is None
    (other.folder(work) / "ended.json").unlink()
    (other.folder(work) / "ended.json").symlink_to(folder / "ended.json")
    assert read_ended(other.folder(work)) is None


@pytest.mark.parametrize(
    ("key", "value"), [("result", [1]), ("reason", None), ("seconds", "1"), ("stopped", 1), ("machine", {})]
)
def test_an_end_of_another_form_says_nothing(folder: Path, key: str, value: object) -> None:
    store(folder, {"x": 9})
    body = json.loads((folder / "ended.json").read_text())
    (folder / "ended.json").write_text(json.dumps({**body, key: value}))
    assert read_ended(folder) is None


def test_a_torn_end_says_nothing(folder: Path) -> None:
    store(folder, {"x": 9})
    file = folder / "ended.json"
    file.write_bytes(file.read_bytes()[:-1])
    assert read_ended(folder) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[1]", "the result is no JSON object"),
        ('{"loss": NaN}', "NaN is not a JSON number"),
        ('{"loss": -Infinity}', "-Infinity is not a JSON number"),
        ('{"loss": 1e999}', "the result holds a number that is not finite"),
        ('{"n": {"a": [0, 18446744073709551616]}}', r"'n\.a\[1\]' is a whole number below -2\*\*63 or from 2\*\*64 on"),
        ('{"n": -9223372036854775809, "z": 1}', "'n' is a whole number below"),
        ('{"n": 1' + "0" * 309 + "}", "'n' is a whole number below"),
        ('{"n": 1' + "0" * 4298 + "}", "'n' is a whole number below"),
        ('{"n": 1' + "0" * 4300 + "}", "an integer with thousands of digits"),
        ('{"a":' + "[" * 1023 + "]" * 1023 + "}", "the result is nested too deeply|not JSON: maximum recursion"),
        ('{"loss": 1, "loss": 2}', "key 'loss' is given twice"),
        ('{"loss": "\\ud800"}', "lone surrogate"),
    ],
)
def test_what_is_no_result_is_refused_with_its_file(folder: Path, text: str, reason: str) -> None:
    (folder / "result.json").write_text(text)
    with pytest.raises(BadInput, match=reason) as caught:
        read_written(folder)
    assert caught.value.file == str(folder / "result.json")


def test_numbers_and_depth_just_inside_are_read_back_the_same(folder: Path) -> None:
    values = [2**64 - 1, -(2**63), float(2**64), 1.7e308, 0.1234567890123456789012345]
    body = {"values": values, "deep": json.loads("[" * 500 + "]" * 500), "1" * 30: "2" * 30}
    (folder / "result.json").write_text(json.dumps(body))
    result = read_written(folder)
    store(folder, result)
    assert result == body
    assert repr(read_result(folder)) == repr(result)


def test_a_result_that_cannot_be_read_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(unit_module, "read_plain", refused)
    with pytest.raises(BadInput, match=r"result\.json: this file cannot be read: permission denied"):
        read_written(folder)
    assert read_intermediate(folder) == {}


@pytest.mark.slow
def test_a_result_may_be_large_but_not_larger(folder: Path) -> None:
    file = folder / "result.json"
    numbers = b"[" + b"1e5," * (LARGEST // 8) + b"1]"  # more than twice as long where they are written again
    body = b'{"a":' + numbers + b"}"
    file.write_bytes(body + b" " * (LARGEST - len(body)))
    result = read_written(folder)
    store(folder, result)
    assert read_result(folder) == result
    file.write_bytes(body + b" " * (LARGEST - len(body) + 1))
    with pytest.raises(BadInput, match=f"this file has {LARGEST + 1} bytes, {LARGEST} is the limit"):
        read_written(folder)


def test_a_link_or_a_pipe_is_no_result(folder: Path, tmp_path: Path) -> None:
    file = folder / "result.json"
    (tmp_path / "other.json").write_text("{}")
    file.symlink_to(tmp_path / "other.json")
    with pytest.raises(BadInput, match="a link or a device stands in the place of a file"):
        read_written(folder)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(BadInput, match="this is no plain file"):
        read_written(folder)
    file.unlink()
    with pytest.raises(BadInput, match="the command ended without a result"):
        read_written(folder)


def test_intermediate_values_are_read_while_they_are_written(folder: Path) -> None:
    assert read_intermediate(folder) == {}
    lines = ['{"step": 0, "value": 2}', '{"step": 1, "value": 1.5}', '{"step": 1, "value": 1}', '{"step": 2, "va']
    (folder / "intermediate.jsonl").write_text("\n".join(lines))
    assert read_intermediate(folder) == {0: 2.0, 1: 1.0}
    (folder / "intermediate.jsonl").write_text(f'{{"step": {2**31 - 1}, "value": 1{"0" * 308}}}\n')
    assert read_intermediate(folder) == {2**31 - 1: 1e308}


@pytest.mark.parametrize(
    "line",
    ['{"step": 2, "value": NaN}', '{"step": 2, "value": 1e999}', '{"step": 2.0, "value": 1}', '{"step": true}', "[]",
     '{"step": 2, "value": null}', '{"step": 2, "value": 1' + "0" * 400 + "}",
     '{"step": 2147483648, "value": 1}', "\\xff"],
)  # fmt: skip
def test_what_is_no_intermediate_value_is_ignored(folder: Path, line: str) -> None:
    (folder / "intermediate.jsonl").write_text(f'{{"step": 1, "value": 5}}\n{line}\n')
    assert read_intermediate(folder) == {1: 5.0}


def test_of_the_log_the_last_lines_are_quoted(folder: Path) -> None:
    assert last_lines(folder) == ""
    (folder / "log.txt").write_bytes(b"\xff" * 50_000 + b"\n" + b"".join(b"line %d\n\n" % n for n in range(40)))
    assert last_lines(folder).splitlines() == [f"line {n}" for n in range(28, 40)]


def test_no_module_is_a_command_of_its_own(unit_of: Callable[..., Unit], work: Path) -> None:
    unit = replace(unit_of(), module="-c print()")
    with pytest.raises(BadInput, match="'-c print\\(\\)' is no name of a Python module"):
        prepare(unit, unit.folder(work))
