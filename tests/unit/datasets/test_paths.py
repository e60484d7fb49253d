"""Names are judged the same whether they are plain or not; plain ones are only judged faster."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from beampermit.datasets import manifests

PARTS = st.one_of(
    st.text("aB9_-. :\\\x00é/", min_size=0, max_size=8), st.sampled_from([".git", ".GIT", "..", ".", ".dvc", "a" * 256])
)


@given(st.lists(PARTS, min_size=1, max_size=4).map("/".join))
def test_a_plain_name_has_no_fault_that_a_closer_look_would_find(path: str) -> None:
    if manifests.PLAIN.fullmatch(path) and len(path) <= 255:
        closer = (found for part in path.split("/") if (found := manifests._part_fault(part)))
        assert next(closer, None) is None
        assert not manifests.CONTROL.search(path)
        assert "\\" not in path
        assert not path.startswith("/")
        assert path[1:2] != ":"


@given(st.text(max_size=12))
def test_folding_is_idempotent_and_knows_ascii(text: str) -> None:
    assert manifests.fold_path(manifests.fold_path(text)) == manifests.fold_path(text)
    if text.isascii():
        assert manifests.fold_path(text) == text.casefold()
