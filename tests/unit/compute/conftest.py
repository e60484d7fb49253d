"""Units of work, and a SLURM, for all tests of compute."""

from support.package_index import index, uv_project, uv_settings
from support.slurm import slurm, slurm_session
from support.units_of_work import tree, unit_of, work

__all__ = ["index", "slurm", "slurm_session", "tree", "unit_of", "uv_project", "uv_settings", "work"]
