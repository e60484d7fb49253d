"""uv with extras `cpu` and `cuda` from two indexes: locked, judged, installed, bundled, each apart."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from beampermit.cache import cache_folder
from beampermit.digest import digest_file
from beampermit.environments import choice, installation
from beampermit.environments.bundle import opened
from beampermit.environments.coverage import uncovered
from beampermit.environments.difference import compare_locks
from beampermit.environments.distributions import describe, distributions, site_packages
from beampermit.environments.sbom import sbom
from beampermit.environments.uv import Uv
from beampermit.errors import BadInput, Failed, Outside, Problem
from support.package_index import PYTHON, Index, uv

PYPROJECT = """\
[project]
name = "bpm-faults"
version = "0.1.0"
requires-python = "{python}"
dependencies = ["numbers", "lightning"]

[project.optional-dependencies]
cpu = ["torchy==2.0"]
cuda = ["torchy==2.0"]

[dependency-groups]
dev = ["checker"]

[tool.uv]
package = false
conflicts = [[{{extra = "cpu"}}, {{extra = "cuda"}}]]

[tool.uv.sources]
torchy = [{{index = "torch-cpu", extra = "cpu"}}, {{index = "torch-cuda", extra = "cuda"}}]

[[tool.uv.index]]
url = "{main}"
default = true

[[tool.uv.index]]
name = "torch-cpu"
url = "{cpu}"
explicit = true

[[tool.uv.index]]
name = "torch-cuda"
url = "{cuda}"
explicit = true
"""


def quiet(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A locked project; `main` has an older torchy too, so that what needs torchy differs by accelerator."""
    folder = tmp_path_factory.mktemp("variants")
    indexes = {name: Index(folder / name) for name in ("main", "cpu", "cuda")}
    for name, version, requires in (
        ("numbers", "1.0", ()),
        ("checker", "1.0", ("numbers",)),
        ("lightning", "1.0", ("torchy>=1",)),
        ("torchy", "1.5", ()),
        ("cudart", "1.0", ()),
    ):
        indexes["main"].add(name, version, requires)
    indexes["cpu"].add("torchy", "2.0+cpu", ("numbers",))
    indexes["cuda"].add("torchy", "2.0+cu1", ("numbers", "cudart>=1"))
    root = folder / "project"
    root.mkdir()
    urls = {name: index.url for name, index in indexes.items()}
    (root / "pyproject.toml").write_text(PYPROJECT.format(python=PYTHON, **urls))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("UV_FIND_LINKS", raising=False)
        patch.setenv("BEAMPERMIT_CACHE", str(folder / "cache"))
        Uv().lock(root, progress=quiet)
    yield root
    for index in indexes.values():
        index.close()


@pytest.fixture
def root(served: Path, uv_settings: Path, tmp_path: Path) -> Path:
    """A copy that a test may break."""
    assert uv_settings
    return Path(shutil.copytree(served, tmp_path / "project"))


def stale(root: Path) -> list[str]:
    return [problem.message for problem in Uv().stale(Uv().specification(root), Uv().read(root))]


def edit(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after, 1))


def names(prefix: Path) -> set[str]:
    return {str(one) for one in distributions(site_packages(prefix, describe(prefix)))}


@pytest.mark.slow
def test_a_lock_of_both_accelerators_is_fresh_to_us_and_to_uv(root: Path) -> None:
    assert stale(root) == []
    assert uv(root, "lock", "--check").returncode == 0


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('conflicts = [[{extra = "cpu"}, {extra = "cuda"}]]\n', "", "change in conflicting groups"),
        ('{extra = "cuda"}]]', '{group = "dev"}]]', "change in conflicting groups"),
        (
            'index = "torch-cuda", extra = "cuda"',
            'index = "torch-cpu", extra = "cuda"',
            "torchy==2.0 is required, and uv.lock was made for torchy==2.0 from http",
        ),
        (
            'cuda = ["torchy==2.0"]',
            'cuda = ["torchy==2.1"]',
            "torchy==2.1 is required, and uv.lock was made for torchy==2.0 from http",
        ),
    ],
)
def test_a_change_of_a_variant_makes_the_lock_stale(root: Path, before: str, after: str, message: str) -> None:
    edit(root / "pyproject.toml", before, after)
    assert any(message in problem for problem in stale(root)), stale(root)


def test_a_gpu_extra_that_was_given_the_cpu_package_by_hand_is_named(root: Path) -> None:
    text = (root / "uv.lock").read_text()
    cpu, cuda = (
        line for line in text.splitlines() if line.startswith('    { name = "torchy"') and "marker" not in line
    )
    (root / "uv.lock").write_text(text.replace(cuda, cpu))
    assert any("is required and torchy 2.0+cpu is from index" in problem for problem in stale(root)), stale(root)


