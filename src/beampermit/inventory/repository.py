"""Reads a repository: ledger and keys as `serve --ledger` does, contracts and locks at the commits that count.

Nothing of a repository is run, and its files are read by git alone, in a cache that keeps single commits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from beampermit import __version__
from beampermit.cache import cache_folder
from beampermit.contract import FILE_NAME, parse_contract
from beampermit.digest import digest_bytes
from beampermit.errors import BadInput, BeampermitError, Failed, Outside
from beampermit.files import write_text
from beampermit.git import OF_ORIGIN, Git
from beampermit.github.codeowners import PLACES, CodeOwners
from beampermit.inventory.facts import FORMAT, Declared, KeyFacts, Locked, ModelFacts, Owner, RepositoryFacts
from beampermit.inventory.listing import Place
from beampermit.processes import scratch_folder
from beampermit.registry.event import Event

if TYPE_CHECKING:
    from beampermit.contract import Contract
    from beampermit.live.promoted.mirror import Mirror
    from beampermit.registry.ledger import Ledger
    from beampermit.registry.ledger_state import ModelState

MADE_BY = f"{__version__} {FORMAT}"
LEDGER = f"{OF_ORIGIN}beampermit-ledger"
FACTS = "facts-{}.json"
MOST_CONTRACTS = 200
"""In one repository; whoever writes one decides how many there are."""
BUSY = 120.0
"""Seconds that another inventory may take for the same repository."""


@dataclass(frozen=True)
class Read:
    """`unreached`: why the repository does not answer now; the facts are then those of the last time."""

    facts: RepositoryFacts
    unreached: BeampermitError | None = None


def read_repository(place: Place) -> Read:
    """Raises `Outside` where it does not answer and never did, or another `BeampermitError` where it is at fault."""
    from filelock import FileLock, Timeout

    from beampermit.live.promoted.mirror import Mirror

    folder = cache_folder() / "inventory" / digest_bytes(place.repository.address.encode())[7:23]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "lock").acquire(timeout=BUSY):
            return _read(place, Mirror(place.repository, folder), folder)
    except Timeout:
        raise Outside("another inventory reads this repository", file=folder) from None


def _read(place: Place, mirror: Mirror, folder: Path) -> Read:
    unreached: BeampermitError | None = None
    try:
        mirror.look()
    except BeampermitError as error:  # also a ledger that was rewritten: the lines read before still count
        unreached = error
    try:
        ledger = mirror.ledger
    except Outside:
        raise (unreached or Outside("the repository was never read")) from None
    kept = folder / FACTS.format(digest_bytes((place.folder or "/").encode())[7:15])
    tip, head = ledger.protected, mirror.git.ref(LEDGER) or ""
    facts = _kept(kept, tip, head)
    if facts is None:
        reader = _Reader(mirror, ledger, tip, head, place.folder)
        facts = reader.read()
        if reader.complete:
            write_text(kept, facts.model_dump_json())
    return Read(facts, unreached)


def _kept(file: Path, tip: str, head: str) -> RepositoryFacts | None:
    try:
        facts = RepositoryFacts.model_validate_json(file.read_bytes())
    except (OSError, ValueError):
        return None
    return facts if (facts.made_by, facts.tip, facts.ledger) == (MADE_BY, tip, head) else None


class _Reader:
    def __init__(self, mirror: Mirror, ledger: Ledger, tip: str, head: str, folder: str | None):
        self._mirror, self._ledger, self._tip, self._head, self._folder = mirror, ledger, tip, head, folder
        self._git = mirror.git
        self.complete = True
        """Whether nothing was missing only because something did not answer."""
        self._troubles: list[str] = []

    def read(self) -> RepositoryFacts:
        files = self._git.files_at(self._tip)
        found = dict(self._contracts(files))
        states = self._ledger.read().states
        names = list(found)
        if self._folder is None:
            names += [name for name in states if name not in found]
        models = tuple(self._model(name, states.get(name), *found.get(name, ("", None))) for name in names)
        return RepositoryFacts(
            made_by=MADE_BY,
            tip=self._tip,
            ledger=self._head,
            keys=self._keys() if any(model.last for model in models) else (),
            code_owners=self._code_owners(files),
            models=models,
            troubles=tuple(self._troubles),
        )

    def _contracts(self, files: list[str]) -> Iterator[tuple[str, tuple[str, Declared | None]]]:
        """Model -> folder and what its contract says."""
        paths = [path for path in files if f"/{path}".endswith(f"/{FILE_NAME}")]
        if self._folder is not None:
            wanted = f"{self._folder}/{FILE_NAME}".lstrip("/")
            if wanted not in paths:
                self._troubles.append(f"{wanted}: the protected branch has no such contract")
            paths = [wanted] if wanted in paths else []
        if len(paths) > MOST_CONTRACTS:
            self._troubles.append(f"{len(paths)} contracts are in this repository; the first {MOST_CONTRACTS} are read")
        seen = set[str]()
        for path in sorted(paths, key=lambda path: (path.count("/"), path))[:MOST_CONTRACTS]:
            folder = path.removesuffix(FILE_NAME).rstrip("/")
            try:
                contract = parse_contract(self._git.read(self._tip, path) or "", path)
                declared = self._declared(self._git, self._tip, contract, folder)
            except BeampermitError as error:
                self._troubles.append(str(error))
                continue
            if contract.model.name in seen:
                self._troubles.append(f"{path}: model {contract.model.name} has a second contract in this repository")
                continue
            seen.add(contract.model.name)
            yield contract.model.name, (folder, declared)

    def _model(self, name: str, state: ModelState | None, folder: str, now: Declared | None) -> ModelFacts:
        if state is None:
            return ModelFacts(name=name, folder=folder, now=now)
        running, packages, doubts, troubles = None, (), "", list[str]()
        if state.champion:
            doubts = self._ledger.doubts(state.champion)
            if not doubts:
                try:
                    running, packages = self._running(state.champion)
                except BeampermitError as error:
                    self.complete = self.complete and error.exit_code != Outside.exit_code
                    troubles.append(str(error))
        return ModelFacts(
            name=name, folder=folder, now=now, running=running, champion=state.champion, doubts=doubts,
            last=state.last_in_service, promoted=tuple(state.promoted), retired=tuple(state.retired.values()),
            frozen=state.frozen, home=state.home, bypassed=tuple(state.bypassed.values()), packages=packages,
            troubles=tuple(troubles),
        )  # fmt: skip

    def _running(self, champion: Event) -> tuple[Declared, tuple[Locked, ...]]:
        """Contract and locks that the champion's permit binds."""
        statement = self._ledger.believe(champion)
        git, commit = self._mirror.project_of(statement), statement.predicate.commit
        contract = parse_contract(git.read(commit, FILE_NAME) or "", f"{commit[:12]}:{FILE_NAME}")
        if contract.model.name != champion.model:
            raise Failed(f"the contract of commit {commit[:12]} is of model {contract.model.name}")
        facts = statement.predicate
        files = [bound.file for bound in (facts.environment, *facts.variants)]
        return self._declared(git, commit, contract), tuple(self._packages(git, commit, files))

    def _declared(self, git: Git, commit: str, contract: Contract, folder: str = "") -> Declared:
        from beampermit.live.status_pvs import prefix_of

        model = contract.model
        return Declared(
            model=model.name,
            summary=model.summary,
            owners=tuple(Owner(name=owner.name, email=owner.email) for owner in model.owners),
            review_by=model.review_by,
            on_call=contract.operations.on_call,
            prefix=prefix_of(contract),
            outputs=_output_pvs(git, commit, contract, folder),
            every=contract.monitoring.every,
            bypass_at_most=contract.monitoring.bypass_at_most,
        )

    def _packages(self, git: Git, commit: str, files: list[str]) -> Iterator[Locked]:
        from beampermit.environments.choice import BACKENDS

        seen = set[tuple[str, str, bool]]()
        for file in dict.fromkeys(files):
            backend = next((one for one in BACKENDS if file.endswith(one.lock_file)), None)
            text = git.read(commit, file)
            if backend is None or text is None:
                raise BadInput("the lock that the permit binds cannot be read", file=file)
            for package in backend.parse(text, file).packages:
                conda = bool(package.platform) and not package.pip
                key = (package.name, package.version, conda)
                if not package.own and key not in seen:
                    seen.add(key)
                    yield Locked(name=package.name, version=package.version, conda=conda)

    def _keys(self) -> tuple[KeyFacts, ...]:
        try:
            return tuple(KeyFacts(id=key.id, until=key.until) for key in self._ledger.keys().keys)
        except BeampermitError as error:
            self._troubles.append(str(error))
            return ()

    def _code_owners(self, files: list[str]) -> tuple[str, ...] | None:
        place = next((place for place in PLACES if place in files), None)
        if place is None:
            return None
        return CodeOwners(place, self._git.read(self._tip, place) or "").owners


def _output_pvs(git: Git, commit: str, contract: Contract, folder: str) -> tuple[str, ...]:
    """None where an output has no PV, so that the model is not served as PVs. Raises `BadInput`."""
    from beampermit.datasets.devices import load_devices

    signals = contract.signals
    templates = [signal.pv for signal in signals.outputs if signal.pv]
    if len(templates) < len(signals.outputs) or not any(signal.pv for signal in signals.inputs):
        return ()
    with scratch_folder() as scratch:
        if signals.devices:
            path = f"{folder}/{signals.devices}".lstrip("/")
            text = git.read(commit, path)
            if text is None:
                raise BadInput(f"commit {commit[:12]} does not have the device table", file=path)
            write_text(scratch / signals.devices, text)
        devices = load_devices(scratch, signals.devices, templates)
    return tuple(dict.fromkeys(pv for template in templates for pv in devices.names(template)))
