"""The hidden lines of a comment are CML's to the letter, and ours cannot be forged by what a report says."""

from __future__ import annotations

import re

import pytest

from beampermit.github.sticky import (
    Mark,
    format_comment,
    format_marked,
    has_content,
    has_watermark,
    parse_mark,
    watermark,
)

SHA = "c0ffee" + "0" * 34
MARK = Mark(12, 2, SHA)


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("", f'![](https://cml.dev/watermark.png#{SHA} "CML watermark")'),
        ("some-label", f'![](https://cml.dev/watermark.png#{SHA} "CML watermark some-label")'),
        ("custom_1[*]-vm", f'![](https://cml.dev/watermark.png#{SHA} "CML watermark custom\\_1\\[\\*]-vm")'),
        ("a<b", f'![](https://cml.dev/watermark.png#{SHA} "CML watermark a\\<b")'),
    ],
)
def test_the_watermark_is_cml_s_own(title: str, expected: str) -> None:
    assert watermark(SHA, title) == expected
    assert has_watermark(f"a report\n\n{expected}", title)
    assert has_watermark(expected.replace(SHA, "DEADbeef"), title), "whatever the commit"
    assert has_watermark(expected.replace(f"#{SHA}", ""), title), "as CML writes it outside of a repository"
    assert not has_watermark(expected, "another")


def test_a_title_that_another_begins_with_is_another() -> None:
    assert not has_watermark(watermark(SHA, "beampermit-nightly"), "beampermit")
    assert not has_watermark(watermark(SHA, ""), "beampermit")


def test_a_comment_tells_what_it_was_written_for() -> None:
    body = format_comment("# Report\n", MARK)
    assert parse_mark(body) == MARK
    assert has_content(body, "# Report", MARK)
    assert has_content(body.replace("\n", "\r\n"), "# Report\n\n", MARK), "as a browser sends it"
    assert not has_content(body, "# Another", MARK)
    assert has_watermark(body)


def test_cml_s_own_pattern_finds_our_comment() -> None:
    pattern = r'!\[\]\(https://cml\.dev/watermark\.png#[0-9a-fA-F]+ "CML watermark beampermit"\)'
    assert re.search(pattern, format_comment("# Report", MARK))


def test_what_cml_makes_of_our_report_is_ours() -> None:
    body = f"{format_marked('# Report', MARK)}\n\n{watermark(SHA, 'beampermit')}"
    assert has_content(body, "# Report", MARK)


def test_no_picture_is_loaded_by_whoever_reads() -> None:
    from support.hostile_text import github

    found = github().parse(format_comment("# Report", MARK))
    images = [child for token in found for child in token.children or () if child.type == "image"]
    assert images == []


def test_a_mark_within_a_report_says_nothing() -> None:
    forged = f"# Report\n\n```\n{format_comment('forged', Mark(999, 1, SHA))}```\n"
    assert parse_mark(forged) is None
    assert parse_mark(format_comment(forged, MARK)) == MARK


@pytest.mark.parametrize(
    "body", ["", "hello", watermark(SHA), f"<!-- beampermit run {'9' * 99} attempt 1 head {SHA} -->\n\nx"]
)
def test_what_we_did_not_write_has_no_mark(body: str) -> None:
    assert parse_mark(body) is None


def test_newer_is_a_later_run_or_attempt_on_the_same_head() -> None:
    assert Mark(13, 1, SHA).newer_than(MARK)
    assert Mark(12, 3, SHA).newer_than(MARK)
    assert not Mark(12, 2, SHA).newer_than(MARK)
    assert not Mark(12, 1, SHA).newer_than(MARK)
    assert not Mark(999, 1, "f" * 40).newer_than(MARK), "the branch is elsewhere now"
