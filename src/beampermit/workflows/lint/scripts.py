"""Scripts that run a text as a program which somebody outside the repository may write, such as a title."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from functools import lru_cache
from typing import Any

from beampermit.workflows.expressions import UNKNOWN, expressions_in, possible_values

SAFE = frozenset(
    {"number", "id", "node_id", "run_id", "run_number", "run_attempt", "full_name", "login", "fork", "draft"}
    | {"sha", "head_sha", "base_sha", "before", "after", "merge_commit_sha", "merged", "private", "action", "state"}
    | {"conclusion", "type", "created_at", "updated_at"}
)
"""Last names of values in an event that hold no text of somebody's choice."""
_GITHUB = re.compile(r"(?<![\w.-])github(?:\.head_ref|\.event(?![\w-])[\w.*\[\]-]*|(?![\w.-]))", re.IGNORECASE)
_EVENT = "context.payload"
_GIVEN = frozenset({"GITHUB_HEAD_REF", "GITHUB_EVENT_PATH", _EVENT})
"""What every job has: the name of a fork's branch, the file with the event, and the event of `github-script`."""
_PAYLOAD = re.compile(r"\bcontext\.payload\b[\w.?!]*")

_SHELL = r"(?:(?:ba|da|z|k|c)?sh|python[\d.]*|pwsh|powershell)"
_OTHER = r"(?:perl|ruby|node|php|Rscript|deno|bun)"
_EVALUATES = re.compile(
    rf"\beval\b|\b{_SHELL}(?:\s+-[\w-]+(?:\s+pipefail)?)*?\s+(?:-\w*c|-Command)\b"
    rf"|\b{_OTHER}(?:\s+-[\w-]+)*?\s+(?:-\w*[eErp]|--eval|--print)\b"
    rf"|\|\s*(?:sudo\s+|env\s+|\S*/)*(?:{_SHELL}|{_OTHER})\s*(?:-\w*\s*)*(?:$|[|;&)>])"
    rf"|\b(?:{_SHELL}|{_OTHER})\s*(?:-s?\s*)?<<"
    r"|(?:\bsource|(?<!\S)\.)\s+<\(|(?<!\S)ssh\s|\bInvoke-Expression\b|\biex\b"
    r"|\bexec\s*\(|\bos\.(?:system|popen)\b|\bshell\s*[=:]\s*true|\bFunction\s*\(|\bexecSync\s*\(|\bvm\.run"
    r"|\btrap\s+\"|\$\{\w+@P\}|\bdeclare\s+-\w*i|\b(?:printf|test)\s+-v\s|(?<!\S)\[\[?\s+-v\s|\$\{\w+\[\$"
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
    names, many = _outside_names(env)
    at_start = [name for name in names if re.fullmatch(_AT_START, name)]
    if at_start:
        return f"{at_start[0]}: {env[at_start[0]]}"
    lines = list(_logical_lines(script))
    taken_in = re.compile(_TAKEN_IN.replace("NAME", "|".join(map(re.escape, sorted(names)))), re.MULTILINE)
    names = _spread(names, lines)
    many = _spread(many, lines)
    for line in lines:
        mentioned = _mentioned(line, names)
        commands = _commands(line)
        as_command = any(re.search(_AS_COMMAND.format(re.escape(name)), commands) for name in names)
        if as_command or (mentioned and (_EVALUATES.search(line) or taken_in.search(line))):
            return line
        if _SETTINGS.search(line) and _mentioned(line, many):
            return line
    return ""


def _commands(line: str) -> str:
    """A line without its tests, and without quoted texts in which `(`, `|` or `&` begin no command."""
    return _QUOTED.sub(
        lambda text: text[0] if re.match(r"'|\"\$\{?\w|.*(\$\(|`)", text[0], re.DOTALL) else '""', _TEST.sub("", line)
    )


def _outside_names(env: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    """Variables that hold a text of somebody's choice, and those of them that may have several lines."""
    names = set(_GIVEN)
    many = set()
    for name, value in ((str(name), value) for name, value in env.items()):
        paths = _paths_in(str(value))
        names |= {name} if paths else set()
        many |= {name} if any(map(_MANY_LINES.search, paths)) else set()
    return names, many


def _spread(names: Set[str], lines: list[str]) -> set[str]:
    """`names` with the variables that are set from them."""
    known = set(names)
    while True:
        more = {name for line in lines if _mentioned(line, known) for name in _set_in(line)}
        if more <= known:
            return known
        known |= more


def _set_in(line: str) -> Iterator[str]:
    for match in _SETS.finditer(line):
        if match["many"]:
            yield from re.findall(r"\w+", match["many"])
        else:
            yield match["one"] or match["read"] or match["each"]


def _mentioned(line: str, names: Set[str]) -> bool:
    if any(re.search(rf"(?<!\w){name}(?!\w)", line) for name in map(re.escape, names - {_EVENT})):
        return True
    paths = (match[0] for match in _PAYLOAD.finditer(line)) if _EVENT in names else ()
    return any(path.rpartition(".")[2] not in SAFE for path in paths)


def _logical_lines(script: str) -> Iterator[str]:
    """Lines without comments, joined where they go on: after a backslash, and with a here-document."""
    lines = iter(re.sub(r"\\\n", " ", script).split("\n"))
    for line in lines:
        if line.lstrip().startswith(("#", "//")):
            continue
        here = _HEREDOC.search(line)
        if here is None or here["quote"] or "<<<" in line:
            yield line
            continue
        body = [line]
        for inner in lines:
            if inner.strip() == here["end"]:
                break
            body.append(inner)
        yield "\n".join(body)
