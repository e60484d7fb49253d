"""The base of records that are read from files: frozen, and validated strictly."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

LARGEST = 2**63
"""More bytes, files or rows than any disk holds."""
Count = Annotated[int, Field(strict=True, ge=0, lt=LARGEST)]
Number = Annotated[float, Field(strict=True)]
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
ObjectId = Annotated[str, Field(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]
"""Of a git commit or tree."""


class Record(BaseModel):
    """Unknown keys, NaN and infinities are errors. Its validator is built when the first one is read."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)
