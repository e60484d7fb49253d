"""What the files of a project say: contract, key, owners, pins, and the template that it came from."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from beampermit.doctor.once import uses_of
from beampermit.doctor.results import Found, missing, there, unseen
from beampermit.doctor.subject import Subject, day_of
from beampermit.errors import BadInput, BeampermitError, Failed, counted, several
from beampermit.github.codeowners import CodeOwners
from beampermit.github.owners import load_owner_errors
from beampermit.interlocks.repository.ownership import Ownership, guarded_of, unknown_owners_gap
from beampermit.permit.keys import PUBLIC_IN_PROJECT, VARIABLE, load_signing_key, require_matching_key
from beampermit.permit.public_keys import PublicKey, parse_public_keys
from beampermit.updating.recorded import ANSWERS, RENDERED, parse_record, refuse_damaged_render
from beampermit.updating.staged import read_staged
from beampermit.workflows.uses import Use

ENDS_WITHIN = timedelta(days=30)
"""A new key is merged and given to GitHub in that time."""
NEW_KEY = f"run `beampermit permit keygen --out FOLDER`, commit its permit.pub as {PUBLIC_IN_PROJECT}"


def contract(subject: Subject) -> Found:
    try:
        model = subject.contract.model
    except BadInput as error:
        return missing(str(error), error.hint or "beampermit contract check")
    return there(f"the contract of {model.name} is valid, with {counted(len(model.owners), 'owner')}")


def signing_key(subject: Subject) -> Found:
    """The public half is committed and valid; here, the private half fits if it is in our variables."""
    text = _committed_key(subject)
    if text is None:
        return missing(f"{PUBLIC_IN_PROJECT} is not committed: no permit can be verified", NEW_KEY)
    try:
        keys = parse_public_keys(text.encode(), PUBLIC_IN_PROJECT).keys
        if subject.project is not None and (value := _own_key()):
            require_matching_key(load_signing_key(value), subject.project.git.top.root / PUBLIC_IN_PROJECT)
    except (BadInput, Failed) as error:
        return missing(str(error), error.hint or NEW_KEY)
    now = datetime.now(UTC)
    latest = max(keys, key=lambda key: key.until or datetime.max.replace(tzinfo=UTC))
    if latest.until is not None and latest.until < now + ENDS_WITHIN:
        when = "ended" if latest.until < now else "ends"
        return missing(f"the last day of the key is {latest.until:%Y-%m-%d}: it {when} {_days(latest, now)}", NEW_KEY)
    until = f"valid until {latest.until:%Y-%m-%d}" if latest.until else "without a last day"
    return there(f"{counted(len(keys), 'key')} in {PUBLIC_IN_PROJECT}, {until}")


def _committed_key(subject: Subject) -> str | None:
    if subject.project is None:
        return subject.files.read(PUBLIC_IN_PROJECT)
    return subject.project.git.top.read("HEAD", PUBLIC_IN_PROJECT)


def _own_key() -> str:
    return os.environ.get(VARIABLE, "").strip()


def _days(key: PublicKey, now: datetime) -> str:
    days = (key.until.date() - now.date()).days if key.until else 0
    return f"in {counted(days, 'day')}" if days >= 0 else f"{counted(-days, 'day')} ago"


def owners(subject: Subject) -> Found:
    """Each file that decides about the model has an owner, whom GitHub knows as far as it is asked."""
    found, files = subject.owners, subject.files
    guarded = guarded_of(files.own, files.prefix, files.paths)
    own = Ownership("", ()) if found is None else _ownership(found, guarded)
    if found is None or own.gap:
        return missing(own.gap, own.fix)
    if subject.client is None:
        return there(f"{found.file} names {_named(found)}; GitHub was not asked whether it knows them")
    errors = load_owner_errors(subject.client, subject.branch)
    if errors is None:
        return unseen(f"{found.file} names {_named(found)}; whether GitHub knows them needs Contents, read")
    if errors.errors:
        gap = unknown_owners_gap(found, errors, guarded)
        reason = gap or f"{found.file}: {several([str(error) for error in errors.errors], 3)}"
        return missing(reason, "give them write access, or name in CODEOWNERS who has it")
    return there(f"{found.file} names {_named(found)}, whom GitHub knows")


def _ownership(found: CodeOwners, guarded: Iterable[str]) -> Ownership:
    return Ownership(found.file, found.uncovered(guarded), found.placeholders())


def _named(owners: CodeOwners) -> str:
    return several(owners.owners, 4) or "nobody"


def pins(subject: Subject) -> Found:
    """Workflows are there, pinned, and of one commit of Beampermit, whose day GitHub knows."""
    if not any(file.startswith(".github/workflows/") for file in subject.files.workflows):
        return missing("there is no workflow, so nothing is checked on GitHub", "beampermit init")
    uses = uses_of(subject.files.workflows)
    if defects := [f"{use.file}:{use.line}: {use.text!r}: {use.defect}" for use in uses if use.defect]:
        return missing(several(defects), "beampermit check GIT003")
    ours = {(use.repository, use.revision): use for use in uses if _is_ours(use)}
    if not ours:
        return missing("no workflow calls those of Beampermit", "beampermit init")
    pinned = [_pin(subject, *pin) for pin in ours]
    if len({repository for repository, _ in ours}) < len(ours):
        places = ", ".join(f"{use.file}:{use.line}" for use in ours.values())
        fix = "merge Dependabot's pull requests together, or write one commit everywhere"
        return missing(f"workflows are pinned to several commits: {', '.join(pinned)} ({places})", fix)
    return there(f"{counted(len(uses), 'use')} pinned; {', '.join(pinned)}")


def _is_ours(use: Use) -> bool:
    return use.called and use.path.startswith(".github/workflows/ml-")


def _pin(subject: Subject, repository: str, commit: str) -> str:
    try:
        day = day_of(subject, repository, commit) if subject.client else ""
    except BeampermitError:
        day = ""
    return f"{repository}@{commit[:12]}" + (f" of {day}" if day else "")


def template(subject: Subject) -> Found:
    """Which template the project was made from, so that it can be updated; here, that no update stopped half-way."""
    if subject.project is not None:
        try:
            unfinished = read_staged(subject.project.git)
        except BeampermitError as error:
            return missing(str(error), error.hint)
        if unfinished:
            return missing(f"the update to {unfinished.new} was interrupted, and is not finished", "beampermit update")
    record, render = (f"{subject.files.prefix}{name}" for name in (ANSWERS, RENDERED))
    text = subject.files.read(record)
    if text is None:
        return unseen(f"there is no {ANSWERS}: which template it was made from is not recorded")
    try:
        found = parse_record(text, record)
        if (kept := subject.files.read(render)) is not None:
            refuse_damaged_render(kept, render)
    except BadInput as error:
        return missing(str(error), error.hint or f"git log -- {error.file}")
    commit = f"commit {found.commit[:12]}" if found.commit else "a commit that is not recorded"
    return there(f"made from {f'version {found.version}, ' if found.version else ''}{commit}")
