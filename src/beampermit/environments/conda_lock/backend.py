"""The backend of conda-lock: `environment.yml` is solved into `conda-lock.yml`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from beampermit.environments.backend import Lock, Specification
from beampermit.environments.conda_lock import freshness, lockfile, specification
from beampermit.environments.conda_lock.install import install, with_micromamba
from beampermit.environments.conda_lock.installed import installed
from beampermit.environments.conda_lock.lockfile import RELOCK
from beampermit.environments.conda_lock.solve import Wanted, solve
from beampermit.environments.conda_lock.write import text_of
from beampermit.errors import BadInput, Problem
from beampermit.files import write_text
from beampermit.progress import Progress
from beampermit.reading import decode


@dataclass
class CondaLock:
    """`environment.yml` is solved into `conda-lock.yml` by rattler, for each platform and accelerator variant.

    `variant` is the one whose lock is read first and installed; `bundle`, if given, is the only place that packages
    come from; `program` links them: `rattler` or `micromamba`.
    """

    variant: str = ""
    bundle: Path | None = None
    program: str = "rattler"
    name: str = "conda-lock"
    lock_file: str = lockfile.FILE
    specification_file: str = specification.FILES[0]

    def detect(self, root: Path) -> bool:
        return specification.file_of(root) is not None

    def lock(self, root: Path, *, update: Sequence[str] = (), progress: Progress) -> Lock:
        """Solve each variant for each platform, then write all locks; none is written where one has no solution."""
        required = self.specification(root)
        wanted = [
            Wanted(variant, specification.virtual_repodata(root, variant), self._previous(root, variant, progress))
            for variant in required.content["variants"]
        ]
        solved = solve(required, wanted, update, progress)
        written = {
            lockfile.lock_file(one.variant): text_of(required, one, records, update, progress)
            for one, records in zip(wanted, solved, strict=True)
        }
        for name, text in written.items():
            path = root / name
            if not path.is_file() or path.read_bytes() != text.encode():
                write_text(path, text)
        sizes = {record["sha256"]: record.get("size") for one in solved for found in one.values() for record in found}
        lock = self.read(root)
        return replace(_sized(lock, sizes), others=tuple(_sized(other, sizes) for other in lock.others))

    def parse(self, text: str, name: str = lockfile.FILE) -> Lock:
        return lockfile.parse(text, name)

    def read(self, root: Path) -> Lock:
        """Read the project's `conda-lock.yml`, and the locks of its variants beside it."""
        names = {path.name for path in root.glob(f"*.{lockfile.FILE}") if not path.name.startswith(".")}
        locks = {lock.variant: lock for lock in (self._read(root, name) for name in {self.lock_file, *names})}
        if self.variant not in locks:
            raise self._unknown_variant(locks)
        others = [locks[variant] for variant in sorted(locks) if variant != self.variant]
        return replace(locks[self.variant], others=tuple(others))

    def specification(self, root: Path) -> Specification:
        return specification.read(root)

    def stale(self, specification: Specification, lock: Lock) -> tuple[Problem, ...]:
        return tuple(freshness.stale(specification, lock))

    def is_complete(self, root: Path, prefix: Path) -> bool:  # noqa: ARG002
        """Never: what is linked already costs `install` little."""
        return False

    def install(self, root: Path, prefix: Path, *, cached: bool = True, progress: Progress) -> None:  # noqa: ARG002
        """Fetch, hash and link the lock's packages. `cached` makes no difference: the cache is hashed at each use."""
        lock = self.read(root)
        if self.program == "micromamba":
            with_micromamba(lock, root, prefix, progress)
        else:
            install(lock, prefix, bundle=self.bundle, progress=progress)

    def installed(self, lock: Lock, prefix: Path) -> tuple[Problem, ...]:
        return tuple(installed(lock, prefix))

    def _unknown_variant(self, locks: Iterable[str]) -> BadInput:
        message, file = f"there is no lock for the variant {self.variant!r}", lockfile.lock_file(self.variant)
        declare = f"name its virtual packages in {self.variant}.{lockfile.VIRTUAL_PACKAGES[0]}, then run `{RELOCK}`"
        if variants := ", ".join(sorted(filter(None, locks))):
            return BadInput(f"{message}; there is {variants}", file=file, hint=declare)
        # A project for one kind of machine has one lock, and that one is meant.
        hint = f"leave --variant out; or {declare}"
        return BadInput(f"{message}; {self.lock_file} is for all machines", file=file, hint=hint)

    def _read(self, root: Path, name: str) -> Lock:
        path = root / name
        if not path.is_file():
            raise BadInput("there is no lock", file=name, hint="beampermit env lock")
        return self.parse(decode(path.read_bytes(), name), name)

    def _previous(self, root: Path, variant: str, progress: Progress) -> Lock | None:
        """The present lock, whose packages stay where they can; None where there is none that can be read."""
        try:
            return self._read(root, lockfile.lock_file(variant))
        except BadInput as error:
            if (root / lockfile.lock_file(variant)).is_file():
                progress(f"the present lock cannot be read ({error.message}), so every package may move")
            return None


def _sized(lock: Lock, sizes: Mapping[str, int | None]) -> Lock:
    """The lock with the sizes of its files, by their sha256: channels know them, and a lock of conda has none."""
    packages = (
        replace(one, artifacts=tuple(replace(file, size=sizes.get(file.sha256 or "")) for file in one.artifacts))
        for one in lock.packages
    )
    return replace(lock, packages=tuple(packages))
