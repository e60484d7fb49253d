"""The loop, step by step: from nothing to a model in service, two refusals, a better model, and back again."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from beampermit.demo.stage import Stage, UnexpectedError
from beampermit.files import write_text
from beampermit.git import Git
from beampermit.models.metrics import read_metrics
from beampermit.rehearsal import rules

PEOPLE = {
    "maintainer_name": "Demo Operator",
    "maintainer_email": "demo@lab.example",
    "deputy_name": "Demo Deputy",
    "deputy_email": "deputy@lab.example",
    "on_call": "Control room, +1 555 0100",
    "logbook": "https://logbook.lab.example",
}
"""What the template leaves to whoever generates a project."""
BETTER, STALE, OUTSIDE = "better-model", "stale-lock", "data-outside-range"
BETTER_FEATURES = (
    *("spread", "line", "kurtosis", "jump", "repeated"),
    *("longest", "distinct", "steadiness", "innovation", "surprise", "disorder"),
)


@dataclass(frozen=True)
class Step:
    """One step of the loop: what it is called, and what it did, in a line."""

    title: str
    act: Callable[[Stage], str]


def steps() -> Iterator[Step]:
    """The loop in its order."""
    yield Step("Generate a project", generate)
    yield Step("Lock its environment and install from the lock", install)
    yield Step("Make the data and train the first model", reproduce)
    yield Step("Judge it, sign its permit, promote it", promote_first)
    yield Step("Pull request: a better model", better_model)
    yield Step("Pull request: a dependency without its lock", stale_lock)
    yield Step("Pull request: data outside the contract's range", data_outside_range)
    yield Step("Merge the better model and release it", merge)
    yield Step("Roll back to the first model", roll_back)


def generate(stage: Stage) -> str:
    """A project from the template, its origin, and the key that will sign its permits."""
    stage.run("git", "init", "--quiet", "--bare", "--initial-branch", "main", str(stage.origin), cwd=stage.root)
    # The Python that is surely on this machine is the one that runs this, and wheels are what its index has.
    python = f"python_version={sys.version_info.major}.{sys.version_info.minor}"
    answers = [python, "environment=uv", *(f"{key}={value}" for key, value in PEOPLE.items())]
    words = ("-o", str(stage.root), *(word for answer in answers for word in ("-a", answer)))
    stage.run("beampermit", "new", "--no-input", "--no-lock", *words, cwd=stage.root)
    stage.git("remote", "add", "origin", str(stage.origin))
    stage.beampermit("permit", "keygen", "--out", str(stage.key.parent))
    write_text(stage.project / ".github/permit.pub", stage.key.with_suffix(".pub").read_text())
    files = len(stage.git("ls-files").out.splitlines())
    return f"{files} files in {stage.project.name}/, its origin in {stage.origin.name}/"


def install(stage: Stage) -> str:
    """The lock, and the environment from the lock."""
    stage.beampermit("env", "lock")
    stage.beampermit("env", "install")
    packages = (stage.project / "uv.lock").read_text().count("[[package]]")
    return f"{packages} packages, each with its sha256"


def reproduce(stage: Stage) -> str:
    """The pipeline, its data on the remote, its first commit on the protected branch."""
    _pipeline(stage, "The first model")
    stage.git("push", "--quiet", "--set-upstream", "origin", "main")
    stage.git("remote", "set-head", "origin", "main")
    return f"auc {_metric(stage, 'auc'):.4f}"


def promote_first(stage: Stage) -> str:
    """What the release workflow does, typed by hand: the same words. GitHub, which is not here, is played."""
    verdicts = stage.root / "verdicts"
    ruleset = rules.ruleset_of(Git(stage.project), "HEAD")
    with rules.standing_in(ruleset, "main") as api:
        env = {
            "GITHUB_API_URL": api,
            "GITHUB_REPOSITORY": f"demo/{stage.project.name}",
            "GITHUB_TOKEN": "none-is-needed",
        }
        stage.beampermit("check", "--out", str(verdicts / "all.json"), "--format", "markdown", env=env)
    _sign_and_promote(stage, verdicts)
    return "version 1 is champion; that its ruleset is active is played, for there is no GitHub here"


def better_model(stage: Stage) -> str:
    """A parameter changed for the better, proposed as a pull request."""
    before = _metric(stage, "auc")
    _branch(stage, BETTER)
    _edit(stage.project / "params.yaml", r"features: \[.*\]", f"features: [{', '.join(BETTER_FEATURES)}]")
    _pipeline(stage, "Look for signals that stand still, surprise, or lose their order")
    _rehearse(stage, BETTER, expect=0)
    return f"auc {before:.4f} → {_metric(stage, 'auc'):.4f}, every interlock passed"


def stale_lock(stage: Stage) -> str:
    """A dependency is added, the lock is forgotten."""
    _branch(stage, STALE)
    _edit(stage.project / "pyproject.toml", r"(?m)^dependencies = \[\n", 'dependencies = [\n  "rich",\n')
    _commit(stage, "Use rich")
    return _refused(_rehearse(stage, STALE, expect=1), "ENV002")


def data_outside_range(stage: Stage) -> str:
    """The data leave the range that the contract promises."""
    _branch(stage, OUTSIDE)
    _edit(stage.project / "contract.yaml", r"amplitude: [\d.]+", "amplitude: 30.0")
    _pipeline(stage, "Kick harder")
    return _refused(_rehearse(stage, OUTSIDE, expect=1), "DAT004")


def merge(stage: Stage) -> str:
    """The reviewed pull request is merged; the release workflow judges it again and promotes."""
    stage.git("checkout", "--quiet", "main")
    stage.git("merge", "--quiet", "--squash", BETTER)  # the ruleset wants a linear history
    _commit(stage, "A better model")
    stage.git("push", "--quiet", "origin", "main")
    stage.beampermit("rehearse", "release")
    for document in ("MODEL_CARD", "RUNBOOK"):
        stage.keep(f"release/{document}.html", f"{document.replace('_', '-').lower()}.html")
    return "version 2 is champion"


def roll_back(stage: Stage) -> str:
    """The operator's way back."""
    stage.beampermit("rollback", "--reason", "The demo shows the way back")
    stage.beampermit("history")
    return "version 1 is champion again"


