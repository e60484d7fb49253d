"""Who may write: an access security file of EPICS, in which nobody may until names are filled in."""

from __future__ import annotations

from collections.abc import Iterator

from beampermit.deployment.deployment import Deployment
from beampermit.deployment.rendering import render
from beampermit.deployment.statements import Statement
from beampermit.live.access_groups import WRITABLE
from beampermit.live.epics.access import refuse_more, rules
from beampermit.live.status_pvs import status_pv


def access(deployment: Deployment) -> str:
    return render("access.acf.j2", deployment, groups=WRITABLE, restart=status_pv(deployment.contract, "RESTART"))


def access_statements(text: str, file: str) -> Iterator[Statement]:
    """For each group of records, whether those who write are named. Raises `BadInput` as the service refuses a file."""
    refuse_more(text, file)
    open_to_all = {rule.group: rule.line for rule in rules(text) if rule.permission == "WRITE" and not rule.named}
    for group in WRITABLE:
        value = "anybody" if group in open_to_all else "those who are named"
        yield Statement(f"who may write to {group}", value, open_to_all.get(group, 1))
