"""Verdicts that are reused on a laptop while nothing has changed that decides them.

What decides a verdict is declared on its interlock (`decided_by`), and the checker decides each: its own files, its
packages, and variables. A permit accepts no reused verdict: CI starts from a fresh clone and runs every check.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import beampermit
from beampermit.cache import cache_folder
from beampermit.changes.base_and_head import BaseAndHead
from beampermit.contract import Contract
from beampermit.digest import digest_json
from beampermit.environments.environment import prefix_of
from beampermit.errors import BadInput, BeampermitError
from beampermit.files import write_text
from beampermit.git import SUBMODULE
from beampermit.github.context import find_client, in_workflow
from beampermit.interlocks.file_state import state_of, statuses
from beampermit.interlocks.inputs import Inputs
from beampermit.interlocks.interlock import Interlock
from beampermit.processes import clean_variables
from beampermit.project import Project
from beampermit.reading import read_json
from beampermit.verdicts.verdict import Verdict

LEDGER = "refs/remotes/origin/beampermit-ledger"
VARIABLES = ("BEAMPERMIT_", "CONDA_", "DVC_", "GIT_", "HOME", "MLFLOW_", "NETRC", "PYTHON", "UV_", "XDG_")
"""How the names of variables begin that change what a check finds, besides those that the project's code gets."""

WORTH_SAVING = 10.0
"""Seconds of a check whose verdict is written at once, in case the run is killed."""

UNREAD = {"DVC_NO_ANALYTICS", "BEAMPERMIT_SIGNING_KEY", "TERM"}
"""What is set as DVC is loaded, what no check reads, and what differs from one terminal to the next."""

CONDA = ("environment*.yaml", "*-environment.yml", "*-environment.yaml")
"""What is read by these names in the project's folder, though git ignores it, besides what GIT005 names."""
MACHINE = tuple(map(Path, ("/etc/uv", "/etc/xdg/uv")))
DRIVER = Path("/proc/driver/nvidia")


@dataclass(frozen=True)
class Watched:
    """What DVC reads or stores by files of this `pipeline`: paths of this machine, and of a remote that is a folder."""

    pipeline: str
    paths: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    """The files of `vars` in `dvc.yaml`, on which it depends what the stages name."""
    values: str = ""
    stored: tuple[str, ...] | None = ()
    """None where a remote is not a folder: nobody can tell whether it has changed."""


