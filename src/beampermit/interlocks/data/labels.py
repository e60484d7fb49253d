"""Labels that answer for themselves."""

from __future__ import annotations

from beampermit.contract import Contract
from beampermit.errors import several
from beampermit.interlocks.data.here import present, unversioned
from beampermit.interlocks.interlock import Finding, Interlock, failed, bad_input_fails, passed
from beampermit.project import Project


class DAT006(Interlock):
    "Labels are versioned, cover the dataset, and name who, when and why"

    def check(self, project: Project, contract: Contract, base_contract: Contract) -> Finding:
        """Make every row's label answer for itself: `labelled_by`, `labelled_at` and `why` are columns of the table of
        labels, and a person's word (`beampermit data label`) replaces a rule's. Then run `dvc repro` and `dvc push`;
        `beampermit data labels` shows what is covered and where people disagree.
        """
        from beampermit.datasets.labels import annotations, review
        from beampermit.datasets.tables import open_tables

        dataset = contract.dataset
        rules = base_contract.dataset.model_copy(update={"review": dataset.review, "splits": dataset.splits})
        reviewed = [dataset.review.file] if dataset.review and project.path(dataset.review.file).exists() else []
        unkept = unversioned(project, [dataset.labels, *reviewed])
        if unkept:
            return failed(f"{unkept[0]} is kept neither by DVC nor by git", *unkept)
        present(project, [dataset.labels, *dataset.splits.values()])
        with bad_input_fails():
            said = annotations.read(project.root, rules, dataset.review) if dataset.review else ()
        labels, *splits = open_tables(project.root, {"labels": dataset.labels, **dataset.splits})
        found = review.look(labels, splits, rules, said)
        evidence = found.as_json()
        if found.problems:
            return failed(several(found.problems), dataset.labels, **evidence)
        people = f"; {len(found.overruled)} rules overruled by people" if found.overruled else ""
        torn = f"; on {len(found.conflicts)} rows people disagree, the last word counts" if found.conflicts else ""
        words = f"{found.rows} labels by {len(found.people)}, every row of {len(splits)} splits has one"
        return passed(f"{words}{people}{torn}", **evidence)
