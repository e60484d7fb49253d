"""What fails is a finding, not the end of the inventory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from beampermit.errors import BeampermitError, Outside
from beampermit.verdicts.inventory import Finding

Kind = TypeVar("Kind")


def guarded(work: Callable[[], Kind]) -> Kind | BeampermitError:
    """Whatever one project does to us, the others are still shown."""
    try:
        return work()
    except BeampermitError as error:
        return error
    except Exception as error:
        return Outside(f"{type(error).__name__}: {error}")


def failure(project: str, error: BeampermitError, more: str = "") -> Finding:
    """Something of a project, or of none, that cannot be read."""
    unknown = error.exit_code == Outside.exit_code
    return Finding(
        id="INV016",
        level="MINOR" if unknown else "MAJOR",
        project=project,
        message=f"{error}{more}",
        next=error.hint or (f"git ls-remote {project}" if project else "make the inventory again"),
        unknown=unknown,
    )
