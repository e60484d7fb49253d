"""Units are read from the Arrow schema in a Parquet file; damaged schemas do no harm."""

from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st

from beampermit.datasets import tables

SCHEMA = (
    b"/////6ABAAAQAAAAAAAKAAwABgAFAAgACgAAAAABBAAMAAAACAAIAAAABAAIAAAABAAAAAMAAABAAQAAdAAAAAQAAACm////AAABAxQAAABIAA"
    b"AACAAAABQAAAAAAAAABAAAAHR1bmUAAAAAAQAAAAQAAABo////EAAAAAQAAAABAAAAMQAAAAUAAAB1bml0cwAGAAYABAAGAAAAAgASABgACAAG"
    b"AAcADAAAABAAFAASAAAAAAABDBgAAAB4AAAACAAAABgAAAABAAAAbAAAAAUAAAB0dXJucwAAAAIAAAA0AAAABAAAANz///8QAAAABAAAAAEAAA"
    b"B4AAAACwAAAGRlc2NyaXB0aW9uAAgADAAEAAgACAAAABAAAAAEAAAAAgAAAG1tAAAEAAAAdW5pdAAAAACY////0P///wAAAQMQAAAAHAAAAAQA"
    b"AAAAAAAABAAAAGl0ZW0AAAYACAAGAAYAAAAAAAEAEAAUAAgABgAHAAwAAAAQABAAAAAAAAEFEAAAABwAAAAEAAAAAAAAAAYAAABkZXZpY2UAAA"
    b"QABAAEAAAAAAAAAA=="
)
"""Of pyarrow 22: device string; turns list<float> with unit mm; tune double with units 1."""


def test_units_of_fields_are_read() -> None:
    assert tables.arrow_units(SCHEMA) == {"turns": "mm", "tune": "1"}


def test_no_schema_states_no_units() -> None:
    assert (
        tables.arrow_units(b"")
        == tables.arrow_units(b"not base64!")
        == tables.arrow_units(base64.b64encode(b"\0" * 64))
        == {}
    )


@given(st.lists(st.tuples(st.integers(0, 511), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_damaged_schema_does_no_harm(changes: list[tuple[int, int]]) -> None:
    content = bytearray(base64.b64decode(SCHEMA))
    for place, value in changes:
        content[place % len(content)] = value
    assert isinstance(tables.arrow_units(base64.b64encode(content)), dict)
