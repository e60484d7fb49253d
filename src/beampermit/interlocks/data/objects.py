"""DAT001 to DAT003 and DAT008: data of this commit, on the remote, with the bytes of their hashes, not in git."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from beampermit.datasets.repository import Repository
from beampermit.errors import BadInput, Failed, Problem, counted, more, several
from beampermit.interlocks.data.work_tree import SHOWN
from beampermit.interlocks.inputs import provides
from beampermit.interlocks.interlock import Finding, Interlock, MissingInput, failed, located, passed, skipped
from beampermit.project import Project
from beampermit.verdicts.verdict import Location

PUSH = "Run `dvc push` on the machine where the data were made: it has what the remote lacks."


@provides
def dvc_if_any(project: Project) -> Repository | None:
    """The project's DVC repository; None where it has none."""
    return Repository(project) if Repository.exists(project) else None


@provides
def dvc(dvc_if_any: Repository | None, project: Project) -> Repository:
    """The project's DVC repository."""
    if dvc_if_any is None:
        raise MissingInput("this is not a DVC repository", hint=Repository.none_here(project))
    return dvc_if_any


class DAT001(Interlock):
    "dvc.lock matches dvc.yaml, parameters, code and data"

    decided_by = ("dvc",)

    def check(self, dvc: Repository) -> Finding:
        """Code, parameters or data changed after the pipeline ran. Run `dvc repro`, then `dvc push`, and commit
        `dvc.lock` together with the change."""
        from beampermit.datasets.stale_stages import stage_changes
        from beampermit.datasets.workspace import hidden_files

        if hidden := list(hidden_files(dvc)):
            reasons = [f"{path}: {reason}" for path, reason in hidden]
            places = [Location(file=path, reason=reason) for path, reason in hidden]
            fix = "Take away what hides it from DVC, then run `dvc repro`."
            return failed(several(reasons), *places, fix=fix, changes=reasons[:SHOWN])
        changes = stage_changes(dvc)
        certain = [change for change in changes if change.certain]
        if certain:
            reasons = [f"stage {change.stage}: {change.what}" for change in certain]
            places = [
                Location(file=change.file, reason=reason) for change, reason in zip(certain, reasons, strict=True)
            ]
            fixes = dict.fromkeys(change.fix or self.fix() for change in certain)
            return failed(several(reasons), *places, fix=" ".join(fixes), changes=reasons[:SHOWN])
        if changes:
            return skipped(f"stage {changes[0].stage}: {changes[0].what}; run `beampermit data pull`")
        return passed(f"dvc.lock matches {counted(len(dvc.stages), 'stage')}")


class DAT002(Interlock):
    "All data are on the DVC remote"

    decided_by = ("dvc", "remote")

    def check(self, dvc: Repository) -> Finding:
        """Run `dvc push` on the machine where the data were made. An object that is there with other bytes than its
        hash says is never pushed again ("Everything is up to date"): delete it on the remote, and the `.dir` manifest
        of its folder, then push from a machine that has the right bytes. Find out who wrote it. What `dvc import` took
        from another repository is pushed there.

        Objects that are new since the base branch are looked up, their sizes compared, and the bytes of up to 256 MiB
        of them read and hashed.
        """
        from beampermit.datasets.verification import check_remotes

        status = check_remotes(dvc)
        evidence: dict[str, Any] = {
            "objects": status.objects,
            "looked_up": status.looked_up,
            "remotes": list(status.remotes),
            "read": status.read,
        }
        if status.missing:
            return _named(status.missing, fix="" if status.altered else PUSH, **evidence)
        if not status.objects:
            return passed("DVC tracks no data in this project", **evidence)
        others = (
            f"; {status.objects - status.looked_up} more are on the base branch"
            if status.looked_up < status.objects
            else ""
        )
        some = "" if status.read == status.looked_up else f", {status.read} of them by bytes and the rest by size"
        return passed(
            f"{counted(status.looked_up, 'object')} found on {', '.join(status.remotes) or 'the remote'}{some}{others}",
            **evidence,
        )


