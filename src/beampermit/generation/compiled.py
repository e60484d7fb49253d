"""What Jinja has compiled of a template, kept for the next render: an update makes two, which are mostly alike."""

from __future__ import annotations

from functools import cache
from types import CodeType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import BytecodeCache
    from jinja2.bccache import Bucket


@cache
def compiled() -> BytecodeCache:
    """By name and text, while this process lives; for environments with the same extensions."""
    from jinja2 import BytecodeCache

    kept: dict[tuple[str, str], CodeType] = {}

    class Compiled(BytecodeCache):
        def load_bytecode(self, bucket: Bucket) -> None:
            bucket.code = kept.get((bucket.key, bucket.checksum))

        def dump_bytecode(self, bucket: Bucket) -> None:
            if bucket.code:
                kept[bucket.key, bucket.checksum] = bucket.code

    return Compiled()
