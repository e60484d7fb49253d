"""Two projects in one repository: each is judged by its own contract and files, and GitHub's files are everybody's."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from beampermit.cli.main import app
from beampermit.datasets.pull import pull
from beampermit.datasets.repository import Repository
from beampermit.documents.gathering import gather_report
from beampermit.errors import BadInput
from beampermit.git import Git
from beampermit.interlocks.families import select_interlocks
from beampermit.interlocks.repository.ownership import ownership
from beampermit.interlocks.runner import check
from beampermit.permit.keys import generate_keys
from beampermit.project import Project, find_folder
from beampermit.registry.event import Event
from beampermit.registry.ledger import Ledger
from beampermit.reproduction.tree import commit_of_work_tree, cut_off, exported
from support.attacks import attack_case
from support.dvc_repositories import replace
from support.git_repositories import add_origin, committed

pytestmark = pytest.mark.slow
WORKFLOW = """\
on: pull_request
jobs:
  build: {runs-on: ubuntu-latest, steps: [{uses: actions/checkout@v6}]}
"""


@pytest.fixture
def laboratory(
    dvc_template: Path, tmp_path: Path, contract_text: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Project]:
    """One repository with the projects `faults` (with data) and `losses`; gives one of them, found from a subfolder."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    top = tmp_path / "laboratory"
    shutil.copytree(dvc_template / "storage", tmp_path / "storage")
    shutil.copytree(dvc_template / "project", top / "faults", symlinks=True, ignore=shutil.ignore_patterns(".git"))
    replace(top / "faults/.dvc/config", "../../storage", "../../../storage")
    (top / "losses/src").mkdir(parents=True)
    (top / "losses/src/model.py").write_text("print('loss')\n")
    (top / "losses/contract.yaml").write_text(contract_text.replace("name: bpm-faults", "name: losses"))
    (top / "losses/pyproject.toml").write_text("[project]\nname = 'losses'\nversion = '1'\n")
    (top / ".github/workflows").mkdir(parents=True)
    (top / ".github/workflows/build.yml").write_text(WORKFLOW)
    (top / "CODEOWNERS").write_text("/.github/ @ada\n/CODEOWNERS @ada\n/losses/ @ada\n")
    committed(top)
    return lambda name: Project.find(top / name / ("data" if name == "faults" else "src"), "main")


def failures(project: Project, *names: str) -> dict[str, list[str]]:
    """Id -> files of the verdicts that did not pass."""
    verdicts = check(Project(project.root, "main"), select_interlocks(names))
    return {
        verdict.id: [place.file for place in verdict.locations] or [verdict.reason]
        for verdict in verdicts
        if not verdict.passed
    }


