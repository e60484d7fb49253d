"""What the service needs of the ledger's repository, kept on this machine: ledger, keys, and the commits it serves."""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path

from beampermit.contract import FILE_NAME
from beampermit.digest import digest_bytes, digest_file
from beampermit.errors import BadInput, Conflict, Failed, Outside
from beampermit.git import OF_ORIGIN, Git
from beampermit.live.promoted.wanted import Repository
from beampermit.permit.statement import Statement
from beampermit.processes import Finished, run, scratch_folder
from beampermit.registry.ledger import PATIENCE, Ledger

FIRST = 300.0
"""Seconds that the first copy may take."""
WHOLE = "--depth=2147483647"
PROTECTED = f"{OF_ORIGIN}protected"
BEGUN = ".begun-"
"""Folders with this prefix were not finished."""
FETCH = ("fetch", "--quiet", "--refmap=", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")


class Mirror:
    """A clone without files, of single commits. Not for two processes at once; threads may share it.

    With `model`, a ledger that has a bad line of it is not taken over: what was fetched before stays, also after a
    restart.
    """

    def __init__(self, repository: Repository, state: Path, model: str | None = None):
        self._repository, self._state, self._model = repository, state, model
        self._folder = state / f"ledger-{digest_bytes(repository.address.encode())[7:19]}"
        self._lock = threading.RLock()
        self._ledger: Ledger | None = None
        self._complete = False
        """Whether ledger and keys were read once."""
        self._kept_keys = ""
        """The tip of the protected branch whose keys are kept."""
        self._projects: dict[tuple[str, str], Git] = {}
        """Commit and digest of a contract -> git in its folder: a version is declared again at each switch to it."""
        if (self._folder / ".git/HEAD").is_file():
            self._open()

    @property
    def git(self) -> Git:
        return self.ledger.git

    @property
    def ledger(self) -> Ledger:
        """Raises `Outside` where the repository was never reached."""
        if self._ledger is None or not self._complete:
            raise Outside("the ledger was never read on this machine", hint=f"git ls-remote {self._repository.name}")
        return self._ledger

    def another_ledger(self) -> Ledger:
        """The same ledger, for a thread that appends to it and must keep nobody else waiting. Raises as `ledger`."""
        return Ledger(self.git, readable=self._model)

    def look(self, patience: float = PATIENCE) -> None:
        """Fetch ledger and keys. Raises as `Ledger.fetch`; what was fetched before stays.

        Where there is something from before, the remote has `patience` s for each answer.
        """
        with self._lock:
            ledger = self._ledger or self._clone()
            ledger.patience = patience if self._complete else PATIENCE
            try:
                ledger.fetch()
            except (BadInput, Conflict):
                if self._complete:
                    self._keep_keys(ledger)  # whoever spoils the ledger does not stop that keys are taken out
                raise
            self._keep_keys(ledger)
            self._complete = True

    def project_of(self, statement: Statement) -> Git:
        """git in the folder of the project that a permit is for, at whose commit the contract has the digest there.

        Raises `Failed` where the commit has no such contract, `Outside` where the repository does not have it.
        """
        commit, digest = statement.predicate.commit, statement.predicate.contract.digest
        with self._lock:
            if (commit, digest) not in self._projects:
                self._projects[commit, digest] = self._find_project(commit, digest)
            return self._projects[commit, digest]

    def _find_project(self, commit: str, digest: str) -> Git:
        self._require(self.git, commit, f"commit {commit[:12]}")
        paths = [path for path in self.git.files_at(commit) if f"/{path}".endswith(f"/{FILE_NAME}")]
        with scratch_folder() as scratch:
            for path in sorted(paths, key=lambda path: path.count("/")):
                if digest_file(self.git.export(commit, scratch, path) / path) == digest:
                    folder = self._folder / Path(path).parent
                    folder.mkdir(parents=True, exist_ok=True)
                    return Git(folder)
        raise Failed(f"commit {commit[:12]} has no {FILE_NAME} with the digest that the permit binds")

    def _keep_keys(self, ledger: Ledger) -> None:
        """Without a network, keys are those of the protected branch as it was last seen here."""
        tip = ledger.protected
        if tip == self._kept_keys:
            return
        if ledger.git.ref(PROTECTED) != tip:
            self._require(ledger.git, tip, "the tip of the protected branch")
            ledger.git("update-ref", PROTECTED, tip)
        self._kept_keys = tip

    def _clone(self) -> Ledger:
        with tempfile.TemporaryDirectory(prefix=BEGUN, dir=self._state) as scratch:
            made = Path(scratch, "made")
            settings = (part for name, value in self._repository.settings for part in ("--config", f"{name}={value}"))
            # Without local shortcuts, so that a path gives single commits as an address does.
            words = ("clone", "--quiet", "--no-checkout", "--no-local", "--depth=1", "--no-tags", "--template=")
            finished = run(
                ["git", *words, *settings, "--", self._repository.address, made],
                cwd=self._state,
                env={"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C.UTF-8"},
                timeout=FIRST,
            )
            if finished.code:
                raise self._unreachable(finished)
            shutil.rmtree(self._folder, ignore_errors=True)
            made.replace(self._folder)
        return self._open()

    def _open(self) -> Ledger:
        """A git that was killed leaves its locks, and nobody else works here."""
        for lock in (self._folder / ".git").rglob("*.lock"):
            lock.unlink(missing_ok=True)
        git, settings = Git(self._folder), (("gc.autoDetach", "false"), *self._repository.settings)
        for name in dict.fromkeys(name for name, _ in settings):
            git.try_("config", "--unset-all", name)
        for name, value in settings:
            git("config", "--add", name, value)
        git("symbolic-ref", f"{OF_ORIGIN}HEAD", PROTECTED)
        self._ledger, self._complete = Ledger(git, readable=self._model), git.ref(PROTECTED) is not None
        return self._ledger

    def _require(self, git: Git, commit: str, name: str) -> None:
        """Fetch a commit that is not here: alone, or with all branches where the server gives no single commits."""
        if git.resolve(commit):
            return
        kept = f"{commit}:refs/served/{commit}"  # a ref, so that git does not clean it away
        for words in (("--depth=1", "origin", kept), (WHOLE, "origin", "+refs/heads/*:refs/branches/*")):
            finished = git.try_(*FETCH, *words, timeout=PATIENCE)
            if finished.code == 0 and git.resolve(commit):
                return
        raise self._unreachable(finished) if finished.code else Outside(f"the repository no longer has {name}")

    def _unreachable(self, finished: Finished) -> Outside:
        repository = self._repository.name
        return Outside(f"{repository} does not answer: {finished.tail}", hint=f"git ls-remote {repository}")
