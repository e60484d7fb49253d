"""GitHub's REST API: safe requests are retried, time and size are limited, the token is never shown."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from beampermit.errors import BadInput, Outside, one_line
from beampermit.reading import answered_at, first_fault, parse_json, seconds_to_wait

LONGEST = 60.0
"""Seconds: a longer wait that GitHub asks for ends the request."""
API = "https://api.github.com"
VERSION = "2022-11-28"
TIMEOUT = 30.0
"""Seconds for one answer."""
TRIES = 5
A_PAGE = 100
LARGEST = 64 * 2**20
"""Bytes of one answer: a hundred comments of the maximum length fit."""


class Refused(Outside):
    """GitHub answered with an error. `status` is the HTTP status."""

    def __init__(self, message: str, status: int, hint: str = ""):
        super().__init__(message, hint=hint)
        self.status = status

    @property
    def denied(self) -> bool:
        """Whether the token has no right to it: GitHub answers 404 too, for it does not say what is there."""
        return self.status in (401, 403, 404)


class Limited(Refused):
    """GitHub asks to wait `seconds`: a rate limit refused the request, and nothing was done, or GitHub is down."""

    def __init__(self, message: str, status: int, seconds: float, hint: str = ""):
        super().__init__(message, status, hint)
        self.seconds = seconds

    @property
    def denied(self) -> bool:
        return False


class Unsure(Outside):
    """A request that must not be repeated got no clear answer: it may have been carried out. Check before repeating."""


class _Again(Exception):
    """To be retried; `wait` is the number of seconds that GitHub asks for."""

    def __init__(self, error: Outside, wait: float | None = None):
        super().__init__(str(error))
        self.error, self.wait = error, wait


@dataclass(frozen=True)
class Client:
    """One repository, `OWNER/NAME`, on the GitHub whose API is at `api`; `token` is empty for anonymous requests.

    Paths are relative to `/repos/OWNER/NAME`, but for `/orgs/...`. Methods raise `Refused`, `Unsure`, other `Outside`.
    """

    repository: str
    token: str = field(repr=False)
    api: str = API
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[!-~]*", self.token):  # a header that cannot be sent would be shown in the error
            raise BadInput(
                "GITHUB_TOKEN contains a character that no token has",
                hint="remove the space or newline from GITHUB_TOKEN",
            )
        if not _is_web(self.api):
            raise BadInput(
                f"GITHUB_API_URL is not an http or https URL: {self.api!r}", hint=f"export GITHUB_API_URL={API}"
            )
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", self.repository, re.ASCII):
            raise BadInput(
                f"GITHUB_REPOSITORY is not OWNER/NAME: {self.repository!r}", hint="export GITHUB_REPOSITORY=OWNER/NAME"
            )

    @classmethod
    def of_job(cls, purpose: str = "GitHub cannot be reached") -> Client:
        """The repository of the workflow that runs this. Raises `BadInput` where a variable of the job is not set."""
        values = {name: os.environ.get(name, "") for name in ("GITHUB_REPOSITORY", "GITHUB_TOKEN")}
        for name, value in values.items():
            if not value:
                raise BadInput(f"{name} is not set: {purpose}", hint=f"export {name}=...")
        return cls(*values.values(), api=(os.environ.get("GITHUB_API_URL") or API).rstrip("/"))

    def get(self, path: str, **query: str | int) -> Any:
        return self._send("GET", self._address(path), params=query).json()

    def pages(self, path: str, key: str = "", **query: str | int) -> Iterator[Any]:
        """All items of a list, over all pages; `key` names the list where the answer is an object."""
        for page in self.by_page(path, key, **query):
            yield from page

    def by_page(self, path: str, key: str = "", **query: str | int) -> Iterator[list[Any]]:
        """A list, page by page; later pages are only requested when they are used."""
        address, params = self._address(path), {"per_page": A_PAGE, **query}
        seen = set[str]()
        while address:
            seen.add(address)
            reply = self._send("GET", address, params=params)
            body = reply.json()
            rows = body.get(key) if key and isinstance(body, Mapping) else body
            if not isinstance(rows, list):
                raise Outside(f"{self._named('GET', path)} is not a list")
            yield rows
            address, params = reply.links.get("next", {}).get("url", ""), None  # the URL has the query
            if address and (not self._is_api(address) or address in seen):
                raise Outside(f"{self._named('GET', path)} names a next page on another host, or one read before")

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Create something. Raises `Unsure` where it may have been created although no answer came."""
        return self._send("POST", self._address(path), json=body).json()

    def order(self, path: str, body: Mapping[str, Any]) -> None:
        """As `post`, where GitHub answers with nothing: to start a workflow."""
        self._send("POST", self._address(path), json=body)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._send("PATCH", self._address(path), json=body).json()

    def put(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._send("PUT", self._address(path), json=body).json()

    def delete(self, path: str) -> None:
        """It is not an error when it does not exist."""
        try:
            self._send("DELETE", self._address(path))
        except Refused as refused:
            if refused.status != 404:
                raise

    def download(self, path: str, limit: int) -> bytes:
        """At most `limit` bytes, also from a storage that GitHub redirects to; only GitHub gets the token."""
        return self._send("GET", self._address(path), limit=limit).content

    def upload(self, address: str, content: bytes, kind: str = "application/octet-stream", **query: str) -> Any:
        """Post bytes to a URL that GitHub gave: the `upload_url` of a release."""
        address = address.partition("{")[0]
        host, api = (urlsplit(url).netloc for url in (address, self.api))
        if not self._is_api(address) and host.removeprefix("uploads.") != api.removeprefix("api."):
            raise Outside(f"GitHub names {host!r} for the upload, which is not a host of this GitHub")
        return self._send("POST", address, params=query, content=content, headers={"Content-Type": kind}).json()

    def _address(self, path: str) -> str:
        return f"{self.api}{self._placed(path)}"

    def _placed(self, path: str) -> str:
        return path if path.startswith("/orgs/") else f"/repos/{self.repository}{path}"

    def _is_api(self, address: str) -> bool:
        url, api = urlsplit(address), urlsplit(self.api)
        return (url.scheme, url.netloc) == (api.scheme, api.netloc)

    def _named(self, method: str, path: str) -> str:
        return f"GitHub's answer to {method} {self._placed(path)}"

    def sibling(self, repository: str) -> Client:
        """The client of another repository, over the same connections."""
        other = replace(self, repository=repository)
        other.__dict__["_http"] = self._http
        return other

    @cached_property
    def _http(self) -> Any:
        """Kept open: connecting costs more than a request."""
        import httpx

        return httpx.Client(timeout=TIMEOUT, max_redirects=5)

    def _send(self, method: str, address: str, limit: int = LARGEST, **more: Any) -> Reply:
        from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt
        from tenacity import wait_random_exponential as exponential

        def wait(state: RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            seconds = error.wait if isinstance(error, _Again) else None
            return exponential(multiplier=0.5, max=10)(state) if seconds is None else seconds

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
        # httpx drops the token on a redirect to another host. A redirect would turn a POST into a GET.
        follow = method == "GET"
        try:
            with self._http.stream(method, address, headers=headers, follow_redirects=follow, **more) as response:
                content = _read(response, limit)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise _Again(self._unreachable(error)) from None  # never sent: safe for every method
        except httpx.TransportError as error:
            if method == "POST":
                raise Unsure(
                    f"no answer from {self.api} to {method} {path_of(address)}: {one_line(error)}",
                    hint="run the command again; it checks first what was done",
                ) from None
            raise _Again(self._unreachable(error)) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Outside(f"GitHub cannot be reached at {self.api}: {one_line(error)}") from None
        return self._checked(Reply(method, address, response, content))

    def _checked(self, reply: Reply) -> Reply:
        if reply.response.is_success:
            return reply
        seconds, down = reply.wait, reply.status >= 500
        if down and reply.method == "POST":
            raise Unsure(reply.refusal, hint=_hint(reply.status)).after(seconds or 0.0)
        if seconds is None:
            refused = Refused(reply.refusal, reply.status, _hint(reply.status))
            raise _Again(refused) if down else refused
        if seconds > LONGEST:
            raise Limited(
                f"{reply.refusal}; it asks to wait {seconds:.0f} s, more than the limit of {LONGEST:.0f} s",
                reply.status,
                seconds,
                hint=f"run the command again in {seconds:.0f} s",
            )
        hint = _hint(reply.status) if down else ""
        raise _Again(Limited(reply.refusal, reply.status, seconds, hint), seconds)

    def _unreachable(self, error: Exception) -> Outside:
        return Outside(
            f"GitHub cannot be reached at {self.api}: {one_line(error)}",
            hint="run the command again; GITHUB_API_URL names the API of a GitHub other than github.com",
        )


@dataclass(frozen=True)
class Reply:
    """GitHub's answer to a request: the httpx response, and its bytes."""

    method: str
    address: str
    response: Any
    content: bytes

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def links(self) -> Mapping[str, Mapping[str, str]]:
        """URLs of other pages, such as `next`."""
        return self.response.links

    def json(self) -> Any:
        """Raises `Outside` where the content is not JSON."""
        try:
            return parse_json(self.content, "answer")
        except BadInput as error:
            raise Outside(f"GitHub's answer to {self.method} {path_of(self.address)} is {error.message}") from None

    @property
    def refusal(self) -> str:
        """One line that says what was refused, with GitHub's own message where there is one."""
        try:
            body = self.json()
        except Outside:
            body = None
        message = body.get("message", "") if isinstance(body, Mapping) else ""
        line = "".join(character if character.isprintable() else " " for character in str(message))
        return f"GitHub answers {self.method} {path_of(self.address)} with {self.status} {' '.join(line.split())[:200]}"

    @property
    def wait(self) -> float | None:
        """Seconds until the next attempt where a rate limit refused the request, or GitHub is down and says so; else
        None.
        """
        headers = self.response.headers
        if self.status not in (403, 429) and self.status < 500:
            return None
        if (after := seconds_to_wait(headers)) is not None or self.status >= 500:
            return after
        reset = headers.get("x-ratelimit-reset", "")
        if headers.get("x-ratelimit-remaining") == "0" and reset.isdecimal():
            return max(0.0, float(reset) - answered_at(headers)) + 1
        return LONGEST if self.status == 429 or b"secondary rate limit" in self.content else None


def path_of(address: str) -> str:
    """What an error shows of a URL: no host and no query."""
    return urlsplit(address).path


def _read(response: Any, limit: int) -> bytes:
    content = bytearray()
    for block in response.iter_bytes():
        content += block
        if len(content) > limit:
            raise Outside(f"GitHub's answer is longer than the {limit} bytes allowed here")
    return bytes(content)


def _is_web(address: str) -> bool:
    try:
        return urlsplit(address).scheme in ("http", "https")
    except ValueError:  # an IPv6 address without its bracket
        return False


def _hint(status: int) -> str:
    if status == 401:
        return "GITHUB_TOKEN is not valid: export one that is"
    if status == 403:
        return "add the missing permission to the job's `permissions:` or to the token"
    return "run the same command again; githubstatus.com shows outages" if status >= 500 else ""


class Answer(BaseModel):
    """Part of an answer: types are strict, unknown keys are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class Author(Answer):
    login: str


class Repository(Answer):
    """`full_name` is `OWNER/NAME`."""

    full_name: str


class Head(Answer):
    """Branch and commit; the repository is None where it was deleted."""

    sha: str
    ref: str
    repo: Repository | None


class Pull(Answer):
    """`state` is open or closed; a locked pull request takes no comments."""

    number: int
    state: str
    locked: bool
    head: Head


class Run(Answer):
    """A workflow run. `conclusion` is None while it runs."""

    id: int
    run_attempt: int
    event: str
    conclusion: str | None
    head_sha: str
    head_branch: str | None
    head_repository: Repository | None


Kind = TypeVar("Kind", bound=Answer)


def parse_answer(kind: type[Kind], value: Any) -> Kind:
    """Raises `Outside` with the first key that is wrong."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        fault = first_fault(error, kind.__name__.lower())
        raise Outside(f"GitHub's answer has an unknown format: {fault}") from None
