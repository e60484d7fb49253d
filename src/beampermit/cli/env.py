"""`beampermit env`: lock, check, install and verify the environment, and run commands in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from beampermit.cli.help import Grouped
from beampermit.cli.output import (
    Folder,
    Json,
    console,
    print_table,
    print_verdicts,
    progress_console,
    show,
    shown_progress,
)

app = typer.Typer(cls=Grouped, no_args_is_help=True, help="Lock, install and check the environment.")
Variant = Annotated[
    str,
    typer.Option(metavar="NAME", help="The accelerator variant of the lock, such as cuda.", show_default="none"),
]


@app.command()
def lock(
    project: Folder = Path(),
    update: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A package that may move; '*' for all.")
    ] = None,
    record: Annotated[
        bool, typer.Option(help="Add the indexes that the lock names to the contract, where there is one.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Solve the environment and write the lock.

    Packages that need not change keep their version.
    """
    from beampermit.contract import FILE_NAME
    from beampermit.environments.addresses import addresses
    from beampermit.environments.choice import backend_of
    from beampermit.environments.recording import record as write

    root = project.resolve()
    backend = backend_of(root)
    with shown_progress() as progress:
        found = backend.lock(root, update=update or (), progress=progress)
    added = write(root, addresses(found)) if record and (root / FILE_NAME).is_file() else ()
    packages = sum(not package.own for package in found.packages)

    def text() -> None:
        console().print(f"{found.file}: {packages} packages from {', '.join(found.sources) or 'nowhere'}", markup=False)
        for address in added:
            console().print(f"{FILE_NAME}: environment.indexes now allows {address}", markup=False)

    show({"lock": found.file, "digest": found.digest, "packages": packages, "recorded": added}, text, as_json)


@app.command()
def relock(
    update: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A package that may move.", show_default="all")
    ] = None,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Update the lock and open a pull request, in a job.

    Needs GITHUB_REPOSITORY and GITHUB_TOKEN.
    """
    from beampermit.github.client import Client
    from beampermit.relocking import relock as propose

    with shown_progress() as progress:
        done = propose(project.resolve(), Client.of_job("no pull request can be opened"), update or (), progress)
    words = f"{done.address}: {len(done.changes)} packages moved" if done.address else "nothing moved"
    body = {"pull_request": done.address, "changes": [change.as_json() for change in done.changes]}
    show(body, lambda: console().print(words, markup=False, soft_wrap=True), as_json)


@app.command()
def check(
    project: Folder = Path(),
    base: Annotated[str | None, typer.Option(help="Base revision whose contract judges.")] = None,
    online: Annotated[
        bool, typer.Option("--online", help="Then ask the channels: name packages that were yanked or changed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check the lock without solver or network (ENV001 to ENV004).

    It is there, fresh, complete, hashed, and from allowed indexes.
    """
    if online:
        _ask_channels(project.resolve())
    _interlocks(project, base, ("ENV001", "ENV002", "ENV003", "ENV004"), as_json)


@app.command()
def verify(project: Folder = Path(), as_json: Json = False) -> None:
    """Compare the installed packages with the lock (ENV005)."""
    _interlocks(project, None, ("ENV001", "ENV005"), as_json)


