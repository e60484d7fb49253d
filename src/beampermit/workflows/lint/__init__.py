"""What the workflow files would let a stranger's pull request reach; nothing is run."""

from beampermit.workflows.lint.lint import Defect, Linted, lint

__all__ = ["Defect", "Linted", "lint"]