def covered(root: Path, *accelerators: str) -> list[Problem]:
    return list(uncovered(Uv().read(root), ("linux-x86_64",), accelerators))


def test_each_accelerator_is_covered_by_its_own_solution(root: Path) -> None:
    assert covered(root, "cpu", "cuda") == []
    edit(root / "uv.lock", "torchy-2.0+cu1-py3-none-any.whl", "torchy-2.0+cu1-py3-none-win_amd64.whl")
    assert [problem.message for problem in covered(root, "cpu", "cuda")] == [
        "torchy 2.0+cu1 has no file for linux-x86_64 with cuda"
    ]
    assert covered(root, "cpu") == []


def test_a_variant_with_a_package_twice_is_named(root: Path) -> None:
    edit(
        root / "uv.lock", "marker = \"extra == 'extra-10-bpm-faults-cpu'\" },\n    { name", 'marker = "" },\n    { name'
    )
    text = (root / "uv.lock").read_text().replace('marker = "" ', "marker = \"python_version > '3'\" ")
    (root / "uv.lock").write_text(text)
    said = [problem.message for problem in covered(root, "cpu", "cuda")]
    assert any("linux-x86_64 with cuda both torchy" in problem for problem in said), said


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "torchy"), [("", "torchy 2.0+cpu"), ("cuda", "torchy 2.0+cu1")])
def test_one_variant_is_installed_and_verified_as_that(root: Path, variant: str, torchy: str) -> None:
    done = installation.install(choice.backend_for(root, variant=variant), root, root / ".venv", progress=quiet)
    found = names(done.environment.prefix)
    assert torchy in found
    assert ("cudart 1.0" in found) == (variant == "cuda")
    # Whoever verifies is not told which accelerator this machine has: the environment says it.
    assert Uv().installed(Uv().read(root), root / ".venv") == ()


@pytest.mark.slow
def test_an_environment_that_says_it_is_the_other_variant_is_not_the_lock(root: Path) -> None:
    done = installation.install(Uv(), root, root / ".venv", progress=quiet)
    (root / ".venv" / installation.STAMP).write_text(f"{done.lock} cuda\n")
    said = [problem.message for problem in Uv().installed(Uv().read(root), root / ".venv")]
    assert "cudart 1.0 is locked and not installed" in said


def test_variants_share_no_environment(root: Path) -> None:
    places = {installation.shared_prefix(Uv(variant=name).read(root)) for name in ("", "cpu", "cuda")}
    assert len(places) == 2, "cpu is what none means"


def test_an_unknown_variant_is_refused_with_those_there_are(root: Path) -> None:
    with pytest.raises(BadInput, match="there is no extra 'rocm' for an accelerator; the lock has cpu, cuda"):
        Uv(variant="rocm").read(root)
    for line in ("cpu = [\n", "cuda = [\n"):
        edit(root / "uv.lock", line, line.replace(" =", "-no-more ="))
    with pytest.raises(BadInput, match="the lock has none") as caught:
        Uv(variant="cuda").read(root)
    assert caught.value.hint.startswith("leave --variant out; or add the extra to [project.optional-dependencies]")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bundle", "bundle.tar"])
def test_a_bundle_installs_where_no_index_answers(root: Path, tmp_path: Path, name: str) -> None:
    to = tmp_path / "stick" / name
    done = choice.bundle(root, to, variant="cuda", progress=quiet)
    assert (done.path, done.files) == (to, 5)
    text = (root / "uv.lock").read_text()
    dead = Index(tmp_path / "dead")
    dead.close()
    for host in {line.split("//")[1].split("/")[0] for line in text.splitlines() if "//" in line}:
        text = text.replace(host, dead.origin.removeprefix("http://"))
    (root / "uv.lock").write_text(text)
    with pytest.raises(Outside):
        choice.bundle(root, tmp_path / "again", progress=lambda _: shutil.rmtree(cache(), ignore_errors=True))
    with opened(to) as folder:
        backend = choice.backend_for(root, variant="cuda", bundle=folder)
        installation.install(backend, root, root / ".venv", progress=quiet)
    assert "torchy 2.0+cu1" in names(root / ".venv")
    assert Uv().installed(Uv().read(root), root / ".venv") == ()


@pytest.mark.slow
def test_a_bundle_replaces_what_was_altered_in_the_environment_and_records_nothing_of_it(
    root: Path, tmp_path: Path
) -> None:
    choice.bundle(root, tmp_path / "bundle", progress=quiet)
    backend = choice.backend_for(root, bundle=tmp_path / "bundle")
    lock, prefix = backend.read(root), root / ".venv"
    backend.install(root, prefix, progress=quiet)
    (module,) = prefix.glob("lib/*/site-packages/torchy/__init__.py")
    module.unlink()
    module.write_text("VERSION = 'mine'")
    backend.install(root, prefix, progress=quiet)
    assert module.read_text() != "VERSION = 'mine'"
    assert backend.installed(lock, prefix) == ()


