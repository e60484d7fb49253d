"""Where inputs come from is found by its name, in any installed package."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from beampermit.errors import BadInput
from beampermit.live import source
from beampermit.live.epics.inputs import EpicsInputs
from beampermit.live.source import GROUP, load_source


class Acnet:
    """A source of a laboratory's package."""


def test_pvs_are_the_usual_source() -> None:
    assert isinstance(load_source("epics"), EpicsInputs)


def test_a_package_of_the_laboratory_adds_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "entry_points", lambda group: [EntryPoint("acnet", f"{__name__}:Acnet", group)])
    monkeypatch.setattr(EntryPoint, "load", lambda point: Acnet)
    assert isinstance(load_source("acnet"), Acnet)


@pytest.mark.parametrize(
    ("name", "message"),
    [("epcis", "there is no source 'epcis'; did you mean 'epics'"), ("doocs", "installed are epics, gone")],
)
def test_a_source_that_is_not_installed_is_refused_with_those_that_are(
    monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    points = [EntryPoint("epics", "a:B", GROUP), EntryPoint("gone", "lab_that_is_gone:Gone", GROUP)]
    monkeypatch.setattr(source, "entry_points", lambda group: points)
    with pytest.raises(BadInput) as refused:
        load_source(name)
    assert message in refused.value.message
    with pytest.raises(BadInput, match=r"the source 'gone' \(lab_that_is_gone:Gone\) cannot be loaded: No module"):
        load_source("gone")
