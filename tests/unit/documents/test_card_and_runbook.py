"""Card and runbook say what is known, and say of the rest that it is not."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt
from ruamel.yaml import YAML
from typer.testing import CliRunner

from beampermit.cli.main import app
from beampermit.contract import parse_contract
from beampermit.digest import digest_json
from beampermit.documents.card import card, card_page, metadata
from beampermit.documents.facts import gather_facts
from beampermit.documents.local_time import local_time
from beampermit.documents.runbook import fallback, runbook, runbook_page
from beampermit.errors import BadInput, Failed
from beampermit.permit.statement import PREDICATE, STATEMENT, validate_statement
from beampermit.project import Project
from beampermit.registry.bypasses import Bypass
from beampermit.registry.event import Event
from beampermit.registry.ledger import Ledger
from beampermit.verdicts.monitoring import CHECKS
from support.planted_results import METRICS, commit, judged, verdict, write
from support.registry_project import append_promotion

pytestmark = pytest.mark.slow

SECTIONS = [  # Mitchell et al., Model Cards for Model Reporting
    *("Model details", "Intended use", "Factors", "Metrics", "Evaluation data", "Training data"),
    *("Quantitative analyses", "Ethical considerations", "Caveats and recommendations"),
]  # fmt: skip
DIGEST = "sha256:" + "a" * 64


def permit_of(project: Project, **changes: Any) -> Path:
    model = {"MLmodel": DIGEST}
    bound = {"file": "uv.lock", "digest": DIGEST}
    where = {"host": "ci", "system": "Linux", "python": "3.11.7"}
    body = {
        "_type": STATEMENT,
        "predicateType": PREDICATE,
        "subject": [{"name": "bpm-faults", "digest": {"sha256": digest_json(model).removeprefix("sha256:")}}],
        "predicate": {
            **{"commit": project.git.head(), "tree": "b" * 40, "dataset": {}, "model": model, "metrics": {"auc": 0.97}},
            **{"environment": bound, "pipeline": bound, "contract": bound, "checker": "0.1.0"},
            **{"base": None, "base_contract": DIGEST},
            "verdicts": [{"id": "ENV001", "outcome": "passed", "reason": "there", "where": where}],
            "issued": "2026-11-23T08:00:00Z",
            **changes,
        },
    }
    file = project.root.parent / "permit.json"
    file.write_text(validate_statement(body, "permit").text)
    return file


def headings(markdown: str, tag: str = "h2") -> list[str]:
    found = MarkdownIt("gfm-like", {"html": True}).parse(re.sub(r"\A---\n.*?\n---\n", "", markdown, flags=re.DOTALL))
    return [found[place + 1].content for place, token in enumerate(found) if token.tag == tag and token.nesting == 1]


def test_a_card_has_every_section_in_order(results: Project) -> None:
    made = card(gather_facts(results))
    assert headings(made) == SECTIONS
    assert headings(made, "h1") == ["bpm-faults"]
    assert "| ✅ | `auc` | ≥ 0.95 | 0.9712 | A fault scores above beam |" in made
    assert "Trained on simulated signals." in made
    assert "`acquisitions = 8`" in made
    assert "| `stuck` | 0.91 |" in made
    assert "| `data/raw.parquet` | 1.23 MB, aaaa |" in made


def test_the_card_has_outputs_with_units_what_they_are_compared_with_and_plots_of_every_kind(results: Project) -> None:
    matrix = {"kind": "confusion", "classes": ["sound", "stuck"], "counts": [[9, 1], [0, 4]]}
    write(results, "metrics/plots.json", {"kinds": matrix, "heat": {"kind": "heatmap"}})
    file = results.root / "contract.yaml"
    facts = gather_facts(results)
    output = facts.contract.signals.outputs[0]
    made = card(facts)
    assert f"| `{output.name}`" in made[made.index("| output | PV | shape | unit | range | compared with |") :]
    assert f"| no unit | 0 to 1 | `{facts.contract.dataset.target}` |" in made
    assert "| truth** `stuck`" in made.replace("**truth", "truth")
    assert "`metrics/plots.json`: 'heat' is not drawn: 'heatmap' is not a kind of plot" in made
    text = file.read_text()
    start = text.index("  outputs:")
    unit = text.index('unit: "1"', start)
    file.write_text(text[:unit] + "unit: mm" + text[unit + len('unit: "1"') :])
    assert re.search(
        r"Decision thresholds are the alarm limits: `[^`]+` HIGH [\d.]+ mm", card(gather_facts(Project(results.root)))
    )


def test_what_is_not_known_is_said_and_nothing_invented(project: Project) -> None:
    made = card(gather_facts(project))
    assert "**No permit was given for this document**" in made
    assert "| `auc` | ≥ 0.95 | not measured |" in made
    assert "whose digest is not in" in made
    assert "None: there are no results" in made
    assert "| Licence | **Not stated.** Add it to `pyproject.toml` as `project.license`. |" in made
    assert "model-index" not in made
    assert "no version (ledger as of the last fetch)" in runbook(gather_facts(project))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('license = {text = "MIT"}', "MIT"),
        ("license = {text = '''\nMIT License\nPermission is'''}", "MIT License"),
        ('license = {file = "LICENCE.txt"}', "as in LICENCE.txt"),
        ('classifiers = ["License :: OSI Approved :: BSD License"]', "BSD License"),
        ('classifiers = ["Typing :: Typed"]', "**Not stated.** Add it to `pyproject.toml` as `project.license`."),
    ],
)
def test_a_licence_is_read_in_older_forms_too(project: Project, table: str, said: str) -> None:
    write(project, "pyproject.toml", f'[project]\nname = "x"\n{table}\n')
    assert f"| Licence | {said} |" in card(gather_facts(project))


def test_the_metadata_are_yaml_with_what_was_measured(results: Project, git: Any) -> None:
    write(results, "pyproject.toml", '[project]\nname = "x"\nlicense = "BSD-3-Clause"\n')
    made = card(gather_facts(results))
    found = YAML(typ="safe").load(made.split("---\n")[1])
    assert found == metadata(gather_facts(results))
    assert found["license"] == "bsd-3-clause"
    measured = {metric["type"]: metric["value"] for metric in found["model-index"][0]["results"][0]["metrics"]}
    assert measured == {"auc": METRICS["auc"], "false_alarm_rate": METRICS["false_alarm_rate"]}


def test_hugging_faces_own_reader_takes_the_card_as_it_is(results: Project) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    write(results, "pyproject.toml", '[project]\nname = "x"\nlicense = "BSD-3-Clause"\n')
    found = hub.ModelCard(card(gather_facts(results)), ignore_metadata_errors=False)
    head = {name: getattr(found.data, name) for name in ("license", "library_name", "model_name")}
    assert head == {"license": "bsd-3-clause", "library_name": "mlflow", "model_name": "bpm-faults"}
    assert {result.metric_type: result.metric_value for result in found.data.eval_results} == {
        name: METRICS[name] for name in ("auc", "false_alarm_rate")
    }
    assert found.text.lstrip().startswith("# bpm-faults")


def grouped(by: str, group: str, value: float | None = 0.95, **more: Any) -> dict[str, Any]:
    """A row of PRF003's evidence; names with spaces between them."""
    gate = {"required": "at least 0.9", "gate": 0.9, "met": value is not None}
    row = {"metric": "auc", "by": by.split(), "group": group.split(), "rows": 40, "value": value, **gate}
    return {**row, "low": value and value - 0.01, "high": value and value + 0.01, **more}


