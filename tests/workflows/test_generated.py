"""A generated project's own workflows with a defect planted in them; `test_demo.py` runs them as they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from beampermit.project import Project
from beampermit.rehearsal import Rehearsal, rehearse, stage
from support.rehearsals import log_of, reuse_checker
from support.shared import shared_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
JOBS = ("environment", "data", "tests", "reproduce", "documents", "permit")


@pytest.fixture(autouse=True)
def _tools(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checker and environment are shared by the rehearsals of these tests, whichever worker runs them."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared_folder(tmp_path_factory) / "cache"))
    reuse_checker(tmp_path_factory, monkeypatch)


@pytest.fixture
def topic(trained_copy: Project) -> Project:
    """A trained project with a branch that is one harmless commit ahead of main."""
    trained_copy.git("checkout", "--quiet", "-b", "topic")
    readme = trained_copy.root / "README.md"
    readme.write_text(readme.read_text() + "\nA word more.\n")
    trained_copy.git("commit", "--quiet", "--all", "--message", "A word more")
    return trained_copy


def results(found: Rehearsal) -> dict[str, str]:
    return {job.name: str(job.result) for job in found.jobs}


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


def test_a_verdict_that_nobody_made_fails_the_permit(topic: Project, without_jobs: Callable[..., None]) -> None:
    without_jobs("interlocks: GIT\n", "interlocks: GIT001 GIT002 GIT004\n")
    found = rehearse(topic, "pull-request", timeout=300)
    assert results(found) == {"ml / documents": "success", "ml / permit": "failure"}
    assert "GIT003 has no verdict" in log_of(found, "ml / permit")
    assert "DOC001 has no verdict" not in log_of(found, "ml / permit")


def test_a_job_that_fails_makes_the_permit_fail_whatever_its_verdicts_say(
    topic: Project, without_jobs: Callable[..., None]
) -> None:
    without_jobs('run: |\n          echo "::error::environment', 'run: |\n          echo "::error::jobs')
    contract = topic.root / "contract.yaml"
    contract.write_text(contract.read_text().replace("review_by: 20", "review_by: 19"))
    topic.git("commit", "--quiet", "--all", "--message", "Long ago")
    found = rehearse(topic, "pull-request", timeout=300)
    assert results(found) == {"ml / documents": "failure", "ml / permit": "failure"}
    assert any("DOC004" in line for line in found.jobs[0].tail)
    assert "DOC004 failed" in log_of(found, "ml / permit")


def test_a_ruleset_that_is_too_weak_is_seen_before_anybody_applies_it(
    trained_copy: Project, without_jobs: Callable[..., None]
) -> None:
    without_jobs("job: documents\n", "job: documents\n")
    ruleset = trained_copy.root / ".github/rulesets/main.json"
    strong = ruleset.read_text()
    ruleset.write_text(strong.replace('"require_code_owner_review": true', '"require_code_owner_review": false'))
    trained_copy.git("commit", "--quiet", "--all", "--message", "Nobody has time")
    trained_copy.git("push", "--quiet", "origin", "main")
    trained_copy.git("checkout", "--quiet", "-b", "topic")
    ruleset.write_text(strong)  # A pull request does not choose the rules that it is merged under.
    trained_copy.git("commit", "--quiet", "--all", "--message", "As it was")
    found = rehearse(trained_copy, "pull-request", timeout=300)
    assert results(found) == {"ml / documents": "failure", "ml / permit": "failure"}
    log = log_of(found, "ml / permit")
    assert "GIT001 failed: main is not protected, according to a stand-in for GitHub (http://127.0.0.1:" in log
    assert "a pull request can be merged without the approval of a code owner" in log
    assert "GIT002 failed" not in log
