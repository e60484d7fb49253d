"""One comment per pull request, whoever else writes it meanwhile; its hidden lines are CML's and cannot be forged."""

from __future__ import annotations

import re
from threading import Barrier, Thread

import pytest

from beampermit.errors import BadInput, Outside
from beampermit.github.client import Client
from beampermit.github.sticky import (
    BOT,
    Mark,
    Outcome,
    Posted,
    Sticky,
    format_comment,
    format_marked,
    has_content,
    has_watermark,
    parse_mark,
    watermark,
)
from support.github_server import lost, meanwhile, reset, says, too_fast
from support.github_stand_in import GitHub, Token

SHA = "c0ffee" + "0" * 34
LIST, CREATE, UPDATE = "GET /repos/lab/faults/issues/1/comments", "POST /repos", "PATCH /repos"


def mark(run: int, attempt: int = 1, head: str = SHA) -> Mark:
    return Mark(run, attempt, head)


@pytest.fixture
def sticky(github: GitHub) -> Sticky:
    github.pull(SHA)
    return Sticky(Client(github.repository, "s3cret", github.url, lambda _: None), 1)


def ours(github: GitHub) -> list[str]:
    """The bot's comments on the pull request."""
    return [comment["body"] for comment in github.comments.values() if comment["user"]["login"] == BOT]


def test_there_is_one_comment_and_it_is_updated(sticky: Sticky, github: GitHub) -> None:
    first = sticky.post("# One", mark(1))
    second = sticky.post("# Two", mark(2))
    assert (first.outcome, second.outcome) == (Outcome.CREATED, Outcome.UPDATED)
    assert first.address == second.address
    assert ours(github) == [format_comment("# Two", mark(2))]


def test_no_more_requests_than_needed(sticky: Sticky, github: GitHub) -> None:
    counts = []
    for report, run in (("# One", 1), ("# One", 1), ("# Two", 2), ("# Two", 1)):
        github.asked.clear()
        sticky.post(report, mark(run))
        counts.append([one.method for one in github.asked])
    create, unchanged, update, stale = counts
    assert create == ["GET", "POST", "GET"]
    assert unchanged == ["GET"]
    assert update == ["GET", "PATCH"]
    assert stale == ["GET"]


@pytest.mark.slow
def test_the_comment_is_found_among_many_and_later_pages_are_not_read(sticky: Sticky, github: GitHub) -> None:
    for number in range(250):
        github.comment(1, f"comment {number}")
    sticky.post("# One", mark(1))
    for number in range(150):
        github.comment(1, f"later comment {number}")
    github.asked.clear()
    assert sticky.post("# Two", mark(2)).outcome is Outcome.UPDATED
    assert github.count(LIST) == 3
    assert len(ours(github)) == 1


def test_a_mark_pasted_by_a_user_does_not_count(sticky: Sticky, github: GitHub) -> None:
    pasted = github.comment(1, format_comment("# Mine is nicer", mark(999)))
    assert sticky.post("# One", mark(1)).outcome is Outcome.CREATED
    assert sticky.post("# Two", mark(2)).outcome is Outcome.UPDATED
    assert github.comments[pasted["id"]]["body"] == format_comment("# Mine is nicer", mark(999))
    assert ours(github) == [format_comment("# Two", mark(2))]


def test_other_comments_of_the_bot_stay(sticky: Sticky, github: GitHub) -> None:
    for body in ("Welcome!", f"CML's own\n\n{watermark(SHA, '')}", f"x\n\n{watermark(SHA, 'nightly')}"):
        github.comment(1, body, BOT)
    sticky.post("# One", mark(1))
    sticky.post("# Two", mark(2))
    assert len(ours(github)) == 4


def test_a_comment_of_cml_with_our_title_is_updated(sticky: Sticky, github: GitHub) -> None:
    github.comment(1, f"from cml\n\n{watermark('beef', 'beampermit')}", BOT)
    assert sticky.post("# One", mark(1)).outcome is Outcome.UPDATED
    assert ours(github) == [format_comment("# One", mark(1))]


def test_a_comment_of_a_deleted_account_is_not_ours(sticky: Sticky, github: GitHub) -> None:
    github.comment(1, format_comment("# Old", mark(1)))["user"] = None
    assert sticky.post("# One", mark(1)).outcome is Outcome.CREATED


@pytest.mark.slow
@pytest.mark.parametrize(("run", "attempt"), [(4, 1), (5, 1)])
def test_a_stale_run_overwrites_nothing(sticky: Sticky, github: GitHub, run: int, attempt: int) -> None:
    sticky.post("# New", mark(5, 2))
    posted = sticky.post("# Old", mark(run, attempt))
    assert posted.outcome is Outcome.STALE
    assert posted.reason == "run 5, attempt 2, is newer and has commented already"
    assert ours(github) == [format_comment("# New", mark(5, 2))]


def test_the_mark_of_another_head_does_not_block_a_comment(sticky: Sticky, github: GitHub) -> None:
    github.comment(1, format_comment("# Moved here from another GitHub", mark(10**12, head="f" * 40)), BOT)
    assert sticky.post("# One", mark(1)).outcome is Outcome.UPDATED


@pytest.mark.slow
def test_a_comment_deleted_while_it_is_updated_is_written_anew(sticky: Sticky, github: GitHub) -> None:
    sticky.post("# One", mark(1))
    github.next(meanwhile(github.comments.clear), of=UPDATE)
    assert sticky.post("# Two", mark(2)).outcome is Outcome.CREATED
    assert ours(github) == [format_comment("# Two", mark(2))]


