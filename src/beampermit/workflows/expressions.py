"""The values that a workflow expression may have, as far as the files determine them."""

from __future__ import annotations

import json
import math
import re
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, product
from typing import Any

from beampermit.workflows.work import spend

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
MOST_LETTERS, MOST_LEVELS = 21_000, 50
"""Of one expression on GitHub: `MaxLength` and `MaxDepth` of its runner."""
MOST_TEXT = 2**16
"""Letters of a computed text; a longer one is unknown. Calls of `format` inside each other can ask for any number."""


class Partly(dict[str, Any]):
    """Members that are known; any other is unknown, not absent."""


@dataclass(frozen=True)
class Repository:
    """What names a repository: this one, or the fork of a stranger. `kind` tells a full name from an id."""

    kind: str
    is_ours: bool

    def equals(self, other: Any) -> bool | None:
        """None where it cannot be told. A stranger's fork has no name that somebody wrote into a workflow."""
        if isinstance(other, Repository):
            return self == other if self.kind == other.kind else None
        return False if other and not self.is_ours else None


class Numbered(str):
    """A text with some number in the place of its `0`, such as the ref of a pull request."""

    __slots__ = ()


_WHOLE = re.compile(r"\$\{\{((?:'[^']*'|[^'])*?)(?:(\}\})|'[^']*\Z|\Z)", re.DOTALL)
"""An expression, and its end. One without an end goes to the end of the text, so that it is looked for only once."""
_INDEX = re.compile(r"(?<!\s)\s*\[\s*'([\w-]+)'\s*\]")
_QUOTED = re.compile(r"'[^']*'")


def expressions_in(value: Any) -> tuple[str, ...]:
    """The expressions in a text, as `a.b` where `a['b']` is written, without spaces and the texts in quotes."""
    text = str(value)
    spend(1 + len(text) // 64)
    return _expressions_in(text) if "${{" in text else ()


@lru_cache(maxsize=4096)
def _expressions_in(text: str) -> tuple[str, ...]:
    codes = (_INDEX.sub(r".\1", match[1]) for match in _WHOLE.finditer(text))
    return tuple("".join(_QUOTED.sub("''", code).split()) for code in codes)


def possible_values(value: Any, contexts: Mapping[str, Any]) -> tuple[Any, ...]:
    """The values of a text with expressions; `contexts` are `inputs`, `matrix`, and what is known of `github`.

    One that cannot be told is `UNKNOWN` or `TRUSTED`. Anything but a text is its own value. `contexts` may also hold
    how the jobs before ended, as `success()`.
    """
    if not isinstance(value, str) or "${{" not in value:
        return (value,)
    spend(20 + len(value))
    matches = list(_WHOLE.finditer(value.strip()))
    literals = _WHOLE.split(value.strip())[::3]
    if not all(match[2] for match in matches):
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


_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?)(?![\w.])"
    r"|(?P<name>[a-z_][\w-]*)|(?P<sign>&&|\|\||[!=<>]=|[!<>().\[\],*]))",
    re.IGNORECASE | re.ASCII,
)
_WORDS: Mapping[str, Any] = {"true": True, "false": False, "null": None, "nan": math.nan, "infinity": math.inf}
_EITHER = (True, False)


class _Reader:
    """Reads one expression from the left and gives its values. Raises `ValueError` for what GitHub would not read."""

    def __init__(self, code: str, contexts: Mapping[str, Any]):
        self._tokens = deque(_tokens(code))
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
        return self._tokens.popleft() if self._next() in signs and self._tokens else ""

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
            return distinct(not truth for value in self._unary() for truth in truths(value))
        values = self._operand()
        while sign := self._take(".", "["):
            if sign == "." or self._next() == "*":
                names: tuple[Any, ...] = (self._tokens.popleft() if self._tokens else self._expect("*"),)
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
        token = self._tokens.popleft() if self._tokens else ""
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
        if name in ("always", "success", "failure", "cancelled"):
            return (self._contexts.get(f"{name}()", name == "always" or UNKNOWN),)
        return distinct(value for given in product(*arguments) for value in _called(name, given))


