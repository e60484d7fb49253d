"""A version of a model as it may be served: what it is, and what was verified of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from beampermit.contract import FILE_NAME, Contract
from beampermit.environments import Environment
from beampermit.errors import Failed
from beampermit.models.packaged import PACKAGED_CONTRACT
from beampermit.permit.statement import Statement
from beampermit.permit.verification import verify_model
from beampermit.registry.event import Event


@dataclass(frozen=True)
class Declared:
    """A version with a believed permit: which PVs it reads and writes, whether or not it can be served."""

    version: int
    event: Event | None
    """The line of the ledger that put it into service; None for a challenger that was never promoted."""
    permit: bytes
    """The envelope, as it was signed."""
    statement: Statement
    """What the envelope says, verified."""
    contract: Contract
    """Of the version's commit."""
    root: Path
    """The folder with contract and device table of that commit."""

    @property
    def promotion(self) -> str:
        """Tells this promotion from any other, of the same version too: a rollback to it is another one."""
        permit = self.statement.digest
        return f"{permit} {self.event.event} {self.event.sequence}" if self.event else permit


@dataclass(frozen=True)
class Promoted(Declared):
    """A version that may be served: permit, bytes and contract were verified, and its environment is installed."""

    folder: Path
    """The saved model."""
    environment: Environment
    variant: str
    """The accelerator that the environment is for: `cpu`, `cuda`, or empty where the lock has one kind only."""

    def verify(self) -> None:
        """Compare the bytes with the permit again: to be called whenever they are about to be loaded.

        Raises `Failed` with the first file that differs.
        """
        verify_bytes(self, self.folder)


def verify_bytes(declared: Declared, folder: Path) -> None:
    """Raises `Failed` where `folder` is not the model that the permit binds, with the contract of its commit."""
    verify_model(declared.statement, folder)
    packaged = folder / PACKAGED_CONTRACT
    if not packaged.is_file():
        raise Failed(f"it has no {PACKAGED_CONTRACT}, which says how it is asked", file=folder)
    if packaged.read_bytes() != (declared.root / FILE_NAME).read_bytes():
        raise Failed("the contract that is packaged with the model is not that of its commit", file=packaged)
