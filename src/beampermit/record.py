"""The base of records that are read from files: frozen, and validated strictly."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

LARGEST = 2**63
"""More bytes, files or rows than any disk holds."""
Count = Annotated[int, Field(strict=True, ge=0, lt=LARGEST)]
Number = Annotated[float, Field(strict=True)]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
ObjectId = Annotated[str, Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]
"""Of a git commit or tree."""


def printable(value: Any) -> Any:
    """`value` with escapes where its texts are not UTF-8, as the name of a file may be: no JSON can hold that."""
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {printable(key): printable(inner) for key, inner in value.items()}
    return [printable(inner) for inner in value] if isinstance(value, (list, tuple)) else value


Text = Annotated[str, BeforeValidator(printable)]


def _of_a_day(time: str) -> str:
    datetime.fromisoformat(time)  # refuses the 31st of February
    return time


Time = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"), AfterValidator(_of_a_day)]
"""UTC, to the second."""


class Record(BaseModel):
    """Unknown keys, NaN and infinities are errors. Its validator is built when the first one is read."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)
