"""Other targets: announced in a pull request of its own about the champion, then judged without the earlier ones."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from beampermit.contract import parse_contract
from beampermit.errors import BadInput
from beampermit.files import write_json
from beampermit.verdicts.evidence import Comparison, Incomparable
from beampermit.verdicts.verdict import Outcome
from support.attacks import attack_case
from support.dvc_repositories import replace
from support.in_service import FIELD, METRICS, SIGNALS, Service, service, service_once

pytestmark = pytest.mark.slow

__all__ = ["service", "service_once"]

WHY = "Labels are by a beam loss now."
OUTPUT = next(line for line in SIGNALS.splitlines(keepends=True) if "score" in line)
OTHER = METRICS.replace("name: accuracy", "name: losses").replace("gate: 0.5", "gate: 0.9")


def call_incomparable(service: Service, version: int = 3) -> None:
    service.contract.write_text(f"{service.contract.read_text()}incomparable: {{version: {version}, reason: {WHY}}}\n")
    package_again(service)


def package_again(service: Service) -> None:
    """The same model with the contract as it is now."""
    service.package(score={"current": 0.0, "field": 1.0})


def change_target(service: Service, **outputs: dict[str, float]) -> None:
    """The model says whether beam is lost, which is where the field is negative."""
    replace(service.contract, "target: faulty", "target: lost")
    replace(service.contract, "  target: faulty", "  target: lost")
    replace(service.contract, METRICS, OTHER)
    service.write_rows(faulty=None, lost=FIELD < 0)
    service.package(**outputs or {"score": {"field": -1.0}})
    service.commit()


def said_before(service: Service, version: int = 3) -> None:
    """The base branch calls the version incomparable."""
    call_incomparable(service, version)
    service.merge()


def test_a_pull_request_that_says_nothing_else_passes_and_is_still_compared(service: Service) -> None:
    call_incomparable(service)
    service.commit()
    verdict = service.judge()
    assert verdict.passed, verdict.reason
    assert "accuracy 1 against 1" in verdict.reason
    assert verdict.reason.endswith(f"; once this is merged, version 3 counts as incomparable: {WHY}")
    service.package(score={"current": 1.0, "field": 0.0})
    assert "other things too: model/weights.json" in service.judge().reason


def other_version(service: Service) -> None:
    call_incomparable(service, 2)


def no_reason(service: Service) -> None:
    call_incomparable(service)
    replace(service.contract, WHY, "n/a")
    package_again(service)


def lower_gate(service: Service) -> None:
    call_incomparable(service)
    replace(service.contract, "champion_margin: 0.01", "champion_margin: 0.5")
    package_again(service)


def worse_model(service: Service) -> None:
    call_incomparable(service)
    service.package(score={"current": 1.0, "field": 0.0})


def other_code(service: Service) -> None:
    call_incomparable(service)
    (service.root / "train.py").touch()


def other_rows(service: Service) -> None:
    call_incomparable(service)
    service.write_rows(faulty=FIELD < 0)
    package_again(service)


def other_data(service: Service) -> None:
    call_incomparable(service)
    (service.root / "dvc.yaml").write_text("stages: {}\n")
    service.merge()
    replace(service.contract, WHY, "Another reason.")
    package_again(service)
    (service.root / "dvc.lock").write_text("stages: {raw: {outs: [{path: data/raw.parquet, md5: " + "a" * 32 + "}]}}\n")


ATTACKS = [
    attack_case(
        other_version,
        guard="PRF002",
        tried="`incomparable` is said of a version that is not in service, for the day when it is",
        said="contract.yaml calls version 2 incomparable, and the champion is version 3",
        id="another version",
    ),
    attack_case(
        no_reason,
        guard="PRF002",
        tried="`incomparable` is said without a reason",
        said="contract.yaml calls version 3 incomparable, and its reason is empty",
        id="reason",
    ),
    attack_case(
        lower_gate,
        guard="PRF002",
        tried="a looser gate, in the pull request that says `incomparable`",
        said="and this pull request changes other things too: metrics.accuracy.champion_margin",
        id="gate",
    ),
    attack_case(
        worse_model,
        guard="PRF002",
        tried="a worse model, in the pull request that says `incomparable`",
        said="and this pull request changes other things too: model/weights.json",
        id="model",
    ),
    attack_case(
        other_code,
        guard="PRF002",
        tried="other code, in the pull request that says `incomparable`",
        said="and this pull request changes other things too: train.py",
        id="code",
    ),
    attack_case(
        other_rows,
        guard="PRF002",
        tried="other test rows, in the pull request that says `incomparable`",
        said="and this pull request changes other things too: data/dataset/test.parquet",
        id="rows",
    ),
    attack_case(
        other_data,
        guard="PRF002",
        tried="other data that DVC keeps, in the pull request that says `incomparable`",
        said="and this pull request changes other things too: data/raw.parquet",
        id="data",
    ),
]


@pytest.mark.plants("PRF002")
@pytest.mark.parametrize("attack", ATTACKS)
def test_it_is_said_alone_and_of_the_champion(service: Service, attack: Callable[[Service], None], said: str) -> None:
    attack(service)
    verdict = service.judge()
    assert verdict.outcome is Outcome.FAILED
    assert said in verdict.reason
    assert "changes nothing else" in verdict.fix


def test_before_anything_was_promoted_there_is_nothing_to_say_it_of(service: Service) -> None:
    service.project.git("push", "--quiet", "--delete", "origin", "beampermit-ledger")
    service.project.git("update-ref", "-d", "refs/remotes/origin/beampermit-ledger")
    call_incomparable(service)
    assert service.judge().reason == "contract.yaml calls version 3 incomparable, and nothing has been promoted"


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("{version: 3}", "incomparable.reason: this key is missing"),
        ('{version: 3, reason: ""}', "incomparable.reason: String should have at least 1 character"),
        ("{reason: others}", "incomparable.version: this key is missing"),
        ("{version: 0, reason: others}", "incomparable.version: Input should be greater than or equal to 1"),
    ],
)
def test_it_has_a_version_and_a_reason(contract_text: str, said: str, error: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_contract(f"{contract_text}incomparable: {said}\n")
    assert error in str(caught.value)


@pytest.mark.plants("PRF002")
def test_other_targets_fail_where_nobody_has_said_so(service: Service) -> None:
    change_target(service)
    verdict = service.judge("PRF001")
    assert verdict.outcome is Outcome.FAILED
    assert "target 'faulty' is not a column of test.parquet" in verdict.reason
    service.merge()
    verdict = service.judge()
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reason == (
        "no metric can be compared with the champion, version 3; "
        "losses is not compared: its score is for faulty, not lost"
    )
    assert "`incomparable: {version: ..., reason: ...}`" in verdict.fix


def test_after_it_other_targets_are_judged_by_gates_of_their_own(service: Service) -> None:
    said_before(service)
    change_target(service)
    verdict = service.judge()
    assert verdict.passed, verdict.reason
    assert verdict.reason == (
        "not compared with version 3; losses is not compared: its score is for faulty, not lost; "
        "without accuracy of the base branch, about targets that are gone; "
        f"the base branch's contract calls version 3 incomparable: {WHY}"
    )
    assert isinstance(verdict.evidence, Comparison)
    assert verdict.evidence.incomparable == Incomparable(version=3, reason=WHY)
    gates = service.judge("PRF001")
    assert gates.passed, gates.reason
    assert gates.reason.startswith("losses 1 (at least 0.9)")
    assert service.judge("PRF003").passed
    service.merge()
    assert service.judge().passed, "and so it stays until the new version is in service"


def test_code_of_the_base_branch_does_not_judge_other_targets(service: Service) -> None:
    service.use_own_code()
    said_before(service)
    for file in (service.contract, service.root / "evaluate.py"):
        file.write_text(file.read_text().replace("target: faulty", "target: lost").replace('"faulty"', '"lost"'))
    service.write_rows(faulty=None, lost=FIELD < 0)
    service.package(score={"field": -1.0})
    write_json(service.root / "metrics/metrics.json", {"accuracy": 1.0})
    verdict = service.judge("PRF001")
    assert verdict.passed, verdict.reason
    verdict = service.judge()
    assert verdict.passed, verdict.reason
    assert verdict.reason.startswith("not compared with version 3; without accuracy of the base branch")


@pytest.mark.plants("PRF001")
def test_the_new_gates_must_be_met(service: Service) -> None:
    said_before(service)
    change_target(service, score={"current": -1.0})
    assert "losses is 0.6667, the gate is at least 0.9" in service.judge("PRF001").reason


@pytest.mark.plants("PRF001", "PRF002")
@pytest.mark.attack(
    guard="PRF002",
    tried="after `incomparable` is merged, a worse model with the same targets and a lower gate",
    said="accuracy is 0.3333",
)
def test_it_does_not_help_a_worse_model_with_the_same_targets(service: Service, said: str) -> None:
    said_before(service)
    replace(service.contract, "gate: 0.5", "gate: 0.1")
    service.package(score={"current": -1.0})
    for id, why in (("PRF002", "worse than the champion's 1 (version 3)"), ("PRF001", "the gate is at least 0.5")):
        verdict = service.judge(id)
        assert verdict.outcome is Outcome.FAILED
        assert said in verdict.reason
        assert why in verdict.reason


def give_second_output(service: Service) -> None:
    """A model with two outputs, with a target and a metric each, is on the base branch."""
    second = OUTPUT.replace("score, pv: P", "spare, pv: Q").replace("target: faulty", "target: second")
    replace(service.contract, OUTPUT, OUTPUT + second)
    of_each = METRICS.replace("measure: accuracy,", "measure: accuracy, output: score,")
    line = METRICS.splitlines()[1].replace(
        "name: accuracy, measure: accuracy,", "name: other, measure: accuracy, output: spare,"
    )
    replace(service.contract, METRICS, f"{of_each}{line}\n")
    service.contract.write_text(
        service.contract.read_text().replace("raised_by: [score.high]", "raised_by: [score.high, spare.high]")
    )
    service.write_rows(second=FIELD > 0)
    service.package(score={"field": 1.0}, spare={"field": 1.0})
    service.merge()


@pytest.mark.attack(
    guard="PRF002",
    tried="after `incomparable` is merged, one target changes, and the model is worse at the other one",
    said="accuracy is 0.6667, worse than the champion's 1 (version 4) by more than 0.01",
)
def test_targets_that_stay_are_compared_as_ever(service: Service, said: str) -> None:
    give_second_output(service)
    service.promote(4)
    call_incomparable(service, 4)
    service.package(score={"field": 1.0}, spare={"field": 1.0})
    service.merge()
    replace(service.contract, "target: second", "target: lost")
    service.write_rows(lost=FIELD < 0)
    service.package(score={"current": 1.0}, spare={"field": -1.0})
    assert said in service.judge().reason
    service.package(score={"field": 1.0}, spare={"field": -1.0})
    verdict = service.judge()
    assert verdict.passed, verdict.reason
    assert verdict.reason.startswith("not worse than version 4: accuracy 1 against 1")
    assert "without other of the base branch, about targets that are gone" in verdict.reason
    assert isinstance(verdict.evidence, Comparison)
    assert verdict.evidence.incomparable


def test_it_ends_with_the_version_that_it_is_about(service: Service) -> None:
    said_before(service)
    service.package(score={"current": 0.0, "field": 5.0})
    service.merge()
    service.promote(4)
    service.package(score={"current": 0.0, "field": 6.0})
    verdict = service.judge()
    assert verdict.passed
    assert verdict.reason.endswith("; incomparable is about version 3, and has no effect on version 4")
    change_target(service)
    assert service.judge("PRF001").outcome is Outcome.FAILED


def test_it_goes_on_where_the_same_model_was_only_packaged_again(service: Service) -> None:
    """The pull request that says it is released as any other, and may become version 4."""
    said_before(service)
    service.promote(4)
    change_target(service)
    assert service.judge("PRF001").passed
    assert service.judge().reason.startswith("not compared with version 4")


@pytest.mark.plants("PRF002")
def test_who_needs_it_leaves_it_in_the_contract(service: Service) -> None:
    said_before(service)
    text = service.contract.read_text()
    service.contract.write_text(text[: text.index("incomparable:")])
    change_target(service)
    verdict = service.judge()
    assert verdict.outcome is Outcome.FAILED
    assert "removes incomparable, which it needs until the new version is in service" in verdict.reason
    package_again(service)


def test_removing_it_is_nothing_else_than_any_change(service: Service) -> None:
    said_before(service)
    text = service.contract.read_text()
    service.contract.write_text(text[: text.index("incomparable:")])
    (service.root / "train.py").touch()
    assert service.judge().passed


def test_a_metric_of_an_output_that_the_champion_does_not_have_is_nothing_to_be_worse_in(service: Service) -> None:
    give_second_output(service)
    verdict = service.judge()
    assert verdict.passed, verdict.reason
    assert verdict.reason.startswith("not worse than version 3: accuracy 1 against 1")
    assert "other is not compared: it has no output for second" in verdict.reason
