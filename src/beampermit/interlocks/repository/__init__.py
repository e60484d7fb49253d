"""GIT: what the repository's workflows run, and who can change its branch."""

from beampermit.interlocks.repository.commit import GIT005
from beampermit.interlocks.repository.own import GIT006
from beampermit.interlocks.repository.protection import GIT001, GIT002
from beampermit.interlocks.repository.workflows import GIT003, GIT004, Workflows, workflows

__all__ = ["GIT001", "GIT002", "GIT003", "GIT004", "GIT005", "GIT006", "Workflows", "workflows"]
