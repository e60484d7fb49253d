"""Training in one process, or with torch in several of torchrun: each takes a share of every batch, and all end with
the same weights.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Processes:
    """The `count` processes of a training, of which this is number `rank`."""

    rank: int = 0
    count: int = 1

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
        if self.count == 1:
            return value
        from torch import distributed

        values: list[float] = [0.0] * self.count
        distributed.all_gather_object(values, value)
        return sum(values) / self.count


ALONE = Processes()


@contextmanager
def together(kind: str) -> Iterator[Processes]:
    """Join the processes of torchrun; without torchrun there is only this one. `kind` is their device."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield ALONE
        return
    import torch
    from torch import distributed

    count = int(os.environ["WORLD_SIZE"])
    # nccl needs a GPU for each process; with gloo several can share one, or use the CPU.
    distributed.init_process_group("nccl" if kind == "cuda" and torch.cuda.device_count() >= count else "gloo")
    try:
        team = Processes(distributed.get_rank(), count)
        if kind == "cuda":
            torch.cuda.set_device(team.device(kind))
        yield team
    finally:
        distributed.destroy_process_group()
