"""The `beampermit` command, also as `python -m beampermit`."""

from __future__ import annotations

import sys


def run() -> None:
    """Entry point. Importing the command takes a moment, in which Ctrl-C must be one line, too."""
    try:
        from beampermit.cli.main import run as command
    except KeyboardInterrupt:
        sys.stderr.write("beampermit: interrupted\n")
        sys.exit(130)
    command()


if __name__ == "__main__":
    run()
