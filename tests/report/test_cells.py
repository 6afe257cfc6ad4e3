"""Cells of a report: how numbers, durations and weights read."""

from __future__ import annotations

import pytest

from soce.report.card.soup import lowest_terms
from soce.report.cells import count, plain, seconds, signed, weights
from soce.report.figures.heatmap import _short


def test_signs_are_true_and_zero_has_none() -> None:
    assert [signed(14.893), signed(-0.004), signed(-2.5, 1)] == ["+14.89", "−0.004", "−2.5"]
    assert [signed(0.0), signed(-5.6e-17)] == ["0.00", "0.00"]
    assert [plain(-0.4827), plain(-0.001)] == ["−0.48", "0.00"]


def test_correlations_have_no_zero_before_the_point() -> None:
    found = [_short(rho) for rho in (0.974, -0.4827, 0.0, 1.0, -1.0)]
    assert found == [".97", "−.48", ".00", "1.0", "−1.0"]


def test_thin_spaces_stand_between_thousands() -> None:
    assert count(8775680).text == "8\u202f775\u202f680"


@pytest.mark.parametrize(("value", "text"), [(3.21, "3.2 s"), (188.3, "3 min 8 s"), (7260, "2 h 1 min")])
def test_durations(value: float, text: str) -> None:
    assert seconds(value).text == text


def test_weights_are_decimals_where_these_are_exact() -> None:
    assert weights({"a": 4, "b": 6}).text == "0.4 a + 0.6 b"
    assert weights({"a": 1, "b": 2, "c": 0}).text == "1/3 a + 2/3 b"


def test_parts_in_lowest_terms() -> None:
    assert lowest_terms([2, 0, 8]) == (4, 1)
