"""The name of an image says which registry has it, and by which digest or tag."""

from __future__ import annotations

import re

import pytest

from beampermit.containers.reference import BY_DIGEST, parse_reference
from beampermit.errors import BadInput

DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("text", "repository", "wanted", "local"),
    [
        (f"ghcr.io/lab/bpm-faults@{DIGEST}", "ghcr.io/lab/bpm-faults", DIGEST, False),
        (f"ghcr.io/lab/bpm-faults:5@{DIGEST}", "ghcr.io/lab/bpm-faults", DIGEST, False),
        ("images.lab.example:5000/ml/a__b/c.d:v1", "images.lab.example:5000/ml/a__b/c.d", "v1", False),
        ("localhost/faults:5", "localhost/faults", "5", True),
        ("127.0.0.1:5000/faults:5", "127.0.0.1:5000/faults", "5", True),
        ("127.0.0.1.lab.example/faults:5", "127.0.0.1.lab.example/faults", "5", False),
        ("localhost.lab.example/faults:5", "localhost.lab.example/faults", "5", False),
    ],
)
def test_a_name_with_its_registry_is_read(text: str, repository: str, wanted: str, local: bool) -> None:
    found = parse_reference(text)
    assert (found.repository, found.wanted, found.is_local, str(found)) == (repository, wanted, local, text)
    assert re.fullmatch(BY_DIGEST, str(found.at(DIGEST)))


@pytest.mark.parametrize(
    "text",
    [
        "bpm-faults:5",
        "lab/bpm-faults:5",
        "ghcr.io/Lab/faults:5",
        "https://ghcr.io/lab/faults:5",
        "ada:secret@ghcr.io/lab/faults:5",
        "ghcr.io/../faults:5",
        "ghcr.io/lab//faults:5",
        "ghcr.io/lab/faults:5\n",
        f"ghcr.io/lab/faults@sha256:{'a' * 63}",
        f"ghcr.io/lab/faults@sha512:{'a' * 128}",
        f"ghcr.io/{'a' * 500}:5",
        "",
    ],
)
def test_what_leaves_open_which_image_is_meant_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is not the name of an image with its registry"):
        parse_reference(text)


def test_an_image_without_digest_and_tag_is_no_one_image() -> None:
    with pytest.raises(BadInput, match="has neither a digest nor a tag"):
        parse_reference("ghcr.io/lab/faults")
