"""`beampermit inventory`: all models of a laboratory, and what is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beampermit.cli.output import Json, console, show, shown_progress

if TYPE_CHECKING:
    from beampermit.inventory.listing import Listing
    from beampermit.verdicts.inventory import Inventory

Files = list[Path] | None


def inventory(
    places: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PROJECT|REPOSITORY ...",
            help="Folders of projects, or addresses of repositories.",
            show_default="those of --file, else this project",
        ),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="Projects and files of the site.", show_default="inventory.yaml, if it is here")
    ] = None,
    registry: Annotated[
        str, typer.Option(metavar="URI", help="MLflow registry.", show_default="MLFLOW_TRACKING_URI")
    ] = "",
    alarm_tree: Annotated[
        Files, typer.Option(metavar="FILE", help="Alarm tree in use, as Phoebus exports it; may be repeated.")
    ] = None,
    archived: Annotated[
        Files, typer.Option(metavar="FILE", help="PVs of the archiver, as `getAllPVs` gives; may be repeated.")
    ] = None,
    people: Annotated[Path | None, typer.Option(metavar="FILE", help="Who is there: an e-mail address a line.")] = None,
    osv: Annotated[
        Files, typer.Option(metavar="FILE|FOLDER", help="Records of OSV, or its all.zip; may be repeated.")
    ] = None,
    services: Annotated[bool, typer.Option("--services/--no-services", help="Ask the services.")] = True,
    schedules: Annotated[
        bool, typer.Option("--schedules/--no-schedules", help="Ask GitHub for disabled schedules, with GITHUB_TOKEN.")
    ] = True,
    timeout: Annotated[float, typer.Option(min=0.1, max=60, help="Seconds that a service may take.")] = 3.0,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the page here.")] = None,
    markdown: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the page as Markdown here.")] = None,
    as_json: Json = False,
) -> None:
    """List all models of a laboratory, and what is wrong with them.

    Joins ledgers, registry, services, the alarm tree and the archiver's list that are in use, owners, keys and locks.

    Exit codes: 0 nothing is wrong, 1 findings, 2 a file or option is wrong, 4 something did not answer.
    """
    from beampermit.documents.inventory_page import inventory_markdown, inventory_page
    from beampermit.files import write_text
    from beampermit.inventory.gather import Options, make_inventory

    listing = _listing(places or (), file)
    listing = replace(
        listing,
        registry=registry or listing.registry,
        alarm_trees=(*listing.alarm_trees, *(alarm_tree or ())),
        archived=(*listing.archived, *(archived or ())),
        people=people or listing.people,
        vulnerabilities=(*listing.vulnerabilities, *(osv or ())),
    )
    with shown_progress(not as_json) as progress:
        made = make_inventory(listing, Options(services, schedules, timeout), progress)
    if html:
        write_text(html, inventory_page(made))
    if markdown:
        write_text(markdown, inventory_markdown(made))
    show(_body(made), lambda: _print(made), as_json)
    raise typer.Exit(made.exit_code)


def _listing(places: list[str] | tuple[()], file: Path | None) -> Listing:
    from beampermit.inventory.listing import FILE_NAME, Listing, named_places, read_listing

    if file is None and not places and Path(FILE_NAME).is_file():
        file = Path(FILE_NAME)
    if file is None:
        return Listing(named_places(places or (".",)))
    listing = read_listing(file)
    return replace(listing, places=(*listing.places, *named_places(places)))


def _body(made: Inventory) -> dict[str, Any]:
    findings = [{"title": finding.title, **finding.model_dump(mode="json")} for finding in made.findings]
    return {**made.model_dump(mode="json"), "findings": findings, "exit_code": made.exit_code}


def _print(made: Inventory) -> None:
    from beampermit.documents.inventory_page import inventory_text

    console().print(inventory_text(made))
