"""`beampermit env`: lock, check, install, verify, bundle and compare the environment, and run commands in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from beampermit.cli.help import Grouped
from beampermit.cli.output import (
    Folder,
    Json,
    console,
    plain,
    print_json,
    print_verdicts,
    print_verdicts_as_json,
    show,
    shown_progress,
)
from beampermit.errors import counted

if TYPE_CHECKING:
    from beampermit.verdicts.verdict import Verdict

app = typer.Typer(cls=Grouped, no_args_is_help=True, help="Lock, install and check the environment.")
Variant = Annotated[
    str,
    typer.Option(metavar="NAME", help="Accelerator variant of the lock, such as cuda.", show_default="none"),
]


@app.command()
def lock(
    project: Folder = Path(),
    update: Annotated[list[str] | None, typer.Option(metavar="NAME", help="A package to update; '*' for all.")] = None,
    record: Annotated[bool, typer.Option(help="Add the lock's indexes to the contract, if there is one.")] = True,
    as_json: Json = False,
) -> None:
    """Solve the environment and write the lock.

    Packages keep their locked version unless the requirements exclude it or --update names them.
    """
    from beampermit.contract import FILE_NAME, load_contract
    from beampermit.environments.addresses import addresses
    from beampermit.environments.choice import backend_of
    from beampermit.environments.inventory import describe, inventory
    from beampermit.environments.recording import record_indexes

    root = _root(project)
    record = record and (root / FILE_NAME).is_file()
    if record:
        load_contract(root)  # what is wrong with it is said before minutes of solving
    backend = backend_of(root)
    required = root / backend.specification_file
    before = required.exists()
    with shown_progress() as progress:
        locked = backend.lock(root, update=update or (), progress=progress)
    added = record_indexes(root, addresses(locked)) if record else ()
    packages = sum(not package.own for package in locked.packages)
    installs = inventory(locked, root)

    def text() -> None:
        if required.exists() and not before:
            console().print(f"{required.name}: written from requirements.txt, which counts no more")
        sources = ", ".join(locked.sources) or "no index"
        console().print(f"{locked.file}: {counted(packages, 'package')} from {sources}")
        for one in installs:
            console().print(f"{one.machine}: {describe(one)}")
        for address in added:
            console().print(f"{FILE_NAME}: environment.indexes now allows {address}")

    body = {
        "lock": locked.file,
        "digest": locked.digest,
        "packages": packages,
        "installs": [one.model_dump() for one in installs],
        "recorded": added,
    }
    show(body, text, as_json)


@app.command()
def relock(
    update: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A package to update.", show_default="all")
    ] = None,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Update the lock and open a pull request, in a job.

    Needs GITHUB_REPOSITORY and GITHUB_TOKEN.
    """
    from beampermit.github.client import Client
    from beampermit.relocking import relock as open_pull_request

    client = Client.of_job("no pull request can be opened")
    with shown_progress() as progress:
        done = open_pull_request(_root(project), client, update or (), progress)
    changed = counted(len(done.changes), "package")
    line = f"{done.address}: {changed} changed" if done.address else "every package is up to date"
    body = {"pull_request": done.address, "changes": [change.as_json() for change in done.changes]}
    show(body, lambda: console().print(line), as_json)


