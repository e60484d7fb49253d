"""What a project records of its template is read as text that others may have written, and made where it lacks."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.errors import BadInput
from beampermit.git import Git
from beampermit.updating.changelog import changes_between
from beampermit.updating.migrations import current_record
from beampermit.updating.recorded import ANSWERS, RENDERED, parse_record, read_record, unpack_render
from beampermit.updating.source import at, rules
from beampermit.updating.update import check, update
from support.git_repositories import committed
from support.template_versions import ADDED, EDITED, FIRST, NOBODY, PROJECT, change

Install = Callable[[str], Path]


def rewrite(file: Path, **changes: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_the_record_has_what_cruft_reads_and_the_version(git: Git, repository: Path) -> None:
    written = json.loads((git.root / ANSWERS).read_text())
    assert (written["template"], written["directory"], written["checkout"]) == (NOBODY, "template", None)
    assert written["commit"] == Git(repository).resolve(f"refs/tags/v{FIRST}")
    assert written["context"]["cookiecutter"]["project_slug"] == "bpm-faults"
    assert not any(key.startswith("_") for key in written["context"]["cookiecutter"])
    assert written["skip"] == [".git", ANSWERS, RENDERED]
    assert written["beampermit"]["version"] == FIRST


@pytest.mark.slow
def test_the_commit_is_recorded_only_where_it_is_exactly_what_lies_there(repository: Path, tmp_path: Path) -> None:
    clone = Path(shutil.copytree(repository, tmp_path / "clone"))
    head = Git(clone).head()
    assert rules()["origin"](clone / "template") == {"template": str(clone), "commit": head, "version": EDITED}
    Git(clone)("remote", "add", "origin", "https://ada:s3cret@git.example/lab/beampermit.git")
    assert rules()["origin"](clone / "template")["template"] == "https://git.example/lab/beampermit.git"
    with (clone / PROJECT / "Makefile").open("a") as file:
        file.write("# not committed\n")
    assert rules()["origin"](clone / "template")["commit"] is None
    alone = shutil.copytree(clone / "template", tmp_path / "elsewhere/template")
    assert rules()["origin"](alone) == {"template": None, "commit": None, "version": None}
    (alone.parent / "release.json").write_text(json.dumps({"commit": head}))  # as actions/setup writes it
    assert rules()["origin"](alone) == {"template": None, "commit": head, "version": None}
    # A package in an environment that somebody keeps in git: that commit says nothing of the template.
    shutil.copytree(alone, clone / "venv/template")
    assert rules()["origin"](clone / "venv/template")["commit"] is None


@pytest.mark.parametrize(
    "name",
    ["../out", "/out", "a/../../out", ".git/hooks/pre-commit", "a/.GIT/x", ".git /x", "a/GIT~1", "a//b", "a\\b", ""],
)
def test_a_render_writes_nothing_but_files_of_a_project(tmp_path: Path, name: str) -> None:
    (tmp_path / RENDERED).write_text(json.dumps({"format": 1, "files": {name: {"lines": ["x"]}}}))
    (tmp_path / "base").mkdir()
    with pytest.raises(BadInput, match="is not a name of a file in a project"):
        unpack_render(tmp_path, tmp_path / "base")
    assert list((tmp_path / "base").iterdir()) == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("{", "not JSON"),
        ('{"format": 1, "files": {"a": {"lines": "x"}}}', "files.a.lines"),
        ('{"format": 1, "files": {"a": {"lines": ["x"]}, "a/b": {"lines": ["x"]}}}', "a file and a folder"),
        ('{"format": 2, "files": {}}', "this file has format 2"),
        (f'{{"format": 1, "files": {{"{"a" * 300}": {{"lines": ["x"]}}}}}}', r"'a{60}\.\.\.' is too long"),
    ],
)
def test_a_render_that_cannot_be_read_is_one_sentence(tmp_path: Path, body: str, reason: str) -> None:
    (tmp_path / RENDERED).write_text(body)
    (tmp_path / "base").mkdir()
    with pytest.raises(BadInput, match=reason) as refused:
        unpack_render(tmp_path, tmp_path / "base")
    assert refused.value.file == str(tmp_path / RENDERED)


def test_bytes_and_modes_of_a_render_come_back(tmp_path: Path) -> None:
    project, base = tmp_path / "project", tmp_path / "base"
    (project / "a").mkdir(parents=True)
    (project / "a/run.sh").write_bytes(b"#!/bin/sh\r\n\n")
    (project / "a/run.sh").chmod(0o755)
    (project / "picture.png").write_bytes(b"\x89PNG\xff")
    (project / "empty").write_bytes(b"")
    (tmp_path / RENDERED).write_text(json.dumps(rules()["rendered"](project)))
    base.mkdir()
    assert unpack_render(tmp_path, base)
    for name in ("a/run.sh", "picture.png", "empty"):
        assert (base / name).read_bytes() == (project / name).read_bytes()
    assert (base / "a/run.sh").stat().st_mode & 0o777 == 0o755
    assert (base / "empty").stat().st_mode & 0o777 == 0o644


def test_a_record_of_a_later_format_is_refused_with_the_command(git: Git) -> None:
    own = json.loads((git.root / ANSWERS).read_text())["beampermit"]
    rewrite(git.root / ANSWERS, beampermit={**own, "format": 2})
    with pytest.raises(BadInput, match="this file has format 2") as refused:
        check(git)
    assert refused.value.hint == "pip install --upgrade beampermit"
    for odd in ("[]", "null", '"x"'):
        with pytest.raises(BadInput, match="it is not a JSON object"):
            parse_record(odd, ANSWERS)
    rewrite(git.root / ANSWERS, beampermit=own, context={"cookiecutter": []})
    with pytest.raises(BadInput, match=r"context\.cookiecutter"):
        check(git)


@pytest.mark.slow
def test_after_cruft_has_updated_it_the_base_is_rendered_again_from_the_commit(
    git: Git, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cruft moves its own commit and leaves our part: the render is then older than the project."""
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(git.root.parent / "cache"))
    commit = Git(repository).resolve(f"refs/tags/v{ADDED}")
    rewrite(git.root / ANSWERS, template=str(repository))
    _commit(git)
    assert commit
    assert update(git, commit).staged
    rewrite(git.root / ANSWERS, beampermit={**_own(git), "commit": "0" * 40})
    _commit(git)
    record = read_record(git.root)
    assert record
    assert (record.digest, record.commit, record.version) == ("", commit, "")
    done = update(git, EDITED)
    assert done.staged
    assert (done.staged.conflicts, done.staged.notes) == ((), ())
    assert done.changes[-1] == "- A page moves, and a file goes.", "from the version that we wrote, not from the first"
    assert not (git.root / "docs/how-it-works.md").exists()


