"""What a saved model says of itself: the contract that is packaged with it."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from beampermit.contract.dataset import Dataset
from beampermit.contract.load import values_of
from beampermit.contract.model import targets_of
from beampermit.contract.signals import Signals
from beampermit.errors import BadInput, Failed
from beampermit.reading import decode, first_fault
from beampermit.record import Record

PACKAGED_CONTRACT = "artifacts/contract.yaml"


class OwnContract(Record):
    """The parts of a packaged contract that say how the model is asked, and on which rows it was judged."""

    signals: Signals
    dataset: Dataset

    @property
    def targets(self) -> frozenset[str]:
        """As of a whole contract."""
        return targets_of(self.signals, self.dataset)


def read_own_contract(model: Path) -> OwnContract:
    """The contract in the folder of a saved model.

    Of one that an earlier version of the checker accepted, only these parts must still be readable. Raises `Failed`.
    """
    file = model / PACKAGED_CONTRACT
    if file.is_symlink() or not file.is_file():
        raise Failed(f"it has no {PACKAGED_CONTRACT}, which says what its inputs are")
    try:
        content = values_of(decode(file.read_bytes(), PACKAGED_CONTRACT))
        return OwnContract.model_validate({key: content.get(key) for key in ("signals", "dataset")})
    except ValidationError as error:
        raise Failed(f"its {PACKAGED_CONTRACT} cannot be read: {first_fault(error)}") from None
    except BadInput as error:
        raise Failed(f"its {PACKAGED_CONTRACT} cannot be read: {error.message}") from None
