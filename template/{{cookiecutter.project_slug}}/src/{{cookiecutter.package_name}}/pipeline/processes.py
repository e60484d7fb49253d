"""Training in one process, or with torch in several of torchrun: each takes a share of every batch, and all end with
the same weights.
"""

from __future__ import annotations

import io
import os
import pickle
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import torch
    from torch import nn

T = TypeVar("T")
EVERY = 10.0
"""Seconds between two checkpoints: most trainings are through before the first."""


@dataclass
class Checkpoint:
    """The file from which a training goes on that was ended, and when it was written last."""

    file: Path
    written: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Processes:
    """The `count` processes of a training, of which this is number `rank`."""

    rank: int = 0
    count: int = 1
    checkpoint: Checkpoint | None = None

    def device(self, kind: str) -> torch.device:
        """The device of this process; GPUs are assigned round-robin."""
        import torch

        return torch.device(kind, self.rank % torch.cuda.device_count()) if kind == "cuda" else torch.device(kind)

    def spread(self, net: nn.Module) -> nn.Module:
        """The network, with gradients averaged over all processes."""
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(net) if self.count > 1 else net

    def share(self, rows: torch.Tensor) -> tuple[torch.Tensor, float]:
        """The rows of a batch for this process, and the weight of their mean loss in that of the whole batch."""
        if len(rows) < self.count:
            return rows, 1.0  # too few to share: every process takes all of them
        own = rows[self.rank :: self.count]
        return own, len(own) * self.count / len(rows)

    def report(self, step: int, loss: float) -> None:
        """Say how far the training is: a step, and the loss on the validation split. Only a trial listens."""

    def mean(self, value: float) -> float:
        """The mean of a number over all processes."""
        return sum(self._of_all(value)) / self.count

    def resumed(self, *state: Any) -> list[Any]:
        """The curve up to the last checkpoint, with `state` as it was then; empty where there is none.

        `state` is what changes from epoch to epoch: network, optimiser, schedule, generators.
        """
        saved = self._read()
        if saved is None:
            return []
        import torch

        for part, kept in zip(state, saved["state"], strict=True):
            part.set_state(kept) if isinstance(part, torch.Generator) else part.load_state_dict(kept)
        own = saved["random"][self.rank]
        torch.set_rng_state(own[0])
        if len(own) > 1:
            torch.cuda.set_rng_state(own[1])
        return [tuple(row) for row in saved["curve"]]

    def keep(self, curve: list[Any], *state: Any) -> None:
        """Write a checkpoint after an epoch, where somebody asked for one and the last is some time ago."""
        if self.checkpoint is None:
            return
        import torch

        cuda = [torch.cuda.get_rng_state()] if torch.cuda.is_initialized() else []
        random = self._of_all([torch.get_rng_state(), *cuda])
        if self.rank or time.monotonic() < self.checkpoint.written + EVERY:
            return
        parts = [part.get_state() if isinstance(part, torch.Generator) else part.state_dict() for part in state]
        temporary = self.checkpoint.file.with_suffix(".part")
        torch.save({"curve": curve, "state": parts, "random": random, "processes": self.count}, temporary)
        temporary.replace(self.checkpoint.file)
        self.checkpoint.written = time.monotonic()

    def _read(self) -> dict[str, Any] | None:
        """What the first process finds, for all. What cannot be read, or is of another number of processes, is none."""
        if self.checkpoint is None:
            return None
        import torch

        file = self.checkpoint.file
        content = self._of_all(file.read_bytes() if self.rank == 0 and file.exists() else b"")[0]
        try:
            saved = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except (EOFError, RuntimeError, ValueError, pickle.UnpicklingError):
            return None
        return saved if saved["processes"] == self.count else None

    def _of_all(self, value: T) -> list[T]:
        """The value of each process."""
        if self.count == 1:
            return [value]
        from torch import distributed

        values: list[Any] = [None] * self.count
        distributed.all_gather_object(values, value)
        return values


ALONE = Processes()


@contextmanager
def together(kind: str, alone: Processes = ALONE) -> Iterator[Processes]:
    """Join the processes of torchrun; without torchrun there is only this one, `alone`. `kind` is their device."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield alone
        return
    import torch
    from torch import distributed

    count = int(os.environ["WORLD_SIZE"])
    # nccl needs a GPU for each process of a machine; with gloo several can share one, or use the CPU.
    here = int(os.environ["LOCAL_WORLD_SIZE"])
    distributed.init_process_group("nccl" if kind == "cuda" and torch.cuda.device_count() >= here else "gloo")
    try:
        team = replace(alone, rank=distributed.get_rank(), count=count)
        if kind == "cuda":
            torch.cuda.set_device(team.device(kind))
        yield team
    finally:
        distributed.destroy_process_group()
