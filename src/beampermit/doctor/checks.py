"""All checks, what blocks first before the others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from beampermit.doctor import committed, machine, registry, runners, settings, storage
from beampermit.doctor.results import Found
from beampermit.doctor.subject import Subject


@dataclass(frozen=True)
class Check:
    """`of` is what is looked at; `right` is what a token needs, for a refusal that does not say so itself."""

    title: str
    run: Callable[[Subject], Found]
    of: Literal["machine", "files", "GitHub"]
    right: str = ""


CHECKS = (
    Check("contract", committed.contract, "files"),
    Check("programs", machine.programs, "machine"),
    Check("environment", machine.environment, "machine"),
    Check("data remote", storage.data_remote, "machine"),
    Check("registry", registry.registry, "machine"),
    Check("workflows", committed.pins, "files"),
    Check("runners", runners.runners, "GitHub", "Actions, read"),
    Check("MLFLOW_TRACKING_URI", settings.tracking_variable, "GitHub", "Variables, read"),
    Check("permit key", committed.signing_key, "files"),
    Check("environment production", settings.environment, "GitHub", "Actions, read"),
    Check("secrets", settings.secrets, "GitHub", "Environments, read, and Secrets, read"),
    Check("protected branch", settings.protection, "GitHub", "Metadata, read"),
    Check("owners", committed.owners, "files", "Contents, read"),
    Check("hooks", machine.hooks, "machine"),
    Check("template", committed.template, "files"),
)
