"""GitHub's REST API: patient where asking again is safe, bounded always, and silent about its token."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from beampermit.errors import BadInput, Outside
from beampermit.reading import first_fault, parse_json

LONGEST = 60.0
"""Seconds: who asks us to wait longer than this is not waited for."""


@dataclass(frozen=True)
class Reply:
    """An answer of GitHub's to `method` of an address: what httpx has of it, and its bytes."""

    method: str
    address: str
    found: Any
    content: bytes

    @property
    def status(self) -> int:
        """HTTP's."""
        return self.found.status_code

    @property
    def links(self) -> Mapping[str, Mapping[str, str]]:
        """The addresses that it leads on to, such as `next`."""
        return self.found.links

    def json(self) -> Any:
        """The answer as JSON. Raises `Outside` for anything else."""
        try:
            return parse_json(self.content, "answer")
        except BadInput as error:
            raise Outside(f"GitHub's answer to {self.method} {path_of(self.address)} is {error.message}") from None

    @property
    def why(self) -> str:
        """A line about a refusal, with GitHub's own words where it has some."""
        try:
            body = self.json()
        except Outside:
            body = None
        said = body.get("message", "") if isinstance(body, Mapping) else ""
        words = "".join(character if character.isprintable() else " " for character in str(said))
        return (
            f"GitHub answers {self.method} {path_of(self.address)} with {self.status} {' '.join(words.split())[:200]}"
        )

    @property
    def wait(self) -> float | None:
        """Seconds to rest before asking again, where a limit is what refused; None where it is not."""
        headers = self.found.headers
        if self.status not in (403, 429):
            return None
        after = headers.get("retry-after", "")
        if after.isdecimal():
            return float(after)
        reset = headers.get("x-ratelimit-reset", "")
        if headers.get("x-ratelimit-remaining") == "0" and reset.isdecimal():
            return max(0.0, float(reset) - time.time()) + 1
        return LONGEST if self.status == 429 or b"secondary rate limit" in self.content else None


def path_of(address: str) -> str:
    """What an error shows of an address: no host, and nothing that was asked."""
    return urlsplit(address).path


API = "https://api.github.com"
VERSION = "2022-11-28"
TIMEOUT = 30.0
"""Seconds for one answer."""
TRIES = 5
A_PAGE = 100
LARGEST = 64 * 2**20
"""Bytes of one answer: a hundred comments as long as comments can be."""


class Refused(Outside):
    """GitHub answered, and did not do it. `status` is HTTP's."""

    def __init__(self, message: str, status: int, hint: str = ""):
        super().__init__(message, hint=hint)
        self.status = status


class Limited(Refused):
    """GitHub did not look at it: too much was asked in too short a time."""


class Unsure(Outside):
    """A request that must not be made twice was sent, and nobody knows whether it was done: look, then decide."""


class _Again(Exception):
    """Not this time; `wait` is in seconds where GitHub named it."""

    def __init__(self, error: Outside, wait: float | None = None):
        super().__init__(str(error))
        self.error, self.wait = error, wait


