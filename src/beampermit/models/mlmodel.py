"""`MLmodel`, the page on which MLflow says how a saved model is loaded: read without loading anything."""

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
"""What may load a model: these read code, safetensors or ONNX, and never a pickle."""


@dataclass(frozen=True)
class SavedModel:
    """A saved model in `folder`, which errors and verdicts call `name`; `page` is what its `MLmodel` holds."""

    folder: Path
    name: str
    page: dict[str, Any]

    @classmethod
    def read(cls, folder: Path, name: str) -> SavedModel:
        """Read the `MLmodel` of a folder. Raises `BadInput` with file and line."""
        file, called = folder / FILE_NAME, f"{name}/{FILE_NAME}"
        if not file.is_file() or file.is_symlink():
            raise BadInput("the file is missing", file=called, hint="dvc repro package")
        if file.stat().st_size > LARGEST:
            raise BadInput(f"larger than the {LARGEST} bytes it may have", file=called)
        page = parse_yaml(file.read_bytes(), called)
        if not isinstance(page, dict) or not isinstance(page.get("flavors"), dict):
            raise BadInput("no MLmodel: it names no flavors", file=called, line=1)
        return cls(folder, name, page)

    @property
    def pyfunc(self) -> dict[str, Any]:
        """The flavor through which models are loaded here; empty where there is none."""
        flavor = self.page["flavors"].get("python_function")
        return flavor if isinstance(flavor, dict) else {}

    def unpickles(self) -> str:
        """Why loading this model would, or might, unpickle something; empty when it does not."""
        loader = self.pyfunc.get("loader_module")
        if not self.pyfunc:
            return "it has no python_function flavor"
        if loader not in LOADERS:
            return f"it is loaded by {loader}, which unpickles or is not known not to"
        if loader.endswith("code_model") and not self.pyfunc.get("model_code_path"):
            return "it names no model_code_path, so that its python_model would be unpickled"
        if "python_model" in self.pyfunc:
            return f"it names {self.pyfunc['python_model']!r} as a pickled python_model"
        return ""

    def named(self) -> Iterator[tuple[str, str]]:
        """The parts that it says it has, as (what for, path inside the folder)."""
        artifacts = self.pyfunc.get("artifacts")
        for key, value in artifacts.items() if isinstance(artifacts, dict) else ():
            yield f"artifact {key!r}", str(value.get("path") if isinstance(value, dict) else value)
        if code := self.pyfunc.get("model_code_path"):
            # MLflow writes the path on the machine that packaged the model, and looks for its last part here.
            yield "model code", str(code).replace("\\", "/").rsplit("/", 1)[-1]
        for key in ("code", "data"):
            if path := self.pyfunc.get(key):
                yield key, str(path)
        example = self.page.get("saved_input_example_info")
        if isinstance(example, dict) and example.get("artifact_path"):
            yield "input example", str(example["artifact_path"])

    def lacks(self) -> list[str]:
        """The named parts that are not in the folder, or lie outside it, in words."""
        return [f"{what} {path}" for what, path in self.named() if not self._has(path)]

    def _has(self, path: str) -> bool:
        parts = PurePosixPath(path)
        if parts.is_absolute() or ".." in parts.parts or "\\" in path or "\0" in path:
            return False
        return (self.folder / parts).exists()
