"""What rollback, retire, freeze and thaw have in common: an event like any other, and a registry that then says it."""

from __future__ import annotations

from dataclasses import dataclass

from beampermit.errors import BadInput, Conflict, Outside
from beampermit.git import Git
from beampermit.registry.chronicle import State
from beampermit.registry.event import Event, Kind, circumstances, workflow_run
from beampermit.registry.ledger import Ledger
from beampermit.registry.mlflow import Registry
from beampermit.registry.reconcile import Watch, reconcile


@dataclass(frozen=True)
class Moved:
    """The event that stands now, whether this run wrote it, and what of the registry was moved."""

    event: Event
    new: bool
    moved: tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """One change to what the ledger says of a model."""

    git: Git
    ledger: Ledger
    registry: Registry
    model: str
    watch: Watch

    def read(self) -> tuple[State, Event]:
        """The model's state of this moment, and the event that put a version into service last.

        Raises `BadInput` where nothing of it was ever promoted.
        """
        self.watch("read the ledger")
        self.ledger.fetch()
        state = self.ledger.state(self.model)
        if state.last is None:
            raise BadInput(f"no version of {self.model} was ever promoted", hint="beampermit history")
        return state, state.last

    def write(self, kind: Kind, of: Event, reason: str) -> Moved:
        """Write an event that names the version of another, and make the registry say it.

        Raises `Conflict` where somebody else was first, and then nothing moved; `Outside`.
        """
        if not reason.strip():
            raise BadInput("the ledger keeps why, and no reason was given", hint=f"beampermit {kind} --reason WHY")
        event = of.model_copy(
            update={
                "event": kind,
                "sequence": self.ledger.chronicle(self.model).length + 1,
                "expected": self.ledger.state(self.model).seen,
                **circumstances(self.git, reason),
            }
        )
        self.watch("append to the ledger")
        self.ledger.append(event)
        return Moved(event, True, show(event, self.ledger, self.registry, self.watch))

    def must_be_new(self, kind: Kind, state: State, version: int | None = None) -> None:
        """Refuse what this workflow run did before, and what was undone since: it is run again, late or by mistake.

        `version` is the one that was asked for; None for the champion of the moment. Raises `Conflict`.
        """
        for event in state.events:
            # A run may close the way back to a version and retire the champion as well.
            same = event.version == version if version else kind != "retire" or event.version == event.expected
            if event.event == kind and same and same_run(event):
                raise Conflict(
                    f"this workflow run did it at {event.at} ({event.summary}), and that was changed since; "
                    f"nothing moved",
                    hint="beampermit history; then, to do it again, a new run",
                )

    def stands(self, event: Event) -> Moved:
        """What to say where the ledger has it already: an earlier run may have been killed before the registry had."""
        return Moved(event, False, show(event, self.ledger, self.registry, self.watch))


def show(event: Event, ledger: Ledger, registry: Registry, watch: Watch) -> tuple[str, ...]:
    """`reconcile` after `event` was written. Raises `Outside` which says that only the registry is behind."""
    try:
        return reconcile(ledger, registry, event.model, watch, news=True)
    except Outside as error:
        raise Outside(
            f"the ledger has it ({event.summary}), the registry does not show it yet: {error.message}",
            hint=error.hint if error.hint.startswith("beampermit") else "beampermit reconcile",
        ) from None


def same_run(event: Event) -> bool:
    """Whether the workflow run that we are in wrote this event: it is run again."""
    return bool(event.run) and event.run == workflow_run()


def same_command(event: Event, git: Git, reason: str) -> bool:
    """Whether whoever gives this command now wrote the event as well: same person, reason and workflow run."""
    now = circumstances(git, reason)
    return all(getattr(event, key) == now[key] for key in ("by", "reason", "run"))
