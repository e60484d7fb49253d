"""The ledger takes fast-forward pushes only; the second of two gets a conflict, and the work tree is not touched."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from beampermit.errors import BadInput, Conflict, Outside
from beampermit.git import Git
from beampermit.processes import Finished
from beampermit.project import Project
from beampermit.registry.event import Event
from beampermit.registry.ledger import BRANCH, Ledger

Make = Callable[..., Event]


def test_no_ledger_yet_is_empty(ledger: Ledger) -> None:
    ledger.fetch()
    assert ledger.events() == ()
    assert ledger.state("bpm-faults").champion is None


def test_no_remote_reads_as_empty_and_refuses_to_append(project: Project, event: Make) -> None:
    ledger = Ledger(project.git)
    ledger.fetch()
    assert ledger.state("bpm-faults").champion is None
    with pytest.raises(BadInput, match="which this repository does not have") as caught:
        ledger.append(event())
    assert caught.value.hint == "git remote add origin URL"


@pytest.mark.slow
def test_an_appended_event_is_read_in_another_clone(ledger: Ledger, other: Ledger, event: Make) -> None:
    ledger.append(event(), permit=b'{"permit": 1}\n')
    other.fetch()
    assert other.events() == ledger.events() == (event(),)
    assert other.git.read("origin/beampermit-ledger", f"permits/{'b' * 64}.json") == '{"permit": 1}\n'


@pytest.mark.slow
def test_each_event_is_a_commit_that_keeps_the_earlier_ones(ledger: Ledger, origin: Path, event: Make) -> None:
    ledger.append(event(), permit=b"first\n")
    ledger.append(event(sequence=2, version=2, expected=1, permit=f"sha256:{'c' * 64}"), permit=b"second\n")
    bare = Git(origin)
    assert bare("log", "--format=%s", BRANCH).split("\n") == [
        "promote bpm-faults version 2",
        "promote bpm-faults version 1",
    ]
    assert bare.read(BRANCH, f"permits/{'b' * 64}.json") == "first\n"


@pytest.mark.slow
def test_work_tree_index_and_head_are_left_alone(ledger: Ledger, git: Callable[..., str], event: Make) -> None:
    (ledger.git.root / "contract.yaml").write_text("half done\n")
    (ledger.git.root / "new.txt").write_text("new\n")
    git("add", "new.txt")
    before = git("status", "--porcelain=v2", "--branch")
    ledger.append(event())
    assert git("status", "--porcelain=v2", "--branch") == before


@pytest.mark.slow
def test_it_works_in_a_shallow_clone_without_an_identity(
    tmp_path: Path, origin: Path, ledger: Ledger, event: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.append(event())
    clone = tmp_path / "shallow"
    subprocess.run(["git", "clone", "--quiet", "--depth=1", origin.as_uri(), clone], check=True)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("EMAIL", "")
    shallow = Ledger(Git(clone))
    shallow.git("config", "user.useConfigOnly", "true")
    shallow.fetch()
    shallow.append(event(sequence=2, version=2, expected=1))
    assert shallow.state("bpm-faults").champion == event(sequence=2, version=2, expected=1)


@pytest.mark.slow
def test_the_second_of_two_gets_a_conflict_and_nothing_changes(ledger: Ledger, other: Ledger, event: Make) -> None:
    ledger.append(event(by="Ada"))
    with pytest.raises(Conflict, match="somebody else was first: promote bpm-faults version 1 by Ada"):
        other.append(event(by="Bo"))
    assert [one.by for one in other.events()] == ["Ada"]


@pytest.mark.slow
def test_what_was_read_stays_until_the_next_fetch(ledger: Ledger, event: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process fetches into the same clone meanwhile: a state half of before and half of after is nobody's."""
    ledger.append(event(by="Ada"))
    Ledger(ledger.git).append(second := event(sequence=2, version=2, expected=1, by="Bo"))
    asked: list[str] = []
    monkeypatch.setattr(ledger.git, "ref", lambda name, ask=ledger.git.ref: asked.append(name) or ask(name))
    assert [one.by for one in ledger.events()] == ["Ada"]
    with pytest.raises(Conflict, match="somebody else was first: promote bpm-faults version 2 by Bo"):
        ledger.append(second.model_copy(update={"by": "Ada"}))
    ledger.fetch()
    assert [one.by for one in ledger.events()] == ["Ada", "Bo"]
    assert len(asked) == 1, "git is asked where the remote has another commit than the one that was read"


