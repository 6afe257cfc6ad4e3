"""Splits of items: partitions that no order changes, and what cannot be split."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soce.exceptions import EvaluationError
from soce.search.items import split_items

ITEMS = st.dictionaries(
    st.text(min_size=1, max_size=5),
    st.lists(st.text(max_size=4), min_size=2, max_size=30, unique=True),
    max_size=4,
)


@given(ITEMS, st.integers(0, 9), st.sampled_from([Fraction(1, 2), Fraction(1, 5), Fraction(9, 10)]))
def test_a_split_is_a_partition_that_ignores_order(
    items: dict[str, list[str]], seed: int, share: Fraction
) -> None:
    split = split_items(items, share=share, seed=seed)
    turned = split_items({c: ids[::-1] for c, ids in reversed(items.items())}, share=share, seed=seed)
    for category, ids in items.items():
        one, other = split.selection[category], split.held_out[category]
        assert one
        assert other
        assert sorted(one + other) == sorted(ids)
        assert not set(one) & set(other)
        assert abs(len(other) - len(ids) * share) <= 1
        assert set(turned.held_out[category]) == set(other)
        assert list(one) == [item for item in ids if item in set(one)], "the order given is kept"


def test_another_seed_is_another_split() -> None:
    items = {"a": [str(i) for i in range(100)]}
    assert split_items(items, seed=0).held_out != split_items(items, seed=1).held_out
    assert split_items(items, seed=0) == split_items(items, seed=0)


@pytest.mark.parametrize("items", [{"a": ["x"]}, {"a": []}, {"a": ["x", "x"]}])
def test_what_cannot_be_split_is_refused(items: dict[str, list[str]]) -> None:
    with pytest.raises(EvaluationError, match="cannot be split in two"):
        split_items(items)


@pytest.mark.parametrize("share", [Fraction(0), Fraction(1), Fraction(-1, 2)])
def test_a_share_must_leave_both_parts(share: Fraction) -> None:
    with pytest.raises(EvaluationError, match="held-out share"):
        split_items({"a": ["x", "y"]}, share=share)
