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

        changes = stage_changes(dvc)
        certain = [change for change in changes if change.certain]
        if certain:
            reasons = [f"stage {change.stage}: {change.what}" for change in certain]
            files = dict.fromkeys(change.file for change in certain)
            return failed(several(reasons), *files, changes=reasons[:SHOWN])
        if changes:
            return skipped(f"stage {changes[0].stage}: {changes[0].what}; run `beampermit data pull`")
        return passed(f"{len(dvc.stages)} stages match dvc.lock")


class DAT002(Interlock):
    "All data are on the DVC remote"

    def check(self, dvc: Repository) -> Finding:
        """Run `dvc push` on the machine where the data were made."""
        from beampermit.datasets.verification import check_remotes

        status = check_remotes(dvc)
        evidence: dict[str, Any] = {
            "objects": status.objects,
            "looked_up": status.looked_up,
            "remotes": list(status.remotes),
        }
        if status.missing:
            return failed(several(list(status.missing)), "dvc.lock", missing=list(status.missing[:SHOWN]), **evidence)
        if not status.objects:
            return passed("DVC tracks no data in this project", **evidence)
        others = (
            f"; {status.objects - status.looked_up} more are on the base branch"
            if status.looked_up < status.objects
            else ""
        )
        return passed(
            f"{status.looked_up} objects are on {', '.join(status.remotes) or 'the remote'}{others}", **evidence
        )


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
        verified = verify(dvc, dvc.outputs)
        evidence: dict[str, Any] = {"files": verified.files, "bytes": verified.size}
        if verified.wrong:
            return failed(several(list(verified.wrong)), "dvc.lock", faults=list(verified.wrong[:SHOWN]), **evidence)
        if verified.absent:
            return skipped(
                f"manifests are safe, but {verified.absent[0]} is missing"
                f"{more(len(verified.absent) - 1)}; run `beampermit data pull`",
                absent=list(verified.absent[:SHOWN]),
                **evidence,
            )
        folders = sum(output.folder for output in dvc.outputs)
        return passed(f"{folders} manifests are safe, {verified.files} files match their hashes", **evidence)
