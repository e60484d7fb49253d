"""What is read of a page: its commands, and what it says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.shown_commands import blocks, calls, unseen

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


@pytest.mark.parametrize(
    ("begin", "line", "seen"),
    [
        ("```shell", "beampermit check", True),
        ("```zsh", "$ git push", True),
        ("```", "beampermit check   # why", True),
        ("```text", "A=1 .venv/bin/python x.py", True),
        ("```console title=x", "$ beampermit check", True),
        ("~~~sh", "cd orbit && make lint", True),
        ("````sh", "make lint", True),
        ("   ```", "make lint", True),
        ("```sh", "beampermit check", False),
        ("   ```console", "$ beampermit check", False),
        ("```python", "git = 1", False),
        ("```text", "beampermit check [OPTIONS]", False),
        ("```", "23 6 * * 1  cd /srv && beampermit inventory", False),
        ("```", "docs/    what git has", False),
    ],
)
def test_a_command_in_a_fence_that_nobody_runs_is_seen(tmp_path: Path, begin: str, line: str, seen: bool) -> None:
    page = tmp_path / "page.md"
    fence = begin.strip().rstrip("abcdefghijklmnopqrstuvwxyz= ")
    indent = begin[: len(begin) - len(begin.lstrip())]
    page.write_text(f"Text\n\n<!-- not run: x -->\n{begin}\n{indent}{line}\n{indent}{fence}\n\n```yaml\nmake: x\n```\n")
    assert list(unseen(page)) == ([f"page.md:5: {line.removeprefix('$ ')}"] if seen else [])
