"""The environment that a commit is trained in: installed from its lock, or one that was made from the same lock."""

from __future__ import annotations

from pathlib import Path

from beampermit.environments import Environment
from beampermit.environments.choice import backend_of
from beampermit.environments.environment import prefix_of
from beampermit.environments.installation import install, shared_prefix
from beampermit.reproduction.prepared import Prepared
from beampermit.reproduction.reproduce import Environments
from beampermit.reproduction.retraining import Watcher


def fresh(watch: Watcher) -> Environments:
    """Each package installed anew, into a folder that goes when the reproduction is done."""
    return lambda ready: _installed(ready.tree, ready.own_environment, watch, reuse=False)


def reused(watch: Watcher) -> Environments:
    """The project's own environment where it is of the same lock, else the one that all checkouts of a lock share."""

    def found(ready: Prepared) -> Environment:
        own = prefix_of(ready.project.root).absolute()
        lock = backend_of(ready.tree).read(ready.tree)
        same = own.exists() and backend_of(ready.project.root).read(ready.project.root).stamp == lock.stamp
        return _installed(ready.tree, own if same else shared_prefix(lock), watch, reuse=True)

    return found


def _installed(tree: Path, prefix: Path, watch: Watcher, *, reuse: bool) -> Environment:
    return install(backend_of(tree), tree, prefix, reuse=reuse, watch=watch).environment
