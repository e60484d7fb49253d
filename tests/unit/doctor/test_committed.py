"""What files say: each with a planted defect, and with an odd but sound set-up."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from beampermit.doctor import committed
from beampermit.doctor.results import Found, State
from beampermit.doctor.subject import Known, Subject
from support.github_setup import of
from support.github_stand_in import GitHub

Look = Callable[[Callable[[Subject], Found]], Found]
PASSED, FAILED, UNKNOWN = State.PASSED, State.FAILED, State.UNKNOWN
KEY, RELEASE = ".github/permit.pub", ".github/workflows/release.yml"
RECORD, RENDER = ".cruft.json", ".cruft.render.json"
OWN = {"format": 1, "commit": "abcdef0123456789", "template": "sha256:" + 64 * "0"}


def day(days: int) -> str:
    return f"{(datetime.now(UTC) + timedelta(days=days)).date()}"


def with_day(days: int) -> Callable[[dict[str, str]], Any]:
    return lambda files: files.update({KEY: f"not-after: {day(days)}\n{files[KEY]}"})


def pinned(files: dict[str, str], to: str) -> None:
    text = files[RELEASE]
    start = text.index("@", text.index("uses: beampermit/beampermit")) + 1
    files[RELEASE] = text.replace(text[start : start + 40], to)


def broken(files: dict[str, str]) -> None:
    files["contract.yaml"] = "beampermit: 1\n"


def mirrored(files: dict[str, str]) -> None:
    for name, text in files.items():
        files[name] = text.replace("beampermit/beampermit/", "lab/mirror/")


def with_file(name: str, text: str) -> Callable[[dict[str, str]], Any]:
    return lambda files: files.update({name: text})


def recorded(**more: Any) -> Callable[[dict[str, str]], Any]:
    body = {"template": "x", "commit": "abcdef0123456789", "context": {"cookiecutter": {"project_slug": "x"}}, **more}
    return with_file(RECORD, json.dumps(body))


def together(*changes: Callable[[dict[str, str]], Any]) -> Callable[[dict[str, str]], Any]:
    return lambda files: [change(files) for change in changes]


CASES: list[tuple[str, Callable[[Subject], Found], Callable[[dict[str, str]], Any], State, str]] = [
    ("as it is", committed.contract, lambda _: None, PASSED, "is valid, with 2 owners"),
    ("broken", committed.contract, broken, FAILED, "contract.yaml"),
    ("none", committed.contract, lambda files: files.pop("contract.yaml"), FAILED, "there is no contract"),
    ("as it is", committed.signing_key, lambda _: None, PASSED, "1 key in .github/permit.pub, without a last day"),
    ("none", committed.signing_key, lambda files: files.pop(KEY), FAILED, "is not committed: no permit can"),
    ("no key", committed.signing_key, lambda files: files.update({KEY: "key\n"}), FAILED, "neither a public key in"),
    ("31 days left", committed.signing_key, with_day(31), PASSED, f"valid until {day(31)}"),
    ("29 days left", committed.signing_key, with_day(29), FAILED, f"is {day(29)}: it ends in 29 days"),
    ("ended", committed.signing_key, with_day(-3), FAILED, "it ended 3 days ago"),
    (
        "an old one beside the new one",
        committed.signing_key,
        lambda files: files.update({KEY: f"not-after: {day(-9)}\n{files[KEY]}\n{files[KEY]}"}),
        PASSED,
        "2 keys in .github/permit.pub, without a last day",
    ),
    ("as it is", committed.pins, lambda _: None, PASSED, "pinned; beampermit/beampermit@"),
    ("a tag", committed.pins, lambda files: pinned(files, "v1"), FAILED, "'v1' is a tag or branch, which can be moved"),
    ("several commits", committed.pins, lambda files: pinned(files, "f" * 40), FAILED, "pinned to several commits"),
    ("a mirror", committed.pins, mirrored, PASSED, "lab/mirror@"),
    (
        "no workflow",
        committed.pins,
        lambda files: [files.pop(name) for name in [*files] if "workflows" in name],
        FAILED,
        "there is no workflow",
    ),
    (
        "workflows of others alone",
        committed.pins,
        lambda files: [files.pop(name) for name in [*files] if "workflows" in name]
        and files.update({RELEASE: "on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps: [{run: ls}]\n"}),
        FAILED,
        "no workflow calls those of Beampermit",
    ),
    ("not recorded", committed.template, lambda _: None, UNKNOWN, "is not recorded"),
    ("recorded by cruft", committed.template, recorded(more=[]), PASSED, "made from commit abcdef012345"),
    (
        "recorded by us",
        committed.template,
        recorded(beampermit={**OWN, "version": "0.2.0"}),
        PASSED,
        "made from version 0.2.0, commit abcdef012345",
    ),
    (
        "no commit",
        committed.template,
        recorded(commit=None, beampermit={**OWN, "commit": None, "version": "0.2.0"}),
        PASSED,
        "made from version 0.2.0, a commit that is not recorded",
    ),
    ("torn", committed.template, with_file(RECORD, "{"), FAILED, ".cruft.json:1: not JSON: "),
    ("a list", committed.template, with_file(RECORD, "[]"), FAILED, ".cruft.json: "),
    ("nested without end", committed.template, with_file(RECORD, "[" * 200_000), FAILED, ".cruft.json: not JSON: "),
    (
        "of other types",
        committed.template,
        recorded(commit=3, beampermit={"version": ["a"]}),
        FAILED,
        ".cruft.json: commit: ",
    ),
    ("of a later version", committed.template, recorded(beampermit={"format": 2}), FAILED, "this file has format 2"),
    (
        "a render",
        committed.template,
        together(recorded(), with_file(RENDER, '{"format": 1, "files": {"a": {"lines": ["x"]}}}')),
        PASSED,
        "made from commit",
    ),
    (
        "a torn render",
        committed.template,
        together(recorded(), with_file(RENDER, '{"format": 1, "files": {"a": {"lines": "x"}}}')),
        FAILED,
        ".cruft.render.json: files.a.lines",
    ),
    (
        "a render that leaves the project",
        committed.template,
        together(recorded(), with_file(RENDER, '{"format": 1, "files": {"../a": {"lines": ["x"]}}}')),
        FAILED,
        ".cruft.render.json: '../a' is not a name of a file in a project",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("check", "change", "state", "said"),
    [case[1:] for case in CASES],
    ids=[f"{case[1].__name__}: {case[0]}" for case in CASES],
)
def test_what_files_say(
    subject: Subject, files: dict[str, str], check: Callable[[Subject], Found],
    change: Callable[[dict[str, str]], Any], state: State, said: str,
) -> None:  # fmt: skip
    change(files)
    kept = replace(subject.files, paths=tuple(files))
    found = check(replace(subject, files=kept, client=None, known=Known()))
    assert (found.state, said in found.reason) == (state, True), found
    assert (state is FAILED) == (found.fix != "")


@pytest.mark.slow
def test_the_day_of_a_pin_is_said_where_it_is_seen_and_asked_for_once(
    look: Look, whole: GitHub, files: dict[str, str], subject: Subject
) -> None:
    start = files[RELEASE].index("@", files[RELEASE].index("uses: beampermit/beampermit")) + 1
    commit = files[RELEASE][start : start + 40]
    assert f"beampermit/beampermit@{commit[:12]}" in look(committed.pins).reason
    assert " of 2" not in look(committed.pins).reason
    of(whole).dates[f"beampermit/beampermit@{commit}"] = "2026-03-01"
    before = whole.count("/commits/")
    for _ in range(2):
        assert committed.pins(subject).reason.endswith(f"{commit[:12]} of 2026-03-01")
    assert whole.count("/commits/") == before + 1


def test_without_github_owners_are_looked_at_in_the_file_alone(subject: Subject, files: dict[str, str]) -> None:
    here = replace(subject, client=None)
    assert "GitHub was not asked" in committed.owners(here).reason
    files["CODEOWNERS"] = "* TODO@maintainer.example\n"
    found = committed.owners(replace(here, known=Known(), name="again"))
    assert (found.state, "still names TODO@maintainer.example" in found.reason) == (FAILED, True)
