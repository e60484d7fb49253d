"""`make release` in a clone of this repository, with a key of ssh: what it refuses, makes, and finishes."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import ModuleType

import pytest

from beampermit import __version__
from beampermit.git import Git
from support.own_clone import clone_of_this
from support.paths import ROOT, module_at

FILES = ("scripts/release.py", "scripts/pin.py", "scripts/running.py", "README.md")
NEXT = "77.0.0"


@pytest.fixture(scope="module")
def release() -> ModuleType:
    """`scripts/release.py`, which finds the script beside it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        return module_at(ROOT / "scripts/release.py")


@pytest.fixture(scope="module")
def _clone(tmp_path_factory: pytest.TempPathFactory) -> Git:
    """A clone on `main` with these files as they are here, an identity and a key of ssh."""
    folder = tmp_path_factory.mktemp("release")
    git, key = clone_of_this(folder / "clone", FILES), folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    (folder / "signers").write_text(f"ada@lab.example {key.with_suffix('.pub').read_text()}")
    git("config", "gpg.format", "ssh")
    git("config", "user.signingkey", f"{key}.pub")
    git("config", "gpg.ssh.allowedSignersFile", str(folder / "signers"))
    git("remote", "remove", "origin")  # where others may commit by now
    git("update-ref", "refs/as-it-was", "main")
    return git


@pytest.fixture
def clone(_clone: Git) -> Git:
    """The same, as it was."""
    _clone("switch", "--quiet", "--discard-changes", "--force-create", "main", "refs/as-it-was")
    _clone("clean", "--quiet", "-ffd")
    if tags := _clone("tag", "--list").split():
        _clone("tag", "--delete", *tags)
    shutil.rmtree(_clone.root / "dist", ignore_errors=True)
    return _clone


def make(git: Git, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, git.root / "scripts/release.py", *words]
    return subprocess.run(command, cwd=git.root, capture_output=True, text=True, check=False)


def written(name: str, old: str, new: str) -> Callable[[Git], None]:
    def write(git: Git) -> None:
        file = git.root / name
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new, 1))
        git("commit", "--quiet", "--all", "--message", "Planted")

    return write


def ran(*words: str) -> Callable[[Git], None]:
    return lambda git: git(*words) and None


def behind(git: Git) -> None:
    newer = git("commit-tree", "-m", "Theirs", "-p", "HEAD", "HEAD^{tree}")
    git("update-ref", "refs/remotes/origin/main", newer)


def emptied(git: Git) -> None:
    file = git.root / "CHANGELOG.md"
    before, _, rest = file.read_text().partition("## Unreleased\n")
    after = re.split(r"(?m)^## ", rest, maxsplit=1)[1:]
    file.write_text(before + "## Unreleased\n\n### Changed\n\n" + "".join(f"## {text}" for text in after))
    git("commit", "--quiet", "--all", "--message", "Planted")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plant", "version", "words"),
    [
        (lambda git: (git.root / "left.txt").write_text(""), NEXT, "left.txt is not committed\n  then: git status"),
        (lambda git: (git.root / "LICENSE").write_text(""), NEXT, "LICENSE is not committed"),
        (ran("switch", "--quiet", "--create", "topic"), NEXT, "releases are made on main, and this is topic"),
        (ran("switch", "--quiet", "--detach"), NEXT, "releases are made on main, and this is not a branch"),
        (behind, NEXT, "main lacks commits of origin/main, up to "),
        (ran("tag", f"v{NEXT}"), NEXT, f"the tag v{NEXT} exists, and a version is released once"),
        (ran("tag", f"workflows-v{NEXT}"), NEXT, f"the tag workflows-v{NEXT} exists, of another release"),
        (emptied, NEXT, "CHANGELOG.md has nothing below '## Unreleased'"),
        (written("CHANGELOG.md", "## Unreleased", "## Coming"), NEXT, "CHANGELOG.md has nothing below"),
        (
            written("CHANGELOG.md", "## Unreleased", f"## Unreleased\n- x\n\n## {NEXT} - 2026-01-01"),
            NEXT,
            f"CHANGELOG.md has a section {NEXT} already",
        ),
        (lambda git: None, "0.0.9", f"0.0.9 is older than {__version__}, which is the version of main"),
        (lambda git: None, "1.2", "'1.2' is not a version: three numbers, such as 1.2.3"),
        (lambda git: None, f"v{NEXT}", f"'v{NEXT}' is not a version"),
        (lambda git: None, "1.02.3", "'1.02.3' is not a version"),
        (
            ran("commit", "--quiet", "--allow-empty", "-m", f"Version {NEXT}: new projects call its workflows"),
            NEXT,
            f"and {NEXT} is pinned to",
        ),
    ],
)
def test_what_cannot_be_released_is_said_and_nothing_changes(
    release: ModuleType,
    clone: Git,
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[Git], object],
    version: str,
    words: str,
) -> None:
    monkeypatch.setattr(release, "ROOT", clone.root)
    monkeypatch.setattr(sys, "argv", ["release.py", version])
    plant(clone)
    before = clone("for-each-ref", "refs/heads", "refs/tags")
    with pytest.raises(SystemExit) as refused:
        release.main()
    clone.try_("update-ref", "-d", "refs/remotes/origin/main")
    assert words in str(refused.value.code)
    assert clone("worktree", "list").count("\n") == 0
    assert clone("for-each-ref", "refs/heads", "refs/tags") == before


