"""MLflow's `MLmodel` file, which says how a saved model is loaded; nothing is loaded here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from beampermit.errors import BadInput
from beampermit.reading import parse_yaml

FILE_NAME = "MLmodel"
LARGEST = 4 * 2**20
LOADERS = {
    "mlflow.pyfunc.loaders.code_model": "models from code",
    "mlflow.onnx": "ONNX",
}
"""Allowed loaders: they read code, safetensors or ONNX, never a pickle."""


@dataclass(frozen=True)
class SavedModel:
    """A saved model in `folder`, called `name` in errors and verdicts; `page` is the content of its `MLmodel`."""

    folder: Path
    name: str
    page: dict[str, Any]

    @classmethod
    def read(cls, folder: Path, name: str) -> SavedModel:
        """Read the `MLmodel` of a folder. Raises `BadInput` with file and line."""
        path, file = folder / FILE_NAME, f"{name}/{FILE_NAME}"
        if not path.is_file() or path.is_symlink():
            raise BadInput("the file is missing", file=file, hint="dvc repro package")
        if path.stat().st_size > LARGEST:
            raise BadInput(f"larger than {LARGEST} bytes", file=file)
        page = parse_yaml(path.read_bytes(), file)
        if not isinstance(page, dict) or not isinstance(page.get("flavors"), dict):
            raise BadInput("not an MLmodel file: it has no flavors", file=file, line=1)
        return cls(folder, name, page)

    @property
    def pyfunc(self) -> dict[str, Any]:
        """The `python_function` flavor; empty where there is none."""
        flavor = self.page["flavors"].get("python_function")
        return flavor if isinstance(flavor, dict) else {}

    def pickle_risk(self) -> str:
        """Why loading this model could unpickle something; empty when it cannot."""
        loader = self.pyfunc.get("loader_module")
        if not self.pyfunc:
            return "it has no python_function flavor"
        if loader not in LOADERS:
            return f"it is loaded by {loader}, which may unpickle"
        if loader.endswith("code_model") and not self.pyfunc.get("model_code_path"):
            return "it has no model_code_path, so its python_model would be unpickled"
        if "python_model" in self.pyfunc:
            return f"its python_model {self.pyfunc['python_model']!r} is a pickle"
        return ""

    def parts(self) -> Iterator[tuple[str, str]]:
        """The parts that `MLmodel` lists: (purpose, path inside the folder)."""
        artifacts = self.pyfunc.get("artifacts")
        for key, value in artifacts.items() if isinstance(artifacts, dict) else ():
            yield f"artifact {key!r}", str(value.get("path") if isinstance(value, dict) else value)
        if code := self.pyfunc.get("model_code_path"):
            # MLflow writes the path on the machine that packaged the model, and uses only its last part.
            yield "model code", str(code).replace("\\", "/").rsplit("/", 1)[-1]
        for key in ("code", "data"):
            if path := self.pyfunc.get(key):
                yield key, str(path)
        example = self.page.get("saved_input_example_info")
        if isinstance(example, dict) and example.get("artifact_path"):
            yield "input example", str(example["artifact_path"])

    def missing_parts(self) -> list[str]:
        """`purpose path` of each listed part that is not in the folder."""
        return [f"{purpose} {path}" for purpose, path in self.parts() if not self._has(path)]

    def _has(self, path: str) -> bool:
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts or "\\" in path or "\0" in path:
            return False
        return (self.folder / parts).exists()