@pytest.mark.slow
def test_an_event_for_a_line_that_was_read_meanwhile_is_a_conflict(ledger: Ledger, event: Make) -> None:
    """The ledger was fetched again after the event was made for its next line."""
    ledger.append(event(by="Ada"))
    with pytest.raises(Conflict, match="somebody else was first: promote bpm-faults version 1 by Ada"):
        ledger.append(event(by="Bo", expected=1))
    assert [one.by for one in ledger.events()] == ["Ada"]


@pytest.mark.slow
def test_an_event_that_no_ledger_may_have_is_not_appended(ledger: Ledger, event: Make) -> None:
    ledger.append(event())
    with pytest.raises(BadInput, match="cannot be appended: it promotes version 1 a second time"):
        ledger.append(event(sequence=2, expected=1))
    ledger.fetch()
    assert ledger.events() == (event(),)


def test_a_line_that_nobody_could_read_is_not_appended(ledger: Ledger, event: Make) -> None:
    ledger.fetch()
    unread = event().model_copy(update={"until": "2027-01-31T00:00:00Z"})
    with pytest.raises(
        BadInput, match="it would be a line that nobody can read: a promotion that retires nothing has no until"
    ):
        ledger.append(unread)
    ledger.fetch()
    assert ledger.events() == ()


def test_another_expected_champion_is_a_conflict_before_any_push(ledger: Ledger, event: Make) -> None:
    with pytest.raises(Conflict, match="the champion is version None, not 7 as expected"):
        ledger.append(event(expected=7))


@pytest.mark.slow
def test_a_hook_that_refuses_is_exit_4(ledger: Ledger, origin: Path, event: Make) -> None:
    hook = origin / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho 'the ledger is frozen for the run' >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(Outside, match="the ledger was not changed: remote: the ledger is frozen for the run"):
        ledger.append(event())
    assert ledger.events() == ()
    hook.unlink()
    ledger.append(event())
    assert ledger.state("bpm-faults").champion == event()


@pytest.mark.slow
def test_an_unreachable_remote_is_exit_4(ledger: Ledger, origin: Path, event: Make) -> None:
    origin.rename(origin.with_name("elsewhere"))
    with pytest.raises(Outside, match="origin does not answer"):
        ledger.fetch()
    with pytest.raises(Outside, match="origin does not answer"):
        ledger.append(event())


