"""`make mirror`: a copy of this repository for another owner, name and host, in which nothing of ours is called."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from ruamel.yaml import YAML

from beampermit.git import Git
from support.own_clone import clone_of_this
from support.paths import ROOT
from support.shared import shared_folder

FILES = (
    "scripts/mirror.py",
    "scripts/artifacts_v3.py",
    "scripts/pin.py",
    "scripts/running.py",
    "template/hooks/post_gen_project.py",
    "src/beampermit/updating/migrations.py",
)
CONTAINER = "template/{{cookiecutter.project_slug}}/Containerfile"


@pytest.fixture(scope="module")
def scripts() -> Iterator[dict[str, ModuleType]]:
    """The scripts of the mirror, as modules that find each other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        yield {name: import_module(name) for name in ("artifacts_v3", "mirror")}


@pytest.fixture(scope="module")
def mirror(scripts: dict[str, ModuleType], upstream: Git) -> Iterator[ModuleType]:
    """`scripts/mirror.py`, which copies the clone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scripts["mirror"], "ROOT", upstream.root)
        for role in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{role}_NAME", "Ada")
            patch.setenv(f"GIT_{role}_EMAIL", "ada@lab.example")
        yield scripts["mirror"]


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Git:
    """This repository, released as version 9.9.9."""
    git = clone_of_this(tmp_path_factory.mktemp("upstream") / "clone", FILES)
    git("tag", "v9.9.9")
    return git


@pytest.fixture(scope="module")
def copy(mirror: ModuleType, upstream: Git, tmp_path_factory: pytest.TempPathFactory) -> Git:
    """The copy of a laboratory with an Enterprise Server, made once."""
    to = tmp_path_factory.mktemp("mirror") / "copy"
    commit = mirror.mirror(mirror.Place("lab", "ml-permit", "git.lab.example"), to, enterprise_server=True)
    git = Git(to)
    assert git("rev-parse", "main") == commit
    return git


@pytest.mark.parametrize(
    ("host", "before", "after"),
    [
        ("git.lab.example", "uses: beampermit/beampermit/actions/x@1", "uses: lab/permit/actions/x@1"),
        ("git.lab.example", "see https://github.com/beampermit/beampermit.", "see https://git.lab.example/lab/permit."),
        (
            "git.lab.example",
            "ADD https://github.com/{{ cookiecutter.beampermit_repository }}.git#1",
            "ADD https://git.lab.example/{{ cookiecutter.beampermit_repository }}.git#1",
        ),
        (
            "git.lab.example",
            "f\"https://github.com/{answers['beampermit_repository']}\"",
            "f\"https://git.lab.example/{answers['beampermit_repository']}\"",
        ),
        ("git.lab.example", "https://github.com/{repository}", "https://github.com/{repository}"),
        ("github.com", "cookiecutter gh:beampermit/beampermit", "cookiecutter gh:lab/permit"),
        ("git.lab.example", "cookiecutter gh:beampermit/beampermit", "cookiecutter https://git.lab.example/lab/permit"),
        ("git.lab.example", '"beampermit/beampermit"', '"lab/permit"'),
        ("git.lab.example", "beampermit/beampermit-notes", "beampermit/beampermit-notes"),
        ("git.lab.example", "src/beampermit/beampermit/x", "src/beampermit/beampermit/x"),
        (
            "git.lab.example",
            "https://github.com/kserve/x actions/checkout",
            "https://github.com/kserve/x actions/checkout",
        ),
    ],
)
def test_what_names_this_repository_is_rewritten_and_nothing_else(
    mirror: ModuleType, host: str, before: str, after: str
) -> None:
    assert mirror.Place("lab", "permit", host).rewritten(before) == after


@pytest.mark.slow
def test_the_copy_calls_itself_alone_by_its_own_commits(copy: Git, upstream: Git) -> None:
    called: dict[str, set[str]] = {}
    for folder in (".github", "actions", "template", "deploy"):
        for file in (copy.root / folder).rglob("*.yml"):
            for name, commit in re.findall(r"uses:\s*([\w.-]+/[\w.-]+)\S*?@(\S+)", file.read_text()):
                called.setdefault(name, set()).add(commit)
    assert {name for name in called if not name.startswith("actions/")} == {"lab/ml-permit"}
    assert called["lab/ml-permit"] == {copy("rev-parse", "main^")}
    workflow = copy("show", "main^:.github/workflows/ml-pull-request.yml")
    assert f"lab/ml-permit/actions/setup@{copy('rev-parse', 'main^^')} # workflows-v9.9.9" in workflow
    assert copy("diff", "--name-only", "main^^", "main^", "--", "actions") == "", "the actions that it calls are these"
    assert copy("rev-parse", "v9.9.9", "workflows-v9.9.9").split() == copy("rev-parse", "main", "main^").split()
    assert copy("merge-base", "main", upstream.head()) == upstream.head(), "what is new here merges there"
    assert copy("status", "--porcelain") == ""


@pytest.mark.slow
def test_projects_and_pages_of_the_copy_name_it(copy: Git) -> None:
    root = copy.root
    assert '"beampermit_repository": "lab/ml-permit"' in (root / "template/cookiecutter.json").read_text()
    assert (
        f"https://git.lab.example/{{{{ cookiecutter.beampermit_repository }}}}.git#{copy('rev-parse', 'main^')}"
        in (root / CONTAINER).read_text()
    )
    assert "https://git.lab.example/lab/ml-permit" in (root / "README.md").read_text()
    found = copy.try_("grep", "-n", "-I", "-E", r"(uses: |github.com/|gh:|\")beampermit/beampermit([^-]|$)")
    assert found.out == ""
    for name in ("template/record.py", "src/beampermit/updating/migrations.py"):
        assert "https://git.lab.example/{" in (root / name).read_text(), "updates come from the copy"
    # A copy of the copy knows where it is.
    assert 'HOME = "https://git.lab.example/lab/ml-permit"' in (root / "scripts/mirror.py").read_text()
    assert 'OURS = "lab/ml-permit"' in (root / "scripts/pin.py").read_text()


@pytest.mark.slow
def test_the_copy_of_an_enterprise_server_uses_what_it_runs_and_is_clean_under_the_linters(
    copy: Git, scripts: dict[str, ModuleType]
) -> None:
    found = copy("grep", "-h", "-o", "-E", "actions/(upload|download)-artifact@.*", "--", ".github", "actions")
    assert copy.try_("grep", "--quiet", "upload-pages-artifact", "--", ".github").code == 1, "it uses version 4 itself"
    versions = scripts["artifacts_v3"].VERSION_3
    assert set(found.splitlines()) == {f"actions/{name}@{pin} # {said}" for name, (pin, said, _) in versions.items()}
    workflows, actions = ([*copy.root.glob(name)] for name in (".github/workflows/*.yml", "actions/*/action.yml"))
    for command in (["actionlint", *workflows], ["zizmor", "--offline", "--persona=auditor", ".github", *actions]):
        program = Path(sys.executable).with_name(command[0])
        done = subprocess.run([program, *command[1:]], cwd=copy.root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_run_again_the_copy_goes_forward_whatever_a_killed_run_left(
    copy: Git, mirror: ModuleType, upstream: Git
) -> None:
    place, before, released = mirror.Place("lab", "ml-permit", "git.lab.example"), copy.head(), upstream.head()
    (upstream.root / "NEWS").write_text("see gh:beampermit/beampermit")
    upstream("add", "--all")
    upstream("commit", "--quiet", "--message", "News")
    copy("checkout", "--quiet", "--detach")
    (copy.root / "README.md").write_text("half")
    try:
        after = mirror.mirror(place, copy.root, enterprise_server=True)
    finally:
        upstream("reset", "--quiet", "--hard", released)
    assert copy("merge-base", before, after) == before, "it can be pushed, and what projects pin stays"
    assert (copy.root / "NEWS").read_text() == "see https://git.lab.example/lab/ml-permit"
    assert "half" not in (copy.root / "README.md").read_text().splitlines()
    assert copy("show", "--no-patch", "--format=%s", "main~2").startswith("Beampermit ")
    assert f"@{copy('rev-parse', 'main^')} # main" in (copy.root / ".github/workflows/ml-comment.yml").read_text()


def test_a_folder_of_something_else_is_left_alone(mirror: ModuleType, tmp_path: Path) -> None:
    place = mirror.Place("lab", "permit", "github.com")
    other, notes = tmp_path / "other", tmp_path / "notes"
    subprocess.run(["git", "init", "--quiet", "--initial-branch", "main", other], check=True)
    (other / "x").write_text("mine")
    with pytest.raises(SystemExit, match="is no copy of an earlier run: name a new folder"):
        mirror._begin(place, other)
    notes.mkdir()
    (notes / "x").write_text("mine")
    with pytest.raises(SystemExit, match="is no copy of an earlier run"):
        mirror._begin(place, notes)
    Git(other)("config", "beampermit.mirror", "https://github.com/lab/else")
    with pytest.raises(SystemExit, match=r"is the copy for https://github\.com/lab/else"):
        mirror._begin(place, other)
    git = Git(other)
    git("config", "beampermit.mirror", place.url)
    assert mirror._begin(place, other) == "", "killed before its first commit"
    git("add", "--all")
    git("commit", "--quiet", "--message", "Ours")
    assert mirror._begin(place, other) == git.head()
    (other / "x").write_text("changed")
    with pytest.raises(SystemExit, match="has changes that are not committed"):
        mirror._begin(place, other)


@pytest.mark.slow
def test_whose_commits_the_copys_are_is_asked_before_anything_is_copied(
    mirror: ModuleType, upstream: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*(f"GIT_{role}_{what}" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")), "EMAIL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    (tmp_path / "gitconfig").write_text("[user]\n    useConfigOnly = true\n")  # whatever the name of this machine
    place, to = mirror.Place("lab", "permit", "github.com"), tmp_path / "copy"
    upstream("config", "--unset", "user.email")
    try:
        with pytest.raises(
            SystemExit, match=r"git knows nobody .+: no email was given .+\n  then: git config user\.name"
        ):
            mirror.mirror(place, to, enterprise_server=False)
    finally:
        upstream("config", "user.email", "ada@lab.example")
    assert [path.name for path in to.iterdir()] == [".git"]
    mirror.identify(to)
    assert Git(to)("var", "GIT_COMMITTER_IDENT").startswith("Ada <ada@lab.example> ")
    Git(to)("config", "user.name", "Deputy")
    mirror.identify(to)
    assert Git(to)("var", "GIT_AUTHOR_IDENT").startswith("Deputy <")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--owner", "https://git.lab.example/lab"), "'https://git.lab.example/lab' is no owner"),
        (("--owner", "lab-"), "'lab-' is no owner"),
        (("--owner", "lab", "--name", "../up"), "'../up' is no name"),
        (("--owner", "lab", "--name", "permit.git"), "'permit.git' is no name"),
        (("--owner", "lab", "--host", "https://git.lab.example"), "'https://git.lab.example' is no host"),
        (("--owner", "lab", "--host", "git.lab.example/x"), "is no host"),
    ],
)
def test_a_place_that_is_none_is_refused(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "scripts/mirror.py", *words, "--to", tmp_path / "copy"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, said in done.stderr) == (1, True), done.stderr
    assert not (tmp_path / "copy").exists()


@pytest.mark.slow
def test_a_copy_needs_a_folder_of_its_own(tmp_path: Path) -> None:
    for named in ("", ".", str(tmp_path)):
        command = [sys.executable, ROOT / "scripts/mirror.py", "--owner", "lab", "--to", named]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, "is this folder: name that of the copy" in done.stderr) == (1, True), done.stderr
    assert not any(tmp_path.iterdir())


@pytest.fixture
def small(tmp_path: Path, scripts: dict[str, ModuleType]) -> tuple[Git, ModuleType]:
    """A copy of one workflow, pinned as it must be."""
    root = tmp_path / "small"
    for name, text in {
        ".github/workflows/ml-x.yml": f"  uses: lab/permit/actions/x@{40 * '0'} # main\n",
        "actions/x/action.yml": "name: x\n",
        CONTAINER: "ADD https://github.com/x.git#" + 40 * "0" + " /opt\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    subprocess.run(["git", "init", "--quiet", "--initial-branch", "main", root], check=True)
    git = Git(root)
    git("add", "--all")
    git("commit", "--quiet", "--message", "Rewritten")
    scripts["mirror"].move(git.head(), "main", root, "lab/permit")
    git("commit", "--quiet", "--all", "--message", "Pinned")
    scripts["mirror"].move(git.head(), "main", root, "lab/permit")
    git("commit", "--quiet", "--all", "--message", "Pinned twice")
    return git, scripts["mirror"]


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("docs/x.md", "see (beampermit/beampermit)", "the copy still names beampermit/beampermit: docs/x.md:1:"),
        (".github/workflows/y.yml", "  uses: Beampermit/beampermit/actions/x@1", "y.yml:1 still uses Beampermit/beamp"),
        (".github/workflows/y.yml", f"  uses: lab/permit/actions/x@{40 * 'a'} # main", "the copy's pins name "),
        (".github/workflows/y.yml", "  uses: lab/permit/actions/gone@{} # main", "the copy's pins name "),
    ],
)
def test_a_copy_that_still_needs_us_is_refused(small: tuple[Git, ModuleType], file: str, text: str, said: str) -> None:
    git, mirror = small
    place = mirror.Place("lab", "permit", "github.com")
    mirror.refuse_what_is_not_of_the_copy(git.root, place, enterprise_server=False)
    (git.root / file).parent.mkdir(exist_ok=True)
    (git.root / file).write_text(text.format(git("rev-parse", "HEAD^")) + "\n")
    git("add", "--all")
    with pytest.raises(SystemExit) as refused:
        mirror.refuse_what_is_not_of_the_copy(git.root, place, enterprise_server=False)
    assert said in str(refused.value)


STEP = """\
jobs:
  one:
    steps:
      - name: Download
        if: ${{ !cancelled() }}
        uses: actions/download-artifact@37930b1c2abaa49bbe596cd826c3c89aef350131 # v7.0.0
        with:
          pattern: verdicts-*
          path: PATH/verdicts
          merge-multiple: true
      - name: Next
        run: ls
