"""A first `contract.yaml` from what is found in the repository; TODO marks what only a person can know."""

from __future__ import annotations

import json
from datetime import date, timedelta
from importlib.resources import files
from string import Template

from beampermit.retrofit.survey import LOWER_IS_BETTER, Survey

REVIEW = timedelta(days=365)
SPLITS = ("train", "validation", "test")


def render_contract(survey: Survey, today: date) -> str:
    """A valid contract, so that interlocks can run at once."""
    template = Template(files("beampermit.retrofit").joinpath("contract.yaml.in").read_text(encoding="utf-8"))
    splits = {name: _path(survey.splits.get(name), f"data/{name}.parquet") for name in SPLITS}
    return template.substitute(
        name=survey.name,
        package=survey.package,
        owners="\n".join(_owners(survey)),
        review_by=(today + REVIEW).isoformat(),
        model=_quoted(survey.model or "model"),
        backend=survey.backend or "uv                # TODO no pyproject.toml or environment.yml was found",
        indexes="".join(f"\n    - {_quoted(address)}" for address in survey.indexes) or " []",
        raw=_path(survey.raw, "data/raw.parquet"),
        splits="\n".join(f"    {name}: {path}" for name, path in splits.items()),
        test=splits["test"],
        metrics_file=_path(survey.metrics_file, "metrics/metrics.json"),
        plots_file=_path(survey.plots_file, "metrics/plots.json"),
        metrics="\n".join(_metrics(survey)),
        seed_at=f"seed_at: {_quoted(survey.seed or 'params.yaml:train.seed')}",
    )


def _owners(survey: Survey) -> list[str]:
    lines = [
        f"    - {{name: {_quoted(owner.name)}, email: {_quoted(owner.email)}, role: {role}}}"
        for owner, role in zip(survey.owners, ("maintainer", "deputy"), strict=False)
    ]
    if not lines:
        return ["    - {name: TODO who is responsible for the model, email: todo@example.org}"]
    return lines if len(lines) > 1 else [*lines, "    # TODO a second owner, who takes over when the first is away"]


def _metrics(survey: Survey) -> list[str]:
    metrics = survey.metrics or {"metric": 0.0}
    return [
        f"  - {{name: {name}, better: {'lower' if LOWER_IS_BETTER.search(name) else 'higher'}, gate: {value!r},"
        f" tolerance: 2%, description: TODO what {name} measures}}    # TODO the gate is the present value of {name}"
        for name, value in metrics.items()
    ]


def _path(path: str | None, default: str) -> str:
    return _quoted(path) if path else f"{default}    # TODO not found in dvc.yaml"


def _quoted(value: str) -> str:
    """JSON strings are valid YAML."""
    return json.dumps(value, ensure_ascii=False)
