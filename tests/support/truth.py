"""What the service shows in which situation: the table of docs/truth.md, and what the tests of its rows assert."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from beampermit.live.severity import Severity, Status
from beampermit.live.update import Value

AT_ONCE = "the next cycle"
WATCHED = "0.2 s, and the cycle that runs"
FOLLOWED = "`--follow`, and the next cycle"
ALLOWANCE = 5.0
"""Seconds that the tests which measure `within` allow a loaded machine beyond it."""
MODELS, NONE, HELD, DEFAULT = "the model's", "NaN", "the last one", "the default"
ORIGINS = {MODELS: "model", NONE: "none", HELD: "held", DEFAULT: "default"}


@dataclass(frozen=True)
class Situation:
    """`message` has words in `<>` where a test has its own. `derived`: why no test measures `within`."""

    when: str
    value: str
    severity: Severity
    status: Status
    message: str
    within: str = AT_ONCE
    derived: str = ""

    def holds(self, shown: Value) -> bool:
        """Asserts each column but the last; `within` is a matter of the tests with `measured`."""
        assert (shown.severity, shown.status) == (self.severity, self.status), shown
        assert self.says(shown.message), shown.message
        assert shown.origin == ORIGINS[self.value]
        assert bool(np.isnan(shown.value).all()) == (self.value == NONE)
        return True

    def says(self, message: str) -> bool:
        return bool(re.fullmatch(re.sub(r"<[^>]*>", ".+", re.escape(self.message)), message))


def _invalid(when: str, status: Status, message: str, within: str = AT_ONCE, derived: str = "") -> Situation:
    return Situation(when, NONE, Severity.INVALID, status, message, within, derived)


SITUATIONS = {
    # inputs
    "all is well": Situation("all inputs are good", MODELS, Severity.NO_ALARM, Status.NO_ALARM, ""),
    "nothing yet": _invalid("an input has sent nothing since the start", Status.UDF, "<PV> has sent nothing yet"),
    "nan": _invalid("an input is NaN", Status.READ, "<PV> is NaN"),
    "infinite": _invalid("an input is infinite", Status.READ, "<PV> is infinite"),
    "outside": _invalid(
        "an input is outside its physical range", Status.READ, "<PV> is <value>, outside its range <range>"
    ),
    "invalid": _invalid(
        "an input has severity INVALID", Status.LINK, "<PV> has severity INVALID (<what its source says>)"
    ),
    "too severe": _invalid(
        "an input is worse than `serving.worst` allows", Status.LINK, "<PV> has severity MAJOR (<what its source says>)"
    ),
    "severe": Situation(
        "an input has an alarm that `serving.worst` allows",
        MODELS,
        Severity.MAJOR,
        Status.LINK,
        "<PV> has severity MAJOR (<what its source says>)",
    ),
    "stale": _invalid(
        "a value arrives that is older than `stale_after`", Status.TIMEOUT, "<PV> is older than <stale_after> s"
    ),
    "silent": _invalid(
        "nothing arrives any more from a PV that is connected",
        Status.TIMEOUT,
        "<PV> is older than <stale_after> s",
        f"`stale_after` and {WATCHED}",
    ),
    "ahead": _invalid(
        "the same, and the clock of its source is ahead, by less than `serving.ahead`",
        Status.TIMEOUT,
        "<PV> is older than <stale_after> s",
        f"`stale_after` and {WATCHED}",
    ),
    "disconnected": _invalid("an input is disconnected", Status.LINK, "<PV> is disconnected"),
    "unreadable": _invalid(
        "the service itself fails to read an input; it tries again",
        Status.READ,
        "<PV> has no value: the service cannot read it (<error>)",
    ),
    "half-open": _invalid(
        "the IOC of an input hangs, and its socket stays open",
        Status.TIMEOUT,
        "<PV> is older than <stale_after> s",
        f"`stale_after` and {WATCHED}",
    ),
    "future": _invalid(
        "an input's time is in the future", Status.TIMEOUT, "<PV> has a time more than <ahead> s in the future"
    ),
    "no time": _invalid(
        "an input's source gives no time (over EPICS, the input is INVALID)", Status.TIMEOUT, "<PV> has no time"
    ),
    "apart": _invalid(
        "the inputs of a row are further apart in time than `serving.within`",
        Status.TIMEOUT,
        "the inputs are more than <within> s apart",
    ),
    "overtaken": _invalid(
        "the PV of `serving.snapshot` arrives, and an input of that moment, by `serving.within`, does not",
        Status.TIMEOUT,
        "<PV> is more than <within> s older than <PV>",
        "`serving.gather`, and the next cycle",
    ),
    "no snapshot": _invalid("the PV of `serving.snapshot` is disconnected", Status.LINK, "<PV> is disconnected"),
    "no row": _invalid(
        "inputs arrive, and what makes rows (`event`, `snapshot`) does not",
        Status.TIMEOUT,
        "no row was made since its inputs became too old",
        f"`stale_after` and {WATCHED}",
    ),
    "shape": _invalid("an input has another shape", Status.READ, "<PV> has <its shape> instead of <the contract's>"),
    "type": _invalid("an input is no number", Status.READ, "<PV> has <its type> instead of a number"),
    "unknown word": _invalid(
        "an input says a word that is not among its `words`",
        Status.READ,
        "<PV> has the word <its word>, which is none of <the contract's>",
    ),
    "no word": _invalid(
        "an input with `words` is neither a text nor an enum",
        Status.READ,
        "<PV> has <its type> instead of one of the words <the contract's>",
    ),
    "renumbered": Situation(
        "an IOC gives the states of an enum other numbers: the words are the same",
        MODELS,
        Severity.NO_ALARM,
        Status.NO_ALARM,
        "",
    ),
    "other device": Situation("one of many devices is bad: all others", MODELS, Severity.NO_ALARM, Status.NO_ALARM, ""),
    # answers
    "alarm": Situation("the answer is beyond HIHI", MODELS, Severity.MAJOR, Status.HIHI, ""),
    "warning": Situation("the answer is beyond HIGH", MODELS, Severity.MINOR, Status.HIGH, ""),
    "bypassed": Situation(
        "it is, and that alarm is bypassed",
        MODELS,
        Severity.MINOR,
        Status.HIGH,
        "bypassed until <time> by <whom>: <why>",
    ),
    "raises": _invalid("the model raises for the row of a device", Status.CALC, "the model raised <error>"),
    "raises for another": Situation(
        "the model raises for one of many devices: all others", MODELS, Severity.NO_ALARM, Status.NO_ALARM, ""
    ),
    "hangs": _invalid(
        "the model hangs",
        Status.CALC,
        "the model did not answer within <timeout> s; its process is started again",
        "`serving.timeout`",
    ),
    "killed": _invalid(
        "the model's process is killed, or ends",
        Status.CALC,
        "the model's process ended: <how>; its process is started again",
    ),
    "leaks": Situation(
        "the memory of the model's process grows: another one takes over",
        MODELS,
        Severity.NO_ALARM,
        Status.NO_ALARM,
        "",
        derived="no answer is missing while it does",
    ),
    "answers nan": _invalid("the model answers NaN", Status.CALC, "the model gave NaN for <output>"),
    "answers infinity": _invalid("the model answers infinity", Status.CALC, "the model gave infinity for <output>"),
    "answers outside": _invalid(
        "the model answers outside the output's range",
        Status.CALC,
        "the model gave <value> for <output>, outside its range <range>",
    ),
    "answers shape": _invalid(
        "the model answers in another shape",
        Status.CALC,
        "the model gave <output> in shape <its shape> instead of <the contract's>",
    ),
    "answers nothing": _invalid("the model leaves an output out", Status.CALC, "the model gave no <output>"),
    "service fails": _invalid("the service itself fails", Status.CALC, "the service failed: <error>"),
    "ended": _invalid(
        "the service is told to end, or starts again", Status.DISABLE, "the service has ended", "the cycle that runs"
    ),
    # fallback
    "held": Situation(
        "`fallback: hold`, and there is no answer",
        HELD,
        Severity.MAJOR,
        Status.READ,
        "held, because <why>",
    ),
    "held too long": _invalid("the same, longer than `hold_for`", Status.READ, "<why>", f"`hold_for` and {WATCHED}"),
    "held too long, then the default": Situation(
        "the same, longer than `hold_for`, with `then: default`",
        DEFAULT,
        Severity.MAJOR,
        Status.READ,
        "default, because <why>",
        f"`hold_for` and {WATCHED}",
    ),
    "default": Situation(
        "`fallback: default`, and there is no answer",
        DEFAULT,
        Severity.MAJOR,
        Status.READ,
        "default, because <why>",
    ),
    # what may serve
    "no permit": _invalid("the champion's permit is not believed", Status.DISABLE, "<why>", FOLLOWED),
    "wrong bytes": _invalid(
        "the bytes are not those of the permit",
        Status.DISABLE,
        "<why>",
        "the start",
        derived="they are verified before the model is loaded",
    ),
    "bytes change": _invalid(
        "they are not when the model's process starts, or starts again",
        Status.CALC,
        "the model's process cannot be started: <file>: this file differs from the one that the permit binds;"
        " its process is started again",
        derived="they are verified before the model is loaded",
    ),
    "key gone": _invalid(
        "the key of its permit is taken out, or expired before it was issued", Status.DISABLE, "<why>", FOLLOWED
    ),
    "retired": _invalid("the version is retired", Status.DISABLE, "<retired by whom, when, why>", FOLLOWED),
    "unreachable": Situation(
        "the ledger does not answer, or the registry: the champion goes on, and `REASON` says so",
        MODELS,
        Severity.NO_ALARM,
        Status.NO_ALARM,
        "",
    ),
    "frozen": Situation("promotions are frozen: the champion goes on", MODELS, Severity.NO_ALARM, Status.NO_ALARM, ""),
    "restart": _invalid(
        "the service starts again: until the first answer, whatever was shown or held before",
        Status.UDF,
        "<the model is being loaded, or what has sent nothing yet>",
        "the start",
    ),
    "overload": Situation(
        "more arrives than the model can answer: what waits for half a second is passed over; `DROPPED` counts it",
        MODELS,
        Severity.NO_ALARM,
        Status.NO_ALARM,
        "",
    ),
}


@pytest.fixture
def truth(request: pytest.FixtureRequest) -> Situation:
    """The row that the test's mark `truth` names."""
    mark = request.node.get_closest_marker("truth")
    return SITUATIONS[mark.args[0]]


def truth_case(situation: str, *values: Any, measured: bool = False) -> Any:
    """A row of a parametrised test with the mark `truth`; `measured`: the test asserts `within`."""
    return pytest.param(*values, id=situation, marks=pytest.mark.truth(situation, measured=measured))
