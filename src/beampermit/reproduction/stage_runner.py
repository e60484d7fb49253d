"""Runs a project's stages as a unit of work, without DVC: `python -m beampermit_stages` in the unit's folder.

It imports nothing of Beampermit, for it is copied into the `src` of the unit's tree. Of that tree, `whole` is copied
to `run`, where the stages write; what is to be kept goes to `kept`. `request.json` has the `stages` in order, each with
its name, the lines of its command and its folder; `project`, the project's folder in `whole`, and `root`, DVC's;
`keep`, paths in the project; and `home`, folders that the stages are told nothing of.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

OPTIONS = {"bash": ["--noprofile", "--norc"], "zsh": ["--no-rcs"]}
"""As DVC starts a shell."""


def main() -> int:
    request = json.loads(Path("request.json").read_text(encoding="utf-8"))
    whole, kept = Path("run").absolute(), Path("kept").absolute()
    for folder in (whole, kept):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree("whole", whole, symlinks=True)
    try:
        project = whole / request["project"]
        variables = _variables(request, whole, project)
        for stage in request["stages"]:
            if not _run(stage, whole, variables):
                return 1
        kept.mkdir()
        for path in request["keep"]:
            if os.path.lexists(project / path):
                (kept / path).parent.mkdir(parents=True, exist_ok=True)
                (project / path).rename(kept / path)
    finally:
        shutil.rmtree(whole, ignore_errors=True)
    temporary = Path("result.json.part")
    temporary.write_text(json.dumps({"stages": [stage["name"] for stage in request["stages"]]}), encoding="utf-8")
    temporary.replace("result.json")
    return 0


def _run(stage: dict[str, Any], whole: Path, variables: dict[str, str]) -> bool:
    _say(f"Running stage '{stage['name']}':")
    shell = variables.get("SHELL") or "/bin/sh"
    for line in stage["commands"]:
        _say(f"> {line}")
        command = [shell, *OPTIONS.get(Path(shell).name, []), "-c", line]
        own = {**variables, "DVC_STAGE": stage["name"]}
        code = subprocess.run(command, cwd=whole / stage["folder"], env=own, check=False).returncode
        if code:
            _say(f"ERROR: failed to reproduce '{stage['name']}': failed to run: {line}, exited with {code}")
            return False
    return True


def _variables(request: dict[str, Any], whole: Path, project: Path) -> dict[str, str]:
    """Ours without those that name one of the folders `home`; of PATH, only the entries that do not."""
    environment = os.environ.get("VIRTUAL_ENV") or os.environ.get("CONDA_PREFIX") or sys.prefix

    def leads_home(value: str) -> bool:
        return not value.startswith(environment) and any(home in value for home in request["home"])

    kept = {name: value for name, value in os.environ.items() if name == "PATH" or not leads_home(value)}
    entries = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return {
        **kept,
        "PATH": os.pathsep.join(entry for entry in entries if not leads_home(entry)),
        "PYTHONPATH": str(project / "src"),
        "PWD": str(project),
        "DVC_ROOT": str(whole / request["root"]),
        "DVC_NO_ANALYTICS": "true",
    }


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
