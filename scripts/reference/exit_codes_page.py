"""docs/exit-codes.md: what a command ends with, from the errors."""

from __future__ import annotations

import inspect

from markdown_table import table

from beampermit import errors
from beampermit.errors import BeampermitError

HEAD = """# Exit codes

Scripts may rely on these: every command ends with one of them. This page is written from the code: `python
scripts/reference`.
"""
FOOT = """
Of several verdicts, a failure decides (1), then the highest code of the errors, then what was skipped (1): data that
are not here say nothing where the remote is down. An error is one line on standard error: what is wrong, where, and the
next command. No file is left half-written, whatever the code.

A step of a workflow tells a project that is at fault from a network that is down by it:

<!-- run by tests/faults/test_commands.py -->
```bash
beampermit check || code=$?
case "${code:-0}" in
  0) echo "every interlock passed" ;;
  4) echo "something outside failed: try again later" ;;
  *) exit "$code" ;;
esac
```
"""
OTHERS = {0: "Passed, or done.", 130: "Interrupted with Ctrl-C; the command can be run again."}


def page() -> str:
    kinds = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, BeampermitError)}
    rows = {kind.exit_code: (f"`{kind.__name__}`", inspect.getdoc(kind) or "") for kind in kinds - {BeampermitError}}
    rows |= {number: ("", meaning) for number, meaning in OTHERS.items()}
    return HEAD + table(("code", "means", "in the code"), ((str(n), *rows[n][::-1]) for n in sorted(rows))) + FOOT
