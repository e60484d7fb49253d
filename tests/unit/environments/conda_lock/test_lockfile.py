"""YAML is read as PyYAML's safe loader reads it, and what hostile files are made of is refused with its line."""

from __future__ import annotations

import pytest
import yaml

from beampermit.environments.conda_lock.lockfile import parse_yaml
from beampermit.errors import BadInput

PLAIN = """\
text: [word, '1.5', "on", ~, no, 0x1f, 0o17, 017, 1_000, 1.5, .inf, 1e3, 2026-11-23, 12:30:45, "<<", '',
  more]  # a comment
nested: {a: [{b: {c: []}}], "d e": {}}
long: |
  two
  lines
folded: >-
  one
  line
empty:
1.5: a number
? asked
: told
"""


def test_values_are_those_of_the_safe_loader() -> None:
    assert parse_yaml(PLAIN, "a.yml") == yaml.safe_load(PLAIN)
    assert parse_yaml("", "a.yml") is None
    assert parse_yaml("word", "a.yml") == "word"


REFUSED = {
    "an alias": ("a: &x [1]\nb: *x\n", "aliases are not supported", 2),
    "a tag": ("a: 1\nb: !!python/object/apply:os.system [ls]\n", "the tag 'tag:yaml.org,2002:python/object", 2),
    "a tag of a word": ("a: !!str 1\n", "the tag 'tag:yaml.org,2002:str' is not supported", 1),
    "a merge": ("a: 1\n<<: {b: 2}\n", "could not determine a constructor", 2),
    "a key twice": ("a: 1\nb: 2\na: 3\n", "the key 'a' is given twice", 3),
    "a key that is a list": ("a: 1\n? [b]\n: c\n", "a key must be a plain word", 2),
    "a value in a value in a value": (f"a: 1\nb: {'[' * 200}{']' * 200}\n", "values are nested more than 100 deep", 2),
    "two documents": ("a: 1\n---\nb: 2\n", "more than one YAML document", None),
    "no YAML": ("a: [1\nb: 2\n", "not YAML", 2),
    "a date that is none": ("a: 2026-99-99\n", "not YAML: month must be in 1..12", None),
    "a control character": ("a: \x01\n", "not YAML", None),
}


@pytest.mark.parametrize("defect", REFUSED)
def test_what_is_refused_has_a_line(defect: str) -> None:
    text, message, line = REFUSED[defect]
    with pytest.raises(BadInput, match=message) as caught:
        parse_yaml(text, "environment.yml", hint="beampermit env lock")
    assert (caught.value.file, caught.value.line, caught.value.hint) == ("environment.yml", line, "beampermit env lock")
