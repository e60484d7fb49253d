"""DAT006: where labels come from."""

from __future__ import annotations

from beampermit.contract import Contract
from beampermit.errors import several
from beampermit.interlocks.data.work_tree import find_unversioned, require_present
from beampermit.interlocks.interlock import Finding, Interlock, bad_input_fails, failed, passed
from beampermit.project import Project


class DAT006(Interlock):
    "Every row has a versioned label with author, time and reason"

    def check(self, project: Project, contract: Contract, base_contract: Contract) -> Finding:
        """Run `beampermit data labels`. It shows which rows lack a label and where annotators disagree.

        The label table needs a row for every row of the dataset, with the columns `labelled_by`, `labelled_at` and
        `why`. To correct a label, use `beampermit data label`: a person's label replaces a rule's. Then run `dvc repro`
        and `dvc push`, and commit `dvc.lock`.
        """
        from beampermit.datasets.labels import annotations, review
        from beampermit.datasets.tables import open_tables

        dataset = contract.dataset
        rules = base_contract.dataset.model_copy(update={"review": dataset.review, "splits": dataset.splits})
        reviewed = [dataset.review.file] if dataset.review and project.path(dataset.review.file).exists() else []
        if unversioned := find_unversioned(project, [dataset.labels, *reviewed]):
            return failed(f"{unversioned[0]} is tracked neither by DVC nor by git", *unversioned)
        require_present(project, [dataset.labels, *dataset.splits.values()])
        with bad_input_fails():
            annotated = annotations.read_annotations(project.root, rules, dataset.review) if dataset.review else ()
        labels, *splits = open_tables(project.root, {"labels": dataset.labels, **dataset.splits})
        result = review.review_labels(labels, splits, rules, annotated)
        evidence = result.as_json()
        if result.problems:
            return failed(several(result.problems), dataset.labels, **evidence)
        reason = f"{result.rows} labels by {len(result.people)} authors cover every row of {len(splits)} splits"
        if result.overruled:
            reason += f"; annotators corrected {len(result.overruled)} labels of rules"
        if result.conflicts:
            reason += f"; they disagree on {len(result.conflicts)} rows, where the latest label counts"
        return passed(reason, **evidence)
