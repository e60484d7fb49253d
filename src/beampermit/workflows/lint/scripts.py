"""Scripts that run a text as a program which somebody outside may write, such as a title, or hand it to later steps."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from beampermit.workflows.expansion import StartedJob
from beampermit.workflows.expressions import UNKNOWN, expressions_in, possible_values
from beampermit.workflows.work import spend
from beampermit.workflows.workflow import Step

SAFE = frozenset(
    {"number", "id", "node_id", "run_id", "run_number", "run_attempt", "full_name", "login", "fork", "draft"}
    | {"sha", "head_sha", "base_sha", "before", "after", "merge_commit_sha", "merged", "private", "action", "state"}
    | {"conclusion", "type", "created_at", "updated_at"}
)
"""Last names of values in an event that hold no text of somebody's choice."""
_GITHUB = re.compile(r"(?<![\w.-])github(?:\.head_ref|\.event(?![\w-])[\w.*\[\]-]*|(?![\w.-]))", re.IGNORECASE)
_EVENT_FILE = "GITHUB_EVENT_PATH"
_GIVEN = {"GITHUB_HEAD_REF": "${{ github.head_ref }}", _EVENT_FILE: "${{ github.event.* }}"}
"""What every job has: the name of a fork's branch, and the file with the event."""
_PAYLOAD = re.compile(r"\bcontext\.payload\b([\w.?!]*)")
"""The event of `github-script`."""
_JQ = re.compile(r"\bjq\b(?:\s+-[\w-]+)*(?:\s+(['\"]?)\.([a-z_][\w.]*)\1(?=\s))?")
"""A `jq`, and the path that it reads if that is all it does."""

