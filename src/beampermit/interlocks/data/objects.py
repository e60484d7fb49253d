"""DAT001 to DAT003: DVC's objects are made by this commit, on the remote, and have the bytes of their hashes."""

from __future__ import annotations

from typing import Any

from beampermit.datasets.repository import Repository
from beampermit.errors import more, several
from beampermit.interlocks.data.work_tree import SHOWN
from beampermit.interlocks.inputs import provides
from beampermit.interlocks.interlock import Finding, Interlock, MissingInput, failed, passed, skipped
from beampermit.project import Project


@provides
def dvc(project: Project) -> Repository:
    """The project's DVC repository."""
    if not Repository.exists(project):
        raise MissingInput("this is not a DVC repository", hint="dvc init")
    return Repository(project)


class DAT001(Interlock):
    "dvc.lock matches dvc.yaml, parameters, code and data"

    def check(self, dvc: Repository) -> Finding:
        """Code, parameters or data changed after the pipeline ran. Run `dvc repro`, then `dvc push`, and commit
        `dvc.lock` together with the change."""
        from beampermit.datasets.stale_stages import stage_changes

        found = stage_changes(dvc)
        certain = [change for change in found if change.certain]
        if certain:
            reasons = [f"stage {change.stage}: {change.what}" for change in certain]
            files = dict.fromkeys(change.file for change in certain)
            return failed(several(reasons), *files, changes=reasons[:SHOWN])
        if found:
            return skipped(f"stage {found[0].stage}: {found[0].what}; run `beampermit data pull`")
        return passed(f"{len(dvc.stages)} stages match dvc.lock")


class DAT002(Interlock):
    "All data are on the DVC remote"

    def check(self, dvc: Repository) -> Finding:
        """Run `dvc push` on the machine where the data were made."""
        from beampermit.datasets.verification import check_remotes

        found = check_remotes(dvc)
        evidence: dict[str, Any] = {
            "objects": found.objects,
            "looked_up": found.looked_up,
            "remotes": list(found.remotes),
        }
        if found.missing:
            return failed(several(list(found.missing)), "dvc.lock", missing=list(found.missing[:SHOWN]), **evidence)
        if not found.objects:
            return passed("DVC tracks no data in this project", **evidence)
        known = (
            f"; {found.objects - found.looked_up} more are on the base branch"
            if found.looked_up < found.objects
            else ""
        )
        return passed(f"{found.looked_up} objects are on {', '.join(found.remotes) or 'the remote'}{known}", **evidence)


class DAT003(Interlock):
    "DVC manifests are safe, and every file matches its hash"

    def check(self, dvc: Repository) -> Finding:
        """Do not run `dvc checkout` or `dvc pull`: the data may be corrupt or tampered with. If only the copy on this
        machine is wrong, delete it and run `beampermit data pull`. Otherwise find out who pushed the data, make them
        again with `dvc repro --force` and `dvc push`, and commit `dvc.lock`.
        """
        from beampermit.datasets.verification import manifest_faults, verify

        faults = manifest_faults(dvc, dvc.outputs)
        if faults:
            return failed(several(faults), "dvc.lock", faults=faults[:SHOWN])
        found = verify(dvc, dvc.outputs)
        evidence: dict[str, Any] = {"files": found.files, "bytes": found.size}
        if found.wrong:
            return failed(several(list(found.wrong)), "dvc.lock", faults=list(found.wrong[:SHOWN]), **evidence)
        if found.absent:
            return skipped(
                f"manifests are safe, but {found.absent[0]} is missing"
                f"{more(len(found.absent) - 1)}; run `beampermit data pull`",
                absent=list(found.absent[:SHOWN]),
                **evidence,
            )
        folders = sum(output.folder for output in dvc.outputs)
        return passed(f"{folders} manifests are safe, {found.files} files match their hashes", **evidence)
