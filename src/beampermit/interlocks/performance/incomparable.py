"""What a contract calls incomparable: announced alone, about the champion, and in effect for other targets only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from beampermit.changes.base_and_head import BaseAndHead
from beampermit.changes.incomparable import changed_besides, replaced_metrics
from beampermit.contract import Contract
from beampermit.contract.completeness import unwritten
from beampermit.contract.judging import Incomparable as Declared
from beampermit.errors import BadInput, several
from beampermit.models.packaged import OwnContract
from beampermit.project import Project
from beampermit.verdicts.evidence import Incomparable

if TYPE_CHECKING:
    from beampermit.registry.event import Event
    from beampermit.registry.ledger import Ledger

SHOWN = 5
ALONE = (
    "Open a pull request that adds `incomparable` to `contract.yaml` and changes nothing else; `dvc repro package` may "
    "follow, where the saved model holds the contract. Reviewers then decide on that alone. After it is merged, the "
    "pull request with the other targets is judged without what is about the earlier ones."
)
REMOVED = "this pull request removes incomparable, which it needs until the new version is in service"
NOTHING_TO_COMPARE = (
    "The champion predicts other targets than the base branch's metrics are about. Where the targets themselves have "
    "changed, say so in a pull request of its own: `incomparable: {version: ..., reason: ...}` in `contract.yaml`. "
    "Otherwise let an output name the target that the champion has."
)


def declaration_problem(project: Project, contract: Contract, champion: Event | None, ledger: Ledger) -> str:
    """Why this pull request may not call a version incomparable; empty where it may, or does not."""
    new, before = contract.incomparable, project.contract_on_base
    if new is None or before is None or new == before.incomparable:
        return ""
    why = _why_not(new, champion, ledger) or _what_else(project, before, contract)
    return why and f"contract.yaml calls version {new.version} incomparable, and {why}"


def _why_not(new: Declared, champion: Event | None, ledger: Ledger) -> str:
    from beampermit.registry.incomparable import is_about

    if why := unwritten(new.reason):
        return f"its reason is {why}"
    if champion is None:
        return "nothing has been promoted"
    return "" if is_about(new, champion, ledger) else f"the champion is version {champion.version}"


def _what_else(project: Project, before: Contract, contract: Contract) -> str:
    try:
        besides = changed_besides(BaseAndHead(project), before, contract)
    except BadInput as error:
        return f"it cannot be told what else changes: {error}"
    return f"this pull request changes other things too: {several(besides, SHOWN)}" if besides else ""


@dataclass(frozen=True)
class Exemption:
    """What `incomparable` of the base branch's contract does in one comparison.

    `reason` is empty where it is not about the champion. `replaced` are metrics of the base branch that do not judge,
    because this pull request has their targets no more. `removed`: this pull request takes `incomparable` away.
    """

    version: int
    reason: str = ""
    replaced: tuple[str, ...] = ()
    removed: bool = False
    aside: str = ""

    @classmethod
    def of(
        cls, project: Project, contract: Contract, base_contract: Contract, champion: Event, ledger: Ledger
    ) -> Exemption:
        """`base_contract` is what judges: the base branch's contract without the metrics that are `replaced`."""
        from beampermit.registry.incomparable import is_about

        on_base = project.base_contract.incomparable if project.base is None or project.contract_on_base else None
        if on_base is None or not is_about(on_base, champion, ledger):
            return cls(champion.version, aside=_aside(contract, on_base, champion))
        on_branch = project.base_contract
        replaced = replaced_metrics(on_branch, contract) if base_contract != on_branch else ()
        removed = contract.incomparable != on_base
        return cls(champion.version, on_base.reason, replaced, removed)

    def without_code(self, rules: Contract, own: OwnContract, names: tuple[str, ...]) -> tuple[str, ...]:
        """Of the metrics `names`, those that can be compared: code that is made for other targets is not asked."""
        if not self.reason or rules.targets <= own.targets:
            return names
        measured = {metric.name for metric in rules.metrics if metric.measure}
        return tuple(name for name in names if name in measured)

    def needed(self, names: tuple[str, ...]) -> bool:
        """Whether nothing would pass without it, where the metrics `names` are compared."""
        return bool(self.reason) and (bool(self.replaced) or not names)

    def evidence(self, names: tuple[str, ...]) -> Incomparable | None:
        return Incomparable(version=self.version, reason=self.reason) if self.needed(names) else None

    def note(self, names: tuple[str, ...], lacking: dict[str, str]) -> str:
        """What the verdict adds about metrics that are not compared."""
        parts = [f"{name} is not compared: {why}" for name, why in lacking.items()]
        if self.replaced:
            parts.append(f"without {', '.join(self.replaced)} of the base branch, about targets that are gone")
        if self.needed(names):
            parts.append(f"the base branch's contract calls version {self.version} incomparable: {self.reason}")
        return "".join(f"; {part}" for part in (*parts, *filter(None, [self.aside])))


def _aside(contract: Contract, on_base: Declared | None, champion: Event) -> str:
    if contract.incomparable and contract.incomparable != on_base:
        reason = contract.incomparable.reason
        return f"once this is merged, version {contract.incomparable.version} counts as incomparable: {reason}"
    if on_base:
        return f"incomparable is about version {on_base.version}, and has no effect on version {champion.version}"
    return ""