def test_what_interlocks_measured_of_groups_is_told_with_its_gate(results: Project, tmp_path: Path) -> None:
    rows = [grouped("plane", "X|<b>"), grouped("plane", "Y", None)]
    judged(
        results,
        tmp_path / "verdicts/all.json",
        verdict("PRF003", evidence={"subgroups": rows, "confidence": 0.9}),
        verdict("REP002", reason="auc spreads by 0.002 over 3 seeds"),
    )
    made = card(gather_facts(results, verdicts=tmp_path / "verdicts"))
    assert "| | metric | group | rows | measured | 90 % interval | gate |" in made
    cell = "`plane` <code>X\\|&lt;b&gt;</code>"
    assert f"| ✅ | `auc` | {cell} | 40 | 0.95 | 0.94 to 0.96 | at least 0.9 |" in made
    assert "| ❌ | `auc` | `plane` `Y` | 40 | undefined |  | at least 0.9 |" in made
    assert "- REP002: auc spreads by 0.002 over 3 seeds" in made
    assert "Measured separately, below: `plane`." in made
    assert "### Intersectional results\n\nNone: the contract has gates for groups by one factor only." in made


def test_combinations_are_told_with_their_intervals_and_the_small_ones_without_a_number(
    results: Project, tmp_path: Path
) -> None:
    ungated = {"required": "", "gate": None, "met": None}
    rows = [
        grouped("plane", "X"),
        grouped("plane family", "X button", **ungated),
        grouped("plane family", "X stripline", None, rows=4, few=True, **ungated),
    ]
    left = {"left_out": [{"by": ["plane", "device"], "count": 240}], "empty": [{"by": ["plane", "family"], "count": 1}]}
    found = {"subgroups": rows, "confidence": 0.9, **left}
    judged(results, tmp_path / "verdicts/all.json", verdict("PRF003", evidence=found))
    known = gather_facts(results, verdicts=tmp_path / "verdicts")
    unitary, crossed = card(known).split("### Unitary results")[1].split("### Intersectional results")
    assert "`plane` `X` |" in unitary
    assert "family" not in unitary
    assert "|  | `auc` | `plane` `X`, `family` `button` | 40 | 0.95 | 0.94 to 0.96 |  |\n" in crossed
    assert "|  | `auc` | `plane` `X`, `family` `stripline` | 4 | too few rows |  |  |\n\n" in crossed
    assert "- `plane` × `family`: 1 combination has no row.\n" in crossed  # noqa: RUF001
    assert "- `plane` × `device` was not measured: 240 combinations are too many." in crossed  # noqa: RUF001
    assert "None:" not in crossed
    assert card_page(known).count(">90 % interval</th>") == 2


