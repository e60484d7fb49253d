"""The `beampermit` command; each topic is a file beside this one, without logic of its own."""

from __future__ import annotations

import gc
import os
import sys
from typing import Annotated, Any

import typer

from beampermit import __version__
from beampermit.cli import (
    alive,
    backtest,
    bypass,
    check,
    contract,
    data,
    demo,
    deployment,
    doctor,
    env,
    image,
    init,
    interlocks,
    inventory,
    log,
    mirror,
    monitor,
    new,
    permit,
    promotion,
    protect,
    rehearse,
    replace,
    replay,
    report,
    reproduce,
    respond,
    retrain,
    serve,
    status,
    trials,
    update,
    validate,
)
from beampermit.cli.help import AsAsked, Grouped
from beampermit.cli.output import fail, print_in_any_encoding
from beampermit.errors import BeampermitError, from_os_error
from beampermit.git import AS_COMMITTED
from beampermit.processes import hide_memory

# What is imported stays: looking through it for what may go would take a sixth of the time of every import.
gc.set_threshold(100_000, 50, 100)
ELSEWHERE = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
)
"""Variables that make git read another repository than the one that a command names."""
INTERRUPTED = "beampermit: interrupted; no file is left half-written, run the command again\n"

PANELS = {
    "Start": {"new": new.new, "init": init.init, "update": update.update, "demo": demo.demo, "doctor": doctor.doctor},
    "Judge": {
        "check": check.check,
        "interlocks": interlocks.app,
        "contract": contract.app,
        "rehearse": rehearse.app,
        "report": report.report,
        "comment": report.comment,
        "reproduce": reproduce.reproduce,
    },
    "Train": {"trials": trials.app, "validate": validate.validate},
    "Release": {
        "permit": permit.app,
        "protect": protect.app,
        "promote": promotion.promote,
        "publish": promotion.publish,
        "documents": report.documents,
        "card": report.card,
        "runbook": report.runbook,
        "alarms": report.alarms,
        "deployment": deployment.deployment,
        "image": image.app,
    },
    "Operate": {
        "serve": serve.serve,
        "monitor": monitor.monitor,
        "respond": respond.respond,
        "alive": alive.alive,
        "retrain": retrain.retrain,
        "backtest": backtest.backtest,
        "status": status.status,
        "inventory": inventory.inventory,
        "history": promotion.history,
        "rollback": promotion.rollback,
        "retire": promotion.retire,
        "replace": replace.replace,
        "freeze": promotion.freeze,
        "thaw": promotion.thaw,
        "bypass": bypass.bypass,
        "re-sign": promotion.re_sign,
        "reconcile": promotion.reconcile,
        "log": log.log,
        "replay": replay.replay,
    },
    "Environment": {"env": env.app, "mirror": mirror.app},
    "Data": {"data": data.app},
}
COMMANDS = AsAsked(PANELS)


class Commands(Grouped):
    """All commands."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**{**given, "commands": COMMANDS})


app = typer.Typer(
    name="beampermit",
    cls=Commands,
    help="No model reaches the machine unless every interlock passes.\n\n"
    "Exit codes: 0 passed or done, 1 failed, 2 usage or bad input, 3 conflict, 4 the outside world failed.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich would double the time that `--help` takes
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(requested: bool) -> None:
    if requested:
        sys.stdout.write(f"beampermit {__version__}\n")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[  # noqa: ARG001 - its callback uses it
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of the command itself."""
    hide_memory()
    if event := os.environ.get("GITHUB_EVENT_NAME"):
        from beampermit.permit.keys import refuse_in_pull_request

        refuse_in_pull_request(event)


def _read_this_repository_as_committed() -> None:
    """For git, and for all that starts git below us, such as DVC.

    Variables that name another repository may be left from a hook or set by an earlier step. The index of a hook holds
    the next commit, and a job has no hook.
    """
    names = ELSEWHERE if os.environ.get("GITHUB_ACTIONS") != "true" else (*ELSEWHERE, "GIT_INDEX_FILE")
    for name in names:
        os.environ.pop(name, None)
    os.environ.update(AS_COMMITTED)


def run() -> None:
    """Run the command; an error that a user can cause is one line and a documented exit code."""
    _read_this_repository_as_committed()
    print_in_any_encoding()
    try:
        app()
    except BeampermitError as error:
        sys.exit(fail(error))
    except OSError as error:
        outside = from_os_error(error)
        if outside is None:
            raise
        sys.exit(fail(outside))
    except KeyboardInterrupt:
        sys.stderr.write(INTERRUPTED)
        sys.exit(130)
    except SystemExit as ended:
        if ended.code == 130:  # typer catches the interrupt and prints nothing
            sys.stderr.write(INTERRUPTED)
        raise


if __name__ == "__main__":
    run()
