"""All documents of a release by name: card, runbook and datasheet for people; software and alarms for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path

from beampermit.documents import alarm_tree
from beampermit.documents.card import card, card_page
from beampermit.documents.datasheet import datasheet
from beampermit.documents.facts import Facts, gather_facts
from beampermit.documents.runbook import runbook, runbook_page
from beampermit.environments import choice
from beampermit.environments.sbom import sbom
from beampermit.project import Project

Texts = dict[str, str]


def bundle(
    project: Project, permit: Path | None = None, verdicts: Path | None = None, without: Collection[str] = ()
) -> Texts:
    """File name -> text, all made before any is written, without the kinds named in `without`.

    Raises `Failed` or `BadInput` for whatever one of them needs and does not find.
    """
    facts = gather_facts(project, permit, verdicts)
    made: Texts = {}
    for kind, make in KINDS.items():
        if kind not in without:
            made |= make(project, facts)
    return made


def _card(_: Project, facts: Facts) -> Texts:
    return {"MODEL_CARD.md": card(facts), "MODEL_CARD.html": card_page(facts)}


def _runbook(_: Project, facts: Facts) -> Texts:
    return {"RUNBOOK.md": runbook(facts), "RUNBOOK.html": runbook_page(facts)}


def _datasheet(project: Project, _: Facts) -> Texts:
    sheet = datasheet(project)
    return {"DATASHEET.md": sheet.markdown(), "DATASHEET.html": sheet.html()}


def _software(project: Project, _: Facts) -> Texts:
    """As `beampermit env sbom` writes it: a permit binds these bytes."""
    found = sbom(choice.backend_for(project.root).read(project.root), project.root.name)
    return {"sbom.cdx.json": json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False) + "\n"}


def _alarms(project: Project, _: Facts) -> Texts:
    found = alarm_tree.tree(project)
    return alarm_tree.phoebus_files(found) | alarm_tree.jaws_files(found)


KINDS: dict[str, Callable[[Project, Facts], Texts]] = {
    "card": _card,
    "runbook": _runbook,
    "datasheet": _datasheet,
    "sbom": _software,
    "alarms": _alarms,
}
