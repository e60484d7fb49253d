"""The inventory as a page: findings first, nothing of a repository becomes markup."""

from __future__ import annotations

import pytest

from beampermit.documents.inventory_page import inventory_markdown, inventory_page, inventory_text
from beampermit.verdicts.inventory import Bypassed, Entry, Finding, Inventory
from support.hostile_text import FRAGMENTS, assert_harmless

URL = "https://git.lab.example/ml/faults.git"
ENTRY = Entry(
    project=URL, model="bpm-faults", summary="Flags monitors.", owners=("Ada", "Bo"), on_call="+1 555 0100",
    review_by="2027-06-01", state="in service", version=2, since="2026-11-26T12:00:00Z", by="Ada", commit="3" * 40,
    prefix="BPM-FAULTS", pvs=120, asked=True, status="SERVING", served=2, alive=True, monitored=61.3,
)  # fmt: skip
SILENT = Finding(
    id="INV002", level="MAJOR", project=URL, model="bpm-faults", message="it is silent", next="beampermit status X"
)
FROZEN = Finding(id="INV012", level="NOTE", project=URL, model="bpm-faults", message="frozen", next="beampermit thaw")
UNKNOWN = SILENT.model_copy(update={"id": "INV016", "unknown": True})


def made(*findings: Finding, entries: tuple[Entry, ...] = (ENTRY,), unasked: tuple[str, ...] = ()) -> Inventory:
    return Inventory(at=1_795_950_000.0, entries=entries, findings=findings, unasked=unasked)


@pytest.mark.parametrize(
    ("findings", "code"),
    [((), 0), ((FROZEN,), 0), ((UNKNOWN,), 4), ((UNKNOWN, FROZEN), 4), ((SILENT, UNKNOWN, FROZEN), 1)],
)
def test_what_is_wrong_decides_then_what_is_not_known(findings: tuple[Finding, ...], code: int) -> None:
    assert made(*findings).exit_code == code


def test_the_page_says_what_to_do_before_anything_else() -> None:
    other = ENTRY.model_copy(update={"model": "losses"})
    page = inventory_markdown(made(SILENT, FROZEN, entries=(other, ENTRY), unasked=("registry: none is named",)))
    parts = [
        "2026-11-29 11:00 UTC. 2 models, 2 in service: 1 MAJOR, 1 NOTE.",
        "### ❌ In the ledger, but silent: bpm-faults",
        "beampermit status X",
        "INV002, MAJOR; https",
        "| ❌ | bpm-faults | 2 | in service: SERVING |",
        "| ✅ | losses | 2 | in service: SERVING |",
        "| service | SERVING, version 2 |",
        "| monitored | 61 s ago |",
        "| findings | INV002 INV012 |",
        "- registry: none is named",
    ]
    places = [page.find(part) for part in parts]
    assert -1 not in places, [part for part in parts if part not in page]
    assert places == sorted(places)


def test_a_bypass_is_shown_with_its_end() -> None:
    bypassed = Bypassed(alarm="MON001 turns.std", until="2026-11-29T17:00:00Z", by="Ada", reason="a study")
    page = inventory_markdown(made(entries=(ENTRY.model_copy(update={"bypassed": (bypassed,)}),)))
    assert "| bypassed | `MON001 turns.std` until 2026-11-29T17:00:00Z by Ada: a study |" in page
    assert "| bypassed |" not in inventory_markdown(made())


def test_nothing_is_wrong_is_said() -> None:
    page = inventory_markdown(made())
    assert "1 model, 1 in service: nothing is wrong" in page
    assert "What to do" not in page


@pytest.mark.parametrize("text", FRAGMENTS)
def test_what_comes_from_other_repositories_is_harmless(text: str) -> None:
    hostile: dict[str, str] = dict.fromkeys(("project", "model", "message", "next"), text)
    told: dict[str, str] = dict.fromkeys(
        ("folder", "summary", "on_call", "review_by", "by", "commit", "prefix", "status", "reason"), text
    )
    bypassed = Bypassed(alarm=text, until=text, by=text, reason=text)
    names = {"project": text, "model": text, "owners": (text,), "bypassed": (bypassed,)}
    entry = ENTRY.model_copy(update={**told, **names})
    spoiled = made(SILENT.model_copy(update=hostile), entries=(entry,), unasked=(text,))
    assert_harmless(inventory_markdown(spoiled))
    page = inventory_page(spoiled)
    assert "<script" not in page
    assert "<img" not in page
    assert "\x1b" not in inventory_text(spoiled)
    assert "##[" not in inventory_text(spoiled)


@pytest.mark.slow
def test_a_thousand_models_fit_into_the_summary_of_a_run() -> None:
    entries = tuple(ENTRY.model_copy(update={"model": f"model-{n}", "summary": "x" * 900}) for n in range(1000))
    page = inventory_markdown(made(SILENT, entries=entries))
    assert len(page.encode()) < 2**20
    assert "Left out" in page
    assert "it is silent" in page
    assert "model-999" in page
