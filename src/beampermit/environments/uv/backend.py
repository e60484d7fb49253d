"""The backend of uv: `pyproject.toml` is solved into `uv.lock`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from beampermit.environments.backend import Lock, Specification
from beampermit.environments.environment import stamp_of
from beampermit.environments.platforms import TAGS, current_platform
from beampermit.environments.records import recorded
from beampermit.environments.uv import files, freshness, lockfile, requirements_txt, specification
from beampermit.environments.uv.command import PREFIX, complete, start, uv
from beampermit.environments.uv.installed import excluded, installed, is_sealed, remember
from beampermit.errors import BadInput, BeampermitError, Failed, Problem
from beampermit.files import write_bytes
from beampermit.progress import Progress
from beampermit.reading import decode


@dataclass
class Uv:
    """`pyproject.toml` is solved into `uv.lock`, and `uv.lock` is installed, by uv.

    `variant` is the extra to install, `cpu` or `cuda`; with `bundle`, files are taken from there alone.
    """

    variant: str = ""
    bundle: Path | None = None
    name: str = "uv"
    lock_file: str = lockfile.FILE
    specification_file: str = specification.FILE

    def detect(self, root: Path) -> bool:
        return any((root / name).is_file() for name in (self.specification_file, specification.REQUIREMENTS))

    def lock(self, root: Path, *, update: Sequence[str] = (), progress: Progress) -> Lock:
        """Run `uv lock`, then add the hashes that uv leaves out, those of wheels in local folders.

        A project that has a `requirements.txt` alone gets a `pyproject.toml` with what is in it, once that is locked
        with the hashes that are pinned there.
        """
        if not requirements_txt.to_adopt(root):
            return self._lock(root, update, progress)
        file = root / self.lock_file
        before = file.read_bytes() if file.is_file() else None
        requirements_txt.adopt(root)
        try:
            lock = self._lock(root, update, progress)
            requirements_txt.finish(root, lock)
        except BaseException as error:
            (root / self.specification_file).unlink(missing_ok=True)
            file.unlink(missing_ok=True)
            if before is not None:
                write_bytes(file, before)
            if isinstance(error, BeampermitError) and error.file == self.specification_file:
                error.file, error.line = specification.REQUIREMENTS, None
            raise
        return lock

    def _lock(self, root: Path, update: Sequence[str], progress: Progress) -> Lock:
        required = specification.read(root, begun=True)
        specification.refuse_settings(required)
        specification.refuse_unlockable(required)
        _refuse_membership(root)
        progress("solving")
        with start(root) as edited:
            moving = (part for name in (*update, *edited) for part in ("--upgrade-package", name))
            uv(["lock", *(["--upgrade"] if "*" in update else moving)], cwd=root)
            progress("hashing wheels from local folders")
            complete(root)
            return self.read(root)

    def parse(self, text: str, name: str = lockfile.FILE) -> Lock:
        return lockfile.parse(text, name)

    def read(self, root: Path) -> Lock:
        path = root / self.lock_file
        if not path.is_file():
            raise BadInput("there is no lock", file=self.lock_file, hint="beampermit env lock")
        lock = self.parse(decode(path.read_bytes(), self.lock_file))
        return replace(lock, variant=specification.choose_variant(lock, self.variant))

    def specification(self, root: Path) -> Specification:
        return specification.read(root)

    def stale(self, specification: Specification, lock: Lock) -> tuple[Problem, ...]:
        return freshness.stale(specification, lock)

    def is_complete(self, root: Path, prefix: Path) -> bool:
        """Whether no file of the environment differs from the lock. Raises `Failed` for a lock that is stale."""
        lock = self.read(root)
        try:
            if self.bundle or self.installed(lock, prefix):
                return False
        except BadInput:  # its Python does not start
            return False
        self._refuse(root, lock)
        self._sync(root, prefix, lock, "--dry-run")
        return True

    def install(self, root: Path, prefix: Path, *, cached: bool = True, progress: Progress) -> None:
        """Run `uv sync --locked`: it never solves, and refuses a stale lock or a file with a wrong hash.

        uv hashes a file when it fetches it, and not what it kept in its cache. So a package is taken from the cache
        only where its files are recorded from one that was fetched.
        """
        lock = self.read(root)
        self._refuse(root, lock)
        # What was there and is not ours may hold anything that is not a package.
        ours = not prefix.exists() or is_sealed(prefix)
        if self.bundle:
            files.install(lock, root, prefix, self.bundle, progress)
            remember(lock, prefix, None, seal=ours)
            return
        platform = current_platform()
        candidates = files.packages_for(lock, platform).values() if platform in TAGS else lock.packages
        fresh = sorted({one.name for one in candidates if not (one.own or (cached and recorded(one)))})
        if fresh:
            uv(["cache", "clean", *fresh], cwd=root)
        progress(f"installing the lock into {prefix}")
        self._sync(root, prefix, lock, *(part for name in fresh for part in ("--reinstall-package", name)))
        remember(lock, prefix, fresh, seal=ours)

    def _refuse(self, root: Path, lock: Lock) -> None:
        specification.refuse_settings(self.specification(root))
        if problem := excluded(lock):
            raise Failed(problem.message, file=problem.file, line=problem.line)

    def _sync(self, root: Path, prefix: Path, lock: Lock, *options: str) -> None:
        folders = [source for source in lock.sources if "://" not in source]
        chosen = ["--no-install-project", "--all-groups", *(["--extra", lock.variant] if lock.variant else [])]
        links = [part for folder in folders for part in ("--find-links", folder)]
        uv(["sync", "--locked", *chosen, *options, *links], cwd=root, env={PREFIX: str(prefix)})

    def installed(self, lock: Lock, prefix: Path) -> tuple[Problem, ...]:
        return tuple(installed(_stamped(lock, prefix), prefix))


def _refuse_membership(root: Path) -> None:
    """Raise `BadInput` for a member of a workspace above, whose one lock uv would write there."""
    above = Path(uv(["workspace", "dir"], cwd=root).out.strip())
    if above.resolve() != root.resolve():
        raise BadInput(
            f"the project has no lock of its own: it is a member of the workspace in {above}",
            file=specification.FILE,
            hint="name the folder under exclude of [tool.uv.workspace] there, or lock the workspace as a whole",
        )


def _stamped(lock: Lock, prefix: Path) -> Lock:
    """The lock, set to the variant in the environment's stamp."""
    _, _, variant = stamp_of(prefix).partition(" ")
    return replace(lock, variant=variant) if variant in specification.variants_of(lock) else lock