@pytest.mark.slow
def test_a_lost_reply_is_not_a_conflict(
    ledger: Ledger, other: Ledger, event: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = ledger._git

    def lose_the_reply(*words: str):
        found = ask(*words)
        return replace(found, code=128, err="fatal: hung up") if words[0] == "push" else found

    monkeypatch.setattr(ledger, "_git", lose_the_reply)
    ledger.append(event())
    other.fetch()
    assert ledger.state("bpm-faults").champion == other.state("bpm-faults").champion == event()


@pytest.mark.slow
def test_a_rewritten_ledger_is_refused(ledger: Ledger, other: Ledger, event: Make) -> None:
    ledger.append(event())
    other.fetch()
    ledger.git("push", "--quiet", "origin", f":{BRANCH}")
    with pytest.raises(Conflict, match="the branch beampermit-ledger was deleted on origin") as gone:
        other.fetch()
    assert gone.value.hint.startswith("git push origin refs/remotes/origin/beampermit-ledger:")
    ledger.git("update-ref", "-d", "refs/remotes/origin/beampermit-ledger")
    Ledger(ledger.git).append(event(by="Mallory"))
    with pytest.raises(Conflict, match="was rewritten"):
        other.fetch()
    assert other.state("bpm-faults").champion == event()


@pytest.mark.slow
def test_a_bad_line_of_a_model_is_not_taken_over_for_it_and_its_repair_is(
    ledger: Ledger, other: Ledger, event: Make
) -> None:
    ledger.append(event())
    git, tracking = ledger.git, "refs/remotes/origin/beampermit-ledger"
    sound = git.ref(tracking) or ""
    text = f"{git.read(sound, 'ledger.jsonl')}not a line of bpm-faults\n"
    tree = git("mktree", stdin=f"100644 blob {git('hash-object', '-w', '--stdin', stdin=text)}\tledger.jsonl\n")
    bad = git("commit-tree", tree, "-p", sound, "-m", "x")
    other.readable = "bpm-faults"
    other.fetch()
    git("push", "--quiet", "origin", f"{bad}:{BRANCH}")
    for _ in range(2):
        with pytest.raises(BadInput, match="JSON") as refused:
            other.fetch()
        assert refused.value.place == "ledger.jsonl:2"
        assert (other.git.ref(tracking), other.state("bpm-faults").champion) == (sound, event())
    git("push", "--quiet", "--force", "origin", f"{sound}:{BRANCH}")
    other.fetch()
    assert other.state("bpm-faults").champion == event()
    git("push", "--quiet", "origin", f"{bad}:{BRANCH}")
    other.readable = "losses"
    other.fetch()
    assert other.git.ref(tracking) == bad


def test_a_clone_that_cannot_be_written_is_not_called_a_remote_that_does_not_answer(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = "error: insufficient permission for adding an object to repository database .git/objects\nfatal: x\n"
    answer = Finished(("git", "fetch"), 128, "", refused)
    monkeypatch.setattr(ledger, "_git", lambda *_: answer)
    with pytest.raises(Outside, match="the ledger of origin cannot be written into this clone: git fetch: error"):
        ledger.fetch()


@pytest.mark.slow
def test_a_file_beside_the_ledger_is_read_once_and_what_git_did_not_give_is_asked_for_again(
    ledger: Ledger, event: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, own, gives = list[str](), Git.read, False

    def read(git: Git, revision: str, path: str) -> str | None:
        asked.append(path)
        return own(git, revision, path) if gives else None

    ledger.append(event(), permit=b"signed")
    monkeypatch.setattr(Git, "read", read)
    assert ledger.permit(event()) is None
    gives = True
    assert [ledger.permit(event()) for _ in range(3)] == [b"signed"] * 3
    assert len(asked) == 2
    # A permit lists all files of a model: few are held.
    monkeypatch.setattr("beampermit.registry.ledger.CACHED", 1)
    assert ledger.beside("ledger.jsonl")
    assert ledger.permit(event()) == b"signed"
    assert len(asked) == 4


def test_a_branch_without_a_ledger_is_named(ledger: Ledger, event: Make) -> None:
    """Somebody pushed another branch under the ledger's name."""
    ledger.git("push", "--quiet", "origin", f"main:{BRANCH}")
    ledger.fetch()
    for act in (ledger.events, lambda: ledger.append(event())):
        with pytest.raises(BadInput, match=r"the branch beampermit-ledger has no ledger\.jsonl") as caught:
            act()
        assert (caught.value.file, caught.value.hint) == ("ledger.jsonl", "git log -p origin/beampermit-ledger")


def test_a_remote_without_a_protected_branch_has_no_keys(ledger: Ledger, origin: Path) -> None:
    """Its only branch is called neither `main` nor what the remote's HEAD names."""
    bare = Git(origin)
    bare("branch", "--move", "main", "work")
    bare("symbolic-ref", "HEAD", "refs/heads/gone")
    ledger.git("update-ref", "-d", "refs/remotes/origin/main")
    ledger.fetch()
    with pytest.raises(BadInput, match="origin has no default branch and no branch main") as caught:
        ledger.keys()
    assert caught.value.file == ".github/permit.pub"


@pytest.mark.slow
def test_a_protected_branch_that_is_rewritten_meanwhile_is_exit_4(ledger: Ledger, other: Ledger, origin: Path) -> None:
    """Between the look at the remote's branches and the fetch of their commits."""
    before = other.git.head()
    other.git("commit", "--quiet", "--allow-empty", "--message", "Soon gone")
    other.git("push", "--quiet", "origin", "HEAD:main")
    ledger.fetch()
    other.git("push", "--quiet", "--force", "origin", f"{before}:main")
    with pytest.raises(Outside, match="the protected branch of origin changed meanwhile") as caught:
        ledger.keys()
    assert caught.value.hint == "git fetch origin"