@pytest.mark.parametrize("spoilt", [{"by": ["plane"]}, {"by": []}, {"value": "high"}, {"rows": None}])
def test_evidence_of_another_shape_is_not_told(results: Project, tmp_path: Path, spoilt: dict[str, Any]) -> None:
    row = grouped("plane family", "X button") | spoilt
    judged(results, tmp_path / "verdicts/all.json", verdict("PRF003", evidence={"subgroups": [row]}))
    made = card(gather_facts(results, verdicts=tmp_path / "verdicts"))
    assert "`button`" not in made
    assert headings(made) == SECTIONS


def test_verdicts_of_another_commit_are_not_told(results: Project, tmp_path: Path) -> None:
    judged(results, tmp_path / "verdicts/all.json", verdict("PRF003"), commit="c" * 40)
    with pytest.raises(BadInput, match="its verdicts are about commit cccccccccccc"):
        gather_facts(results, verdicts=tmp_path / "verdicts")


NOT_STATED = {
    "model.kind": "  kind: A small network on features of the signal.\n",
    "model.use.users": "    users: Those who measure optics.\n",
    "model.use.factors": "    factors: [The plane.]\n",
    "model.use.considerations": "    considerations: [Nobody is harmed.]\n",
    "model.use.caveats": "    caveats: [A low score is no proof.]\n",
    "evaluation.about": "  about: Acquisitions that training has not seen.\n",
}


@pytest.mark.parametrize("key", NOT_STATED)
def test_what_nobody_said_is_not_stated_with_its_place(results: Project, contract_text: str, key: str) -> None:
    said = f"**Not stated.** Add it to `contract.yaml` as `{key}`."
    assert said not in card(gather_facts(results))
    assert NOT_STATED[key] in contract_text
    write(results, "contract.yaml", contract_text.replace(NOT_STATED[key], ""))
    made = card(gather_facts(Project(results.root)))
    assert said in made
    assert headings(made) == SECTIONS