@app.command()
def check(
    project: Folder = Path(),
    base: Annotated[
        str | None, typer.Option(help="Revision whose contract applies.", show_default="the pull request's base")
    ] = None,
    online: Annotated[
        bool,
        typer.Option(
            "--online", help="Ask the channels of a conda lock first: name packages that were withdrawn or replaced."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Check the lock without solver or network (ENV001 to ENV004).

    It exists, matches the requirements, has a hash for each package, and uses allowed indexes only.
    """
    if online:
        _check_channels(_root(project))
    _run_interlocks(project, base, ("ENV001", "ENV002", "ENV003", "ENV004"), as_json)


@app.command()
def verify(project: Folder = Path(), as_json: Json = False) -> None:
    """Compare the installed packages with the lock (ENV005)."""
    _run_interlocks(project, None, ("ENV001", "ENV005"), as_json)


@app.command()
def install(
    project: Folder = Path(),
    prefix: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the environment.", show_default="BEAMPERMIT_ENVIRONMENT, else .venv in the project"
        ),
    ] = None,
    shared: Annotated[
        bool, typer.Option("--shared", help="Install into the user's cache by the lock's digest, and reuse it.")
    ] = False,
    variant: Variant = "",
    bundle: Annotated[
        Path | None, typer.Option(help="Take packages only from this bundle (folder or tar), without a network.")
    ] = None,
    micromamba: Annotated[
        bool, typer.Option("--micromamba", help="Install a conda lock with micromamba instead of rattler.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Install the environment from the lock alone.

    In a GitHub job, later steps find it by BEAMPERMIT_ENVIRONMENT.
    """
    from beampermit.environments import choice, installation
    from beampermit.environments.environment import prefix_of
    from beampermit.errors import BadInput

    if shared and prefix:
        raise BadInput("--shared and --prefix exclude each other", hint="beampermit env install --help")
    root = _root(project)
    program = "micromamba" if micromamba else "rattler"
    with shown_progress() as progress, _opened(bundle) as packages:
        backend = choice.backend_for(root, variant=variant, bundle=packages, program=program)
        target = installation.shared_prefix(backend.read(root)) if shared else (prefix or prefix_of(root)).absolute()
        done = installation.install(backend, root, target, reuse=shared, progress=progress)
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
    show(body, lambda: console().print(body["prefix"]), as_json)


@app.command()
def bundle(
    to: Annotated[Path, typer.Argument(metavar="FOLDER|FILE.tar", help="The bundle to write.")],
    project: Folder = Path(),
    variant: Variant = "",
    platform: Annotated[
        str | None,
        typer.Option(help="Platform as in the lock: linux-64, with uv linux-x86_64.", show_default="this machine's"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write all packages of the lock into one folder or tar.

    For machines without a network.
    """
    from beampermit.environments import choice

    with shown_progress() as progress:
        done = choice.bundle(_root(project), to, variant=variant, platform=platform, progress=progress)
    body = {"bundle": str(done.path), "files": done.files, "bytes": done.size}
    line = f"{done.path}: {counted(done.files, 'package file')}, {done.size / 2**20:.1f} MiB"
    show(body, lambda: console().print(line), as_json)


@app.command()
def sbom(
    project: Folder = Path(),
    variant: Variant = "",
    platform: Annotated[str | None, typer.Option(help="One platform of a conda lock.", show_default="all")] = None,
    out: Annotated[Path | None, typer.Option(help="Write to this file instead of stdout.")] = None,
    as_json: Json = False,
) -> None:
    """Write the lock's bill of materials (CycloneDX 1.6, JSON).

    The same lock gives the same document. It covers the locks of all accelerator variants unless --variant names one;
    a permit binds the former.
    """
    from beampermit.environments import choice
    from beampermit.environments.sbom import sbom as bill_of_materials
    from beampermit.files import write_json

    root = _root(project)
    lock = choice.backend_for(root, variant=variant).read(root)
    document = bill_of_materials(lock, root.name, platform=platform, variant=variant)
    if not out:
        print_json(document)
        return
    write_json(out, document)
    components = len(document["components"])
    locks = {covered.file: covered.digest for covered in ((lock,) if variant else lock.all)}
    body = {"file": str(out), "components": components, "locks": locks}
    show(body, lambda: console().print(f"{out}: {counted(components, 'component')}"), as_json)


@app.command()
def diff(
    before: Annotated[str, typer.Argument(metavar="A", help="A lock file, or a git revision.")],
    after: Annotated[
        str | None, typer.Argument(metavar="[B]", help="A lock file or revision.", show_default="the work tree's lock")
    ] = None,
    project: Folder = Path(),
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown, for a pull request.")] = False,
    as_json: Json = False,
) -> None:
    """List packages added, removed or changed between two locks."""
    import sys

    from beampermit.documents.screen import format_columns
    from beampermit.environments import choice
    from beampermit.environments.difference import compare_locks
    from beampermit.relocking import format_lock_changes

    root = _root(project)
    new = choice.lock_of(root, after) if after else choice.backend_of(root).read(root)
    changes = compare_locks(choice.lock_of(root, before), new)
    if markdown and not as_json:
        sys.stdout.write(format_lock_changes(changes))
        return
    rows = [(change.kind, change.name, change.before, change.after, ", ".join(change.platforms)) for change in changes]
    table = format_columns(("", "package", "before", "after", "platforms"), rows)
    text = table if changes else "The two locks have the same packages."
    show([change.as_json() for change in changes], lambda: console().print(text), as_json)


@app.command()
def kernel(
    project: Folder = Path(),
    name: Annotated[
        str, typer.Option(metavar="NAME", help="Name of the kernel.", show_default="the project's folder")
    ] = "",
    prefix: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="For the Jupyter installed at this prefix.", show_default="for this user"),
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the kernel away again.")] = False,
    list_all: Annotated[bool, typer.Option("--list", help="List the kernels, and say which are out of date.")] = False,
    as_json: Json = False,
) -> None:
    """Make the installed environment a kernel of Jupyter."""
    from beampermit.documents.screen import format_columns
    from beampermit.environments import kernel as kernels
    from beampermit.errors import BadInput

    if remove and list_all:
        raise BadInput("--remove and --list exclude each other", hint="beampermit env kernel --help")
    folder = kernels.kernels_folder(prefix)
    if list_all:
        found = list(kernels.list_kernels(folder))
        rows = [tuple(map(plain, (one.name, one.project, one.stale or "as locked"))) for one in found]
        text = format_columns(("kernel", "project", "environment"), rows) if rows else f"{folder}: no kernel of ours"
        show([kernels.as_json(one) for one in found], lambda: console().print(text), as_json)
        return
    root = _root(project)
    name = name or kernels.name_of(root)
    if remove:
        gone = kernels.remove_kernel(root, name, folder)
        show({"removed": str(gone)}, lambda: console().print(f"{gone}: removed"), as_json)
        return
    done = kernels.install_kernel(root, name, folder)
    show(kernels.as_json(done), lambda: console().print(f"{done.folder}: in Jupyter, {name} (locked)"), as_json)


@app.command(context_settings={"allow_interspersed_args": False})
def run(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND ...", help="The command and its arguments.")],
    project: Folder = Path(),
) -> None:
    """Run a command in the installed environment.

    The project's own code is on the path.
    """
    from beampermit.environments.environment import environment_of, exec_in

    root = _root(project)
    exec_in(environment_of(root), command, root)


def _root(project: Path) -> Path:
    from beampermit.environments.choice import REQUIRED
    from beampermit.project import find_folder

    return find_folder(project, REQUIRED)


def _run_interlocks(project: Path, base: str | None, ids: tuple[str, ...], as_json: bool) -> None:
    from beampermit.interlocks import runner
    from beampermit.interlocks.families import select_interlocks
    from beampermit.project import Project
    from beampermit.verdicts.verdict import exit_code

    judged = Project(_root(project), base)
    judged.refuse_inside_another()
    verdicts = runner.check(judged, select_interlocks(ids))
    if as_json:
        print_verdicts_as_json(verdicts)
    else:
        print_verdicts(verdicts, everything=True)
        _print_installs(verdicts)
    raise typer.Exit(exit_code(verdicts))


def _print_installs(verdicts: Iterable[Verdict]) -> None:
    """What the lock installs on each machine, where ENV003 was checked."""
    from beampermit.environments.inventory import describe
    from beampermit.verdicts.evidence import LockChecks

    for verdict in verdicts:
        for one in verdict.evidence.installs if isinstance(verdict.evidence, LockChecks) else ():
            console().print(f"{one.machine}: {describe(one)}")


def _check_channels(root: Path) -> None:
    """Raises `Failed` if a channel no longer serves a package as it is locked."""
    from beampermit.environments.choice import backend_of
    from beampermit.environments.conda_lock import CondaLock, freshness
    from beampermit.errors import BadInput, Failed

    backend = backend_of(root)
    if not isinstance(backend, CondaLock):
        raise BadInput("--online only checks conda locks", file=root, hint="beampermit env check")
    if not (root / backend.lock_file).is_file():
        return  # ENV001 reports it
    with shown_progress() as progress:
        problems = [
            problem for lock in backend.read(root).all for problem in freshness.changed_in_channels(lock, progress)
        ]
    if problems:
        first, *others = problems
        raise Failed(first.message, file=first.file, line=first.line, hint="beampermit env lock", also=others)


@contextmanager
def _opened(bundle: Path | None) -> Iterator[Path | None]:
    """The folder of a bundle, if one is given."""
    if bundle is None:
        yield None
        return
    from beampermit.environments.bundle import opened

    with opened(bundle) as folder:
        yield folder
