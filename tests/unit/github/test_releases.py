"""A release is published complete or not at all; the next run completes one that was stopped anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from beampermit.errors import Conflict, Outside
from beampermit.github.client import Client
from beampermit.github.releases import Release, publish
from support.github_server import Fault, lost, says
from support.github_stand_in import GitHub, Token

COMMIT = "c0ffee" + "0" * 34


@pytest.fixture
def client(github: GitHub) -> Client:
    return Client(github.repository, "s3cret", github.url, lambda _: None)


@pytest.fixture
def release(tmp_path: Path) -> Release:
    files = {"RUNBOOK.md": b"call the expert", "permit.dsse.json": b"{}"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    return Release("faults-v3", COMMIT, "faults version 3", "why", {name: tmp_path / name for name in files})


def names(github: GitHub) -> list[list[str]]:
    return [sorted(asset["name"] for asset in one["assets"]) for one in github.releases.values()]


def test_files_are_uploaded_before_the_release_is_published(client: Client, github: GitHub, release: Release) -> None:
    done = publish(client, release)
    assert done.new
    assert done.address.endswith("/faults-v3")
    assert done.uploaded == ("RUNBOOK.md", "permit.dsse.json")
    asked = [str(one).rpartition("/")[2] for one in github.asked if one.method in ("POST", "PATCH")]
    assert asked[:-1] == ["releases", "assets", "assets"]
    (found,) = github.releases.values()
    assert (found["draft"], found["target_commitish"], found["body"]) == (False, COMMIT, "why")
    assert {one["name"]: github.blobs[one["id"]] for one in found["assets"]}["RUNBOOK.md"] == b"call the expert"


@pytest.mark.slow
def test_a_published_release_is_not_changed(client: Client, github: GitHub, release: Release) -> None:
    first = publish(client, release)
    release.files["RUNBOOK.md"].write_text("another text")
    github.asked.clear()
    again = publish(client, release)
    assert (again.address, again.new, again.uploaded) == (first.address, False, ())
    assert {one.method for one in github.asked} == {"GET"}


@pytest.mark.slow
def test_a_deleted_file_is_uploaded_again(client: Client, github: GitHub, release: Release) -> None:
    publish(client, release)
    (found,) = github.releases.values()
    found["assets"].pop()
    assert publish(client, release).uploaded == ("permit.dsse.json",)
    assert names(github) == [["RUNBOOK.md", "permit.dsse.json"]]


@pytest.mark.slow
@pytest.mark.parametrize("step", ["POST /repos/lab/faults/releases", "/assets", "PATCH"])
@pytest.mark.parametrize("fault", [says(403), says(502)])
def test_stopped_at_any_step_the_next_run_completes_it(
    client: Client, github: GitHub, release: Release, step: str, fault: Fault
) -> None:
    github.next(*[fault] * 9, of=step)
    with pytest.raises(Outside):
        publish(client, release)
    assert all(one["draft"] for one in github.releases.values()) or step == "PATCH"
    github.faults.clear()
    publish(client, release)
    assert [one["draft"] for one in github.releases.values()].count(False) == 1
    assert names(github)[0] == ["RUNBOOK.md", "permit.dsse.json"]


@pytest.mark.slow
@pytest.mark.parametrize("step", ["POST /repos/lab/faults/releases", "/assets"])
@pytest.mark.parametrize("fault", [says(502), lost])
def test_a_lost_reply_does_not_create_a_second_release(
    client: Client, github: GitHub, release: Release, step: str, fault: Fault
) -> None:
    github.next(fault, of=step)
    assert publish(client, release).new
    assert names(github) == [["RUNBOOK.md", "permit.dsse.json"]]


@pytest.mark.slow
def test_the_files_of_an_earlier_draft_are_replaced(client: Client, github: GitHub, release: Release) -> None:
    draft = client.post("/releases", {"tag_name": "faults-v3", "draft": True, "target_commitish": COMMIT})
    client.upload(draft["upload_url"], b"call the expErt", name="RUNBOOK.md")
    client.upload(draft["upload_url"], b"old", name="OLD.md")
    publish(client, release)
    (found,) = github.releases.values()
    assert {one["name"]: github.blobs[one["id"]] for one in found["assets"]} == {
        "RUNBOOK.md": b"call the expert",
        "permit.dsse.json": b"{}",
    }


def test_a_tag_of_another_commit_is_a_conflict(client: Client, github: GitHub, release: Release) -> None:
    client.post("/releases", {"tag_name": "faults-v3", "target_commitish": "d" * 40})
    with pytest.raises(Conflict, match="tag faults-v3 is on commit dddddddddddd, but this release is of commit c0ffee"):
        publish(client, release)


def test_a_token_without_permission_is_reported(client: Client, github: GitHub, release: Release) -> None:
    github.tokens["s3cret"] = Token(rights=frozenset({"contents:read"}))
    with pytest.raises(Outside, match="403 Resource not accessible"):
        publish(client, release)
    assert not github.releases
