"""`beampermit report`, `card` and `runbook`: the papers of a pull request and of a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from beampermit.cli.options import Folder
from beampermit.cli.output import Json, console, show


def report(
    verdicts: Annotated[Path, typer.Option(help="Folder of the files that `check --out` wrote.")] = Path("verdicts"),
    out: Annotated[Path, typer.Option(help="Folder for the report: Markdown, HTML, drawings, JSON.")] = Path("report"),
    base: Annotated[
        str | None, typer.Option(help="Revision to compare with; the pull request's base if not given.")
    ] = None,
    where: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Write the report of a pull request: verdicts first, then what it changes."""
    from beampermit.documents import drawings
    from beampermit.documents.gathering import gather
    from beampermit.documents.report import FILE
    from beampermit.files import write_bytes, write_text
    from beampermit.interlocks import runner
    from beampermit.project import Project

    project = Project.find(where.resolve(), base)
    if base:
        _ = project.base  # a base that was asked for by name must be there
    found = gather(project, verdicts, {id: cls.title() for id, cls in runner.load().items()})
    images = drawings.images(found.plots)
    texts = {
        FILE: found.json_text(),
        "report.md": found.markdown(),
        "summary.md": found.whole(),
        "report.html": found.html(images),
    }
    for name, text in texts.items():
        write_text(out / name, text)
    files = {f"plots/{name}": images[title] for title, name in drawings.file_names(images).items()}
    for name, image in files.items():
        write_bytes(out / name, image)
    if found.problems:
        raise found.problems[0].error  # the report is written and shows it
    paths = [str(out / name) for name in (*texts, *files)]
    show(
        {**found.summary(), "files": paths},
        lambda: console().print(f"{found.judged.headline}\n{' '.join(paths[:4])}", markup=False),
        as_json,
    )


Permit = Annotated[Path | None, typer.Option(help="The permit that `permit assemble` wrote; its facts are told.")]
Verdicts = Annotated[
    Path | None, typer.Option(help="Folder of the files that `check --out` wrote; what they measured is told.")
]
Page = Annotated[bool, typer.Option("--html", help="Write one HTML page as well, beside it.")]


def card(
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("MODEL_CARD.md"),
    permit: Permit = None,
    verdicts: Verdicts = None,
    html: Page = False,
    where: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Write the model card, from the contract, the permit and the facts of the run."""
    from beampermit.documents import card as paper

    _write(paper.card, paper.card_page, out, permit, verdicts, html, where, as_json)


def runbook(
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("RUNBOOK.md"),
    permit: Permit = None,
    html: Page = False,
    where: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Write the operator's runbook, from the contract, the permit and the ledger."""
    from beampermit.documents import runbook as paper

    _write(paper.runbook, paper.runbook_page, out, permit, None, html, where, as_json)


def _write(
    text: Callable[[Any], str],
    page: Callable[[Any], str],
    out: Path,
    permit: Path | None,
    verdicts: Path | None,
    html: bool,
    where: Path,
    as_json: bool,
) -> None:
    from beampermit.documents.standing import standing
    from beampermit.files import write_text
    from beampermit.project import Project

    known = standing(Project.find(where.resolve()), permit, verdicts)
    files = {out: text(known)} | ({out.with_suffix(".html"): page(known)} if html else {})
    for path, content in files.items():
        write_text(path, content)
    paths = [str(path) for path in files]
    show(
        {"files": paths, "permit": known.permit and known.permit.digest},
        lambda: console().print(*paths, markup=False),
        as_json,
    )