@lru_cache(maxsize=1024)
def _tokens(code: str) -> tuple[str, ...]:
    if len(code) > MOST_LETTERS:
        raise ValueError(f"more than {MOST_LETTERS} letters")
    code, at, tokens = code.rstrip(), 0, list[str]()
    while at < len(code):
        match = _TOKEN.match(code, at)
        if match is None:
            raise ValueError(code[at:])
        tokens.append(match[0].strip())
        at = match.end()
    if max(accumulate((token in ("(", "[")) - (token in (")", "]")) for token in tokens), default=0) > MOST_LEVELS:
        raise ValueError(f"more than {MOST_LEVELS} levels")
    return tuple(tokens)


def distinct(values: Iterable[Any], most: int = MOST_VALUES) -> tuple[Any, ...]:
    """Each value once; `UNKNOWN` alone for more than `most`."""
    kept: dict[Any, Any] = {}
    for value in values:
        kept.setdefault(typed(value), value)
        if len(kept) > most:
            return (UNKNOWN,)
    return tuple(kept.values())


def typed(value: Any) -> Any:
    """What is equal for the same values only: neither for `1` and `true` nor for other orders of a mapping."""
    spend(1)
    if isinstance(value, Mapping):
        return (isinstance(value, Partly), *((typed(name), typed(inner)) for name, inner in value.items()))
    if isinstance(value, list):
        return (list, *map(typed, value))
    return (str if isinstance(value, str) and not isinstance(value, Numbered) else type(value), value)


def _outside(value: Any) -> Any:
    """`UNKNOWN` or `TRUSTED` for what is known only beside others of its kind."""
    if isinstance(value, Numbered):
        return TRUSTED
    return value if not isinstance(value, Repository) else TRUSTED if value.is_ours else UNKNOWN


def truths(value: Any) -> tuple[bool, ...]:
    """Whether it may count as true, and whether as false."""
    if _outside(value) in (UNKNOWN, TRUSTED) or (isinstance(value, Partly) and not value):
        return _EITHER
    if value is _FALSE or (isinstance(value, float) and math.isnan(value)):
        return (False,)
    return (isinstance(value, Mapping | list) or bool(value),)


