"""A package index and a locked project, for all tests of environments."""

from support.package_index import index, uv_project, uv_settings

__all__ = ["index", "uv_project", "uv_settings"]