def test_a_comment_missing_from_the_list_is_not_written_twice(sticky: Sticky, github: GitHub) -> None:
    github.next(*[meanwhile(github.comments.clear)] * 10, of=UPDATE)
    github.next(*[says(200, [])] * 10, of=LIST)
    assert sticky.post("# One", mark(1)).outcome is Outcome.CREATED, "the list lags behind; GitHub said that it is made"
    assert len(ours(github)) == 1


def test_two_runs_at_once_leave_the_comment_of_the_newer(sticky: Sticky, github: GitHub) -> None:
    both = Barrier(2)
    github.next(*[meanwhile(both.wait)] * 2, of=LIST)  # neither sees the other's
    done: dict[int, Posted] = {}
    runs = [Thread(target=lambda run=run: done.update({run: sticky.post(f"# {run}", mark(run))})) for run in (1, 2)]
    for one in runs:
        one.start()
    for one in runs:
        one.join()
    assert ours(github) == [format_comment("# 2", mark(2))]
    assert done[2].outcome in (Outcome.CREATED, Outcome.UPDATED)


def test_a_duplicate_that_a_killed_run_left_is_deleted(sticky: Sticky, github: GitHub) -> None:
    for run in (1, 2):
        github.comment(1, format_comment(f"# {run}", mark(run)), BOT)
    sticky.post("# Three", mark(3))
    assert ours(github) == [format_comment("# Three", mark(3))]


@pytest.mark.parametrize("fault", [lost, reset, says(500), says(502), too_fast(1)])
def test_a_comment_with_a_lost_reply_is_not_written_twice(sticky: Sticky, github: GitHub, fault: object) -> None:
    github.next(fault, of=CREATE)
    assert sticky.post("# One", mark(1)).outcome is Outcome.CREATED
    github.next(fault, of=UPDATE)
    assert sticky.post("# Two", mark(2)).outcome is Outcome.UPDATED
    assert ours(github) == [format_comment("# Two", mark(2))]


def test_the_token_of_another_account_leaves_no_comment(sticky: Sticky, github: GitHub) -> None:
    github.tokens["s3cret"] = Token("lab-bot")
    with pytest.raises(BadInput, match="the token belongs to lab-bot") as caught:
        sticky.post("# One", mark(1))
    assert "--author" in caught.value.hint
    assert github.comments == {}
    named = Sticky(sticky.client, 1, author="lab-bot")
    assert [named.post("# One", mark(run)).outcome for run in (1, 2)] == [Outcome.CREATED, Outcome.UPDATED]


@pytest.mark.parametrize(
    "odd", [[7], [{"id": "1"}], [{"id": 1, "body": None, "user": None, "html_url": ""}], [{"body": "x"}]]
)
def test_a_list_in_an_unknown_format_is_exit_4(sticky: Sticky, github: GitHub, odd: list[object]) -> None:
    github.next(says(200, odd), of=LIST)
    with pytest.raises(Outside, match=r"GitHub's answer has an unknown format: comment"):
        sticky.post("# One", mark(1))


def test_a_missing_pull_request_is_reported(sticky: Sticky, github: GitHub) -> None:
    github.pulls.clear()
    with pytest.raises(Outside, match="404 Not Found"):
        sticky.post("# One", mark(1))


def test_a_read_only_token_comes_with_a_hint(sticky: Sticky, github: GitHub) -> None:
    github.tokens["s3cret"] = Token(rights=frozenset({"pull-requests:read"}))
    with pytest.raises(Outside, match="403 Resource not accessible") as caught:
        sticky.post("# One", mark(1))
    assert "permissions" in caught.value.hint


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


def test_a_longer_title_does_not_match() -> None:
    assert not has_watermark(watermark(SHA, "beampermit-nightly"), "beampermit")
    assert not has_watermark(watermark(SHA, ""), "beampermit")


def test_a_comment_has_run_attempt_and_head() -> None:
    body = format_comment("# Report\n", MARK)
    assert parse_mark(body) == MARK
    assert has_content(body, "# Report", MARK)
    assert has_content(body.replace("\n", "\r\n"), "# Report\n\n", MARK), "as a browser sends it"
    assert not has_content(body, "# Another", MARK)
    assert has_watermark(body)


def test_cml_s_own_pattern_finds_our_comment() -> None:
    pattern = r'!\[\]\(https://cml\.dev/watermark\.png#[0-9a-fA-F]+ "CML watermark beampermit"\)'
    assert re.search(pattern, format_comment("# Report", MARK))


def test_our_report_written_by_cml_is_recognized() -> None:
    body = f"{format_marked('# Report', MARK)}\n\n{watermark(SHA, 'beampermit')}"
    assert has_content(body, "# Report", MARK)


def test_readers_load_no_image() -> None:
    from support.hostile_text import github

    found = github().parse(format_comment("# Report", MARK))
    images = [child for token in found for child in token.children or () if child.type == "image"]
    assert images == []


def test_a_mark_inside_a_report_does_not_count() -> None:
    forged = f"# Report\n\n```\n{format_comment('forged', Mark(999, 1, SHA))}```\n"
    assert parse_mark(forged) is None
    assert parse_mark(format_comment(forged, MARK)) == MARK


@pytest.mark.parametrize(
    "body", ["", "hello", watermark(SHA), f"<!-- beampermit run {'9' * 99} attempt 1 head {SHA} -->\n\nx"]
)
def test_other_comments_have_no_mark(body: str) -> None:
    assert parse_mark(body) is None


def test_newer_is_a_later_run_or_attempt_on_the_same_head() -> None:
    assert Mark(13, 1, SHA).newer_than(MARK)
    assert Mark(12, 3, SHA).newer_than(MARK)
    assert not Mark(12, 2, SHA).newer_than(MARK)
    assert not Mark(12, 1, SHA).newer_than(MARK)
    assert not Mark(999, 1, "f" * 40).newer_than(MARK), "the branch is elsewhere now"
