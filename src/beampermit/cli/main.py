"""The `beampermit` command: one file a topic beside this one, no logic in any of them."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from beampermit import __version__
from beampermit.cli import (
    check,
    comment,
    contract,
    data,
    demo,
    env,
    init,
    new,
    permit,
    promotion,
    protect,
    rehearse,
    report,
    reproduce,
)
from beampermit.cli.output import fail
from beampermit.errors import BeampermitError, of_the_machine

INTERRUPTED = "beampermit: interrupted; what was being written is whole or absent, run the command again\n"

app = typer.Typer(
    name="beampermit",
    help="No model reaches the machine unless every interlock passes.\n\n"
    "Exit codes: 0 passed or done, 1 failed, 2 usage or bad input, 3 conflict, 4 the outside world failed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # half of the time that `--help` takes
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("check")(check.check)
app.command("new")(new.new)
app.command("init")(init.init)
app.command("demo")(demo.demo)
app.command("report")(report.report)
app.command("reproduce")(reproduce.reproduce)
app.command("comment")(comment.comment)
app.command("publish")(promotion.publish)
app.command("card")(report.card)
app.command("runbook")(report.runbook)
app.command("alarms")(report.alarms)
app.command("documents")(report.documents)
app.add_typer(contract.app, name="contract")
app.add_typer(env.app, name="env")
app.add_typer(permit.app, name="permit")
app.add_typer(protect.app, name="protect")
app.add_typer(rehearse.app, name="rehearse")
for command in (
    promotion.promote, promotion.rollback, promotion.retire, promotion.freeze, promotion.thaw, promotion.reconcile,
    promotion.history,
):  # fmt: skip
    app.command(command.__name__)(command)
for command in (data.card, data.diff, data.label, data.labels, data.staged):
    data.app.command(command.__name__)(command)
app.add_typer(data.app, name="data")


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"beampermit {__version__}\n")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of the command itself."""


def run() -> None:
    """Entry point: errors that a user can cause become one line and a documented exit code."""
    try:
        app()
    except BeampermitError as error:
        sys.exit(fail(error))
    except OSError as error:
        said = of_the_machine(error)
        if said is None:
            raise
        sys.exit(fail(said))
    except KeyboardInterrupt:
        sys.stderr.write(INTERRUPTED)
        sys.exit(130)
    except SystemExit as ended:
        if ended.code == 130:  # typer has caught the interrupt, and says nothing
            sys.stderr.write(INTERRUPTED)
        raise


if __name__ == "__main__":
    run()