class Reuse:
    """The kept verdicts of one project, and the state of what decides them, read before a check reads it."""

    def __init__(self, project: Project, contract: Contract | None):
        self._project, self._contract = project, contract
        self._file = project.own / "verdicts.json"
        self._kept: dict[str, tuple[str, Verdict]] = {}
        self._new: list[tuple[type[Interlock], str, Verdict]] = []
        self._watched: Watched | None = None
        self._load()
        self._states: dict[str, Any] = {}
        self._loaded_for = ""
        """State of what DVC reads, when it was first asked in this run."""

    @classmethod
    def of(cls, project: Project) -> Reuse | None:
        """None where the contract, which names paths to watch, cannot be read."""
        try:
            return cls(project, project.contract if project.has_contract else None)
        except BadInput:
            return None

    def key(self, interlock: type[Interlock], inputs: Inputs) -> str | None:
        """A digest of all that decides its verdict; None where that cannot be told, or is not declared."""
        if not interlock.decided_by:
            return None
        try:
            states = [self._state(part, inputs) for part in ("checker", "bases", *interlock.decided_by)]
        except (BeampermitError, OSError):
            return None  # the check says what is wrong
        return None if None in states[2:] else digest_json([interlock.id(), *states])

    def find(self, id: str, key: str) -> Verdict | None:
        was, verdict = self._kept.get(id, ("", None))
        return verdict.model_copy(update={"reused": True}) if verdict and was == key else None

    def keep(self, interlock: type[Interlock], verdict: Verdict, key: str, inputs: Inputs) -> None:
        """Keep a verdict that passed, or that only GitHub could give where it cannot be asked."""
        unasked = "github" in interlock.decided_by and verdict.exit_code == 0
        if not (verdict.passed or unasked):
            return
        self._new.append((interlock, key, verdict))
        if verdict.seconds > WORTH_SAVING:
            self.save(inputs)

    def save(self, inputs: Inputs) -> None:
        """Write the new verdicts, but those for which something has changed since: nobody can tell what was judged."""
        if not self._new:
            return
        self._states = {}
        self._kept |= {new.id(): (key, verdict) for new, key, verdict in self._new if self.key(new, inputs) == key}
        self._new = []
        verdicts = {id: [key, kept.model_dump(mode="json")] for id, (key, kept) in self._kept.items()}
        watched = asdict(self._watched) if self._watched else None
        write_text(self._file, json.dumps({"watched": watched, "verdicts": verdicts}))

    def _load(self) -> None:
        try:
            content = read_json(self._file)
            self._kept = {id: (key, Verdict.model_validate(kept)) for id, (key, kept) in content["verdicts"].items()}
            self._watched = Watched(**content["watched"]) if content["watched"] else None
        except (BadInput, KeyError, ValueError, AttributeError, TypeError):
            self._kept, self._watched = {}, None

    def _state(self, part: str, inputs: Inputs) -> Any:
        if part not in self._states:
            self._states[part] = getattr(self, f"_{part}")(inputs)
        return self._states[part]

    def _checker(self, _inputs: Inputs) -> list[Any]:
        return _checker(self._contract)

    def _bases(self, inputs: Inputs) -> list[Any]:
        """The base, and where the branch left it, whose rows and files are compared with those of the work tree; and
        the ledger, where the base's contract asks which version is the champion."""
        asked = self._contract is not None and self._project.base_contract.incomparable is not None
        champion = self._state("ledger", inputs) if asked else None
        return [self._project.base, BaseAndHead(self._project).merge_base, champion]

    def _files(self, _inputs: Inputs) -> dict[str, str]:
        """Path -> mode of all files of the repository that git does not ignore."""
        return self._project.git.top.work_files()

    def _tree(self, inputs: Inputs) -> list[str]:
        """The work tree, committed or not, and what lies in submodules, where git looks at no more than the commit."""
        top = self._project.git.top
        inner = [top.root / path for path, mode in self._state("files", inputs).items() if mode == SUBMODULE]
        held = [path for folder in inner if folder.is_dir() for path in sorted(folder.iterdir()) if path.name != ".git"]
        return [top.work_tree(), state_of(held)]

    def _ledger(self, _inputs: Inputs) -> Any:
        """The ledger, and on origin also the protected branch, whose keys it believes: as fetching would find them."""
        from beampermit.registry.ledger import Ledger

        ledger = Ledger(self._project.git)
        return [ledger.git.ref(LEDGER), ledger.remote_refs() if ledger.has_remote() else None]

    def _commit(self, inputs: Inputs) -> list[Any]:
        """The work tree, what of it is committed and staged, and files of deciding names that git ignores."""
        from beampermit.datasets.configuration import dvc_home
        from beampermit.interlocks.repository.commit import DECIDING, SHARED

        git, root = self._project.git, self._project.root
        own, shared = ((root, DECIDING), (git.top.root, SHARED))
        deciding = [path for folder, patterns in (own, shared) for pattern in patterns for path in folder.glob(pattern)]
        deciding.append(dvc_home(self._project).root / ".dvc/config.local")
        listed = [git.top("ls-files", "--stage", "-z"), self._state("configuration", inputs)]
        return [self._state("tree", inputs), git.resolve("HEAD"), digest_json(listed), state_of(deciding)]

    def _configuration(self, _inputs: Inputs) -> str:
        """Where origin is, and what git ignores and converts besides what `.gitignore` and `.gitattributes` say."""
        git, files = self._project.git, []
        for key, own, usual in (("excludesFile", "exclude", "ignore"), ("attributesFile", "attributes", "attributes")):
            named = git.try_("config", "--path", f"core.{key}").out.strip()
            files.append(self._project.root / git("rev-parse", "--git-path", f"info/{own}"))
            files.append(Path(named) if named else _settings() / "git" / usual)
        return git("config", "--list") + state_of(files)

    def _requirements(self, inputs: Inputs) -> str:
        """What the lock is compared with outside the commit: uv's settings and Python, and projects locked with it."""
        from beampermit.environments.uv import Uv
        from beampermit.environments.uv.specification import FILE, LOCAL, PINNED

        root = self._project.root.absolute()
        files = [
            *(folder / name for folder in (root, *root.parents) for name in ("uv.toml", FILE)),
            *(root / name for name in PINNED),
        ]
        files += [path for pattern in CONDA for path in sorted(root.glob(pattern))]
        if isinstance(inputs["backend"], Uv):
            beside = [root / place for place in inputs["specification"].content[LOCAL]]
            files += [file for place in beside for file in (place, place / FILE)]
        return state_of(files, below=False) + state_of([_settings() / "uv", *MACHINE])

    def _named(self, inputs: Inputs) -> str:
        """Files and folders that the contract names, and of those that its records list the ones not in git."""
        from beampermit.interlocks.repository.commit import record_paths

        if self._contract is None:
            return ""
        model, evaluation, dataset = self._contract.model, self._contract.evaluation, self._contract.dataset
        monitoring, base = self._contract.monitoring, self._project.base_contract
        labels, records = dataset.labels or base.dataset.labels, (monitoring.recorded, base.monitoring.recorded)
        files = {
            *(model.path, evaluation.inputs, dataset.raw, monitoring.limits, monitoring.calibration),
            *(path for path in (evaluation.scores, labels, *records) if path),
            *dataset.splits.values(),
            *record_paths(self._contract),
        }
        held, prefix = self._state("files", inputs), self._project.git.prefix
        files.update(path for path in _listed(self._project, self._contract) if prefix + path not in held)
        return state_of(self._project.path(file) for file in sorted(files))

    def _dvc(self, inputs: Inputs) -> list[str] | None:
        watched = self._look(inputs)
        return None if watched is None else [watched.pipeline, watched.values, state_of(map(Path, watched.paths))]

    def _remote(self, inputs: Inputs) -> str | None:
        watched = self._look(inputs)
        return None if watched is None or watched.stored is None else state_of(map(Path, watched.stored))

    def _look(self, inputs: Inputs) -> Watched | None:
        """DVC is asked for the paths only where its own files have changed."""
        from beampermit.datasets.repository import Repository

        pipeline = self._state("pipeline", inputs)
        self._loaded_for = self._loaded_for or pipeline
        if pipeline != self._loaded_for:
            return None  # `inputs` has DVC as it was before
        if not Repository.exists(self._project):
            return Watched(pipeline)
        known = self._watched
        if known is None or (known.pipeline, known.values) != (pipeline, state_of(map(Path, known.variables))):
            self._watched = _watch(inputs["dvc"], pipeline)
        return self._watched

    def _pipeline(self, inputs: Inputs) -> str:
        """What DVC reads before it knows of any stage, and which files there are: git ignoring them hides none."""
        from beampermit.datasets.configuration import dvc_home
        from beampermit.datasets.repository import READ

        git = dvc_home(self._project)
        at_top = git.root.resolve() == self._project.git.top.root.resolve()
        root, files = git.root, self._state("files", inputs) if at_top else git.work_files()
        folders = {folder for name in files for folder in Path(name).parents} | {Path(".dvc")}
        read = [
            Path(entry.path)
            for folder in sorted(folders)
            if (root / folder).is_dir()
            for entry in os.scandir(root / folder)
            if entry.name == ".gitignore" or READ.search(f"{folder}/{entry.name}")
        ]
        return digest_json([files, self._state("configuration", inputs), state_of(sorted(read), below=False)])

    def _prefix(self, _inputs: Inputs) -> tuple[str, str]:
        """Every file of the environment with the Python that it starts, and those that our Pythons read: they keep
        compiled code elsewhere, and what others left beside the source does not count."""
        every, read = hashlib.sha256(), hashlib.sha256()
        for name, status in statuses(str(prefix_of(self._project.root)), below=True):
            line = f"{name}\0{status}\n".encode(errors="surrogateescape")
            every.update(line)
            if "/__pycache__/" not in name and not name.endswith("/.lock"):
                read.update(line)
        return every.hexdigest(), read.hexdigest()

    def _installed(self, inputs: Inputs) -> list[str]:
        """What our Pythons read of the environment, and the driver and GPUs that it runs on."""
        version = DRIVER / "version"
        driver = version.read_text() if version.is_file() else ""
        return [self._state("prefix", inputs)[1], driver, *map(str, sorted(DRIVER.glob("gpus/*")))]

    def _gpu(self, inputs: Inputs) -> str | None:
        """None where the contract asks for a GPU: what the machine has is measured each time."""
        return None if inputs["required_gpu"] else ""

    def _environment(self, inputs: Inputs) -> str:
        """Every file of the environment, the Python that it starts, and what was recorded as it was installed."""
        return self._state("prefix", inputs)[0] + state_of([cache_folder() / "installed"])

    def _github(self, _inputs: Inputs) -> list[str] | None:
        """None where GitHub can be asked."""
        client = find_client(self._project.git)
        if client and (client.token or in_workflow()):
            return None
        return [client.repository if client else ""]