def _own(git: Git) -> dict[str, object]:
    return json.loads((git.root / ANSWERS).read_text())["beampermit"]


def _commit(git: Git) -> None:
    git("add", "--all")
    git("commit", "--quiet", "--message", "Mine")


@pytest.mark.slow
def test_without_the_old_template_yours_stays_and_each_file_that_differs_is_named(git: Git, install: Install) -> None:
    """Format 0: a project that was generated before there was a record. Its answers stand in its files."""
    before = read_record(git.root)
    assert before
    git("rm", "--quiet", ANSWERS, RENDERED)
    change(git.root, "Makefile", "List the targets", "List my targets")
    git("commit", "--quiet", "--all", "--message", "As it was before there was a record")
    found = current_record(git.root)
    assert found.template == "https://github.com/beampermit/beampermit"
    missed = {key for key, answer in before.answers.items() if answer and found.answers.get(key) != answer}
    assert missed == {"review_by"}  # of the next review, and asked
    install(EDITED)
    # The pinned commit of its workflows would say more, and cannot be fetched here.
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("beampermit.updating.working_out.at", _unreachable)
        done = update(git)
    assert done.staged
    others = {name for name in done.staged.conflicts if not name.startswith(".github/workflows/")}
    assert others == {"Makefile", "Containerfile"}  # a release moves pins in workflows and in the image
    assert "List my targets" in (git.root / "Makefile").read_text()
    assert (git.root / "docs/inside.md").is_file()
    assert any("yours stays" in note for note in done.staged.notes)
    after = read_record(git.root)
    assert after
    assert after.version == EDITED


