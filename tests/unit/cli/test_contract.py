"""A contract that cannot be read is said once, with every error, whatever was asked; and in any terminal."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable

import pytest

from beampermit.cli import main
from beampermit.interlocks import runner
from beampermit.project import Project

pytestmark = pytest.mark.slow

Run = Callable[..., tuple[int, str, str]]
MISTAKES = (("summary: Flags", "sumary: Flags"), ("gate: 0.95", "gate: .nan"))


@pytest.fixture
def beampermit(project: Project, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in the project, on a terminal of some encoding: its exit code, stdout and stderr."""

    def run(*words: str, encoding: str = "utf-8") -> tuple[int, str, str]:
        streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2)]
        monkeypatch.chdir(project.root)
        monkeypatch.setattr(sys, "argv", ["beampermit", *words])
        monkeypatch.setattr(sys, "stdout", streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])
        with pytest.raises(SystemExit) as ended:
            main.run()
        written: list[str] = []
        for stream in streams:
            stream.flush()
            written.append(stream.buffer.getvalue().decode(encoding))  # type: ignore[attr-defined]
        return int(ended.value.code or 0), written[0], written[1]

    return run


@pytest.fixture
def broken(project: Project, contract_text: str) -> Project:
    text = contract_text
    for before, after in MISTAKES:
        text = text.replace(before, after)
    (project.root / "contract.yaml").write_text(text)
    return project


def line_of(project: Project, word: str) -> int:
    text = (project.root / "contract.yaml").read_text()
    return text[: text.index(word)].count("\n") + 1


def test_a_check_stops_at_a_contract_that_cannot_be_read_and_says_each_error_once(
    beampermit: Run, broken: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "run", lambda *_, **__: pytest.fail("an interlock ran"))
    file = broken.root / "contract.yaml"
    code, out, err = beampermit("check", "--out", "all.json")
    assert (code, out) == (2, "")
    assert err.splitlines() == [
        f"beampermit: {file}:{line_of(broken, 'sumary')}: model.sumary: unknown key 'sumary'; did you mean 'summary'?",
        f"  - {file}:{line_of(broken, 'model:')}: model.summary: this key is missing",
        f"  - {file}:{line_of(broken, '.nan')}: metrics.0.gate: Input should be a finite number",
        "      next: beampermit contract check",
    ]
    assert not (broken.root / "all.json").exists()


def test_json_and_annotations_have_every_error_too(beampermit: Run, broken: Project) -> None:
    line = line_of(broken, ".nan")
    for asked in (["--json"], ["--format", "json"], ["--format=json"]):
        code, out, _ = beampermit("check", *asked)
        assert code == 2
        last = json.loads(out)["also"][-1]
        assert (last["line"], last["error"]) == (line, "metrics.0.gate: Input should be a finite number")
    code, out, _ = beampermit("check", "--format", "github")
    assert code == 2
    assert out.splitlines()[-1] == (
        f"::error file=contract.yaml,line={line},title=beampermit::metrics.0.gate: Input should be a finite number"
    )
    assert len(out.splitlines()) == 3


def test_an_annotation_names_the_contract_of_a_project_in_a_folder(beampermit: Run, broken: Project) -> None:
    folder = broken.root / "models/a"
    folder.mkdir(parents=True)
    (broken.root / "contract.yaml").rename(folder / "contract.yaml")
    code, out, _ = beampermit("check", "--format", "github", "--project", "models/a")
    assert code == 2
    assert [line.split(",")[0] for line in out.splitlines()] == ["::error file=models/a/contract.yaml"] * 3


def test_what_needs_no_contract_is_judged_beside_one_that_cannot_be_read(beampermit: Run, broken: Project) -> None:
    (broken.root / ".github/workflows").mkdir(parents=True)
    (broken.root / ".github/workflows/a.yml").write_text(
        "name: a\non: push\njobs:\n  b:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v4\n"
    )
    code, out, err = beampermit("check", "GIT003")
    assert code == 1
    assert "actions/checkout@v4" in out
    assert err == ""


def test_a_lock_is_not_solved_for_a_contract_that_cannot_be_read(beampermit: Run, broken: Project) -> None:
    code, _, err = beampermit("env", "lock")
    assert code == 2
    assert err.startswith(f"beampermit: {broken.root / 'contract.yaml'}:")
    assert beampermit("env", "lock", "--no-record")[2].startswith(f"beampermit: {broken.root}: ")


def test_the_command_that_was_just_run_is_no_hint(beampermit: Run, broken: Project) -> None:
    code, _, err = beampermit("contract", "check")
    assert code == 2
    assert "did you mean 'summary'?" in err
    assert "next:" not in err


def test_what_does_not_fit_the_contract_ends_in_1_with_each_place_and_its_fix(
    beampermit: Run, project: Project
) -> None:
    code, out, _ = beampermit("contract", "check", "--code")
    assert code == 0
    assert out.endswith("which says what is gone\ncode and contract fit\n")
    (project.root / "README.md").write_text("Text\n[x](gone.md) \x1b[31m\n")
    code, out, _ = beampermit("contract", "check", "--code")
    assert code == 1
    assert "README.md:2: it links to gone.md, which is not there\n    fix: Link to what" in out
    assert out.endswith("1 place where code and contract do not fit\n")
    code, out, _ = beampermit("contract", "check", "--code", "--json")
    assert code == 1
    (listed,) = json.loads(out)["code"]
    assert (listed["file"], listed["line"]) == ("README.md", 2)
    assert listed["what"] == "it links to gone.md, which is not there"
    assert listed["fix"]
    assert beampermit("contract", "check")[0] == 0


def test_code_is_that_of_a_project_and_its_base_must_be_there(beampermit: Run, project: Project) -> None:
    (project.root / "other.yaml").write_bytes((project.root / "contract.yaml").read_bytes())
    code, _, err = beampermit("contract", "check", "other.yaml", "--code")
    assert (code, "other.yaml: --code is for a project, with its contract in contract.yaml" in err) == (2, True)
    code, _, err = beampermit("contract", "check", "--code", "--base", "gone")
    assert (code, "the base revision 'gone' is not in this clone" in err) == (2, True)


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp1252"])
def test_text_that_a_terminal_cannot_show_is_spelled_out(
    beampermit: Run, project: Project, contract_text: str, encoding: str
) -> None:
    text = contract_text.replace("summary: Flags", "summary: Jo\u00e3o \u2265 \U00020bb7 flags")
    (project.root / "contract.yaml").write_text(text, encoding="utf-8")
    code, out, _ = beampermit("contract", "check", encoding=encoding)
    assert code == 0
    assert "gates auc >= 0.95" in out
    code, out, _ = beampermit("contract", "check", "--json", encoding=encoding)
    assert code == 0
    assert out.isascii()
    assert "Jo\u00e3o \u2265 \U00020bb7 flags" in json.loads(out)["model"]["summary"]
    (project.root / "contract.yaml").write_text(text.replace("gate: 0.95", "gate: \u2265\U00020bb7"), encoding="utf-8")
    code, _, err = beampermit("contract", "check", encoding=encoding)
    assert code == 2
    assert "metrics.0.gate" in err
