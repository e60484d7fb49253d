"""`beampermit trials show`, `best`, `apply`: what a study found, and what the project takes of it."""

from __future__ import annotations

import io
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from beampermit.cli.output import Folder, Json, console, plain, show

if TYPE_CHECKING:
    from beampermit.trials.records import Study, Trial

Name = Annotated[
    str | None,
    typer.Option("--study", metavar="NAME", help="The study.", show_default="that of data, code and lock as they are"),
]
Storage = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="A database that keeps the studies, such as postgresql://USER@HOST/NAME.",
        show_default="a journal in .beampermit/trials",
    ),
]
LISTED = 20
"""Trials that are printed, unless all are asked for."""


def show_study(
    name: Name = None,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Also write one HTML page.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Print all trials.")] = False,
    storage: Storage = None,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Show the trials of a study, the best first.

    The page has history, importance of parameters, and of several objectives the front.
    """
    from beampermit.errors import BadInput
    from beampermit.files import write_text
    from beampermit.project import Project
    from beampermit.trials.study import read_study

    if html is not None and not html.parent.is_dir():
        raise BadInput(
            "there is no such folder for the page", file=html.parent, hint=f"mkdir -p {shlex.quote(str(html.parent))}"
        )
    study = read_study(Project.find(project.resolve()), name, storage)
    if html is not None:
        from beampermit.documents.trials_page import trials_page

        write_text(html, trials_page(study))
    body = _as_json(study, html) if as_json else {}
    show(body, lambda: _print(study, html, everything), as_json)


def best(name: Name = None, storage: Storage = None, project: Folder = Path(), as_json: Json = False) -> None:
    """Print the parameters of the best trial as YAML.

    Of several objectives those of each trial on the front.
    """
    from beampermit.errors import Failed
    from beampermit.project import Project
    from beampermit.trials.front import front_of
    from beampermit.trials.study import read_study

    study = read_study(Project.find(project.resolve()), name, storage)
    found = front_of(study) if len(study.objectives) > 1 else study.ranked()[:1]
    if not found:
        raise Failed(f"no trial of study {study.name} is complete", hint="beampermit trials show")
    body = [{"trial": trial.number, "values": trial.values, "params": trial.params} for trial in found]
    show({"study": study.name, "best": body}, lambda: _print_params(study, found), as_json)


def apply(
    number: Annotated[int | None, typer.Option("--trial", metavar="N", min=0, show_default="the best")] = None,
    name: Name = None,
    storage: Storage = None,
    project: Folder = Path(),
    as_json: Json = False,
) -> None:
    """Write the parameters of a trial into params.yaml.

    And the summary of its study into trials.json, for the pull request: how many trials stand behind the choice, and
    how far the best is ahead of the second.
    """
    from beampermit.project import Project
    from beampermit.trials.applying import apply as take
    from beampermit.trials.applying import choose
    from beampermit.trials.study import read_study

    found = Project.find(project.resolve())
    study = read_study(found, name, storage)
    done = take(found, study, choose(study, number))
    body = {
        "study": study.name,
        "trial": done.trial.number,
        "params": done.trial.params,
        "values": done.trial.values,
        "trials": done.summary.trials,
        "written": list(done.written),
    }
    show(body, lambda: _print_applied(done), as_json)


def _as_json(study: Study, html: Path | None) -> dict[str, Any]:
    body = study.model_dump(mode="json", exclude={"trials"})
    body["trials"] = [trial.model_dump(mode="json") for trial in _ordered(study)]
    return {**body, "page": str(html) if html else ""}


def _ordered(study: Study) -> tuple[Trial, ...]:
    from beampermit.trials.front import shown_order

    return shown_order(study)


def _print(study: Study, html: Path | None, everything: bool) -> None:
    from beampermit.documents.screen import format_columns
    from beampermit.documents.trials_text import headline, table

    target = console()
    target.print(plain(f"{study.name}: {headline(study)}"), style="bold")
    ordered = _ordered(study)
    listed = ordered if everything else ordered[:LISTED]
    if listed:
        target.print(format_columns(*table(study, listed)))
    if len(listed) < len(ordered):
        target.print(f"and {len(ordered) - len(listed)} more (--all prints them)", style="dim")
    if html:
        target.print(str(html))


def _print_params(study: Study, found: tuple[Trial, ...]) -> None:
    from beampermit.documents.trials_text import values_of

    target = console()
    for trial in found:
        target.print(f"# trial {trial.number} of {len(study.trials)}: {plain(values_of(study, trial))}")
        target.print(_yaml(trial.params), end="")


def _yaml(params: dict[str, Any]) -> str:
    """Nested as in params.yaml."""
    from ruamel.yaml import YAML

    tree: dict[str, Any] = {}
    for path, value in params.items():
        *above, last = path.split(".")
        node = tree
        for part in above:
            node = node.setdefault(part, {})
        node[last] = value
    stream = io.StringIO()
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.allow_unicode = False  # and so no control sequence reaches the terminal
    writer.sort_base_mapping_type_on_output = False  # pyright: ignore[reportAttributeAccessIssue]
    writer.dump(tree, stream)
    return stream.getvalue()


def _print_applied(done: Any) -> None:
    from beampermit.documents.trials_text import shown_params

    target = console()
    for line in shown_params(done.trial.params):
        target.print(f"  {plain(line)}")
    if not done.written:
        target.print(f"params.yaml and trials.json have trial {done.trial.number} already")
        return
    target.print(f"wrote {' and '.join(done.written)}: trial {done.trial.number} of {done.summary.trials}")
    target.print("next: make reproduce push, and commit both")
