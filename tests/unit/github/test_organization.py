"""Rulesets of an organization: applied once, found by name, and counted for each repository that they reach."""

from __future__ import annotations

import json
from typing import Any

import pytest

import support.github_setup  # noqa: F401 - its answers
from beampermit.errors import BadInput, BeampermitError, Outside
from beampermit.github.client import Client
from beampermit.github.context import organization_client
from beampermit.github.protection import load_ledger_gaps, load_protection
from beampermit.github.rulesets import apply_ruleset, parse_ruleset, read_ruleset, read_rulesets
from support.github_server import Fault, lost, says
from support.github_stand_in import GitHub, Token
from support.paths import ROOT

FOLDER = ROOT / "deploy/organization"
TEMPLATE = ROOT / "template/{{cookiecutter.project_slug}}/.github/rulesets"


@pytest.fixture
def client(github: GitHub) -> Client:
    github.tokens = {"owner": Token("ada"), "s3cret": Token(rights=frozenset({"metadata:read", "contents:read"}))}
    return Client("lab/.github", "owner", github.url, lambda _: None)


def workflow(**changes: Any) -> str:
    body = json.loads((FOLDER / "required-workflow.json").read_text())
    body["rules"][0]["parameters"]["workflows"][0].update({"repository_id": 7, "sha": "a" * 40, **changes})
    return json.dumps(body)


def test_they_ask_for_what_the_templates_rulesets_ask_for() -> None:
    for name in ("main", "ledger"):
        ours, own = read_ruleset(FOLDER / f"rulesets/{name}.json"), read_ruleset(TEMPLATE / f"{name}.json")
        assert (ours.rules, ours.conditions.ref_name) == (own.rules, own.conditions.ref_name)
        assert ours.conditions.repositories == ("repository_property",)
        assert (ours.enforcement, ours.bypass_actors) == ("active", ())


@pytest.mark.slow
def test_they_are_created_once_updated_where_they_differ_and_left_alone_otherwise(
    client: Client, github: GitHub
) -> None:
    rulesets = read_rulesets(FOLDER / "rulesets")
    github.ruleset({**rulesets[0].body, "name": rulesets[1].name})  # a repository's own one of that name is another one
    apply = lambda dry_run=False: [apply_ruleset(client, one, "lab", dry_run=dry_run).done for one in rulesets]  # noqa: E731
    assert (apply(dry_run=True), github.count("POST")) == (["created", "created"], 0)
    assert apply() == ["created", "created"]
    assert apply() == ["unchanged", "unchanged"]
    made = next(one for one in github.rulesets.values() if one["name"] == "beampermit-main" and "Org" in str(one))
    made["conditions"]["repository_property"]["include"] = []
    assert apply() == ["unchanged", "updated"]
    assert made["conditions"] == rulesets[1].body["conditions"]


@pytest.mark.slow
def test_a_branch_that_only_the_organization_protects_is_protected(client: Client, github: GitHub) -> None:
    assert len(load_protection(client.sibling(github.repository), "main").gaps) == 3
    for ruleset in read_rulesets(FOLDER / "rulesets"):
        apply_ruleset(client, ruleset, "lab")
    reader = Client(github.repository, "s3cret", github.url)
    found = load_protection(reader, "main")
    assert (found.gaps, found.check_gaps("ml / permit"), load_ledger_gaps(reader)) == ((), (), ())
    assert (found.of_organization, found.bypass) == (True, None)
    github.ruleset(
        json.loads((TEMPLATE / "ledger.json").read_text()) | {"conditions": {"ref_name": {"include": ["~ALL"]}}}
    )
    assert not load_protection(reader, "main").of_organization


def test_a_ruleset_of_the_organization_is_not_taken_for_the_repositorys_own(client: Client, github: GitHub) -> None:
    ruleset = read_ruleset(TEMPLATE / "main.json")
    github.ruleset({**ruleset.body, "source_type": "Organization", "source": "lab", "rules": []})
    mine = client.sibling(github.repository)
    assert [apply_ruleset(mine, ruleset).done for _ in range(2)] == ["created", "unchanged"]
    assert [one["source_type"] for one in github.rulesets.values()] == ["Organization", "Repository"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"repository_id": 0}, "repository_id is a number: `gh api repos/OWNER/NAME --jq .id` says which"),
        ({"sha": "0" * 40}, "sha is the commit of the workflow: `git rev-parse HEAD` says which"),
        ({"sha": "a" * 39}, "sha: String should match pattern"),
        ({"sha": None}, "neither sha nor ref says which commit of the workflow runs"),
        ({"path": "guard.yml"}, "path: String should match pattern"),
        ({"branch": "main"}, "branch: Extra inputs are not permitted"),
    ],
)
def test_a_required_workflow_that_is_not_filled_in_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput) as raised:
        parse_ruleset(workflow(**changes), "guard.json")
    assert said in str(raised.value)


