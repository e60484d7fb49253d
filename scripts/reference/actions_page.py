"""docs/actions.md: every action and reusable workflow with its inputs, from their YAML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from markdown_table import code, table
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

HEAD = """# Actions and workflows

What a project's workflows call, pinned by commit:
`uses: beampermit/beampermit/.github/workflows/ml-release.yml@<commit>` and
`uses: beampermit/beampermit/actions/check@<commit>`. Each step is a command that can be typed, too. This page is
written from their files: `python scripts/reference`.

Permissions are what a called workflow asks for; the caller's job must grant as much. A secret that is not required is
for a laboratory that has one.
"""


def page(root: Path) -> str:
    workflows = sorted((root / ".github/workflows").glob("ml-*.yml"))
    actions = sorted((root / "actions").glob("*/action.yml"))
    parts = [HEAD, "\n## Workflows\n", *map(_workflow, workflows), "\n## Actions\n", *map(_action, actions)]
    return "".join(parts)


def _workflow(file: Path) -> str:
    content = _read(file)
    call = content["on"]["workflow_call"] or {}
    opening = file.read_text(encoding="utf-8").partition("\nname:")[0]
    lines = [line.removeprefix("#").strip() for line in opening.splitlines()]
    about = "\n\n".join(paragraph.replace("\n", " ") for paragraph in "\n".join(lines).split("\n\n"))
    secrets = call.get("secrets") or {}
    return "".join(
        [
            f"\n### {file.name}\n\n{about}\n",
            _inputs(call.get("inputs")),
            table(("secret", "required", "meaning"), ((code(name), _yes(s), _text(s)) for name, s in secrets.items())),
            _outputs(call.get("outputs")),
            table(
                ("job", "permissions"),
                ((code(name), _permissions(content, job)) for name, job in content["jobs"].items()),
            ),
        ]
    )


def _action(file: Path) -> str:
    content = _read(file)
    title = f"\n### actions/{file.parent.name}\n\n{_text(content)}\n"
    return title + _inputs(content.get("inputs")) + _outputs(content.get("outputs"))


def _inputs(inputs: Any) -> str:
    rows = [(code(name), _default(one), _text(one)) for name, one in (inputs or {}).items()]
    return table(("input", "default", "meaning"), rows)


def _outputs(outputs: Any) -> str:
    return table(("output", "meaning"), ((code(name), _text(one)) for name, one in (outputs or {}).items()))


def _default(one: Any) -> str:
    if one.get("required"):
        return "required"
    default = one.get("default", "")
    return code(default if isinstance(default, str) else json.dumps(default))


def _permissions(workflow: Any, job: Any) -> str:
    """Each with what its comment says that it is for."""
    permissions = job.get("permissions", workflow.get("permissions"))
    if permissions is None:
        return "those of the caller's job"
    if not isinstance(permissions, CommentedMap):
        return str(permissions)
    said = [f"`{name}: {right}`{_for(permissions, name)}" for name, right in permissions.items()]
    return "; ".join(said) or "none"


def _for(permissions: CommentedMap, name: str) -> str:
    comments = permissions.ca.items.get(name)
    comment = comments[2].value.partition("\n")[0].lstrip("# ").strip() if comments and comments[2] else ""
    return f" {comment}" if comment else ""


def _text(one: Any) -> str:
    return str((one or {}).get("description", ""))


def _yes(one: Any) -> str:
    return "yes" if (one or {}).get("required") else "no"


def _read(file: Path) -> Any:
    return YAML().load(file.read_text(encoding="utf-8"))
