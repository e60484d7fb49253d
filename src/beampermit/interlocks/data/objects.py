"""The objects that DVC keeps: made by this commit, on the remote, and with the bytes of their hashes."""

from __future__ import annotations

from beampermit.datasets.repository import Repository
from beampermit.errors import more, several
from beampermit.interlocks.data.here import SHOWN
from beampermit.interlocks.inputs import provides
from beampermit.interlocks.interlock import MissingInput, Finding, Interlock, failed, passed, skipped
from beampermit.project import Project


@provides
def dvc(project: Project) -> Repository:
    """The project's DVC repository, opened once."""
    if not Repository.here(project):
        raise MissingInput("this is no DVC repository", hint="dvc init")
    return Repository(project)


class DAT001(Interlock):
    "dvc.lock matches dvc.yaml, parameters, code and data"

    def check(self, dvc: Repository) -> Finding:
        """What is committed was not made by this commit. Run `dvc repro`, then `dvc push`, and commit `dvc.lock`."""
        from beampermit.datasets.stale_stages import changes

        found = changes(dvc)
        certain = [change for change in found if change.certain]
        if certain:
            words = [f"stage {change.stage}: {change.what}" for change in certain]
            files = dict.fromkeys(change.file for change in certain)
            return failed(several(words), *files, changes=words[:SHOWN])
        if found:
            return skipped(f"stage {found[0].stage}: {found[0].what}; run `beampermit data pull`")
        return passed(f"{len(dvc.stages)} stages are as their lock says")


class DAT002(Interlock):
    "All data are on the remote"

    def check(self, dvc: Repository) -> Finding:
        """Others cannot get these data. Run `dvc push` where they were made; then run this check again."""
        from beampermit.datasets.verification import look

        found = look(dvc)
        evidence = {"objects": found.objects, "asked": found.asked, "remotes": list(found.remotes)}
        if found.missing:
            return failed(several(list(found.missing)), "dvc.lock", missing=list(found.missing[:SHOWN]), **evidence)
        if not found.objects:
            return passed("DVC keeps no data here", **evidence)
        known = f"; {found.objects - found.asked} were there before" if found.asked < found.objects else ""
        return passed(f"{found.asked} objects are on {', '.join(found.remotes) or 'the remote'}{known}", **evidence)


class DAT003(Interlock):
    "Manifests are safe and bytes match their hashes"

    def check(self, dvc: Repository) -> Finding:
        """Do not check these data out. Find out who made them; make them again with `dvc repro --force`, `dvc push`,
        and commit `dvc.lock`. Where only a copy on this machine is wrong, remove it and run `beampermit data pull`.
        """
        from beampermit.datasets.verification import manifest_faults, verify

        faults = manifest_faults(dvc, dvc.kept)
        if faults:
            return failed(several(faults), "dvc.lock", faults=faults[:SHOWN])
        found = verify(dvc, dvc.kept)
        evidence = {"files": found.files, "bytes": found.size}
        if found.wrong:
            return failed(several(list(found.wrong)), "dvc.lock", faults=list(found.wrong[:SHOWN]), **evidence)
        if found.absent:
            return skipped(
                f"manifests are sound, but {found.absent[0]} is not here to be read"
                f"{more(len(found.absent) - 1)}; run `beampermit data pull`",
                absent=list(found.absent[:SHOWN]),
                **evidence,
            )
        folders = sum(output.folder for output in dvc.kept)
        return passed(f"{folders} manifests are safe, {found.files} files have the bytes of their hashes", **evidence)
