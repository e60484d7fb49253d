"""What is read of a page: its commands, and what it says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.shown_commands import blocks, calls

PAGE = """\
Text, and `beampermit status` in it.

<!-- not run: GitHub answers it -->
```console
$ beampermit protect audit      # lists gaps
not protected
$ beampermit check \\
    DAT001
```

1. In a list:

   <!-- run by tests/a.py tests/b.py -->
   ```sh
   beampermit check
   ```

<!-- exit code 3 -->
```bash
beampermit promote
```

```python
print("beampermit")
```
"""


def test_commands_are_told_from_what_they_print(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    audit, check, promote = blocks(page)
    assert audit.commands == ("beampermit protect audit      # lists gaps", "beampermit check     DAT001")
    assert (audit.not_run, audit.runs, audit.line) == ("GitHub answers it", False, 5)
    assert (check.run_by, check.runs) == (("tests/a.py", "tests/b.py"), False)
    assert (promote.exit_code, promote.runs) == (3, True)


@pytest.mark.parametrize(
    ("line", "programs"),
    [
        ("beampermit check   # says why", [["beampermit", "check"]]),
        ("A=1 B='x y' beampermit check", [["beampermit", "check"]]),
        ("cd orbit && beampermit check || exit 1", [["cd", "orbit"], ["beampermit", "check"], ["exit", "1"]]),
        ("beampermit history | less", [["beampermit", "history"], ["less"]]),
        ('curl -d \'{"inputs": [', []),
    ],
)
def test_each_program_of_a_line_is_seen(line: str, programs: list[list[str]]) -> None:
    assert list(calls(line)) == programs
