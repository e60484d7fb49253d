"""What a stranger's pull request could reach through workflow files: rules over what is written, nothing is run."""

from beampermit.workflows.lint.lint import Defect, Linted, lint

__all__ = ["Defect", "Linted", "lint"]
