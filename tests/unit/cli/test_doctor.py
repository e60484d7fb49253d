"""`beampermit doctor`: all checks of one project and of an organization, what is printed, and exit codes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from beampermit.cli.main import app
from beampermit.errors import BadInput, BeampermitError
from beampermit.project import Project
from support.github_server import says, serving
from support.github_setup import Hub, of
from support.github_stand_in import GitHub, Token, environment
from support.set_up_project import COMMITTED, WORKFLOWS, show_set_up, write_set_up

pytestmark = pytest.mark.slow

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def root(dvc_project: Project, github: GitHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that lacks nothing, on GitHub and here."""
    root = dvc_project.root
    write_set_up(root)
    dvc_project.git("add", "--all")
    dvc_project.git("commit", "--quiet", "--message", "Set up")
    dvc_project.git("branch", "--force", "main")
    show_set_up(github)
    for name, value in environment(github, MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path}/none.db").items():
        monkeypatch.setenv(name, value)
    for name in ("BEAMPERMIT_SIGNING_KEY", "GITHUB_ACTIONS", "BEAMPERMIT_ENVIRONMENT"):
        monkeypatch.delenv(name, raising=False)
    return root


@pytest.fixture
def run(root: Path) -> Run:
    """Run it in the project: its exit code and output; raises its error."""

    def doctor(*arguments: str) -> tuple[int, str]:
        where = () if "--organization" in arguments else ("--project", str(root))
        result = CliRunner().invoke(app, ["doctor", *arguments, *where])
        if isinstance(result.exception, BeampermitError):
            raise result.exception
        return result.exit_code, result.stdout

    return doctor


def test_nothing_is_missing_then_something_is_and_it_is_said_what_to_do(run: Run, github: GitHub, root: Path) -> None:
    code, output = run()
    assert (code, "missing " in output.rpartition("\n\n")[0]) == (0, False), output
    places = [output.index(f"passed   {title}") for title in ("GitHub", "contract", "runners", "secrets", "owners")]
    assert places == sorted(places)
    assert "passed   protected branch" in output
    of(github).environment_secrets.clear()
    code, output = run()
    assert code == 1
    assert (
        f"gh secret set BEAMPERMIT_SIGNING_KEY --env production --repo {github.repository} < FOLDER/permit.k" in output
    )
    code, output = run("--json")
    body = json.loads(output)
    (secret,) = [one for one in body["projects"][0]["results"] if one["state"] == "failed"]
    assert (code, secret["title"], body["exit_code"]) == (1, "secrets", 1)


def test_offline_and_without_github_say_what_was_not_asked(
    run: Run, github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, output = run("--offline")
    assert (code, github.asked, "note: GitHub was not asked, by --offline: 5 checks are left out" in output) == (
        0,
        [],
        True,
    )
    monkeypatch.delenv("GITHUB_REPOSITORY")
    code, output = run()
    assert (code, "origin is not on a known GitHub; --repository OWNER/NAME" in output) == (0, True)


def test_a_github_that_does_not_answer_is_said_once_and_the_rest_is_looked_at(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_API_URL", "http://127.0.0.1:9")
    code, output = run()
    assert (code, output.count("cannot be reached")) == (4, 1)
    assert "passed   contract" in output


def test_a_token_that_sees_nothing_finds_nothing_missing(run: Run, github: GitHub) -> None:
    github.tokens["s3cret"] = Token("ada", frozenset({"metadata:read"}))
    code, output = run()
    assert code == 0
    assert " ".join(output.split()).count("not seen with this token: needs") >= 4
    sentences = [line for line in output.splitlines() if len(line.split()) > 1]
    assert max(map(len, sentences)) <= 80, "they are wrapped, and a path alone in its line is not"
    github.tokens["s3cret"] = Token("ada", frozenset())
    code, output = run()
    assert (code, "needs a token that sees the repository, in GITHUB_TOKEN" in " ".join(output.split())) == (0, True)


@pytest.fixture
def hub(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Three projects, a repository without one, and one in a folder."""
    hub = Hub("lab")
    files = {name: (root / name).read_text() for name in COMMITTED}
    with serving(hub) as url:
        hub.url = url
        for name in ("a", "b", "c"):
            show_set_up(hub.add(name, files))
        hub.add("website", {"index.html": "", "contract.yaml": "party: the first\n"})
        monkeypatch.setenv("GITHUB_API_URL", url)
        yield hub


def test_an_organization_is_one_table_with_each_cause_once(run: Run, hub: Hub) -> None:
    words = ("--organization", "lab")
    code, output = run(*words)
    assert (code, "note: 4 repositories, 3 with a contract\n" in output) == (0, True), output
    assert "website" not in output
    for name in ("a", "c"):
        of(hub.repositories[f"lab/{name}"]).variables.clear()
    moved = of(hub.repositories["lab/b"]).files
    moved["models/x/contract.yaml"] = moved.pop("contract.yaml")
    code, output = run(*words)
    assert code == 1
    assert output.count("the variable MLFLOW_TRACKING_URI is not set") == 1
    assert "\n  lab/a, lab/c\n  next: gh variable set MLFLOW_TRACKING_URI --repo OWNER/NAME --body ADDRESS\n" in output
    assert "\nlab/b/models/x  " in output
    moved["models/y/contract.yaml"] = moved["models/x/contract.yaml"]
    assert "note: 4 repositories, 3 with a contract (4 projects)\n" in run(*words)[1]
    del moved["models/y/contract.yaml"]
    blobs = [str(one) for one in hub.asked if "/git/blobs/" in str(one)]
    assert len(blobs) < 2 * 2 * (len(WORKFLOWS) + 4)  # a text that projects share is fetched once, not by each
    body = json.loads(run(*words, "--json")[1])
    assert [project["project"] for project in body["projects"]] == ["lab/a", "lab/b/models/x", "lab/c"]


def test_one_repository_that_fails_leaves_the_others(run: Run, hub: Hub) -> None:
    hub.repositories["lab/b"].next(*[says(404)] * 2)
    one = hub.repositories["lab/b"]
    one.tokens = {"s3cret": Token("ada", frozenset({"metadata:read"}))}
    code, output = run("--organization", "lab")
    assert (code, "not seen with this token: needs Contents, read\n  lab/b" in output) == (0, True), output
    assert "note: 4 repositories, 2 with a contract, 1 could not be read\n" in output


@pytest.mark.parametrize("more", [("--offline",), ("--repository", "lab/a"), ("--try-writing",)])
def test_what_an_organization_has_not_is_refused(run: Run, more: tuple[str, ...]) -> None:
    with pytest.raises(BadInput, match="--organization asks GitHub alone"):
        run("--organization", "lab", *more)
