"""Compute metrics from scores: of the trained model (stage `evaluate`), or of a given table, such as the champion's.

`python -m <package>.evaluate --inputs test.parquet --scores scores.parquet --out metrics.json`
With `--counts counts.npy`, shape (times, rows), row weights: name -> a number for each time.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from . import settings, signals

REPORT = Path("metrics/evaluation.md")
POINTS = 50
"""Points of the ROC curve in the report."""


def metrics(scores: np.ndarray, faults: np.ndarray, threshold: float) -> dict[str, float]:
    """AUC, recall (of all faults and by kind), false alarms. `faults` has the fault of each row, or `none`."""
    faulty = faults != "none"
    flagged = scores >= threshold
    values = {
        "rows": float(len(scores)),
        "auc": auc(scores, faulty),
        "recall": float(flagged[faulty].mean()),
        "precision": float(faulty[flagged].mean()) if flagged.any() else 0.0,
        "false_alarm_rate": float(flagged[~faulty].mean()),
        "false_alarms_per_thousand": float(1000 * flagged[~faulty].mean()),
    }
    for kind in sorted(set(faults[faulty])):
        values[f"recall_{kind}"] = float(flagged[faults == kind].mean())
    return values


def auc(scores: np.ndarray, faulty: np.ndarray) -> float:
    """Probability that a faulty signal scores above a sound one; ties count half."""
    ranks = pd.Series(scores).rank().to_numpy()
    positive, negative = int(faulty.sum()), int((~faulty).sum())
    return float((ranks[faulty].sum() - positive * (positive + 1) / 2) / (positive * negative))


def plots(scores: np.ndarray, faulty: np.ndarray, threshold: float) -> dict[str, Any]:
    """ROC curve and confusion matrix, for the report."""
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.diff(scores[order]) != 0, True)
    true, false = np.cumsum(faulty[order])[last_of_tie], np.cumsum(~faulty[order])[last_of_tie]
    roc = np.column_stack([np.append(0, false / false[-1]), np.append(0, true / true[-1])])
    kept = np.unique(np.linspace(0, len(roc) - 1, POINTS).round().astype(int))
    flagged = scores >= threshold
    return {
        "roc": roc[kept].round(5).tolist(),
        "confusion": {
            "tp": int((flagged & faulty).sum()),
            "fp": int((flagged & ~faulty).sum()),
            "fn": int((~flagged & faulty).sum()),
            "tn": int((~flagged & ~faulty).sum()),
        },
    }


def report(values: dict[str, float], faults: np.ndarray) -> str:
    """The metrics as a Markdown page."""
    kinds = sorted(set(faults) - {"none"})
    lines = [
        "# Evaluation",
        "",
        f"{len(faults)} signals, AUC {values['auc']:.4f}, "
        f"{values['false_alarms_per_thousand']:.1f} false alarms per thousand sound signals.",
        "",
        "| fault | signals | recall |",
        "|---|---:|---:|",
        *(f"| {kind} | {int((faults == kind).sum())} | {values[f'recall_{kind}']:.3f} |" for kind in kinds),
    ]
    return "\n".join(lines) + "\n"


def read_scores(path: Path, rows: int) -> np.ndarray:
    """The column `score` of a table, in the order of the inputs."""
    scores = pd.read_parquet(path)["score"].to_numpy(dtype=np.float64)
    if len(scores) != rows:
        raise SystemExit(f"{path}: {len(scores)} scores for {rows} signals")
    return scores


def weighted(
    scores: np.ndarray, faults: np.ndarray, threshold: float, counts: np.ndarray
) -> dict[str, list[float | None]]:
    """The metrics for each row of `counts`, shape (times, rows); None where a metric is undefined."""
    values: dict[str, list[float | None]] = {}
    for time, count in enumerate(counts):
        rows = np.repeat(np.arange(len(scores)), count)
        both = len(set(faults[rows] != "none")) == 2
        for name, value in (metrics(scores[rows], faults[rows], threshold) if both else {}).items():
            values.setdefault(name, [None] * len(counts))[time] = value
    return values


def main() -> None:
    """Compute metrics of the trained model or, with `--scores`, of these scores."""
    contract = settings.contract()
    evaluation = contract["evaluation"]
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--inputs", type=Path, default=Path(evaluation["inputs"]))
    parser.add_argument("--scores", type=Path)
    parser.add_argument("--counts", type=Path)
    parser.add_argument("--out", type=Path, default=Path(evaluation["metrics"]))
    options = parser.parse_args()
    table = signals.read(options.inputs, ["turns", "fault"] if options.scores is None else ["fault"])
    faults = table["fault"].to_numpy(dtype=str)
    scores = _own_scores(table) if options.scores is None else read_scores(options.scores, len(table))
    if not np.isfinite(scores).all():
        raise SystemExit(f"{int((~np.isfinite(scores)).sum())} of {len(scores)} scores are not finite")
    if options.counts is not None:
        _write(options.out, weighted(scores, faults, settings.threshold(), np.load(options.counts)))
        return
    values = metrics(scores, faults, settings.threshold())
    _write(options.out, values)
    if options.scores is None:
        from .train import CURVE

        pd.DataFrame({"score": scores}).to_parquet(evaluation["scores"], index=False)
        figures = plots(scores, faults != "none", settings.threshold())
        curve = json.loads(CURVE.read_text(encoding="utf-8"))["training"]
        _write(Path(evaluation["plots"]), {**figures, "training": curve})
        REPORT.write_text(report(values, faults), encoding="utf-8")


def _own_scores(table: pd.DataFrame) -> np.ndarray:
    from .model import FaultModel
    from .train import TRAINED

    model = FaultModel.load(TRAINED / "weights.safetensors", TRAINED / "transform.json")
    return model(signals.turns_of(table)).astype(np.float64)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
