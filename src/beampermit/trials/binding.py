"""What a study is bound to: the data, code, lock and parameters that its trials read, and its space."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from beampermit.contract import FILE_NAME as CONTRACT
from beampermit.datasets.repository import Repository, is_below, overlap
from beampermit.datasets.stale_stages import stage_changes
from beampermit.digest import digest_file, digest_json
from beampermit.environments.backend import Lock
from beampermit.environments.choice import backend_of
from beampermit.errors import BadInput, Failed, did_you_mean
from beampermit.models.metrics import read_metrics
from beampermit.project import Project
from beampermit.reading import decode, parse_json, parse_yaml
from beampermit.reproduction.plan import Stages, hidden_from_training, refuse_declared
from beampermit.trials.records import Bound
from beampermit.trials.settings import FILE, Settings, plain, read_settings, value_at

MODULE = "pipeline/trial.py"
"""In a package of the template: what runs a trial."""
DIGITS = 10
"""Of the digest in the name of a study."""


@dataclass(frozen=True)
class Subject:
    """What is searched: a project as it is now, and what a trial of it reads."""

    project: Project
    settings: Settings
    bound: Bound
    module: str
    """Run as `python -m MODULE`."""
    files: tuple[str, ...]
    """Paths of code and of other files in git, the module's and all that it imports among them."""
    data: dict[str, tuple[str, Path]]
    """Path -> md5, and where DVC's cache has it; the rows that judge the model are not among them."""
    sections: tuple[str, ...]
    """Of params.yaml, those that training reads."""
    lock: Lock

    @property
    def name(self) -> str:
        """The study's: another subject has another one."""
        digest = digest_json(self.bound.model_dump()).removeprefix("sha256:")
        return f"{self.project.contract.model.name}-{digest[:DIGITS]}"

    @property
    def tree_digest(self) -> str:
        return digest_json({**self.bound.model_dump(), "space": "", "lock": ""})

    def params(self, chosen: dict[str, Any]) -> dict[str, Any]:
        """The sections of params.yaml that training reads, with the parameters of a trial in their places."""
        import copy

        found = copy.deepcopy({name: self.settings.params[name] for name in self.sections})
        for path, value in chosen.items():
            *above, last = path.split(".")
            node: Any = found
            for part in above:
                node = node[part]
            node[last] = value
        return found


def subject_of(project: Project, *, with_data: bool = True) -> Subject:
    """Raises `BadInput` and `Failed` with what is wrong in params.yaml, dvc.yaml and the code; nothing is run.

    `with_data`: a machine that only writes documents has no data, nor the manifests of their folders.
    """
    contract = project.contract
    file = project.path(FILE)
    if not file.is_file():
        raise BadInput("the file is missing", file=FILE)
    text = decode(file.read_bytes(), FILE)
    settings = read_settings(text, contract, _committed_metrics(project))
    repository = Repository.of(project)
    stages = Stages(repository)
    if settings.stage not in stages.all:
        known = did_you_mean(settings.stage, stages.all)
        raise BadInput(
            f"there is no stage {settings.stage} that trains{known}",
            file="dvc.yaml",
            hint="name it in params.yaml: `trials: {stage: NAME}`",
        )
    judging, raw = hidden_from_training(project.base_contract, contract)
    refuse_declared(stages, {settings.stage}, judging, raw)
    read = dict(_parameters(repository, settings.stage))
    before = stages.with_ancestors({settings.stage}) - {settings.stage}
    _refuse_unread(settings, read, {name: dict(_parameters(repository, name)) for name in before})
    if with_data:
        _refuse_stale(repository, before)
    module, path = _module(project, settings)
    files = tuple(sorted({*_code(project, path), *_declared(project, stages.deps[settings.stage])}))
    data = _data(repository, stages.deps[settings.stage], (*judging, *raw)) if with_data else {}
    lock = backend_of(project.root).read(project.root)
    bound = Bound(
        data={path: md5 for path, (md5, _) in data.items()},
        code=digest_json({"module": module, "files": {path: digest_file(project.path(path)) for path in files}}),
        lock=lock.digest,
        parameters=digest_json(_fixed(project, settings, read)),
        space=settings.space_digest,
    )
    sections = tuple(dict.fromkeys(key.split(".")[0] for key in read.get(FILE) or settings.params))
    return Subject(project, settings, bound, module, files, data, sections, lock)


class OfBound(Protocol):
    """A study, or its summary."""

    @property
    def bound(self) -> Bound: ...


def differences(bound: Bound, study: OfBound) -> list[str]:
    """In what a study differs from what is bound now, for people."""
    texts = [
        f"{name} of another digest"
        for name, other in (("code", study.bound.code), ("lock", study.bound.lock))
        if getattr(bound, name) != other
    ]
    if bound.data != study.bound.data:
        paths = {*bound.data.items()} ^ {*study.bound.data.items()}
        texts.insert(0, f"other data ({', '.join(sorted({path for path, _ in paths})[:3])})")
    if bound.parameters != study.bound.parameters:
        texts.append("other parameters that are not searched")
    if bound.space != study.bound.space:
        texts.append("another space or other objectives")
    return texts


def _committed_metrics(project: Project) -> tuple[str, ...]:
    """Names of what the pipeline measured the last time."""
    try:
        return tuple(read_metrics(project.path(project.contract.evaluation.metrics)))
    except BadInput:
        return ()


def _parameters(repository: Repository, stage: str) -> Iterator[tuple[str, list[str]]]:
    """File -> keys of the parameters that a stage reads; no key where it reads all."""
    from dvc.dependency import ParamsDependency

    found = next(one for one in repository.stages if repository.name(one) == stage)
    for item in found.deps:
        if isinstance(item, ParamsDependency):
            yield repository.relative(item.fs_path), [str(key) for key in item.params or ()]


