"""Links into DVC's cache are read as the files that they stand for; any other link is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.datasets.differences import load_version
from beampermit.datasets.pull import pull
from beampermit.datasets.repository import Repository
from beampermit.datasets.workspace import is_plain, plain_folder
from beampermit.digest import manifest
from beampermit.files import write_json
from beampermit.interlocks.families import select_interlocks
from beampermit.interlocks.runner import check
from beampermit.project import Project
from beampermit.reproduction.tree import exported
from beampermit.verdicts.verdict import Outcome, Verdict
from support.dvc_repositories import remake, without_data

pytestmark = pytest.mark.slow

JUDGED = ["DAT001", "DAT002", "DAT003", "DAT004", "DAT005", "MDL001", "MDL002"]


@pytest.fixture(scope="module")
def linked_once(dvc_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`project`, `storage` and the cache folder `shared` of `linked`, to be copied."""
    folder = tmp_path_factory.mktemp("linked")
    for name in ("project", "storage"):
        shutil.copytree(dvc_template / name, folder / name, symlinks=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_SITE_CACHE_DIR", str(folder / "site"))
        _link(folder)
    return folder


def _link(folder: Path) -> None:
    project = Project(folder / "project")
    root = project.root
    project.git("switch", "--quiet", "--create", "change")
    (root / "model").mkdir()
    (root / "model/MLmodel").write_text("flavors: {python_function: {loader_module: mlflow.onnx}}\n")
    (root / "model/limits.json").write_text("{}\n")
    with (root / "dvc.yaml").open("a") as stream:
        stream.write("  train:\n    cmd: x\n    deps: [data/dataset]\n    outs: [model]\n")
    data = [f"data/dataset/{name}.parquet" for name in ("train", "validation", "test")]
    parents = ["data/raw.parquet", "data/labels.parquet"]
    digests = {path: manifest(root / Path(path).parent)[Path(path).name] for path in (*data, *parents)}
    digests |= {f"model/{path}": digest for path, digest in manifest(root / "model").items()}
    write_json(root / "manifest.json", {"algorithm": "sha256", "files": digests})
    contract = root / "contract.yaml"
    contract.write_text(contract.read_text().replace("  scores: ", "  # scores: "))
    remake(root)
    (root / ".dvc/config.local").write_text(f"[cache]\n    dir = {folder}/shared\n    type = symlink\n")
    without_data(project)
    shutil.rmtree(root / "model")
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "A model")
    pull(Repository.of(Project(root, "main")))


@pytest.fixture
def linked(linked_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The project with a saved model, whose data and model DVC links from a cache folder elsewhere."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    for name in ("project", "storage", "shared"):
        shutil.copytree(linked_once / name, tmp_path / name, symlinks=True)
    root, cache = tmp_path / "project", linked_once / "shared"
    config = root / ".dvc/config.local"
    config.write_text(config.read_text().replace(str(cache), str(tmp_path / "shared")))
    for link in [path for path in root.rglob("*") if path.is_symlink()]:
        target = link.readlink().relative_to(cache)
        link.unlink()
        link.symlink_to(tmp_path / "shared" / target)
    return Project(root, "main")


def judged(project: Project) -> dict[str, Verdict]:
    return {verdict.id: verdict for verdict in check(Project(project.root, "main"), select_interlocks(JUDGED))}


def test_data_and_model_pass_where_dvc_links_them_from_a_cache_elsewhere(linked: Project, tmp_path: Path) -> None:
    from dvc.repo import Repo

    for path in ("data/raw.parquet", "data/dataset/test.parquet", "model/MLmodel"):
        assert (linked.root / path).resolve().is_relative_to(tmp_path / "shared/files/md5")
    with Repo(str(linked.root)) as repository:
        assert repository.status() == {}, "what DVC says"
    assert [verdict.reason for verdict in judged(linked).values() if verdict.outcome is not Outcome.PASSED] == []
    assert load_version(linked, "HEAD", remote=False).tables["test"].columns, "from the cache, wherever it is"


def other_object(cache: Path) -> Path:
    """The empty file, of which nothing here is made."""
    file = cache / "files/md5/d4" / "1d8cd98f00b204e9800998ecf8427e"
    file.parent.mkdir(exist_ok=True)
    file.touch()
    return file


def no_object(cache: Path) -> Path:
    (cache / "notes").write_text("{}\n")
    return cache / "notes"


@pytest.mark.parametrize(
    ("path", "target", "guards"),
    [
        ("model/limits.json", other_object, {"DAT003", "MDL001"}),
        ("data/dataset/test.parquet", other_object, {"DAT001", "DAT003", "MDL001"}),
        ("model/limits.json", no_object, {"DAT001", "DAT003", "MDL001", "MDL002"}),
        ("data/dataset/test.parquet", no_object, {"DAT001", "DAT003", "DAT004", "DAT005", "MDL001"}),
        ("data/dataset/test.parquet", lambda _: Path("/etc/passwd"), {"DAT001", "DAT003", "DAT004", "DAT005"}),
    ],
    ids=["model", "data", "model, no object", "data, no object", "data, outside"],
)
def test_a_link_to_anything_else_fails(
    linked: Project, tmp_path: Path, path: str, target: Callable[[Path], Path], guards: set[str]
) -> None:
    (linked.root / path).unlink()
    (linked.root / path).symlink_to(target(tmp_path / "shared"))
    failed = {id for id, verdict in judged(linked).items() if verdict.outcome is Outcome.FAILED}
    assert failed >= guards


def test_a_pull_request_cannot_say_where_the_cache_is(linked: Project, tmp_path: Path) -> None:
    """By `.dvc/config`, links would be followed into any folder that is laid out like a cache."""
    root, secret = linked.root, tmp_path / "other/files/md5/ab" / ("c" * 30)
    secret.parent.mkdir(parents=True)
    secret.write_text("of another project")
    linked.git("update-ref", "refs/remotes/origin/main", "main")
    (root / ".dvc/config.local").unlink()
    with (root / ".dvc/config").open("a") as stream:
        stream.write(f"[cache]\n    dir = {tmp_path}/other\n")
    (root / "data/raw.parquet").unlink()
    (root / "data/raw.parquet").symlink_to(secret)
    assert not is_plain(root / "data/raw.parquet", root)
    (root / ".dvc/config").rename(root / ".dvc/config.local")
    assert is_plain(root / "data/raw.parquet", root), "the machine's own configuration may"


def test_other_links_stay_links_in_a_plain_folder(linked: Project, tmp_path: Path) -> None:
    folder = linked.root / "model"
    (folder / "outside").symlink_to("/etc/passwd")
    (folder / "inside").symlink_to("MLmodel")
    with plain_folder(folder, linked.root) as plain:
        assert sorted(path.name for path in plain.iterdir() if path.is_symlink()) == ["inside", "outside"]
        assert (plain / "MLmodel").read_bytes() == (folder / "MLmodel").read_bytes()
    assert not plain.exists()


def test_in_another_work_tree_data_are_copies(linked: Project, tmp_path: Path) -> None:
    """A model is trained there again: through a link, its code could write into the cache."""
    with exported(linked.git, linked.git.head(), tmp_path / "tree") as tree:
        assert pull(Repository(Project(tree), home=linked)).changed
        for path in ("data/raw.parquet", "data/dataset/test.parquet", "model/MLmodel"):
            file = tree / path
            assert (file.is_symlink(), file.stat().st_nlink) == (False, 1)
