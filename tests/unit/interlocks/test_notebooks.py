"""TST005: a notebook with outputs is refused and named, and one that must run really runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from beampermit.contract.direction import direction
from beampermit.contract.model import Contract
from beampermit.environments import Environment
from beampermit.errors import BadInput
from beampermit.interlocks import notebooks, runner
from beampermit.interlocks.inputs import Inputs
from beampermit.interlocks.notebooks import TST005, find_outputs
from beampermit.project import Project
from beampermit.verdicts.verdict import Outcome, Verdict
from support.notebooks import make_environment, notebook
from support.shared import made_once, shared_folder

REFUSED = "notebooks: {outputs: refused}\n"
OUTPUT = {"output_type": "stream", "name": "stdout", "text": "1"}
PLOT = {"output_type": "display_data", "metadata": {}, "data": {"application/json": {"y": float("nan")}}}
STATE = "application/vnd.jupyter.widget-state+json"
Judge = Callable[..., Verdict]


def with_widgets(widgets: object, outputs: Sequence[object] = ()) -> str:
    """A notebook with this in `metadata.widgets`."""
    content = json.loads(notebook("x", outputs=outputs))
    content["metadata"]["widgets"] = widgets
    return json.dumps(content)


@pytest.fixture
def judge(project: Project, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Judge:
    """Judge notebooks by rules that the base branch has too, unless `base` says otherwise."""
    folder = shared_folder(tmp_path_factory)
    monkeypatch.setenv("BEAMPERMIT_CACHE", str(folder / "notebooks"))  # compiled modules
    environment = Environment(made_once(folder / "notebook-environment", make_environment))

    def run(rules: str, files: dict[str, str | bytes], base: str | None = None) -> Verdict:
        text = project.path("contract.yaml").read_text()
        project.path("contract.yaml").write_text(text + (rules if base is None else base))
        project.git("commit", "--quiet", "--all", "--allow-empty", "--message", "Rules")
        project.path("contract.yaml").write_text(text + rules)
        for name, content in files.items():
            path = project.path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        given = Project(project.root, "HEAD")
        (verdict,) = runner.run([TST005], Inputs(project=given, environment=environment))
        return verdict

    return run


def test_without_a_rule_nothing_is_asked(judge: Judge) -> None:
    verdict = judge("", {"a.ipynb": notebook("1", outputs=[OUTPUT], count=3), "b.ipynb": "{"})
    assert (verdict.outcome, verdict.reason) == (Outcome.PASSED, "the contract has no rule for notebooks (2 notebooks)")


@pytest.mark.plants("TST005")
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (notebook("x = 1", "x", outputs=[OUTPUT]), "has outputs: cell 1 has outputs (and 1 more)"),
        (notebook("x", outputs=[PLOT]), "has outputs: cell 1 has outputs"),
        (notebook("x", count=7), "has outputs: cell 1 has an execution count"),
        (notebook("x", count=0), "has outputs: cell 1 has an execution count"),
        (
            json.dumps({"nbformat": 3, "worksheets": [{"cells": [{"cell_type": "code", "outputs": [OUTPUT]}]}]}),
            "has outputs: cell 1 has outputs",
        ),
        (
            json.dumps({"nbformat": 3, "worksheets": [{"cells": [{"cell_type": "code", "prompt_number": 2}]}]}),
            "has outputs: cell 1 has an execution count",
        ),
        (
            with_widgets({STATE: {"state": {"a1": {"state": {"value": 0.25}}}, "version_major": 2}}),
            "has outputs: the state of widgets is in its metadata",
        ),
        (with_widgets({STATE: {"a1": {"model_name": "HTML"}}}), "has outputs: the state of widgets is in its metadata"),
        (with_widgets({"state": {"a1": {"value": 1}}}), "has outputs: the state of widgets is in its metadata"),
        (
            with_widgets({STATE: {"state": {"a1": {}}}}, outputs=[OUTPUT]),
            "has outputs: cell 1 has outputs (and 1 more)",
        ),
        ("", "is not a notebook, for it is empty"),
        ("\n", "is not a notebook, for it is empty"),
        ("<<<<<<< HEAD\n{}", "is not a notebook, for it is not JSON (line 1)"),
        (b"\xff\xfe\x00", "is not a notebook, for it is not JSON"),
        ("[" * 100_000, "is not a notebook, for it is not JSON"),
        ("[]", "is not a notebook, for it holds no object"),
    ],
)
def test_a_notebook_with_outputs_is_refused_and_named(judge: Judge, content: str | bytes, reason: str) -> None:
    verdict = judge(REFUSED, {"notebooks/scan.ipynb": content})
    assert (verdict.outcome, verdict.reason) == (Outcome.FAILED, f"notebooks/scan.ipynb {reason}")
    assert [place.file for place in verdict.locations] == ["notebooks/scan.ipynb"]
    assert "jupyter nbconvert --clear-output" in verdict.fix


@pytest.mark.parametrize(
    "content",
    [
        notebook("x = 1"),
        with_widgets({}),
        with_widgets({STATE: {"state": {}, "version_major": 2, "version_minor": 0}}),
        "{}",
        json.dumps({"cells": [None, 3, {"cell_type": "markdown", "source": "# Scan"}], "worksheets": 4}),
        json.dumps({"nbformat": 3, "worksheets": [{"cells": [{"outputs": [], "prompt_number": None}]}, 1]}),
        b"\xef\xbb\xbf{}",
    ],
)
def test_a_notebook_without_outputs_passes(judge: Judge, content: str | bytes) -> None:
    verdict = judge(REFUSED, {"scan.ipynb": content})
    assert (verdict.outcome, verdict.reason) == (Outcome.PASSED, "1 notebook without outputs")


def test_a_name_in_capitals_is_a_notebook_too(judge: Judge) -> None:
    verdict = judge(REFUSED, {"a.IPYNB": notebook("1", outputs=[OUTPUT])})
    assert (verdict.outcome, verdict.reason) == (Outcome.FAILED, "a.IPYNB has outputs: cell 1 has outputs")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "is not a notebook, for it is empty"),
        ("{", "is not a notebook, for it is not JSON (line 1)"),
        ("[]", "is not a notebook, for it holds no object"),
    ],
)
def test_what_is_no_notebook_is_called_so_where_it_should_run(judge: Judge, content: str, reason: str) -> None:
    verdict = judge("notebooks: {run: [a.ipynb]}\n", {"a.ipynb": content})
    assert (verdict.outcome, verdict.reason) == (Outcome.FAILED, f"a.ipynb {reason}")


def test_what_is_no_notebook_of_the_commit_is_left_alone(judge: Judge, project: Project) -> None:
    full = notebook("1", outputs=[OUTPUT])
    project.path("linked.ipynb").symlink_to("/nowhere.ipynb")
    project.path("folder.ipynb").mkdir()
    files = {
        ".gitignore": "scratch/\n",
        "scratch/a.ipynb": full,
        ".ipynb_checkpoints/a-checkpoint.ipynb": full,
        "notebooks/.ipynb_checkpoints/b-checkpoint.ipynb": full,
        "folder.ipynb/README.md": "a folder",
        "b.ipynb.bak": full,
    }
    verdict = judge(REFUSED, files)
    assert (verdict.outcome, verdict.reason) == (Outcome.PASSED, "0 notebooks without outputs")


def test_a_notebook_outside_of_the_project_is_another_projects(judge: Judge, project: Project, tmp_path: Path) -> None:
    outer = tmp_path / "project"
    (outer / "models/night").mkdir(parents=True)
    (outer / "contract.yaml").rename(outer / "models/night/contract.yaml")
    (outer / "theirs.ipynb").write_text(notebook("1", outputs=[OUTPUT]))
    project.root = outer / "models/night"
    verdict = judge(REFUSED, {"mine.ipynb": notebook("1")})
    assert (verdict.outcome, verdict.reason) == (Outcome.PASSED, "1 notebook without outputs")


def test_outputs_that_a_filter_of_git_takes_out_are_not_in_the_commit(judge: Judge, project: Project) -> None:
    project.git("config", "filter.strip.clean", "sed s/SHOWN//")
    shown = notebook("x = 1").replace('"outputs": []', '"outputs": [SHOWN]').replace("SHOWN", '"SHOWN"')
    verdict = judge(REFUSED, {".gitattributes": "*.ipynb filter=strip\n", "a.ipynb": shown})
    assert verdict.reason == "a.ipynb has outputs: cell 1 has outputs", "the filter leaves quotes"
    project.git("config", "filter.strip.clean", "sed 's/\"SHOWN\"//'")
    project.path("contract.yaml").write_text(project.path("contract.yaml").read_text().replace(REFUSED, ""))
    assert judge(REFUSED, {}).reason == "1 notebook without outputs"


def test_a_huge_notebook_is_not_read(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    content = notebook("x = 1")
    monkeypatch.setattr(notebooks, "LARGEST", len(content))
    verdict = judge(REFUSED, {"just.ipynb": content, "over.ipynb": content + " "})
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reason.startswith("over.ipynb has 0 MiB, and without outputs no notebook has")
    assert [place.file for place in verdict.locations] == ["over.ipynb"]


def test_a_pull_request_cannot_take_the_rule_out(judge: Judge) -> None:
    files = {"a.ipynb": notebook("1", outputs=[OUTPUT])}
    assert judge("", files, base=REFUSED).outcome is Outcome.FAILED


@pytest.mark.parametrize("base", ["notebooks: {run: [a.ipynb]}\n", ""])
def test_what_either_branch_says_must_run_runs(
    judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: str
) -> None:
    (tmp_path / "planted.py").write_text("raise SystemExit('begun')")
    monkeypatch.setattr(notebooks, "RUNNER", tmp_path / "planted.py")
    rules = "" if base else "notebooks: {run: [a.ipynb]}\n"
    verdict = judge(rules, {"a.ipynb": notebook("1")}, base=base)
    assert verdict.reason.endswith("exit status 1: begun")


def test_a_pull_request_may_be_stricter_than_its_base(judge: Judge) -> None:
    assert judge(REFUSED, {"a.ipynb": notebook("1", count=1)}, base="").outcome is Outcome.FAILED


@pytest.mark.slow
def test_notebooks_that_the_contract_names_run(judge: Judge, project: Project) -> None:
    """Also a cell that asks to be skipped, or nobody would know whether it runs."""
    skipped = json.loads(notebook("x = 1", "raise ValueError('no beam')"))
    skipped["cells"][1]["metadata"]["tags"] = ["skip-execution"]
    files = {
        "src/mine.py": "ANSWER = 42\n",
        "notebooks/data.csv": "1\n",
        "notebooks/good.ipynb": notebook("import mine; assert mine.ANSWER == 42", "open('data.csv')", kernel="lab"),
        "notebooks/bad.ipynb": notebook("x = 0", "# halve\nraise ValueError('no\\x1b[31m beam')", "never"),
        "notebooks/dies.ipynb": notebook("x = 1", "import os; os._exit(3)"),
        "notebooks/skipped.ipynb": json.dumps(skipped),
        "other/unasked.ipynb": notebook("raise SystemError"),
    }
    verdict = judge("notebooks: {run: [notebooks/*.ipynb]}\n", files)
    assert (verdict.outcome, verdict.reason) == (
        Outcome.FAILED,
        "notebooks/bad.ipynb cell 2 (# halve): ValueError: no [31m beam (and 2 more)",
    )
    bad, dies, skips = verdict.locations
    assert (bad.file, bad.reason) == ("notebooks/bad.ipynb", "cell 2 (# halve): ValueError: no [31m beam")
    assert dies.file == "notebooks/dies.ipynb"
    assert dies.reason.startswith("cell 2 (import os; os._exit(3)): DeadKernelError: Kernel died")
    said = "cell 2 (raise ValueError('no beam')): ValueError: no beam"
    assert (skips.file, skips.reason) == ("notebooks/skipped.ipynb", said)
    assert '"outputs": []' in project.path("notebooks/good.ipynb").read_text(), "what ran is not written"


@pytest.mark.slow
def test_what_cannot_run_is_named_and_what_runs_is_counted(judge: Judge, project: Project) -> None:
    old = {"cells": [{"cell_type": "code", "input": "y = 2", "language": "python", "outputs": []}], "metadata": {}}
    third = {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}, "worksheets": [old]}
    rules = "notebooks: {outputs: refused, run: [a.ipynb, old.ipynb]}\n"
    verdict = judge(rules, {"a.ipynb": "\ufeff" + notebook("x = 1", "x", ""), "old.ipynb": json.dumps(third)})
    assert (verdict.outcome, verdict.reason) == (Outcome.PASSED, "2 notebooks without outputs; 2 ran (3 cells)")
    text = notebook("1").replace('"language": "python"', '"language": "R"')
    project.path("contract.yaml").write_text(project.path("contract.yaml").read_text().replace(rules, ""))
    verdict = judge(rules, {"a.ipynb": text, "old.ipynb": "{}"})
    assert verdict.reason.startswith("a.ipynb it is for R, and the locked environment has Python only (and 1 more)")


def test_a_name_without_a_notebook_fails(judge: Judge) -> None:
    verdict = judge("notebooks: {run: [notebooks/scan.ipynb]}\n", {"scan.ipynb": notebook("1")})
    assert verdict.outcome is Outcome.FAILED
    assert verdict.reason == "notebooks.run names notebooks/scan.ipynb, and there is no such notebook in the commit"


@pytest.mark.slow
def test_an_environment_without_nbclient_is_said(judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare/runner.py").write_text(
        f"import sys\nsys.modules['nbclient'] = None\nsys.argv[0] = {str(notebooks.RUNNER)!r}\n"
        "exec(compile(open(sys.argv[0]).read(), sys.argv[0], 'exec'))\n"
    )
    monkeypatch.setattr(notebooks, "RUNNER", tmp_path / "bare/runner.py")
    verdict = judge("notebooks: {run: [scan.ipynb]}\n", {"scan.ipynb": notebook("1")})
    assert verdict.reason == (
        "nbclient is not in the locked environment: add nbclient and ipykernel to the group dev of pyproject.toml"
    )


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("import sys; sys.exit('no zmq')", "the notebooks ended without a report, exit status 1: no zmq"),
        ("print('{}')", "the notebooks ended without a report, exit status 0: {}"),
        (
            'import os, sys; os.write(int(sys.argv[1]), b\'{"word": "x", "missing": "", "ran": []}\')',
            "something else than Beampermit wrote the report of the notebooks, exit status 0",
        ),
        (
            "import os, sys; os.write(int(sys.argv[1]), b'{\"word\": 3}')",
            "the report of the notebooks cannot be read: word: Input should be a valid string",
        ),
        (
            "import json, os, sys\nreport = {'word': input(), 'missing': '', 'ran': []}\n"
            "os.write(int(sys.argv[1]), json.dumps(report).encode())",
            "the report of the notebooks is not complete",
        ),
    ],
)
def test_a_report_that_is_not_ours_fails(
    judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    (tmp_path / "planted.py").write_text(script)
    monkeypatch.setattr(notebooks, "RUNNER", tmp_path / "planted.py")
    verdict = judge("notebooks: {run: [scan.ipynb]}\n", {"scan.ipynb": notebook("1")})
    assert (verdict.outcome, verdict.reason[: len(reason)]) == (Outcome.FAILED, reason)


def test_less_is_asked_where_outputs_are_allowed_or_a_notebook_need_not_run() -> None:
    assert direction(Contract, ("notebooks", "outputs")).choices == ("refused", "allowed")


def test_a_report_of_many_cells_is_short() -> None:
    with pytest.raises(BadInput):
        find_outputs(b"{")
    assert find_outputs(notebook(*["1"] * 900, count=1).encode()) == "cell 1 has an execution count (and 899 more)"
