"""Promotion: verify the permit, register the version, test its deployment, append to the ledger, update the registry.

The push of the ledger decides. The steps before it can be repeated without harm, and the step after it is `reconcile`,
so the next run finishes one that was killed anywhere.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from beampermit.datasets.pull import absence
from beampermit.errors import Conflict, Failed
from beampermit.git import Git
from beampermit.models.manifest import Manifest
from beampermit.permit.envelope import Signed
from beampermit.permit.statement import Statement
from beampermit.permit.verification import verify_commit, verify_dataset, verify_files, verify_model, verify_name
from beampermit.progress import Progress
from beampermit.project import Project
from beampermit.registry.ancestry import is_ancestor
from beampermit.registry.event import Event, Retires, provenance
from beampermit.registry.fetching import download_verified
from beampermit.registry.ledger import Ledger
from beampermit.registry.ledger_state import ModelState
from beampermit.registry.mlflow import CHALLENGER, Registry, Version
from beampermit.registry.operations import Result, require_not_frozen, update_registry
from beampermit.registry.reconcile import require_same_registry, require_version

Deploy = Callable[[Path], None]
"""Tests a model folder as downloaded from the registry; raises where it is not what was judged."""


@dataclass(frozen=True)
class Promotion:
    """One promotion of a project's model."""

    project: Project
    ledger: Ledger
    registry: Registry
    signed: Signed
    deploy: Deploy
    progress: Progress
    branch: str | None = None
    """The remote's branch that must contain the commit when the ledger is written; None for any branch."""

    @property
    def permit(self) -> Statement:
        return self.signed.statement

    def run(self, reason: str = "", retires: Retires | None = None, until: str | None = None) -> Result:
        """Make the permit's model the champion, unless it is already; what it `retires` goes with the same line.

        Raises `Failed` where permit and project do not match, `Conflict` where somebody else was first or promotions
        are frozen, `Outside`.
        """
        self.progress("verify the permit")
        self._verify()
        self.ledger.fetch()
        state = self.ledger.state(self.permit.name)
        # Read now: any event appended before this run's own is a conflict.
        champion, sequence = state.champion, self.ledger.read(self.permit.name).length + 1
        if champion and self._matches(champion) and self.ledger.believe(champion):
            return Result(champion, False, self._update_registry(champion))
        require_same_registry(self.ledger, self.registry, self.permit.name, state)
        self._require_promotable(state)
        last = last_believed(self.ledger, state)
        if last:
            # A registry that lost its versions would assign their numbers again.
            require_version(self.registry, last)
        home = self.registry.identify(self.permit.name)
        version = self._find_or_register()
        self._test_as_challenger(version)
        event = self._event(version, champion, sequence, home, reason, retires, until)
        self.progress("append to the ledger")
        self._require_on_branch()
        self.ledger.append(event, permit=self.signed.content)
        return Result(event, True, self._update_registry(event, checked=event))

    def _verify(self) -> None:
        contract = self.project.contract
        model = self.project.path(contract.model.path)
        if not model.is_dir():
            raise absence(self.project, contract.model.path, "the model folder is missing")
        verify_name(self.permit, contract.model.name)
        verify_commit(self.permit, self.project.git.head())
        verify_files(self.permit, self.project.root)
        verify_dataset(self.permit, Manifest.read(self.project.path(contract.model.manifest), contract.model.manifest))
        for file in self.permit.predicate.model:
            if not (model / file).exists():
                named = f"{contract.model.path}/{file}"
                raise absence(self.project, named, "this file is missing, and the permit binds it", Failed)
        verify_model(self.permit, model, self.project.root)

    def _require_promotable(self, state: ModelState) -> None:
        require_not_frozen(state)
        matching = (event for event in state.promoted.values() if self._matches(event))
        earlier = next(filter(self.ledger.believes, matching), None)
        if earlier:
            retired = "--retired " if earlier.version in state.retired else ""
            raise Conflict(
                f"version {earlier.version} was promoted from this commit at {earlier.at} and is not champion any more",
                hint=f"beampermit rollback --to {earlier.version} {retired}--reason WHY",
            )
        require_newer(self.project.git, self.ledger, self.permit.predicate.commit, state)

    def _require_on_branch(self) -> None:
        """Checked last: the branch may be rewritten during the test deployment."""
        if self.branch:
            require_on_branch(self.project.git, self.ledger.remote, self.branch, self.permit.predicate.commit)

    def _find_or_register(self) -> Version:
        """The version of this permit; the lowest where a lost reply made two."""
        version = self._find()
        if version is None:
            self.progress("store the model")
            model = self.project.path(self.project.contract.model.path)
            documents = {"permit.dsse.json": self.signed.content.decode()}
            run = self.registry.store(self.permit.name, model, self.permit.digest, documents, self.permit.model_digest)
            self.progress("register the version")
            self.registry.create_version(self.permit.name, run, permit=self.permit.digest, **self._origin_tags())
            version = self._find()
        if version is None:
            raise Conflict("the version that was just registered was deleted meanwhile", hint="beampermit promote")
        return version

    def _find(self) -> Version | None:
        """By permit, else by commit and digest: a workflow that is run again signs a new permit."""
        by_permit = self.registry.versions(self.permit.name, permit=self.permit.digest)
        versions = by_permit or self.registry.versions(self.permit.name, **self._origin_tags())
        return versions[0] if versions else None

    def _origin_tags(self) -> dict[str, str]:
        return {"commit": self.permit.predicate.commit, "digest": self.permit.model_digest}

    def _test_as_challenger(self, version: Version) -> None:
        self.progress("move alias challenger")
        self.registry.set_alias(self.permit.name, CHALLENGER, version.number)
        self.progress("test the deployment")
        with tempfile.TemporaryDirectory(prefix="beampermit-") as scratch:
            name, digest = self.permit.name, self.permit.model_digest
            self.deploy(download_verified(self.registry, name, version.number, digest, Path(scratch)))

    def _event(
        self,
        version: Version,
        champion: Event | None,
        sequence: int,
        home: str,
        reason: str,
        retires: Retires | None,
        until: str | None,
    ) -> Event:
        return Event(
            event="promote",
            sequence=sequence,
            model=self.permit.name,
            version=version.number,
            digest=self.permit.model_digest,
            permit=self.permit.digest,
            commit=self.permit.predicate.commit,
            expected=champion.version if champion else None,
            registry=home,
            address=self.registry.address,
            retires=retires,
            until=until,
            **provenance(self.project.git, reason or self._subject()),
        )

    def _matches(self, event: Event) -> bool:
        permit = self.permit
        return (event.model, event.commit, event.digest) == (permit.name, permit.predicate.commit, permit.model_digest)

    def _subject(self) -> str:
        """The first line of the commit message, the default reason."""
        return self.project.git("show", "--no-patch", "--format=%s", self.permit.predicate.commit)

    def _update_registry(self, event: Event, checked: Event | None = None) -> tuple[str, ...]:
        return update_registry(event, self.ledger, self.registry, self.progress, checked)


