"""Replace a model: its successor is promoted and it is retired with one line of the ledger, so that never both are in
service and never none (decision 33)."""

from __future__ import annotations

from beampermit.errors import BadInput, Conflict, Failed, Outside
from beampermit.registry.event import Event, Retires
from beampermit.registry.ledger import Ledger
from beampermit.registry.mlflow import IDENTITY, Registry
from beampermit.registry.operations import Result, Session, retire
from beampermit.registry.promotion import Promotion
from beampermit.registry.reconcile import reconcile


def replace(promotion: Promotion, model: str, *, reason: str, until: str | None = None) -> Result:
    """Promote the permit's model, and retire the champion of `model` with the same event.

    `model` is another one of this ledger, or that of the permit: then the version that is replaced is ruled out for
    rollbacks. Where an earlier run promoted the successor, or retired `model` for it, a second event retires `model`
    or gives its PVs the last day `until`. Raises `BadInput` for a model that this ledger does not know or that is not
    in service, else as `Promotion.run`.
    """
    if not reason.strip():
        raise BadInput("a reason is required, and the ledger keeps it", hint=f"beampermit replace {model} --reason WHY")
    ledger = promotion.ledger
    ledger.fetch()
    retires = _retires(ledger, model, promotion)
    result = promotion.run(reason, retires, until if retires else None)
    if model == promotion.permit.name:
        return result
    gone = ledger.state(model).out_of_service
    if gone is None or until not in (None, gone.until):
        return _retire_alone(promotion, result, model, reason, until)
    return Result(result.event, result.new, (*result.changes, *_show(promotion, model, result.event)))


def _retires(ledger: Ledger, model: str, promotion: Promotion) -> Retires | None:
    """None where `model` is retired already: an earlier run was killed before the registry showed it, or this is the
    successor's next version."""
    state = ledger.state(model)
    if state.last_in_service is None:
        known = ", ".join(sorted(name for name, one in ledger.read().states.items() if one.promoted)) or "none"
        raise BadInput(
            f"no version of {model[:80]!r} was ever promoted in this ledger, which has: {known}",
            hint="where it is in another repository, promote here, and there "
            f"`beampermit retire --successor {promotion.permit.name} --reason WHY`",
        )
    champion = state.champion
    if champion is None:
        retirement = state.retired[state.last_in_service.version]
        if retirement.successor == promotion.permit.name:
            return None
        raise BadInput(
            f"{model} is out of service since {retirement.at}: {retirement.reason}", hint="beampermit promote"
        )
    if model == promotion.permit.name and champion.commit == promotion.permit.predicate.commit:
        return None
    return Retires(**{key: getattr(champion, key) for key in Retires.model_fields})


def _retire_alone(promotion: Promotion, done: Result, model: str, reason: str, until: str | None) -> Result:
    session = Session(
        promotion.project.git, promotion.ledger, _registry_of(promotion, model), model, promotion.progress
    )
    found = retire(session, reason=reason, successor=promotion.permit.name, until=until)
    return Result(done.event, True, (*done.changes, *found.changes))


def _registry_of(promotion: Promotion, model: str) -> Registry:
    """Of one repository, models mostly share a registry; the ledger names each one's."""
    home = promotion.ledger.state(model).home
    if home is None or promotion.registry.tags(model).get(IDENTITY) == home.registry:
        return promotion.registry
    return Registry(home.address)


def _show(promotion: Promotion, model: str, event: Event) -> tuple[str, ...]:
    """The registry shows that the replaced model is out of service."""
    try:
        changes = reconcile(
            promotion.ledger, _registry_of(promotion, model), model, promotion.progress, incremental=True
        )
    except (Failed, Conflict, Outside) as error:
        raise type(error)(
            f"the ledger was updated ({event.summary}), the registry of {model} was not: {error.message}",
            hint=f"run `beampermit reconcile` in the project of {model}",
        ) from None
    return tuple(f"{model}: {change}" for change in changes)
