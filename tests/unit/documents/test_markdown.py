"""No value breaks the Markdown: whatever it holds, the structure around it stays, and it reads as what it is."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import example, given

from beampermit.documents.markdown import block, code, link, moment, prose, text, visible
from support.hostile_text import HOSTILE_VALUES, github

GAP = "\u200b"
OURS = {"<span>", "</span>", "<code>", "</code>"}
HARMLESS = {"text", "text_special", "code_inline", "html_inline"}
values = HOSTILE_VALUES


def tokens(markdown: str) -> list[Any]:
    return github().parse(markdown)


def kinds(markdown: str) -> list[str]:
    return [token.type for token in tokens(markdown) if not token.type.endswith("_close")]


def shown(inline: Any) -> str:
    """What a reader sees of an inline token; it may hold nothing that does something."""
    for child in inline.children:
        assert child.type in HARMLESS, f"{child.type} in {inline.content!r}"
        assert child.type != "html_inline" or child.content in OURS
    plain = "".join(child.content for child in inline.children if child.type.startswith("text"))
    assert not re.search(r"@\w|#\w|GH-\d|www\.|://", plain), plain
    return "".join(child.content for child in inline.children if child.type != "html_inline").replace(GAP, "")


@pytest.mark.slow
@given(values, values)
def test_a_table_keeps_its_rows_and_cells_and_shows_each_value(left: str, right: str) -> None:
    rows = [(text(left), code(right)), (prose(right), text(left)), (link(left), code(left))]
    table = "| a | b |\n|---|---|\n" + "".join(f"| {one} | {two} |\n" for one, two in rows) + "\nend\n"
    found = tokens(table)
    assert [token.type for token in found].count("tr_open") == 1 + len(rows)
    assert [token.type for token in found].count("td_open") == 2 * len(rows)
    assert [token.type for token in found][-3:] == ["paragraph_open", "inline", "paragraph_close"]
    inlines = [token for token in found if token.type == "inline"]
    assert inlines[-1].content == "end"
    cells = [shown(token) for token in inlines[2:-3]]
    assert cells[0] == visible(left).strip()
    assert cells[1] == visible(right).strip()


@pytest.mark.slow
@given(values)
@example("`` - no code, and a dash")
def test_a_paragraph_stays_one_paragraph(value: str) -> None:
    for made in (text(value), prose(value)):
        assert kinds(f"before\n\n{made}\n\nafter") in (
            ["paragraph_open", "inline"] * 3,
            ["paragraph_open", "inline"] * 2,  # where nothing is left of the value
        )
    assert [shown(token) for token in tokens(str(text(value))) if token.type == "inline"] in ([visible(value)], [])


@pytest.mark.slow
@given(values)
def test_a_list_item_and_a_quote_keep_their_shape(value: str) -> None:
    assert kinds(f"- x {text(value)}\n- y") == [
        "bullet_list_open",
        *["list_item_open", "paragraph_open", "inline"] * 2,
    ]
    assert kinds(f"> [!WARNING]\n> x {prose(value)}\n\nafter")[:1] == ["blockquote_open"]
    assert kinds(f"> x {prose(value)}\n\nafter")[-2:] == ["paragraph_open", "inline"]


@pytest.mark.slow
@given(values)
def test_nothing_ends_a_block(value: str) -> None:
    found = tokens(f"{block(value, 'text')}\n\nafter")
    assert [token.type for token in found] == ["fence", "paragraph_open", "inline", "paragraph_close"]
    assert found[0].info == "text"
    assert found[0].content.rstrip("\n") == visible(value, lines=True, limit=20_000).rstrip()


@pytest.mark.slow
@given(values)
def test_nothing_hides_in_what_is_shown(value: str) -> None:
    made = visible(value)
    assert "\n" not in made
    assert not re.search("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]", made)
    assert len(made) <= 1000
    made.encode()


@pytest.mark.parametrize(
    ("value", "markdown"),
    [
        ("false_alarm_rate", "false_alarm_rate"),
        ("-0.5", "-0.5"),
        ("0.98", "0.98"),
        ("data/dataset-1/test.parquet", "data/dataset-1/test.parquet"),
        ("reversed \u202efdp.exe", "reversed ⟨U+202E⟩fdp.exe"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("a|b", "a\\|b"),
        ("@octocat", "@&#8203;octocat"),
    ],
)
def test_plain_words_stay_plain_and_hidden_ones_are_spelled_out(value: str, markdown: str) -> None:
    assert text(value) == markdown


def test_commands_in_a_reason_stay_code() -> None:
    assert prose("stale; run `beampermit env lock`") == "stale; run `beampermit env lock`"
    assert prose("one ` alone") == "one \\` alone"


def test_only_plain_web_addresses_become_links() -> None:
    assert link("https://logbook.lab.example/x?y=1") == "<https://logbook.lab.example/x?y=1>"
    for value in ("javascript:alert(1)", "https://a b", "https://a/<b>", "+1 555 0100", "https://u:p@h/"):
        assert not link(value).startswith("<http")


def test_long_values_are_cut_and_say_so() -> None:
    assert text("x" * 5000).endswith("x…")
    assert len(text("x" * 5000)) == 1000


@pytest.mark.parametrize(
    "plain", ["\U0001f469\u200d\U0001f52c", "\U0001f6f0\ufe0f \U00020bb7", "\U0001fae8 \U00031350"]
)
def test_emoji_and_ideographs_are_seen_whole_and_late_ones_too(plain: str) -> None:
    assert visible(plain) == plain


@pytest.mark.parametrize("plain", ["a\u200db", "\u200d\U0001f52c", "\U0001f52c\u200d", "\U0001f52c\u200b\U0001f52c"])
def test_what_joins_no_emoji_is_spelled_out(plain: str) -> None:
    assert "\u200d" not in visible(plain)
    assert "U+200" in visible(plain)


@pytest.mark.parametrize("at", [1e300, -1e300, 1e15])
def test_a_time_that_no_clock_shows_is_said(at: float) -> None:
    assert moment(at) == "a time that no clock shows"
