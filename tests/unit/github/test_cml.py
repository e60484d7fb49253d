"""With CML as the writer there is also one comment, beyond the page of comments that CML reads.

The program here does what CML 0.20.6 does, as its source and a run of it show: it looks at the first page of thirty,
takes the last comment with the watermark whoever wrote it, and changes that one or creates another.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from beampermit.errors import Outside
from beampermit.github import sticky as comments
from beampermit.github.client import Client
from beampermit.github.sticky import BOT, Mark, Outcome, Sticky, parse_mark
from support.github_stand_in import GitHub

SHA = "c0ffee" + "0" * 34
PROGRAM = f"""#!{sys.executable}
import os, sys
from pathlib import Path
import httpx
from beampermit.github.sticky import has_watermark, watermark

assert sys.argv[1:5] == ["comment", "update", "--driver=github", "--publish=false"]
options = dict(word.removeprefix("--").split("=", 1) for word in sys.argv[3:-1])
assert not os.environ["GITHUB_EVENT_NAME"] and os.environ["ITERATIVE_DO_NOT_TRACK"] == "1"
assert "s3cret" not in " ".join(sys.argv)
server, owner, name = options["repo"].rsplit("/", 2)
title = options["watermark-title"]
client = httpx.Client(
    base_url=f"{{server}}/api/v3/repos/{{owner}}/{{name}}",
    headers={{"Authorization": f"token {{os.environ['REPO_TOKEN']}}"}},
)
place = f"/issues/{{options['target'].removeprefix('pr/')}}/comments"
there = [one for one in reversed(client.get(place).json()) if has_watermark(one["body"], title)]
body = {{"body": Path(sys.argv[-1]).read_text() + "\\n\\n" + watermark(os.environ["GITHUB_SHA"], title)}}
done = client.patch(f"/issues/comments/{{there[0]['id']}}", json=body) if there else client.post(place, json=body)
done.raise_for_status()
"""


@pytest.fixture
def sticky(github: GitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sticky:
    github.pull(SHA)
    program = tmp_path / "cml"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("GITHUB_EVENT_NAME", "pull_request")
    monkeypatch.setenv("GITHUB_SERVER_URL", github.url)
    client = Client(github.repository, "s3cret", github.url, lambda _: None)
    return Sticky(client, 1, write=comments.cml_writer(client, 1, "beampermit"))


def ours(github: GitHub) -> list[str]:
    return [comment["body"] for comment in github.comments.values() if comment["user"]["login"] == BOT]


@pytest.mark.slow
def test_cml_writes_and_updates_the_comment(sticky: Sticky, github: GitHub) -> None:
    assert sticky.post("# One", Mark(1, 1, SHA)).outcome is Outcome.CREATED
    assert sticky.post("# Two", Mark(2, 1, SHA)).outcome is Outcome.UPDATED
    assert sticky.post("# Two", Mark(2, 1, SHA)).outcome is Outcome.UNCHANGED
    assert sticky.post("# Old", Mark(1, 1, SHA)).outcome is Outcome.STALE
    (body,) = ours(github)
    assert body.startswith("# Two\n")
    assert body.endswith(f'![](https://cml.dev/watermark.png#{SHA} "CML watermark beampermit")')


@pytest.mark.slow
def test_there_is_one_comment_also_beyond_the_page_that_cml_reads(sticky: Sticky, github: GitHub) -> None:
    for number in range(40):
        github.comment(1, f"comment {number}")
    for run in (1, 2, 3):
        sticky.post(f"# {run}", Mark(run, 1, SHA))
    (body,) = ours(github)
    assert parse_mark(body) == Mark(3, 1, SHA)


def test_an_error_of_cml_is_shown_without_the_token(sticky: Sticky, github: GitHub, tmp_path: Path) -> None:
    (tmp_path / "cml").write_text('#!/bin/sh\necho "HttpError: bad credentials $REPO_TOKEN" >&2\nexit 1\n')
    with pytest.raises(Outside, match=r"cml failed to write the comment: HttpError: bad credentials \*\*\*"):
        sticky.post("# One", Mark(1, 1, SHA))
