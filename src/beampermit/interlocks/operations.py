"""OPS: what the service is run with fits what the contract promises."""

from __future__ import annotations

from beampermit.contract import FILE_NAME, Contract
from beampermit.errors import Problem, counted, several
from beampermit.interlocks.interlock import Finding, Interlock, bad_input_fails, failed, located, passed
from beampermit.project import Project

SHOWN = 4
"""Differences named in a reason; the verdict's places have all."""


class OPS002(Interlock):
    "The deployment files say what the contract says"

    decided_by = ("tree",)

    def check(self, project: Project, contract: Contract, base_contract: Contract) -> Finding:
        """`beampermit deployment` writes the files that say something else anew; restore in them what is your
        laboratory's. What the contract decides is compared: names and PVs, alarm limits and what operators read,
        memory, probes, and that nobody writes unless named. User, folders, image, layout and further PVs are yours.
        The folder is `serving.deployment` in `contract.yaml`; a pull request that takes this key away is still held to
        the base branch's."""
        from beampermit.deployment.deployment import deployment_of
        from beampermit.deployment.files import problems

        folder = contract.serving.deployment or base_contract.serving.deployment
        if folder is None:
            return passed(f"{FILE_NAME} names no folder of deployment files (serving.deployment)")
        with bad_input_fails():
            files = problems(project, folder, deployment_of(project))
        tracked = project.git.work_files()
        wrong = [problem for found in files.values() for problem in found]
        names = (f"{folder}/{name}" for name, found in files.items() if not found)
        wrong += [Problem("git ignores this file", name) for name in names if name not in tracked]
        if wrong:
            reasons = [str(problem) for problem in wrong]
            return failed(several(reasons, SHOWN), *located(wrong), differences=len(wrong))
        return passed(f"{counted(len(files), 'file')} in {folder}/")
