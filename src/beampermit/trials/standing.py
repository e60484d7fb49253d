"""What stands behind the parameters of a commit: the summary of its study, and whether it still fits."""

from __future__ import annotations

from collections.abc import Iterator

from beampermit.changes.flat import ABSENT, Change, format_value
from beampermit.datasets.dvc_lock import bound_outputs
from beampermit.errors import BadInput, BeampermitError
from beampermit.project import Project
from beampermit.reading import parse_yaml
from beampermit.record import Record
from beampermit.trials.params_file import FILE as PARAMS
from beampermit.trials.params_file import same, value_at
from beampermit.trials.records import Bound
from beampermit.trials.summary import Summary, read_summary


class Standing(Record):
    """`changed` are parameters that are not those of the trial any more; `before` is what it had."""

    summary: Summary
    changed: tuple[Change, ...] = ()
    older: tuple[str, ...] = ()
    """In what the study differs from this commit, such as `another lock`."""
    unknown: str = ""
    """Why it is not known."""

    @property
    def fits(self) -> bool:
        return not (self.changed or self.older or self.unknown)


def read_standing(project: Project) -> Standing | None:
    """None where git keeps no summary. Raises `BadInput` for a summary or a params.yaml that cannot be read."""
    summary = read_summary(project)
    if summary is None:
        return None
    older, unknown = list[str](), ""
    try:
        older.extend(_differences(project, summary))
    except BeampermitError as error:
        unknown = str(error)
    changed = tuple(_changed(project, summary))
    return Standing(summary=summary, changed=changed, older=tuple(older), unknown=unknown)


def outputs_of(project: Project, bound: Bound) -> dict[str, str]:
    """The outputs of dvc.lock that hold the data of a study -> their hashes."""
    outputs = bound_outputs(project.git.tracked(), lambda name: _text(project, name))
    return {
        path: output.hash
        for path, output in outputs.items()
        if any(file == path or file.startswith(f"{path}/") for file in bound.data)
    }


def _differences(project: Project, summary: Summary) -> Iterator[str]:
    from beampermit.trials.binding import differences, subject_of

    now = outputs_of(project, summary.bound)
    if now != summary.outputs:
        paths = sorted({path for path, _ in {*now.items()} ^ {*summary.outputs.items()}})
        yield f"other data ({', '.join(paths[:3])})"
    bound = subject_of(project, with_data=False).bound
    yield from differences(bound.model_copy(update={"data": summary.bound.data}), summary)


def _changed(project: Project, summary: Summary) -> Iterator[Change]:
    text = _text(project, PARAMS)
    tree = parse_yaml(text, PARAMS, aliases=True) if text else {}
    for path, tried in summary.params.items():
        try:
            now = value_at(tree, path)
        except BadInput:
            now = ABSENT
        if now is ABSENT or not same(now, tried):
            yield Change(path, format_value(tried), format_value(now))


def _text(project: Project, name: str) -> str | None:
    path = project.path(name)
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else None
