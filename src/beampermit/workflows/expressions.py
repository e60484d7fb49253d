"""The values that a workflow expression may have, as far as the files determine them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Any

UNKNOWN: Any = object()
"""A value that only GitHub knows, and that somebody outside the repository may set."""
TRUSTED: Any = object()
"""A value that only GitHub knows, and that nobody outside the repository sets: the commit, a variable."""
_FALSE: Any = object()
"""Some value that counts as false: `a && b` where an unknown `a` is."""
_NOT_KNOWN = (UNKNOWN, TRUSTED, _FALSE)
MOST_VALUES = 64
MOST_COMBINATIONS = 256
"""Jobs that one matrix may start on GitHub."""


class Partly(dict[str, Any]):
    """Members that are known; any other is unknown, not absent."""


_WHOLE = re.compile(r"\$\{\{((?:'[^']*'|[^'])*?)\}\}", re.DOTALL)
_INDEX = re.compile(r"\s*\[\s*'([\w-]+)'\s*\]")
_QUOTED = re.compile(r"'[^']*'")


def expressions_in(value: Any) -> list[str]:
    """The expressions in a text, as `a.b` where `a['b']` is written, without spaces and the texts in quotes."""
    codes = (_INDEX.sub(r".\1", match[1]) for match in _WHOLE.finditer(str(value)))
    return ["".join(_QUOTED.sub("''", code).split()) for code in codes]


def possible_values(value: Any, contexts: Mapping[str, Any]) -> tuple[Any, ...]:
    """The values of a text with expressions; `contexts` are `inputs`, `matrix`, and what is known of `github`.

    One that cannot be told is `UNKNOWN` or `TRUSTED`. Anything but a text is its own value.
    """
    if not isinstance(value, str) or "${{" not in value:
        return (value,)
    matches = list(_WHOLE.finditer(value.strip()))
    literals = _WHOLE.split(value.strip())[::2]
    if any("${{" in literal for literal in literals):
        return (UNKNOWN,)
    try:
        parts = [_Reader(match[1], contexts).value() for match in matches]
    except (ValueError, OverflowError, RecursionError):
        return (UNKNOWN,)
    if literals == ["", ""]:
        return tuple(UNKNOWN if part is _FALSE else part for part in parts[0])
    texts: tuple[Any, ...] = (literals[0],)
    for part, literal in zip(parts, literals[1:], strict=True):
        texts = distinct(_joined(text, _text(end), literal) for text in texts for end in part)
    return texts


def combinations(matrix: Any, contexts: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """The values of `matrix` in each job that it starts; more than there are where the files do not tell."""
    if matrix is None:
        return ({},)
    filled = _filled(matrix, contexts)
    if not isinstance(filled, Mapping):
        return (Partly(),)
    axes = {name: values for name, values in filled.items() if name not in ("include", "exclude")}
    lists = [values if isinstance(values, list) else [UNKNOWN] for values in axes.values()]
    if math.prod(map(len, lists)) > MOST_COMBINATIONS:
        return (Partly(),)
    started = [dict(zip(axes, values, strict=True)) for values in product(*lists)] if axes else []
    excluded = filled.get("exclude")
    for entry in excluded if isinstance(excluded, list) else ():
        started = [one for one in started if not (isinstance(entry, Mapping) and _agrees(entry, one) is True)]
    included = filled.get("include", [])
    if not isinstance(included, list) or not all(isinstance(entry, Mapping) for entry in included):
        return (*map(Partly, started), Partly())
    return _with_included(started, included, axes.keys()) or (Partly(),)


def _with_included(
    started: list[dict[str, Any]], included: list[Mapping[str, Any]], axes: Iterable[str]
) -> tuple[Mapping[str, Any], ...]:
    """As GitHub does it: an entry extends each combination whose own values it repeats, or else is a further one."""
    further: list[Mapping[str, Any]] = []
    for entry in included:
        own = {name: entry[name] for name in axes if name in entry}
        agreements = [_agrees(own, one) for one in started]
        if not any(agreement is True for agreement in agreements):
            further.append(entry)
        as_before = [one for one, agreement in zip(started, agreements, strict=True) if agreement is not True]
        extended = [
            {**one, **entry} for one, agreement in zip(started, agreements, strict=True) if agreement is not False
        ]
        started = [*as_before, *extended]
        if len(started) + len(further) > 2 * MOST_COMBINATIONS:
            return (Partly(),)
    return (*started, *further)


def _agrees(entry: Mapping[str, Any], one: Mapping[str, Any]) -> bool | None:
    """Whether a combination has all values of an entry; None where one of them is unknown."""
    pairs = [(value, one.get(name)) for name, value in entry.items()]
    if any(value != own for value, own in pairs if value not in _NOT_KNOWN and own not in _NOT_KNOWN):
        return False
    return None if any(value in _NOT_KNOWN or own in _NOT_KNOWN for value, own in pairs) else True


def _filled(value: Any, contexts: Mapping[str, Any]) -> Any:
    """`value` with the expressions inside it evaluated. An item of a list that has several values becomes several."""
    if isinstance(value, Mapping):
        return {str(name): _filled(inner, contexts) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [one for inner in value for one in _items(inner, contexts)]
    values = possible_values(value, contexts)
    return values[0] if len(values) == 1 else UNKNOWN


def _items(value: Any, contexts: Mapping[str, Any]) -> tuple[Any, ...]:
    return possible_values(value, contexts) if isinstance(value, str) else (_filled(value, contexts),)


_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?)(?![\w.])"
    r"|(?P<name>[a-z_][\w-]*)|(?P<sign>&&|\|\||[!=<>]=|[!<>().\[\],*]))",
    re.IGNORECASE,
)
_WORDS: Mapping[str, Any] = {"true": True, "false": False, "null": None, "nan": math.nan, "infinity": math.inf}
_EITHER = (True, False)


class _Reader:
    """Reads one expression from the left and gives its values. Raises `ValueError` for what GitHub would not read."""

    def __init__(self, code: str, contexts: Mapping[str, Any]):
        self._tokens = list(_tokens(code))
        self._contexts = contexts

    def value(self) -> tuple[Any, ...]:
        values = self._or()
        if self._tokens:
            raise ValueError(self._tokens[0])
        return values

    def _next(self) -> str:
        return self._tokens[0] if self._tokens else ""

    def _take(self, *signs: str) -> str:
        """The next token, if it is one of these."""
        return self._tokens.pop(0) if self._next() in signs and self._tokens else ""

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            raise ValueError(self._next())

    def _or(self) -> tuple[Any, ...]:
        values = self._and()
        while self._take("||"):
            values = _either(values, self._and())
        return values

    def _and(self) -> tuple[Any, ...]:
        values = self._comparison()
        while self._take("&&"):
            values = _both(values, self._comparison())
        return values

    def _comparison(self) -> tuple[Any, ...]:
        values = self._unary()
        while sign := self._take("==", "!=", "<", "<=", ">", ">="):
            pairs = product(values, self._unary())
            values = distinct(truth for a, b in pairs for truth in _compared(sign, a, b))
        return values

    def _unary(self) -> tuple[Any, ...]:
        if self._take("!"):
            return distinct(not truth for value in self._unary() for truth in _truths(value))
        values = self._operand()
        while sign := self._take(".", "["):
            if sign == "." or self._next() == "*":
                names: tuple[Any, ...] = (self._tokens.pop(0) if self._tokens else self._expect("*"),)
            else:
                names = self._or()
            if sign == "[":
                self._expect("]")
            values = distinct(_member(value, name) for value, name in product(values, names))
        return values

    def _operand(self) -> tuple[Any, ...]:
        if self._take("("):
            values = self._or()
            self._expect(")")
            return values
        token = self._tokens.pop(0) if self._tokens else ""
        if token.startswith("'"):
            return (token[1:-1].replace("''", "'"),)
        if re.fullmatch(r"[a-z_][\w-]*", token, re.IGNORECASE):
            if self._take("("):
                return self._call(token.lower())
            name = token.lower()
            return (_WORDS[name],) if name in _WORDS else (self._contexts.get(name, UNKNOWN),)
        return (float(token),)

    def _call(self, name: str) -> tuple[Any, ...]:
        arguments: list[tuple[Any, ...]] = []
        while not self._take(")"):
            arguments.append(self._or())
            if self._next() != ")":
                self._expect(",")
        if math.prod(map(len, arguments)) > MOST_VALUES:
            return (UNKNOWN,)
        return distinct(value for given in product(*arguments) for value in _called(name, given))


def _tokens(code: str) -> Iterator[str]:
    at = 0
    while code[at:].strip():
        match = _TOKEN.match(code, at)
        if match is None:
            raise ValueError(code[at:])
        yield match[0].strip()
        at = match.end()


def distinct(values: Iterable[Any], most: int = MOST_VALUES) -> tuple[Any, ...]:
    """Each value once; `UNKNOWN` alone for more than `most`."""
    kept: list[Any] = []
    for value in values:
        if not any(value is other or (type(value) is type(other) and value == other) for other in kept):
            kept.append(value)
        if len(kept) > most:
            return (UNKNOWN,)
    return tuple(kept)


def _truths(value: Any) -> tuple[bool, ...]:
    if value in (UNKNOWN, TRUSTED) or isinstance(value, Partly):
        return _EITHER
    if value is _FALSE or (isinstance(value, float) and math.isnan(value)):
        return (False,)
    return (isinstance(value, Mapping | list) or bool(value),)


def _both(left: tuple[Any, ...], right: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values of `left && right`."""
    values: list[Any] = []
    for value in left:
        truths = _truths(value)
        values += right if True in truths else ()
        values += () if False not in truths else [value] if truths == (False,) else [_FALSE]
    return distinct(values)


