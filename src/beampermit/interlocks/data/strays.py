"""DAT008: what git must not hold, and where the data come from."""

from __future__ import annotations

from beampermit.errors import several
from beampermit.interlocks.data.work_tree import SHOWN
from beampermit.interlocks.interlock import Finding, Interlock, failed, passed
from beampermit.project import Project


class DAT008(Interlock):
    "No data or models in git, and the DVC remote is unchanged"

    def check(self, project: Project) -> Finding:
        """Move data and models from git to DVC: `git rm --cached FILE`, then `dvc add FILE`. A pull request cannot
        change `.dvc/config`, which decides where its own data come from: a maintainer pushes that change to the base
        branch.
        """
        from beampermit.datasets import configuration
        from beampermit.datasets.strays import tracked_strays

        changed = configuration.differences(project)
        tracked = list(tracked_strays(project.git))
        problems = [f"this pull request changes {configuration.FILE}: {change}" for change in changed]
        problems += [f"{stray.path} is in git and should not be: {stray.what}" for stray in tracked]
        if not problems:
            return passed("no data and no models in git; the DVC remote is that of the base branch")
        files = [configuration.FILE] * bool(changed) + [stray.path for stray in tracked]
        return failed(
            several(problems), *files[:SHOWN], configuration=changed, strays=[s.path for s in tracked[:SHOWN]]
        )