def _watch(repository: Any, pipeline: str) -> Watched | None:
    """What decides DAT001 to DAT003; None where part of it is not on this machine."""
    stages = [stage for stage in repository.stages if not stage.is_import]
    items = [item for stage in stages for item in stage.deps]
    items += [out for stage in repository.stages for out in stage.outs]
    objects: set[tuple[str, str, str | None]] = set()
    elsewhere = any(output.imported for output in repository.outputs)
    for output in repository.outputs:
        if output.folder and not repository.cached(output.oid, output.hash_name).is_file():
            return None  # its manifest is only on the remote
        oids = {output.oid, *repository.files(output).values()}
        objects |= {(oid, output.hash_name, output.remote) for oid in oids}
    if any(item.protocol != "local" for item in items):
        return None
    cached = {str(repository.cached(oid, hash_name)) for oid, hash_name, _ in objects}
    read = {*(str(item.fs_path) for item in items), *map(str, repository.repo.config.files.values())}
    stored = None if elsewhere else _stored(repository, objects)
    variables = tuple(sorted(set(_variables(stages))))
    return Watched(pipeline, tuple(sorted(read | cached)), variables, state_of(map(Path, variables)), stored)


def _variables(stages: Iterable[Any]) -> Iterator[str]:
    """The files of `vars`, of a `dvc.yaml` and of a stage in it."""
    for stage in stages:
        if not (name := getattr(stage, "name", None)):
            continue
        yield from stage.dvcfile.resolver.context.imports
        definition = stage.dvcfile.contents["stages"][name.partition("@")[0]]
        for item in definition.get("do", definition).get("vars", ()):
            if isinstance(item, str):
                yield os.path.join(stage.wdir, item.partition(":")[0])  # noqa: PTH118