def test_the_remote_of_a_project_without_a_record_is_read_as_dvc_reads_it(git: Git) -> None:
    change(git.root, ".dvc/config", "url = ../../dvc-storage", 'url = "../../dvc-storage"')
    git("rm", "--quiet", ANSWERS, RENDERED)
    assert current_record(git.root).answers["dvc_remote"] == "../dvc-storage"


def _unreachable(*_: object, **__: object) -> object:
    raise BadInput("no such commit")


def test_a_repository_that_was_never_generated_is_told_what_to_run(tmp_path: Path) -> None:
    (tmp_path / "contract.yaml").write_text("model: {}\n")
    committed(tmp_path)
    with pytest.raises(BadInput, match="it was not generated") as refused:
        check(Git(tmp_path))
    assert refused.value.hint == "beampermit init --dry-run"


def test_above_a_project_is_told_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "models/orbit").mkdir(parents=True)
    (tmp_path / "models/orbit/contract.yaml").write_text("model: {}\n")
    committed(tmp_path)
    with pytest.raises(BadInput, match="it was not generated") as refused:
        check(Git(tmp_path))
    assert refused.value.hint == "a project of this repository is in models/orbit: run the command there"


@pytest.mark.parametrize("revision", ["--upload-pack=touch", "a b", "", "../x"])
def test_a_revision_is_a_name(revision: str) -> None:
    with pytest.raises(BadInput, match="is not a version, tag, branch or commit"), at(revision, NOBODY):
        pass


@pytest.mark.slow
def test_nothing_is_fetched_from_an_address_in_the_project_unless_somebody_asks(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pull request may change the address, and a template's hooks run where it is rendered."""
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(tmp_path))
    commit = Git(repository).head()
    with pytest.raises(BadInput, match="nobody has asked for a revision"), at(commit, str(repository), asked=False):
        pass
    assert list(tmp_path.iterdir()) == []
    with at(EDITED, str(repository)) as source:
        assert source.version == EDITED
    with at(commit, str(repository), asked=False) as source:
        assert source.commit == commit


@pytest.mark.slow
def test_a_recorded_answer_that_would_be_code_in_a_hook_is_refused(git: Git, install: Install, tmp_path: Path) -> None:
    install(ADDED)
    answers = json.loads((git.root / ANSWERS).read_text())["context"]["cookiecutter"]
    code = f'uv"; open("{tmp_path}/ran", "w") #'
    rewrite(git.root / ANSWERS, context={"cookiecutter": {**answers, "environment": code}})
    _commit(git)
    with pytest.raises(BadInput, match=r"environment: .* is not one of"):
        update(git)
    assert not (tmp_path / "ran").exists()
    rewrite(git.root / ANSWERS, context={"cookiecutter": {**answers, "review_by": "2020-01-01"}})
    _commit(git)
    assert update(git).staged  # a day that has passed was right when it was given


@pytest.mark.parametrize("address", ["ext::sh -c touch", "--upload-pack=x", "-x", "relative/path", "https://a b"])
def test_git_fetches_from_an_address_alone(address: str) -> None:
    with pytest.raises(BadInput, match="none that git fetches from"), at("9.9.9", address):
        pass


LOG = "# Log\n\n## Unreleased\n\n## 2.0 - later\n\n- two\n\n## v1.1\n\n- one\n- both\n\n## [1.0] - first\n\n- zero\n"


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("1.0", "2.0", ["2.0 - later", "- two", "v1.1", "- one", "- both"]),
        ("1.0", "1.1", ["v1.1", "- one", "- both"]),
        ("2.0", "2.0", []),
        ("", "1.0", ["[1.0] - first", "- zero"]),
    ],
)
def test_the_lines_between_two_versions(old: str, new: str, lines: list[str]) -> None:
    assert changes_between(LOG, old, new) == lines


def test_without_a_changelog_there_are_no_lines() -> None:
    assert changes_between("", "1.0", "2.0") == changes_between("# Log\n", "", "") == []


def test_what_is_not_released_yet_is_listed_for_a_template_of_no_release() -> None:
    log = LOG.replace("## Unreleased\n", "## Unreleased\n\n- not yet\n")
    assert changes_between(log, "2.0", "2.0") == ["Unreleased", "- not yet"]
