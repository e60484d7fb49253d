"""Byte code for an environment that a test makes: what was compiled of the same sources in another one.

To compile them is most of the time of a new environment's first commands. The product never does this, for who wrote
byte code decides what runs (decision 50); here all environments are ours.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from beampermit.environments.bytecode import bytecode_folder

ENDING = f".{sys.implementation.cache_tag}.pyc"
TIME = slice(8, 12)
"""Of byte code: when its source was written, by which Python knows whether to compile it again."""


def lend(lender: Path, prefix: Path) -> None:
    """Give the packages at `prefix` what was compiled of those at `lender`, where both have the same source."""
    ((theirs, lent), (own, wanted)) = (_modules(one.resolve()) for one in (lender, prefix))
    compiled = f"{bytecode_folder()}{theirs}"
    for folder, _, files in os.walk(compiled):
        below = folder.removeprefix(compiled).lstrip("/")
        place = Path(f"{bytecode_folder()}{own}/{below}")
        modules = {file: f"{below}/{file.removesuffix(ENDING)}.py".lstrip("/") for file in files}
        same = [file for file, name in modules.items() if name in wanted and wanted[name] == lent.get(name)]
        if same:
            place.mkdir(parents=True, exist_ok=True)
        for file in same:
            with suppress(FileNotFoundError):  # others compile meanwhile
                code = bytearray(Path(folder, file).read_bytes())
                code[TIME] = (int((own / modules[file]).stat().st_mtime) & 0xFFFFFFFF).to_bytes(4, "little")
                (place / file).write_bytes(code)


def _modules(prefix: Path) -> tuple[Path, dict[str, str]]:
    """The folder of packages, and the digest of each module in it."""
    (site,) = prefix.glob("lib/python*/site-packages")
    records = [file.read_text() for file in site.glob("*.dist-info/RECORD")]
    rows = (line.split(",") for record in records for line in record.splitlines())
    return site, {row[0]: row[1] for row in rows if row[0].endswith(".py")}
