"""Text that nests deep, or has no end of a word, is read in no time; nothing that it says is missed."""

from __future__ import annotations

import ast
import time

import pytest

from beampermit.code.leftovers import _named
from beampermit.code.modules import Modules
from beampermit.code.sources import Sources, _parsed, mentioned

LONG = 2**20


@pytest.mark.parametrize(
    "text",
    [
        f"x = {'-' * 100_000}1",
        f"x = {'lambda:' * 5_000}1",
        f"x = {'(' * 1_000}{')' * 1_000}",
        f"x = {'1+' * 50_000}1",
        "if x: pass\n" + "elif x: pass\n" * 3_000,
        "x = '\0'",
    ],
)
def test_python_that_no_parser_takes_is_none_that_is_read(text: str) -> None:
    with pytest.raises((SyntaxError, ValueError, RecursionError, MemoryError)):
        ast.NodeVisitor().visit(ast.parse(text))
    assert _parsed(text) is None


@pytest.mark.slow
@pytest.mark.parametrize("word", ["a", "a.b", "a/b", "_1"])
def test_a_word_of_a_million_letters_is_read_once(word: str) -> None:
    text = f"see x.y {word * (LONG // len(word))}+ and src/x/y.py"
    before = time.process_time()
    found = [*mentioned(text)]
    assert {"x.y", "src/x/y.py"} <= {*found}
    assert "src/x/y.py" in _named(text)
    assert time.process_time() - before < 20  # every letter of it again would take hours


def test_a_dotted_name_without_end_is_looked_up_once() -> None:
    files = {"src/a/__init__.py": "", "src/a/b.py": f"x = '{'a.' * (LONG // 4)}'\ny = 'a.b.function'\n"}
    before = time.process_time()
    assert "src/a/b.py" in {*Modules(Sources(files, files.get)).imported("src/a/b.py")}
    assert time.process_time() - before < 20  # each of its beginnings would take minutes


def test_texts_with_gaps_match_what_an_f_string_can_give() -> None:
    python = _parsed(
        'one = f"{a}-mean"\ntwo = f"rms-{a}{b}-of-{c}"\nmany = f"{a}{b}{c}{d}{e}-{f}-{g}-{h}-{i}-{j}-{k}-{l}-x!"'
    )
    assert python is not None
    one, two, many = python.patterns
    assert [bool(one.fullmatch(name)) for name in ("x-mean", "x-mean-mean", "-mean", "x-means")] == [
        True,
        True,
        False,
        False,
    ]
    names = ("rms-ab-of-c", "rms-a-of-of-c", "rms-a-of-c", "rms-ab-of-", "rms-ab-of-c-of-d")
    assert [bool(two.fullmatch(name)) for name in names] == [True, True, False, False, True]
    before = time.process_time()
    assert many.fullmatch("a-" * 500) is None
    assert many.fullmatch("abcde-f-g-h-i-j-k-l-x!")
    assert time.process_time() - before < 5