@app.command()
def install(
    project: Folder = Path(),
    prefix: Annotated[
        Path | None,
        typer.Option(help="Where to; else BEAMPERMIT_ENVIRONMENT, else .venv in the project."),
    ] = None,
    shared: Annotated[
        bool, typer.Option("--shared", help="Keep it in the user's cache by the lock's digest, and reuse it.")
    ] = False,
    variant: Variant = "",
    bundle: Annotated[
        Path | None, typer.Option(help="Take packages from this bundle (folder or tar) alone, without a network.")
    ] = None,
    micromamba: Annotated[
        bool, typer.Option("--micromamba", help="Have micromamba link a conda lock instead of rattler.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Install the environment from the lock alone.

    In a GitHub job, later steps find it in their variables.
    """
    from beampermit.environments import choice, installation
    from beampermit.environments.environment import prefix_of
    from beampermit.errors import BadInput

    if shared and prefix:
        raise BadInput("--shared and --prefix name two places", hint="beampermit env install --help")
    root = project.resolve()
    program = "micromamba" if micromamba else "rattler"
    with shown_progress() as progress, _opened(bundle) as packages:
        backend = choice.backend_for(root, variant=variant, bundle=packages, program=program)
        place = installation.shared_prefix(backend.read(root)) if shared else (prefix or prefix_of(root)).absolute()
        done = installation.install(backend, root, place, reuse=shared, progress=progress)
    installation.write_github_env(done.environment)
    installation.write_github_summary(done, backend)
    body = {
        "prefix": str(done.environment.prefix),
        "python": str(done.environment.python),
        "lock": done.lock,
        "reused": done.reused,
        "packages": done.packages,
        "seconds": round(done.seconds, 3),
    }
    show(body, lambda: console().print(body["prefix"], markup=False, soft_wrap=True), as_json)


@app.command()
def bundle(
    to: Annotated[Path, typer.Argument(metavar="FOLDER|FILE.tar", help="Where to write it.")],
    project: Folder = Path(),
    variant: Variant = "",
    platform: Annotated[
        str | None,
        typer.Option(
            help="For this platform, as the lock calls it (linux-64, with uv linux-x86_64); else this machine's."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write all packages of the lock into one folder or tar.

    For machines without a network.
    """
    from beampermit.environments import choice

    with shown_progress() as progress:
        done = choice.bundle(project.resolve(), to, variant=variant, platform=platform, progress=progress)
    body = {"bundle": str(done.path), "files": done.files, "bytes": done.size}
    words = f"{done.path}: {done.files} files of packages, {done.size / 2**20:.1f} MiB"
    show(body, lambda: console().print(words, markup=False, soft_wrap=True), as_json)


@app.command()
def sbom(
    project: Folder = Path(),
    variant: Variant = "",
    platform: Annotated[str | None, typer.Option(help="One platform of a conda lock; all if not given.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write it to this file instead of printing it.")] = None,
    as_json: Json = False,
) -> None:
    """Write the lock's bill of materials (CycloneDX 1.6, JSON).

    The same lock gives the same document. Where accelerator variants have locks of their own, it covers them all
    unless one is named. A permit binds that.
    """
    import json
    import sys

    from beampermit.environments import choice
    from beampermit.environments.sbom import sbom as make
    from beampermit.files import write_json

    root = project.resolve()
    lock = choice.backend_for(root, variant=variant).read(root)
    found = make(lock, root.name, platform=platform, variant=variant)
    if not out:
        sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
        return
    write_json(out, found)
    number = len(found["components"])
    locks = {one.file: one.digest for one in ((lock,) if variant else lock.all)}
    body = {"file": str(out), "components": number, "locks": locks}
    show(body, lambda: console().print(f"{out}: {number} components", markup=False, soft_wrap=True), as_json)


@app.command()
def diff(
    before: Annotated[str, typer.Argument(metavar="A", help="A lock file, or a git revision.")],
    after: Annotated[
        str | None, typer.Argument(metavar="[B]", help="A lock file or revision; the lock of the work tree if none.")
    ] = None,
    project: Folder = Path(),
    markdown: Annotated[bool, typer.Option("--markdown", help="As Markdown, for a pull request.")] = False,
    as_json: Json = False,
) -> None:
    """List packages added, removed or changed between two locks."""
    import sys

    from beampermit.documents import locks
    from beampermit.environments import choice
    from beampermit.environments.difference import difference

    root = project.resolve()
    new = choice.lock_of(root, after) if after else choice.backend_of(root).read(root)
    changes = difference(choice.lock_of(root, before), new)
    if markdown and not as_json:
        sys.stdout.write(locks.as_markdown(changes))
        return
    show([change.as_json() for change in changes], lambda: _print_changes(changes), as_json)


def _print_changes(changes: Any) -> None:
    from beampermit.documents import locks

    if changes:
        print_table(locks.table(changes))
    else:
        console().print("The two locks hold the same packages.")


@app.command(context_settings={"allow_interspersed_args": False})
def run(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND ...", help="The command and its arguments.")],
    project: Folder = Path(),
) -> None:
    """Run a command in the installed environment.

    The project's own code is on the path.
    """
    from beampermit.environments.environment import environment_of, exec_in

    root = project.resolve()
    exec_in(environment_of(root), command, root)


def _interlocks(project: Path, base: str | None, ids: tuple[str, ...], as_json: bool) -> None:
    import sys

    from beampermit.documents import verdicts as render
    from beampermit.interlocks import runner
    from beampermit.interlocks.families import select_interlocks
    from beampermit.project import Project
    from beampermit.verdicts.evidence import LockChecks
    from beampermit.verdicts.verdict import exit_code

    found = runner.check(Project(project.resolve(), base), select_interlocks(ids))
    if as_json:
        sys.stdout.write(render.as_json(found))
    else:
        print_verdicts(found, everything=True)
        checks = (verdict.evidence for verdict in found if isinstance(verdict.evidence, LockChecks))
        for problem in (problem for check in checks for problem in check.problems[1:]):
            console().print(f"  also: {problem}", markup=False)
    raise typer.Exit(exit_code(found))


def _ask_channels(root: Path) -> None:
    """Raises `Failed` for the first package that its channel no longer serves as it is locked."""
    from beampermit.environments.choice import backend_of
    from beampermit.environments.conda_lock import CondaLock, freshness
    from beampermit.errors import BadInput, Failed

    backend = backend_of(root)
    if not isinstance(backend, CondaLock):
        raise BadInput("only the channels of conda locks are asked", file=root, hint="beampermit env check")
    if not (root / backend.lock_file).is_file():
        return  # ENV001 says so
    with shown_progress() as progress:
        found = [problem for lock in backend.read(root).all for problem in freshness.online_problems(lock, progress)]
    for problem in found[1:]:
        progress_console().print(f"  also: {problem.message}", markup=False)
    if found:
        first = found[0]
        raise Failed(first.message, file=first.file, line=first.line, hint="beampermit env lock")


@contextmanager
def _opened(bundle: Path | None) -> Iterator[Path | None]:
    """The folder of a bundle, if one is given."""
    if bundle is None:
        yield None
        return
    from beampermit.environments.bundle import opened

    with opened(bundle) as folder:
        yield folder
