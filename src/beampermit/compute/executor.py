"""What performs units: the protocol of executors, and which one `--on` names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from beampermit.compute.resources import Resources
from beampermit.errors import BadInput, did_you_mean

ON = ("local", "slurm", "dask://ADDRESS", "dask-gateway://NAME", "kubernetes")


class Executor(Protocol):
    """Performs units whose folders are prepared. Only one thread calls it."""

    @property
    def slots(self) -> int:
        """Units that it takes at once; 0: as many as there are, which it takes in as few calls as possible."""
        ...

    @property
    def late(self) -> float:
        """Seconds within which a shared folder shows a file that another machine wrote."""
        ...

    def submit(self, folders: Sequence[Path]) -> None:
        """Take units; returns before they are done. Raises `Outside` or `BadInput` where it cannot."""
        ...

    def ended(self, wait: float) -> Mapping[Path, str]:
        """Folders whose attempt ended since the last call, with or without a result; waits so many seconds for one.

        The text is why there may be no result, as far as it is known here: `the node failed`.
        """
        ...

    def waiting(self) -> str:
        """For the progress: `3 queued (Priority)`; empty where all runs."""
        ...

    def cancel(self) -> None:
        """End all that was submitted and is not done; a second call does nothing.

        The end of `open_executor`'s block does it as well.
        """
        ...


def open_executor(on: str, resources: Resources, work: Path) -> AbstractContextManager[Executor]:
    """The executor that `on` names, one of `ON`.

    `work` is the folder of work, which all machines share that units run on. Raises `BadInput` for another name.
    """
    kind, _, _ = on.partition("://")
    if kind == "local":
        from beampermit.compute.local import Local

        return Local(resources)
    if kind == "slurm":
        from beampermit.compute.slurm import Slurm

        return Slurm(resources, work)
    if kind in ("dask", "dask-gateway"):
        from beampermit.compute.dask import Dask

        return Dask(on, resources, work)
    if kind == "kubernetes":
        from beampermit.compute.kubernetes import Kubernetes

        return Kubernetes(resources, work)
    raise BadInput(f"--on is {on!r}, and there is {', '.join(ON)}{did_you_mean(on, ON)}")