_SHELL = r"(?:(?:ba|da|z|k|c)?sh|python[\d.]*|pwsh|powershell)"
_OTHER = r"(?:perl|ruby|node|php|Rscript|deno|bun)"
_EVALUATES = re.compile(
    rf"\beval\b|\b{_SHELL}(?:\s+-[\w-]+(?:\s+pipefail)?)*?\s+(?:-\w*c|-Command)\b"
    rf"|\b{_OTHER}(?:\s+-[\w-]+)*?\s+(?:-\w*[eErp]|--eval|--print)\b"
    rf"|\|\s*(?:sudo\s+|env\s+|\S*/)*(?:{_SHELL}|{_OTHER})\s*(?:-\w*\s*)*(?:$|[|;&)>])"
    rf"|\b(?:{_SHELL}|{_OTHER})\s*(?:-s?\s*)?<<"
    r"|(?:\bsource|(?<!\S)\.)\s+<\(|(?<!\S)ssh\s|\bInvoke-Expression\b|\biex\b"
    r"|\bexec\s*\(|\bos\.(?:system|popen)\b|\bshell\s*[=:]\s*true|\bFunction\s*\(|\bexecSync\s*\(|\bvm\.run"
    r"|\btrap\s+\"|\$\{\w+@P\}|\bdeclare\s+-\w*i|\b(?:printf|test)\s+-v\s+\S*\$|(?<!\S)\[\[?\s+-v\s|\$\{\w+\[\$"
    r"|\[\[[^\]]*\s-(?:eq|ne|lt|le|gt|ge)\s|(?<![\w(])\(\(",
    re.IGNORECASE | re.MULTILINE,
)
"""What takes a text for a program. `[[ $a -eq 1 ]]` and `(( a ))` run what stands in the index of an array."""
_BEFORE = r"then|do|else|elif|if|while|until|exec|command|sudo|env|time|nohup|xargs"
_AS_COMMAND = (
    rf"(?:^|[;&|(]|(?<!\\)`(?=\s*\$\w)|(?<!\$)\{{{{\s)\s*(?:(?:{_BEFORE})\s+(?:-\S+\s+)*|!\s*)*(?:\w+=[^\s(`]*\s+)*"
    r"[\"']?\$\{{?{}\b"
)
_QUOTED = re.compile(r"'[^']*'|\"(?:\\.|[^\"\\])*\"", re.DOTALL)
_TEST = re.compile(r"\[\[\s.*?\s\]\]|(?<!\S)\[\s.*?\s\](?!\S)", re.DOTALL)
_SETS = re.compile(
    r"(?:^|[;&\s])(?P<one>\w+)\s*\+?=(?!=)|\{(?P<many>[\w\s,]+)\}\s*=|\bread(?:\s+-\w+)*\s+(?P<read>\w+)"
    r"|\bfor\s+(?P<each>\w+)\s+in\b"
)
_ECHO = re.compile(r"[\s{(]*(?:echo|printf)\b")
_NO_MARKS = str.maketrans("", "", "?!")
_HEREDOC = re.compile(r"<<-?\s*(?P<quote>[\"'\\]?)(?P<end>\w+)")
_SETTINGS = re.compile(r"\bGITHUB_(?:ENV|PATH)\b")
"""Files whose lines become variables of the steps that follow."""
_AT_START = (
    "BASH_ENV|PS4|LD_PRELOAD|LD_AUDIT|NODE_OPTIONS|PERL5OPT|RUBYOPT|JAVA_TOOL_OPTIONS"
    "|GIT_SSH_COMMAND|GIT_PROXY_COMMAND|GIT_EXTERNAL_DIFF|GIT_EDITOR"
)
"""Variables whose text a shell or another program runs, or takes options from, when it starts."""
_HERE = r"[^;&|\n]{0,999}"
_TAKEN_IN = (
    rf"\b(?:{_AT_START})={_HERE}\$(?:env:)?\{{?(?:NAME)\b"
    r"|\b(?:sed|[gmn]?awk)\s+(?:-(?:-[\w-]+|[nErizsue]+(?:\.\w+)?|F\S+)\s+)*\"(?:[^\"\\]|\\.)*\$(?:(?:NAME)\b|\{(?:NAME)\})"
    r"|(?:^|[;&|(]|\b(?:then|do|else)\s)\s*let\s+(?:[\"'][^\"'\n]*\b(?:NAME)\b|\w+[^\w\s]?=[^\s`]*\$\{?(?:NAME)\b)"
    r"|\b(?:echo|printf)(?:\s+-\w+|\s+'[^']*'|\s+\"%\w[^\"]*\")*\s+\"?\$(?:env:)?\{?(?:NAME)\b"
    rf"{_HERE}(?:>|\|\s*(?:tee|Out-File|Add-Content)\b{_HERE})\s*[\"']?\$(?:env:|\{{)?GITHUB_(?:ENV|PATH)\b"
)
"""Where such a text, as it came, is part of the program of `sed` or `awk` (both can run commands) or of an arithmetic
one, or names a variable of the steps that follow. What a script made of it first may be harmless."""
_MANY_LINES = re.compile(r"(?:body|message|description|event|github)$", re.IGNORECASE)


@lru_cache(maxsize=4096)
def _paths_in(value: str) -> list[str]:
    return outside_paths(value) if UNKNOWN in possible_values(value, {}) else []


def outside_paths(value: Any) -> list[str]:
    """The parts of an event in the expressions of `value` that hold a text of somebody's choice."""
    paths = [match[0] for code in expressions_in(value) for match in _GITHUB.finditer(code)]
    return [path for path in paths if path.rpartition(".")[2].lower() not in SAFE and ".inputs." not in path]


