"""A generated project's own workflows with a defect planted in them; `test_demo.py` runs them as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.project import Project
from beampermit.rehearsal import rehearse, stage
from support.rehearsals import lend_checker, log_of
from support.shared import shared_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
JOBS = ("environment", "data", "tests", "reproduce", "documents", "permit")


@pytest.fixture(autouse=True)
def _tools(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is shared by the rehearsals of these tests, whichever worker runs them."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared_folder(tmp_path_factory) / "cache"))
    lend_checker(tmp_path_factory, monkeypatch)


@pytest.fixture
def without_jobs(_tools: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Plant a defect in the reusable workflow at hand: only `documents` and `permit` stay, `documents` as edited."""
    whole = stage.lay_out

    def plant(old: str, new: str) -> None:
        def edited(into: Path) -> Path:
            from ruamel.yaml import YAML

            file = whole(into) / ".github/workflows/ml-pull-request.yml"
            yaml = YAML()
            tree = yaml.load(file.read_text().replace(old, new))
            for job in JOBS[:4]:
                del tree["jobs"][job]
            tree["jobs"]["permit"]["needs"] = ["documents"]
            yaml.dump(tree, file)
            return into

        monkeypatch.setattr(stage, "lay_out", edited)

    return plant


def test_what_nobody_judged_or_what_failed_fails_the_permit_by_the_rules_of_the_main_branch(
    trained_copy: Project, without_jobs: Callable[..., None]
) -> None:
    """One run for all: a verdict that is missing, one that failed, and a ruleset that is too weak."""
    without_jobs("interlocks: GIT\n", "interlocks: GIT001 GIT002 GIT004\n")
    ruleset, contract = (trained_copy.root / name for name in (".github/rulesets/main.json", "contract.yaml"))
    strong = ruleset.read_text()
    ruleset.write_text(strong.replace('"require_code_owner_review": true', '"require_code_owner_review": false'))
    trained_copy.git("commit", "--quiet", "--all", "--message", "Nobody has time")
    trained_copy.git("push", "--quiet", "origin", "main")
    trained_copy.git("checkout", "--quiet", "-b", "topic")
    ruleset.write_text(strong)  # A pull request does not choose the rules that it is merged under.
    contract.write_text(contract.read_text().replace("review_by: 20", "review_by: 19"))
    trained_copy.git("commit", "--quiet", "--all", "--message", "As it was, and long ago")
    found = rehearse(trained_copy, "pull-request", timeout=300)
    documents, permit = found.jobs
    assert [(job.name, str(job.result)) for job in found.jobs] == [
        ("ml / documents", "failure"),
        ("ml / permit", "failure"),
    ]
    assert any("DOC004" in line for line in documents.tail)
    log = log_of(found, permit.name)
    assert "GIT003 has no verdict" in log
    assert "DOC001 has no verdict" not in log
    assert "DOC004 failed" in log
    assert "GIT001 failed: main is not protected, according to a stand-in for GitHub (http://127.0.0.1:" in log
    assert "a pull request can be merged without the approval of a code owner" in log
    assert "GIT002 failed" not in log
