"""What mattered is named, in every kind of space."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from beampermit.trials.importance import FEWEST, importance
from support.forked_pythons import forked
from support.studies import complete, large, study


@pytest.mark.slow
def test_the_parameter_that_decides_is_the_first() -> None:
    assert next(iter(importance(large(150)))) == "train.learning_rate"
    for found in (importance(large(150)), importance(large(200, several=True))):
        assert "train.depth" in found, "conditional"
        assert "train.features: noise" in found, "each member of a subset"
        assert abs(sum(found.values()) - 1) < 1e-9


def test_of_too_few_trials_and_of_equal_ones_nothing_is_said() -> None:
    assert importance(study(*(complete(n, float(n)) for n in range(FEWEST - 1)))) == {}
    assert importance(study(*(complete(n, float(n)) for n in range(FEWEST)))) != {}
    assert importance(study(*(complete(n, 1.0, params={"train.hidden": 8}) for n in range(30)))) == {}
    assert importance(study(*(complete(n, float(n), params={}) for n in range(30)))) == {}


IMPORTED = """\
import sys
before = {*sys.modules}
from beampermit.trials.importance import importance
from support.studies import large
assert importance(large(20))
costly = {"sklearn", "scipy", "pandas"}
assert not costly & before, "what is there already is imported by nobody"
print(sorted(costly & {*sys.modules}))
"""


@pytest.mark.slow
def test_no_library_is_imported_for_what_is_not_computed() -> None:
    """scikit-learn, which optuna imports for its other evaluators, takes longer than all else of a page."""
    variables = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    code, said, errors = forked(IMPORTED, env=variables, needs=("optuna",), apart="optuna").finish()
    assert (code, said) == (0, "[]\n"), errors
