"""The `beampermit` command, also as `python -m beampermit`."""

from __future__ import annotations

import sys


def run() -> None:
    """Run the command; Ctrl-C is one line also while it is imported."""
    try:
        from beampermit.cli.main import run as command
    except KeyboardInterrupt:
        sys.stderr.write("beampermit: interrupted\n")
        sys.exit(130)
    command()


if __name__ == "__main__":
    run()
