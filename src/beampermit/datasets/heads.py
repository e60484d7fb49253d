"""Which objects a web server holds: each is asked for by HEAD, on connections that are used again.

fsspec asks by GET and leaves the body unread, which costs a connection for each object.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

GONE = (404, 410)
NO_HEAD = (405, 501)
"""What a server answers that knows only GET."""


def absent(fs: Any, addresses: Mapping[str, str], at_once: int) -> set[str]:
    """The keys of `addresses` at which nothing is, through the session of DVC's file system: its login, TLS, patience.

    Raises `OSError`, `aiohttp.ClientError` or `TimeoutError` for whatever is not a plain answer.
    """
    return asyncio.run_coroutine_threadsafe(_absent(fs, addresses, at_once), fs.loop).result()


async def _absent(fs: Any, addresses: Mapping[str, str], at_once: int) -> set[str]:
    session = await fs.set_session()
    waiting = iter(addresses.items())
    try:
        async with asyncio.TaskGroup() as group:  # the first that fails stops the others
            tasks = [group.create_task(_asked(session, waiting)) for _ in range(min(at_once, len(addresses)))]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return set().union(*(task.result() for task in tasks))


async def _asked(session: Any, waiting: Iterator[tuple[str, str]]) -> set[str]:
    """Take addresses from those that wait until none is left; give the keys of those where nothing is."""
    return {key for key, address in waiting if not await _is_there(session, address)}


async def _is_there(session: Any, address: str) -> bool:
    async with session.head(address, allow_redirects=True) as answer:
        status = answer.status
    if status in NO_HEAD:
        async with session.get(address) as answer:
            status = answer.status
    if status in GONE:
        return False
    if status >= 400:
        raise OSError(f"it answers with status {status}")
    return True
