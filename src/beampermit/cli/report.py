"""`beampermit report`, `card`, `runbook`, `alarms`, `documents`: the documents of a pull request and of a model."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from beampermit.cli.output import Folder, Json, console, show
from beampermit.errors import BadInput

Permit = Annotated[Path | None, typer.Option(help="Permit that `permit assemble` wrote, for what it binds.")]
Verdicts = Annotated[
    Path | None, typer.Option(help="Folder of the files that `check --out` wrote, for their measurements.")
]
Page = Annotated[bool, typer.Option("--html", help="Also write one HTML page beside it.")]


class Kind(StrEnum):
    """Documents that can be left out, named as in `beampermit.documents.bundle`."""

    CARD = "card"
    RUNBOOK = "runbook"
    DATASHEET = "datasheet"
    SBOM = "sbom"
    ALARMS = "alarms"


def report(
    verdicts: Annotated[Path, typer.Option(help="Folder of the files that `check --out` wrote.")] = Path("verdicts"),
    out: Annotated[Path, typer.Option(help="Folder for the report: Markdown, HTML, plots, JSON.")] = Path("report"),
    base: Annotated[
        str | None, typer.Option(help="Revision to compare with.", show_default="the pull request's base")
    ] = None,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Write the report of a pull request.

    Verdicts first, then what the pull request changes.
    """
    from beampermit.documents import charts
    from beampermit.documents.gathering import gather_report
    from beampermit.documents.report import FILE
    from beampermit.files import write_bytes, write_text
    from beampermit.interlocks.own.loading import expected_titles
    from beampermit.project import Project

    repository = Project.find(project.resolve(), base)
    if base:
        _ = repository.base  # raises where a named base does not exist
    report = gather_report(repository, verdicts, expected_titles(repository))
    images = charts.png_images(report.plots)
    texts = {
        FILE: report.json_text(),
        "report.md": report.markdown(),
        "summary.md": report.step_summary(),
        "report.html": report.html(images),
    }
    for name, text in texts.items():
        write_text(out / name, text)
    files = {f"plots/{name}": images[title] for title, name in charts.file_names(images).items()}
    for name, image in files.items():
        write_bytes(out / name, image)
    if report.problems:
        first, *others = report.problems  # the report is written and shows them
        raise BadInput(first.message, file=first.file, line=first.line, hint=first.hint, also=others)
    paths = [str(out / name) for name in (*texts, *files)]
    show(
        {**report.summary(), "files": paths},
        lambda: console().print("\n".join((report.headline, *paths))),
        as_json,
    )


