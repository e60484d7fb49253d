"""Addresses of databases: what may be shown of one, and what its driver says without its password."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from beampermit.errors import BadInput

if TYPE_CHECKING:
    from sqlalchemy import URL

KINDS = ("postgresql", "mysql", "mariadb", "sqlite", "mssql", "oracle")
KIND = re.compile(rf"({'|'.join(KINDS)})(\+\w+)?://.*", re.DOTALL)
SHAPE = "such as postgresql://USER@HOST/DATABASE; the password in ~/.pgpass or PGPASSWORD"
ENCODED = "in a user or a password, @ is written %40, / %2F, : %3A and ? %3F"
LOGIN = re.compile(r"(?:\w*\+?\w*://)?[^:@]*:(.*)@", re.DOTALL)
"""With a password that has an @ as well, which nothing but a person can tell from the host."""
HARMLESS = {
    "application_name", "charset", "connect_timeout", "driver", "gssencmode", "host", "port", "service_name",
    "sslmode", "target_session_attrs", "timeout",
}  # fmt: skip
"""Options of addresses whose values may stand in a message; that of any other may be a password."""
SHORTEST = 4
"""Letters of a password. A shorter one is part of other words, and what is left of them would tell it."""
LONGEST = 300


def checked(address: str, origin: str) -> str:
    """The address with a driver, which `origin` gives. Raises `BadInput` that has nothing of it, as any part of what
    cannot be taken apart may be the password."""
    if not KIND.fullmatch(address):
        raise _refused(origin, f"it begins with none of {', '.join(KINDS)}")
    url = _parsed(address)
    if url is None:
        raise _refused(origin, f"it cannot be taken apart, or its port is no number; {ENCODED}")
    if url.get_backend_name() == "sqlite":
        _require_file(url, origin)
    else:
        _require_host(url, origin)
    return re.sub(r"^postgresql://", "postgresql+psycopg://", address)


def public(address: str) -> str:
    """A checked address without user, password and options."""
    from sqlalchemy import URL

    url = _parsed(address)
    if url is None:
        return "the database"
    plain = URL.create(url.drivername, host=url.host, port=url.port, database=url.database)
    return plain.render_as_string(hide_password=True)


def said_by_driver(error: BaseException, address: str) -> str:
    """What the driver says in one line: not the statement, which has what was stored, and no password."""
    cause = getattr(error, "orig", None) or error.__cause__ or error
    return without_passwords(str(cause), address)


def without_passwords(text: str, address: str) -> str:
    """What was said of an address, in one line."""
    secrets = _secrets(address)
    if any(len(secret) < SHORTEST and secret in text for secret in secrets):
        return "what it says has letters of the password and is not shown"
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return " ".join(text.split())[:LONGEST]


def _refused(origin: str, why: str) -> BadInput:
    return BadInput(f"{origin} is not the address of a database: {why}", hint=SHAPE)


def _parsed(address: str) -> URL | None:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    with suppress(ArgumentError, ValueError):
        return make_url(address)
    return None


def _require_file(url: URL, origin: str) -> None:
    path = url.database or ""
    if url.host or url.username or url.password or url.port:
        raise _refused(origin, "a database in a file has three slashes, sqlite:///FILE, or four before a whole path")
    if not path or ":memory:" in path or "memory" in str(url.query.get("mode")) or "memdb" in str(url.query):
        raise _refused(origin, "it is in memory and gone with the command; sqlite:///FILE keeps studies")


def _require_host(url: URL, origin: str) -> None:
    if "@" in f"{url.host}{url.database}":
        raise _refused(origin, f"it has an @ behind the login; {ENCODED}")
    behind_host = url.port is None or (0 < url.port < 2**16 and url.database)  # USER:PASSWORD looks like HOST:PORT
    if not behind_host:
        raise _refused(origin, f"a port is a number up to 65535, and a database stands behind it; {ENCODED}")


def _secrets(address: str) -> set[str]:
    """Passwords of an address, in all ways in which a message may write them."""
    url = _parsed(address)
    plain = [str(url.password or "")] if url else []
    if found := LOGIN.match(address):
        plain.append(found[1])
    for name, value in url.query.items() if url else ():
        if name not in HARMLESS:
            wholes = [value] if isinstance(value, str) else [*value]
            parts = [part for whole in wholes for part in (whole, *re.split(r"[;=&\s]+", whole))]
            plain += [part for part in parts if len(part) >= SHORTEST]
    ways = (str, quote, lambda text: quote(text, safe=""), quote_plus, unquote, unquote_plus, _escaped, _in_json)
    return {way(secret) for secret in plain for way in ways} - {""}


def _escaped(text: str) -> str:
    return repr(text)[1:-1]


def _in_json(text: str) -> str:
    return json.dumps(text)[1:-1]