def last_believed(ledger: Ledger, state: ModelState) -> Event | None:
    """The last event that put a version into service, without those whose permit is not believed."""
    return next((event for event in reversed(state.events) if event.starts_service and ledger.believes(event)), None)


def require_newer(git: Git, ledger: Ledger, commit: str, state: ModelState) -> None:
    """The commit must contain that of the last champion, retired or not, and none promoted since may contain it.

    Raises `Conflict`; `BadInput` in a clone that is too shallow to tell.
    """
    last = last_believed(ledger, state)
    if last is None:
        return
    first = state.promoted[last.version]
    for event in state.promoted.values():
        newer = event.sequence > first.sequence and ledger.believes(event)
        if newer and is_ancestor(git, ledger.remote, commit, event.commit):
            raise Conflict(
                f"commit {commit[:12]} is older than {event.commit[:12]}, which version {event.version} was promoted "
                f"from at {event.at}; the ledger was not changed",
                hint="beampermit history",
            )
    if not is_ancestor(git, ledger.remote, last.commit, commit):
        kind = "champion" if state.champion else "retired"
        raise Conflict(
            f"commit {commit[:12]} does not contain {last.commit[:12]}, the commit of {kind} version "
            f"{last.version}: it is older or on another branch; the ledger was not changed",
            hint=f"git merge {last.commit[:12]}",
        )


def require_on_branch(git: Git, remote: str, branch: str, commit: str) -> None:
    """Raises `Conflict` where `branch` of `remote` does not contain `commit`; `BadInput` in a too shallow clone."""
    answer, tip = git.remote_tip(remote, branch, timeout=60.0)
    if answer.code == 0 and tip and is_ancestor(git, remote, commit, tip):
        return
    if answer.code:
        why = f"cannot be read: {answer.tail}"
    else:
        why = "does not contain it; the branch was rewritten meanwhile" if tip else "does not exist"
    raise Conflict(
        f"commit {commit[:12]} cannot be promoted: branch {branch} of {remote} {why}; the ledger was not changed",
        hint=f"git log {remote}/{branch}",
    )
