"""Units of work, for all tests of compute."""

from support.package_index import index, uv_project, uv_settings
from support.units_of_work import tree, unit_of, work

__all__ = ["index", "tree", "unit_of", "uv_project", "uv_settings", "work"]
