"""The client retries safe requests, waits as GitHub asks within limits, and never shows its token."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path

import pytest

from beampermit.errors import BadInput, Outside
from beampermit.github.client import LONGEST, TRIES, Client, Refused, Unsure
from support.github_server import Fault, hang, lost, reset, says, too_fast, used_up
from support.github_stand_in import GitHub, Token, environment, stand_in


@pytest.fixture
def naps() -> list[float]:
    """The seconds that the client would have waited."""
    return []


@pytest.fixture
def client(github: GitHub, naps: list[float]) -> Client:
    return Client(github.repository, "s3cret", github.url, naps.append)


COMMENTS = "/issues/1/comments"


def test_a_list_is_read_over_all_its_pages(client: Client, github: GitHub) -> None:
    github.pull("c0ffee")
    for number in range(7):
        github.comment(1, f"comment {number}")
    github.most = 3
    assert [one["body"] for one in client.pages(COMMENTS)] == [f"comment {number}" for number in range(7)]
    assert github.count("GET") == 3


def test_enterprise_server_answers_under_its_own_path(github: GitHub) -> None:
    github.pull("c0ffee")
    client = Client(github.repository, "s3cret", f"{github.url}/api/v3")
    assert client.get("/pulls/1")["head"]["sha"] == "c0ffee"
    assert github.asked[-1].path == "/api/v3/repos/lab/faults/pulls/1"


@pytest.mark.parametrize("fault", [says(500), says(502), says(503, b"<html>"), reset, too_fast(1), too_fast(1, 429)])
def test_requests_that_are_safe_to_repeat_are_retried(client: Client, github: GitHub, fault: Fault) -> None:
    github.pull("c0ffee")
    github.next(fault, fault)
    assert client.get("/pulls/1")["number"] == 1
    github.next(fault)
    assert client.patch("/pulls/1", {"title": "Better"})["title"] == "Better"
    assert github.count("/pulls/1") >= 2


def test_a_server_that_never_recovers_is_exit_4(client: Client, github: GitHub, naps: list[float]) -> None:
    github.next(*[says(500)] * 20)
    with pytest.raises(Refused, match=r"GitHub answers GET /repos/lab/faults/pulls/1 with 500 Oops"):
        client.get("/pulls/1")
    assert len(naps) == TRIES - 1
    assert sum(naps) < 60


@pytest.mark.parametrize("fault", [says(500), reset, lost])
def test_a_post_is_not_repeated(client: Client, github: GitHub, fault: Fault) -> None:
    github.pull("c0ffee")
    github.next(fault)
    with pytest.raises(Unsure):
        client.post(COMMENTS, {"body": "once"})
    assert len(github.comments) == (fault is lost)
    assert github.faults == []


def test_a_post_refused_by_a_rate_limit_is_sent_again(client: Client, github: GitHub, naps: list[float]) -> None:
    github.pull("c0ffee")
    github.next(too_fast(7), used_up(3), of="POST")
    client.post(COMMENTS, {"body": "once"})
    assert len(github.comments) == 1
    assert naps[0] == 7
    assert 2 <= naps[1] <= 5


@pytest.mark.parametrize("status", [403, 429, 503])
def test_a_time_to_ask_again_may_be_a_date(client: Client, github: GitHub, naps: list[float], status: int) -> None:
    github.pull("c0ffee")
    github.next(says(status, retry_after=formatdate(time.time() + 40, usegmt=True)))
    client.get("/pulls/1")
    assert len(naps) == 1
    assert 10 < naps[0] <= 40


def test_a_server_that_is_down_is_asked_again_when_it_says(client: Client, github: GitHub, naps: list[float]) -> None:
    github.pull("c0ffee")
    github.next(says(503, retry_after="23"), says(502, retry_after="60"))
    client.get("/pulls/1")
    assert naps == [23, LONGEST]


def test_a_server_that_is_down_for_long_ends_the_request_at_once_and_says_for_how_long(
    client: Client, github: GitHub, naps: list[float]
) -> None:
    down = says(503, retry_after="1800")
    github.next(down, down, down)
    for request in (client.get, lambda path: client.patch(path, {"title": "Better"})):
        with pytest.raises(Refused, match=r"it asks to wait 1800 s, more than the limit of 60 s") as caught:
            request("/pulls/1")
        assert (caught.value.seconds, caught.value.hint) == (1800, "run the command again in 1800 s")
    with pytest.raises(Unsure) as unsure:
        client.post(COMMENTS, {"body": "once"})
    assert (unsure.value.seconds, naps, github.faults) == (1800, [], [])


def test_a_rate_limit_without_a_time_waits_a_minute(client: Client, github: GitHub, naps: list[float]) -> None:
    github.pull("c0ffee")
    github.next(says(403, {"message": "You have exceeded a secondary rate limit"}), says(429))
    client.get("/pulls/1")
    assert naps == [LONGEST, LONGEST]


@pytest.mark.parametrize("fault", [too_fast, used_up])
def test_a_wait_of_an_hour_is_refused(
    client: Client, github: GitHub, naps: list[float], fault: Callable[[int], Fault]
) -> None:
    github.next(fault(3600))
    with pytest.raises(Refused, match=r"it asks to wait 3\d{3} s, more than the limit of 60 s"):
        client.get("/pulls/1")
    assert naps == []


def test_a_request_times_out(github: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("beampermit.github.client.TIMEOUT", 0.05)
    client = Client(github.repository, "s3cret", github.url, lambda _: None)
    github.next(*[hang(0.2)] * TRIES)
    with pytest.raises(Outside, match="GitHub cannot be reached"):
        client.get("/pulls/1")


def test_an_unreachable_server_is_named() -> None:
    with pytest.raises(Outside, match=r"GitHub cannot be reached at http://127\.0\.0\.1:9"):
        Client("lab/faults", "s3cret", "http://127.0.0.1:9", lambda _: None).get("/pulls/1")


@pytest.mark.parametrize(
    ("rights", "status", "hint"),
    [(frozenset({"actions:read"}), 403, "`permissions:`"), (None, 401, "GITHUB_TOKEN")],
)
def test_a_refused_token_comes_with_a_hint(
    client: Client, github: GitHub, rights: frozenset[str] | None, status: int, hint: str
) -> None:
    github.tokens = {"s3cret" if rights else "another": Token(rights=rights)}
    with pytest.raises(Refused) as caught:
        client.get("/pulls/1")
    assert caught.value.status == status
    assert hint in caught.value.hint
    assert len(github.asked) == 1


@pytest.mark.slow
def test_the_message_of_github_is_one_printable_line(client: Client, github: GitHub) -> None:
    github.next(says(422, {"message": "no\n::error::planted\x1b[31m" + "x" * 999}))
    with pytest.raises(Refused) as caught:
        client.get("/pulls/1")
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "body", [b"<html>", b"", b'{"a": NaN}', b'{"a": 1, "a": 2}', b"\xef\xbb\xbf{}", b"[" * 9**6, b"9" * 5000]
)
def test_an_answer_that_is_not_strict_json_is_exit_4(client: Client, github: GitHub, body: bytes) -> None:
    github.next(says(200, body))
    with pytest.raises(Outside, match="GitHub's answer to GET /repos/lab/faults/pulls/1 is"):
        client.get("/pulls/1")


@pytest.mark.parametrize("body", [{"message": "odd"}, 7, "text", None])
def test_an_answer_that_is_not_a_list_is_exit_4(client: Client, github: GitHub, body: object) -> None:
    github.next(says(200, b"null" if body is None else body))
    with pytest.raises(Outside, match="is not a list"):
        list(client.pages(COMMENTS))


def test_a_next_page_on_another_host_or_in_a_loop_is_not_followed(client: Client, github: GitHub) -> None:
    for address in ("https://elsewhere.example/", f"{github.url}/repos/lab/faults/pulls"):
        github.next(*[says(200, [1], link=f'<{address}>; rel="next"')] * 2)
        with pytest.raises(Outside, match="a next page on another host, or one read before"):
            list(client.pages("/pulls"))


def test_the_storage_of_artifacts_never_sees_the_token(client: Client, github: GitHub) -> None:
    found = github.artifact(github.run("c0ffee")["id"], "report", b"bytes")
    assert client.download(f"/actions/artifacts/{found['id']}/zip", 100) == b"bytes"


def test_an_answer_over_the_limit_is_not_read(client: Client, github: GitHub) -> None:
    found = github.artifact(github.run("c0ffee")["id"], "report", b"x" * 101)
    with pytest.raises(Outside, match="longer than the 100 bytes"):
        client.download(f"/actions/artifacts/{found['id']}/zip", 100)


def test_a_file_is_uploaded_only_to_github(client: Client, github: GitHub) -> None:
    made = client.post("/releases", {"tag_name": "v1"})
    client.upload(made["upload_url"], b"bytes", name="model.zip")
    assert github.releases[made["id"]]["assets"][0]["size"] == 5
    with pytest.raises(Outside, match=r"'elsewhere\.example'"):
        client.upload("https://elsewhere.example/{?name,label}", b"bytes", name="model.zip")


def test_deleting_what_does_not_exist_is_no_error(client: Client, github: GitHub) -> None:
    client.delete("/issues/comments/7")
    assert github.count("DELETE") == 1


@pytest.mark.slow
def test_a_laboratory_s_own_authority_is_trusted_where_the_environment_names_it(
    monkeypatch: pytest.MonkeyPatch, authority: tuple[Path, Path]
) -> None:
    certificate, key = authority
    with stand_in(certificate=key) as github:
        github.pull("c0ffee")
        place = (github.repository, "s3cret", f"{github.url}/api/v3", lambda _: None)
        with pytest.raises(Outside, match="certificate"):
            Client(*place).get("/pulls/1")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert Client(*place).get("/pulls/1")["number"] == 1


def test_the_client_comes_from_the_job_s_environment(github: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(github, GITHUB_API_URL=f"{github.url}/api/v3/").items():
        monkeypatch.setenv(name, value)
    assert Client.of_job().get("")["full_name"] == "lab/faults"


def test_outside_of_a_job_the_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_REPOSITORY", "lab/faults")
    with pytest.raises(BadInput, match="GITHUB_TOKEN is not set: no comment can be written"):
        Client.of_job("no comment can be written")


@pytest.mark.parametrize("token", ["s3cret\n", "s3cret ", "s3crët"])
def test_no_error_shows_the_token(token: str) -> None:
    assert "s3cret" not in repr(Client("lab/faults", "s3cret"))
    with pytest.raises(BadInput) as caught:
        Client("lab/faults", token)
    assert "s3cr" not in str(caught.value)


@pytest.mark.parametrize(
    ("repository", "api"),
    [("lab", "https://x"), ("lab/a/../b", "https://x"), ("a/b", "file:///"), ("a/b", "https://[::1")],
)
def test_an_invalid_repository_or_api_is_refused(repository: str, api: str) -> None:
    with pytest.raises(BadInput) as caught:
        Client(repository, "s3cret", api)
    assert caught.value.hint.startswith("export GITHUB_")
