"""conda-lock behind the protocol of `environments.backend`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from beampermit.environments.backend import Lock, Specification
from beampermit.environments.conda_lock import freshness, lockfile, specification, variants
from beampermit.environments.conda_lock.install import install, with_micromamba
from beampermit.environments.conda_lock.installed import installed
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
    lock_file: str = variants.FILE
    specification_file: str = specification.FILES[0]

    def detect(self, root: Path) -> bool:
        """An `environment.yml` is there."""
        return specification.file_of(root) is not None

    def lock(self, root: Path, *, update: Sequence[str] = (), progress: Progress) -> Lock:
        """Solve each variant for each platform, then write all locks: where one has no solution, none is written."""
        asked = self.specification(root)
        wanted = [
            Wanted(variant, specification.virtual_repodata(root, variant), self._before(root, variant, progress))
            for variant in asked.content["variants"]
        ]
        solved = solve(asked, wanted, update, progress)
        written = {
            variants.lock_file(one.variant): text_of(asked, one, records)
            for one, records in zip(wanted, solved, strict=True)
        }
        for name, text in written.items():
            path = root / name
            if not path.is_file() or path.read_bytes() != text.encode():
                write_text(path, text)
        return self.read(root)

    def parse(self, text: str, name: str = variants.FILE) -> Lock:
        """Read the text of a `conda-lock.yml`."""
        return lockfile.parse(text, name)

    def read(self, root: Path) -> Lock:
        """Read the project's `conda-lock.yml`, and the locks of its variants beside it."""
        found = [path.name for path in root.glob(f"*.{variants.FILE}") if not path.name.startswith(".")]
        locks = {lock.variant: lock for lock in (self._one(root, name) for name in {self.lock_file, *found})}
        if self.variant not in locks:
            raise self._unknown(locks)
        others = [locks[variant] for variant in sorted(locks) if variant != self.variant]
        return replace(locks[self.variant], others=tuple(others))

    def specification(self, root: Path) -> Specification:
        """Read the project's environment files."""
        return specification.read(root)

    def stale(self, specification: Specification, lock: Lock) -> tuple[Problem, ...]:
        """Compare the lock with the environment files, and its packages with each other."""
        return tuple(freshness.stale(specification, lock))

    def install(self, root: Path, prefix: Path, *, cached: bool = True, progress: Progress) -> None:  # noqa: ARG002
        """Bring what the lock names, hash it, link it. What a cache holds is hashed each time, so it may be used."""
        lock = self.read(root)
        if self.program == "micromamba":
            with_micromamba(lock, root, prefix, progress)
        else:
            install(lock, prefix, bundle=self.bundle, progress=progress)

    def installed(self, lock: Lock, prefix: Path) -> tuple[Problem, ...]:
        """Compare the environment's packages and files with the lock."""
        return tuple(installed(lock, prefix))

    def _unknown(self, locks: Iterable[str]) -> BadInput:
        words, file = f"there is no lock for the variant {self.variant!r}", variants.lock_file(self.variant)
        named = f"name its virtual packages in {self.variant}.{variants.VIRTUAL[0]}, then run `beampermit env lock`"
        if known := ", ".join(sorted(filter(None, locks))):
            return BadInput(f"{words}; there is {known}", file=file, hint=named)
        # A project for one kind of machine alone has one lock, and it is the one that is meant.
        return BadInput(
            f"{words}; {self.lock_file} is the only one, for all machines",
            file=file,
            hint=f"leave --variant out; or {named}",
        )

    def _one(self, root: Path, name: str) -> Lock:
        path = root / name
        if not path.is_file():
            raise BadInput("there is no lock", file=name, hint="beampermit env lock")
        return self.parse(decode(path.read_bytes(), name), name)

    def _before(self, root: Path, variant: str, progress: Progress) -> Lock | None:
        """The lock that is there, whose packages are to stay; None where there is none, or none that can be read."""
        try:
            return self._one(root, variants.lock_file(variant))
        except BadInput as error:
            if (root / variants.lock_file(variant)).is_file():
                progress(f"the old lock cannot be read ({error.message}): nothing is kept of it")
            return None
