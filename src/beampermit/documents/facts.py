"""The facts about a model at this commit that its documents are made from; None where one is not known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from beampermit.changes.base_and_head import BaseAndHead
from beampermit.changes.data import bound_outputs
from beampermit.contract import FILE_NAME, Contract
from beampermit.datasets.devices import read_device_table
from beampermit.datasets.dvc_lock import LockedOutput, pipeline_locks
from beampermit.digest import digest_file
from beampermit.documents.plots import Plots, parse_plots
from beampermit.environments.choice import BACKENDS, lock_files
from beampermit.errors import BadInput
from beampermit.models.manifest import Manifest
from beampermit.models.metrics import parse_metrics, read_metrics
from beampermit.permit.statement import Statement, read_statement
from beampermit.permit.verification import verify_commit, verify_name
from beampermit.project import Project
from beampermit.reading import parse_toml, read_json
from beampermit.registry.bypasses import Bypass
from beampermit.registry.event import Event
from beampermit.registry.ledger import Ledger
from beampermit.registry.ledger_state import ModelState
from beampermit.registry.mlflow import registry_address
from beampermit.trials.standing import Standing, read_standing
from beampermit.verdicts.evidence import Gates
from beampermit.verdicts.merge import read_verdict_folder
from beampermit.verdicts.verdict import Verdict, find_evidence

Read = TypeVar("Read")


@dataclass
class Problems:
    """Errors of files of the project: the report shows them, and the command ends in the exit code of the first."""

    errors: list[BadInput] = field(default_factory=list)

    def collect(self, read: Callable[[], Read], instead: Read) -> Read:
        """What `read` returns; `instead` where it raises `BadInput`, which is kept."""
        try:
            return read()
        except BadInput as error:
            self.errors.append(error)
            return instead


def read_head_metrics(project: Project, contract: Contract) -> dict[str, float]:
    """The metrics of the work tree; empty where evaluation has not run. Raises `BadInput`."""
    path = project.path(contract.evaluation.metrics)
    return read_metrics(path, contract.evaluation.metrics) if path.is_file() else {}


def judged_metrics(
    contract: Contract, written: Mapping[str, float], by_checker: Mapping[str, float]
) -> dict[str, float]:
    """Metrics as documents show them: those with a measure as the checker computed them, never as the project wrote."""
    measured = {metric.name for metric in contract.metrics if metric.measure}
    own = {name: value for name, value in written.items() if name not in measured}
    return {**own, **{name: value for name, value in by_checker.items() if name in measured}}


def read_base_metrics(project: Project, contract: Contract) -> dict[str, float]:
    """The metrics committed on the base branch; empty where there are none that can be read."""
    text = project.git.read(project.base, contract.evaluation.metrics) if project.base else None
    try:
        return parse_metrics(text, contract.evaluation.metrics) if text else {}
    except BadInput:
        return {}


def read_plots(project: Project, contract: Contract) -> Plots:
    """The plots that the evaluation wrote. Raises `BadInput`."""
    path = project.path(contract.evaluation.plots)
    return parse_plots(read_json(path), contract.evaluation.plots) if path.is_file() else Plots()


@dataclass(frozen=True)
class Facts:
    """`clean`: tracked files are those of the commit; `files`, `digests`: path -> sha256; `bound`: outputs that DVC
    keeps; `row`: the first row of the device table; `before`: the version that a rollback brings back; `registry`: its
    address, empty where neither the ledger nor the job knows one.
    """

    contract: Contract
    commit: str
    clean: bool
    permit: Statement | None
    champion: Event | None
    before: Event | None
    registry: str
    metrics: dict[str, float]
    plots: Plots
    files: dict[str, str]
    bound: dict[str, LockedOutput]
    digests: dict[str, str]
    license: str | None
    row: dict[str, str]
    devices: int | None
    verdicts: tuple[Verdict, ...] = ()
    retirement: Event | None = None
    """Since which no version is in service."""
    bypasses: tuple[Bypass, ...] = ()
    """In force when the facts were gathered."""
    trials: Standing | None = None
    """What stands behind the parameters."""

    @property
    def serves(self) -> bool:
        """Whether the version in service is of this commit."""
        return self.champion is not None and self.champion.commit == self.commit

    @property
    def model_files(self) -> dict[str, str]:
        """Files of the saved model with their digests, from the manifest."""
        folder = f"{self.contract.model.path}/"
        return {path: digest for path, digest in self.files.items() if path.startswith(folder)}

    def example(self, pv: str) -> str | None:
        """The PV's name for the first device; None where the device table does not fill all of it."""
        try:
            filled = pv.format_map(self.row)
        except (KeyError, ValueError, IndexError, AttributeError):
            return None
        return filled if filled != pv else None


