"""Writes version and commit of the template into what is built: `release.json`, which `template/record.py` reads."""

from __future__ import annotations

import json
import runpy
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NAME = "release.json"


class TemplateCommit(BuildHookInterface[Any]):
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":  # which looks at the checkout itself
            return
        root = Path(self.root)
        record = runpy.run_path(str(root / "template/record.py"))
        known = record["origin"](root / "template")  # of an sdist: what it was built with
        self._folder = tempfile.TemporaryDirectory()
        file = Path(self._folder.name) / NAME
        file.write_text(json.dumps({"version": known["version"], "commit": known["commit"]}) + "\n", encoding="utf-8")
        place = f"beampermit/_template/{NAME}" if self.target_name == "wheel" else NAME
        build_data["force_include"][str(file)] = place

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        if version != "editable":
            self._folder.cleanup()
