"""Averages over the checkpoints of a run: the weights of every scheme, and the order of steps."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from tests.checkpoints import directory, shards

import soce
from soce.cli.trajectory import trajectory as command
from soce.exceptions import RecipeError
from soce.methods.trajectory import scheme_weights, spacing_remark, step_of, trajectory
from soce.recipes.files import read_recipes

if TYPE_CHECKING:
    from pathlib import Path

FIFTH = Fraction(1, 5)


@pytest.mark.parametrize(
    ("scheme", "count", "alpha", "parts"),
    [
        ("ema", 3, FIFTH, [16, 4, 5]),
        ("ema", 4, FIFTH, [64, 16, 20, 25]),
        ("ema", 3, Fraction(1), [0, 0, 1]),
        ("wma", 4, FIFTH, [1, 2, 3, 4]),
        ("sma", 3, FIFTH, [1, 1, 1]),
        ("sma", 1, FIFTH, [1]),
        ("ema", 1, FIFTH, [1]),
        ("wma", 1, FIFTH, [1]),
        ("minus-sqrt", 1, FIFTH, [1]),
        ("minus-sqrt", 4, FIFTH, [1 << 19, 217167, 166638, 140483]),
    ],
)
def test_weights_of_schemes(scheme: str, count: int, alpha: Fraction, parts: list[int]) -> None:
    assert scheme_weights(scheme, count, alpha) == tuple(Fraction(part, sum(parts)) for part in parts)


def test_minus_sqrt_is_the_drop_of_the_decay_at_each_checkpoint() -> None:
    weights = scheme_weights("minus-sqrt", 5)
    for i, weight in enumerate(weights):
        assert float(weight) == pytest.approx(math.sqrt((i + 1) / 5) - math.sqrt(i / 5), abs=2.0**-20)


@given(
    st.sampled_from(["sma", "ema", "wma", "minus-sqrt"]),
    st.integers(1, 40),
    st.fractions(Fraction(1, 50), 1, max_denominator=50),
)
def test_weights_sum_to_exactly_one(scheme: str, count: int, alpha: Fraction) -> None:
    weights = scheme_weights(scheme, count, alpha)
    assert sum(weights) == 1
    assert min(weights) >= 0


@given(st.integers(2, 8), st.fractions(Fraction(1, 50), 1, max_denominator=50))
def test_ema_goes_to_each_checkpoint_by_alpha(count: int, alpha: Fraction) -> None:
    mean = [Fraction(1), *[Fraction(0)] * (count - 1)]
    for i in range(1, count):
        mean = [(1 - alpha) * one for one in mean]
        mean[i] += alpha
    assert scheme_weights("ema", count, alpha) == tuple(mean)


@pytest.mark.parametrize(
    ("path", "step"),
    [
        ("run/checkpoint-500", 500),
        ("run-2/iter_0002000/", 2000),
        ("global_step1000", 1000),
        ("org/model@step143000", 143000),
        ("epoch_3-step_70-loss0.5", 70),
        ("ckpt.40.safetensors", 40),
        ("e12", 12),
    ],
)
def test_steps_are_read_from_names(path: str, step: int) -> None:
    assert step_of(path) == step


def test_checkpoints_are_put_in_the_order_of_numbers() -> None:
    recipe = trajectory(["run/checkpoint-1000", "run/checkpoint-200", "run/checkpoint-30"], "wma")
    assert [one.path for one in recipe.ingredients] == [f"run/checkpoint-{step}" for step in (30, 200, 1000)]
    assert recipe.parts == (1, 2, 3)


@pytest.mark.parametrize(
    ("paths", "scheme", "alpha", "told"),
    [
        ([], "sma", None, "needs checkpoints"),
        (["run/final"], "sma", None, "which step `run/final` is of cannot be read"),
        (["a/checkpoint-5", "b/checkpoint-05"], "sma", None, "are both of step 5"),
        (["checkpoint-5"], "mean", None, "there is no scheme `mean`"),
        (["checkpoint-5"], "ema", Fraction(0), "expected a number in (0, 1]"),
        (["checkpoint-5"], "ema", Fraction(6, 5), "expected a number in (0, 1]"),
        (["checkpoint-5"], "wma", FIFTH, "`alpha` is for `ema`"),
    ],
)
def test_what_is_refused(paths: list[str], scheme: str, alpha: Fraction | None, told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        trajectory(paths, scheme, alpha=alpha)
    (problem,) = caught.value.problems
    assert told in problem.message


def test_uneven_steps_are_told_of() -> None:
    assert spacing_remark(["s-1", "s-2", "s-3"]) is None
    assert "1 to 8 apart" in (spacing_remark(["s-1", "s-2", "s-10"]) or "")


def test_the_command_prints_a_recipe_that_makes_the_soup_it_makes_itself(tmp_path: Path) -> None:
    paths = [str(directory(tmp_path / f"checkpoint-{step}", step, 1)) for step in (100, 20, 60)]
    words = [*paths, "--scheme", "ema", "--alpha", "1/4"]
    printed = CliRunner().invoke(command, words)
    assert printed.exit_code == 0, printed.stderr
    (tmp_path / "elsewhere").mkdir()
    recipe = tmp_path / "elsewhere/recipe.yaml"
    recipe.write_text(printed.stdout)
    assert read_recipes(recipe).recipe.parts == (9, 3, 4)
    soce.merge(recipe, output=tmp_path / "one", options=soce.MergeOptions(sync=False))
    made = CliRunner().invoke(command, [*words, "-o", str(tmp_path / "two"), "--no-sync", "-q"])
    assert made.exit_code == 0, made.stderr
    assert shards(tmp_path / "one") == shards(tmp_path / "two")


@pytest.mark.parametrize(
    ("words", "told"), [([], "no checkpoints"), (["checkpoint-1"], "missing option `--scheme`")]
)
def test_what_the_command_needs(words: list[str], told: str) -> None:
    done = CliRunner().invoke(command, words)
    assert done.exit_code == 2
    assert told in done.stderr
