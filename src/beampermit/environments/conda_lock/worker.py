"""Runs rattler in a process of its own, which ends with `os._exit`.

py-rattler crashes about one interpreter in five when it exits, after its work is done. The request is a line of JSON on
stdin; replies are JSON, one a line: {"step": text} while it works, then {"result": ...} or {"error": kind, "message":
text}.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from beampermit.digest import sha256_file
from beampermit.errors import counted

AT_ONCE = 8
"""Packages that are fetched at the same time."""


async def solve(request: dict[str, Any]) -> Any:
    """Solve each task, which is a platform and a variant; packages in its `keep` stay where they can."""
    import rattler

    gateway = rattler.Gateway(cache_dir=request["cache"], client=_client())
    sources = [rattler.Channel(url) for url in request["channels"]]
    solved = []
    for task in request["tasks"]:
        _reply({"step": task["step"]})
        platforms = [task["platform"], "noarch"]
        records = await rattler.solve(
            sources,
            [rattler.MatchSpec(spec) for spec in task["specs"]],
            gateway=gateway,
            platforms=platforms,
            virtual_packages=[_virtual(*package) for package in task["virtual"]],
            locked_packages=await _kept(gateway, sources, platforms, task["keep"]),
        )
        solved.append([{**json.loads(one.to_json()), "url": one.url, "fn": one.file_name} for one in records])
    return solved


async def lookup(request: dict[str, Any]) -> Any:
    """The sha256 and md5 that the channels have for packages, by URL."""
    import rattler

    gateway = rattler.Gateway(cache_dir=request["cache"], client=_client())
    sources = [rattler.Channel(url) for url in request["channels"]]
    results = await gateway.query(sources, [*request["platforms"], "noarch"], request["names"], recursive=False)
    return {
        record.url: {"sha256": (record.sha256 or b"").hex(), "md5": (record.md5 or b"").hex()}
        for records in results
        for record in records
    }


async def fetch(request: dict[str, Any]) -> Any:
    """Fetch archives, each kept only if its sha256 is the locked one; give those with another one.

    Raises for what cannot be reached; archives fetched before stay.
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
                found = await asyncio.to_thread(sha256_file, part)
                if found == item["sha256"]:
                    part.replace(place)
                else:
                    wrong.append({**item, "found": found, "size": part.stat().st_size})
            finally:
                part.unlink(missing_ok=True)
        done += 1
        _reply({"step": f"fetching packages: {done} of {len(request['files'])}"})

    await _all([one(item) for item in request["files"]])
    return wrong


async def install(request: dict[str, Any]) -> Any:
    """Link verified archives into a prefix."""
    import rattler

    records = [await rattler.RepoDataRecord.from_package_archive(item["path"]) for item in request["packages"]]
    _reply({"step": f"linking {counted(len(records), 'package')}"})
    await rattler.install(
        records,
        request["prefix"],
        cache_dir=Path(request["cache"]),
        platform=rattler.Subdir(request["platform"]),
        show_progress=False,
        execute_link_scripts=False,
    )
    return len(records)


def _reply(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


async def _kept(gateway: Any, sources: list[Any], platforms: list[Any], keep: dict[str, str]) -> list[Any]:
    """The channels' records of locked packages that they still serve; `keep` is URL to sha256."""
    if not keep:
        return []
    names = sorted({url.rpartition("/")[2].rsplit("-", 2)[0] for url in keep})
    results = await gateway.query(sources, platforms, names, recursive=False)
    return [
        record
        for records in results
        for record in records
        if record.url in keep and (record.sha256 or b"").hex() == keep[record.url]
    ]


def _virtual(name: str, version: str, build: str) -> Any:
    import rattler

    return rattler.GenericVirtualPackage(
        rattler.PackageName(name), rattler.Version(version), rattler.BuildString(build)
    )


async def _all(work: list[Awaitable[None]]) -> None:
    """Wait for all, then raise the first failure."""
    for outcome in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


def _client() -> Any:
    import rattler

    return rattler.Client.default_client()


WORK: dict[str, Callable[[dict[str, Any]], Awaitable[Any]]] = {
    "solve": solve,
    "lookup": lookup,
    "fetch": fetch,
    "install": install,
}


def main() -> None:
    request = json.loads(sys.stdin.readline())
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    try:
        _reply({"result": asyncio.run(_run(request))})
    except Exception as error:
        _reply({"error": type(error).__name__, "message": str(error)})
    sys.stdout.flush()
    os._exit(0)


def _exit_with_parent() -> None:
    """The parent holds our stdin open: when it is killed, we stop writing into an environment."""
    sys.stdin.read()
    os._exit(1)


async def _run(request: dict[str, Any]) -> Any:
    return await WORK[request["work"]](request)


if __name__ == "__main__":
    main()
