"""DAT: the data are provably the ones this commit names, and they keep what the contract promises."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from beampermit.contract import FILE_NAME as FILE
from beampermit.errors import BadInput, BeampermitError, Tripped
from beampermit.interlocks.inputs import provides
from beampermit.interlocks.interlock import Absent, Finding, Interlock, closed, skipped, tripped
from beampermit.verdict import Location

SHOWN = 20


@provides
def dvc(project: Any) -> Any:
    """The project's DVC repository, opened once."""
    from beampermit.datasets.repository import Repository

    if not Repository.here(project):
        raise Absent("this is no DVC repository", hint="dvc init")
    return Repository(project)


class DAT001(Interlock):
    "dvc.lock matches dvc.yaml, parameters, code and data"

    def check(self, dvc: Any) -> Finding:
        """What is committed was not made by this commit. Run `dvc repro`, then `dvc push`, and commit `dvc.lock`."""
        from beampermit.datasets.lineage import changes

        found = changes(dvc)
        certain = [change for change in found if change.certain]
        if certain:
            words = [f"stage {change.stage}: {change.what}" for change in certain]
            files = dict.fromkeys(change.file for change in certain)
            return tripped(_several(words), *files, changes=words[:SHOWN])
        if found:
            return skipped(f"stage {found[0].stage}: {found[0].what}; run `beampermit data pull`")
        return closed(f"{len(dvc.stages)} stages are as their lock says")


class DAT002(Interlock):
    "All data are on the remote"

    def check(self, dvc: Any) -> Finding:
        """Others cannot get these data. Run `dvc push` where they were made; then run this check again."""
        from beampermit.datasets.completeness import look

        found = look(dvc)
        evidence = {"objects": found.objects, "asked": found.asked, "remotes": list(found.remotes)}
        if found.missing:
            return tripped(_several(list(found.missing)), "dvc.lock", missing=list(found.missing[:SHOWN]), **evidence)
        if not found.objects:
            return closed("DVC keeps no data here", **evidence)
        known = f"; {found.objects - found.asked} were there before" if found.asked < found.objects else ""
        return closed(f"{found.asked} objects are on {', '.join(found.remotes) or 'the remote'}{known}", **evidence)


class DAT003(Interlock):
    "Manifests are safe and bytes match their hashes"

    def check(self, dvc: Any) -> Finding:
        """Do not check these data out. Find out who made them; make them again with `dvc repro --force`, `dvc push`,
        and commit `dvc.lock`. Where only a copy on this machine is wrong, remove it and run `beampermit data pull`.
        """
        from beampermit.datasets.verification import manifest_faults, verify

        faults = manifest_faults(dvc, dvc.kept)
        if faults:
            return tripped(_several(faults), "dvc.lock", faults=faults[:SHOWN])
        found = verify(dvc, dvc.kept)
        evidence = {"files": found.files, "bytes": found.size}
        if found.wrong:
            return tripped(_several(list(found.wrong)), "dvc.lock", faults=list(found.wrong[:SHOWN]), **evidence)
        if found.absent:
            return skipped(
                f"manifests are sound, but {found.absent[0]} is not here to be read"
                f"{_more(len(found.absent) - 1)}; run `beampermit data pull`",
                absent=list(found.absent[:SHOWN]),
                **evidence,
            )
        folders = sum(output.folder for output in dvc.kept)
        return closed(f"{folders} manifests are safe, {found.files} files have the bytes of their hashes", **evidence)


