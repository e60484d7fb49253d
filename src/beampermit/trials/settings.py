"""Section `trials` of params.yaml, validated: each fault has its file and line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from beampermit.compute.unit import MODULE
from beampermit.contract import Contract
from beampermit.digest import digest_json
from beampermit.errors import BadInput, Problem, did_you_mean
from beampermit.reading import parse_yaml
from beampermit.trials.ranges import MOST, Fault, check_choices, check_range, is_number, shown
from beampermit.trials.records import LOSS, Direction, Objective
from beampermit.trials.space import KEYS, KINDS, CycleError, Kind, Parameter, Space

FILE = "params.yaml"
SECTION = "trials"
SAMPLERS: dict[str, dict[str, type]] = {
    "tpe": {"startup": int, "multivariate": bool},
    "cmaes": {"startup": int, "sigma": float},
    "random": {},
    "grid": {},
}
PRUNERS: dict[str, dict[str, type]] = {
    "none": {},
    "median": {"startup": int, "warmup": int, "interval": int},
    "hyperband": {"min": int, "max": int, "factor": int},
}
"""Name -> options and their types."""
LEAST = {"interval": 1, "min": 1, "max": 1, "factor": 2}
"""Of options; of others 0."""
LONGEST_MODULE = 200
KNOWN = ("space", "objectives", "sampler", "pruner", "seed", "stage", "module")
MOST_POINTS = 100_000
"""Of a grid."""


@dataclass(frozen=True)
class Choice:
    """A sampler or a pruner, with its options."""

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return ", ".join([self.kind, *(f"{name} {value}" for name, value in self.options.items())])


@dataclass(frozen=True)
class Settings:
    """The whole section."""

    space: Space
    written: dict[str, Any]
    """`space` as it is written."""
    objectives: tuple[Objective, ...]
    sampler: Choice
    pruner: Choice
    seed: int
    stage: str
    """The stage of dvc.yaml that trains, whose parameters may be searched."""
    module: str | None
    """What runs a trial; None for that of the template."""
    params: dict[str, Any]
    """The other sections of params.yaml."""
    lines: Mapping[str, int]
    """Line of each parameter of the space."""

    @property
    def space_digest(self) -> str:
        """Of space and objectives: values of another loss cannot be compared."""
        return digest_json({"space": self.written, "objectives": [one.model_dump() for one in self.objectives]})


def read_settings(text: str, contract: Contract, metrics: Sequence[str] = ()) -> Settings:
    """The section of params.yaml, given as its text; `metrics` are further names that objectives may have.

    Raises `BadInput` with every fault.
    """
    tree = parse_yaml(text, FILE, lines=True, aliases=True)
    content = plain(tree)
    if not isinstance(content, dict) or SECTION not in content:
        raise BadInput(
            f"there is no section {SECTION}, which says what is tried", file=FILE, hint="see docs/trials.md: the space"
        )
    return _Reader(tree, content, contract, metrics).settings()


def parameters_of(written: Mapping[str, Any]) -> dict[str, Parameter]:
    """Of a space as a study has it, which was valid when it was made."""
    found: dict[str, Parameter] = {}
    for path, body in written.items():
        kind: Kind = next(kind for kind in KINDS if kind in body)
        conditions = body.get("when") or {}
        when = {key: tuple(value) if isinstance(value, list) else (value,) for key, value in conditions.items()}
        if kind in ("float", "int"):
            low, high = body[kind]
            found[path] = Parameter(path, kind, low, high, bool(body.get("log")), body.get("step"), when=when)
        else:
            found[path] = Parameter(path, kind, choices=tuple(body[kind]), at_least=body.get("at_least", 1), when=when)
    return found


def plain(node: Any) -> Any:
    """Of ruamel's values, which know their places, Python's own."""
    if isinstance(node, Mapping):
        return {str(key): plain(value) for key, value in node.items()}
    if isinstance(node, Sequence) and not isinstance(node, str):
        return [plain(value) for value in node]
    if isinstance(node, bool) or node is None:
        return node
    kind = next((kind for kind in (int, float) if isinstance(node, kind)), str)
    return kind(node)


def value_at(params: Mapping[str, Any], path: str) -> Any:
    """The value of a parameter. Raises `KeyError`."""
    node: Any = params
    for part in path.split("."):
        if not isinstance(node, Mapping):
            raise KeyError(path)
        node = node[part]
    return node


def paths_of(params: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """The paths of all values that are no mapping."""
    for key, value in params.items():
        path = f"{above}{key}"
        if isinstance(value, Mapping) and value:
            yield from paths_of(value, f"{path}.")
        else:
            yield path


class _Reader:
    def __init__(self, tree: Any, content: dict[str, Any], contract: Contract, metrics: Sequence[str]):
        self.tree = tree[SECTION]
        self.first = tree.lc.key(SECTION)[0] + 1
        section = content[SECTION]
        self.section: dict[str, Any] = section if isinstance(section, dict) else {}
        self.whole = section
        self.params = {name: value for name, value in content.items() if name != SECTION}
        self.contract = contract
        self.metrics = tuple(dict.fromkeys([LOSS, *(metric.name for metric in contract.metrics), *metrics]))
        self.faults: list[Fault] = []

    def settings(self) -> Settings:
        if not isinstance(self.whole, dict):
            raise BadInput(f"{SECTION} is a mapping of keys to values", file=FILE, line=self.first)
        for key in self.section.keys() - set(KNOWN):
            self.faults.append(Fault(f"unknown key {key!r}{did_you_mean(key, KNOWN)}", key))
        parameters = self._parameters()
        space = self._space(parameters)
        objectives = self._objectives()
        sampler = self._choice("sampler", SAMPLERS, "tpe")
        pruner = self._choice("pruner", PRUNERS, "none")
        seed = self._plain("seed", 0, int)
        stage, module = self._plain("stage", "train", str), self._plain("module", "", str)
        if module and (len(module) > LONGEST_MODULE or not MODULE.fullmatch(module)):
            self.faults.append(
                Fault(f"is a name of a Python module, such as lab.trial, and is {shown(module)}", "module")
            )
        if not self.faults:
            self.faults += list(_unfit(space, objectives, sampler, pruner, module))
        if self.faults:
            self._raise()
        lines = {path: self._line(("space", path)) for path in parameters}
        written = self.section["space"]
        return Settings(
            space, written, objectives, sampler, pruner, seed, stage, module or None, self.params, lines
        )  # fmt: skip

    def _parameters(self) -> dict[str, Parameter]:
        written = self.section.get("space")
        if not isinstance(written, dict) or not written:
            self.faults.append(Fault("names what is tried of which parameters, and is empty", "space"))
            return {}
        found: dict[str, Parameter] = {}
        for path, body in written.items():
            try:
                found[path] = self._parameter(path, body)
            except Fault as fault:
                self.faults.append(Fault(fault.message, "space", path, *fault.place))
        for path in found:
            if around := next((one for one in found if path.startswith(f"{one}.")), None):
                self.faults.append(Fault(f"is a part of {around}, which is tried as well", "space", path))
        return found

    def _parameter(self, path: str, body: Any) -> Parameter:
        try:
            value = value_at(self.params, path)
        except KeyError:
            known = did_you_mean(path, paths_of(self.params))
            raise Fault(f"params.yaml has no parameter {path}{known}") from None
        if not isinstance(body, dict):
            raise Fault(f"says what is tried, such as {{float: [0.001, 0.1], log: true}}, and is {shown(body)}")
        kinds: list[Kind] = [kind for kind in KINDS if kind in body]
        if len(kinds) != 1:
            unknown = next((key for key in body if key not in {*KINDS, "log", "step", "when", "at_least"}), None)
            more = f", not {unknown!r}{did_you_mean(unknown, KINDS)}" if unknown else ""
            raise Fault(f"one of {', '.join(KINDS)} is needed{more}")
        kind = kinds[0]
        for key in body.keys() - {kind, *KEYS[kind]}:
            raise Fault(f"unknown key {key!r} of {kind}{did_you_mean(key, KEYS[kind])}", key)
        when = body.get("when", {"": ""})
        if not isinstance(when, dict) or not when:
            raise Fault("when names another parameter and its values, such as {train.kind: mlp}", "when")
        for other in (other for other, values in when.items() if values == []):
            raise Fault("without a value, this is never tried", "when", other)
        (check_range if kind in ("float", "int") else check_choices)(kind, body, value)
        return parameters_of({path: body})[path]

    def _space(self, parameters: dict[str, Parameter]) -> Space:
        for path, parameter in parameters.items():
            for other, values in (parameter.when or {}).items():
                place = ("space", path, "when", other)
                if other not in parameters:
                    known = did_you_mean(other, parameters)
                    self.faults.append(Fault(f"{other} is not in the space, so it never changes{known}", *place))
                elif parameters[other].kind != "choice":
                    self.faults.append(Fault(f"{other} is no choice, and conditions are on choices", *place))
                elif odd := [one for one in values if repr(one) not in map(repr, parameters[other].choices)]:
                    self.faults.append(Fault(f"{other} is never {odd[0]!r}", *place))
        try:
            return Space(parameters)
        except CycleError as error:
            circle = " -> ".join(map(str, error.args[1]))
            self.faults.append(Fault(f"the conditions are a circle: {circle}", "space"))
            return Space({})

    def _objectives(self) -> tuple[Objective, ...]:
        written = self.section.get("objectives", [LOSS])
        names = [written] if isinstance(written, str) else written
        if not isinstance(names, (list, dict)) or not names:
            self.faults.append(Fault(f"objectives are names of metrics, such as [{LOSS}]", "objectives"))
            return ()
        better = {metric.name: metric.better for metric in self.contract.metrics}
        found: list[Objective] = []
        for name in names:
            direction = names[name] if isinstance(names, dict) else None
            if name in [one.name for one in found]:
                self.faults.append(Fault(f"{name} is there twice", "objectives", name))
            elif not isinstance(name, str) or name not in self.metrics:
                known = did_you_mean(str(name), self.metrics)
                self.faults.append(Fault(f"there is no metric {name!r}{known}", "objectives", name))
            elif direction not in (None, *Direction):
                self.faults.append(Fault(f"is minimize or maximize, and is {shown(direction)}", "objectives", name))
            elif direction is None and name != LOSS and name not in better:
                self.faults.append(Fault(f"{name} needs a direction: {{{name}: maximize}}", "objectives", name))
            else:
                default = Direction.MAXIMIZE if better.get(name) == "higher" else Direction.MINIMIZE
                found.append(Objective(name=name, direction=Direction(direction) if direction else default))
        return tuple(found)

    def _choice(self, key: str, known: dict[str, dict[str, type]], default: str) -> Choice:
        written: Any = self.section.get(key, default)
        body: Any = {"kind": written} if isinstance(written, str) or written is None else written
        kind = (body.get("kind") or "none") if isinstance(body, dict) else body
        if not isinstance(kind, str) or kind not in known:
            guess = did_you_mean(str(kind), known)
            self.faults.append(Fault(f"is one of {', '.join(known)}, and is {shown(kind)}{guess}", key))
            return Choice(default)
        before = len(self.faults)
        options: dict[str, Any] = {name: value for name, value in body.items() if name != "kind"}
        for name, value in options.items():
            wanted = known[kind].get(name)
            if wanted is None:
                guess = did_you_mean(name, known[kind])
                self.faults.append(Fault(f"{kind} has no option {name!r}{guess}", key, name))
            elif wanted is bool and not isinstance(value, bool):
                self.faults.append(Fault(f"is true or false, and is {shown(value)}", key, name))
            elif wanted is not bool and (fault := _off(name, value, wanted)):
                self.faults.append(Fault(fault, key, name))
        if len(self.faults) == before and options.get("max", MOST) < options.get("min", 1):
            self.faults.append(Fault(f"max is {options['max']}, below min", key, "max"))
        return Choice(kind, options)

    def _plain(self, key: str, default: Any, kind: type) -> Any:
        value = self.section.get(key, default)
        if type(value) is not kind or (kind is int and not 0 <= value < 2**32):
            what = "a whole number from 0" if kind is int else "a text"
            self.faults.append(Fault(f"is {what}, and is {shown(value)}", key))
            return default
        return value

    def _line(self, place: Sequence[str | int]) -> int:
        line: int = self.first
        node: Any = self.tree
        for part in place:
            marks: Any = getattr(node, "lc", None)
            try:
                index = node.index(part) if hasattr(node, "append") else part
                line = (marks.item if hasattr(node, "append") else marks.key)(index)[0] + 1
                node = node[index]
            except (AttributeError, KeyError, IndexError, TypeError, ValueError):
                break
        return line

    def _raise(self) -> None:
        def name_of(fault: Fault) -> str:
            return ".".join(map(str, (SECTION, *fault.place)))

        found = [Problem(f"{name_of(fault)}: {fault.message}", FILE, self._line(fault.place)) for fault in self.faults]
        first, *others = sorted(found, key=lambda problem: problem.line or 0)
        raise BadInput(first.message, file=FILE, line=first.line, also=others)


def _off(name: str, value: Any, wanted: type) -> str:
    """What is wrong with the number of an option."""
    what, least = "a whole number" if wanted is int else "a number", LEAST.get(name, 0)
    if not is_number(value) or not least <= value <= MOST or (wanted is int and value != int(value)):
        return f"is {what}, not below {least}, and is {shown(value)}"
    return f"is a number above 0, and is {value}" if name == "sigma" and value == 0 else ""


def _unfit(
    space: Space, objectives: tuple[Objective, ...], sampler: Choice, pruner: Choice, module: str
) -> Iterator[Fault]:
    """What each is fine alone, and together not."""
    if sampler.kind == "grid":
        yield from _no_grid(space)
    if sampler.kind == "cmaes":
        yield from _not_for_cmaes(space)
        if len(objectives) > 1:
            yield Fault("cmaes takes one objective: use tpe", "sampler")
    if pruner.kind == "none":
        return
    if len(objectives) > 1:
        yield Fault("with several objectives nothing is pruned: leave it out", "pruner")
        return
    for objective in objectives:
        if objective.name != LOSS and not module:
            yield Fault(f"a trial says its {LOSS} on the way, and the objective is {objective.name}", "pruner")


def _no_grid(space: Space) -> Iterator[Fault]:
    steps = [one for one in space.parameters if one.kind == "float" and one.step is None]
    for one in steps:
        yield Fault("a grid needs the step of a float, or a choice of values", "space", one.path)
    if not steps and space.most_points > MOST_POINTS:
        yield Fault(f"the grid has {space.most_points} points, {MOST_POINTS} is the limit", "sampler")


def _not_for_cmaes(space: Space) -> Iterator[Fault]:
    for one in space.parameters:
        if one.kind in ("choice", "subset"):
            yield Fault(f"cmaes takes numbers alone, and this is a {one.kind}: use tpe", "space", one.path)
        elif one.when:
            yield Fault("cmaes needs each parameter in each trial, and this has a condition", "space", one.path)
    if len(space.parameters) < 2:
        yield Fault("cmaes needs two parameters or more: use tpe", "sampler")
