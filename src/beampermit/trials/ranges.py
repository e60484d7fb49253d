"""What is tried of one parameter: ends and choices that sampler, storage and worker all take."""

from __future__ import annotations

import json
import math
from typing import Any

MOST = 2**53
"""Of whole numbers that are drawn: samplers reckon with floats, which have no others above."""
LEAST_CHOICE, MOST_CHOICE = -(2**63), 2**64 - 1
"""Whole numbers that a trial's result may repeat."""
WIDEST = 60
"""Characters of a value in a message."""


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")


class Fault(ValueError):
    """A fault at a place below `trials`."""

    def __init__(self, message: str, *place: str | int):
        super().__init__(message)
        self.message, self.place = message, place


def shown(value: Any) -> str:
    """A value in a message; one may have thousands of digits."""
    try:
        text = repr(value)
    except ValueError:
        return "a number of thousands of digits"
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 3]}..."


def check_range(kind: str, body: dict[str, Any], value: Any) -> None:
    ends, log, step = body[kind], body.get("log", False), body.get("step")
    if not isinstance(ends, list) or len(ends) != 2 or not all(map(is_number, ends)):
        raise Fault(f"{kind} is the lowest and the highest value, such as [1, 10], and is {shown(ends)}", kind)
    if not isinstance(log, bool):
        raise Fault(f"log is true or false, and is {shown(log)}", "log")
    if not is_number(value):
        raise Fault(f"is {shown(value)} in params.yaml, which is no number", kind)
    if kind == "int" and not all(isinstance(one, int) for one in (*ends, value, step or 1)):
        raise Fault("int takes whole numbers, in params.yaml as well; for others, float", kind)
    low, high = ends
    if kind == "int" and not -MOST <= low <= high <= MOST and low <= high:
        raise Fault(f"whole numbers are from -2**53 to 2**53, and this is {shown(ends)}", kind)
    if kind == "float" and not _has_width(low, high):
        raise Fault(f"the range is wider than the largest number, 1.8e308: {shown(ends)}", kind)
    if low >= high:
        raise Fault(f"the range {low} to {high} is empty", kind)
    if step is not None and (not is_number(step) or step <= 0 or step > high - low):
        raise Fault(f"step is a number above 0 and at most {high - low}, and is {shown(step)}", "step")
    if step is not None and (high - low) / step > MOST:
        raise Fault(f"with a step of {step} there are more values than a number can count", "step")
    if log and step is not None:
        raise Fault("log and step exclude each other", "step")
    if log and low <= 0:
        raise Fault(f"with log, the lowest value is above 0, and it is {low}", kind)


def check_choices(kind: str, body: dict[str, Any], value: Any) -> None:
    choices = body[kind]
    if not isinstance(choices, list) or len(choices) < 2:
        raise Fault(f"{kind} is a list of two or more, and is {shown(choices)}", kind)
    if fault := _odd(choices):
        raise Fault(fault, kind)
    if len({repr(choice) for choice in choices}) < len(choices):
        raise Fault(f"{kind} has one of its values twice", kind)
    at_least = body.get("at_least", 1)
    if kind == "subset":
        if not all(isinstance(choice, str) for choice in choices):
            raise Fault("a subset is of texts", kind)
        if not isinstance(value, list):
            raise Fault(f"is {shown(value)} in params.yaml, which is no list", kind)
        if type(at_least) is not int or not 0 <= at_least < len(choices):
            raise Fault(f"at_least is from 0 to {len(choices) - 1}, and is {shown(at_least)}", "at_least")


def _has_width(low: float, high: float) -> bool:
    try:
        return math.isfinite(float(high) - float(low))
    except OverflowError:
        return False


def _odd(choice: Any) -> str:
    """Why a value cannot be a choice: it would not come back from a trial as it went."""
    if isinstance(choice, dict):
        return next(filter(None, map(_odd, (*choice, *choice.values()))), "")
    if isinstance(choice, list):
        return next(filter(None, map(_odd, choice)), "")
    if isinstance(choice, float) and not math.isfinite(choice):
        return f"{choice} is no number that a trial can be given"
    if isinstance(choice, int) and not LEAST_CHOICE <= choice <= MOST_CHOICE:
        return f"whole numbers are from -2**63 to 2**64-1, and this is {shown(choice)}"
    if isinstance(choice, str) and any("\ud800" <= letter <= "\udfff" for letter in choice):
        return f"{json.dumps(choice)[:WIDEST]} has half of a character (a lone surrogate)"
    return ""