def evaluated(script: str, env: Mapping[str, Any]) -> str:
    """The line of a script that runs such a text, given by a variable or read from the event; empty if none does."""
    given = {**_GIVEN, **{str(name): str(value) for name, value in env.items() if _paths_in(str(value))}}
    at_start = [name for name in given if re.fullmatch(_AT_START, name)]
    if at_start:
        return f"{at_start[0]}: {given[at_start[0]]}"
    lines = list(_logical_lines(script))
    taken_in = re.compile(_TAKEN_IN.replace("NAME", "|".join(map(re.escape, sorted(given)))), re.MULTILINE)
    known = {name: value for name, value in _spread(given, lines).items() if outside_paths(value)}
    for line in lines:
        commands, paths = _commands(line), outside_paths(_origin(line, known))
        as_command = any(re.search(_AS_COMMAND.format(re.escape(name)), commands) for name in known)
        if as_command or (paths and (_EVALUATES.search(line) or taken_in.search(line))):
            return line
        if _SETTINGS.search(line) and any(map(_MANY_LINES.search, paths)):
            return line
    return ""


_FILES = re.compile(r"\bGITHUB_(ENV|OUTPUT)\b")
_PRINTS = re.compile(r"\b(?:echo|printf|cat|tee|Write-Output|Add-Content|Out-File|print|write|append\w*)\b|^\s*\"")
_NAMED = re.compile(r"(?<![\w$-])([A-Za-z_][\w-]*)(?:=|<<-?\W*(\w+))")
_SET_BY_NAME = re.compile(r"::set-(output) name=([\w-]+)::|\bcore\.(?:set(Output)|exportVariable)\(\s*[\"'`]([\w-]+)")