def _either(left: tuple[Any, ...], right: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values of `left || right`."""
    values: list[Any] = []
    for value in left:
        truths = _truths(value)
        values += [value] if True in truths else ()
        values += right if False in truths else ()
    return distinct(values)


def _compared(sign: str, a: Any, b: Any) -> tuple[bool, ...]:
    if sign not in ("==", "!=") or a in _NOT_KNOWN or b in _NOT_KNOWN:
        return _EITHER
    return ((_equal(a, b)) is (sign == "=="),)


def _equal(a: Any, b: Any) -> bool:
    """As GitHub compares: texts in any case, and values of two kinds as numbers."""
    if isinstance(a, str) and isinstance(b, str):
        return a.lower() == b.lower()
    return _number(a) == _number(b)


def _number(value: Any) -> float:
    if isinstance(value, Mapping | list):
        return math.nan
    try:
        return float(value or 0)
    except ValueError:
        return math.nan


def _member(value: Any, name: Any) -> Any:
    if value is TRUSTED:
        return TRUSTED
    if value in _NOT_KNOWN or name in _NOT_KNOWN or name == "*":
        return UNKNOWN
    if isinstance(value, list):
        index = _number(name)
        return value[int(index)] if index >= 0 and index < len(value) else None
    if not isinstance(value, Mapping):
        return None
    found = [inner for key, inner in value.items() if str(key).lower() == str(name).lower()]
    return found[0] if found else UNKNOWN if isinstance(value, Partly) else None


def _called(name: str, given: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values of a function."""
    if name in ("always", "success", "failure", "cancelled"):
        return (True,) if name == "always" else _EITHER
    is_test = name in ("contains", "startswith", "endswith")
    if UNKNOWN in given or _FALSE in given:
        return _EITHER if is_test else (UNKNOWN,)
    if TRUSTED in given:
        return _EITHER if is_test else (TRUSTED,)
    return (_holds(name, *given) if is_test else _computed(name, *given),)


def _computed(name: str, first: Any = "", *others: Any) -> Any:
    if name == "fromjson":
        return json.loads(_text(first))
    if name == "tojson" and _is_plain(first):
        return json.dumps(first)
    texts = [_text(value) for value in others]
    if name == "format" and _fits(_text(first), len(texts)):
        return re.sub(r"\{(\d+)\}", lambda match: texts[int(match[1])], _text(first))
    return UNKNOWN


def _fits(template: str, count: int) -> bool:
    """Whether a template of `format` has nothing but `{0}` to `{count - 1}` in braces."""
    plain = re.sub(r"\{\d{1,3}\}", "", template)
    return not {"{", "}"} & set(plain) and all(int(number) < count for number in re.findall(r"\{(\d+)\}", template))


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return not isinstance(value, Partly) and all(map(_is_plain, value.values()))
    return all(map(_is_plain, value)) if isinstance(value, list) else value not in _NOT_KNOWN


def _holds(name: str, whole: Any, part: Any = None) -> bool:
    if name == "contains" and isinstance(whole, list):
        return any(_equal(item, part) for item in whole)
    text, piece = _text(whole).lower(), _text(part).lower()
    if name == "contains":
        return piece in text
    return text.startswith(piece) if name == "startswith" else text.endswith(piece)


def _text(value: Any) -> Any:
    """The text of a value as GitHub writes it; `UNKNOWN` and `TRUSTED` as they are."""
    if value in (UNKNOWN, TRUSTED):
        return value
    if value is _FALSE or isinstance(value, Partly):
        return UNKNOWN
    if isinstance(value, Mapping | list):
        return "Array" if isinstance(value, list) else "Object"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.15g}"
    return "" if value is None else str(value)


def _joined(*parts: Any) -> Any:
    if UNKNOWN in parts:
        return UNKNOWN
    return TRUSTED if TRUSTED in parts else "".join(parts)
