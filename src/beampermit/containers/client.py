"""The API of an image registry (OCI distribution, `/v2/`), read only: every byte is compared with its digest.

The registry, and whoever may push to it, are not believed: answers are limited in size and time, and no login goes to
a place without TLS.
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from beampermit.containers.reference import LOOPBACK, Reference
from beampermit.digest import digest_bytes
from beampermit.errors import BadInput, Outside, one_line
from beampermit.reading import parse_json

LARGEST = 4 * 2**20
"""Bytes of a manifest or a configuration: more, no registry needs to take."""
LARGEST_TOKEN = 2**16
TIMEOUT = 30.0
"""Seconds for one step of an answer."""
PATIENCE = 120.0
"""Seconds for a whole answer."""
TRIES = 4
REDIRECTS = 5
KINDS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
API = {"docker.io": "registry-1.docker.io"}
"""Where the API of a registry is, if not at its name."""
LOGIN = ("IMAGE_USERNAME", "IMAGE_PASSWORD")
"""Variables with the account of the registry, where it asks for one."""
CHALLENGE = re.compile(r'(\w+)="([^"\\]*)"')


class _Again(Exception):
    """To be retried: nothing was said, or an error of the server's own."""

    def __init__(self, error: Outside):
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True)
class Login:
    username: str = ""
    password: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        for name, value in zip(LOGIN, (self.username, self.password), strict=True):
            if not re.fullmatch(r"[ -~]*", value):  # a header that cannot be sent would be shown in the error
                raise BadInput(f"{name} contains a character that no login has", hint=f"remove the newline from {name}")

    @property
    def basic(self) -> str:
        """The header of HTTP; empty without a password."""
        encoded = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        return f"Basic {encoded}" if self.password else ""


@dataclass
class ImageRegistry:
    """The repository of `reference`, as an account may read it. Methods raise `Outside`."""

    reference: Reference
    login: Login = Login()
    sleep: Callable[[float], None] = time.sleep
    _authorization: str = field(default="", repr=False)

    def manifest(self, wanted: str) -> bytes:
        """The manifest or index of a digest or a tag; of a digest, exactly those bytes."""
        content = self._get(f"manifests/{wanted}", {"Accept": ", ".join(KINDS)}, LARGEST)
        return self._same(content, wanted) if wanted.startswith("sha256:") else content

    def blob(self, digest: str) -> bytes:
        """A small one, such as a configuration."""
        return self._same(self._get(f"blobs/{digest}", {}, LARGEST), digest)

    @property
    def _base(self) -> str:
        host = API.get(self.reference.host, self.reference.host)
        return f"{'http' if self.reference.is_local else 'https'}://{host}/v2/{self.reference.name}"

    @cached_property
    def _http(self) -> Any:
        import httpx

        return httpx.Client(timeout=TIMEOUT)

    def _same(self, content: bytes, digest: str) -> bytes:
        found = digest_bytes(content)
        if found != digest:
            raise Outside(f"{self.reference.host} answers for {digest} with other bytes: their digest is {found}")
        return content

    def _get(self, path: str, headers: dict[str, str], limit: int) -> bytes:
        address = f"{self._base}/{path}"
        status, content, challenge = self._asked(address, headers, limit, self._authorization)
        if status == 401 and not self._authorization:
            self._authorization = self._authorize(challenge)
            if self._authorization:
                status, content, _ = self._asked(address, headers, limit, self._authorization)
        if status == 200:
            return content
        what = f"{self.reference.repository}, {path.replace('/', ' ')}"
        if status == 404:
            raise Outside(
                f"{self.reference.host} has no {what}: it was not pushed there, or this account may not see it",
                hint=f"docker buildx imagetools inspect {self.reference}",
            )
        if status in (401, 403):
            raise Outside(
                f"{self.reference.host} refuses to show {what} ({status})",
                hint=f"export {LOGIN[0]} and {LOGIN[1]} of an account that may read it",
            )
        raise Outside(f"{self.reference.host} answers {status} for {what}", hint="run the same command again")

    def _asked(self, address: str, headers: dict[str, str], limit: int, authorization: str) -> tuple[int, bytes, str]:
        """Status, content and `WWW-Authenticate`."""
        from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

        retrying = Retrying(
            stop=stop_after_attempt(TRIES),
            wait=wait_random_exponential(multiplier=0.5, max=5),
            retry=retry_if_exception_type(_Again),
            sleep=self.sleep,
            reraise=True,
        )
        try:
            return retrying(self._once, address, headers, limit, authorization)
        except _Again as again:
            raise again.error from None

    def _once(self, address: str, headers: dict[str, str], limit: int, authorization: str) -> tuple[int, bytes, str]:
        """One question, through redirects: the storage that a registry leads to gets no login."""
        import httpx

        login = {"Authorization": authorization} if authorization else {}
        try:
            for _ in range(REDIRECTS):
                with self._http.stream("GET", address, headers=headers | login) as response:
                    if response.has_redirect_location:
                        address, login = self._followed(response), {}
                        continue
                    content = self._read(response, limit)
                    if response.status_code >= 500 or response.status_code == 429:
                        raise _Again(Outside(f"{self.reference.host} answers {response.status_code}"))
                    return response.status_code, content, response.headers.get("www-authenticate", "")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _Again(Outside(f"{self.reference.host} cannot be reached: {one_line(error)}")) from None
        raise Outside(f"{self.reference.host} leads from one place to the next, {REDIRECTS} times")

    def _followed(self, response: Any) -> str:
        address = response.url.join(response.headers["location"])
        self._require_safe(address.scheme, address.netloc.decode())
        return str(address)

    def _require_safe(self, scheme: str, host: str) -> None:
        if scheme != "https" and not (scheme == "http" and self.reference.is_local and LOOPBACK.fullmatch(host)):
            raise Outside(f"{self.reference.host} leads to {scheme}://{host[:100]}, which is not https")

    def _read(self, response: Any, limit: int) -> bytes:
        content, end = bytearray(), time.monotonic() + PATIENCE
        for block in response.iter_bytes():
            content += block
            if len(content) > limit:
                raise Outside(f"{self.reference.host} answers with more than the {limit} bytes allowed here")
            if time.monotonic() > end:
                raise Outside(f"{self.reference.host} takes longer than {PATIENCE:.0f} s for an answer")
        return bytes(content)

    def _authorize(self, challenge: str) -> str:
        """The header that the registry asks for; empty where only a login would help, and there is none."""
        import httpx

        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() != "bearer":
            return self.login.basic
        asked = dict(CHALLENGE.findall(rest))
        try:
            realm = httpx.URL(asked.get("realm", ""))
        except httpx.InvalidURL:
            realm = httpx.URL("")
        self._require_safe(realm.scheme, realm.netloc.decode())
        query = {"service": asked.get("service", ""), "scope": f"repository:{self.reference.name}:pull"}
        joint = "&" if realm.query else "?"
        address = f"{realm}{joint}{urlencode(query)}"
        status, content, _ = self._asked(address, {}, LARGEST_TOKEN, self.login.basic)
        if status != 200:
            return ""
        token = _token(content)
        return f"Bearer {token}" if token else ""


def _token(content: bytes) -> str:
    try:
        body = parse_json(content, "token")
    except BadInput:
        return ""
    token = (body.get("token") or body.get("access_token")) if isinstance(body, dict) else None
    return token if isinstance(token, str) and re.fullmatch(r"[!-~]+", token) else ""
