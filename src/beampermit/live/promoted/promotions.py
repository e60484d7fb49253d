"""What ledger, permits and registry say of one model; a version is given only after all of it was verified."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from beampermit.contract import FILE_NAME, load_contract, parse_contract
from beampermit.digest import digest_file
from beampermit.environments import Environment
from beampermit.errors import BadInput, Failed, Outside
from beampermit.git import Git
from beampermit.live.promoted.environment import complete_environment, install_environment
from beampermit.live.promoted.from_registry import fetch, fetch_challenger
from beampermit.live.promoted.mirror import BEGUN, Mirror
from beampermit.live.promoted.promoted import Declared, Promoted, verify_bytes
from beampermit.live.promoted.wanted import Wanted
from beampermit.live.promoted.words import act, plain
from beampermit.permit.envelope import verify_envelope
from beampermit.permit.statement import Statement
from beampermit.permit.verification import DIFFERS, verify_name
from beampermit.progress import Progress, silent
from beampermit.registry.event import Event
from beampermit.registry.fetching import FETCHING
from beampermit.registry.ledger import PATIENCE
from beampermit.registry.ledger_state import ModelState
from beampermit.registry.trust import require_committed, verify_promotion


class Promotions:
    """Holds the state folder until `close`. Threads may share it."""

    def __init__(self, wanted: Wanted):
        """Raises `BadInput` where another service uses the state folder."""
        from filelock import FileLock, Timeout

        self.wanted = wanted
        self._models, self._commits = wanted.state / "models", wanted.state / "commits"
        self._lock = threading.RLock()
        wanted.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._held = FileLock(wanted.state / "lock")
        try:
            self._held.acquire(timeout=0)
        except Timeout:
            raise BadInput("another service uses this state folder", file=wanted.state) from None
        for folder in (wanted.state, self._models, self._commits):
            for begun in (*folder.glob(f"{BEGUN}*"), *folder.glob(f"{FETCHING}*")):
                shutil.rmtree(begun, ignore_errors=True)
        self.mirror = Mirror(wanted.repository, wanted.state, wanted.model)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._held.release()

    def look(self, patience: float = PATIENCE) -> None:
        """Fetch ledger and keys. Raises as `Mirror.look`."""
        with self._lock:
            self.mirror.look(patience)

    def state(self) -> ModelState:
        """As last fetched: a ledger that cannot be read is none. Raises `Outside` where nothing ever was."""
        with self._lock:
            return self.mirror.ledger.state(self.wanted.model)

    @property
    def keys_at(self) -> str:
        """The commit that keys are read at; empty where there is no protected branch."""
        with self._lock:
            try:
                return self.mirror.ledger.protected
            except BadInput:
                return ""

    def champion(self) -> Event:
        """As last fetched. Raises `Failed` where no version is in service."""
        state = self.state()
        if state.champion:
            return state.champion
        retirement = state.out_of_service
        if retirement is None:
            raise Failed(f"no version of {self.wanted.model} was ever promoted", hint="beampermit history")
        raise Failed(f"version {retirement.version} was {act('retired', retirement)}", hint="beampermit history")

    def declare(self, event: Event) -> Declared:
        """The version of an event, if its permit is believed by the ledger and keys as last fetched.

        Raises `Failed` where it is not, `Outside` where its commit is not available.
        """
        with self._lock:
            ledger = self.mirror.ledger
            statement = ledger.believe(event)
            return self._declared(event.version, event, ledger.permit(event) or b"", statement)

    def prepare(
        self,
        declared: Declared,
        progress: Progress = silent,
        on_environment: Callable[[Declared, Environment], None] = lambda *_: None,
    ) -> Promoted:
        """Fetch its bytes, verify them, install its environment.

        `on_environment` is told of an environment that is there already, before any of the bytes is read.

        Raises `Failed` where something is not what the permit binds, `Outside` where something is not available.
        """
        event, digest = declared.event, declared.statement.model_digest
        found = complete_environment(declared, self.wanted)
        if found:
            on_environment(declared, found[0])
        progress("fetch the model")
        folder = fetch(self.wanted, declared.version, digest, event.address if event else "", self._models)
        verify_bytes(declared, folder)
        environment, variant = found or install_environment(self.mirror.git, declared, self.wanted, progress)
        return Promoted(**vars(declared), folder=folder, environment=environment, variant=variant)

    def read(self, declared: Declared, path: str) -> str | None:
        """A file of the version's commit, which its permit binds; None where the commit does not have it."""
        with self._lock:
            git = self.mirror.project_of(declared.statement)
            return git.read(declared.statement.predicate.commit, path)

    def folder_of(self, declared: Declared) -> str:
        """That of its project in the repository, such as `models/faults/`; empty at the top."""
        with self._lock:
            return self.mirror.project_of(declared.statement).prefix

    def challenger(self) -> Declared:
        """The version with the alias `challenger` in the registry, if a permit that is valid today is signed for it.

        Raises `Failed` where it is not, or the version is champion or retired; `BadInput` where no version has the
        alias; `Outside`.
        """
        found = fetch_challenger(self.wanted)
        with self._lock:
            state, ledger = self.state(), self.mirror.ledger
            if found.version == state.champion_version:
                raise Failed(f"version {found.version} has the alias challenger, and is the champion")
            if retirement := state.retired.get(found.version):
                raise Failed(f"version {found.version} was {act('retired', retirement)}", hint="beampermit history")
            if promoted := state.promoted.get(found.version):
                return self.declare(promoted)
            statement = verify_envelope(found.permit, ledger.keys(), "permit.dsse.json", now=datetime.now(UTC))
            # Nobody but its key vouches for it yet.
            require_committed(self.mirror.project_of(statement), statement)
            return self._declared(found.version, None, found.permit, statement)

    def verify_permit(self, declared: Declared) -> None:
        """Judge a permit by the keys as last fetched. Raises `Failed` where it is not believed any more; `BadInput`
        where the protected branch has no keys."""
        with self._lock:
            ledger = self.mirror.ledger
            if declared.event is None:
                verify_envelope(declared.permit, ledger.keys())
            else:
                # As the ledger has it now: a permit may be signed again.
                verify_promotion(declared.event, ledger.permit(declared.event), ledger.keys())

    def _declared(self, version: int, event: Event | None, permit: bytes, statement: Statement) -> Declared:
        root = self._export(self.mirror.project_of(statement), statement.predicate.commit)
        facts = statement.predicate
        for bound in (facts.contract, facts.environment, *facts.variants):
            file = root / bound.file
            if not file.is_file() or digest_file(file) != bound.digest:
                raise Failed(f"at commit {facts.commit[:12]}, {DIFFERS}", file=bound.file)
        contract = load_contract(root)
        for name in (self.wanted.model, contract.model.name):
            verify_name(statement, name)
        return Declared(version, event, permit, statement, contract, root)

    def _export(self, git: Git, commit: str) -> Path:
        """Contract, device table and locks of a commit, written anew each time."""
        there = git.files_at(commit)
        contract = parse_contract(git.read(commit, FILE_NAME) or "", f"{commit[:12]}:{FILE_NAME}")
        devices = contract.signals.devices
        if devices and devices not in there:
            raise Failed(f"commit {commit[:12]} does not have the device table", file=devices)
        files = {path for path in there if "/" not in path} | ({devices} if devices else set())
        target = self._commits / commit
        self._commits.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=BEGUN, dir=self._commits) as scratch:
            made = git.export(commit, Path(scratch, "made"), *sorted(files))
            shutil.rmtree(target, ignore_errors=True)
            made.replace(target)
        return target


def find(wanted: Wanted, progress: Progress = silent) -> Promoted:
    """The champion, verified now: according to the ledger as last seen where it does not answer.

    Raises `Failed` where there is none or something of it cannot be believed, `Outside` where something is not to be
    had, `BadInput` where another service uses the state folder.
    """
    with Promotions(wanted) as promotions:
        progress("read the ledger")
        try:
            promotions.look()
        except Outside as error:
            progress(f"the ledger as it was last seen here, for {plain(error)}")
        progress("verify the permit")
        return promotions.prepare(promotions.declare(promotions.champion()), progress)
