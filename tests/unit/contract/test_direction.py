"""Every key of the contract says whether a change of it asks less: none is forgotten, as score_tolerance once was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from beampermit.contract import Contract
from beampermit.contract.direction import Loosens, declared, direction, model_in
from beampermit.contract.part import Part


def undeclared(model: type[BaseModel], seen: frozenset[type[BaseModel]] = frozenset()) -> Iterator[str]:
    for name, field in model.model_fields.items():
        below = model_in(field.annotation)
        if below is None and declared(field) is None:
            yield f"{model.__name__}.{name}"
        if below and below not in seen:
            yield from undeclared(below, seen | {model})


def test_every_key_of_the_contract_declares_its_direction() -> None:
    assert list(undeclared(Contract)) == []


def test_a_key_without_a_direction_is_found() -> None:
    class Inner(Part):
        tolerance: float

    class Outer(Part):
        inner: tuple[Inner, ...] = ()

    assert list(undeclared(Outer)) == ["Inner.tolerance"]


@pytest.mark.parametrize(
    ("path", "loosens"),
    [
        ("signals outputs score score_tolerance", Loosens.WHEN_LARGER),
        ("metrics gate gate", Loosens.WHEN_WORSE),
        ("metrics auc subgroups plane gate", Loosens.WHEN_WORSE),
        ("dataset splits test", Loosens.WHEN_CHANGED),
        ("signals inputs turns resolution", Loosens.WHEN_CHANGED),
        ("dataset request options range", Loosens.NEVER),
        ("tests gpu", Loosens.NEVER),
        ("operations alarms 0 action", Loosens.INFORMS),
    ],
)
def test_the_direction_of_a_key_is_found_by_its_path(path: str, loosens: Loosens) -> None:
    assert direction(Contract, path.split()).loosens is loosens
