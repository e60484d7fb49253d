"""Archives as jobs upload them, and as nobody should."""

from __future__ import annotations

import io
import warnings
import zipfile

Member = tuple[str | zipfile.ZipInfo, bytes]


def archive(*members: Member, kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of these names and contents, also where a name stands in it twice."""
    made = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(made, "w", kind) as opened:
        warnings.simplefilter("ignore")  # that a name stands in it twice
        for name, content in members:
            opened.writestr(name, content)
    return made.getvalue()
