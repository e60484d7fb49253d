"""`beampermit env`: lock, check, install and verify the environment, and run commands in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from beampermit.cli.output import Json, console, progress_console, show

app = typer.Typer(no_args_is_help=True, help="Lock, check, install and verify the environment; run commands in it.")
Where = Annotated[Path, typer.Option("--project", help="The project's folder.", show_default="this folder")]


@app.command()
def lock(
    project: Where = Path(),
    update: Annotated[list[str] | None, typer.Option(metavar="NAME", help="A package that may move.")] = None,
    record: Annotated[
        bool, typer.Option(help="Add the indexes that the lock names to the contract, where there is one.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Solve what the project asks for and write the lock; what need not move stays."""
    from beampermit.contract import FILE_NAME
    from beampermit.environments.addresses import addresses
    from beampermit.environments.choice import backend_of
    from beampermit.environments.recording import record as write

    root = project.resolve()
    backend = backend_of(root)
    with _progress() as watch:
        found = backend.lock(root, update=update or (), watch=watch)
    added = write(root, addresses(found)) if record and (root / FILE_NAME).is_file() else ()
    packages = sum(not package.own for package in found.packages)

    def text() -> None:
        console().print(f"{found.file}: {packages} packages from {', '.join(found.sources) or 'nowhere'}", markup=False)
        for address in added:
            console().print(f"{FILE_NAME}: environment.indexes now allows {address}", markup=False)

    show({"lock": found.file, "digest": found.digest, "packages": packages, "recorded": added}, text, as_json)


@app.command()
def check(
    project: Where = Path(),
    base: Annotated[str | None, typer.Option(help="Base revision whose contract judges.")] = None,
    as_json: Json = False,
) -> None:
    """Prove the lock without solver and network: there, fresh, hashed, from allowed indexes (ENV001 ENV002 ENV004)."""
    _interlocks(project, base, ("ENV001", "ENV002", "ENV004"), as_json)


@app.command()
def verify(project: Where = Path(), as_json: Json = False) -> None:
    """Compare what is installed with the lock, package by package (ENV005)."""
    _interlocks(project, None, ("ENV001", "ENV005"), as_json)


@app.command()
def install(
    project: Where = Path(),
    prefix: Annotated[
        Path | None,
        typer.Option(help="Where to; else BEAMPERMIT_ENVIRONMENT, else .venv in the project."),
    ] = None,
    shared: Annotated[
        bool, typer.Option("--shared", help="Keep it in the user's cache by the lock's digest, and reuse it.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Install the environment from the lock alone; in a GitHub job, later steps are told where it is."""
    from beampermit.environments import installation
    from beampermit.environments.choice import backend_of
    from beampermit.environments.environment import prefix_of
    from beampermit.errors import BadInput

    if shared and prefix:
        raise BadInput("--shared and --prefix name two places", hint="beampermit env install --help")
    root = project.resolve()
    backend = backend_of(root)
    chosen = installation.shared_prefix(backend.read(root)) if shared else (prefix or prefix_of(root)).absolute()
    with _progress() as watch:
        done = installation.install(backend, root, chosen, reuse=shared, watch=watch)
    installation.announce(done.environment)
    body = {
        "prefix": str(done.environment.prefix),
        "python": str(done.environment.python),
        "lock": done.lock,
        "reused": done.reused,
    }
    show(body, lambda: console().print(body["prefix"], markup=False, soft_wrap=True), as_json)


@app.command(context_settings={"allow_interspersed_args": False})
def run(
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND ...", help="The command and its arguments.")],
    project: Where = Path(),
) -> None:
    """Run a command in the installed environment, with the project's own code on the path."""
    from beampermit.environments.environment import environment_of, replace_by

    root = project.resolve()
    replace_by(environment_of(root), command, root)


def _interlocks(project: Path, base: str | None, ids: tuple[str, ...], as_json: bool) -> None:
    import sys

    from beampermit.documents import verdicts as render
    from beampermit.interlocks import runner
    from beampermit.project import Project
    from beampermit.verdict import exit_code

    found = runner.check(Project(project.resolve(), base), runner.select(ids))
    if as_json:
        sys.stdout.write(render.as_json(found))
    else:
        console().print(render.table(found))
        for problem in (problem for verdict in found for problem in verdict.evidence.get("problems", ())[1:]):
            console().print(f"  also: {problem}", markup=False)
    raise typer.Exit(exit_code(found))


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """One changing line on stderr; plain lines where stderr is no terminal, so that a CI log shows them too."""
    from rich.text import Text

    target = progress_console()
    if not target.is_terminal:
        yield lambda words: target.print(words, markup=False, style="dim")
        return
    with target.status("") as status:
        yield lambda words: status.update(Text(words))
