"""After a command that changes what is in service: the releases on GitHub say it too."""

from __future__ import annotations

from pathlib import Path

NEXT = "next: beampermit publish --in-service"


def tell_releases(folder: Path) -> None:
    """Correct the releases on GitHub where this machine has a token for it; else say on stderr what is to be typed.

    What the ledger has stands, whatever GitHub answers. In a workflow the next step does it.
    """
    from beampermit.cli.output import plain, progress_console
    from beampermit.errors import BeampermitError
    from beampermit.github.context import find_client, in_workflow
    from beampermit.in_service import show_in_service
    from beampermit.project import Project
    from beampermit.registry.ledger import Ledger

    repository = Project.find(folder.resolve())
    client = find_client(repository.git)
    if client is None or in_workflow():
        return
    why = "the releases on GitHub do not say yet what is in service"
    if client.token:
        try:
            show_in_service(client, Ledger(repository.git), repository.contract.model.name)
        except BeampermitError as error:
            why = f"{why}: {plain(error.message)}"
        else:
            return
    progress_console().print(f"{why}\n{NEXT}", soft_wrap=True)