class DAT004(Interlock):
    "Rows keep the contract: columns, units, ranges, finite"

    def check(self, project: Any, contract: Any, judge: Any) -> Finding:
        """These rows are not what the contract promises. Mend the stage that makes them and run `dvc repro`; or, if the
        promise is wrong, change `signals` in `contract.yaml` in a pull request of its own, before the data.
        """
        from beampermit.datasets import promises

        signals = promises.rules(contract, judge)
        reports = [
            promises.look(table, signals, judge.dataset.key, contract.dataset.target)
            for table in _tables(project, contract)
        ]
        changed = promises.ranges_changed(contract, judge)
        evidence = {
            "splits": [report.as_json() for report in reports],
            "ranges_changed": changed,
            "changes": _changes(project),
        }
        note = f"; judged by the base branch, this pull request changes {', '.join(changed)}" if changed else ""
        problems = [f"{report.path}: {problem}" for report in reports for problem in report.problems]
        if problems:
            files = [report.path for report in reports if report.problems]
            return tripped(_several(problems) + note, *files, problems=problems[:SHOWN], **evidence)
        rows = ", ".join(f"{report.rows} {report.split}" for report in reports)
        return closed(f"{rows} rows keep the contract{note}", **evidence)


class DAT005(Interlock):
    "Splits share no rows, groups, time or signals"

    def check(self, project: Any, contract: Any, judge: Any) -> Finding:
        """What a model was trained on must not judge it. Divide the data by the columns of `dataset.split` in
        `contract.yaml`, so that each value is in one split alone, and leave out what was recorded twice; then run
        `dvc repro`. A signal that was shifted, scaled or turned over is still the same signal.
        """
        from beampermit.datasets.duplicates import duplicates
        from beampermit.datasets.overlap import overlaps
        from beampermit.datasets.promises import rules

        tables = _tables(project, contract)
        signals = rules(contract, judge)
        found = overlaps(tables, judge.dataset) or list(duplicates(tables, signals, judge.dataset.key))
        if found:
            words = [overlap.words for overlap in found]
            files = dict.fromkeys(path for overlap in found for path in overlap.paths)
            return tripped(_several(words), *files, overlaps=[overlap.as_json() for overlap in found])
        rule = judge.dataset.split
        time = f" and no time by {rule.time}" if rule.time else ""
        return closed(
            f"{len(contract.dataset.splits)} splits share no rows, no {', no '.join(rule.by)}{time}, no signal"
        )


class DAT006(Interlock):
    "Labels are versioned, cover the dataset, and name who, when and why"

    def check(self, project: Any, contract: Any, judge: Any) -> Finding:
        """Make every row's label answer for itself: `labelled_by`, `labelled_at` and `why` are columns of the table of
        labels, and a person's word (`beampermit data label`) replaces a rule's. Then run `dvc repro` and `dvc push`;
        `beampermit data labels` shows what is covered and where people disagree.
        """
        from beampermit.datasets.labels import opinions, review
        from beampermit.datasets.tables import open_tables

        dataset = contract.dataset
        rules = judge.dataset.model_copy(update={"review": dataset.review, "splits": dataset.splits})
        reviewed = [dataset.review.file] if dataset.review and project.path(dataset.review.file).exists() else []
        unversioned = _unversioned(project, [dataset.labels, *reviewed])
        if unversioned:
            return tripped(f"{unversioned[0]} is kept neither by DVC nor by git", *unversioned)
        _present(project, [dataset.labels, *dataset.splits.values()])
        with _faulty():
            said = opinions.read(project.root, rules, dataset.review) if dataset.review else ()
        labels, *splits = open_tables(project.root, {"labels": dataset.labels, **dataset.splits})
        found = review.look(labels, splits, rules, said)
        evidence = found.as_json()
        if found.problems:
            return tripped(_several(found.problems), dataset.labels, **evidence)
        people = f"; {len(found.overruled)} rules overruled by people" if found.overruled else ""
        torn = f"; on {len(found.conflicts)} rows people disagree, the last word counts" if found.conflicts else ""
        words = f"{found.rows} labels by {len(found.people)}, every row of {len(splits)} splits has one"
        return closed(f"{words}{people}{torn}", **evidence)