OLDER = "0.0.9 is older than"
"""What is said after origin was asked, and before anything is made."""


@pytest.mark.slow
def test_origin_is_asked_as_it_is_now_and_nothing_is_fetched(clone: Git, tmp_path: Path) -> None:
    origin = Git(tmp_path / "origin")
    subprocess.run(["git", "clone", "--quiet", "--bare", "--shared", clone.root, origin.root], check=True)
    clone("remote", "add", "origin", str(origin.root))
    try:
        clone("commit", "--quiet", "--allow-empty", "--message", "Not pushed yet")
        assert OLDER in make(clone, "0.0.9").stderr
        theirs = origin("-c", "user.name=B", "-c", "user.email=b@x", "commit-tree", "-m", "Theirs", "main^{tree}")
        origin("update-ref", "refs/heads/main", theirs)
        said = make(clone, "0.0.9").stderr
        assert said == f"main lacks commits of origin/main, up to {theirs[:12]}\n  then: git pull --ff-only\n"
        assert clone.try_("cat-file", "-e", theirs).code, "nothing is fetched"
        for tag in ("v0.0.9", "workflows-v0.0.9"):
            origin("update-ref", f"refs/tags/{tag}", "main")
            assert f"origin has a tag {tag}, and a version is released once" in make(clone, "0.0.9").stderr
            origin("update-ref", "-d", f"refs/tags/{tag}")
        clone("update-ref", "refs/remotes/origin/main", clone("rev-parse", "main~1"))
        clone("remote", "set-url", "origin", str(tmp_path / "gone"))
        said = make(clone, "0.0.9").stderr
        assert re.match(r"origin does not answer \(.+ does not appear to be a git repository\): its commits are", said)
        assert OLDER in said
        behind(clone)
        assert "main lacks commits of origin/main, up to " in make(clone, "0.0.9").stderr
    finally:
        clone("remote", "remove", "origin")


