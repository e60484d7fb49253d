"""A change of targets: what of the base branch's contract still judges it, and how it is announced."""

from __future__ import annotations

from beampermit.changes.base_and_head import BaseAndHead
from beampermit.changes.contract_changes import compare_contracts
from beampermit.changes.data import compare_data
from beampermit.contract import FILE_NAME, Contract
from beampermit.contract.measured import output_of
from beampermit.datasets.dvc_lock import pipeline_locks
from beampermit.models.manifest import Manifest
from beampermit.models.mlmodel import FILE_NAME as MLMODEL
from beampermit.models.packaged import PACKAGED_CONTRACT

REPACKAGED = frozenset({PACKAGED_CONTRACT, MLMODEL})
"""Files of a saved model that another contract changes."""


def lost_targets(rules: Contract, own: Contract) -> frozenset[str]:
    """Targets by `rules` that the model of the contract `own` has no more."""
    return rules.targets - own.targets


def replaced_metrics(rules: Contract, own: Contract) -> tuple[str, ...]:
    """Metrics of `rules` that say nothing of a model that has some targets no more."""
    lost = lost_targets(rules, own)
    if not lost:
        return ()
    return tuple(
        metric.name for metric in rules.metrics if not metric.measure or output_of(metric, rules.signals).target in lost
    )


def with_own_targets(rules: Contract, own: Contract) -> Contract:
    """What judges a model of the contract `own`, which has other targets than `rules`.

    Of `rules`, all stays but what is about targets that the model has no more: metrics of a lost target, and those that
    the project's own code computes, are replaced by those of `own`.
    """
    lost, replaced = lost_targets(rules, own), replaced_metrics(rules, own)
    metrics = tuple(metric for metric in rules.metrics if metric.name not in replaced)
    names = {metric.name for metric in metrics}
    outputs = {output.name: output for output in own.signals.outputs}
    outputs |= {output.name: output for output in rules.signals.outputs if output.target not in lost}
    dataset = rules.dataset.model_copy(
        update={"columns": tuple(column for column in rules.dataset.columns if column.name not in lost)}
    )
    if rules.dataset.target in lost:
        labelled = {key: getattr(own.dataset, key) for key in ("target", "labels", "review")}
        dataset = dataset.model_copy(update=labelled)
    return rules.model_copy(
        update={
            "metrics": (*metrics, *(metric for metric in own.metrics if metric.name not in names)),
            "signals": rules.signals.model_copy(update={"outputs": tuple(outputs.values())}),
            "dataset": dataset,
            "evaluation": own.evaluation.model_copy(update={"inputs": rules.evaluation.inputs}),
        }
    )


def changed_besides(base_and_head: BaseAndHead, before: Contract, after: Contract) -> list[str]:
    """What a pull request changes besides `incomparable` in the contract, and the files that follow from it.

    A saved model holds its contract: `dvc.lock` and the manifest follow, and in the model the contract and `MLmodel`.
    Raises `BadInput` for a file of the work tree that cannot be read.
    """
    changes = compare_contracts(before, after)
    keys = [change.key for change in (*changes.gates, *changes.texts) if not change.key.startswith("incomparable")]
    locks = pipeline_locks(base_and_head.tracked)
    follow = {f"{base_and_head.prefix}{path}" for path in (FILE_NAME, after.model.manifest, *locks)}
    paths = [path for path in base_and_head.changed_paths() if path not in follow]
    data = [change.path for change in compare_data(base_and_head) if change.path != after.model.path]
    return list(dict.fromkeys([*keys, *paths, *data, *changed_model_files(base_and_head, before, after)]))


def changed_model_files(base_and_head: BaseAndHead, before: Contract, after: Contract) -> list[str]:
    """By the manifests, which MDL001 compares with the files: what differs but the packaged contract."""
    old, new = base_and_head.before(before.model.manifest), base_and_head.after(after.model.manifest)
    files = [Manifest.parse(text, after.model.manifest).files if text else {} for text in (old, new)]
    follow = {f"{after.model.path}/{name}" for name in REPACKAGED}
    return sorted(
        path for path in {*files[0], *files[1]} if files[0].get(path) != files[1].get(path) and path not in follow
    )
