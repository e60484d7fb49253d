"""The YAML on top of a model card, in the words that Hugging Face's tools accept."""

from __future__ import annotations

import io
from pathlib import PurePosixPath
from typing import Any

from beampermit.documents.markdown import Markdown, visible
from beampermit.documents.standing import Standing

LICENSES = frozenset(
    (
        *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "bsd-3-clause-clear", "isc", "zlib", "unlicense"),
        *("gpl-2.0", "gpl-3.0", "lgpl-2.1", "lgpl-3.0", "agpl-3.0", "mpl-2.0", "epl-2.0", "eupl-1.1", "eupl-1.2"),
        *("cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "ecl-2.0", "bsl-1.0", "afl-3.0", "artistic-2.0"),
    )
)
"""Licences that the card's readers know; any other is `other` with its name."""
FORMATS = {".safetensors": "safetensors", ".onnx": "onnx"}


def front_matter(known: Standing) -> Markdown:
    """The metadata between its `---` lines; only what is known is said."""
    from ruamel.yaml import YAML

    stream = io.StringIO()
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.allow_unicode = True
    writer.width = 120
    writer.sort_base_mapping_type_on_output = False  # pyright: ignore[reportAttributeAccessIssue]
    writer.dump(metadata(known), stream)
    return Markdown(f"---\n{stream.getvalue()}---")


def metadata(known: Standing) -> dict[str, Any]:
    """The metadata as a mapping."""
    model, results = known.contract.model, _results(known)
    formats = {FORMATS[suffix] for path in known.model_files if (suffix := PurePosixPath(path).suffix) in FORMATS}
    return {
        "model_name": model.name,
        "library_name": "mlflow",
        "tags": ["beampermit", *sorted(formats)],
        **_license(known.license),
        **({"model-index": [{"name": model.name, "results": [results]}]} if results else {}),
    }


def _license(given: str | None) -> dict[str, str]:
    if given is None:
        return {}
    name = visible(given).casefold()
    return {"license": name} if name in LICENSES else {"license": "other", "license_name": visible(given)}


def _results(known: Standing) -> dict[str, Any]:
    """Measured values of the contract's metrics on the test split; empty where nothing was measured."""
    contract = known.contract
    metrics = [
        {"type": metric.name, "name": metric.name, "value": known.metrics[metric.name]}
        for metric in contract.metrics
        if metric.name in known.metrics
    ]
    if not metrics:
        return {}
    dataset = {"type": contract.model.name, "name": contract.dataset.splits["test"], "split": "test"}
    return {"task": {"type": "other"}, "dataset": dataset, "metrics": metrics}
