"""Pins never go back by the version beside them, and the three commits of a release have one template."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from beampermit.git import Git
from beampermit.updating import source
from beampermit.updating.pins import IMAGE, WORKFLOWS, follow_pins
from beampermit.updating.recorded import Recorded
from beampermit.updating.source import rules
from beampermit.updating.update import check, compare, update
from support.paths import ROOT
from support.template_versions import EDITED, MOVED, PIN, PROJECT, change, pins, tag_of

OLD, MINE, NEW = "1" * 40, "2" * 40, "3" * 40
LOCAL = "    uses: actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd # v6.0.2\n"


def workflow(commit: str, beside: str, end: str = "\n") -> str:
    return f"    uses: lab/ml-permit/.github/workflows/ml-release.yml@{commit} # {beside}{end}{LOCAL}"


def image(commit: str) -> str:
    return f"ADD https://github.com/lab/ml-permit.git#{commit} /opt/beampermit\n"


def follow(folder: Path, **sides: tuple[str, str]) -> dict[str, tuple[str, str]]:
    """The workflow and the image of base and new template afterwards."""
    for side, (text, commit) in sides.items():
        (folder / side / WORKFLOWS).mkdir(parents=True)
        (folder / side / WORKFLOWS / "release.yml").write_bytes(text.encode())
        (folder / side / IMAGE).write_text(image(commit))
    follow_pins(folder / "base", folder / "ours", folder / "new")
    return {
        side: ((folder / side / WORKFLOWS / "release.yml").read_bytes().decode(), (folder / side / IMAGE).read_text())
        for side in ("base", "new")
    }


@pytest.mark.parametrize(
    ("before", "here", "after", "taken"),
    [
        # Dependabot moved it: the later one, whichever that is.
        ((OLD, tag_of("1.9.0")), (MINE, tag_of("1.10.0")), (NEW, tag_of("1.11.0")), True),
        ((OLD, tag_of("1.9.0")), (MINE, tag_of("1.11.0")), (NEW, tag_of("1.11.0")), False),
        ((OLD, tag_of("1.9.0")), (MINE, tag_of("1.11.0")), (NEW, tag_of("1.10.0")), False),
        ((OLD, "main"), (MINE, "v1.10.0"), (NEW, tag_of("1.11.0")), True),
        ((OLD, "main"), (MINE, "main"), (NEW, tag_of("1.11.0")), False),
        ((OLD, "main"), (MINE, "tested by Ada"), (NEW, "main"), False),
        # Nobody did: the template's, unless that goes back.
        ((OLD, tag_of("1.9.0")), (OLD, tag_of("1.9.0")), (NEW, tag_of("1.10.0")), True),
        ((OLD, tag_of("1.10.0")), (OLD, tag_of("1.10.0")), (NEW, tag_of("1.9.0")), False),
        ((OLD, tag_of("1.9.0")), (OLD, tag_of("1.9.0")), (NEW, tag_of("1.9.0")), False),  # a release has two such pins
        ((OLD, "main"), (OLD, "main"), (NEW, "main"), True),
        ((OLD, tag_of("1.9.0")), (OLD, tag_of("1.9.0")), (NEW, "main"), True),
    ],
)
def test_the_later_of_two_pins_is_taken_and_a_move_is_no_edit(
    before: tuple[str, str], here: tuple[str, str], after: tuple[str, str], taken: bool, tmp_path: Path
) -> None:
    sides = {"base": (workflow(*before), OLD), "ours": (workflow(*here), OLD), "new": (workflow(*after), OLD)}
    left = follow(tmp_path, **sides)
    assert left["base"][0] == workflow(*here)
    assert left["new"][0] == workflow(*(after if taken else here))


def test_a_checkout_with_other_line_ends_gives_its_pin_alone(tmp_path: Path) -> None:
    sides = {
        "base": (workflow(OLD, "main"), OLD),
        "ours": (workflow(MINE, "main", "\r\n"), OLD),
        "new": (workflow(NEW, "main"), OLD),
    }
    assert follow(tmp_path, **sides)["new"][0] == workflow(MINE, "main")


@pytest.mark.parametrize(
    ("own", "new", "left"),
    [
        (MINE, OLD, MINE),  # it is of the later version, by what stands beside the workflows' pins
        (OLD, MINE, MINE),
        (OLD, NEW, NEW),  # of that commit, nothing is known
        (NEW, OLD, OLD),
    ],
)
def test_the_pin_in_the_image_goes_not_back_either(own: str, new: str, left: str, tmp_path: Path) -> None:
    old, mine = workflow(OLD, tag_of("1.9.0")), workflow(MINE, tag_of("1.10.0"))
    found = follow(tmp_path, base=(mine, own), ours=(mine, own), new=(old, new))
    assert (found["base"][1], found["new"][1]) == (image(own), image(left))


def template_of(folder: Path, name: str, version: str, commit: str, tag: str) -> Path:
    """A template of the last version, as another commit has it: with that version, and pins to `commit`."""
    copy = Path(shutil.copytree(folder, folder.parent / name))
    assert pins.move(commit, tag, copy)
    (copy / source.RELEASE).write_text(f'{{"version": "{version}", "commit": "{"f" * 40}"}}')
    return copy / "template"


@pytest.mark.slow
def test_the_three_commits_of_a_release_are_one_template_and_no_pin_goes_back(
    git: Git, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = tmp_path / "of"
    versions.mkdir()
    parts = shutil.copytree(repository, versions / EDITED, ignore=shutil.ignore_patterns(".git"))
    at = {
        "released": template_of(parts, "released", "9.0.4", PIN, tag_of(MOVED)),
        "pinned": template_of(parts, "pinned", "9.0.4", OLD, tag_of("9.0.4")),
        "tagged": template_of(parts, "tagged", "9.0.4", MINE, tag_of("9.0.4")),
        "after": template_of(parts, "after", "9.0.5", MINE, tag_of("9.0.4")),
    }

    def installed(name: str) -> None:
        monkeypatch.setattr(source, "template_folder", lambda: at[name])

    installed("tagged")
    assert update(git).staged
    git("add", "--all")
    git("commit", "--quiet", "--message", "Of the release")
    pinned = (git.root / WORKFLOWS / "release.yml").read_text(), (git.root / IMAGE).read_text()
    assert f"@{MINE} # {tag_of('9.0.4')}" in pinned[0]
    for name in ("released", "pinned", "tagged"):
        installed(name)
        assert check(git).difference == "same"
    installed("after")  # a release that has not changed the template brings its pins
    assert check(git).difference == "newer"
    change(at["released"].parent, f"{PROJECT}/Makefile", "List all targets", "List each target")
    installed("released")  # as the job runs it: the pins of the release before
    done = update(git)
    assert done.staged
    assert "List each target" in (git.root / "Makefile").read_text()
    assert ((git.root / WORKFLOWS / "release.yml").read_text(), (git.root / IMAGE).read_text()) == pinned


@pytest.mark.slow
def test_the_digest_leaves_out_our_pins_alone(tmp_path: Path) -> None:
    digest = rules()["digest"]
    copy = Path(shutil.copytree(ROOT / "template", tmp_path / "template"))
    before = digest(copy)
    assert pins.move(NEW, tag_of("1.2.3"), tmp_path)
    assert digest(copy) == before
    file = copy / "{{cookiecutter.project_slug}}/.github/workflows/release.yml"
    text = file.read_text()
    for old, new in (
        ("ml-release.yml@", "ml-other.yml@"),
        ("\npermissions", "\n# x\npermissions"),
        ("beampermit/", "o/"),
    ):
        assert old in text
        file.write_text(text.replace(old, new, 1))
        assert digest(copy) != before
    # What others publish is what it is.
    file.write_text(text + LOCAL)
    other = digest(copy)
    file.write_text(text + LOCAL.replace("de0fac2e", "00000000"))
    assert digest(copy) != other


@pytest.mark.parametrize(
    ("version", "digest", "found"),
    [
        ("1.9.0", "a", "same"),
        ("1.9.0", "b", "older"),
        ("1.10.0", "a", "same"),
        ("1.10.0", "b", "newer"),
        ("1.11.0", "a", "newer"),
        ("1.11.0", "b", "newer"),
        ("", "a", "same"),
        ("", "b", "newer"),
    ],
)
def test_templates_are_compared_by_version_and_content(version: str, digest: str, found: str) -> None:
    recorded = Recorded("", "c" * 40, {}, "1.10.0", "a")
    assert compare(recorded, source.Source(Path(), version, "d" * 40, digest, "")) == found