def handed_on(script: str, env: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """What a script gives to later steps: `ENV` or `OUTPUT`, the name, and the values of `env` that it comes from."""
    files = dict.fromkeys(_FILES.findall(script))
    if not files and not _SET_BY_NAME.search(script):
        return
    lines = list(_logical_lines(script))
    known = _spread(_GIVEN | {str(name): str(value) for name, value in env.items() if "${{" in str(value)}, lines)
    unfinished: list[tuple[str, str]] = []
    for line in lines:
        origin = _origin(line, known)
        named = _NAMED.findall(line) if _PRINTS.search(line) else []
        found = [
            (file, name) for file in dict.fromkeys(_FILES.findall(line)) or files for name, _ in named or unfinished
        ]
        found += [("OUTPUT" if by[1] or by[3] else "ENV", by[2] or by[4]) for by in _SET_BY_NAME.finditer(line)]
        yield from ((file, name, origin) for file, name in found if origin)
        if named:
            unfinished = [named[-1]] if named[-1][1] else []
        elif unfinished and unfinished[0][1] in line:
            unfinished = []


def _commands(line: str) -> str:
    """A line without its tests, and without quoted texts in which `(`, `|` or `&` begin no command."""
    return _QUOTED.sub(
        lambda text: text[0] if re.match(r"'|\"\$\{?\w|.*(\$\(|`)", text[0], re.DOTALL) else '""', _TEST.sub("", line)
    )


def _spread(values: Mapping[str, str], lines: list[str]) -> dict[str, str]:
    """`values` with the variables that are set from them."""
    known = dict(values)
    while True:
        sets = ((name, line) for line in lines if _origin(line, known) for name in _set_in(line) if name not in known)
        more = {name: _origin(line, known) for name, line in sets}
        if not more:
            return known
        known |= more


def _set_in(line: str) -> Iterator[str]:
    for match in _SETS.finditer(line):
        if match["many"]:
            yield from re.findall(r"\w+", match["many"])
        else:
            yield match["one"] or match["read"] or match["each"]


def _origin(line: str, known: Mapping[str, str]) -> str:
    """The values of the variables that a line mentions, and what it reads from the event."""
    words = dict.fromkeys(re.findall(r"\w+", line))
    found = [known[name] for name in words if name in known and name != _EVENT_FILE]
    read = [match[2] for match in _JQ.finditer(line)] if _EVENT_FILE in words else []
    if not (all(read) and len(read) == line.count(_EVENT_FILE)):
        read = ["*"]
    read += [match[1].translate(_NO_MARKS).strip(".") for match in _PAYLOAD.finditer(line)]
    return _together([*found, *(f"${{{{ github.event{'.' * bool(path)}{path} }}}}" for path in read)])


def _together(texts: Sequence[str]) -> str:
    """Each expression of the texts once, for they come from each other."""
    text = " ".join(dict.fromkeys(piece.strip() for text in texts for piece in re.split(r"(?=\$\{\{)", text)))
    spend(len(text) // 16)
    return text


def _logical_lines(script: str) -> Iterator[str]:
    """Lines without comments, joined where they go on: after a backslash, and with a here-document."""
    lines = iter(re.sub(r"\\\n", " ", script).split("\n"))
    for line in lines:
        if line.lstrip().startswith(("#", "//")):
            continue
        here = _HEREDOC.search(line)
        if here is None or here["quote"] or "<<<" in line or _ECHO.match(line):
            yield line
            continue
        body = [line]
        for inner in lines:
            if inner.strip() == here["end"]:
                break
            body.append(inner)
        yield "\n".join(body)


_NAMES = re.compile(r"(?<![\w.-])(?:steps|needs|inputs|env)\.[\w.-]+")


def with_origins(value: Any, origins: Mapping[str, str]) -> str:
    """A value, and behind it where the texts come from that its expressions name."""
    text = str(value)
    names = dict.fromkeys(name for code in expressions_in(text) for name in _NAMES.findall(code.lower()))
    found = [origins[name] for name in names if name in origins]
    if not found or UNKNOWN not in possible_values(text, {}):
        return text
    return _together([text, *found])


class Following:
    """Follows texts through the variables and outputs of steps, jobs and callers."""

    def __init__(self) -> None:
        self._ends: dict[tuple[str, ...], dict[str, str]] = {}

    def steps(self, started: StartedJob) -> Iterator[tuple[Step, Mapping[str, str], Mapping[str, str]]]:
        """Each step with the variables that its job gives it, and with its own."""
        return followed(started.job.steps, self._variables(started), self._origins(started))

    def at_start(self, started: StartedJob, value: str) -> str:
        """A value of the job, with where its texts come from."""
        origins = self._origins(started)
        env = {f"env.{name}".lower(): text for name, text in self._variables(started).items()}
        return with_origins(value, {**origins, **env})

    def _variables(self, started: StartedJob) -> dict[str, str]:
        origins, env = self._origins(started), {**started.workflow.env, **started.job.env}
        return {str(name): with_origins(value, origins) for name, value in env.items()}

    def _origins(self, started: StartedJob) -> dict[str, str]:
        """Where the texts in a job's inputs come from, and in the outputs of the jobs that it needs."""
        origins: dict[str, str] = {}
        if started.caller:
            above = self._origins(started.caller)
            origins |= {
                f"inputs.{name}": with_origins(given, above) for name, given in started.caller.job.given.items()
            }
        for needed in started.needed:
            for name, value in needed.job.outputs.items():
                key = f"needs.{needed.job.id}.outputs.{name}".lower()
                origins[key] = with_origins(value, self._at_end(needed))
        return origins

    def _at_end(self, started: StartedJob) -> dict[str, str]:
        if started.path not in self._ends:
            origins = self._ends[started.path] = self._origins(started)
            for _ in followed(started.job.steps, self._variables(started), origins):
                pass
        return self._ends[started.path]


def followed(
    steps: Sequence[Step], env: Mapping[str, str], origins: dict[str, str]
) -> Iterator[tuple[Step, Mapping[str, str], Mapping[str, str]]]:
    """Each step with the variables of its job, those of earlier steps included, and its own. Adds to `origins`."""
    env = dict(env)
    for step in steps:
        origins |= {f"env.{name}".lower(): value for name, value in env.items()}
        own = {str(name): with_origins(value, origins) for name, value in step.env.items()}
        yield step, env, own
        for file, name, origin in handed_on(step.script, {**env, **own}):
            if file == "ENV":
                env = {**env, name: origin}
            elif step.id:
                origins[f"steps.{step.id}.outputs.{name}".lower()] = origin
