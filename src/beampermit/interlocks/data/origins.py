"""DAT006 and DAT007: where labels and splits come from, and what only a person knows about them."""

from __future__ import annotations

from beampermit.contract import FILE_NAME as FILE
from beampermit.contract import Contract
from beampermit.errors import counted, several
from beampermit.interlocks.data.work_tree import SHOWN, find_unversioned, require_present
from beampermit.interlocks.interlock import Finding, Interlock, bad_input_fails, each, failed, passed
from beampermit.project import Project
from beampermit.verdicts.verdict import Location


class DAT006(Interlock):
    "Every row has a versioned label with author, time and reason"

    decided_by = ("commit", "named")

    def check(self, project: Project, contract: Contract, base_contract: Contract) -> Finding:
        """Run `beampermit data labels`. It shows which rows lack a label and where annotators disagree.

        The label table needs a row for every row of the dataset, with the columns `labelled_by`, `labelled_at` and
        `why`. To correct a label, use `beampermit data label`: a person's label replaces a rule's. Then run `dvc repro`
        and `dvc push`, and commit `dvc.lock`.
        """
        from beampermit.datasets.labels import annotations, review
        from beampermit.datasets.tables import open_tables

        dataset = contract.dataset
        path = dataset.labels or base_contract.dataset.labels
        if path is None:
            return passed("nobody and nothing labels these data: the contract has no dataset.labels")
        removed = (
            "" if dataset.labels else "; this pull request removes dataset.labels; the base branch's contract decides"
        )
        by_people = (dataset if dataset.labels else base_contract.dataset).review
        own = {"review": by_people, "splits": dataset.splits}
        rules = (base_contract if base_contract.dataset.labels else contract).dataset.model_copy(update=own)
        reviewed = [by_people.file] if by_people and project.path(by_people.file).exists() else []
        if unversioned := find_unversioned(project, [path, *reviewed]):
            return failed(f"{unversioned[0]} is tracked neither by DVC nor by git{removed}", *unversioned)
        require_present(project, [path, *dataset.splits.values()])
        with bad_input_fails():
            annotated = annotations.read_annotations(project.root, rules, by_people) if by_people else ()
        labels, *splits = open_tables(project.root, {"labels": path, **dataset.splits})
        result = review.review_labels(labels, splits, rules, annotated)
        evidence = result.as_json()
        if result.problems:
            return failed(several(result.problems) + removed, *each(result.problems, path), **evidence)
        reason = (
            f"{counted(result.rows, 'label')} by {counted(len(result.people), 'author')}, one for every row of "
            f"{len(splits)} splits"
        )
        if result.overruled:
            reason += f"; annotators corrected {counted(len(result.overruled), 'label')} of rules"
        if result.conflicts:
            reason += f"; they disagree on {counted(len(result.conflicts), 'row')}, where the latest label counts"
        return passed(reason + removed, **evidence)


class DAT007(Interlock):
    "The dataset is described, and its lineage matches the files"

    decided_by = ("commit", "named", "dvc")

    def check(self, project: Project, contract: Contract) -> Finding:
        """The pipeline writes the lineage to the file that `dataset.lineage` in `contract.yaml` names: run `dvc repro`
        and commit that file with `dvc.lock`. Only a person can say why and how the data were collected, under
        `dataset.about` in `contract.yaml`. `beampermit data card` shows the result.
        """
        from beampermit.contract.completeness import about_gaps
        from beampermit.datasets import lineage

        dataset = contract.dataset
        if dataset.about is None:
            return failed("contract.yaml does not say why the data were collected: dataset.about is missing", FILE)
        gaps = about_gaps(contract, project.path(FILE).read_text(encoding="utf-8"))
        if gaps:
            places = [Location(file=FILE, line=gap.line, reason=f"{gap.key} is {gap.why}") for gap in gaps]
            return failed(several([place.reason for place in places]), *places)
        if not project.path(dataset.lineage).exists():
            return failed(f"{dataset.lineage}, the record of what the splits were made from, is missing", FILE)
        if find_unversioned(project, [dataset.lineage]):
            return failed(f"{dataset.lineage} is tracked neither by DVC nor by git", dataset.lineage)
        with bad_input_fails():
            recorded = lineage.read_lineage(project.root, dataset.lineage)
            require_present(project, recorded.parents, dataset.lineage)
            require_present(project, dataset.splits.values())
            faults = list(lineage.faults(project.root, recorded, dataset))
        if faults:
            places = each(faults, dataset.lineage)
            return failed(f"{dataset.lineage}: {several(faults)}", *places, faults=faults[:SHOWN])
        rows = {name: made.rows for name, made in recorded.splits.items()}
        parents, code = recorded.parents, recorded.code
        reason = (
            f"{len(rows)} splits, made from {counted(len(parents), 'data file')} by {counted(len(code), 'source file')}"
        )
        return passed(reason + ("" if dataset.labels else "; nothing labels them"), parents=parents, rows=rows)