class DAT003(Interlock):
    "DVC manifests are safe, and every file matches its hash"

    decided_by = ("commit", "dvc")

    def check(self, dvc: Repository) -> Finding:
        """Do not run `dvc checkout` or `dvc pull`: the data may be corrupt or tampered with. If only the copy on this
        machine is wrong, delete it and run `beampermit data pull`. Otherwise find out who pushed the data, make them
        again with `dvc repro --force` and `dvc push`, and commit `dvc.lock`.

        Two files can be made that have one md5. So whatever DVC stores and a stage reads is also listed with its sha256
        in a file of the commit: the one that `model.manifest` in `contract.yaml` names, or as a parent or split in the
        lineage record. Let the stage that writes the manifest depend on what it lists.
        """
        from beampermit.datasets.verification import absent_manifests, manifest_faults, verify, weakly_bound

        try:
            faults, absent = manifest_faults(dvc, dvc.outputs), absent_manifests(dvc, dvc.outputs)
        except Failed as error:  # the source of an import is not asked; DAT008 and DAT002 say so
            raise MissingInput(error.message, file=error.file) from None
        if faults or absent:
            return _named(faults or absent, fix="" if faults else PUSH)
        verified = verify(dvc, dvc.outputs)
        evidence: dict[str, Any] = {"files": verified.files, "bytes": verified.size}
        if verified.wrong:
            return _named(verified.wrong, **evidence)
        digests, names = _strong_digests(dvc.project)
        if names and (weak := weakly_bound(dvc, digests)):
            return _named(weak, before=f"compared with {names}: ", **evidence)
        if verified.absent:
            return skipped(
                f"manifests are safe, but {verified.absent[0]} is missing"
                f"{more(len(verified.absent) - 1)}; run `beampermit data pull`",
                absent=list(verified.absent[:SHOWN]),
                **evidence,
            )
        folders = sum(output.folder for output in dvc.outputs)
        return passed(
            f"{counted(folders, 'safe manifest')}; the hashes of {counted(verified.files, 'file')} match", **evidence
        )


def _named(problems: Sequence[Problem], fix: str = "", before: str = "", **evidence: Any) -> Finding:
    """A failure that names each problem in the file that binds the data."""
    reasons = [problem.message for problem in problems]
    return failed(before + several(reasons), *located(problems), fix=fix, faults=reasons[:SHOWN], **evidence)


def _strong_digests(project: Project) -> tuple[dict[str, str], str]:
    """Path -> sha256 by manifest and lineage record, and their names; nothing where there is no manifest yet.

    MDL001 and DAT007 say what is wrong with the two.
    """
    from beampermit.datasets.lineage import read_lineage
    from beampermit.models.manifest import Manifest

    if not project.has_contract:
        return {}, ""
    contract = project.contract
    try:
        digests = dict(Manifest.read(project.path(contract.model.manifest), contract.model.manifest).files)
    except BadInput:
        return {}, ""
    with suppress(BadInput):
        record = read_lineage(project.root, contract.dataset.lineage)
        digests |= {**record.parents, **{split.path: split.sha256 for split in record.splits.values()}}
    return digests, f"{contract.model.manifest} and {contract.dataset.lineage}"


class DAT008(Interlock):
    "No data or models in git, and the DVC remote is unchanged"

    decided_by = ("commit",)

    def check(self, project: Project) -> Finding:
        """Move data and models from git to DVC: `git rm --cached FILE`, then `dvc add FILE`. A small file that tests
        need may stay: name it with the reason under `dataset.in_git` in `contract.yaml`, in a separate pull request
        first, for the base branch's contract decides. A pull request cannot
        change `.dvc/config`, which decides where its own data come from, nor import from a repository that nothing on
        the base branch is imported from: a maintainer pushes that change to the base branch.
        """
        from beampermit.datasets import configuration
        from beampermit.datasets.imports import new_sources
        from beampermit.datasets.strays import tracked_strays

        changed = configuration.differences(project)
        imports = dict(new_sources(project))
        kept = _kept_in_git(project)
        tracked = [stray for stray in tracked_strays(project.git) if stray.path not in kept]
        problems = [f"this pull request changes {configuration.FILE}: {change}" for change in changed]
        problems += imports.values()
        problems += [f"{stray.path} is in git and should not be: {stray.what}" for stray in tracked]
        if not problems:
            allowed = f" but {', '.join(sorted(kept))}" if kept else ""
            return passed(f"no data and no models in git{allowed}; the DVC remote is that of the base branch")
        files = [configuration.file_of(project)] * len(changed) + [*imports] + [stray.path for stray in tracked]
        places = [Location(file=file, reason=problem) for file, problem in zip(files, problems, strict=True)]
        return failed(several(problems), *places, configuration=changed, strays=[s.path for s in tracked[:SHOWN]])


def _kept_in_git(project: Project) -> frozenset[str]:
    """Files that the base branch's contract lets git hold; none where no contract can be read."""
    try:
        return frozenset(project.base_contract.dataset.in_git or ())
    except BadInput:
        return frozenset()
