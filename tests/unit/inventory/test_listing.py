"""Which projects are asked: named on the command line, or in inventory.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest

from beampermit.errors import BadInput
from beampermit.inventory.listing import named_places, read_listing
from support.registry_project import Laboratory

FULL = """\
inventory: 1
registry: https://mlflow.lab.example
projects:
  - {repository: https://git.lab.example/ml/faults.git, github: lab/faults, status: "http://10.0.0.5:8766"}
  - {repository: repositories/losses.git, folder: models/losses}
services: [OLD-MODEL]
alarm_trees: [alarms/machine.xml]
archived: [archived.json]
people: people.txt
vulnerabilities: [osv]
key_ends_within: 60 d
"""


def write(folder: Path, text: str) -> Path:
    (folder / "inventory.yaml").write_text(text)
    return folder / "inventory.yaml"


def test_paths_count_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "repositories/losses.git").mkdir(parents=True)
    listing = read_listing(write(tmp_path, FULL))
    faults, losses = listing.places
    assert (faults.repository.name, faults.folder, faults.github) == (
        "https://git.lab.example/ml/faults.git", None, "lab/faults",
    )  # fmt: skip
    assert (losses.repository.address, losses.folder) == (str(tmp_path / "repositories/losses.git"), "models/losses")
    assert listing.alarm_trees == (tmp_path / "alarms/machine.xml",)
    assert listing.people == tmp_path / "people.txt"
    assert listing.key_ends_within == 60 * 86400


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("inventory: 2\n", "inventory: Input should be 1"),
        ("inventory: 1\nproject: []\n", "project: Extra inputs are not permitted"),
        ("inventory: 1\nprojects: [{repository: a, folder: ../b}]\n", "inside it"),
        ("inventory: 1\nprojects: [{repository: --upload-pack=x}]\n", "is not the address of a repository"),
        ("inventory: 1\nprojects: [{repository: a}, {repository: a}]\n", "a is listed twice"),
        ("inventory: 1\nkey_ends_within: soon\n", "key_ends_within: a duration is a number with a unit"),
        ("- a\n", "Input should be a valid dictionary"),
        ("a: [", "not YAML"),
    ],
)
def test_what_is_wrong_is_said_with_the_file(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read_listing(write(tmp_path, text))


@pytest.mark.slow
def test_a_folder_of_a_project_stands_for_its_origin(lab: Laboratory, tmp_path: Path) -> None:
    (place,) = named_places([str(lab.root)])
    assert (place.repository.address, place.folder) == (str(lab.root.parent / "origin.git"), "")
    (bare,) = named_places([str(lab.root.parent / "origin.git")])
    assert (bare.repository.address, bare.folder) == (str(lab.root.parent / "origin.git"), None)
    (away,) = named_places(["https://ada:secret@git.lab.example/ml/faults.git"])
    assert away.repository.name == "https://git.lab.example/ml/faults.git"