"""


def test_what_matches_a_pattern_is_copied_together_as_download_does_on_github(
    scripts: dict[str, ModuleType], tmp_path: Path
) -> None:
    artifacts = scripts["artifacts_v3"]
    text = artifacts.run_on_enterprise_server(STEP.replace("PATH", str(tmp_path)), "x.yml")
    artifacts.refuse_other_inputs(text, "x.yml")
    first, second, last = YAML(typ="safe").load(text)["jobs"]["one"]["steps"]
    assert first["with"] == {"path": f"{tmp_path}/verdicts.apart"}
    assert first["if"] == second["if"] == "${{ !cancelled() }}", "one is not run without the other"
    assert last == {"name": "Next", "run": "ls"}

    def together() -> list[str]:
        run = ["bash", "-euo", "pipefail", "-c", second["run"]]
        subprocess.run(run, env={"PATH": "/usr/bin:/bin", **second["env"]}, check=True)
        return sorted(
            path.relative_to(tmp_path / "verdicts").as_posix() for path in (tmp_path / "verdicts").rglob("*.json")
        )

    assert together() == [], "a run without artifacts is none that fails here"
    for name in ("verdicts-data/data.json", "verdicts-x/deep/x.json", "report/report.json"):
        (tmp_path / "verdicts.apart" / name).parent.mkdir(parents=True)
        (tmp_path / "verdicts.apart" / name).write_text("{}")
    assert together() == ["data.json", "deep/x.json"]


UPLOAD = "actions/upload-artifact@b7c566a772e6b6bfb58ed0dc250532a479d7789f # v6.0.0"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            STEP.replace("          merge-multiple: true\n", ""),
            "'Download' downloads in a way that Enterprise Server does not",
        ),
        (STEP.replace("verdicts-*", "'{a,b}'"), "'Download' downloads in a way"),
        (STEP.replace("merge-multiple: true\n", "merge-multiple: true\n          run-id: 1\n"), "downloads in a way"),
        (
            f"jobs:\n  one:\n    steps:\n      - uses: {UPLOAD}\n        with: {{name: x, path: y, overwrite: true}}\n",
            "x.yml:4 gives upload-artifact overwrite, which v3.2.1-node20 does not have",
        ),
        (
            f"runs:\n  steps:\n    - uses: {UPLOAD}\n      with:\n        path: y\n        archive: false\n",
            "x.yml:3 gives upload-artifact archive",
        ),
        (
            "runs:\n  steps:\n    - uses: actions/upload-artifact@v6\n      with: {path: y}\n",
            "x.yml:3 uses upload-artifact at v6; Enterprise Server runs c24449f33cd4, v3.2.1-node20",
        ),
    ],
)
def test_what_version_3_cannot_do_is_refused_by_file_and_line(
    scripts: dict[str, ModuleType], text: str, said: str
) -> None:
    artifacts = scripts["artifacts_v3"]
    with pytest.raises(SystemExit) as refused:
        artifacts.refuse_other_inputs(artifacts.run_on_enterprise_server(text, "x.yml"), "x.yml")
    assert said in str(refused.value)


def test_a_workflow_that_enterprise_server_cannot_run_is_known(scripts: dict[str, ModuleType]) -> None:
    unsupported = scripts["artifacts_v3"].unsupported
    assert unsupported(f"uses: actions/upload-pages-artifact@{40 * 'a'} # v5.0.0") == "actions/upload-pages-artifact"
    assert unsupported(f"uses: {UPLOAD}\nuses: actions/deploy-pages@{40 * 'a'}") == ""


def test_a_download_by_name_stays_one_step(scripts: dict[str, ModuleType]) -> None:
    step = STEP.replace("pattern: verdicts-*", "name: release").replace("          merge-multiple: true\n", "")
    pinned = scripts["artifacts_v3"].VERSION_3["download-artifact"]
    expected = re.sub(r"@[0-9a-f]{40} # \S+", f"@{pinned[0]} # {pinned[1]}", step)
    assert scripts["artifacts_v3"].run_on_enterprise_server(step, "x.yml") == expected


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("no permit for 1: ENV001 failed", None),
        ("no permit for 1: DOC001 has no verdict", "the job permit did not get the verdicts of the others"),
        ("the artifact store cannot be reached", "the job permit did not get the verdicts of the others"),
        (None, "the rehearsal did not run ml / permit: not run: it needs x"),
    ],
)
def test_a_rehearsal_that_proves_nothing_is_refused(
    scripts: dict[str, ModuleType], log: str | None, said: str | None, tmp_path: Path
) -> None:
    (tmp_path / "permit.log").write_text(log or "")
    permit = {"log": str(tmp_path / "permit.log") if log else None, "reason": "not run: it needs x"}
    if said is None:
        scripts["mirror"].refuse_a_rehearsal({"ml / permit": permit})
        return
    with pytest.raises(SystemExit, match=said):
        scripts["mirror"].refuse_a_rehearsal({"ml / permit": permit})


def test_a_copy_for_an_enterprise_server_with_an_action_that_it_does_not_run_is_refused(
    small: tuple[Git, ModuleType],
) -> None:
    git, mirror = small
    (git.root / "actions/x/action.yml").write_text("runs:\n  steps:\n    - uses: actions/upload-artifact@v6\n")
    place = mirror.Place("lab", "permit", "github.com")
    mirror.refuse_what_is_not_of_the_copy(git.root, place, enterprise_server=False)
    with pytest.raises(SystemExit, match=r"actions/x/action\.yml:3 uses upload-artifact at v6; Enterprise Server runs"):
        mirror.refuse_what_is_not_of_the_copy(git.root, place, enterprise_server=True)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_project_of_the_copy_is_rehearsed_with_the_copys_workflows(
    copy: Git, mirror: ModuleType, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared_folder(tmp_path_factory) / "cache"))
    mirror.rehearse(mirror.Place("lab", "ml-permit", "git.lab.example"), copy.root)
