"""What git holds that it should not, and where the data come from."""

from __future__ import annotations

from beampermit.errors import several
from beampermit.interlocks.data.here import SHOWN
from beampermit.interlocks.interlock import Finding, Interlock, failed, passed
from beampermit.project import Project


class DAT008(Interlock):
    "No data or models in git, and the DVC remote is unchanged"

    def check(self, project: Project) -> Finding:
        """Take data out of git with `git rm --cached FILE` and give them to DVC with `dvc add FILE`. A change of
        `.dvc/config` is not for a pull request that is judged by it: a maintainer pushes it by itself.
        """
        from beampermit.datasets import configuration
        from beampermit.datasets.strays import strays

        changed = configuration.differences(project)
        found = list(strays(project.git))
        words = [f"this pull request changes {configuration.FILE}: {change}" for change in changed]
        words += [f"{stray.path} is in git and should not be: {stray.what}" for stray in found]
        if not words:
            return passed("no data and no model in git; the DVC remote is the base branch's")
        files = [configuration.FILE] * bool(changed) + [stray.path for stray in found]
        return failed(several(words), *files[:SHOWN], configuration=changed, strays=[s.path for s in found[:SHOWN]])
