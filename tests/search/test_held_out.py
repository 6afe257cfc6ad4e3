"""Equal items stay on one side of a split, sizes are as near to the share as that allows."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from soce.exceptions import EvaluationError
from soce.search.held_out import bundles_of, equal_items, hold_out
from soce.search.items import Split, split_items

SHARES = st.sampled_from([Fraction(1, 2), Fraction(1, 5), Fraction(9, 10), Fraction(1, 3)])
CONTENTS = st.dictionaries(
    st.sampled_from("abc"),
    st.dictionaries(st.integers(0, 40).map(str), st.integers(0, 25), min_size=2, max_size=14),
    min_size=1,
)
"""Category → id → content; categories share ids and contents."""


def split_by_content(contents: dict[str, dict[str, int]], share: Fraction, seed: int = 0) -> Split:
    items = {category: list(told) for category, told in contents.items()}
    try:
        return split_items(items, share=share, seed=seed, contents=contents)
    except EvaluationError:
        assume(False)
        raise


def sides(split: Split, contents: dict[str, dict[str, int]]) -> list[set[int]]:
    return [
        {contents[category][item] for category, ids in part.items() for item in ids}
        for part in (split.selection, split.held_out)
    ]


@given(CONTENTS, SHARES, st.integers(0, 3))
def test_no_content_is_on_both_sides_and_no_item_is_lost(
    contents: dict[str, dict[str, int]], share: Fraction, seed: int
) -> None:
    split = split_by_content(contents, share, seed)
    one, other = sides(split, contents)
    assert not one & other
    for category, told in contents.items():
        parts = split.selection[category], split.held_out[category]
        assert all(parts)
        assert sorted(parts[0] + parts[1]) == sorted(told)


@given(CONTENTS, SHARES)
def test_no_order_changes_a_split(contents: dict[str, dict[str, int]], share: Fraction) -> None:
    split = split_by_content(contents, share)
    turned = {category: dict(reversed(told.items())) for category, told in reversed(contents.items())}
    again = split_by_content(turned, share)
    assert {name: set(ids) for name, ids in split.held_out.items()} == {
        name: set(ids) for name, ids in again.held_out.items()
    }
    assert split.equal == again.equal


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.data())
def test_sizes_are_as_near_as_groups_allow(sizes: list[int], data: st.DataObject) -> None:
    groups = {f"{number}-{i}": number for number, size in enumerate(sizes) for i in range(size)}
    ranked = data.draw(st.permutations(list(groups)))
    n = len(ranked)
    count = data.draw(st.integers(0, n))
    equal = equal_items({"a": ranked}, {"a": groups}).get("a", {})
    held = hold_out(bundles_of(ranked, equal), count, {})
    possible = {sum(some) for k in range(len(sizes) + 1) for some in combinations(sizes, k)} - {0, n}
    if not possible:
        assert held is None
    else:
        assert held is not None
        found = sum(len(bundle.items) for bundle in held)
        assert abs(found - count) == min(abs(size - count) for size in possible)


@given(
    st.dictionaries(st.text(max_size=3), st.sets(st.text(max_size=3), min_size=2, max_size=20), min_size=1),
    SHARES,
)
def test_items_that_all_differ_are_split_as_if_nothing_were_known(
    items: dict[str, set[str]], share: Fraction
) -> None:
    given_items = {name: sorted(ids) for name, ids in items.items()}
    contents = {name: {item: (name, item) for item in ids} for name, ids in items.items()}
    split = split_items(given_items, share=share, contents=contents)
    assert split == split_items(given_items, share=share)
    assert "equal" not in split.to_json()


def test_a_split_of_before_stays_what_it_was() -> None:
    split = split_items({"math": [f"q{i}" for i in range(8)]}, seed=3)  # computed by soce 0.1
    assert split.held_out == {"math": ("q4", "q5", "q6", "q7")}


def test_the_numbers_in_a_result_give_the_split_again() -> None:
    contents = {"a": {str(i): i // 3 for i in range(12)}, "b": {str(i): i for i in range(5)}}
    items = {category: list(told) for category, told in contents.items()}
    split = split_items(items, contents=contents)
    assert split.n_repeated == 8 + 4  # four contents three times, all but one of them in b as well
    assert split_items(items, contents=split.equal) == split


@pytest.mark.parametrize(
    "contents",
    [
        {"a": {"x": 0, "y": 0}},
        {"a": {"x": 0, "y": 1}, "b": {"x": 0, "y": 1}, "c": {"x": 0, "y": 2}, "d": {"x": 1, "y": 2}},
    ],
)
def test_items_that_only_repeat_each_other_cannot_be_split(contents: dict[str, dict[str, int]]) -> None:
    items = {category: list(told) for category, told in contents.items()}
    with pytest.raises(EvaluationError, match="repeat each other or those of other categories"):
        split_items(items, contents=contents)