def _pipeline(stage: Stage, message: str) -> None:
    """Run what changed of the pipeline, push its data, commit."""
    stage.beampermit("env", "run", "--", "dvc", "repro")
    stage.beampermit("env", "run", "--", "dvc", "push")
    _commit(stage, message)


def _commit(stage: Stage, message: str) -> None:
    stage.git("add", "--all")
    stage.git("commit", "--quiet", "--message", message)


def _branch(stage: Stage, name: str) -> None:
    """A branch from the protected one, with the data that belong to it."""
    stage.git("checkout", "--quiet", "main")
    stage.git("checkout", "--quiet", "-b", name)
    stage.beampermit("env", "run", "--", "dvc", "checkout", "--force")


def _rehearse(stage: Stage, branch: str, *, expect: int) -> str:
    """Push the branch, run the pull-request workflow on it, keep its report; give what was printed."""
    stage.git("push", "--quiet", "origin", branch)
    printed = stage.beampermit("rehearse", "pull-request", "--head", branch, expect=expect).out
    stage.keep("report/report.html", f"report-{branch}.html")
    return stage.keep("report/report.md", f"report-{branch}.md").read_text(encoding="utf-8") if expect else printed


def _refused(report: str, interlock: str) -> str:
    """Why, as the report's table says it. Raises `UnexpectedError` if it was another interlock that failed."""
    found = re.search(rf"failed \| \*\*{interlock}\*\*[^|]*\|([^|]*)\|", report)
    if found is None:
        raise UnexpectedError(f"the pull request was refused, but not by {interlock}")
    plain = re.sub(r"\\(.)", r"\1", found[1])
    return f"refused by {interlock}: {plain.strip()}"


def _edit(file: Path, pattern: str, replacement: str) -> None:
    text, count = re.subn(pattern, replacement, file.read_text(encoding="utf-8"), count=1)
    if count == 0:
        raise UnexpectedError(f"there is nothing like {pattern!r} to change", file=file)
    write_text(file, text)


def _metric(stage: Stage, name: str) -> float:
    return read_metrics(stage.project / "metrics/metrics.json")[name]


def _sign_and_promote(stage: Stage, verdicts: Path) -> None:
    permit = stage.root / "permits/permit.json"
    stage.beampermit("permit", "assemble", "--verdicts", str(verdicts), "--out", str(permit))
    stage.beampermit("permit", "sign", str(permit))
    stage.beampermit("promote", "--permit", str(permit.with_suffix(".dsse.json")))
