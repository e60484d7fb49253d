"""`metrics/limits.json`: what a window of the service is compared with, made by the pipeline from the reference split.

Beside it may lie `calibration.json`, limits that `beampermit backtest` found in recorded data. It is no output of the
pipeline, so that a pull request may change a limit without training anything; its limits replace those of the same
check and subject.
"""

from __future__ import annotations

from collections.abc import KeysView
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from beampermit.contract import Contract
from beampermit.digest import digest_json
from beampermit.errors import BadInput
from beampermit.reading import first_fault, parse_json, read_json
from beampermit.record import Count, Digest, Number, Record, Text
from beampermit.verdicts.evidence import AlarmRate, Moment

Positive = Annotated[float, Field(strict=True, gt=0)]
NotNegative = Annotated[float, Field(strict=True, ge=0)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
LARGEST = 64 * 2**20
"""Bytes of a file of limits."""


class Distribution(Record):
    """Of one number: bins and the population stability index from them."""

    edges: tuple[Number, ...] = Field(min_length=1)
    """Between the bins, rising."""
    shares: tuple[Annotated[float, Field(strict=True, gt=0, lt=1)], ...]
    """Of the reference in each bin."""
    usual: Annotated[float, Field(strict=True, ge=0)]
    """Of a window of the reference compared with the rest of it."""
    limit: Positive

    @model_validator(mode="after")
    def _consistent(self) -> Distribution:
        if sorted({*self.edges}) != list(self.edges):
            raise ValueError("edges do not rise")
        if len(self.shares) != len(self.edges) + 1 or abs(sum(self.shares) - 1) > 1e-6:
            raise ValueError("shares are not one for each bin, with the sum 1")
        return self


class ShareLimit(Record):
    """Of a share of rows."""

    usual: Share
    limit: Annotated[float, Field(strict=True, gt=0, le=1)]


class Amount(Record):
    """Of a mean over rows."""

    usual: Annotated[float, Field(strict=True, ge=0)]
    limit: Positive


class InputLimits(Record):
    """Of one input."""

    numbers: dict[str, Distribution | None]
    """A scalar itself; of an array `NAME.mean`, `.std`, `.span`, `.step`. None where the reference has no value."""
    missing: ShareLimit
    outside: ShareLimit
    """Rows outside of `expected`, or of `range` where there is none."""


class OutputLimits(Record):
    """Of one output."""

    numbers: dict[str, Distribution | None]
    flagged: ShareLimit | None
    """Rows at an alarm limit or beyond; None without any."""
    error: Amount | None
    """Mean distance from the truth, in the output's unit; None without numbers as truth."""


class Together(Amount):
    """All inputs together: mean squared Mahalanobis distance of rows on the main components of the reference."""

    centre: tuple[Number, ...]
    scale: tuple[Annotated[float, Field(strict=True, ge=0)], ...]
    """0 for a column that does not vary in the reference, and is left out."""
    components: tuple[tuple[Number, ...], ...] = Field(min_length=1)
    variances: tuple[Positive, ...]
    rest: Annotated[float, Field(strict=True, ge=0)]
    """Variance that the components leave; 0 where they leave none."""

    @model_validator(mode="after")
    def _consistent(self) -> Together:
        if {len(self.scale), *map(len, self.components)} != {len(self.centre)}:
            raise ValueError("centre, scale and components do not have the same columns")
        if len(self.variances) != len(self.components):
            raise ValueError("there is not one variance for each component")
        return self


class Limits(Record):
    """The file of limits."""

    format: Literal[1]
    split: Text
    """The reference."""
    rows: Count
    window: Annotated[int, Field(strict=True, gt=0)]
    """Rows of the windows of the reference that the limits come from; fewer rows have wider limits."""
    inputs: dict[str, InputLimits]
    together: Together | None
    """None for fewer rows than say anything."""
    outputs: dict[str, OutputLimits]

    calibrated: dict[str, Positive] = Field(default={}, exclude=True)
    """Check and subject, such as `MON001 charge` -> the limit that recorded data gave. In `calibration.json` only."""
    calibrated_usual: dict[str, NotNegative] = Field(default={}, exclude=True)
    """Of some of these, what was usual in the recorded data."""
    calibration: Calibration | None = Field(default=None, exclude=True)
    """The file that these are from."""

    @model_validator(mode="after")
    def _each_number_is_of_its_signal(self) -> Limits:
        from beampermit.monitoring.reference import OF_ARRAY

        for name, of in (*self.inputs.items(), *self.outputs.items()):
            own = (name, *(f"{name}.{what}" for what in OF_ARRAY))
            if others := [number for number in of.numbers if number not in own]:
                raise ValueError(f"{others[0]} is not monitored of {name}")
        return self

    @cached_property
    def parts(self) -> dict[str, Distribution | ShareLimit | Amount]:
        """Check and subject of each limit that is here -> what of the file has it."""
        found: dict[str, Distribution | ShareLimit | Amount | None] = {}
        for of in self.inputs.values():
            found |= {f"MON001 {number}": one for number, one in of.numbers.items()}
        found["MON002"] = self.together
        for name, of in self.inputs.items():
            found |= {f"MON003 {name}.missing": of.missing, f"MON003 {name}.outside": of.outside}
        for name, of in self.outputs.items():
            found |= {f"MON004 {number}": one for number, one in of.numbers.items()}
            found |= {f"MON004 {name}.flagged": of.flagged, f"MON007 {name}": of.error}
        return {key: one for key, one in found.items() if one is not None}

    @property
    def keys(self) -> KeysView[str]:
        """Check and subject of each limit that is here, and that a calibration may replace."""
        return self.parts.keys()

    def limit(self, key: str) -> float:
        """Of a check and subject of `keys`, as it is calibrated, or else as the reference gives it."""
        return self.calibrated[key] if key in self.calibrated else self.given(key)

    def usual(self, key: str) -> float:
        """Of sound windows: in the recorded data that its limit is from, or else in the reference."""
        return self.calibrated_usual[key] if key in self.calibrated_usual else self.parts[key].usual

    @property
    def digest(self) -> str:
        """Of all limits as they count, and of where their alarms are cleared."""
        usual = {f"usual {key}": value for key, value in self.calibrated_usual.items()}
        return digest_json({key: self.limit(key) for key in self.keys} | usual)

    def given(self, key: str) -> float:
        """As the reference gives it. Raises `KeyError`."""
        return self.parts[key].limit


class Alarms(Record):
    """Alarms of the recorded data, by the limits before and by these."""

    weeks: Annotated[float, Field(strict=True, gt=0)]
    """That were judged."""
    of_inputs: bool = False
    """Whether these are alarms of inputs alone."""
    before: AlarmRate
    after: AlarmRate
    limits_before: Digest
    limits_after: Digest
    """Of all limits: whether they are still those that the alarms were counted with."""


class Calibration(Record):
    """`calibration.json`: limits from recorded data, and what they are expected to do."""

    format: Literal[1]
    since: Moment
    until: Moment
    """Of the recorded data."""
    data: Digest | None = None
    """Of the table that was judged, or of the files of the log together; None where a person or a monitor wrote the
    limits.
    """
    windows: Count
    alarms_per_week: Annotated[float, Field(strict=True, ge=0)]
    """Expected of all checks together with these limits."""
    limits: dict[str, Positive]
    """Check and subject, such as `MON001 charge` -> its limit in a window as it is served, of however many rows."""
    usual: dict[str, NotNegative] = Field(default={})
    """Of these, the median in the recorded data: an alarm is cleared on the way from the limit to there. Where absent,
    what was usual in the reference."""
    alarms: Alarms | None = None
    """None where the limits were written by hand."""

    @model_validator(mode="after")
    def _usual_is_below_the_limit(self) -> Calibration:
        for key, usual in self.usual.items():
            if usual > self.limits.get(key, -1.0):
                raise ValueError(f"usual: {key} is {usual:g}, and not below a limit of it here")
        return self


def read_limits(root: Path, contract: Contract) -> Limits:
    """The limits of a project, with its calibration where there is one. Raises `BadInput`."""
    hint = "dvc repro evaluate"
    limits = parse_limits(read_json(root / contract.monitoring.limits, limit=LARGEST), contract.monitoring.limits, hint)
    path = root / contract.monitoring.calibration
    if not path.exists():
        return limits
    return calibrated(limits, parse_calibration(path.read_bytes(), contract.monitoring.calibration), path)


def limits_of_bytes(content: bytes, calibration: bytes | None, contract: Contract) -> Limits:
    """As `read_limits`, of files as git has them."""
    name, other = contract.monitoring.limits, contract.monitoring.calibration
    limits = parse_limits(parse_json(content, name), name)
    return limits if calibration is None else calibrated(limits, parse_calibration(calibration, other), other)


def parse_limits(content: object, name: str, hint: str = "") -> Limits:
    """Raises `BadInput` with what is wrong first."""
    if isinstance(content, dict) and (wrong := sorted({"calibrated", "calibrated_usual", "calibration"} & {*content})):
        raise BadInput(f"{wrong[0]}: this key is not of a file of limits", file=name, hint=hint)
    try:
        return Limits.model_validate(content)
    except ValidationError as error:
        raise BadInput(first_fault(error), file=name, hint=hint) from None


def parse_calibration(content: bytes, name: str) -> Calibration:
    try:
        return Calibration.model_validate(parse_json(content, name))
    except ValidationError as error:
        raise BadInput(first_fault(error), file=name) from None


def calibrated(limits: Limits, calibration: Calibration, name: Path | str) -> Limits:
    """The limits with those of a calibration in place of their own. Raises `BadInput` for one of something else."""
    if unknown := sorted({*calibration.limits} - {*limits.keys}):
        raise BadInput(
            f"limits: {unknown[0]!r} is no check and subject of the limits of the reference",
            file=name,
            hint="run `beampermit backtest LOG --false-alarms 1 --write`, or delete the file if inputs changed",
        )
    found = {"calibrated": dict(calibration.limits), "calibrated_usual": dict(calibration.usual)}
    return limits.model_copy(update={**found, "calibration": calibration})
