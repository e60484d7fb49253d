"""What a newer version wrote is refused with a sentence and a command, and never half understood."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.contract.load import parse_contract
from beampermit.errors import BadInput
from beampermit.files import write_json
from beampermit.permit.statement import PREDICATE, validate_statement
from beampermit.updating.recorded import ANSWERS, RENDERED, read_record, unpack_render
from beampermit.verdicts.verdict import read_verdicts

OWN = {"format": 2, "version": None, "commit": None, "template": "sha256:" + "0" * 64}


def contract(_: Path) -> None:
    parse_contract("# ours\nbeampermit: 2\nnew: key\n")


def verdicts(folder: Path) -> None:
    write_json(folder / "a.json", {"beampermit": 2, "new": "key"})
    read_verdicts(folder / "a.json")


def permit(_: Path) -> None:
    validate_statement({"predicateType": PREDICATE.replace("/v1", "/v2")}, "permit.json")


def record(folder: Path) -> None:
    write_json(folder / ANSWERS, {"beampermit": OWN, "new": "key"})
    read_record(folder)


def render(folder: Path) -> None:
    write_json(folder / RENDERED, {"format": 2, "new": "key"})
    unpack_render(folder, folder / "base")


@pytest.mark.parametrize("read", [contract, verdicts, permit, record, render], ids=lambda read: read.__name__)
def test_a_later_format_is_refused_with_the_command(read: Callable[[Path], None], tmp_path: Path) -> None:
    with pytest.raises(BadInput) as refused:
        read(tmp_path)
    assert refused.value.message == "this file has format 2, and this beampermit reads formats up to 1"
    assert refused.value.hint == "pip install --upgrade beampermit"
    assert refused.value.line == (2 if read is contract else None)


@pytest.mark.parametrize("found", ["2", None, "https://slsa.dev/provenance/v2"])
def test_what_is_no_later_format_is_wrong_as_it_was(found: str | None) -> None:
    with pytest.raises(BadInput, match="not a permit"):
        validate_statement({"predicateType": found}, "permit.json")
