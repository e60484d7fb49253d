"""All documents of a release: card, runbook and datasheet for people; SBOM and alarm trees for programs."""

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
    """File name -> text, except the kinds in `without`. Raises `Failed` or `BadInput` where one cannot be made."""
    facts = gather_facts(project, permit, verdicts)
    texts: Texts = {}
    for kind, make in KINDS.items():
        if kind not in without:
            texts |= make(project, facts)
    return texts


def _card(_: Project, facts: Facts) -> Texts:
    return {"MODEL_CARD.md": card(facts), "MODEL_CARD.html": card_page(facts)}


def _runbook(_: Project, facts: Facts) -> Texts:
    return {"RUNBOOK.md": runbook(facts), "RUNBOOK.html": runbook_page(facts)}


def _datasheet(project: Project, _: Facts) -> Texts:
    sheet = datasheet(project)
    return {"DATASHEET.md": sheet.markdown(), "DATASHEET.html": sheet.html()}


def _software(project: Project, _: Facts) -> Texts:
    """The same bytes as `beampermit env sbom` writes: the permit binds them."""
    document = sbom(choice.backend_for(project.root).read(project.root), project.root.name)
    return {"sbom.cdx.json": json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"}


def _alarms(project: Project, _: Facts) -> Texts:
    tree = alarm_tree.alarm_tree(project)
    return alarm_tree.phoebus_files(tree) | alarm_tree.jaws_files(tree)


KINDS: dict[str, Callable[[Project, Facts], Texts]] = {
    "card": _card,
    "runbook": _runbook,
    "datasheet": _datasheet,
    "sbom": _software,
    "alarms": _alarms,
}
