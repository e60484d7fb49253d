"""Example: replace with yours. What no `measure` of contract.yaml computes, and plots for the report."""

from __future__ import annotations

from typing import Any

import numpy as np

from .pipeline import contract
from .pipeline.tables import Arrays, Rows

POINTS = 50
"""Points of the ROC curve in the report."""


def metrics(outputs: Arrays, rows: Rows) -> dict[str, float]:
    """Fraction of each kind of fault that is flagged; the column `fault` has the kind, or `none`."""
    flagged, faults = _flagged(outputs), rows.table["fault"].to_numpy(dtype=str)
    return {f"recall_{kind}": float(flagged[faults == kind].mean()) for kind in sorted({*faults} - {"none"})}


def plots(outputs: Arrays, rows: Rows) -> dict[str, Any]:
    """ROC curve and confusion matrix."""
    scores, faulty, flagged = outputs["score"], rows.targets["score"] == 1, _flagged(outputs)
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.diff(scores[order]) != 0, True)
    true, false = np.cumsum(faulty[order])[last_of_tie], np.cumsum(~faulty[order])[last_of_tie]
    roc = np.column_stack([np.append(0, false / false[-1]), np.append(0, true / true[-1])])
    kept = np.unique(np.linspace(0, len(roc) - 1, POINTS).round().astype(int))
    return {
        "roc": roc[kept].round(5).tolist(),
        "confusion": {
            "tp": int((flagged & faulty).sum()),
            "fp": int((flagged & ~faulty).sum()),
            "fn": int((~flagged & faulty).sum()),
            "tn": int((~flagged & ~faulty).sum()),
        },
    }


def high() -> float:
    """The alarm limit HIGH: from this score on, a signal is flagged."""
    limit = contract.of(contract.ForEvaluation).output("score").high
    if limit is None:
        raise SystemExit("contract.yaml: output score needs the alarm limit high, from which a signal is flagged")
    return limit


def _flagged(outputs: Arrays) -> np.ndarray:
    return outputs["score"] >= high()