def test_the_runbook_holds_every_verb_of_the_night_and_every_cause(results: Project, contract_text: str) -> None:
    made = runbook(gather_facts(results))
    for verb in ("rollback", "retire", "freeze", "thaw"):
        assert f'`beampermit {verb} --reason "what happened"`' in made
        assert CliRunner().invoke(app, [verb, "--help"]).exit_code == 0, "a command that is there"
    for words in ("score is above 0.9", "score is invalid, or turns is stale"):
        assert f"(Raised when {words}.)" in made
    write(results, "contract.yaml", contract_text.replace("raised_by: [drift]", "raised_by: []"))
    made = runbook(gather_facts(Project(results.root)))
    assert "### No action is written for\n\n- live data differ from the training data" in made


def test_an_unknown_licence_is_other_with_its_name(results: Project) -> None:
    write(results, "pyproject.toml", '[project]\nname = "x"\nlicense = "LicenseRef-Lab: x\\n---\\n"\n')
    found = YAML(typ="safe").load(card(gather_facts(results)).split("---\n")[1])
    assert (found["license"], found["license_name"]) == ("other", "LicenseRef-Lab: x ---")


def test_a_permit_is_told_with_its_digest_and_its_interlocks(results: Project) -> None:
    known = gather_facts(results, permit_of(results))
    for made in (card(known), runbook(known)):
        assert known.permit is not None
        assert f"`{known.permit.digest}`" in made
        assert "1 interlock: ENV001" in made
        assert "No permit" not in made


def test_a_permit_of_another_commit_or_model_is_refused(results: Project, contract_text: str) -> None:
    with pytest.raises(Failed, match="the permit is for commit cccccccccccc, but HEAD is"):
        gather_facts(results, permit_of(results, commit="c" * 40))
    file = permit_of(results)
    write(results, "contract.yaml", contract_text.replace("name: bpm-faults", "name: other-model"))
    with pytest.raises(Failed, match="the permit is for model 'bpm-faults', not for 'other-model'"):
        gather_facts(Project(results.root), file)


def test_a_broken_permit_is_bad_input(results: Project, tmp_path: Path) -> None:
    (tmp_path / "permit.json").write_text("{}")
    with pytest.raises(BadInput, match="not a permit"):
        gather_facts(results, tmp_path / "permit.json")


def test_the_runbook_has_what_an_operator_needs_first(results: Project) -> None:
    made = runbook(gather_facts(results))
    assert made.index("+1 555 0100") < made.index("## An alarm is on") < made.index("## Is it healthy?")
    assert "<https://logbook.lab.example>" in made
    assert "### MAJOR: score above 0.9" in made
    assert "1. Compare with its neighbours.\n2. Take the monitor out of the orbit feedback." in made
    assert "| HIHI: above 0.9 | MAJOR |" in made
    assert "| HIGH: above 0.5 | MINOR |" in made
    assert "LOLO" not in made, "a limit that the contract does not set is not shown"
    assert "1. The last good value is held for at most 10 s.\n2. After that, the output is INVALID." in made
    assert 'beampermit rollback --reason "what happened"' in made


def test_the_runbook_says_from_the_ledger_what_a_rollback_brings_back(
    results: Project, git: Any, tmp_path: Path
) -> None:
    git("init", "--quiet", "--bare", str(tmp_path / "origin.git"))
    git("remote", "add", "origin", str(tmp_path / "origin.git"))
    ledger = Ledger(results.git)
    said = {"event": "promote", "model": "bpm-faults", "digest": DIGEST, "permit": DIGEST, "commit": "1" * 40}
    said |= {"registry": "7", "address": "https://mlflow.lab.example"}
    for version in (1, 2):
        ledger.fetch()
        who = {"at": "2026-11-23T08:00:00Z", "by": "Ada", "sequence": version, "expected": version - 1 or None}
        append_promotion(ledger, Event(**said, **who, version=version))
        git("fetch", "--quiet", "origin", "+refs/heads/main:refs/remotes/origin/main")
        made = runbook(gather_facts(results))
        assert "| **Registry** | `https://mlflow.lab.example` (`MLFLOW_TRACKING_URI`) |" in made
        assert f"| **In service** | version {version}, since 2026-11-23 08:00 UTC |" in made
        assert (
            f"which is **not in service**; that of version {version} is in its release, `bpm-faults-v{version}` |"
            in made
        )
        assert f"`BPM-FAULTS:VERSION` is {version} while it is; else take the runbook of the version" in made
        assert "First, in the same shell: `export MLFLOW_TRACKING_URI=https://mlflow.lab.example`." in made
        there = "Version 2 is in service; the first command brings back version 1:"
        back = "there is no version before it to roll back to" if version == 1 else there
        assert back in made