@pytest.mark.slow
def test_a_bundle_with_another_file_or_without_one_is_refused(root: Path, tmp_path: Path) -> None:
    choice.bundle(root, tmp_path / "bundle", progress=quiet)
    wheel = next((tmp_path / "bundle/wheels").glob("torchy-*"))
    wheel.write_bytes(wheel.read_bytes() + b"x")
    backend = choice.backend_for(root, bundle=tmp_path / "bundle")
    with pytest.raises(Failed, match=r"torchy\S* is missing from the bundle"):
        installation.install(backend, root, root / ".venv", progress=quiet)
    wheel.unlink()
    with pytest.raises(Failed, match=r"torchy\S* is missing from the bundle"):
        installation.install(backend, root, root / ".venv", progress=quiet)
    assert not (root / ".venv" / installation.STAMP).exists()


@pytest.mark.slow
def test_what_an_index_exchanged_is_not_bundled(root: Path, tmp_path: Path) -> None:
    shutil.rmtree(cache(), ignore_errors=True)
    edit(root / "uv.lock", 'hash = "sha256:', 'hash = "sha256:0000')
    text = (root / "uv.lock").read_text()
    place = text.index("sha256:0000") + len("sha256:") + 64
    (root / "uv.lock").write_text(text[:place] + text[place + 4 :])
    with pytest.raises(Failed, match="has a wrong sha256"):
        choice.bundle(root, tmp_path / "bundle", progress=quiet)


def test_sources_are_bundled_only_with_what_builds_them(root: Path, tmp_path: Path, served: Path) -> None:
    text = (root / "uv.lock").read_text()
    line = next(line for line in text.splitlines() if "numbers-1.0-py3-none-any.whl" in line)
    folder = tmp_path / "numbers-1.0"
    folder.mkdir()
    (folder / "pyproject.toml").write_text('[build-system]\nrequires = ["mason>=1"]\n')
    with tarfile.open(tmp_path / "numbers-1.0.tar.gz", "w:gz") as packed:
        packed.add(folder, "numbers-1.0")
    shutil.copy(tmp_path / "numbers-1.0.tar.gz", served.parent / "main/files")
    source = line.replace("py3-none-any.whl", "x").replace("-x", ".tar.gz")
    old = line.split("sha256:")[1].split('"')[0]
    source = source.replace(old, digest_file(tmp_path / "numbers-1.0.tar.gz").removeprefix("sha256:"))
    (root / "uv.lock").write_text(text.replace(f"wheels = [\n{line}\n]", f"sdist = {source.strip().rstrip(',')}"))
    with pytest.raises(Failed, match=r"numbers 1\.0 has no wheel and is built by mason, which is not locked"):
        choice.bundle(root, tmp_path / "bundle", progress=quiet)


@pytest.mark.parametrize(("variant", "other"), [("cpu", "2.0+cu1"), ("cuda", "2.0+cpu")])
def test_the_bill_of_materials_of_a_variant_has_nothing_of_the_other(root: Path, variant: str, other: str) -> None:
    lock = Uv(variant=variant).read(root)
    found = sbom(lock, "bpm-faults", variant=variant)
    named = {f"{one['name']} {one['version']}" for one in found["components"]}
    assert f"torchy {other}" not in named
    assert ("cudart 1.0" in named) is (variant == "cuda")
    assert {"numbers 1.0", "lightning 1.0"} <= named
    refs = {one["bom-ref"] for one in found["components"]}
    assert {ref for entry in found["dependencies"] for ref in entry["dependsOn"]} == refs, "each is needed by somebody"
    assert found["serialNumber"] != sbom(lock, "bpm-faults")["serialNumber"]


def test_the_bill_of_materials_and_the_difference_name_both_variants(root: Path) -> None:
    lock = Uv().read(root)
    purls = {one["purl"] for one in sbom(lock, "bpm-faults")["components"]}
    assert {"pkg:pypi/torchy@2.0%2Bcpu", "pkg:pypi/torchy@2.0%2Bcu1", "pkg:pypi/cudart@1.0"} <= purls
    edited = Uv().parse(lock.text.replace('name = "cudart"\nversion = "1.0"', 'name = "cudart"\nversion = "1.1"'))
    assert [change.as_json() for change in compare_locks(lock, edited)] == [
        {"package": "cudart", "change": "moved", "before": "1.0", "after": "1.1", "platforms": []}
    ]


def cache() -> Path:
    return cache_folder() / "files"