def card(
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("MODEL_CARD.md"),
    permit: Permit = None,
    verdicts: Verdicts = None,
    html: Page = False,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Write the model card.

    From the contract, the permit and the metrics.
    """
    from beampermit.documents import card as document

    _write(document.card, document.card_page, out, permit, verdicts, html, project, as_json)


def runbook(
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("RUNBOOK.md"),
    permit: Permit = None,
    html: Page = False,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Write the operator's runbook.

    From the contract, the permit and the ledger.
    """
    from beampermit.documents import runbook as document

    _write(document.runbook, document.runbook_page, out, permit, None, html, project, as_json)


def documents(
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("documents"),
    permit: Permit = None,
    verdicts: Verdicts = None,
    without: Annotated[list[Kind] | None, typer.Option(help="Leave this document out; may be repeated.")] = None,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Write all documents of the model.

    Card, runbook, datasheet, bill of materials and alarm trees; if one fails, none is written.
    """
    from beampermit.documents.bundle import bundle
    from beampermit.files import write_text
    from beampermit.project import Project

    texts = bundle(Project.find(project.resolve()), permit, verdicts, without or ())
    for name, text in texts.items():
        write_text(out / name, text)
    paths = [str(out / name) for name in texts]
    show({"files": paths}, lambda: console().print("\n".join(paths)), as_json)


def alarms(
    format: Annotated[Literal["phoebus", "jaws"], typer.Option("--format", help="The alarm system.")] = "phoebus",
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("alarms"),
    config: Annotated[
        str | None,
        typer.Option(help="Phoebus configuration to import it into.", show_default="the model's name"),
    ] = None,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Write the alarm tree for Phoebus or JAWS.

    The PVs of the outputs, and for each alarm what it means and what to do. Of a model that is retired, by the ledger
    as last fetched, the entries for Phoebus are disabled, and for JAWS there are the commands that disable them.
    """
    import shlex

    from beampermit.documents import alarm_tree
    from beampermit.documents.retired_alarms import OVERRIDES, disabled, overrides, reason
    from beampermit.files import write_text
    from beampermit.project import Project
    from beampermit.registry.ledger import Ledger

    found = Project.find(project.resolve())
    tree = alarm_tree.alarm_tree(found)
    texts = alarm_tree.phoebus_files(tree, config) if format == "phoebus" else alarm_tree.jaws_files(tree)
    retirement = Ledger(found.git).state(found.contract.model.name).out_of_service
    if retirement and format == "phoebus":
        texts = {name: disabled(text, retirement) for name, text in texts.items()}
    if retirement and format == "jaws":
        texts[OVERRIDES] = overrides(tree, retirement)
    for name, text in texts.items():
        write_text(out / name, text)
    paths = [str(out / name) for name in texts]
    lines = list(paths)
    commands = out / OVERRIDES
    if retirement:
        disables = f"sh {shlex.quote(str(commands))} disables its instances"
        how = "its entries are disabled" if format == "phoebus" else disables
        lines.append(f"note: the model is retired, {how}: {reason(retirement)}")
    elif format == "jaws" and commands.exists():  # of a retirement before a rollback
        commands.unlink()
        lines.append(f"note: the model is not retired, {commands} is removed: overrides that it set need --unset")
    body = {"files": paths, "pvs": tree.pvs} | ({"retired": reason(retirement)} if retirement else {})
    show(body, lambda: console().print("\n".join(lines)), as_json)


def _write(
    text: Callable[[Any], str],
    page: Callable[[Any], str],
    out: Path,
    permit: Path | None,
    verdicts: Path | None,
    html: bool,
    project: Path,
    as_json: bool,
) -> None:
    from beampermit.documents.facts import gather_facts
    from beampermit.files import write_text
    from beampermit.project import Project

    facts = gather_facts(Project.find(project.resolve()), permit, verdicts)
    files = {out: text(facts)} | ({out.with_suffix(".html"): page(facts)} if html else {})
    for path, content in files.items():
        write_text(path, content)
    paths = [str(path) for path in files]
    show(
        {"files": paths, "permit": facts.permit and facts.permit.digest},
        lambda: console().print("\n".join(paths)),
        as_json,
    )


class Via(StrEnum):
    """What writes the comment."""

    OWN = "own"
    CML = "cml"


def comment(
    folder: Annotated[Path, typer.Option("--report", help="Folder that `beampermit report` wrote.")] = Path("report"),
    run: Annotated[
        int | None,
        typer.Option("--from-run", metavar="RUN", min=1, help="Take the report from this run's artifact instead."),
    ] = None,
    pull: Annotated[
        int | None, typer.Option(min=1, help="Number of the pull request.", show_default="that of the job")
    ] = None,
    via: Annotated[Via, typer.Option(help="Program that writes the comment.")] = Via.OWN,
    title: Annotated[str, typer.Option(help="Title by which CML finds its comment.")] = "beampermit",
    author: Annotated[str, typer.Option(help="Account of the token.")] = "github-actions[bot]",
    as_json: Json = False,
) -> None:
    """Post the report as a comment on its pull request.

    An existing comment is updated.
    """
    from beampermit.commenting import Commenter
    from beampermit.github.client import Client
    from beampermit.interlocks.families import load_interlocks

    client = Client.of_job("no comment can be written")
    expected = {id: cls.title() for id, cls in load_interlocks().items()}
    commenter = Commenter(client, expected, title, author, via_cml=via is Via.CML)
    done = commenter.from_run(run) if run is not None else commenter.from_folder(folder, pull)
    line = f"{done.outcome}: {done.reason or done.address}"
    body = {"outcome": done.outcome, "why": done.reason, "address": done.address}
    show(body, lambda: console().print(line), as_json)
