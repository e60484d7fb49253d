"""A ruleset's file is judged before GitHub sees it, and the template's two are sound."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from beampermit.errors import BadInput
from beampermit.github.rulesets import parse_ruleset, read_ruleset
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
def test_what_is_no_ruleset_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "main.json").write_text(text)
    with pytest.raises(BadInput, match=r"main\.json"):
        read_ruleset(tmp_path / "main.json")


def test_a_ruleset_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"main\.json: this ruleset does not exist") as caught:
        read_ruleset(tmp_path / "main.json")
    assert "beampermit init" in caught.value.hint


@pytest.mark.parametrize(
    ("include", "exclude", "covers"),
    [
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
