"""The parts of a new project that follow from a LUME model: its contract, its network, its weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from beampermit.contract import FILE_NAME
from beampermit.errors import Problem
from beampermit.files import write_bytes, write_text
from beampermit.generation.drafting import Draft, DraftMetric, DraftSignal, contract_text, widened
from beampermit.generation.from_table.project import slug_of
from beampermit.generation.lume import LumeModel, Variable, load_lume
from beampermit.generation.lume_mapping import PvMapping, Source, load_mapping
from beampermit.generation.lume_weights import SAMPLES, Imported, convert
from beampermit.processes import scratch_folder
from beampermit.progress import Progress, silent
from beampermit.record import Record

EXAMPLE = "lume"
IMPORTED = "imported"
WEIGHTS = f"{IMPORTED}/weights.safetensors"
ROWS = 4000
STALE = "5s"
AROUND = 0.1
"""How far, relative to its size, the range of a constant goes beyond it: a contract wants one."""
MARGIN = 0.5
"""How far, relative to their span, the range of an output goes beyond the model's answers within the inputs' ranges."""
GATE = 0.99


class LumeProject(Record):
    """Everything that was read and converted, before a project is there."""

    model: LumeModel
    mapping: PvMapping | None
    imported: Imported
    files: dict[str, bytes]
    """Path in the project -> content."""

    @property
    def defaults(self) -> dict[str, str]:
        """Answers to the template's questions, where nobody gives others."""
        shown = self.model.outputs[0].name if len(self.model.outputs) == 1 else f"{len(self.model.outputs)} outputs"
        summary = f"TODO what the model tells, in one sentence for operators; {shown} from LUME"[:200]
        return {"project_slug": slug_of(self.model.file.resolve().parent), "summary": summary}

    @property
    def left_out(self) -> tuple[Problem, ...]:
        """What contradicts itself in the files of LUME, and is not in the contract."""
        return (*self.model.left_out, *(self.mapping.left_out if self.mapping else ()))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of the import, in a line each."""
        left_out = [f"{problem}; left out" for problem in self.left_out]
        compared, difference = self.imported.network.compared, self.imported.network.difference
        if difference is None:
            return (*left_out, "The weights were saved without layers, so there was no model to compare answers with.")
        what = " and ".join(compared)
        return (
            *left_out,
            f"{SAMPLES} answers of the saved {what} are the same to {difference:.1g} of the largest.",
        )

    def fill(self, project: Path, answers: Mapping[str, str]) -> None:
        """Write what follows from the LUME model into a project that was made from the template."""
        for name, content in self.files.items():
            write_bytes(project / name, content)
        code = project / "src" / answers["package_name"]
        write_text(code / "network.py", self.imported.network.network)
        write_text(project / FILE_NAME, contract_text(draft(self), answers))


def prepare(
    config: Path, mapping: Path | None, python: Path | None, network: Path | None, progress: Progress = silent
) -> LumeProject:
    """Read a LUME configuration and convert its weights with `python`, before anything is generated.

    Raises as `load_lume`, `load_mapping` and `convert` do.
    """
    model = load_lume(config)
    pvs = load_mapping(mapping, model) if mapping else None
    with scratch_folder() as scratch:
        progress("converting the weights")
        imported = convert(model, scratch, python, network)
        files = {f"{IMPORTED}/{path.name}": path.read_bytes() for path in sorted(scratch.iterdir())}
    files[f"{IMPORTED}/model_config.yaml"] = config.read_bytes()
    if mapping:
        files[f"{IMPORTED}/pv_mapping.yaml"] = mapping.read_bytes()
    return LumeProject(model=model, mapping=pvs, imported=imported, files=files)


def draft(found: LumeProject) -> Draft:
    """The contract's signals, with what only a person knows marked TODO."""
    model, spans = found.model, found.imported.spans
    inputs = tuple(_input(variable, found.mapping) for variable in model.inputs)
    outputs = tuple(_output(variable, span, found.mapping) for variable, span in zip(model.outputs, spans, strict=True))
    return Draft(
        kind=f"A network imported from {model.file.name} of LUME; docs/model.md says what was taken over.",
        inputs=inputs,
        outputs=outputs,
        metrics=tuple(metric for output in outputs for metric in _metrics(output, len(outputs))),
        source="imported-model",
        options={"rows": ROWS, "seed": 1},
        key=("sample",),
        by=("sample",),
        remarks=tuple(_remarks(found)),
        output_remarks=tuple(_output_remarks(found)),
        gate_remarks=(
            "Until recorded data take their place, the targets are the imported model's own answers: metrics say that"
            " nothing was lost, not how good the model is. TODO gates for recorded data (docs/model.md).",
        ),
        collected="Inputs drawn within their ranges; targets are the imported model's own answers. No recorded data.",
        in_git=((WEIGHTS, "The weights of the imported model, from which training starts."),),
    )