@pytest.mark.parametrize("changes", [{}, {"sha": None, "ref": "refs/heads/main"}])
def test_a_required_workflow_is_sent_as_it_is(client: Client, github: GitHub, changes: dict[str, Any]) -> None:
    ruleset = parse_ruleset(workflow(**changes), "guard.json")
    assert [apply_ruleset(client, ruleset, "lab").done for _ in range(2)] == ["created", "unchanged"]
    (made,) = github.rulesets.values()
    assert made["rules"] == ruleset.body["rules"]


@pytest.mark.parametrize(
    ("conditions", "organization", "said"),
    [
        ({}, "lab", "and none is there"),
        ({"repository_id": {"repository_ids": [1]}}, "lab", None),
        ({"repository_name": {"include": ["~ALL"], "protected": True}}, "lab", None),
        (
            {"repository_id": {"repository_ids": [1]}, "repository_name": {"include": ["~ALL"]}},
            "lab",
            "and repository_name and repository_id are there",
        ),
        ({"repository_name": {"include": ["~ALL"]}}, "", "is one of an organization: conditions.repository_name"),
        ({}, "", None),
    ],
)
def test_repositories_are_chosen_in_one_way(
    client: Client, conditions: dict[str, Any], organization: str, said: str | None
) -> None:
    body = json.loads((TEMPLATE / "ledger.json").read_text())
    ruleset = parse_ruleset(json.dumps({**body, "conditions": {**body["conditions"], **conditions}}), "ledger.json")
    if said is None:
        mine = client if organization else client.sibling("lab/faults")
        assert apply_ruleset(mine, ruleset, organization).done == "created"
        return
    with pytest.raises(BadInput) as raised:
        apply_ruleset(client, ruleset, organization)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        (
            says(403, {"message": "Must be an owner"}),
            BadInput,
            "with 403 Must be an owner; this needs a token of an owner",
        ),
        (says(404, {"message": "Not Found"}), BadInput, "admin:org"),
        (says(422, {"message": "Upgrade"}), BadInput, "GitHub does not accept ruleset 'beampermit-ledger'"),
        (says(403, {"message": "secondary rate limit"}, retry_after="900"), Outside, "asks to wait 900 s"),
    ],
)
def test_a_refusal_says_which_right_is_missing(
    client: Client, github: GitHub, fault: Fault, kind: type[BeampermitError], said: str
) -> None:
    github.next(fault, of="/orgs/lab/rulesets")
    with pytest.raises(kind) as raised:
        apply_ruleset(client, read_ruleset(FOLDER / "rulesets/ledger.json"), "lab")
    assert said in str(raised.value)


def test_a_lost_reply_is_no_second_ruleset(client: Client, github: GitHub) -> None:
    github.next(lost, of="POST /orgs/lab/rulesets")
    assert apply_ruleset(client, read_ruleset(FOLDER / "rulesets/main.json"), "lab").done == "created"
    assert len(github.rulesets) == 1


@pytest.mark.parametrize("name", ["", "lab/faults", "../x", "a b", "-lab"])
def test_what_is_no_name_of_an_organization_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="is not the name of an organization"):
        organization_client(name, {})


@pytest.mark.parametrize(
    ("variables", "api"),
    [
        ({}, "https://api.github.com"),
        ({"GH_HOST": "git.lab.example"}, "https://git.lab.example/api/v3"),
        ({"GITHUB_SERVER_URL": "https://lab.ghe.com"}, "https://api.lab.ghe.com"),
        ({"GITHUB_API_URL": "http://127.0.0.1:1/"}, "http://127.0.0.1:1"),
    ],
)
def test_an_organization_is_on_the_github_that_the_variables_name(variables: dict[str, str], api: str) -> None:
    assert organization_client("lab", variables).api == api
