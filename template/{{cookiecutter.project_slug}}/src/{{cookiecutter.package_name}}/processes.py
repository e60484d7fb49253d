"""One process, or several that torchrun started: each takes its share of every batch, and all keep the same weights.

`torchrun --standalone --nproc-per-node 2 -m <package>.train`
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Processes:
    """The `count` processes that train together; this is number `rank`."""

    rank: int = 0
    count: int = 1

    def device(self, kind: str) -> torch.device:
        """This process's device, `cpu` or `cuda`: GPUs are dealt out in turn."""
        return torch.device(kind, self.rank % torch.cuda.device_count()) if kind == "cuda" else torch.device(kind)

    def spread(self, net: nn.Module) -> nn.Module:
        """The network, its gradients averaged over all processes."""
        return DistributedDataParallel(net) if self.count > 1 else net

    def share(self, rows: torch.Tensor) -> tuple[torch.Tensor, float]:
        """This process's rows of a batch, and what its mean loss counts: the average is then the whole batch's mean."""
        if len(rows) < self.count:
            return rows, 1.0  # too few to be shared: all take them all
        mine = rows[self.rank :: self.count]
        return mine, len(mine) * self.count / len(rows)

    def mean(self, value: float) -> float:
        """The average of a number over all processes."""
        if self.count == 1:
            return value
        found: list[float] = [0.0] * self.count
        distributed.all_gather_object(found, value)
        return sum(found) / self.count


ALONE = Processes()


@contextmanager
def together(kind: str) -> Iterator[Processes]:
    """The processes that torchrun started, joined; this one alone where nobody did. `kind` is their device."""
    if not distributed.is_torchelastic_launched():
        yield ALONE
        return
    count = int(os.environ["WORLD_SIZE"])
    # nccl wants a GPU for each process; gloo lets several share one, or do without.
    distributed.init_process_group("nccl" if kind == "cuda" and torch.cuda.device_count() >= count else "gloo")
    try:
        team = Processes(distributed.get_rank(), count)
        if kind == "cuda":
            torch.cuda.set_device(team.device(kind))
        yield team
    finally:
        distributed.destroy_process_group()