def _input(variable: Variable, mapping: PvMapping | None) -> DraftSignal:
    source = (mapping.inputs.get(variable.name) if mapping else None) or Source()
    value = variable.default if variable.constant else source.value
    common: dict[str, Any] = {"name": variable.slug, "unit": variable.unit or "1"}
    if value is not None:
        room = AROUND * (abs(value) or 1.0)
        span = variable.span or (value - room, value + room)
        return DraftSignal(**common, source="constant", value=value, range=span, description=variable.name)
    if variable.span is None:
        raise AssertionError("an input that is not constant has a range")
    common |= {"range": variable.span, "default": variable.default}
    if source.formula:
        description = f"{variable.name}: {source.formula}, of the PVs {', '.join(source.symbols)}"
        return DraftSignal(**common, source="derived", description=description)
    pv = source.pv or variable.name
    return DraftSignal(**common, source="pv", pv=pv, stale_after=STALE, description=variable.name)


def _output(variable: Variable, answers: tuple[float, float], mapping: PvMapping | None) -> DraftSignal:
    shown = mapping.outputs.get(variable.name) if mapping else None
    return DraftSignal(
        name=variable.slug,
        source="pv",
        pv=shown or variable.name,
        unit=variable.unit or "1",
        range=variable.span or widened(*answers, MARGIN),
        default=variable.default,
        tolerance="0.1%",
        target=variable.slug,
        description=variable.name,
    )


def _metrics(output: DraftSignal, outputs: int) -> Iterator[DraftMetric]:
    prefix = "" if outputs == 1 else f"{output.name[:58]}-"
    yield DraftMetric(
        name=f"{prefix}r2",
        measure="r2",
        output=output.name,
        gate=GATE,
        tolerance="0.1%",
        seed_tolerance="1%",
        description=f"Fraction of the variance of {output.name} that the model explains",
    )


def _remarks(found: LumeProject) -> Iterator[str]:
    model = found.model
    yield f"From {model.file.name}, in the order of the network's inputs; the description is the name that LUME has."
    if without := [variable.slug for variable in model.inputs if not variable.unit]:
        yield f"TODO units, which the configuration does not have: {', '.join(without)}."
    pvs = [] if found.mapping else [v.slug for v in model.inputs if not v.constant and not v.looks_like_pv]
    if pvs:
        yield f"TODO PVs: these names look like none, and there was no mapping: {', '.join(pvs)}."
    if any(source.formula for source in (found.mapping.inputs.values() if found.mapping else ())):
        yield "TODO what derives the inputs that a formula of several PVs makes: the service has to be given them."
    for problem in found.left_out:
        yield f"Left out: {Path(problem.file or '').name}:{problem.line}: {problem.message}"


def _output_remarks(found: LumeProject) -> Iterator[str]:
    outputs = found.model.outputs
    if without := [variable.slug for variable in outputs if not variable.unit]:
        yield f"TODO units, which the configuration does not have: {', '.join(without)}."
    if without := [variable.slug for variable in outputs if not variable.span]:
        names = ", ".join(without)
        yield f"TODO physical ranges: those of {names} are the model's answers within the inputs' ranges, half wider."
    shown = found.mapping.outputs if found.mapping else {}
    if without := [v.slug for v in outputs if v.name not in shown and not v.looks_like_pv]:
        yield f"TODO PVs that show {', '.join(without)}."
