"""Rulesets: the file is validated; on GitHub it is created once, updated where it differs, and left alone otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from beampermit.errors import BadInput, BeampermitError, Outside
from beampermit.github.client import Client, Unsure
from beampermit.github.rulesets import Ruleset, apply_ruleset, parse_ruleset, read_ruleset
from support.github_server import Fault, lost, meanwhile, reset, says
from support.github_stand_in import GitHub, Token
from support.paths import ROOT

RULESETS = ROOT / "template/{{cookiecutter.project_slug}}/.github/rulesets"


@pytest.fixture
def main() -> dict[str, Any]:
    """The template's ruleset, to be broken."""
    return json.loads((RULESETS / "main.json").read_text())


def test_the_templates_ruleset_holds_what_a_release_needs(main: dict[str, Any]) -> None:
    found = read_ruleset(RULESETS / "main.json")
    assert found.body == main
    assert (found.enforcement, found.bypass_actors) == ("active", ())
    assert [rule.type for rule in found.rules] == [
        "deletion",
        "non_fast_forward",
        "required_linear_history",
        "pull_request",
        "required_status_checks",
    ]


def test_the_merge_queue_is_a_ruleset_of_its_own() -> None:
    assert [rule.type for rule in read_ruleset(RULESETS / "merge-queue.json").rules] == ["merge_queue"]


def edited(main: dict[str, Any], rule: int | None, **changes: Any) -> str:
    holder = main if rule is None else main["rules"][rule]["parameters"]
    holder.update(changes)
    return json.dumps(main)


@pytest.mark.parametrize(
    ("rule", "changes", "words"),
    [
        (None, {"enforcement": "on"}, "enforcement: Input should be 'active', 'evaluate' or 'disabled'"),
        (None, {"target": "tag"}, "target: Input should be 'branch'"),
        (None, {"name": ""}, "name: String should have at least 1 character"),
        (None, {"enforcment": "active"}, "enforcment: Extra inputs are not permitted"),
        (None, {"conditions": {}}, "conditions.ref_name: Field required"),
        (None, {"rules": [{"type": "Deletion"}]}, "rules.0.other.type: String should match"),
        (None, {"rules": ["deletion"]}, "rules.0.other: Input should be a valid dictionary"),
        (None, {"bypass_actors": [{"actor_type": "Everybody"}]}, "bypass_actors.0.actor_type"),
        (3, {"require_codeowner_review": True}, "require_codeowner_review: Extra inputs are not permitted"),
        (3, {"required_approving_review_count": 11}, "less than or equal to 10"),
        (4, {"required_status_checks": []}, "required_status_checks: Tuple should have at least 1 item"),
        (4, {"required_status_checks": [{"context": ""}]}, "context: String should have at least 1 character"),
    ],
)
def test_a_planted_defect_is_named_with_file_and_key(
    main: dict[str, Any], rule: int | None, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(BadInput, match=r"^main\.json: not a valid ruleset: ") as raised:
        parse_ruleset(edited(main, rule, **changes), "main.json")
    assert words in str(raised.value)


@pytest.mark.parametrize("text", ["[]", "{", '{"name": "a", "name": "b"}'])
def test_other_json_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "main.json").write_text(text)
    with pytest.raises(BadInput, match=r"main\.json"):
        read_ruleset(tmp_path / "main.json")


def test_a_missing_ruleset_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"main\.json: this ruleset does not exist") as caught:
        read_ruleset(tmp_path / "main.json")
    assert "beampermit init" in caught.value.hint


@pytest.mark.parametrize(
    ("include", "exclude", "covers"),
    [
        (["refs/heads/*"], ["refs/heads/release/*"], True),
        (["refs/heads/[lm]ain"], [], True),
        (["~DEFAULT_BRANCH"], [], True),
        (["~ALL"], [], True),
        (["refs/heads/main"], [], True),
        (["refs/heads/m*"], [], True),
        (["refs/heads/release/*"], [], False),
        (["main"], [], False),
        ([], [], False),
        (["~ALL"], ["~DEFAULT_BRANCH"], False),
        (["~ALL"], ["refs/heads/main"], False),
    ],
)
def test_a_ruleset_covers_the_branches_that_it_names(
    main: dict[str, Any], include: list[str], exclude: list[str], covers: bool
) -> None:
    text = edited(main, None, conditions={"ref_name": {"include": include, "exclude": exclude}})
    assert parse_ruleset(text, "main.json").covers("main", "main") is covers


@pytest.mark.parametrize(("branch", "covers"), [("release", False), ("release/2", True), ("release/2/hot", False)])
def test_a_star_of_a_ruleset_takes_no_slash_as_on_github(main: dict[str, Any], branch: str, covers: bool) -> None:
    text = edited(main, None, conditions={"ref_name": {"include": ["refs/heads/release/*"], "exclude": []}})
    assert parse_ruleset(text, "main.json").covers(branch, "main") is covers


MAIN = ROOT / "template/{{cookiecutter.project_slug}}/.github/rulesets/main.json"


@pytest.fixture
def client(github: GitHub) -> Client:
    github.tokens = {
        "s3cret": Token("ada"),
        "workflow": Token(rights=frozenset({"metadata:read", "contents:write"})),
        "stranger": Token("eve", rights=frozenset()),
    }
    return Client(github.repository, "s3cret", github.url, lambda _: None)


@pytest.fixture
def ruleset() -> Ruleset:
    return read_ruleset(MAIN)


def standing(github: GitHub) -> list[dict[str, Any]]:
    return list(github.rulesets.values())


