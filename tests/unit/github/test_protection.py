"""Without a clear answer a branch counts as unprotected: each missing rule, and each way GitHub can fail."""

from __future__ import annotations

import json
from typing import Any

import pytest

from beampermit.errors import Failed, Outside
from beampermit.github.client import Client
from beampermit.github.protection import Protection, load_ledger_gaps, load_protection
from support.github_server import Fault, hang, lost, reset, says, used_up
from support.github_stand_in import GitHub, Token
from support.paths import ROOT

MAIN = ROOT / "template/{{cookiecutter.project_slug}}/.github/rulesets/main.json"
LEDGER = MAIN.with_name("ledger.json")
WORKFLOW = Token(rights=frozenset({"metadata:read", "contents:read"}))


@pytest.fixture
def ruleset(github: GitHub) -> dict[str, Any]:
    """The template's ruleset, active on GitHub, read with a workflow's token; to be weakened."""
    github.tokens = {"s3cret": WORKFLOW, "admin": Token("ada")}
    return github.ruleset(json.loads(MAIN.read_text()))


@pytest.fixture
def client(github: GitHub) -> Client:
    return Client(github.repository, "s3cret", github.url, lambda _: None)


def rule(ruleset: dict[str, Any], type: str) -> dict[str, Any]:
    return next(rule for rule in ruleset["rules"] if rule["type"] == type)


def test_the_templates_ruleset_protects(ruleset: dict[str, Any], client: Client) -> None:
    found = load_protection(client, "main")
    assert (found.gaps, found.check_gaps("ml / permit"), found.bypass) == ((), (), None)


@pytest.mark.parametrize(
    ("type", "gap"),
    [
        ("pull_request", "changes can be pushed to it without a pull request"),
        ("non_fast_forward", "its history can be rewritten with a force-push"),
        ("deletion", "it can be deleted"),
    ],
)
def test_a_rule_that_is_missing_is_a_gap(ruleset: dict[str, Any], client: Client, type: str, gap: str) -> None:
    ruleset["rules"].remove(rule(ruleset, type))
    assert load_protection(client, "main").gaps == (gap,)


@pytest.mark.parametrize(
    ("changes", "gaps"),
    [
        ({"required_approving_review_count": 0}, ("a pull request can be merged without an approval",)),
        ({"required_approving_review_count": True}, ("a pull request can be merged without an approval",)),
        ({"require_code_owner_review": False}, ("a pull request can be merged without the approval of a code owner",)),
        ({"require_code_owner_review": "true"}, ("a pull request can be merged without the approval of a code owner",)),
        ({"dismiss_stale_reviews_on_push": False}, ()),
        (
            {"dismiss_stale_reviews_on_push": False, "require_last_push_approval": False},
            ("commits pushed after an approval need no new approval",),
        ),
    ],
)
def test_a_weakened_review_rule_is_a_gap(
    ruleset: dict[str, Any], client: Client, changes: dict[str, Any], gaps: tuple[str, ...]
) -> None:
    rule(ruleset, "pull_request")["parameters"].update(changes)
    assert load_protection(client, "main").gaps == gaps


@pytest.mark.parametrize(
    ("checks", "words"),
    [
        ([], "the check 'ml / permit' is not required (required: none)"),
        ([{"context": "permit", "integration_id": 15368}], "is not required (required: permit)"),
        ([{"context": "ml / permit"}], "is not pinned to GitHub Actions (integration_id 15368)"),
        (
            [{"context": "ml / permit", "integration_id": 1}],
            "any app or user with permission to write statuses can report it",
        ),
    ],
)
def test_a_check_that_is_missing_or_not_pinned_is_a_gap(
    ruleset: dict[str, Any], client: Client, checks: list[Any], words: str
) -> None:
    rule(ruleset, "required_status_checks")["parameters"]["required_status_checks"] = checks
    (gap,) = load_protection(client, "main").check_gaps("ml / permit")
    assert words in gap


def test_two_rulesets_protect_together(ruleset: dict[str, Any], client: Client, github: GitHub) -> None:
    deletion = rule(ruleset, "deletion")
    ruleset["rules"].remove(deletion)
    github.ruleset({**ruleset, "name": "organization", "rules": [deletion]})
    assert load_protection(client, "main").gaps == ()


@pytest.mark.parametrize("enforcement", ["evaluate", "disabled"])
def test_a_ruleset_that_is_not_active_protects_nothing(
    ruleset: dict[str, Any], client: Client, enforcement: str
) -> None:
    ruleset["enforcement"] = enforcement
    found = load_protection(client, "main")
    assert len(found.gaps) == 3
    assert found.idle == (f"enforcement of ruleset main is {enforcement}",)


def test_another_branch_is_not_protected_by_it(ruleset: dict[str, Any], client: Client) -> None:
    assert len(load_protection(client, "release/a b").gaps) == 3


def test_classic_protection_is_not_counted(github: GitHub, client: Client) -> None:
    github.protections["main"] = {"required_status_checks": {"contexts": ["ml / permit"]}}
    assert len(load_protection(client, "main").gaps) == 3


def test_a_branch_that_was_deleted_keeps_its_rules(ruleset: dict[str, Any], client: Client, github: GitHub) -> None:
    github.branches.clear()
    assert load_protection(client, "main").gaps == ()