def _both(left: tuple[Any, ...], right: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values of `left && right`."""
    values: list[Any] = []
    for value in left:
        either = truths(value)
        values += right if True in either else ()
        values += () if False not in either else [value] if either == (False,) else [_FALSE]
    return distinct(values)


def _either(left: tuple[Any, ...], right: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values of `left || right`."""
    values: list[Any] = []
    for value in left:
        either = truths(value)
        values += [value] if True in either else ()
        values += right if False in either else ()
    return distinct(values)


def _compared(sign: str, a: Any, b: Any) -> tuple[bool, ...]:
    if sign not in ("==", "!=") or a in _NOT_KNOWN or b in _NOT_KNOWN:
        return _EITHER
    if isinstance(a, Mapping | list) and isinstance(b, Mapping | list):
        return _EITHER  # on GitHub equal only to itself
    for one, other in ((a, b), (b, a)):
        if isinstance(one, Repository):
            equal = one.equals(other)
            return _EITHER if equal is None else (equal is (sign == "=="),)
    if _turns_on_a_number(a, b):
        return _EITHER
    return ((_equal(a, b)) is (sign == "=="),)


def _turns_on_a_number(*values: Any) -> bool:
    """Whether the number in a `Numbered` may matter: only where every other value has digits too."""
    return any(isinstance(value, Numbered) for value in values) and all(re.search(r"\d", str(v)) for v in values)


def _equal(a: Any, b: Any) -> bool:
    """As GitHub compares: texts in any case, and values of two kinds as numbers."""
    if isinstance(a, str) and isinstance(b, str):
        return a.lower() == b.lower()
    return _number(a) == _number(b)


_ODD_NUMBER = re.compile(r"^\s*[+-]?(0[xob]|inf|nan|[\d.]*_)|[^\x00-\x7f]", re.IGNORECASE)
"""Texts of which GitHub and Python do not make the same number."""


def _number(value: Any) -> float:
    if isinstance(value, Mapping | list):
        return math.nan
    if isinstance(value, str) and _ODD_NUMBER.search(value):
        raise ValueError(value)
    try:
        return float(value or 0)
    except ValueError:
        return math.nan


def _member(value: Any, name: Any) -> Any:
    if _outside(value) is TRUSTED:
        return TRUSTED
    if not is_plain(name) or _outside(value) in _NOT_KNOWN or name == "*":
        return UNKNOWN
    if isinstance(value, list):
        index = _number(name)
        return value[int(index)] if index >= 0 and index < len(value) else None
    if not isinstance(value, Mapping):
        return None
    found = [inner for key, inner in value.items() if str(key).lower() == str(name).lower()]
    return found[0] if found else UNKNOWN if isinstance(value, Partly) else None


_ARGUMENTS: Mapping[str, int] = {"contains": 2, "startswith": 2, "endswith": 2, "fromjson": 1, "tojson": 1}


def _called(name: str, given: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values of a function. Raises `ValueError` for a number of arguments that it does not take."""
    if len(given) != _ARGUMENTS.get(name, len(given)) or (name == "format" and not given):
        raise ValueError(f"{name} with {len(given)} arguments")
    is_test = name in ("contains", "startswith", "endswith")
    texts = [str(one) if isinstance(one, Numbered) else one for one in given]
    if is_test and all(map(is_plain, texts)) and not _turns_on_a_number(*given):
        return (_holds(name, *texts),)
    if not all(map(is_plain, given)):
        ours = all(_outside(value) is TRUSTED or is_plain(value) for value in given)
        return _EITHER if is_test else (TRUSTED if ours else UNKNOWN,)
    return (_computed(name, *given),)


def _computed(name: str, first: Any = "", *others: Any) -> Any:
    if name == "fromjson":
        return json.loads(_text(first))
    if name == "tojson":
        return _short(json.dumps(first))
    template, *texts = map(_text, (first, *others))
    if name == "format" and _fits(template, len(texts)):
        numbers = map(int, re.findall(r"\{(\d+)\}", template))
        length = len(template) + sum(len(texts[number]) for number in numbers)
        spend(length)
        return re.sub(r"\{(\d+)\}", lambda match: texts[int(match[1])], template) if length <= MOST_TEXT else UNKNOWN
    return UNKNOWN


def _short(text: str) -> Any:
    spend(len(text))
    return text if len(text) <= MOST_TEXT else UNKNOWN


def _fits(template: str, count: int) -> bool:
    """Whether a template of `format` has nothing but `{0}` to `{count - 1}` in braces."""
    plain = re.sub(r"\{[0-9]{1,3}\}", "", template)
    return not {"{", "}"} & set(plain) and all(int(number) < count for number in re.findall(r"\{(\d+)\}", template))


def is_plain(value: Any) -> bool:
    """Whether nothing in it is unknown."""
    spend(1)
    if isinstance(value, Mapping):
        known = not isinstance(value, Partly) and all(isinstance(name, str) for name in value)
        return known and all(map(is_plain, value.values()))
    return all(map(is_plain, value)) if isinstance(value, list) else _outside(value) not in _NOT_KNOWN


def _holds(name: str, whole: Any, part: Any) -> bool:
    if name == "contains" and isinstance(whole, list):
        return any(_equal(item, part) for item in whole)
    text, piece = _text(whole).lower(), _text(part).lower()
    if name == "contains":
        return piece in text
    return text.startswith(piece) if name == "startswith" else text.endswith(piece)


def _text(value: Any) -> Any:
    """The text of a value as GitHub writes it; `UNKNOWN` and `TRUSTED` as they are."""
    if _outside(value) in (UNKNOWN, TRUSTED):
        return _outside(value)
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
    return TRUSTED if TRUSTED in parts else _short("".join(parts))
