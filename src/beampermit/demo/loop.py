"""The steps of the demo: a first model in service, a better one, two bad pull requests, a release, a rollback."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from beampermit.demo.control_room import ControlRoom
from beampermit.demo.pull_requests import open_pull_request, report_of
from beampermit.demo.stage import TRACKING, Running, Stage, UnexpectedError, background
from beampermit.environments.environment import environment_of
from beampermit.files import write_text
from beampermit.git import Git
from beampermit.project import Project
from beampermit.rehearsal.github_stand_in import read_rulesets, serve_github

PEOPLE = {
    "maintainer_name": "Demo Operator",
    "maintainer_email": "demo@lab.example",
    "deputy_name": "Demo Deputy",
    "deputy_email": "deputy@lab.example",
    "on_call": "Control room, +1 555 0100",
    "logbook": "https://logbook.lab.example",
}
"""Answers that the template leaves to the user."""
FIRST = "The first model"
BETTER, STALE, OUTSIDE = "better-model", "stale-lock", "data-outside-range"
REGISTRY = "registry"
BETTER_FEATURES = (
    *("spread", "line", "kurtosis", "jump", "repeated"),
    *("longest", "distinct", "steadiness", "innovation", "surprise", "disorder"),
)


@dataclass(frozen=True)
class Step:
    """`run` returns the result in one line."""

    title: str
    run: Callable[[Stage], str]


def steps() -> Iterator[Step]:
    yield from loop()
    yield from in_service()


def loop() -> Iterator[Step]:
    """All but the control room.

    What is judged in the background uses the core that the steps of one core leave.
    """
    with background() as running:
        yield Step("Generate a project and lock its environment", generate)
        yield Step("Install the environment from the lock; make a registry", partial(install, running))
        yield Step("Create the dataset and train the first model", partial(reproduce, running))
        yield Step("Open a pull request: a new dependency", partial(open_stale, running))
        yield Step("Check the first model, sign its permit, promote it", promote_first)
        title = "Open two more: a better model, and data outside the contract's physical range"
        yield Step(title, partial(open_two, running))
        yield Step("Judged: a new dependency, but a stale lock", partial(stale_lock, running))
        yield Step("Judged: a better model", partial(better_model, running))
        yield Step("Merge the better model and release it", merge)
        yield Step("Judged: data outside the contract's physical range", partial(data_outside_range, running))
        yield Step("Roll back to the first model", roll_back)


def in_service() -> Iterator[Step]:
    """The control room, which can be played again in the folder of a demo whose loop was played to its end."""
    with closing(ControlRoom()) as room:
        yield Step("In the control room: the champion serves", room.open)
        yield Step("An input turns NaN, the machine is gone, the model is killed", room.disturb)
        yield Step("Another champion takes over without a gap, and back", room.switch)


def generate(stage: Stage) -> str:
    stage.run("git", "init", "--quiet", "--bare", "--initial-branch", "main", str(stage.origin), cwd=stage.root)
    # The running Python is surely installed, and a package index has wheels.
    python = f"python_version={sys.version_info.major}.{sys.version_info.minor}"
    answers = [python, "environment=uv", *(f"{key}={value}" for key, value in PEOPLE.items())]
    options = ("-o", str(stage.root), *(word for answer in answers for word in ("-a", answer)))
    stage.run("beampermit", "new", "--no-input", "--lock", *options, cwd=stage.root)
    stage.git("remote", "add", "origin", str(stage.origin))
    stage.beampermit("permit", "keygen", "--out", str(stage.key.parent))
    write_text(stage.project / ".github/permit.pub", stage.key.with_suffix(".pub").read_text())
    files = len(stage.git("ls-files").out.splitlines())
    return f"{files} files in {stage.project.name}/, with {stage.origin.name}/ in the role of GitHub"


def install(running: dict[str, Running], stage: Stage) -> str:
    """The registry's tables are made until the first model is trained."""
    running[REGISTRY] = stage.start("mlflow", "db", "upgrade", stage.environment[TRACKING], name=REGISTRY)
    stage.beampermit("env", "install")
    packages = (stage.project / "uv.lock").read_text().count("[[package]]")
    return f"{packages} packages, each locked with its SHA-256"


def reproduce(running: dict[str, Running], stage: Stage) -> str:
    _pipeline(stage, FIRST)
    stage.git("push", "--quiet", "--set-upstream", "origin", "main")
    stage.git("remote", "set-head", "origin", "main")
    running[REGISTRY].printed_at_end(0)
    return f"auc {_metric(stage, 'auc'):.4f}"


def promote_first(stage: Stage) -> str:
    """The commands of the release workflow, typed by hand. A stand-in for GitHub applies the branch protection."""
    verdicts = stage.root / "verdicts"
    with serve_github(read_rulesets(Git(stage.project), "HEAD"), "main") as api:
        env = {
            "GITHUB_API_URL": api,
            "GITHUB_REPOSITORY": f"demo/{stage.project.name}",
            "GITHUB_TOKEN": "not-needed",
        }
        stage.beampermit("check", "--out", str(verdicts / "all.json"), "--format", "markdown", env=env)
    _sign_and_promote(stage, verdicts)
    return "every interlock passed; version 1 is the champion (a local stand-in for GitHub protects the branch)"


