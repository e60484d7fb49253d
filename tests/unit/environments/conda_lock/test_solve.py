"""`env lock`: rattler solves, conda-lock's own command takes the file for one of its own, what need not move stays."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.environments.backend import Lock
from beampermit.environments.conda_lock import CondaLock
from beampermit.environments.inventory import inventory
from beampermit.errors import BadInput, BeampermitError, Failed, Outside
from support.conda_channel import QUIET, Channel
from support.forked_pythons import forked

pytestmark = pytest.mark.slow

Judge = Callable[..., subprocess.CompletedProcess[str]]


def versions(lock: Lock, platform: str = "linux-64") -> dict[str, str]:
    return {package.name: package.version for package in lock.packages if package.platform == platform}


def build_of_torch(lock: Lock) -> str:
    return next(package.build for package in lock.named("torch") if package.platform == "linux-64")


def test_platforms_variants_and_categories_are_locked(backend: CondaLock, root: Path) -> None:
    said: list[str] = []
    lock = backend.lock(root, progress=said.append)
    assert {package.platform for package in lock.packages} == {"linux-64", "osx-arm64"}
    assert versions(lock)["orbit"] == "2.0"
    assert next(package.groups for package in lock.named("probe")) == ("dev",)
    assert next(package.groups for package in lock.named("tune")) == ("main",)
    assert said == [
        "solving for linux-64 (1 of 4)",
        "solving for osx-arm64 (2 of 4)",
        "solving for linux-64, cuda (3 of 4)",
        "solving for osx-arm64, cuda (4 of 4)",
    ]


def test_what_is_locked_is_as_large_as_the_channel_says(backend: CondaLock, channel: Channel, root: Path) -> None:
    lock = backend.lock(root, progress=QUIET)
    installs = {one.machine: one for one in inventory(lock, root)}
    assert installs.keys() == {"linux-64", "osx-arm64", "linux-64 with cuda", "osx-arm64 with cuda"}
    packages = [package for package in lock.packages if package.platform == "linux-64"]
    files = [channel.folder / package.artifacts[0].address.removeprefix(f"{channel.url}/") for package in packages]
    cpu, cuda = installs["linux-64"], installs["linux-64 with cuda"]
    assert (cpu.packages, cpu.size, cpu.unsized) == (len(files), sum(file.stat().st_size for file in files), ())
    assert (cpu.cuda, cuda.cuda, cuda.unsized) == (0, 1, ())
    unsized = inventory(backend.read(root), root)[0].unsized
    assert len(unsized) == len(files), "a conda lock has no sizes, and nothing is in the cache yet"


def test_a_lock_for_gpus_is_made_without_one(backend: CondaLock, locked: Path) -> None:
    lock = backend.read(locked)
    assert [(one.variant, build_of_torch(one)) for one in lock.all] == [("", "cpu_0"), ("cuda", "cuda_1")]


@pytest.mark.parametrize(
    ("lock", "more"),
    [
        ("conda-lock.yml", ()),
        ("cuda.conda-lock.yml", ("--virtual-package-spec", "cuda.virtual-packages.yml")),
    ],
)
def test_conda_lock_takes_it_for_fresh(judge: Judge, locked: Path, lock: str, more: tuple[str, ...]) -> None:
    before = (locked / lock).read_bytes()
    found = judge("lock", "--check-input-hash", "--lockfile", lock, *more, cwd=locked, solver=True)
    assert found.returncode == 0, found.stderr
    assert "Spec hash already locked for ['linux-64', 'osx-arm64']. Skipping solve." in found.stderr
    assert (locked / lock).read_bytes() == before


def test_conda_lock_without_files_of_virtual_packages_takes_it_for_fresh(
    backend: CondaLock, judge: Judge, root: Path
) -> None:
    for path in root.glob("*virtual-packages.yml"):
        path.unlink()
    lock = backend.lock(root, progress=QUIET)
    assert not lock.others
    assert judge("lock", "--check-input-hash", cwd=root, solver=True).returncode == 0


def test_conda_lock_renders_it(judge: Judge, locked: Path) -> None:
    found = judge("render", "--platform", "linux-64", "cuda.conda-lock.yml", cwd=locked)
    assert found.returncode == 0, found.stderr
    rendered = (locked / "conda-linux-64.lock").read_text()
    assert "/linux-64/torch-2.5-cuda_1.conda#" in rendered
    assert "/noarch/probe-3.0-0.conda#" in rendered


def test_conda_lock_writes_the_same_text(locked: Path) -> None:
    from beampermit.environments.conda_lock.conda_lock_api import conda_lock_module

    again, theirs = locked / "again" / "conda-lock.yml", conda_lock_module("lockfile")
    again.parent.mkdir()
    theirs.write_conda_lock_file(theirs.parse_conda_lock_file(locked / "conda-lock.yml"), again, None)
    assert again.read_text() == (locked / "conda-lock.yml").read_text()


def test_locking_again_changes_nothing(backend: CondaLock, channel: Channel, locked: Path) -> None:
    before = (locked / "conda-lock.yml").stat().st_mtime_ns
    channel.add("tune", "1.9")
    assert versions(backend.lock(locked, progress=QUIET))["tune"] == "1.5"
    assert (locked / "conda-lock.yml").stat().st_mtime_ns == before


def test_one_package_is_updated_and_the_rest_stays(backend: CondaLock, channel: Channel, locked: Path) -> None:
    channel.add("tune", "1.9")
    channel.add("probe", "3.1", depends=["tune"])
    before = versions(backend.read(locked))
    after = versions(backend.lock(locked, update=["tune"], progress=QUIET))
    assert after == {**before, "tune": "1.9"}


def test_an_update_moves_what_has_to_move_with_it(backend: CondaLock, channel: Channel, locked: Path) -> None:
    channel.add("tune", "1.9")
    channel.add("probe", "3.1", depends=["tune >=1.9"])
    after = versions(backend.lock(locked, update=["probe"], progress=QUIET))
    assert (after["probe"], after["tune"], after["orbit"]) == ("3.1", "1.9", "2.0")


def test_everything_is_updated_when_asked(backend: CondaLock, channel: Channel, locked: Path) -> None:
    channel.add("tune", "1.9")
    assert versions(backend.lock(locked, update=["*"], progress=QUIET))["tune"] == "1.9"


def test_a_yanked_package_is_not_kept(backend: CondaLock, channel: Channel, locked: Path) -> None:
    channel.remove(channel.folder / "noarch/tune-1.5-0.conda")
    assert versions(backend.lock(locked, progress=QUIET))["tune"] == "1.0"


def test_a_package_that_was_changed_on_the_channel_is_locked_anew(
    backend: CondaLock, channel: Channel, locked: Path
) -> None:
    before = backend.read(locked).named("tune")[0].artifacts[0].sha256
    path = channel.folder / "noarch/tune-1.5-0.conda"
    path.unlink()
    channel.add("tune", "1.5", files={"share/tune.txt": "another\n"})
    after = backend.lock(locked, progress=QUIET).named("tune")[0].artifacts[0].sha256
    assert after != before


def test_a_lock_with_conflict_markers_is_made_anew(backend: CondaLock, locked: Path) -> None:
    path = locked / "conda-lock.yml"
    path.write_text(f"<<<<<<< ours\n{path.read_text()}=======\n>>>>>>> theirs\n")
    said: list[str] = []
    backend.lock(locked, progress=said.append)
    assert "cannot be read (there are merge-conflict markers" in said[0]
    assert "<<<<<<<" not in path.read_text()


ASKED = {
    "a clash": ("- orbit >=1.0", "- orbit >=1.0\n  - old-magnet\n  - tune >=1.5", Failed, "tune <1.5"),
    "nobody has it": ("- torch", "- torc", Failed, "No candidates were found for torc"),
    "no such version": ("orbit >=1.0", "orbit >=7", Failed, "No candidates were found for orbit >=7"),
    "no such build": ("- torch", "- torch * cuda*", Failed, "__cuda >=12, for which no candidates were found"),
    "not a package": ("- torch", "- torch >=>=2", BadInput, "'torch >=>=2' is not a package"),
    "no package of pip": ("- torch", "- pip:\n    - torch >=>=2", BadInput, "'torch >=>=2' is not a package"),
    "a file of pip": ("- torch", "- pip:\n    - -r more.txt", BadInput, "'-r more.txt' is not a package"),
    "nothing": ("- torch", "- 7", BadInput, "7 is not a package"),
    "unknown platform": ("osx-arm64]", "vax-11]", BadInput, "'vax-11' is not a platform"),
}


@pytest.mark.parametrize("defect", ASKED)
def test_what_cannot_be_locked_is_said_in_words(backend: CondaLock, locked: Path, defect: str) -> None:
    before, after, kind, message = ASKED[defect]
    file, old = locked / "environment.yml", (locked / "conda-lock.yml").read_text()
    assert before in file.read_text()
    file.write_text(file.read_text().replace(before, after))
    with pytest.raises(BeampermitError, match=message) as caught:
        backend.lock(locked, progress=QUIET)
    assert isinstance(caught.value, kind)
    assert "\n" not in caught.value.message
    assert (locked / "conda-lock.yml").read_text() == old, "a lock without a solution was written"


def test_an_unknown_channel_is_named(backend: CondaLock, root: Path, channel: Channel) -> None:
    for name in ("environment.yml", "dev-environment.yml"):
        (root / name).write_text((root / name).read_text().replace("/lab", "/lap"))
    with pytest.raises(BadInput, match=r"there is no channel at http://127.0.0.1:\d+/lap") as caught:
        backend.lock(root, progress=QUIET)
    assert caught.value.hint == "fix `channels:`"


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (lambda _: (500, b""), "a channel answers 500 Internal Server Error for http://127.0.0.1"),
        (lambda _: (403, b""), "a channel answers 403 Forbidden for http://127.0.0.1"),
        (lambda body: (200, body[: len(body) // 2]), "a channel does not serve a valid index of packages"),
        (lambda _: (200, b"<html>Please log in</html>"), "a channel does not serve a valid index of packages"),
    ],
)
def test_a_broken_channel_is_the_outside_world(
    backend: CondaLock, root: Path, channel: Channel, fault: Callable[[bytes], tuple[int, bytes]], message: str
) -> None:
    channel.faults["repodata"] = fault
    with pytest.raises(Outside, match=message) as caught:
        backend.lock(root, progress=QUIET)
    assert not (root / "conda-lock.yml").exists()
    assert caught.value.exit_code == 4


def test_a_channel_that_is_down_is_the_outside_world(backend: CondaLock, root: Path) -> None:
    for name in ("environment.yml", "dev-environment.yml"):
        text = (root / name).read_text()
        port = text.split("127.0.0.1:")[1].split("/")[0]
        (root / name).write_text(text.replace(port, "9"))
    with pytest.raises(Outside, match="a channel cannot be reached"):
        backend.lock(root, progress=QUIET)


def test_an_update_of_what_is_not_locked_is_refused(backend: CondaLock, locked: Path) -> None:
    with pytest.raises(BadInput, match="'magnet' is not in the lock"):
        backend.lock(locked, update=["magnet"], progress=QUIET)


THEIRS = """
import json, pathlib, sys
from conda_lock.content_hash import compute_content_hashes
from conda_lock.src_parser import DEFAULT_PLATFORMS, make_lock_spec
from conda_lock.virtual_package import virtual_package_repo_from_specification as virtual
asked = make_lock_spec(src_files=[pathlib.Path(name) for name in sys.argv[1:]], mapping_url="")
hashes = compute_content_hashes(asked, virtual(pathlib.Path("cuda.virtual-packages.yml")))
print(json.dumps({"platforms": DEFAULT_PLATFORMS, "asked": asked.model_dump(mode="json"), "hashes": hashes}))
"""


def test_selectors_and_a_further_category_are_read_as_conda_lock_reads_them(backend: CondaLock, root: Path) -> None:
    from beampermit.environments.conda_lock.conda_lock_api import conda_lock_module
    from beampermit.environments.conda_lock.specification import PLATFORMS, virtual_repodata

    file = root / "environment.yml"
    file.write_text(file.read_text() + "  - zlib >=1.2,<2 h0*  # [linux]\n  - probe=3  # [osx]\n")
    needs = ("conda_lock.conda_lock",)
    code, said, errors = forked(
        THEIRS, "environment.yml", "dev-environment.yml", cwd=root, needs=needs, apart="conda-lock"
    ).finish()
    assert code == 0, errors
    theirs = json.loads(said)
    found = backend.specification(root)
    asked = found.content["required"]
    assert theirs["platforms"] == list(PLATFORMS)
    assert asked.model_dump(mode="json") == theirs["asked"]
    hashes = conda_lock_module("content_hash").compute_content_hashes(asked, virtual_repodata(root, "cuda"))
    assert hashes == theirs["hashes"]
    assert {requirement.name: requirement.group for requirement in found.requirements}["probe"] == "dev"
