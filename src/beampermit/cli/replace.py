"""`beampermit replace`: a successor comes into service and what it replaces is retired, with one event."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from beampermit.cli.output import Folder, Json
from beampermit.cli.promotion import Branch, Reason, moment_of, print_result, promoting
from beampermit.cli.releases import tell_releases


def replace(
    model: Annotated[str, typer.Argument(help="The model that is replaced: of the same ledger, by its name.")],
    reason: Reason,
    permit: Annotated[Path, typer.Option(help="The signed permit of the successor.")] = Path("permit.dsse.json"),
    branch: Branch = None,
    pvs_until: Annotated[
        str,
        typer.Option(metavar="DATE|DURATION", help="The last day of the old PVs, in UTC.", show_default="they stay"),
    ] = "",
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Promote this project's model, and retire another with one event.

    Verified and tested as `promote` does. Both happen or neither; the service of MODEL then names its successor.
    """
    from beampermit.registry import replacement

    until = moment_of(pvs_until)
    with promoting(project, permit, branch) as promotion:
        result = replacement.replace(promotion, model, reason=reason, until=until)
    done = f"promoted, {model} is retired" if result.new else f"already champion, {model} is retired"
    print_result(result, done, as_json)
    tell_releases(project)