def _stored(repository: Any, objects: Iterable[tuple[str, str, str | None]]) -> tuple[str, ...] | None:
    """Where a remote that is a folder stores objects; None where one is none."""
    remotes = repository.repo.config["remote"]
    paths = []
    for oid, hash_name, remote in objects:
        name = remote or repository.repo.config["core"].get("remote")
        if "://" in str(remotes.get(name, {}).get("url", "://")):
            return None
        paths.append(str(repository.repo.cloud.get_remote_odb(name, hash_name=hash_name).oid_to_path(oid)))
    return tuple(sorted(paths))


def _checker(contract: Contract | None) -> list[Any]:
    """The code that judges, its packages, and the variables that it looks at."""
    package = Path(beampermit.__file__).parent
    folders = [package, *(package.parents[1] / name for name in (".github/workflows", "actions"))]
    own = [path for folder in folders for path in _below(folder)]
    packages = sorted(map(str, Path(sysconfig.get_path("purelib")).glob("*.dist-info")))
    passed = clean_variables(contract.environment.variables if contract else ())
    names = {*passed, *(name for name in os.environ if name.startswith(VARIABLES))} - UNREAD
    return [
        state_of(own, below=False),
        state_of(packages, below=False),
        sys.version,
        digest_json({name: os.environ[name] for name in names}),
    ]


def _below(folder: Path) -> Iterator[str]:
    """All files and folders but compiled code. `Path.rglob`, and paths that are sorted, take ten times as long."""
    for at, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        yield from (f"{at}/{name}" for name in (*folders, *sorted(files)))


def _settings() -> Path:
    """Where git and uv look for the user's settings."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")


def _listed(project: Project, contract: Contract) -> set[str]:
    """Files of which manifest and lineage record have a digest; the interlock says where one cannot be read."""
    from beampermit.datasets.lineage import read_lineage
    from beampermit.models.manifest import Manifest

    listed: set[str] = set()
    with suppress(BadInput):
        listed.update(Manifest.read(project.path(contract.model.manifest), contract.model.manifest).files)
    with suppress(BadInput):
        record = read_lineage(project.root, contract.dataset.lineage)
        listed.update(record.parents, record.code)
    return listed
