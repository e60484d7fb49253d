"""The rows of the splits: each keeps the contract, and no split holds what another one does."""

from __future__ import annotations

from typing import Any

from beampermit.changes.contract_changes import compare_contracts
from beampermit.changes.data import compare_splits
from beampermit.contract import Contract
from beampermit.errors import several
from beampermit.interlocks.data.here import SHOWN, present
from beampermit.interlocks.interlock import Finding, Interlock, failed, passed
from beampermit.project import Project
from beampermit.verdicts.evidence import RowChecks, SplitRows


class DAT004(Interlock):
    "Rows keep the contract: columns, units, ranges, finite"

    def check(self, project: Project, contract: Contract, base_contract: Contract) -> Finding:
        """These rows are not what the contract promises. Fix the stage that makes them and run `dvc repro`; or, if the
        promise is wrong, change `signals` in `contract.yaml` in a pull request of its own, before the data.
        """
        from beampermit.datasets import row_checks

        signals = row_checks.rules(contract, base_contract)
        reports = [
            row_checks.look(table, signals, base_contract.dataset.key, contract.dataset.target)
            for table in _tables(project, contract)
        ]
        changes = compare_contracts(base_contract, contract).lines("signals.inputs")
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
            files = [report.path for report in reports if report.problems]
            return failed(several(problems) + note, *files, evidence=evidence)
        rows = ", ".join(f"{report.rows} {report.split}" for report in reports)
        return passed(f"{rows} rows keep the contract{note}", evidence)


class DAT005(Interlock):
    "Splits share no rows, groups, time or signals"

    def check(self, project: Project, contract: Contract, base_contract: Contract) -> Finding:
        """What a model was trained on must not judge it. Divide the data by the columns of `dataset.split` in
        `contract.yaml`, so that each value is in one split alone, and leave out what was recorded twice; then run
        `dvc repro`. A signal that was shifted, scaled or turned over is still the same signal.
        """
        from beampermit.datasets.overlap import SHORTEST, duplicates, not_compared, overlaps
        from beampermit.datasets.row_checks import rules

        tables = _tables(project, contract)
        signals = rules(contract, base_contract)
        found = overlaps(tables, base_contract.dataset) or list(duplicates(tables, signals, base_contract.dataset.key))
        evidence = {"overlaps": [overlap.as_json() for overlap in found], "not_compared": not_compared(signals)}
        if found:
            words = [overlap.words for overlap in found]
            files = dict.fromkeys(path for overlap in found for path in overlap.paths)
            return failed(several(words), *files, **evidence)
        rule = base_contract.dataset.split
        shared = [*(f"no {column}" for column in rule.by), *([f"no time by {rule.time}"] if rule.time else [])]
        left = f"; not looked at for copies, being shorter than {SHORTEST} values: {', '.join(not_compared(signals))}"
        words = f"{len(contract.dataset.splits)} splits share no rows, {', '.join(shared)}"
        return passed(f"{words} and no copies of signals{left if evidence['not_compared'] else ''}", **evidence)


def _tables(project: Project, contract: Contract) -> list[Any]:
    """The splits' tables, if all are here and can be opened without harm. Raises `Absent`, `Failed`."""
    from beampermit.datasets.tables import open_tables

    present(project, contract.dataset.splits.values())
    return open_tables(project.root, contract.dataset.splits)
