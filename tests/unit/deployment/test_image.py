"""The kustomization names the image that the ledger has for the version in service; nothing else of it changes."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import yaml

from beampermit.containers.image import Image
from beampermit.containers.reference import parse_reference
from beampermit.deployment.image import with_image
from beampermit.digest import digest_bytes
from beampermit.errors import BadInput
from beampermit.interlocks.operations import OPS002
from beampermit.project import Project
from beampermit.registry.event import Event
from beampermit.registry.images import record_image
from beampermit.registry.ledger import Ledger
from beampermit.verdicts.verdict import Outcome
from support.deployed_project import deployed, deployed_repository
from support.forked_commands import beampermit
from support.git_repositories import add_origin
from support.permits import KEY
from support.registry_project import append_promotion

__all__ = ["deployed", "deployed_repository"]

FILE = "deploy/kustomization.yaml"
OLD, NEW = (f"sha256:{letter * 64}" for letter in "ab")
IMAGE = f"images.lab.example:5000/ml/bpm-faults@{NEW}"
WANTED = {"name": "bpm-faults", "newName": "images.lab.example:5000/ml/bpm-faults", "digest": NEW}
OTHER = {"name": "gateway", "newTag": "2"}
KEPT = "resources: [kubernetes.yaml] # ours\n"


def images_of(text: str) -> list[dict[str, str]]:
    assert text.startswith(KEPT)
    return yaml.safe_load(text)["images"]


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ("", [WANTED]),
        ("# images:\n#   - {name: bpm-faults, newName: registry.example/bpm-faults, digest: '...'}\n", [WANTED]),
        (f'images:\n  - {{name: bpm-faults, newName: old.example/x, digest: "{OLD}"}} # ours\n', [WANTED]),
        (f"images:\n- name: bpm-faults\n  digest: {OLD}\n  newName: 'old.example/x'\n- name: gateway\n  newTag: '2'\n",
         [WANTED, OTHER]),
        ("images:\n    - {name: gateway, newTag: '2'}\n", [WANTED, OTHER]),
        (f"images: [{{name: bpm-faults, newName: x, digest: {OLD}}}]\n", [WANTED]),
    ],
)  # fmt: skip
def test_the_image_is_written_and_the_rest_is_kept(there: str, expected: list[dict[str, str]]) -> None:
    found = with_image(KEPT + there, "bpm-faults", IMAGE, FILE)
    assert found is not None
    assert images_of(found) == expected
    assert found.count("# ours") == (KEPT + there).count("# ours")
    assert with_image(found, "bpm-faults", IMAGE, FILE) == found, "a second time, nothing changes"


@pytest.mark.parametrize(
    "there",
    [
        "images:\n  - {name: bpm-faults, newTag: latest}\n",
        f"images:\n  - {{name: bpm-faults, digest: {OLD}}}\n",
        "images:\n",
        "images: []\n",
        "images: [{name: gateway, newTag: '2'}]\n",
        "images:\n  - name: bpm-faults\n    newName: x\n    digest: >-\n      sha256:0\n",
        f"images:\n  - {{name: bpm-faults, newName: x, digest: &it {OLD}}}\n",
    ],
)
def test_what_a_laboratory_names_in_a_way_of_its_own_is_left_to_it(there: str) -> None:
    assert with_image(KEPT + there, "bpm-faults", IMAGE, FILE) is None


def test_a_file_of_another_form_is_never_made_unreadable() -> None:
    assert with_image("{resources: [kubernetes.yaml]}\n", "bpm-faults", IMAGE, FILE) is None


def test_a_kustomization_that_cannot_be_read_is_named() -> None:
    with pytest.raises(BadInput, match="not YAML"):
        with_image("images: [\n", "bpm-faults", IMAGE, FILE)


@pytest.fixture
def promoted(deployed: Project, event: Callable[..., Event]) -> Event:
    """Version 1 of the deployed project is champion, by the ledger of its origin alone."""
    add_origin(deployed.root)
    return append_promotion(Ledger(deployed.git), event(commit=deployed.git.head()))


def record(project: Project, of: Event, content: bytes) -> str:
    image = Image(parse_reference(f"ghcr.io/lab/bpm-faults@{digest_bytes(content)}"), of.commit, ("linux/amd64",), ())
    done = record_image(project.git, Ledger(project.git), KEY, image, of.model, version=None, reason="")
    return done.event.image or ""


@pytest.mark.slow
def test_the_command_writes_the_image_of_the_ledger_and_an_image_fails_no_file(
    deployed: Project, promoted: Event
) -> None:
    path, before = deployed.path(FILE), deployed.path(FILE).read_text()
    assert json.loads(beampermit("deployment", "--json", cwd=deployed.root).stdout)["image"] is None
    assert path.read_text() == before
    for content in (b"first", b"built again"):
        image = record(deployed, promoted, content)
        done = beampermit("deployment", cwd=deployed.root)
        assert f"{FILE} (kept: it says what the contract says)" in done.stdout
        assert f"image of version 1, by the ledger: {image}\n" in done.stdout
        (entry,) = yaml.safe_load(path.read_text())["images"]
        assert f"{entry['newName']}@{entry['digest']}" == image
    found = OPS002().check(deployed, deployed.contract, deployed.base_contract)
    assert found.outcome is Outcome.PASSED, "an event of the ledger fails nobody"
    deployed.git("remote", "set-url", "origin", "/nowhere")
    anew = json.loads(beampermit("deployment", "--anew", "--json", cwd=deployed.root).stdout)
    assert anew["image"] == image, "as it was last fetched"


@pytest.mark.slow
def test_an_image_that_nobody_signed_is_not_written(deployed: Project, promoted: Event) -> None:
    ledger, before = Ledger(deployed.git), deployed.path(FILE).read_text()
    ledger.fetch()
    own = {"event": "image", "sequence": 2, "expected": 1, "image": IMAGE}
    ledger.append(Event.model_validate({**promoted.shared, **own}))
    done = beampermit("deployment", cwd=deployed.root)
    assert (
        "note: the image of the ledger is not used: the image of version 1 of bpm-faults is not believed" in done.stdout
    )
    assert deployed.path(FILE).read_text() == before


@pytest.mark.slow
def test_an_image_by_a_tag_is_told_and_kept(deployed: Project, promoted: Event) -> None:
    path = deployed.path(FILE)
    path.write_text(f"{path.read_text()}images:\n  - {{name: bpm-faults, newTag: latest}}\n")
    image = record(deployed, promoted, b"first")
    done = beampermit("deployment", cwd=deployed.root)
    assert f"note: {FILE} names its image in a way of its own: by the ledger it is {image}" in done.stdout
    assert "newTag: latest" in path.read_text()
