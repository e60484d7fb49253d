"""Where the splits came from, and what only a person knows of them."""

from __future__ import annotations

from beampermit.contract import FILE_NAME as FILE
from beampermit.contract import Contract
from beampermit.errors import several
from beampermit.interlocks.data.here import SHOWN, present, unversioned
from beampermit.interlocks.interlock import Finding, Interlock, failed, bad_input_fails, passed
from beampermit.project import Project
from beampermit.verdicts.verdict import Location


class DAT007(Interlock):
    "The dataset's card can be written and its lineage is true"

    def check(self, project: Project, contract: Contract) -> Finding:
        """Let the pipeline record what the splits were made from: `dvc repro` writes `dataset.lineage`, kept by
        git. What only a person knows of the data stands in `dataset.about` in `contract.yaml`; look at the whole with
        `beampermit data card`.
        """
        from beampermit.contract.completeness import about_gaps
        from beampermit.datasets import lineage

        dataset = contract.dataset
        if dataset.about is None:
            return failed("contract.yaml does not say what the data were gathered for: dataset.about is missing", FILE)
        gaps = about_gaps(contract, project.path(FILE).read_text(encoding="utf-8"))
        if gaps:
            places = (Location(file=FILE, line=gap.line) for gap in gaps)
            return failed(several([f"{gap.key} is {gap.why}" for gap in gaps]), *places)
        if not project.path(dataset.lineage).exists():
            return failed(f"{dataset.lineage}, the record of what the splits were made from, is not here", FILE)
        if unversioned(project, [dataset.lineage]):
            return failed(f"{dataset.lineage} is kept neither by DVC nor by git", dataset.lineage)
        with bad_input_fails():
            found = lineage.read(project.root, dataset.lineage)
            present(project, [*found.parents, *dataset.splits.values()])
            faults = list(lineage.faults(project.root, found, dataset))
        if faults:
            return failed(f"{dataset.lineage}: {several(faults)}", dataset.lineage, faults=faults[:SHOWN])
        rows = {name: made.rows for name, made in found.splits.items()}
        words = (
            f"{len(found.splits)} splits are what {len(found.parents)} parents and {len(found.code)} files of code made"
        )
        return passed(words, parents=found.parents, rows=rows)
