"""Promotion: permit verified, version registered, deployed as a test, written into the ledger, shown as champion.

The ledger's push is the one step that decides. What comes before can be done twice without harm, what comes after is
`reconcile`; so a run that was killed anywhere is finished by the next one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from beampermit.errors import BadInput, Conflict
from beampermit.models.manifest import Manifest
from beampermit.permit.envelope import Signed
from beampermit.permit.statement import Statement
from beampermit.permit.verification import verify_commit, verify_dataset, verify_files, verify_model, verify_name
from beampermit.progress import Progress
from beampermit.project import Project
from beampermit.registry.event import Event, provenance
from beampermit.registry.ledger import Ledger
from beampermit.registry.ledger_state import ModelState
from beampermit.registry.mlflow import Registry, Version
from beampermit.registry.models import download_verified
from beampermit.registry.operations import Result, require_not_frozen, update_registry
from beampermit.registry.order import require_newer, require_on_branch
from beampermit.registry.reconcile import require_same_ledger, require_version

CHALLENGER = "challenger"
Deploy = Callable[[Path], None]
"""Tests a model folder as the registry gave it out; raises when it is not what was judged."""


@dataclass(frozen=True)
class Promotion:
    """One promotion of a project's model: what it needs, and `run`."""

    project: Project
    ledger: Ledger
    registry: Registry
    signed: Signed
    """Kept in ledger and registry as it was signed."""
    deploy: Deploy
    progress: Progress
    branch: str | None = None
    """The remote's branch that must still hold the commit when the ledger is written; None: whichever holds it."""

    @property
    def permit(self) -> Statement:
        """What was signed."""
        return self.signed.statement

    def run(self, reason: str = "") -> Result:
        """Make the permit's model the champion, or say that it is already.

        Raises `Failed` where permit and project disagree, `Conflict` where somebody newer was first or the model is
        frozen, `Outside`.
        """
        self.progress("verify the permit")
        self._verify()
        self.ledger.fetch()
        state = self.ledger.state(self.permit.name)
        # As seen now: whatever is written until the end makes this run the second.
        standing, place = state.champion, self.ledger.chronicle(self.permit.name).length + 1
        if standing and self._is_of_this(standing):
            return Result(standing, False, self._show(standing))
        require_same_ledger(self.registry, self.permit.name, state)
        self._may_follow(state)
        if state.last:
            # A registry that lost its versions would give their numbers a second time.
            require_version(self.registry, state.last)
        version = self._registered()
        self._challenge(version)
        event = self._event(version, standing, place, reason)
        self.progress("append to the ledger")
        self._must_be_on_branch()
        self.ledger.append(event, permit=self.signed.content)
        return Result(event, True, self._show(event))

    def _verify(self) -> None:
        contract = self.project.contract
        model = self.project.path(contract.model.path)
        if not model.is_dir():
            raise BadInput("the model is not here", file=contract.model.path, hint="beampermit data pull")
        verify_name(self.permit, contract.model.name)
        verify_commit(self.permit, self.project.git.head())
        verify_files(self.permit, self.project.root)
        verify_dataset(self.permit, Manifest.read(self.project.path(contract.model.manifest), contract.model.manifest))
        verify_model(self.permit, model)

    def _may_follow(self, state: ModelState) -> None:
        require_not_frozen(state)
        before = next((event for event in state.promoted.values() if self._is_of_this(event)), None)
        if before:
            retired = "--retired " if before.version in state.retired else ""
            raise Conflict(
                f"version {before.version} was promoted from this commit at {before.at} and is not champion any more",
                hint=f"beampermit rollback --to {before.version} {retired}--reason WHY",
            )
        require_newer(self.project.git, self.ledger.remote, self.permit.predicate.commit, state)

    def _must_be_on_branch(self) -> None:
        """Asked last, for a test deployment takes long enough to rewrite a branch meanwhile."""
        if self.branch:
            require_on_branch(self.project.git, self.ledger.remote, self.branch, self.permit.predicate.commit)

    def _registered(self) -> Version:
        """The version for this permit: the lowest, should a lost reply have made two."""
        found = self._find()
        if found is None:
            self.progress("store the model")
            model = self.project.path(self.project.contract.model.path)
            documents = {"permit.dsse.json": self.signed.content.decode()}
            run = self.registry.store(self.permit.name, model, self.permit.digest, documents, self.permit.model_digest)
            self.progress("register the version")
            self.registry.create_version(self.permit.name, run, permit=self.permit.digest, **self._made_from())
            found = self._find()
        if found is None:
            raise Conflict("the version that was registered just now is gone again", hint="beampermit promote")
        return found

    def _find(self) -> Version | None:
        """By permit; else by what it was made from, for a workflow that is run again signs a permit of its own."""
        by_permit = self.registry.versions(self.permit.name, permit=self.permit.digest)
        found = by_permit or self.registry.versions(self.permit.name, **self._made_from())
        return found[0] if found else None

    def _made_from(self) -> dict[str, str]:
        return {"commit": self.permit.predicate.commit, "digest": self.permit.model_digest}

    def _challenge(self, version: Version) -> None:
        self.progress("move challenger")
        self.registry.set_alias(self.permit.name, CHALLENGER, version.number)
        self.progress("test the deployment")
        with tempfile.TemporaryDirectory(prefix="beampermit-") as scratch:
            name, digest = self.permit.name, self.permit.model_digest
            self.deploy(download_verified(self.registry, name, version.number, digest, Path(scratch)))

    def _event(self, version: Version, standing: Event | None, place: int, reason: str) -> Event:
        return Event(
            event="promote",
            sequence=place,
            model=self.permit.name,
            version=version.number,
            digest=self.permit.model_digest,
            permit=self.permit.digest,
            commit=self.permit.predicate.commit,
            expected=standing.version if standing else None,
            **provenance(self.project.git, reason or self._subject()),
        )

    def _is_of_this(self, event: Event) -> bool:
        facts = self.permit
        return (event.model, event.commit, event.digest) == (facts.name, facts.predicate.commit, facts.model_digest)

    def _subject(self) -> str:
        """The first line of the commit: why this model was made."""
        return self.project.git("show", "--no-patch", "--format=%s", self.permit.predicate.commit)

    def _show(self, event: Event) -> tuple[str, ...]:
        return update_registry(event, self.ledger, self.registry, self.progress)