def test_an_origin_that_hangs_is_not_waited_for(
    release: ModuleType, clone: Git, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(release, "ROOT", clone.root)
    monkeypatch.setattr(release, "ANSWERS_WITHIN", 0.2)
    monkeypatch.setenv("GIT_SSH_COMMAND", "sleep 5 #")
    clone("remote", "add", "origin", "ssh://git.lab.example/permit")
    try:
        assert release._at_origin("refs/heads/main") is None
    finally:
        clone("remote", "remove", "origin")
    assert "origin does not answer (no answer within 0 seconds)" in capsys.readouterr().err


@pytest.mark.slow
def test_without_a_key_nothing_is_made_and_the_command_that_makes_one_is_said(clone: Git) -> None:
    key = clone("config", "user.signingkey")
    clone("config", "user.signingkey", f"{key}.gone")
    try:
        done = make(clone, NEXT)
    finally:
        clone("config", "user.signingkey", key)
    assert done.returncode == 1
    assert "git cannot sign, and a release is signed: " in done.stderr
    assert "ssh-keygen -t ed25519 -f " in done.stderr
    assert clone("tag", "--list") == ""


@pytest.mark.slow
def test_two_at_once_are_one(clone: Git) -> None:
    with (clone.root / ".git/release.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = make(clone, NEXT)
    assert (done.returncode, "another release is being made" in done.stderr) == (1, True)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_release_is_whole_whenever_it_is_killed(clone: Git, release: ModuleType) -> None:
    root, before = clone.root, clone("rev-parse", "main")
    # Killed while it builds: nothing has changed yet.
    killed = subprocess.Popen(
        [sys.executable, root / "scripts/release.py", NEXT], cwd=root, stdout=subprocess.PIPE, text=True
    )
    assert killed.stdout
    assert killed.stdout.readline() == "building sdist and wheel\n"
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert (clone("rev-parse", "main"), clone("tag", "--list"), clone("status", "--porcelain")) == (before, "", "")
    done = make(clone, NEXT)
    assert done.returncode == 0, done.stderr
    assert f"git push --atomic origin main v{NEXT} workflows-v{NEXT}" in done.stdout
    made = _look_at(clone, release)
    # Killed between the two tags, after others have gone on.
    clone("tag", "--delete", f"v{NEXT}")
    clone("commit", "--quiet", "--allow-empty", "--message", "Work goes on")
    shutil.rmtree(root / "dist")
    done = make(clone, NEXT)
    assert done.returncode == 0, done.stderr
    assert "undo" not in done.stdout, "what others added would go with it"
    assert _look_at(clone, release) == made, "the same commit, and the same bytes"
    again = make(clone, NEXT)
    assert "a version is released once" in again.stderr


def _look_at(clone: Git, release: ModuleType) -> tuple[str, bytes]:
    root, tag, workflows = clone.root, f"v{NEXT}", f"workflows-v{NEXT}"
    assert clone("tag", "--list").split() == [tag, workflows]
    for name in (tag, workflows):
        assert clone.try_("tag", "--verify", name).code == 0, "signed with the key of the maintainer"
    assert clone("worktree", "list").count("\n") == 0
    assert clone("status", "--porcelain") == ""
    commit, pinned = clone("rev-parse", f"{tag}^{{commit}}"), clone("rev-parse", f"{workflows}^{{commit}}")
    assert pinned == clone("rev-parse", f"{commit}^")
    found = {(match["commit"], match["version"]) for _, match in release.pins(root)}
    assert found == {(pinned, workflows)}, "the tag that a pin names is that of its commit"
    called = clone("show", f"{pinned}:.github/workflows/ml-pull-request.yml")
    assert f"actions/check@{clone('rev-parse', f'{pinned}^')} # {workflows}" in called
    for name in ("actions", "src"):
        assert clone("rev-parse", f"{commit}:src") == clone("rev-parse", f"{pinned}^:src"), name
    for name in ("pyproject.toml", "CITATION.cff", "src/beampermit/__init__.py", "README.md"):
        assert NEXT in (root / name).read_text(), name
    assert f"\n## Unreleased\n\n## {NEXT} - " in (root / "CHANGELOG.md").read_text()
    wheel, sdist = root / f"dist/beampermit-{NEXT}-py3-none-any.whl", root / f"dist/beampermit-{NEXT}.tar.gz"
    with zipfile.ZipFile(wheel) as opened:
        held = set(opened.namelist())
        template = json.loads(opened.read("beampermit/_template/release.json"))
    assert template == {"version": NEXT, "commit": commit}, "projects of the wheel know what an update begins from"
    assert {"beampermit/_source/actions/setup/live.lock", "beampermit/_template/template/cookiecutter.json"} <= held
    with tarfile.open(sdist) as opened:
        assert f"beampermit-{NEXT}/scripts/release.py" in opened.getnames()
    return commit, wheel.read_bytes()


def test_a_wheel_that_lacks_a_file_is_refused(release: ModuleType, tmp_path: Path) -> None:
    tracked = ["src/beampermit/x.py", "actions/setup/live.lock", "docs/left-out.md", "pyproject.toml"]
    places = ["beampermit/x.py", "beampermit/_source/actions/setup/live.lock", "beampermit/_source/pyproject.toml"]
    for left_out in (None, *places):
        with zipfile.ZipFile(tmp_path / "x.whl", "w") as wheel:
            for place in places:
                if place != left_out:
                    wheel.writestr(place, "")
        if left_out is None:
            release.refuse_a_wheel_that_lacks_files(tmp_path / "x.whl", tracked)
            continue
        with pytest.raises(SystemExit, match=f"the wheel lacks {tracked[places.index(left_out)]}|pyproject"):
            release.refuse_a_wheel_that_lacks_files(tmp_path / "x.whl", tracked)


@pytest.mark.parametrize(
    ("version", "tags", "moves"),
    [
        ("1.2.3", [], "v1"),
        ("1.2.3", ["v1.2.3", "v1.2.2", "v2.0.0", "workflows-v1.9.0", "v1", "v1.10"], "v1"),
        ("1.2.9", ["v1.3.0"], ""),
        ("1.10.0", ["v1.9.0"], "v1"),
        ("0.2.0", ["v1.0.0"], "v0"),
    ],
)
def test_the_major_tag_never_goes_back(release: ModuleType, version: str, tags: list[str], moves: str) -> None:
    assert release.major_tag(version, tags) == moves


def test_notes_are_the_section_of_the_version_alone(release: ModuleType) -> None:
    changelog = (
        "# C\n\n## Unreleased\n\n- next\n\n## 1.2.3 - 2026-01-01\n\n### Fixed\n\n- this\n\n## 1.2.2 - x\n\n- old\n"
    )
    assert release.notes(changelog, "1.2.3") == "### Fixed\n\n- this"
    assert release.notes(changelog, "1.2.2") == "- old"
    for absent in ("1.2", "1.2.30"):
        with pytest.raises(SystemExit, match="has no section"):
            release.notes(changelog, absent)


def test_a_version_is_written_wherever_it_stands(release: ModuleType, tmp_path: Path) -> None:
    for name in (*release.PLACES, "CHANGELOG.md", "README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    (tmp_path / "README.md").write_text("beampermit==1.0.0 'beampermit[live]==1.0.0' notbeampermit==1.0.0 x==1.0.0")
    for version in ("2.0.0", "2.0.1"):
        release.write_version(tmp_path, version, date(2026, 12, 24))
    said = "beampermit==2.0.1 'beampermit[live]==2.0.1' notbeampermit==1.0.0 x==1.0.0"
    assert (tmp_path / "README.md").read_text() == said
    citation = (tmp_path / "CITATION.cff").read_text()
    assert citation.count("date-released: 2026-12-24\n") == 1
    assert "\nversion: 2.0.1\n" in citation
    (tmp_path / "CITATION.cff").write_text("title: none\n")
    with pytest.raises(SystemExit, match=r"CITATION\.cff has no line that says the version"):
        release.write_version(tmp_path, "2.0.2", date(2026, 12, 24))


def test_every_place_says_the_version_of_the_package_and_pages_install_it(release: ModuleType) -> None:
    for name, place in release.PLACES.items():
        assert place.search((ROOT / name).read_text()).group().strip('"').endswith(__version__), name
    named = {
        (page.name, found.group())
        for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))
        for found in release.INSTALLED.finditer(page.read_text())
    }
    assert "README.md" in {page for page, _ in named}
    assert {text.rpartition("==")[2] for _, text in named} == {__version__}
    assert "pip install git+" not in (ROOT / "README.md").read_text()
