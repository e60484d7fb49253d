"""A model in a process that is asked as in service, and not started again: for replays and test deployments."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from beampermit.errors import Failed
from beampermit.live.process.child import Child, Gone
from beampermit.live.process.model_process import LOADING
from beampermit.live.sharing import ModelError

if TYPE_CHECKING:
    import numpy as np

    from beampermit.contract import Contract
    from beampermit.environments import Environment

ANSWER = 600.0
"""Seconds for an answer, where `serving.timeout` allows less. No operator waits here, and what recorded rows give must
not depend on how busy this machine is; what takes longer hangs, and is said instead of waited for."""


class LoadedModel:
    """A `Model` whose process is needed to the end: without it, all that follows would be the same error."""

    restarts = 0

    def __init__(self, child: Child):
        self._child = child

    def ask(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As `Model.ask`. Raises `Failed` where the process has ended, or has to be."""
        try:
            return self._child.ask(inputs)
        except Gone as error:
            raise Failed(str(error)) from None


@contextmanager
def loaded_model(environment: Environment, folder: Path, contract: Contract, rows: int = 1) -> Iterator[LoadedModel]:
    """A copy of the saved model in `folder`, in a process that ends with the context; asked for `rows` at once.

    Where the contract has a GPU as its only accelerator and this machine has none, its CPU answers. Raises `Failed`
    where the model cannot be loaded.
    """
    with tempfile.TemporaryDirectory(prefix="beampermit-") as scratch:
        copy = Path(scratch, "model")
        shutil.copytree(folder, copy, symlinks=True)  # it neither sees other files nor changes what was verified
        child = Child(environment, _where_nobody_waits(_on_any_machine(contract)), Path(scratch))
        try:
            child.wait_until_ready(copy, rows, time.monotonic() + LOADING)
        except ModelError as error:
            child.end()
            raise Failed(str(error).replace(f"{scratch}/", "")) from None
        try:
            yield LoadedModel(child)
        finally:
            child.end()


def _where_nobody_waits(contract: Contract) -> Contract:
    serving = contract.serving
    longer = serving.model_copy(update={"timeout": max(serving.timeout, ANSWER)})
    return contract.model_copy(update={"serving": longer})


def _on_any_machine(contract: Contract) -> Contract:
    """A promotion may run on a machine without the GPU of the service."""
    rules = contract.environment
    accelerators = tuple(dict.fromkeys((*rules.accelerators, "cpu")))
    return contract.model_copy(update={"environment": rules.model_copy(update={"accelerators": accelerators})})