def open_stale(running: dict[str, Running], stage: Stage) -> str:
    _branch(stage, STALE)
    _edit(stage.project / "pyproject.toml", r"(?m)^dependencies = \[\n", 'dependencies = [\n  "rich",\n')
    _commit(stage, "Use rich")
    running[STALE] = open_pull_request(stage, STALE)
    stage.git("checkout", "--quiet", "main")
    return "the workflow judges it while the first model is checked"


def open_two(running: dict[str, Running], stage: Stage) -> str:
    """The workflow judges one while the other is made."""
    before = _metric(stage, "auc")
    _branch(stage, BETTER)
    _edit(stage.project / "params.yaml", r"features: \[.*\]", f"features: [{', '.join(BETTER_FEATURES)}]")
    _pipeline(stage, "Add features for stuck, noisy and disordered signals")
    running[BETTER] = open_pull_request(stage, BETTER)
    after = _metric(stage, "auc")
    _branch(stage, OUTSIDE)
    _edit(stage.project / "contract.yaml", r"amplitude: [\d.]+", "amplitude: 30.0")
    _pipeline(stage, "Simulate larger corrector kicks")
    running[OUTSIDE] = open_pull_request(stage, OUTSIDE)
    return f"auc {before:.4f} → {after:.4f} with the better model, which is judged while the other one is made"


def stale_lock(running: dict[str, Running], stage: Stage) -> str:
    return _refused(report_of(stage, STALE, running[STALE], expect=1), "ENV002")


def better_model(running: dict[str, Running], stage: Stage) -> str:
    report_of(stage, BETTER, running[BETTER], expect=0)
    return "every interlock passed"


def data_outside_range(running: dict[str, Running], stage: Stage) -> str:
    return _refused(report_of(stage, OUTSIDE, running[OUTSIDE], expect=1), "DAT004")


def merge(stage: Stage) -> str:
    """The release workflow checks the merged commit again and promotes its model."""
    stage.git("checkout", "--quiet", "main")
    stage.git("merge", "--quiet", "--squash", BETTER)  # the ruleset requires a linear history
    _commit(stage, "A better model")
    stage.git("push", "--quiet", "origin", "main")
    _bring_data(stage)
    stage.beampermit("rehearse", "release")
    return "every interlock passed again; version 2 is the champion"


def roll_back(stage: Stage) -> str:
    stage.beampermit("rollback", "--reason", "Demonstration of a rollback")
    stage.beampermit("history")
    _write_documents(stage, f"{BETTER}^{{/{FIRST}}}")
    return "version 1 is the champion again"


def _write_documents(stage: Stage, commit: str) -> None:
    """Card and runbook of the version in service, whose commit is not that of the branch after a rollback."""
    stage.git("checkout", "--quiet", "--detach", commit)
    for document in ("card", "runbook"):
        name = {"card": "model-card"}.get(document, document)
        stage.beampermit(document, "--html", "--out", str(stage.documents / f"{name}.md"))
    stage.git("checkout", "--quiet", "main")


def _pipeline(stage: Stage, message: str) -> None:
    """Run the changed stages, push the data, commit."""
    stage.beampermit("env", "run", "--", "dvc", "repro")
    stage.beampermit("env", "run", "--", "dvc", "push")
    _commit(stage, message)


def _commit(stage: Stage, message: str) -> None:
    stage.git("add", "--all")
    stage.git("commit", "--quiet", "--message", message)


def _branch(stage: Stage, name: str) -> None:
    """A branch from the protected one, with its data."""
    stage.git("checkout", "--quiet", "main")
    stage.git("checkout", "--quiet", "-b", name)
    _bring_data(stage)


def _bring_data(stage: Stage) -> None:
    """The data and the model of the commit in the place of another branch's."""
    stage.beampermit("env", "run", "--", "dvc", "checkout", "--force")


def _refused(report: str, interlock: str) -> str:
    """The reason in the report's table. Raises `UnexpectedError` if another interlock failed."""
    row = re.search(rf"failed \| \*\*{interlock}\*\*[^|]*\|([^|]*)\|", report)
    if row is None:
        raise UnexpectedError(f"the pull request was refused, but not by {interlock}")
    reason = re.sub(r"\\(.)", r"\1", row[1])
    return f"refused by {interlock}: {reason.strip()}"


def _edit(file: Path, pattern: str, replacement: str) -> None:
    text, count = re.subn(pattern, replacement, file.read_text(encoding="utf-8"), count=1)
    if count == 0:
        raise UnexpectedError(f"no text matches {pattern!r}", file=file)
    write_text(file, text)


def _metric(stage: Stage, name: str) -> float:
    """A metric as the checker computes it, from the scores that the pipeline wrote."""
    from beampermit.models.evaluation import Evaluator
    from beampermit.models.measures import measure, read_compared

    project = Project(stage.project)
    contract, evaluation = project.contract, project.contract.evaluation
    rows, scores = project.path(evaluation.inputs), project.path(evaluation.scores or "")
    metrics = Evaluator.of(environment_of(project.root), project.root, contract, rows).measured
    return measure(metrics, read_compared(metrics, scores, rows))[name]


def _sign_and_promote(stage: Stage, verdicts: Path) -> None:
    permit = stage.root / "permits/permit.json"
    stage.beampermit("permit", "assemble", "--verdicts", str(verdicts), "--out", str(permit))
    stage.beampermit("permit", "sign", str(permit))
    stage.beampermit("promote", "--permit", str(permit.with_suffix(".dsse.json")))