def test_the_runbook_is_of_the_version_in_service_says_what_is_bypassed_and_what_takes_the_place_of_a_retired_one(
    results: Project, contract_text: str, event: Any
) -> None:
    text = contract_text.replace("operations:\n", "operations:\n  time_zone: Europe/Berlin\n", 1)
    write(results, "contract.yaml", text)
    plain = gather_facts(Project(results.root))
    champion = event(version=3, commit=plain.commit)
    bypass = Bypass.of(event(event="bypass", alarm="MON001", until="2026-11-23T12:00:00Z", reason="a study"))
    made = runbook(replace(plain, champion=champion, bypasses=(bypass,)))
    assert f"is of commit `{plain.commit[:12]}`, the one of version 3 |" in made
    assert "version 3, since 2026-11-23 09:00 CET (2026-11-23 08:00 UTC) |" in made
    assert "| **Bypassed** | `MON001` until 2026-11-23 13:00 CET (2026-11-23 12:00 UTC) by Ada" in made
    gone = event(event="retire", version=3, reason="the monitors are gone", successor="orbit-faults")
    made = runbook(replace(plain, retirement=gone))
    assert "no version: 3 was retired at 2026-11-23 09:00 CET (2026-11-23 08:00 UTC) by Ada" in made
    assert ": the monitors are gone; use orbit-faults |" in made


@pytest.mark.parametrize(("zone", "said"), [("Mars/Olympus", ""), ("America/Chicago", "2026-11-23 02:00 CST (")])
def test_a_time_zone_that_no_machine_knows_leaves_utc(zone: str, said: str) -> None:
    assert local_time("2026-11-23T08:00:00Z", zone).startswith(said or "2026-11-23 08:00 UTC")


def test_each_alarm_has_the_pvs_to_look_at_first_and_a_way_out(results: Project, contract_text: str) -> None:
    text = contract_text.replace("dataset:\n", "  devices: devices.csv\ndataset:\n", 1)
    write(results, "contract.yaml", text)
    write(results, "devices.csv", "device,plane\nBPM.1,X\nBPM.2,Y\n")
    made = runbook(gather_facts(Project(results.root)))
    high = made[made.index("### MAJOR: score above 0.9") :]
    assert "First look: `BPM.1:X:FAULT`, `BPM-FAULTS:STATUS`, `BPM-FAULTS:REASON`." in high[:600]
    assert 'To bypass it: `beampermit bypass score.hihi --until 8h --reason "why"`.' in high
    assert '`beampermit retire --reason "what happened"` takes the model out of service' in high
    assert "Call +1 555 0100." in high
    assert "First look: `BPM-FAULTS:MON001`, `BPM-FAULTS:MON002`," in made


def test_each_check_of_monitoring_has_a_meaning_and_an_action(results: Project, contract_text: str) -> None:
    made = runbook(gather_facts(results))
    for check, title in CHECKS.items():
        part = made[made.index(f"### {check}: {title}") :].partition("\n### ")[0]
        assert f"`BPM-FAULTS:{check}`" in part
        assert "1. " in part or "Do what is written at *MINOR:" in part, check
    # The contract's own action is the one that counts.
    own = "    - {condition: it is worse, raised_by: [quality], severity: MAJOR, meaning: Bad., action: [Stop.]}\n"
    text = contract_text.replace("  alarms:\n", f"  alarms:\n{own}", 1)
    assert own in text
    write(results, "contract.yaml", text)
    made = runbook(gather_facts(Project(results.root)))
    assert "Do what is written at *MAJOR: it is worse*. First look: `BPM-FAULTS:MON007`." in made


