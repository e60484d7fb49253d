"""What a registry says of an image is compared with its digest, within limits of size, number and place."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from beampermit.containers.client import LARGEST, TRIES, ImageRegistry, Login
from beampermit.containers.image import MOST, Image, read_image
from beampermit.containers.reference import parse_reference
from beampermit.errors import BadInput, Failed, Outside
from support.image_registry import TOKEN, Images, images

__all__ = ["images"]
NOBODY = Login()
COMMIT, OTHER = "a" * 40, "b" * 40


def read(reference: str, login: Login = NOBODY, naps: list[float] | None = None) -> Image:
    sleep: Callable[[float], None] = [].append if naps is None else naps.append
    return read_image(ImageRegistry(parse_reference(reference), login, sleep))


@pytest.mark.slow
def test_an_index_of_two_machines_says_its_commit_and_its_bills(images: Images) -> None:
    reference = images.push(COMMIT, "amd64", "arm64")
    found = read(reference)
    assert str(found.reference) == reference
    assert (found.commit, found.platforms) == (COMMIT, ("linux/amd64", "linux/arm64"))
    assert found.sboms == found.platforms
    assert read(f"{images.repository}:latest") == found, "a tag is resolved, and its digest computed here"


@pytest.mark.slow
def test_an_image_alone_has_no_bill_and_provenance_is_none(images: Images) -> None:
    image = images.image(COMMIT)
    assert read(f"{images.repository}@{image['digest']}").sboms == ()
    provenance = images.attestation(image, "https://slsa.dev/provenance/v1")
    assert read(images.index(image, provenance)).sboms == ()


def test_a_login_gets_a_token_for_this_repository_alone(images: Images) -> None:
    images.account = "ada:s3cret"
    reference = images.push(COMMIT)
    assert read(reference, Login("ada", "s3cret")).commit == COMMIT
    assert images.asked.count("/token") == 1
    assert set(images.seen[2:]) == {f"Bearer {TOKEN}"}


@pytest.mark.parametrize("login", [NOBODY, Login("ada", "wrong")])
def test_a_registry_that_asks_for_a_login_is_exit_4_and_says_how(images: Images, login: Login) -> None:
    images.account = "ada:s3cret"
    with pytest.raises(Outside, match=r"refuses to show .*lab/bpm-faults, manifests sha256:\w+ \(401\)") as refused:
        read(images.push(COMMIT), login)
    assert refused.value.hint == "export IMAGE_USERNAME and IMAGE_PASSWORD of an account that may read it"
    assert "s3cret" not in str(refused.value) + str(login)


@pytest.mark.parametrize("realm", ["http://images.lab.example/token", "ftp://127.0.0.1/token", "", "http://[/"])
def test_no_login_goes_to_a_place_without_tls(images: Images, realm: str) -> None:
    images.account, images.realm = "ada:s3cret", realm or "nowhere"
    with pytest.raises(Outside, match=r"leads to \S*, which is not https"):
        read(images.push(COMMIT), Login("ada", "s3cret"))
    assert images.seen == [""]


@pytest.mark.slow
def test_a_storage_that_the_registry_leads_to_gets_no_token(images: Images) -> None:
    images.account = "ada:s3cret"
    image = images.image(COMMIT)
    (config,) = (digest for digest, content in images.contents.items() if b"rootfs" in content)
    images.instead[images.path_of("blobs", config)] = lambda: (307, b"", {"Location": "/storage"})
    images.instead["/storage"] = lambda: (200, images.contents[config], {})
    assert read(f"{images.repository}@{image['digest']}", Login("ada", "s3cret")).commit == COMMIT
    assert dict(zip(images.asked, images.seen, strict=True))["/storage"] == ""
    images.instead[images.path_of("blobs", config)] = lambda: (307, b"", {"Location": "http://images.lab.example/x"})
    with pytest.raises(Outside, match=r"leads to http://images\.lab\.example, which is not https"):
        read(f"{images.repository}@{image['digest']}", Login("ada", "s3cret"))
    images.instead["/storage"] = lambda: (307, b"", {"Location": "/storage"})
    images.instead[images.path_of("blobs", config)] = images.instead["/storage"]
    with pytest.raises(Outside, match="leads from one place to the next, 5 times"):
        read(f"{images.repository}@{image['digest']}", Login("ada", "s3cret"))


def test_an_image_that_is_not_there_is_exit_4(images: Images) -> None:
    with pytest.raises(Outside, match=r"has no .*it was not pushed there, or this account may not see it") as absent:
        read(f"{images.repository}@sha256:{'0' * 64}")
    assert absent.value.exit_code == 4


@pytest.mark.parametrize("kind", ["manifests", "blobs"])
def test_other_bytes_than_those_of_the_digest_are_named(images: Images, kind: str) -> None:
    reference = images.push(COMMIT)
    for digest in list(images.contents):
        path = images.path_of(kind, digest)
        images.instead[path] = lambda digest=digest: (200, images.contents[digest] + b" ", {})
    with pytest.raises(Outside, match=r"answers for sha256:\w+ with other bytes: their digest is sha256:"):
        read(reference)


@pytest.mark.slow
def test_a_manifest_of_4_mib_is_read_and_a_larger_one_is_not(images: Images) -> None:
    for length, problem in ((LARGEST, "no JSON object"), (LARGEST + 1, f"more than the {LARGEST} bytes allowed here")):
        digest = images.put(b"[" + b" " * (length - 2) + b"]")["digest"]
        with pytest.raises(Outside, match=problem):
            read(f"{images.repository}@{digest}")


def test_a_configuration_that_says_it_is_huge_is_not_asked_for(images: Images) -> None:
    config = {"digest": f"sha256:{'1' * 64}", "size": LARGEST + 1}
    image = images.put({"schemaVersion": 2, "config": config, "layers": []})
    with pytest.raises(Outside, match=f"an image with a configuration of {LARGEST + 1} bytes"):
        read(f"{images.repository}@{image['digest']}")
    assert not [path for path in images.asked if "blobs" in path]


@pytest.mark.slow
def test_an_index_has_a_bounded_number_of_entries_of_their_size(images: Images) -> None:
    image = images.image(COMMIT)
    assert read(images.index(*[image] * MOST)).commit == COMMIT
    for entries, problem in (
        ([image] * (MOST + 1), "at most 32 items"),
        ([], "at least 1 item"),
        ([{**image, "size": image["size"] + 1}], "an index that says"),
        ([images.attestation(image)], "an index without an image"),
    ):
        with pytest.raises(Outside, match=f"is not an image of the service: .*{problem}"):
            read(images.index(*entries))


@pytest.mark.slow
def test_an_index_within_an_index_or_both_at_once_is_no_image(images: Images) -> None:
    image = images.image(COMMIT)
    inner = images.put({"schemaVersion": 2, "manifests": [image]})
    with pytest.raises(Outside, match="an index within an index"):
        read(images.index(inner))
    both = images.put({"manifests": [image], "layers": [], "config": image})
    with pytest.raises(Outside, match="neither an image nor an index of images"):
        read(f"{images.repository}@{both['digest']}")


def test_each_image_must_say_the_same_commit(images: Images) -> None:
    one, other = images.image(COMMIT), images.image(OTHER, architecture="arm64")
    with pytest.raises(Failed, match="has images of several commits: aaaaaaaaaaaa, bbbbbbbbbbbb"):
        read(images.index(one, other))


@pytest.mark.parametrize(
    ("label", "said"),
    [(None, "is missing"), ("main", "is 'main', which is not a commit"), ("A" * 40, "is not a commit")],
)
def test_an_image_that_names_no_commit_is_refused(images: Images, label: str | None, said: str) -> None:
    with pytest.raises(Failed, match=f"nobody can say of which commit .* was made: its label .*{said}") as refused:
        read(f"{images.repository}@{images.image(label)['digest']}")
    assert "--label org.opencontainers.image.revision=$(git rev-parse HEAD)" in refused.value.hint


@pytest.mark.slow
def test_a_server_in_trouble_is_asked_again_and_then_given_up(images: Images) -> None:
    reference, naps = images.push(COMMIT), list[float]()
    path = images.path_of("manifests", reference.rpartition("@")[2])
    said = iter([(503, b"", {}), (429, b"", {})])
    images.instead[path] = lambda: next(said, (200, images.contents[path.rpartition("/")[2]], {}))
    assert read(reference, naps=naps).commit == COMMIT
    assert len(naps) == 2
    images.instead[path] = lambda: (500, b"", {})
    with pytest.raises(Outside, match="answers 500"):
        read(reference, naps=naps)
    assert len(naps) == 2 + TRIES - 1


def test_a_registry_that_nobody_serves_is_exit_4(images: Images) -> None:
    with pytest.raises(Outside, match=r"127\.0\.0\.1:1 cannot be reached: "):
        read("127.0.0.1:1/lab/faults:5")


def test_a_login_that_no_header_can_have_is_never_shown() -> None:
    with pytest.raises(BadInput, match="IMAGE_PASSWORD contains a character that no login has") as refused:
        Login("ada", "s3cret\n")
    assert "s3cret" not in str(refused.value)