class DAT007(Interlock):
    "The dataset's card can be written and its lineage is true"

    def check(self, project: Any, contract: Any) -> Finding:
        """Let the pipeline record what the splits were made from: `dvc repro` writes `dataset.lineage`, kept by
        git. What only a person knows of the data stands in `dataset.about` in `contract.yaml`; look at the whole with
        `beampermit data card`.
        """
        from beampermit.datasets import pedigree
        from beampermit.documents.completeness import about_gaps

        dataset = contract.dataset
        if dataset.about is None:
            return tripped("contract.yaml does not say what the data were gathered for: dataset.about is missing", FILE)
        gaps = about_gaps(contract, project.path(FILE).read_text(encoding="utf-8"))
        if gaps:
            places = (Location(file=FILE, line=gap.line) for gap in gaps)
            return tripped(_several([f"{gap.key} is {gap.why}" for gap in gaps]), *places)
        if not project.path(dataset.lineage).exists():
            return tripped(f"{dataset.lineage}, the record of what the splits were made from, is not here", FILE)
        if _unversioned(project, [dataset.lineage]):
            return tripped(f"{dataset.lineage} is kept neither by DVC nor by git", dataset.lineage)
        with _faulty():
            found = pedigree.read(project.root, dataset.lineage)
            _present(project, [*found.parents, *dataset.splits.values()])
            faults = list(pedigree.faults(project.root, found, dataset))
        if faults:
            return tripped(f"{dataset.lineage}: {_several(faults)}", dataset.lineage, faults=faults[:SHOWN])
        rows = {name: made.rows for name, made in found.splits.items()}
        words = (
            f"{len(found.splits)} splits are what {len(found.parents)} parents and {len(found.code)} files of code made"
        )
        return closed(words, parents=found.parents, rows=rows)


class DAT008(Interlock):
    "No data or models in git, and the DVC remote is unchanged"

    def check(self, project: Any) -> Finding:
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
            return closed("no data and no model in git; the DVC remote is the base branch's")
        files = [configuration.FILE] * bool(changed) + [stray.path for stray in found]
        return tripped(_several(words), *files[:SHOWN], configuration=changed, strays=[s.path for s in found[:SHOWN]])


def _tables(project: Any, contract: Any) -> list[Any]:
    """The splits' tables, if all are here and can be opened without harm. Raises `Absent`, `Tripped`."""
    from beampermit.datasets.tables import open_tables

    _present(project, contract.dataset.splits.values())
    return open_tables(project.root, contract.dataset.splits)


def _changes(project: Any) -> list[dict[str, Any]]:
    """What the splits are beside the base branch's, for the report; nothing where that cannot be seen from here."""
    from beampermit.datasets.differences import differences
    from beampermit.datasets.versions import HERE, version
    from beampermit.documents.changes.data import data
    from beampermit.documents.changes.sides import Sides
    from beampermit.documents.data_changes import Told

    try:
        sides = Sides(project)
        if sides.fork is None or not data(sides):
            return []
        found = differences(version(project, sides.fork), version(project, HERE))
    except BeampermitError:
        return []  # other interlocks say what is wrong with the data; a comparison is a courtesy
    return [Told.of(one).as_json() for one in found if one.words]


@contextmanager
def _faulty() -> Iterator[None]:
    """A file of the pull request that cannot be read is its fault, not the caller's."""
    try:
        yield
    except BadInput as error:
        raise Tripped(error.message, file=error.file, line=error.line, hint=error.hint) from None


def _present(project: Any, paths: Iterable[str]) -> None:
    absent = [path for path in paths if not (project.root / path).exists()]
    if absent:
        raise Absent(f"{absent[0]} is not here{_more(len(absent) - 1)}", hint="beampermit data pull")


def _unversioned(project: Any, paths: Iterable[str]) -> list[str]:
    """Those of `paths` that neither git tracks nor `dvc.lock` or a `.dvc` file binds. Raises `BadInput`."""
    from beampermit.documents.changes.data import after
    from beampermit.documents.changes.sides import Sides

    sides = Sides(project)
    bound = tuple(after(sides))
    return [
        path
        for path in paths
        if path not in sides.tracked and not any(path == kept or path.startswith(f"{kept}/") for kept in bound)
    ]


def _several(words: list[str]) -> str:
    return words[0] + _more(len(words) - 1)


def _more(count: int) -> str:
    return f" (and {count} more)" if count else ""