def test_pvs_are_named_by_the_device_table(results: Project, contract_text: str) -> None:
    text = contract_text.replace("dataset:\n", "  devices: devices.csv\ndataset:\n", 1)
    write(results, "contract.yaml", text)
    write(results, "devices.csv", "device,plane\nBPM.1,X\nBPM.2,Y\n")
    made = runbook(gather_facts(Project(results.root)))
    assert "2 PVs, one for each row of `devices.csv`; the first is `BPM.1:X:FAULT`." in made
    write(results, "devices.csv", "device\nBPM.1\n")
    assert "One PV for each of the 1 rows of `devices.csv`." in runbook(gather_facts(Project(results.root)))


FALLBACKS = {
    "{on_invalid: invalid}": ("The output is INVALID.",),
    "{on_invalid: default}": ("The default is served: score = 1.",),
    "{on_invalid: hold, hold_for: 1h, then: default}": (
        "The last good value is held for at most 1 h.",
        "After that, the default is served: score = 1.",
    ),
}


@pytest.mark.parametrize("promised", FALLBACKS)
def test_the_fallback_is_told_as_the_contract_has_it(contract_text: str, promised: str) -> None:
    text = contract_text.replace("{on_invalid: hold, hold_for: 10s, then: invalid}", promised)
    assert fallback(parse_contract(text)) == FALLBACKS[promised]


def test_no_text_of_the_contract_breaks_a_document(results: Project, contract_text: str, git: Any) -> None:
    bad = r'"# x\n\n## y <script>|` ``` @octocat [a](https://evil.example) ---"'
    for good in ("Ada Operator", "Cleaning optics measurements.", "Compare with its neighbours."):
        contract_text = contract_text.replace(good, bad)
    contract_text = contract_text.replace("A fault scores above beam", bad)
    write(results, "contract.yaml", contract_text)
    commit(git, "Hostile")
    known = gather_facts(Project(results.root))
    assert headings(card(known)) == SECTIONS
    assert YAML(typ="safe").load(card(known).split("\n---\n")[0])["model_name"] == "bpm-faults"
    for made in (card(known), runbook(known)):
        found = MarkdownIt("gfm-like", {"html": True}).parse(made)
        children = [child for token in found if token.type == "inline" for child in token.children or ()]
        assert not any(re.search(r"@\w", child.content) for child in children if child.type == "text")
        links = [child.attrs["href"] for child in children if child.type == "link_open"]
        assert set(links) <= {"https://logbook.lab.example"}
    for page in (card_page(known), runbook_page(known)):
        assert "<script" not in page
        assert set(re.findall(r'(?:src|href)="([^":]+:)', page)) <= {"data:", "https:"}


@pytest.mark.parametrize(
    ("command", "name", "first"), [("card", "MODEL_CARD", "---"), ("runbook", "RUNBOOK", "# bpm-faults")]
)
def test_the_commands_write_markdown_and_page(
    results: Project, tmp_path: Path, command: str, name: str, first: str
) -> None:
    out = tmp_path / f"{name}.md"
    found = CliRunner().invoke(app, [command, "--project", str(results.root), "--out", str(out), "--html", "--json"])
    assert found.exit_code == 0, found.output
    assert out.read_text().startswith(first)
    assert out.with_suffix(".html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize("command", ["card", "runbook"])
def test_nan_in_the_metrics_is_one_line_and_nothing_is_written(results: Project, tmp_path: Path, command: str) -> None:
    write(results, "metrics/metrics.json", '{"auc": NaN}')
    out = tmp_path / "document.md"
    found = CliRunner().invoke(app, [command, "--project", str(results.root), "--out", str(out), "--html"])
    assert isinstance(found.exception, BadInput)
    assert str(found.exception) == "metrics/metrics.json:1: auc is NaN, not a finite number"
    assert list(tmp_path.glob("document*")) == []