@dataclass(frozen=True)
class Client:
    """One repository, `OWNER/NAME`, on the GitHub whose API is at `api`, with `token`, or as a stranger without.

    Every path begins behind `/repos/OWNER/NAME`. All that can fail raises `Refused`, `Unsure` or another `Outside`.
    """

    repository: str
    token: str = field(repr=False)
    api: str = API
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[!-~]*", self.token):  # a header that cannot be sent would be shown in the error
            raise BadInput("GITHUB_TOKEN holds something that no token can hold", hint="look for a space or a newline")
        if not _is_web(self.api):
            raise BadInput(f"GITHUB_API_URL is no web address: {self.api!r}", hint=f"export GITHUB_API_URL={API}")
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", self.repository, re.ASCII):
            raise BadInput(
                f"GITHUB_REPOSITORY is not OWNER/NAME: {self.repository!r}", hint="export GITHUB_REPOSITORY=OWNER/NAME"
            )

    @classmethod
    def of_job(cls, purpose: str = "GitHub cannot be asked") -> Client:
        """The repository of the workflow that runs this. Raises `BadInput` outside of one."""
        found = {name: os.environ.get(name, "") for name in ("GITHUB_REPOSITORY", "GITHUB_TOKEN")}
        for name, value in found.items():
            if not value:
                raise BadInput(f"{name} is not set: {purpose}", hint=f"export {name}, as a workflow's job has it")
        return cls(*found.values(), api=(os.environ.get("GITHUB_API_URL") or API).rstrip("/"))

    def get(self, path: str, **query: str | int) -> Any:
        """What is there."""
        return self._send("GET", self._address(path), params=query).json()

    def pages(self, path: str, key: str = "", **query: str | int) -> Iterator[Any]:
        """Everything in a list, over all its pages; `key` is where the list stands in an answer that is no list."""
        for page in self.by_page(path, key, **query):
            yield from page

    def by_page(self, path: str, key: str = "", **query: str | int) -> Iterator[list[Any]]:
        """A list, page by page: who has found what it looks for asks for no more."""
        address, asked = self._address(path), {"per_page": A_PAGE, **query}
        seen = set[str]()
        while address:
            seen.add(address)
            reply = self._send("GET", address, params=asked)
            body = reply.json()
            rows = body.get(key) if key and isinstance(body, Mapping) else body
            if not isinstance(rows, list):
                raise Outside(f"{self._named('GET', path)} is no list")
            yield rows
            address, asked = reply.links.get("next", {}).get("url", ""), None  # which says it all
            if address and (not self._ours(address) or address in seen):
                raise Outside(f"{self._named('GET', path)} has a next page where none can be")

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Make something. Raises `Unsure` where it may have been made although no answer came."""
        return self._send("POST", self._address(path), json=body).json()

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """Change something to what `body` says, which is the same however often it is said."""
        return self._send("PATCH", self._address(path), json=body).json()

    def put(self, path: str, body: Mapping[str, Any]) -> Any:
        """Set something."""
        return self._send("PUT", self._address(path), json=body).json()

    def delete(self, path: str) -> None:
        """Remove something; that it is gone already is as good."""
        try:
            self._send("DELETE", self._address(path))
        except Refused as refused:
            if refused.status != 404:
                raise

    def download(self, path: str, limit: int) -> bytes:
        """At most `limit` bytes, from wherever GitHub keeps them; its token is shown to nobody but GitHub."""
        return self._send("GET", self._address(path), limit=limit).content

    def upload(self, address: str, content: bytes, kind: str = "application/octet-stream", **query: str) -> Any:
        """Post bytes to an address that GitHub gave: a release's `upload_url`."""
        address = address.partition("{")[0]
        there, here = (urlsplit(one).netloc for one in (address, self.api))
        if not self._ours(address) and there.removeprefix("uploads.") != here.removeprefix("api."):
            raise Outside(f"GitHub wants an upload at {there!r}, which is not GitHub's")
        return self._send("POST", address, params=query, content=content, headers={"Content-Type": kind}).json()

    def _address(self, path: str) -> str:
        return f"{self.api}/repos/{self.repository}{path}"

    def _ours(self, address: str) -> bool:
        there, here = urlsplit(address), urlsplit(self.api)
        return (there.scheme, there.netloc) == (here.scheme, here.netloc)

    def _named(self, method: str, path: str) -> str:
        return f"what GitHub answers to {method} /repos/{self.repository}{path}"

    @cached_property
    def _http(self) -> Any:
        """Connections that are used again: making them ready costs more than asking."""
        import httpx

        return httpx.Client(timeout=TIMEOUT, max_redirects=5)

    def _send(self, method: str, address: str, limit: int = LARGEST, **more: Any) -> Reply:
        from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
        from tenacity import wait_random_exponential as exponential

        def wait(state: RetryCallState) -> float:
            why = state.outcome.exception() if state.outcome else None
            named = why.wait if isinstance(why, _Again) else None
            return exponential(multiplier=0.5, max=10)(state) if named is None else named

        retrying = Retrying(
            stop=stop_after_attempt(TRIES),
            wait=wait,
            retry=retry_if_exception_type(_Again),
            sleep=self.sleep,
            reraise=True,
        )
        try:
            return retrying(self._once, method, address, limit, **more)
        except _Again as again:
            raise again.error from None

    def _once(self, method: str, address: str, limit: int, **more: Any) -> Reply:
        import httpx

        headers = {
            **({"Authorization": f"Bearer {self.token}"} if self.token else {}),
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": VERSION,
            **more.pop("headers", {}),
        }
        # A redirect to another host loses the token in httpx; one that would turn a POST into a GET is not followed.
        follow = method == "GET"
        try:
            with self._http.stream(method, address, headers=headers, follow_redirects=follow, **more) as found:
                content = _read(found, limit)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise _Again(self._silent(error)) from None  # never sent: safe for every method
        except httpx.TransportError as error:
            if method == "POST":
                raise Unsure(
                    f"no answer came from {self.api} to {method} {path_of(address)}: {_one_line(error)}"
                ) from None
            raise _Again(self._silent(error)) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Outside(f"GitHub cannot be asked at {self.api}: {_one_line(error)}") from None
        return self._judged(Reply(method, address, found, content))

    def _judged(self, reply: Reply) -> Reply:
        """The reply, if GitHub did what it was asked."""
        if reply.found.is_success:
            return reply
        seconds = reply.wait
        if seconds is not None:
            if seconds > LONGEST:
                raise Limited(f"{reply.why}; it wants {seconds:.0f} s of rest, more than is waited here", reply.status)
            raise _Again(Limited(reply.why, reply.status), seconds)  # a limit refuses before anything is done
        refused = Refused(reply.why, reply.status, _hint(reply.status))
        if reply.status >= 500:
            if reply.method == "POST":
                raise Unsure(reply.why)
            raise _Again(refused)
        raise refused

    def _silent(self, error: Exception) -> Outside:
        return Outside(
            f"GitHub cannot be reached at {self.api}: {_one_line(error)}",
            hint="run it again; GITHUB_API_URL names the API",
        )


