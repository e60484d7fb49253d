"""A first `contract.yaml`: what the repository says stands in it, what only a person can know is marked TODO."""

from __future__ import annotations

import json
from datetime import date, timedelta
from importlib.resources import files
from string import Template

from beampermit.retrofit.survey import LOWER, Survey

REVIEW = timedelta(days=365)
SPLITS = ("train", "validation", "test")


def skeleton(found: Survey, today: date) -> str:
    """The text of the contract: sound as it stands, so that interlocks can begin to judge."""
    template = Template(files("beampermit.retrofit").joinpath("contract.yaml.in").read_text(encoding="utf-8"))
    splits = {name: _known(found.splits.get(name), f"data/{name}.parquet") for name in SPLITS}
    return template.substitute(
        name=found.name,
        package=found.package,
        owners="\n".join(_owners(found)),
        review_by=(today + REVIEW).isoformat(),
        model=_quoted(found.model or "model"),
        backend=found.backend
        or "uv                # TODO nothing to lock was found: pyproject.toml or environment.yml",
        raw=_known(found.raw, "data/raw.parquet"),
        splits="\n".join(f"    {name}: {path}" for name, path in splits.items()),
        test=splits["test"],
        metrics_file=_known(found.metrics_file, "metrics/metrics.json"),
        plots_file=_known(found.plots_file, "metrics/plots.json"),
        metrics="\n".join(_metrics(found)),
        seed_at=f"seed_at: {_quoted(found.seed or 'params.yaml:train.seed')}",
    )


def _owners(found: Survey) -> list[str]:
    lines = [
        f"    - {{name: {_quoted(one.name)}, email: {_quoted(one.email)}, role: {role}}}"
        for one, role in zip(found.owners, ("maintainer", "deputy"), strict=False)
    ]
    if not lines:
        return ["    - {name: TODO who answers for the model, email: todo@example.org}"]
    return lines if len(lines) > 1 else [*lines, "    # TODO a second owner, for when that person is away or has left"]


def _metrics(found: Survey) -> list[str]:
    given = found.metrics or {"metric": 0.0}
    return [
        f"  - {{name: {name}, better: {'lower' if LOWER.search(name) else 'higher'}, gate: {value!r},"
        f" description: TODO what {name} says}}    # TODO the gate is only what {name} is today"
        for name, value in given.items()
    ]


def _known(path: str | None, usual: str) -> str:
    return _quoted(path) if path else f"{usual}    # TODO not found in dvc.yaml"


def _quoted(value: str) -> str:
    """A JSON text is a YAML text."""
    return json.dumps(value, ensure_ascii=False)
