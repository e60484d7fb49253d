"""The conda-lock backend: `environment.yml` and `conda-lock.yml`."""

from beampermit.environments.conda_lock.backend import CondaLock

__all__ = ["CondaLock"]
