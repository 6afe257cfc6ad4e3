"""Correlations before and after souping: definitions, bits of the bootstrap, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soce.analysis.consistency import CAUTION, compare_correlations
from soce.exceptions import ScoreTableError
from soce.scores.table import ScoreTable
from soce.selection.correlation import correlate_categories


def table(values: np.ndarray, prefix: str = "m") -> ScoreTable:
    columns = {f"c{place}": list(column) for place, column in enumerate(values.T.tolist())}
    return ScoreTable.of(columns, models=[f"{prefix}{row}" for row in range(len(values))])


def population(seed: int, n: int, shared: float, prefix: str, n_categories: int = 5) -> ScoreTable:
    """Return models with one skill in common to all categories, and one of its own to each."""
    rng = np.random.default_rng(seed)
    skill = rng.normal(size=(n, 1))
    return table(50 + 10 * (shared * skill + rng.normal(size=(n, n_categories))), prefix)


BEFORE, AFTER = population(1, 40, 0.5, "m"), population(2, 30, 4.0, "s")


def test_the_summary_is_that_of_the_pairs() -> None:
    found = compare_correlations(BEFORE, AFTER, draws=200)
    for summary, scores in ((found.summary_before, BEFORE), (found.summary_after, AFTER)):
        rho = np.corrcoef(scores.values.T)[np.triu_indices(5, 1)]
        assert summary.n_pairs == 10
        assert summary.mean == pytest.approx(rho.mean(), abs=1e-12)
        assert summary.median == pytest.approx(np.median(rho), abs=1e-12)
        assert summary.minimum == pytest.approx(rho.min(), abs=1e-12)
        assert summary.share_above == (rho > 0.9).mean()
    assert found.difference.mean == found.summary_after.mean - found.summary_before.mean
    assert found.difference.share_above == found.summary_after.share_above - found.summary_before.share_above
    assert found.interval is not None
    assert 0 < found.interval.low < found.difference.mean < found.interval.high
    assert found.notes[0] == CAUTION
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["summary"]["before"]["n_pairs"] == 10


def naive(
    before: ScoreTable, after: ScoreTable, draws: int, seed: int, block: int = 10**6
) -> tuple[np.ndarray, int]:
    """Resample one by one, with the same stream of counts: a block of each table in turn."""
    rng = np.random.default_rng(seed)
    counts: list[list[np.ndarray]] = [[], []]
    for start in range(0, draws, block):
        for one, drawn in zip((before, after), counts, strict=True):
            n = len(one.models)
            drawn += [*rng.multinomial(n, np.full(n, 1 / n), size=min(block, draws - start))]
    differences, undefined = [], 0
    for draw in range(draws):
        rho = []
        for one, times in zip((before, after), counts, strict=True):
            rows = np.repeat(one.values, times[draw], axis=0)
            with np.errstate(invalid="ignore", divide="ignore"):
                matrix = np.corrcoef(rows.T)
            constant = rows.min(axis=0) == rows.max(axis=0)
            matrix[constant] = np.nan
            matrix[:, constant] = np.nan
            rho.append(matrix[np.triu_indices(len(matrix), 1)])
        is_defined = ~np.isnan(rho[0]) & ~np.isnan(rho[1])
        undefined += int((~is_defined).sum())
        if is_defined.any():
            differences.append(rho[1][is_defined].mean() - rho[0][is_defined].mean())
    return np.array(differences), undefined


def test_the_interval_is_that_of_resampling_one_by_one() -> None:
    # Rows and columns of both are in order of name, as the resampler takes them.
    before, after = population(3, 9, 0.5, "m", 4), population(4, 8, 2.0, "s", 4)
    differences, undefined = naive(before, after, 400, 7)
    found = compare_correlations(before, after, draws=400, seed=7).interval
    assert found is not None
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(differences, [2.5, 97.5])), abs=1e-9)
    assert (found.n_undefined, found.n_without_pairs) == (undefined, 0)


def test_draws_in_which_a_category_is_constant_are_left_out_and_counted() -> None:
    before = table(np.array([[1.0, 5, 2], [1, 6, 4], [1, 9, 3], [2, 7, 1]]))
    after = table(np.array([[1.0, 5, 2], [2, 6, 4], [3, 9, 3], [4, 7, 1]]), "s")
    differences, undefined = naive(before, after, 300, 0)
    found = compare_correlations(before, after, draws=300).interval
    assert found is not None
    assert found.n_undefined == undefined > 0
    assert found.n_without_pairs == 300 - len(differences) > 0
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(differences, [2.5, 97.5])), abs=1e-9)


def reordered(scores: ScoreTable, seed: int) -> ScoreTable:
    rng = np.random.default_rng(seed)
    return scores.take(
        models=[scores.models[row] for row in rng.permutation(len(scores.models))],
        columns=[scores.categories[place] for place in rng.permutation(len(scores.categories))],
    )


@given(st.integers(0, 10**6))
def test_no_order_and_no_scale_changes_a_bit_of_it(seed: int) -> None:
    found = compare_correlations(BEFORE, AFTER, draws=50, seed=3)
    other = compare_correlations(reordered(BEFORE, seed), reordered(AFTER, seed + 1), draws=50, seed=3)
    assert other.interval == found.interval
    assert (other.summary_before, other.summary_after) == (found.summary_before, found.summary_after)
    assert compare_correlations(BEFORE, AFTER, draws=50, seed=4).interval != found.interval


def test_draws_are_made_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soce.analysis.consistency._CELLS", 42)  # 7 draws of 6 pairs
    before, after = population(3, 9, 0.5, "m", 4), population(4, 8, 2.0, "s", 4)
    differences, _ = naive(before, after, 120, 0, block=7)
    found = compare_correlations(before, after, draws=120).interval
    assert found is not None
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(differences, [2.5, 97.5])), abs=1e-9)


def test_undefined_pairs_are_left_out_of_both_sides_and_named() -> None:
    constant = AFTER.values.copy()
    constant[:, 0] = 50
    found = compare_correlations(BEFORE, table(constant, "s"), draws=20)
    assert found.undefined == tuple(("c0", f"c{place}", "after") for place in range(1, 5))
    rho = np.corrcoef(BEFORE.values[:, 1:].T)[np.triu_indices(4, 1)]
    assert found.summary_before.n_pairs == 6
    assert found.summary_before.mean == pytest.approx(rho.mean(), abs=1e-12)
    assert any("4 pairs without" in note for note in found.notes)


def test_holes_are_left_out_pair_by_pair() -> None:
    holes = BEFORE.values.copy()
    holes[::7, 1] = np.nan
    scores = table(holes)
    found = compare_correlations(scores, AFTER, draws=300)
    assert found.summary_before.mean == pytest.approx(
        np.mean(correlate_categories(scores).rho[np.triu_indices(5, 1)]), abs=1e-12
    )
    assert found.interval is not None
    assert found.interval.low < found.difference.mean < found.interval.high


def test_lower_is_better_is_turned_round() -> None:
    columns = [replace(column, higher_is_better=column.name != "c1") for column in BEFORE.columns]
    turned = ScoreTable(BEFORE.models, tuple(columns), BEFORE.values * [1, -1, 1, 1, 1])
    found, same = compare_correlations(turned, AFTER, draws=20), compare_correlations(BEFORE, AFTER, draws=20)
    assert found.summary_before == same.summary_before
    assert found.interval == same.interval


def test_few_models_are_warned_of() -> None:
    found = compare_correlations(population(1, 4, 1, "m"), AFTER, draws=0)
    assert found.interval is None
    assert "only 4 unsouped models: a correlation up to 0.950 in size is expected by chance" in found.notes


@pytest.mark.parametrize(
    ("before", "after", "options", "expected"),
    [
        (BEFORE, AFTER.take(columns=["c0", "c1"]), {}, "the category `c2` is in `table` only"),
        (BEFORE, BEFORE, {}, "the model `m0` is in both tables"),
        (BEFORE.take(models=["m0", "m1"]), AFTER, {}, "the population is 2 models"),
        (BEFORE, AFTER, {"level": 95}, "the level 95"),
        (BEFORE, AFTER, {"draws": -1}, "the number of draws is -1"),
        (table(np.ones((4, 3))), AFTER.take(columns=["c0", "c1", "c2"]), {}, "no pair of the 3 categories"),
    ],
)
def test_tables_that_cannot_be_compared_are_refused(
    before: ScoreTable, after: ScoreTable, options: dict[str, float], expected: str
) -> None:
    with pytest.raises(ScoreTableError, match=expected) as caught:
        compare_correlations(before, after, **options)  # type: ignore[arg-type]
    assert caught.value.problems[0].hint
