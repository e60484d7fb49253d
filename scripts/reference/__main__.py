"""Write the pages of docs/ that are made from the code: `python scripts/reference`, into docs/ or a folder of yours."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(Path(__file__).parent))

import actions_page  # noqa: E402
import commands_page  # noqa: E402
import exit_codes_page  # noqa: E402
import pvs_page  # noqa: E402

PAGES = {
    "commands.md": commands_page.page,
    "actions.md": lambda: actions_page.page(ROOT),
    "pvs.md": pvs_page.page,
    "exit-codes.md": exit_codes_page.page,
}


def write(folder: Path) -> None:
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs")
