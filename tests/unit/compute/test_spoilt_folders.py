"""Units that put something else in the place of their files, or of their folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from beampermit.compute.collect import perform_all
from beampermit.compute.local import Local
from beampermit.compute.resources import Resources
from beampermit.compute.unit import CLAIM, OWN, Unit
from beampermit.files import remove

Make = Callable[..., Unit]


@pytest.mark.slow
@pytest.mark.parametrize("again", [False, True])
def test_a_folder_in_the_place_of_a_file_fails_its_unit_alone(
    unit_of: Make, work: Path, tmp_path: Path, again: bool
) -> None:
    target = tmp_path / "outside"
    target.mkdir()
    (target / "kept").touch()
    names = sorted(OWN)
    units = [unit_of(x, planted=[name], target=str(target)) for x, name in enumerate(names)]
    with Local(Resources(at_once=1)) as executor:
        if again:
            assert len([*perform_all(iter(units), executor, work)]) == len(names)
        found = [*perform_all(iter([*units, unit_of(20)]), executor, work)]
    assert found[-1].result == {"x": 400}
    for name, ended in zip(names, found, strict=False):
        if name == CLAIM:  # the submitter's own, which no worker reads
            assert ended.result is not None
        else:
            assert f"{name}: " in ended.reason
            assert "no plain file" in ended.reason
    assert (target / "kept").exists()


@pytest.mark.slow
def test_a_unit_that_puts_a_link_in_the_place_of_its_folder_fails_alone(
    unit_of: Make, work: Path, tmp_path: Path
) -> None:
    target = tmp_path / "outside"
    target.mkdir()
    (target / "result.json").touch()
    units = [unit_of(1, replaced=str(target)), unit_of(2)]
    folder = units[0].folder(work)
    for _ in range(2):
        with Local(Resources(at_once=1)) as executor:
            first, second = perform_all(iter(units), executor, work)
        assert (first.result, second.result) == (None, {"x": 4})
        assert folder.is_symlink()
        remove(folder.with_name(f"{folder.name}.gone"))
    assert (target / "result.json").exists()
    folder.unlink()
    folder.touch()
    with Local(Resources(at_once=1)) as executor:
        (again,) = perform_all(iter([replace(units[0], label="again")]), executor, work)
    assert again.result is None
    assert folder.is_symlink()
