"""Runs rattler in a process of its own, which is ended before Python would clean up.

py-rattler ends about one interpreter in five with a crash after its work is done; `os._exit` leaves it no time to.
What is asked comes as a line of JSON on stdin, the answer goes out as one JSON value a line: {"watch": words} while it
works, then {"result": ...} or {"error": kind, "message": words}.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

AT_ONCE = 8
"""So many packages are fetched at the same time."""


async def solve(asked: dict[str, Any]) -> Any:
    """Find the packages for each platform and variant in `tasks`; those in a task's `keep` stay where they can."""
    import rattler

    gateway = rattler.Gateway(cache_dir=asked["cache"], client=_client())
    sources = [rattler.Channel(url) for url in asked["channels"]]
    solved = []
    for task in asked["tasks"]:
        say({"watch": task["words"]})
        platforms = [task["platform"], "noarch"]
        records = await rattler.solve(
            sources,
            [rattler.MatchSpec(words) for words in task["specs"]],
            gateway=gateway,
            platforms=platforms,
            virtual_packages=[_virtual(*words) for words in task["virtual"]],
            locked_packages=await _kept(gateway, sources, platforms, task["keep"]),
        )
        solved.append([{**json.loads(one.to_json()), "url": one.url, "fn": one.file_name} for one in records])
    return solved


async def lookup(asked: dict[str, Any]) -> Any:
    """What the channels say now of packages, by URL: their sha256 and md5."""
    import rattler

    gateway = rattler.Gateway(cache_dir=asked["cache"], client=_client())
    sources = [rattler.Channel(url) for url in asked["channels"]]
    found = await gateway.query(sources, [*asked["platforms"], "noarch"], asked["names"], recursive=False)
    return {
        record.url: {"sha256": (record.sha256 or b"").hex(), "md5": (record.md5 or b"").hex()}
        for records in found
        for record in records
    }


async def fetch(asked: dict[str, Any]) -> Any:
    """Bring archives to their places, each only when its sha256 is the locked one; give those that are something else.

    Raises for what cannot be reached; what was brought before stays.
    """
    from rattler.package_streaming import download_to_path

    client, turns, wrong = _client(), asyncio.Semaphore(AT_ONCE), []
    done = 0

    async def one(item: dict[str, Any]) -> None:
        nonlocal done
        place = Path(item["path"])
        async with turns:
            place.parent.mkdir(parents=True, exist_ok=True)
            part = place.with_name(f".{place.name}.{os.getpid()}.part")
            try:
                if item["local"]:
                    await asyncio.to_thread(shutil.copyfile, item["local"], part)
                else:
                    await download_to_path(client, item["url"], part)
                found = await asyncio.to_thread(_sha256, part)
                if found == item["sha256"]:
                    part.replace(place)
                else:
                    wrong.append({**item, "found": found, "size": part.stat().st_size})
            finally:
                part.unlink(missing_ok=True)
        done += 1
        say({"watch": f"fetching packages: {done} of {len(asked['files'])}"})

    await _all([one(item) for item in asked["files"]])
    return wrong


async def install(asked: dict[str, Any]) -> Any:
    """Link verified archives into a prefix."""
    import rattler

    records = [await rattler.RepoDataRecord.from_package_archive(item["path"]) for item in asked["packages"]]
    say({"watch": f"linking {len(records)} packages"})
    await rattler.install(
        records,
        asked["prefix"],
        cache_dir=Path(asked["cache"]),
        platform=rattler.Subdir(asked["platform"]),
        show_progress=False,
        execute_link_scripts=False,
    )
    return len(records)


def say(value: Any) -> None:
    """One line to whoever asked."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


async def _kept(gateway: Any, sources: list[Any], platforms: list[Any], keep: dict[str, str]) -> list[Any]:
    """The channels' own records of the locked packages that are still there: `keep` is URL to sha256."""
    if not keep:
        return []
    names = sorted({url.rpartition("/")[2].rsplit("-", 2)[0] for url in keep})
    found = await gateway.query(sources, platforms, names, recursive=False)
    return [
        record
        for records in found
        for record in records
        if record.url in keep and (record.sha256 or b"").hex() == keep[record.url]
    ]


def _virtual(name: str, version: str, build: str) -> Any:
    import rattler

    return rattler.GenericVirtualPackage(
        rattler.PackageName(name), rattler.Version(version), rattler.BuildString(build)
    )


async def _all(work: list[Awaitable[None]]) -> None:
    """Wait for all; then raise the first failure."""
    for outcome in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


def _client() -> Any:
    import rattler

    return rattler.Client.default_client()


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


WORK: dict[str, Callable[[dict[str, Any]], Awaitable[Any]]] = {
    "solve": solve,
    "lookup": lookup,
    "fetch": fetch,
    "install": install,
}


def main() -> None:
    """Do what a line of stdin asks for, say what came of it, and be gone."""
    asked = json.loads(sys.stdin.readline())
    threading.Thread(target=_die_with_who_asked, daemon=True).start()
    try:
        say({"result": asyncio.run(_run(asked))})
    except Exception as error:
        say({"error": type(error).__name__, "message": str(error)})
    sys.stdout.flush()
    os._exit(0)


def _die_with_who_asked() -> None:
    """Whoever asked holds our stdin open: when it is killed, nobody goes on writing into an environment."""
    sys.stdin.read()
    os._exit(1)


async def _run(asked: dict[str, Any]) -> Any:
    return await WORK[asked["work"]](asked)


if __name__ == "__main__":
    main()
