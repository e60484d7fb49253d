"""Whether everything that this commit names is on its remote."""

from __future__ import annotations

from dataclasses import dataclass

from beampermit.datasets.repository import Repository


@dataclass(frozen=True)
class Found:
    """How many objects there are, how many were asked for (the rest is the base branch's), which are missing."""

    objects: int
    asked: int
    missing: tuple[str, ...]
    remotes: tuple[str, ...]


def look(repository: Repository) -> Found:
    """Ask remotes for the objects that are new since the base branch. Raises `Outside`."""
    remotes = {name: repository.remote(name) for name in sorted({o.remote for o in repository.kept}, key=str)}
    before = repository.base_objects() if remotes else set()
    missing = [f"{output.path} is declared `push: false`" for output in repository.kept if not output.pushed]
    everything: set[str] = set()
    asked: set[str] = set()
    for name, hash_name in {(output.remote, output.hash_name) for output in repository.kept}:
        outputs = [
            output
            for output in repository.kept
            if (output.remote, output.hash_name) == (name, hash_name) and output.pushed
        ]
        objects = repository.objects(outputs)
        new = objects.keys() - before
        everything |= objects.keys()
        asked |= new
        absent = remotes[name].missing(new, hash_name)
        missing += [f"{objects[oid]} is not on {remotes[name].name} (object {oid[:8]})" for oid in sorted(absent)]
    return Found(len(everything), len(asked), tuple(missing), tuple(remote.name for remote in remotes.values()))
