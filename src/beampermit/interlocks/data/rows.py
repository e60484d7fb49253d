"""DAT004 and DAT005: every row matches the contract, and no split repeats data of another."""

from __future__ import annotations

from typing import Any

from beampermit.changes.contract_changes import compare_contracts
from beampermit.changes.data import compare_splits
from beampermit.contract import Contract
from beampermit.errors import Failed, several
from beampermit.interlocks.data.work_tree import SHOWN, require_present
from beampermit.interlocks.interlock import Finding, Interlock, each, failed, located, passed
from beampermit.project import Project
from beampermit.verdicts.evidence import RowChecks, SplitRows
from beampermit.verdicts.verdict import Location

NOT_COMPARABLE = (
    "Nothing was compared. Fix the stage that writes this table and run `dvc repro`. If the table is right, correct "
    "`dataset.key`, `dataset.split` or `signals` in `contract.yaml` first, in a separate pull request: the base "
    "branch's contract decides."
)


class DAT004(Interlock):
    "Rows match the contract: columns, units, ranges, finite"

    decided_by = ("commit", "named")

    def check(self, project: Project, contract: Contract, base_contract: Contract) -> Finding:
        """Fix the stage that writes these rows and run `dvc repro`. If the data are right and the contract is wrong,
        change `signals` or `dataset.columns` in `contract.yaml` first, in a separate pull request: the base branch's
        contract decides. A target is in the unit and range of its output, unless `dataset.columns` says otherwise.
        """
        from beampermit.datasets import row_checks
        from beampermit.datasets.column_rules import column_rules

        signals = row_checks.base_signals(contract, base_contract)
        rules, rows = column_rules(contract, base_contract), base_contract.dataset
        target = contract.dataset.target or rows.target
        reports = [
            row_checks.check_rows(table, signals, rows.key, target, rows.split.time, rules)
            for table in _tables(project, contract)
        ]
        compared = compare_contracts(base_contract, contract)
        changes = compared.lines("signals.inputs", "dataset.columns")
        changes += [line for line in compared.lines("signals.outputs") if ".range " in line or ".target " in line]
        note = (
            f"; this pull request changes {', '.join(changes)}; the base branch's contract decides" if changes else ""
        )
        problems = [f"{report.path}: {problem}" for report in reports for problem in report.problems]
        evidence = RowChecks(
            splits=tuple(
                SplitRows(split=report.split, path=report.path, rows=report.rows, signals=report.signals)
                for report in reports
            ),
            problems=tuple(problems[:SHOWN]),
            contract_changes=tuple(changes),
            changes=compare_splits(project),
        )
        if problems:
            places = [place for report in reports for place in each(report.problems, report.path)]
            return failed(several(problems) + note, *places, evidence=evidence)
        rows = ", ".join(f"{report.rows} {report.split}" for report in reports)
        return passed(f"{rows} rows match the contract{note}", evidence)


class DAT005(Interlock):
    "Splits share no rows, groups, time or signals"

    decided_by = ("commit", "named")

    def check(self, project: Project, contract: Contract, base_contract: Contract) -> Finding:
        """Data that a model was trained on cannot test it. Split the data by the columns that `dataset.split` in
        `contract.yaml` names, so that each of their values is in one split only, and drop what was recorded twice. A
        signal that is shifted, scaled or inverted counts as the same signal, and a row whose inputs all differ by no
        more than their `resolution` as the same row. Then run `dvc repro`.
        """
        from beampermit.datasets.equal_rows import EqualRows, equal_rows
        from beampermit.datasets.overlap import SHORTEST, duplicates, not_compared, overlaps
        from beampermit.datasets.row_checks import base_signals

        signals, dataset = base_signals(contract, base_contract), base_contract.dataset
        rows = EqualRows()
        try:
            tables = _tables(project, contract)
            shared_data = overlaps(tables, dataset) or list(duplicates(tables, signals, dataset.key))
            if not shared_data:
                rows = equal_rows(project.root, contract.dataset.splits, signals, dataset.key, dataset.split.by)
                shared_data += rows.overlaps
        except Failed as error:
            return failed(str(error), *located(error.problems), fix=NOT_COMPARABLE)
        short = () if rows.values else not_compared(signals)
        evidence = {
            "overlaps": [overlap.as_json() for overlap in shared_data],
            "not_compared": short,
            "values_of_a_row": rows.values,
            "equal_by_chance": rows.alike,
        }
        if shared_data:
            reasons = [overlap.message for overlap in shared_data]
            places = [Location(file=path, reason=lap.message) for lap in shared_data for path in lap.paths]
            return failed(several(reasons), *places, **evidence)
        rule = dataset.split
        shared = [*(f"no {column}" for column in rule.by), *([f"no time by {rule.time}"] if rule.time else [])]
        reason = f"{len(contract.dataset.splits)} splits share no rows, {', '.join(shared)} and no signals"
        if rows.alike:
            reason += f"; of rows that repeat by nature, at least {rows.alike} stand in two splits"
        if short:
            reason += f"; too short to compare, with fewer than {SHORTEST} values: {', '.join(short)}"
        return passed(reason, **evidence)


def _tables(project: Project, contract: Contract) -> list[Any]:
    """The splits' tables, if all are here and safe to open. Raises `MissingInput`, `Failed`."""
    from beampermit.datasets.tables import open_tables

    require_present(project, contract.dataset.splits.values())
    return open_tables(project.root, contract.dataset.splits)
