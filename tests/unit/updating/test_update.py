"""`beampermit update`: what the template and the project changed apart is merged, and nothing of either is lost."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.errors import BadInput, Conflict, Outside
from beampermit.generation.answers import Question
from beampermit.git import Git
from beampermit.updating import staged as staging
from beampermit.updating.recorded import ANSWERS, RENDERED, read_record
from beampermit.updating.source import source_in
from beampermit.updating.staged import apply, place_of, read_staged
from beampermit.updating.update import check, update
from support.git_repositories import committed
from support.template_versions import ADDED, EDITED, FIRST, MOVED, NEW_QUESTION, PIN, change, tag_of

pytestmark = pytest.mark.slow

PIPELINE = "src/bpm_faults/pipeline"
Install = Callable[[str], Path]


def commit(git: Git) -> None:
    git("add", "--all")
    git("commit", "--quiet", "--allow-empty", "--message", "Mine")


def contents(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {
        name: path.read_bytes() for path in files if not (name := path.relative_to(root).as_posix()).startswith(".git/")
    }


def text(git: Git, name: str) -> str:
    return (git.root / name).read_text()


def test_three_updates_in_a_row_keep_every_edit_and_end_with_the_one_conflict(git: Git, install: Install) -> None:
    change(git.root, "Makefile", "List the targets", "List my targets")
    with (git.root / "docs/how-it-works.md").open("a") as page:
        page.write("\nOurs: ask the operators first.\n")
    (git.root / "src/bpm_faults/ours.py").write_text("OURS = 1\n")
    shutil.rmtree(git.root / ".git")  # its history was written anew: nothing of the first commit is there
    committed(git.root)

    install(ADDED)
    first = update(git)
    assert first.staged
    assert first.staged.conflicts == ()
    assert (first.new.split()[0], dict(first.defaults)) == (ADDED, {NEW_QUESTION: "main"})
    assert first.changes == (f"{ADDED} - 2026-11-30", "- A page of its own.")
    assert text(git, "docs/new-page.md") == "Watched from main.\n"
    assert text(git, f"{PIPELINE}/train.py").endswith("# 9.0.1\n")
    assert "List my targets" in text(git, "Makefile")
    commit(git)

    install(MOVED)
    second = update(git)
    assert second.staged
    assert second.staged.conflicts == ()
    assert not (git.root / "docs/how-it-works.md").exists()
    assert text(git, "docs/inside.md").endswith("Ours: ask the operators first.\n")
    assert not (git.root / ".containerignore").exists()
    assert not (git.root / PIPELINE / "extra.py").exists()
    assert f"@{PIN} # {tag_of(MOVED)}" in text(git, ".github/workflows/release.yml")
    commit(git)

    install(EDITED)
    third = update(git)
    assert third.staged
    assert third.staged.conflicts == ("Makefile",)
    both = text(git, "Makefile")
    assert "<<<<<<< yours\nhelp: ## List my targets\n=======\nhelp: ## List all targets\n>>>>>>> 9.0.3 (" in both
    assert "The last version." in text(git, "docs/inside.md")
    assert git("diff", "--name-only", "--diff-filter=U") == "Makefile"
    assert git.try_("commit", "--all", "--message", "?", "--dry-run").code == 0  # as after any merge: `--all` adds it
    assert git.try_("commit", "--message", "?").code != 0
    with pytest.raises(BadInput, match="1 file with a conflict that nobody has decided: Makefile") as refused:
        update(git)
    assert refused.value.hint == "edit until each is right, then `git add Makefile`, and commit"
    (git.root / "Makefile").write_text(both.replace("<<<<<<< yours\n", ""))
    commit(git)
    assert check(git).difference == "same"
    assert "OURS" in text(git, "src/bpm_faults/ours.py")


def test_a_project_that_nobody_edited_becomes_that_of_the_new_template(
    git: Git, install: Install, tmp_path: Path
) -> None:
    template = install(EDITED)
    looked = check(git)
    assert looked.staged
    assert git("status", "--porcelain") == ""
    done = update(git)
    assert done.staged
    assert done.staged.changes == looked.staged.changes
    record = read_record(git.root)
    assert record
    fresh = source_in(template).render(tmp_path / "fresh", record.answers, lambda _: None)
    change(fresh, ANSWERS, "https://github.com/beampermit/beampermit", record.template)
    assert contents(git.root) == contents(fresh)
    commit(git)
    assert (update(git).staged, check(git).difference) == (None, "same")
    install(FIRST)
    assert (check(git).difference, check(git).staged) == ("older", None)
    with pytest.raises(BadInput, match="and this installation an older one"):
        update(git)


@pytest.fixture
def begun(git: Git, install: Install, monkeypatch: pytest.MonkeyPatch) -> Git:
    """An update with a conflict that is worked out and kept, and nothing of it written yet."""
    change(git.root, "Makefile", "List the targets", "List my targets")
    commit(git)
    install(EDITED)
    with monkeypatch.context() as patched:
        patched.setattr("beampermit.updating.update.apply", lambda *_: None)
        update(git)
    return git


def test_an_update_that_is_killed_anywhere_is_finished_by_the_next_run(begun: Git, tmp_path: Path) -> None:
    plan = read_staged(begun)
    assert plan
    whole = Git(Path(shutil.copytree(begun.root, tmp_path / "whole")))
    apply(whole, plan)
    wanted = contents(whole.root)
    for step, number in (("_put", 0), ("_put", 1), ("_put", 7), ("_remove_empty", 0), ("_mark", 0), ("remove", 0)):
        root = Path(shutil.copytree(begun.root, tmp_path / f"killed{step}{number}"))
        _killed(Git(root), step, number)
        assert check(Git(root)).unfinished
        assert (contents(root)[ANSWERS] == contents(begun.root)[ANSWERS]) == (step in ("_put", "_remove_empty"))
        with pytest.raises(BadInput, match="is not finished: it is first, and takes no other version"):
            update(Git(root), EDITED)
        done = update(Git(root))
        assert done.staged
        assert done.staged.conflicts == ("Makefile",)
        assert contents(root) == wanted
        assert Git(root)("diff", "--name-only", "--diff-filter=U") == "Makefile"
        assert not place_of(Git(root)).exists()


def _killed(git: Git, step: str, number: int) -> None:
    """Write the update in a process that is killed when it begins this step after `number` times."""
    child = os.fork()
    if child == 0:
        done, plain = 0, getattr(staging, step)

        def counted(*arguments: object) -> None:
            nonlocal done
            if done == number:
                os.kill(os.getpid(), signal.SIGKILL)
            done += 1
            plain(*arguments)

        setattr(staging, step, counted)
        try:
            plan = read_staged(git)
            assert plan
            apply(git, plan)
        finally:
            os._exit(0)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_what_somebody_edits_between_is_not_written_over(begun: Git) -> None:
    (begun.root / "docs/how-it-works.md").write_text("Mine.\n")
    before = contents(begun.root)
    with pytest.raises(Conflict, match="changed since the update began") as refused:
        update(begun)
    assert refused.value.file == "docs/how-it-works.md"
    assert contents(begun.root) == before


def test_an_unclean_tree_and_a_file_in_the_way_are_refused_with_nothing_written(git: Git, install: Install) -> None:
    install(ADDED)
    (git.root / "docs/new-page.md").write_text("Mine, and not in git.\n")
    before = contents(git.root)
    with pytest.raises(Conflict, match="in the way of a new one") as refused:
        update(git)
    assert refused.value.file == "docs/new-page.md"
    (git.root / "docs/new-page.md").unlink()
    with (git.root / "README.md").open("a") as page:
        page.write("Mine.\n")
    with pytest.raises(BadInput, match=r"1 file changed and not committed, such as README\.md"):
        update(git)
    git("checkout", "--quiet", "README.md")
    assert contents(git.root) == {name: body for name, body in before.items() if name != "docs/new-page.md"}
    assert read_staged(git) is None


def test_what_the_project_took_away_stays_away_and_what_it_edited_stays(git: Git, install: Install) -> None:
    git("rm", "--quiet", "docs/how-it-works.md")
    change(git.root, ".containerignore", "data\n", "data\nours\n")
    (git.root / PIPELINE / "ours.py").write_text("# beside it\n")
    change(git.root, f"{PIPELINE}/train.py", "import", "# edited\nimport")
    commit(git)
    install(EDITED)
    done = update(git)
    assert done.staged
    assert done.staged.conflicts == (".containerignore",)
    assert "ours\n" in text(git, ".containerignore")
    assert not (git.root / "docs/inside.md").exists()
    notes = "\n".join(done.staged.notes)
    assert "docs/inside.md is not in this project, and stays away" in notes
    assert f"{PIPELINE}/train.py was edited here, and is replaced" in notes
    assert "# edited" not in text(git, f"{PIPELINE}/train.py")
    assert text(git, f"{PIPELINE}/ours.py") == "# beside it\n"


def test_a_project_in_a_folder_is_updated_there_and_the_top_is_left_alone(
    git: Git, install: Install, tmp_path: Path
) -> None:
    top = tmp_path / "models"
    shutil.copytree(git.root, top / "set/faults", ignore=shutil.ignore_patterns(".git", ".github"))
    (top / "README.md").write_text("All models.\n")
    whole = committed(top)
    below = Git(top / "set/faults")
    change(below.root, "Makefile", "List the targets", "List my targets")
    commit(below)
    install(EDITED)
    done = update(below)
    assert done.staged
    assert done.staged.conflicts == ("Makefile",)
    assert any("this folder has not: .github/workflows/comment.yml" in note for note in done.staged.notes)
    changed = whole("status", "--porcelain").splitlines()
    assert all(line[3:].startswith("set/faults/") for line in changed), changed
    assert "UU set/faults/Makefile" in changed
    assert text(below, "docs/inside.md").startswith("#")
    assert not (below.root / ".github").exists()


def test_a_git_that_cannot_merge_trees_is_named_with_its_version(
    git: Git, install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin/git"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\ncase "$*" in version) echo git version 2.34.1;; *merge-tree*) exit 129;; '
        f'*) exec {shutil.which("git")} "$@";; esac\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    install(ADDED)
    with pytest.raises(Outside, match=r"git 2\.34 cannot merge a template: 2\.38 or newer is needed"):
        update(git)
    assert git("status", "--porcelain") == ""


def test_a_new_question_is_asked_and_its_answer_recorded(git: Git, install: Install) -> None:
    asked: list[Question] = []

    def answer(question: Question) -> str:
        asked.append(question)
        return "north"

    install(ADDED)
    with pytest.raises(BadInput, match="python_version: '9' is not one of"):
        update(git, ask=answer, given={"python_version": "9"})
    record = read_record(git.root)
    assert record
    with pytest.raises(BadInput, match="two owners with two addresses"):
        update(git, ask=answer, given={"deputy_email": record.answers["maintainer_email"]})
    assert asked == []
    done = update(git, ask=answer)
    assert [(question.name, question.choices) for question in asked] == [(NEW_QUESTION, ["main", "north"])]
    assert dict(done.defaults) == {}
    assert text(git, "docs/new-page.md") == "Watched from north.\n"
    record = read_record(git.root)
    assert record
    assert record.answers[NEW_QUESTION] == "north"
    commit(git)
    install(EDITED)
    assert update(git, ask=answer).staged
    assert len(asked) == 1


def test_an_answer_may_change_but_not_the_project_s_name(
    git: Git, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(FIRST)
    monkeypatch.syspath_prepend(git.root / "src")  # as the project's Makefile has it
    with pytest.raises(BadInput, match="an update gives a project no other name"):
        update(git, given={"project_slug": "other"})
    with pytest.raises(BadInput, match="there is no question 'on_cal'; did you mean 'on_call'"):
        update(git, given={"on_cal": "1"})
    with pytest.raises(BadInput, match="not one of") as refused:
        update(git, given={"library": "keras"})
    assert refused.value.hint == "beampermit update --answer library=VALUE"
    looked = check(git, given={"on_call": "4711"})
    assert looked.staged
    done = update(git, given={"on_call": "4711", "package_name": "bpm_faults"})
    assert done.staged
    assert {changed.path for changed in done.staged.changes} >= {"contract.yaml", ANSWERS, RENDERED}
    assert done.staged.changes == looked.staged.changes
    assert "4711" in text(git, "contract.yaml")
