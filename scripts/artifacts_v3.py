"""Let workflows and actions run on GitHub Enterprise Server, which has no artifact actions from version 4 on.

Version 3 for Node 20 is what it runs. Its download knows neither `pattern` nor `merge-multiple`: without a name it
gives every artifact of the run in a folder of its own, so those that match are copied together by a step.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML

VERSION_3: Mapping[str, tuple[str, str, frozenset[str]]] = {
    "upload-artifact": (
        "c24449f33cd45d4826c6702db7e49f7cdb9b551d",
        "v3.2.1-node20",
        frozenset({"name", "path", "if-no-files-found", "retention-days", "include-hidden-files"}),
    ),
    "download-artifact": ("ad191675b41f6a5b46da9a048cb6893812da158b", "v3.1.0-node20", frozenset({"name", "path"})),
}
"""Action -> its commit, that commit's version, and the inputs that it has."""
USE = re.compile(r"uses: actions/(?P<verb>upload|download)-artifact@[0-9a-f]{40} # \S+")
TOGETHER = re.compile(
    r"^(?P<dash> *)- name: (?P<name>.+)\n(?P<condition>(?P<indent> +)if: .+\n)?"
    r"(?P<use> +uses: actions/download-artifact@.+\n) +with:\n(?P<given>(?:(?P=dash)    .+\n)+)",
    re.MULTILINE,
)
"""A step that downloads, from its name to its last input."""
PATTERN = re.compile(r"[\w.*-]+")
OF_VERSION_4 = re.compile(r"uses: (actions/upload-pages-artifact)@")
"""An action that itself uses artifact actions from version 4 on."""


def run_on_enterprise_server(text: str, file: str) -> str:
    """A workflow or action with the artifact actions of version 3. Ends for what these cannot do."""
    text = TOGETHER.sub(lambda step: _apart(step, file), text)
    return USE.sub(lambda use: _use(f"{use['verb']}-artifact"), text)


def unsupported(text: str) -> str:
    """The action for which a workflow cannot run on Enterprise Server, if there is one."""
    found = OF_VERSION_4.search(text)
    return found[1] if found else ""


def refuse_other_inputs(text: str, file: str) -> None:
    """End for a use of an artifact action of another version, or for an input that version 3 does not have."""
    if "-artifact@" not in text:
        return
    for step in _steps(YAML().load(text)):
        action, _, commit = str(step.get("uses", "")).partition("@")
        verb = action.removeprefix("actions/")
        if verb not in VERSION_3 or verb == action:
            continue
        expected, version, inputs = VERSION_3[verb]
        line = step.lc.line + 1
        if commit != expected:
            sys.exit(f"{file}:{line} uses {verb} at {commit[:12]}; Enterprise Server runs {expected[:12]}, {version}")
        if unknown := sorted(set(step.get("with") or ()) - inputs):
            sys.exit(f"{file}:{line} gives {verb} {', '.join(unknown)}, which {version} does not have")


def _apart(step: re.Match[str], file: str) -> str:
    """The step, and a second one that copies together what it was to merge; the step itself where it names one."""
    given: dict[str, str] = YAML(typ="safe").load(step["given"])
    if "pattern" not in given:
        return step.group()
    pattern, path, merged = given.pop("pattern"), given.pop("path", ""), given.pop("merge-multiple", False)
    if given or not path or merged is not True or not PATTERN.fullmatch(pattern):
        sys.exit(f"{file}: {step['name']!r} downloads in a way that Enterprise Server does not; see {__name__}.py")
    outer, inner = step["dash"], f"{step['dash']}  "
    condition = step["condition"] or ""
    return (
        f"{outer}- name: {step['name']}\n{condition}{step['use']}{inner}with:\n{inner}  path: {path}.apart\n"
        f"{outer}- name: {step['name']}, together\n{condition}{inner}shell: bash\n"
        f"{inner}env:\n{inner}  APART: {path}.apart\n{inner}  TOGETHER: {path}\n"
        f'{inner}run: |\n{inner}  mkdir -p "$TOGETHER"\n'
        f'{inner}  for folder in "$APART"/{pattern}; do\n'
        f'{inner}    if [ -d "$folder" ]; then cp -R "$folder/." "$TOGETHER"; fi\n{inner}  done\n'
    )


def _use(action: str) -> str:
    commit, version, _ = VERSION_3[action]
    return f"uses: actions/{action}@{commit} # {version}"


def _steps(tree: Any) -> list[Any]:
    """Every step of a workflow or a composite action."""
    if not isinstance(tree, dict):
        return []
    jobs = [*(tree.get("jobs") or {}).values(), tree.get("runs") or {}]
    return [step for job in jobs for step in (job.get("steps") or ()) if isinstance(step, dict)]
