"""A laboratory's package whose interlocks judge beside ours."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from beampermit.record import Digest, Record


class InterlockPackage(Record):
    """As the protected branch locks it; one of `hashes` is that of the wheel."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=100)]
    version: Annotated[str, Field(pattern=r"^[0-9A-Za-z.!+_-]+$", max_length=100)]
    hashes: Annotated[tuple[Digest, ...], Field(min_length=1)]

    @property
    def label(self) -> str:
        """Such as `lab-interlocks 1.2.0`."""
        return f"{self.name} {self.version}"