def test_a_ruleset_is_created_once(client: Client, github: GitHub, ruleset: Ruleset) -> None:
    made = apply_ruleset(client, ruleset)
    assert (made.done, made.name) == ("created", "main")
    assert '+      "type": "deletion"' in made.difference
    assert [one["name"] for one in standing(github)] == ["main"]
    assert standing(github)[0]["rules"] == json.loads(MAIN.read_text())["rules"]
    writes = github.count("POST")
    assert apply_ruleset(client, ruleset).done == "unchanged"
    assert (github.count("POST"), github.count("PUT")) == (writes, 0)


def test_keys_that_github_adds_are_no_difference(client: Client, github: GitHub, ruleset: Ruleset) -> None:
    body = json.loads(MAIN.read_text())
    body["rules"].reverse()
    review = next(rule for rule in body["rules"] if rule["type"] == "pull_request")["parameters"]
    review |= {"required_reviewers": [], "dismissal_restriction": {"enabled": False}}
    review["allowed_merge_methods"].reverse()
    github.ruleset({**body, "_links": {}, "node_id": "x", "current_user_can_bypass": "never"})
    assert apply_ruleset(client, ruleset).done == "unchanged"


@pytest.mark.parametrize(
    ("path", "value", "line"),
    [
        (("enforcement",), "evaluate", '-  "enforcement": "evaluate"'),
        (("bypass_actors",), [{"actor_type": "Team", "actor_id": 7, "bypass_mode": "always"}], '-      "actor_id": 7'),
        (("conditions", "ref_name", "exclude"), ["refs/heads/main"], '-        "refs/heads/main"'),
        (("rules", 3, "parameters", "require_code_owner_review"), False, '-        "require_code_owner_review": false'),
        (("rules", 0), {"type": "creation"}, '-      "type": "creation"'),
    ],
)
def test_each_manual_change_is_shown_and_undone(
    client: Client, github: GitHub, ruleset: Ruleset, path: tuple[Any, ...], value: Any, line: str
) -> None:
    body = json.loads(MAIN.read_text())
    holder = body
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    id = github.ruleset(body)["id"]
    shown = apply_ruleset(client, ruleset, dry_run=True)
    assert (shown.done, github.count("PUT")) == ("updated", 0)
    assert line in shown.difference.replace("-    {\n-      ", "-      ")
    assert apply_ruleset(client, ruleset).done == "updated"
    assert apply_ruleset(client, ruleset).done == "unchanged"
    assert list(github.rulesets) == [id]


def test_a_rule_that_somebody_added_is_removed(client: Client, github: GitHub, ruleset: Ruleset) -> None:
    body = json.loads(MAIN.read_text())
    body["rules"].append({"type": "required_signatures"})
    github.ruleset(body)
    assert '-      "type": "required_signatures"' in apply_ruleset(client, ruleset).difference
    assert "required_signatures" not in json.dumps(standing(github))


def test_a_dry_run_changes_nothing(client: Client, github: GitHub, ruleset: Ruleset) -> None:
    assert apply_ruleset(client, ruleset, dry_run=True).done == "created"
    assert github.rulesets == {}


def test_other_rulesets_are_left_alone(client: Client, github: GitHub, ruleset: Ruleset) -> None:
    github.most = 2
    for number in range(5):
        github.ruleset({"name": f"other {number}", "enforcement": "active"})
    assert apply_ruleset(client, ruleset).done == "created"
    assert len(github.rulesets) == 6


@pytest.mark.parametrize("token", ["workflow", "stranger", "nobody"])
def test_a_token_without_permission_says_which_token_has_it(
    client: Client, github: GitHub, ruleset: Ruleset, token: str
) -> None:
    with pytest.raises(BadInput, match="this needs a token of a repository administrator") as raised:
        apply_ruleset(Client(github.repository, token, github.url), ruleset)
    assert raised.value.exit_code == 2
    assert token not in str(raised.value).split("/")
    assert github.rulesets == {}


def test_a_refusal_shows_the_message_of_github(client: Client, github: GitHub, ruleset: Ruleset) -> None:
    github.next(says(422, {"message": "Invalid rule 'merge_queue'"}), of="POST")
    with pytest.raises(BadInput, match=r"GitHub does not accept ruleset 'main': .*Invalid rule 'merge_queue'"):
        apply_ruleset(client, ruleset)


@pytest.mark.slow
def test_a_lost_reply_leaves_one_ruleset(client: Client, github: GitHub, ruleset: Ruleset) -> None:
    github.next(lost, of="POST")
    assert apply_ruleset(client, ruleset).done == "created"
    assert len(github.rulesets) == 1


def test_a_lost_request_is_reported_and_the_next_run_creates_the_ruleset(
    client: Client, github: GitHub, ruleset: Ruleset
) -> None:
    github.next(reset, of="POST")
    with pytest.raises(Unsure):
        apply_ruleset(client, ruleset)
    assert github.rulesets == {}
    assert apply_ruleset(client, ruleset).done == "created"


def test_of_two_runs_at_once_one_is_refused(client: Client, github: GitHub, ruleset: Ruleset) -> None:
    github.next(meanwhile(lambda: github.ruleset(json.loads(MAIN.read_text()))), of="POST")
    with pytest.raises(BadInput, match="Name must be unique"):
        apply_ruleset(client, ruleset)
    assert apply_ruleset(client, ruleset).done == "unchanged"


@pytest.mark.parametrize("fault", [says(200, []), says(200, {"id": "7"}), says(500)])
def test_an_unknown_format_changes_nothing(client: Client, github: GitHub, ruleset: Ruleset, fault: Fault) -> None:
    github.ruleset({"name": "main", "enforcement": "evaluate"})
    github.next(*[fault] * 9, of="/rulesets/")
    with pytest.raises(BeampermitError) as raised:
        apply_ruleset(client, ruleset)
    assert isinstance(raised.value, Outside)
    assert github.count("PUT") == 0