def gather_facts(project: Project, permit: Path | None = None, verdicts: Path | None = None) -> Facts:
    """Raises `BadInput` for a broken file, `Failed` for a permit of another model or commit."""
    contract = project.contract
    commit = project.git.head()
    manifest = project.path(contract.model.manifest)
    base_and_head = BaseAndHead(project)
    ledger = Ledger(project.git)
    state = ledger.state(contract.model.name)
    champion, before, registry = _in_service(ledger, state)
    row, devices = _devices(project, contract)
    statement = _permit(permit, contract, commit) if permit else None
    found = read_verdict_folder(verdicts, commit) if verdicts else ()
    gates = find_evidence(found, Gates)
    by_checker = gates.measured if gates else statement.predicate.metrics if statement else {}
    return Facts(
        contract=contract,
        commit=commit,
        clean=not project.git("status", "--porcelain", "--untracked-files=no"),
        permit=statement,
        champion=champion,
        before=before,
        registry=registry,
        metrics=judged_metrics(contract, read_head_metrics(project, contract), by_checker),
        plots=read_plots(project, contract),
        files=Manifest.read(manifest, contract.model.manifest).files if manifest.exists() else {},
        bound={
            path: bound for path, bound in bound_outputs(base_and_head).items() if path not in base_and_head.tracked
        },
        digests=_digests(project),
        license=_license(project),
        row=row,
        devices=devices,
        verdicts=found,
        retirement=state.out_of_service,
        bypasses=state.bypasses(datetime.now(UTC), contract.monitoring.bypass_at_most),
        trials=read_standing(project),
    )


def _permit(file: Path, contract: Contract, commit: str) -> Statement:
    permit = read_statement(file)
    verify_name(permit, contract.model.name)
    verify_commit(permit, commit)
    return permit


def _in_service(ledger: Ledger, state: ModelState) -> tuple[Event | None, Event | None, str]:
    """The champion, the version before it, both only where they are believed, and the registry's address.

    From the ledger as it was last fetched; before the first promotion the address is that of the job.
    """
    if state.champion is None or not ledger.believes(state.champion):
        return None, None, state.home.address if state.home else registry_address()
    return state.champion, state.rollback_target(ledger.believes), state.home.address if state.home else ""


def _digests(project: Project) -> dict[str, str]:
    names_in_root = [path.name for path in project.root.iterdir()]
    pipelines = pipeline_locks(project.git.tracked())
    names = (FILE_NAME, *pipelines, *(name for backend in BACKENDS for name in lock_files(names_in_root, backend)))
    return {name: digest_file(project.path(name)) for name in names if project.path(name).is_file()}


def _license(project: Project) -> str | None:
    """The SPDX expression in `pyproject.toml`, or what older ones have: a text, a file, or classifiers."""
    file = project.path("pyproject.toml")
    if not file.is_file():
        return None
    table = parse_toml(file.read_bytes(), "pyproject.toml").get("project", {})
    match table:
        case {"license": str(name)} if name:
            return name
        case {"license": {"text": str(text)}} if text.strip():
            return text.strip().splitlines()[0]
        case {"license": {"file": str(name)}} if name:
            return f"as in {name}"
        case {"classifiers": [*classifiers]}:
            names = [str(one).rpartition(" :: ")[2] for one in classifiers if str(one).startswith("License :: ")]
            return ", ".join(names) or None
    return None


def _devices(project: Project, contract: Contract) -> tuple[dict[str, str], int | None]:
    name = contract.signals.devices
    if name is None or not project.path(name).is_file():
        return {}, None
    _, rows = read_device_table(project.root, name)
    return (dict(rows[0][1]) if rows else {}), len(rows)