def _read(found: Any, limit: int) -> bytes:
    content = bytearray()
    for block in found.iter_bytes():
        content += block
        if len(content) > limit:
            raise Outside(f"GitHub's answer is longer than the {limit} bytes allowed here")
    return bytes(content)


def _is_web(address: str) -> bool:
    try:
        return urlsplit(address).scheme in ("http", "https")
    except ValueError:  # an address of IPv6 without its end
        return False


def _hint(status: int) -> str:
    if status == 401:
        return "GITHUB_TOKEN is refused: give one that is valid"
    if status == 403:
        return "the job's `permissions:` or the token's rights lack what this needs"
    return "run the same command again; githubstatus.com says how GitHub is" if status >= 500 else ""


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


class Answer(BaseModel):
    """A part of an answer: types are strict, what is not read here may be anything."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class Author(Answer):
    """Who wrote something."""

    login: str


class Comment(Answer):
    """A comment below a pull request; its author is None where the account is gone."""

    id: int
    body: str = ""
    user: Author | None
    html_url: str


class Repository(Answer):
    """A repository, `OWNER/NAME`."""

    full_name: str


class Head(Answer):
    """A branch and the commit it is on; the repository is None where it was deleted."""

    sha: str
    ref: str
    repo: Repository | None


class Pull(Answer):
    """A pull request. `state` is open or closed; a locked one takes no comments."""

    number: int
    state: str
    locked: bool
    head: Head


class Run(Answer):
    """A run of a workflow. `event` is what started it, `conclusion` how it ended: None while it runs."""

    id: int
    run_attempt: int
    event: str
    conclusion: str | None
    head_sha: str
    head_branch: str | None
    head_repository: Repository | None


class Artifact(Answer):
    """What a job of a run uploaded."""

    id: int
    name: str
    expired: bool
    size_in_bytes: int


Kind = TypeVar("Kind", bound=Answer)


def parse_answer(kind: type[Kind], value: Any) -> Kind:
    """`value` as one of these. Raises `Outside` that names what is not as it should be."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        fault = first_fault(error, kind.__name__.lower())
        raise Outside(f"GitHub's answer is not understood: {fault}") from None