def test_who_may_bypass_is_a_gap_where_the_token_may_see_it(ruleset: dict[str, Any], github: GitHub) -> None:
    ruleset["bypass_actors"] = [{"actor_type": "Team", "actor_id": 7}, {"actor_type": "OrganizationAdmin"}]
    administrator = Client(github.repository, "admin", github.url)
    assert load_protection(administrator, "main").gaps == ("Team 7, OrganizationAdmin may bypass its rules",)
    ruleset["bypass_actors"] = []
    assert load_protection(administrator, "main").bypass == ()


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (says(401, {"message": "Bad credentials"}), "with 401 Bad credentials (the token is not valid)"),
        (says(403, {"message": "Upgrade to GitHub Pro"}), "Upgrade to GitHub Pro (the token may not see the rules, or"),
        (says(404, {"message": "Not Found"}), "(the repository does not exist, or the token may not see it)"),
        (says(410, {"message": "Gone"}), "with 410 Gone (unexpected answer)"),
        (says(200, [{"type": 3}]), "GitHub lists a rule in an unknown format (type: Input should be a valid string)"),
        (says(200, ["deletion"]), "GitHub lists a rule in an unknown format"),
        (says(200, [{"type": "deletion", "ruleset_id": "1"}]), "unknown format (ruleset_id:"),
        (says(200, [{"type": "pull_request", "parameters": []}]), "unknown format (parameters:"),
    ],
)
def test_an_unclear_answer_is_a_failure(
    ruleset: dict[str, Any], client: Client, github: GitHub, fault: Fault, words: str
) -> None:
    github.next(fault)
    with pytest.raises(Failed, match=r"^main cannot be shown to be protected: ") as raised:
        load_protection(client, "main")
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (says(500), "with 500"),
        (says(503, b"<html>"), "with 503"),
        (reset, "GitHub cannot be reached at"),
        (lost, "GitHub cannot be reached at"),
        (used_up(3600), "more than the limit of 60 s"),
        (says(200, b"<html>Log in</html>"), "is not JSON"),
        (says(200, {"rules": []}), "is not a list"),
    ],
)
def test_no_answer_is_exit_4(ruleset: dict[str, Any], client: Client, github: GitHub, fault: Fault, words: str) -> None:
    github.next(*[fault] * 9)
    with pytest.raises(Outside, match=words) as raised:
        load_protection(client, "main")
    assert raised.value.exit_code == 4


def test_a_github_that_hangs_is_exit_4(
    ruleset: dict[str, Any], client: Client, github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("beampermit.github.client.TIMEOUT", 0.1)
    github.next(*[hang(0.3)] * 9)
    with pytest.raises(Outside, match="GitHub cannot be reached at"):
        load_protection(client, "main")


def test_without_access_to_a_ruleset_only_the_bypass_list_is_unknown(ruleset: dict[str, Any], github: GitHub) -> None:
    github.next(says(403, {"message": "Resource not accessible"}), of="/rulesets/")
    found = load_protection(Client(github.repository, "admin", github.url), "main")
    assert (found.gaps, found.bypass) == ((), None)


@pytest.fixture
def ledger(ruleset: dict[str, Any], github: GitHub) -> dict[str, Any]:
    """The template's ruleset of the ledger's branch, active on GitHub beside that of `main`; to be weakened."""
    return github.ruleset(json.loads(LEDGER.read_text()))


def test_the_templates_ruleset_protects_the_ledger(ledger: dict[str, Any], client: Client, github: GitHub) -> None:
    github.branches.clear()
    assert load_ledger_gaps(client) == (), "also before the first promotion, when there is no such branch"


@pytest.mark.parametrize(
    ("type", "gap"),
    [
        ("non_fast_forward", "beampermit-ledger can be set back to an older state of the ledger with a force-push"),
        ("deletion", "beampermit-ledger can be deleted, and the ledger with it"),
    ],
)
def test_a_rule_that_the_ledger_lacks_is_a_gap(ledger: dict[str, Any], client: Client, type: str, gap: str) -> None:
    ledger["rules"].remove(rule(ledger, type))
    assert load_ledger_gaps(client) == (gap,)


def test_who_may_bypass_the_rules_of_the_ledger_is_a_gap(ledger: dict[str, Any], github: GitHub) -> None:
    ledger["bypass_actors"] = [{"actor_type": "Team", "actor_id": 7}]
    assert load_ledger_gaps(Client(github.repository, "admin", github.url)) == (
        "Team 7 may bypass the rules of beampermit-ledger",
    )


def test_a_further_rule_of_who_may_push_the_ledger_may_have_exceptions(ledger: dict[str, Any], github: GitHub) -> None:
    """Only a robot may append: it bypasses that rule, and none of those that keep the history."""
    robot = [{"actor_type": "Integration", "actor_id": 15368}]
    github.ruleset({**ledger, "name": "robot", "rules": [{"type": "update"}], "bypass_actors": robot})
    assert load_ledger_gaps(Client(github.repository, "admin", github.url)) == ()


def test_one_ruleset_may_protect_all_branches(client: Client, github: GitHub, ruleset: dict[str, Any]) -> None:
    ruleset["conditions"] = {"ref_name": {"include": ["~ALL"], "exclude": []}}
    assert load_ledger_gaps(client) == ()


def test_a_stand_in_is_named_as_one() -> None:
    def source(api: str) -> str:
        return Protection("lab/faults", "main", api, (), None).source

    assert source("http://127.0.0.1:80") == ", according to a stand-in for GitHub (http://127.0.0.1:80)"
    assert source("https://api.github.com") == ""
    assert source("https://127.0.0.1.lab.example/api/v3") == ""