def _refuse_unread(settings: Settings, read: dict[str, list[str]], before: dict[str, dict[str, list[str]]]) -> None:
    """Raise `BadInput` for a parameter that training does not read, or that the data are made with."""
    if FILE not in read:
        raise BadInput(
            f"stage {settings.stage} has no parameters of params.yaml, so there is nothing to search",
            file="dvc.yaml",
            hint="name them below `params:` of the stage",
        )
    for parameter in settings.space.parameters:
        path, line = parameter.path, settings.lines[parameter.path]
        place = f"trials.space.{path}"
        if not _is_read(path, read[FILE]):
            keys = ", ".join(read[FILE])
            raise BadInput(
                f"{place}: stage {settings.stage} reads {keys} of params.yaml, not this", file=FILE, line=line
            )
        for stage, parameters in before.items():
            if FILE in parameters and _is_read(path, parameters[FILE]):
                raise BadInput(
                    f"{place}: stage {stage} makes the data with it, and no trial runs that", file=FILE, line=line
                )


def _is_read(path: str, keys: list[str]) -> bool:
    return not keys or any(path == key or path.startswith(f"{key}.") or key.startswith(f"{path}.") for key in keys)


def _refuse_stale(repository: Repository, before: set[str]) -> None:
    for change in stage_changes(repository):
        if change.certain and change.stage in before:
            raise Failed(
                f"stage {change.stage}, which makes the data of the trials: {change.what}",
                file=change.file,
                hint=f"dvc repro {change.stage}",
            )


def _module(project: Project, settings: Settings) -> tuple[str, str]:
    """The module that runs a trial, and its file."""
    if settings.module:
        path = f"src/{settings.module.replace('.', '/')}.py"
        if not project.path(path).is_file():
            raise BadInput(f"trials.module: there is no {path}", file=FILE)
        return settings.module, path
    found = sorted(project.path("src").glob(f"*/{MODULE}"))
    if len(found) != 1:
        which = "no package in src has" if not found else "several packages in src have"
        raise BadInput(
            f"{which} {MODULE}, which runs a trial",
            file="src",
            hint="name a module of your own in params.yaml: `trials: {module: NAME}`; docs/trials.md says what it does",
        )
    path = found[0].relative_to(project.root).as_posix()
    return path.removeprefix("src/").removesuffix(".py").replace("/", "."), path


def _code(project: Project, module: str) -> Iterator[str]:
    """The module's file, and all files of the project that it imports."""
    from beampermit.code.modules import Modules
    from beampermit.code.sources import head_sources

    modules = Modules(head_sources(project))
    waiting, reached = [module], set[str]()
    while waiting:
        path = waiting.pop()
        if path in reached:
            continue
        reached.add(path)
        yield path
        waiting.extend(modules.imported(path))


def _declared(project: Project, deps: tuple[str, ...]) -> Iterator[str]:
    """The files in git that a stage reads, in folders too."""
    tracked = project.git.work_files()
    for path in tracked:
        if any(is_below(path, dep) for dep in deps) and project.path(path).is_file() and not _is_data_of_dvc(path):
            yield path


def _is_data_of_dvc(path: str) -> bool:
    return path in (FILE, "dvc.lock", "dvc.yaml") or Path(path).name == ".gitignore"


def _data(repository: Repository, deps: tuple[str, ...], hidden: tuple[str, ...]) -> dict[str, tuple[str, Path]]:
    found: dict[str, tuple[str, Path]] = {}
    for output in repository.outputs:
        if not any(overlap(output.path, dep) for dep in deps):
            continue
        for path, md5 in repository.files(output).items():
            wanted = any(is_below(path, dep) for dep in deps)
            if wanted and not any(is_below(path, one) for one in hidden):
                found[path] = md5, repository.cached(md5, output.hash_name)
    if not found:
        raise Failed("dvc.lock has no data that training reads", file="dvc.lock", hint="dvc repro")
    return found


def _fixed(project: Project, settings: Settings, read: dict[str, list[str]]) -> dict[str, Any]:
    """What training reads of files of parameters, without what is searched, and of the contract."""
    contract = project.contract
    fixed: dict[str, Any] = {
        CONTRACT: {
            "signals": contract.signals.model_dump(mode="json"),
            "splits": {name: path for name, path in contract.dataset.splits.items() if name != "test"},
        }
    }
    for file, keys in read.items():
        content = settings.params if file == FILE else _content(project, file)
        values = {key: _at(content, key) for key in keys} if keys else dict(content)
        fixed[file] = _without(values, [one.path for one in settings.space.parameters]) if file == FILE else values
    return fixed


def _content(project: Project, file: str) -> Any:
    path = project.path(file)
    if not path.is_file():
        raise Failed("the file is missing", file=file, hint="dvc repro")
    content = path.read_bytes()
    tree = parse_json(content, file) if file.endswith(".json") else plain(parse_yaml(content, file, aliases=True))
    return tree if isinstance(tree, dict) else {}


def _at(content: Any, key: str) -> Any:
    try:
        return value_at(content, key)
    except KeyError:
        return None


def _without(values: Any, searched: list[str], above: str = "") -> Any:
    """The values whose paths are not searched."""
    if not isinstance(values, dict):
        return values
    kept = {key: value for key, value in values.items() if f"{above}{key}" not in searched}
    return {key: _without(value, searched, f"{above}{key}.") for key, value in kept.items()}
