"""A project whose trials take an instant."""

from support.searched_project import searched, searched_once

__all__ = ["searched", "searched_once"]