def test_every_command_stands_in_the_nearest_folder_with_a_contract(
    laboratory: Callable[[str], Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    faults, losses = laboratory("faults"), laboratory("losses")
    top = faults.root.parent
    assert (faults.root.name, losses.contract.model.name) == ("faults", "losses")
    assert Project.find(top).root == find_folder(top / ".github") == top
    monkeypatch.chdir(losses.root / "src")
    for command, said in (
        (["contract", "check"], "contract of losses"),
        (["check", "DOC001", "--all"], "1 passed"),
        (["env", "check"], "losses/pyproject.toml"),
        (["history"], "The ledger is empty"),
    ):
        assert said in CliRunner().invoke(app, command).output


def test_above_the_projects_it_is_said_where_they_are(
    laboratory: Callable[[str], Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    top = Project(laboratory("faults").root.parent)
    where = "a project of this repository is in faults; losses: run the command there"
    assert failures(top, "DOC001") == {"DOC001": [f"there is no contract.yaml; {where}"]}
    with pytest.raises(BadInput, match="there is no contract") as error:
        _ = top.contract
    assert error.value.hint == where
    assert where in failures(top, "DAT001")["DAT001"][0]
    monkeypatch.chdir(top.root)
    for command in (["contract", "check"], ["data", "pull"], ["env", "lock"]):
        error = CliRunner().invoke(app, command).exception
        assert isinstance(error, BadInput)
        assert (command, error.hint) == (command, where), "neither init nor dvc init nor new would help"


def test_a_sound_project_in_a_folder_passes_as_one_at_the_top(laboratory: Callable[[str], Project]) -> None:
    assert failures(laboratory("faults"), "DAT", "GIT005") == {}


def test_the_dvc_repository_may_lie_around_the_project(laboratory: Callable[[str], Project], tmp_path: Path) -> None:
    faults = laboratory("faults")
    top = faults.root.parent
    (faults.root / ".dvc").rename(top / ".dvc")
    (faults.root / ".dvcignore").rename(top / ".dvcignore")
    replace(top / ".dvc/config", "../../../storage", "../../storage")
    (top / "losses/other.parquet.dvc").write_text("outs: [{path: other.parquet, md5: none}]\n")
    (top / "CODEOWNERS").write_text("* @ada\n")
    faults.git.top("add", "--all")
    faults.git.top("commit", "--quiet", "--amend", "--message", "One for all")
    assert failures(faults, "DAT", "GIT005") == {}
    shutil.rmtree(top / ".dvc/cache")
    (faults.root / "data/raw.parquet").unlink()
    pull(Repository(Project(faults.root, "main")), ["data/raw.parquet"])
    with exported(faults.git, faults.git.head(), tmp_path / "tree") as tree:
        repository = Repository(Project(tree), home=faults)
        assert repository.cache == top / ".dvc/cache"
        assert [output.path for output in repository.outputs] == [output.path for output in Repository(faults).outputs]
        cut_off(tree, [])
        assert not (tmp_path / "tree/.dvc/cache").exists()
    replace(top / ".dvc/config", "../../storage", "../../elsewhere")
    assert failures(faults, "DAT008") == {"DAT008": [".dvc/config"]}


def test_places_are_those_of_the_repository(laboratory: Callable[[str], Project]) -> None:
    faults = laboratory("faults")
    replace(faults.root / "params.yaml", "rows: 8", "rows: 9")
    places = failures(faults, "DAT001", "GIT003")
    assert places == {"DAT001": ["faults/params.yaml"], "GIT003": [".github/workflows/build.yml"]}


def test_gates_of_a_project_are_read_from_its_own_contract_on_the_base(laboratory: Callable[[str], Project]) -> None:
    faults = laboratory("faults")
    faults.git("switch", "--quiet", "--create", "lower")
    replace(faults.root / "contract.yaml", "gate: 0.95", "gate: 0.5")
    faults.git("commit", "--quiet", "--all", "--message", "Lower")
    lowered = laboratory("faults")
    assert lowered.contract.metrics[0].gate == 0.5
    assert lowered.base_contract.metrics[0].gate == 0.95
    assert lowered.base_contract_digest != laboratory("losses").base_contract_digest


@pytest.mark.attack(
    guard="base",
    tried="a branch removes the contract of its project, so that a lenient one of the folder around it judges",
    said="this branch removes the contract of the project in this folder",
)
def test_a_branch_that_removes_its_contract_is_not_judged_by_the_one_around_it(
    laboratory: Callable[[str], Project], said: str
) -> None:
    faults = laboratory("faults")
    shutil.copy(faults.root / "contract.yaml", faults.root.parent)
    faults.git("switch", "--quiet", "--create", "without")
    faults.git("rm", "--quiet", "contract.yaml")
    with pytest.raises(BadInput, match=said) as error:
        laboratory("faults")
    assert error.value.file == str(faults.root / "contract.yaml")


@pytest.mark.attack(
    guard="base",
    tried="a branch adds a lenient contract in a folder of its project, which then judges what is started there",
    said="this branch adds a contract inside the project around it",
)
def test_a_branch_that_adds_a_contract_inside_its_project_is_not_judged_by_it(
    laboratory: Callable[[str], Project], said: str
) -> None:
    faults = laboratory("faults")
    faults.git("switch", "--quiet", "--create", "inside")
    (faults.root / "training").mkdir(exist_ok=True)
    shutil.copy(faults.root / "contract.yaml", faults.root / "training")
    for folder in ("training", "training/src"):
        (faults.root / folder).mkdir(exist_ok=True)
        with pytest.raises(BadInput, match=said) as error:
            Project.find(faults.root / folder, "main")
        assert error.value.file == str(faults.root / "training/contract.yaml")
        assert error.value.hint == f"beampermit check --project {faults.root}"
    assert Project.find(faults.root, "main").root == faults.root
    faults.git("add", "--all")
    faults.git("commit", "--quiet", "--message", "Merged")
    assert Project.find(faults.root / "training", "inside").root == faults.root / "training"


def behind_a_link(top: Path) -> None:
    (top / "faults").rename(top / "other")
    (top / "faults").symlink_to("other")


def behind_a_link_to_the_top(top: Path) -> None:
    (top / "faults/contract.yaml").rename(top / "contract.yaml")
    shutil.rmtree(top / "faults")
    (top / "faults").symlink_to(".")


def elsewhere(top: Path) -> None:
    (top / "faults").rename(top / "other")


@pytest.mark.parametrize(
    ("change", "folder"),
    [
        attack_case(
            behind_a_link,
            "faults",
            guard="base",
            tried="a branch puts a link to a new folder with a lenient contract in the place of its project",
            said="adds this contract and takes away faults/contract.yaml, which its base",
        ),
        attack_case(
            behind_a_link_to_the_top,
            "faults",
            guard="base",
            tried="a branch puts a link to the top, where it adds a lenient contract, in the place of its project",
            said="adds this contract and takes away faults/contract.yaml, which its base",
        ),
        attack_case(
            elsewhere,
            "other",
            guard="base",
            tried="a branch moves its project to another folder, where the base has no contract",
            said="adds this contract and takes away faults/contract.yaml, which its base",
        ),
    ],
)
def test_a_new_contract_does_not_judge_in_the_place_of_one_that_the_branch_takes_away(
    laboratory: Callable[[str], Project], change: Callable[[Path], None], folder: str, said: str
) -> None:
    faults = laboratory("faults")
    top, git = faults.root.parent, faults.git.top
    git("switch", "--quiet", "--create", "moved")
    change(top)
    place = (top / folder).resolve()
    replace(place / "contract.yaml", "gate: 0.95", "gate: 0.5")
    for step in (("add", "--all"), ("commit", "--quiet", "--message", "Moved")):
        with pytest.raises(BadInput, match=said) as error:
            Project.find(place, "main")
        git(*step)
    assert error.value.file == str(place / "contract.yaml")
    assert Project.find(top / "losses", "main").base_contract.model.name == "losses"
    assert Project.find(place, "moved").root == place, "merged"


def test_a_project_may_be_taken_away_without_another_in_its_place(laboratory: Callable[[str], Project]) -> None:
    faults = laboratory("faults")
    top, git = faults.root.parent, faults.git.top
    (top / "notes").mkdir()
    (top / "notes/contract.yaml").write_text("openapi: 3\n")
    git("add", "--all")
    git("commit", "--quiet", "--message", "A file of this name that is not a contract of ours")
    git("branch", "--force", "base")
    shutil.rmtree(top / "faults")
    assert Project.find(top / "losses", "base").root == top / "losses"
    git("checkout", "--quiet", "--", "faults")
    shutil.rmtree(top / "notes")
    (top / "gains").mkdir()
    shutil.copy(top / "faults/contract.yaml", top / "gains")
    git("add", "--all")
    assert Project.find(top / "gains", "base").root == top / "gains"


def test_a_branch_may_add_a_project_beside_others(laboratory: Callable[[str], Project]) -> None:
    top = laboratory("faults").root.parent
    (top / "gains/src").mkdir(parents=True)
    shutil.copy(top / "faults/contract.yaml", top / "gains")
    assert Project.find(top / "gains/src", "main").root == Project.find(top / "gains", "main").root == top / "gains"


def test_data_in_git_fail_only_the_project_that_they_lie_in(laboratory: Callable[[str], Project]) -> None:
    losses = laboratory("losses")
    (losses.root / "table.parquet").write_bytes(b"PAR1")
    losses.git("add", "--all")
    assert failures(losses, "DAT008") == {"DAT008": ["losses/table.parquet"]}
    assert failures(laboratory("faults"), "DAT008") == {}


def test_the_files_of_each_project_need_an_owner(laboratory: Callable[[str], Project]) -> None:
    assert ownership(laboratory("losses")).gap == ""
    assert "faults/contract.yaml, faults/dvc.lock" in ownership(laboratory("faults")).gap


def test_a_link_at_the_top_is_no_file_of_the_commit(laboratory: Callable[[str], Project]) -> None:
    losses = laboratory("losses")
    owners = losses.root.parent / "CODEOWNERS"
    owners.rename(losses.root.parent / "other")
    owners.symlink_to("other")
    assert failures(losses, "GIT005") == {"GIT005": ["CODEOWNERS"]}


def test_a_report_shows_the_changes_of_its_project_and_of_the_workflows(
    laboratory: Callable[[str], Project], tmp_path: Path
) -> None:
    faults = laboratory("faults")
    faults.git("switch", "--quiet", "--create", "both")
    replace(faults.root / "contract.yaml", "gate: 0.95", "gate: 0.5")
    replace(faults.root.parent / ".github/workflows/build.yml", "v6", "v7")
    faults.git("commit", "--quiet", "--all", "--message", "Both")
    reports = [gather_report(laboratory(name), tmp_path, {}) for name in ("faults", "losses")]
    assert [len(report.gates) for report in reports] == [1, 0]
    assert [report.watched for report in reports] == [(".github/workflows/build.yml",)] * 2
    assert [report.name for report in reports] == ["bpm-faults", "losses"]


def test_the_ledger_and_its_keys_are_the_repositorys(
    laboratory: Callable[[str], Project], tmp_path: Path, event: Callable[..., Event]
) -> None:
    faults = laboratory("faults")
    generate_keys(tmp_path / "keys")
    shutil.copy(tmp_path / "keys/permit.pub", faults.root.parent / ".github")
    faults.git.top("add", "--all")
    faults.git("commit", "--quiet", "--message", "The key")
    add_origin(faults.root.parent)
    Ledger(faults.git).append(event())
    ledger = Ledger(laboratory("losses").git)
    ledger.fetch()
    assert [read.model for read in ledger.events()] == ["bpm-faults"]
    assert len(ledger.keys().keys) == 1
    assert faults.git("ls-tree", "-r", "--name-only", "--full-tree", "origin/beampermit-ledger") == "ledger.jsonl"


def test_an_exported_commit_of_the_work_tree_is_the_project_in_its_folder(
    laboratory: Callable[[str], Project], tmp_path: Path
) -> None:
    faults = laboratory("faults")
    before = objects(faults.git)
    (faults.root / "new.py").touch()
    (faults.root.parent / "losses/src/new.py").touch()
    with faults.apart() as apart:
        commit = commit_of_work_tree(apart.git)
        with exported(apart.git, commit, tmp_path / "tree") as tree:
            assert Git(tree).read(commit, "make.py") == "print('made')\n"
            assert (tree / "new.py").is_file()
            assert (tree / "../losses/src/new.py").is_file()
            cut_off(tree, ["data"])
            own = Git(tree)
            assert own.top.root == (tmp_path / "tree").resolve()
            assert own("rev-list", "--count", "HEAD") == "1"
            assert own("status", "--porcelain") == ""
    assert objects(faults.git) == before


def objects(git: Git) -> list[str]:
    return sorted(path.name for path in (git.top.root / ".git/objects").rglob("*"))
