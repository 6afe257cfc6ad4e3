"""Methods that drop elements: every element as the definition has it, and what must not change a byte."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from math import floor, lcm
from pathlib import Path
from typing import Any

import blake3
import numpy as np
import pytest
from tests import reference
from tests.checkpoints import Tensors, checkpoint, directory, f32, read_directory, shards, state_of

import soce
from soce import MergeOptions, Method, Recipe
from soce._core import Mixer
from soce.exceptions import CheckpointError, RecipeError
from soce.merging.plan import plan
from soce.methods.masks import MASKS as KNOWN

QUICK = MergeOptions(sync=False)
MASKS = {
    "ties": ({"density": "0.3"}, {"density": 1, "combine": "sum", "lambda": "0.7"}),
    "dare_linear": ({"seed": 7}, {"density": "0.3", "rescale": "none", "normalize": True}),
    "dare_ties": ({"density": "0.4"}, {"density": "0.4", "combine": "mean", "rescale": "none"}),
    "breadcrumbs": (
        {"gamma": "0.1", "density": "0.5"},
        {"gamma": "0.4", "density": "0.7", "normalize": True},
    ),
    "breadcrumbs_ties": ({"gamma": "0.1", "density": "0.5"}, {"combine": "mean"}),
}
CASES = [(name, parameters) for name, each in MASKS.items() for parameters in each]


def tensors(seed: int, size: int = 300) -> Tensors:
    """Return tensors of fine-tunes of one model: near each other on a common grid, often equally far."""
    found: Tensors = {"ids": ("I64", [4], bytes(range(32))), "empty": ("F32", [0, 3], b"")}
    common, own = np.random.default_rng(1), np.random.default_rng(seed)
    for dtype in ("BF16", "F16", "F32"):
        steps = own.integers(-3, 4, size) * (seed > 0)
        values = (common.integers(-60, 60, size) + steps) / 64
        bits = [reference.rounded(round(v * 64) << (1074 - 6), 1, dtype) for v in values]
        found[f"{dtype}.weight"] = (dtype, [size // 10, 10], reference.pack(bits, dtype))
    found["one"] = ("F32", [1], f32(float(seed)))
    return found


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    for seed, name in enumerate("OABC"):
        checkpoint(folder / name, tensors(seed))
    return folder


def recipe_of(
    home: Path, name: str, parameters: Mapping[str, Any], weights: Mapping[str, Any] | None = None
) -> Recipe:
    given = weights or {"A": "0.5", "B": 1, "C": "1/4"}
    return Recipe.of(
        {str(home / one): weight for one, weight in given.items()}, Method(name, str(home / "O"), parameters)
    )


def soup(recipe: Recipe, output: Path, **options: Any) -> Tensors:
    soce.merge(recipe, output=output, options=MergeOptions(sync=False, **options))
    return read_directory(output)


def philox(key: tuple[int, int], index: int) -> int:
    """Return word `index % 4` of block `index // 4`, from the paper of Salmon et al."""
    low, mask = 0xFFFFFFFF, 0xFFFFFFFF
    quad = index // 4
    counter = [quad & low, quad >> 32, key[1] & low, key[1] >> 32]
    k0, k1 = key[0] & low, key[0] >> 32
    for _ in range(10):
        first, second = 0xD2511F53 * counter[0], 0xCD9E8D57 * counter[2]
        counter = [
            (second >> 32) ^ counter[1] ^ k0,
            second & mask,
            (first >> 32) ^ counter[3] ^ k1,
            first & mask,
        ]
        k0, k1 = (k0 + 0x9E3779B9) & mask, (k1 + 0xBB67AE85) & mask
    return counter[index % 4]


def kept(name: str, method: Method, tensor: str, data: bytes, deltas: Sequence[Fraction]) -> list[bool]:
    """Return which elements of an ingredient are kept, by sorting or by the random numbers."""
    size, density = len(deltas), method.number("density")
    if density == 1:
        return [True] * size
    if name.startswith("dare"):
        told = json.dumps(
            ["soce random mask 1", method.value("seed"), blake3.blake3(data).hexdigest(), tensor],
            separators=(",", ":"),
        )
        digest = hashlib.sha256(told.encode()).digest()
        key = int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:16], "big")
        return [philox(key, e) < floor(density * 2**32) for e in range(size)]
    count = max(1, floor(density * size))
    top = 0
    if name.startswith("breadcrumbs"):
        top = min(floor(method.number("gamma") * size), size - count)
    order = sorted(range(size), key=lambda e: (-abs(deltas[e]), e))
    chosen = set(order[top : top + count])
    return [e in chosen for e in range(size)]


def expected(recipe: Recipe, inputs: Mapping[str, Tensors], tensor: str) -> bytes:
    """Return the tensor of a soup, element by element in fractions."""
    method = recipe.method
    assert method is not None
    dtype = inputs["O"][tensor][0]
    names = [one.path.rpartition("/")[2] for one in recipe.taking]
    weights = [
        weight
        for one, weight in zip(recipe.ingredients, recipe.table[-1].weights, strict=True)
        if one in recipe.taking
    ]
    bits = {name: reference.unpack(inputs[name][tensor][2], dtype) for name in (*names, "O")}
    values = {name: [Fraction(reference.value(one, dtype)) for one in all_] for name, all_ in bits.items()}
    deltas = {name: [a - b for a, b in zip(values[name], values["O"], strict=True)] for name in names}
    masks = {name: kept(method.name, method, tensor, inputs[name][tensor][2], deltas[name]) for name in names}
    scale = method.number("lambda")
    if method.name.startswith("dare") and method.value("rescale") == "inverse":
        scale /= method.number("density")
    elects = method.name.endswith("ties")
    if not elects and method.value("normalize"):
        scale /= sum(weights)
    made = []
    for e in range(len(bits["O"])):
        terms = {n: scale * w * deltas[n][e] for n, w in zip(names, weights, strict=True) if masks[n][e]}
        total = sum(terms.values())
        taking = [n for n in terms if not elects or terms[n] * total > 0]
        factor = {n: scale * w for n, w in zip(names, weights, strict=True) if n in taking}
        if elects and method.value("combine") == "mean" and taking:
            divisor = sum(w for n, w in zip(names, weights, strict=True) if n in taking)
            factor = {n: one / divisor for n, one in factor.items()}
        whole = lcm(*(one.denominator for one in factor.values()), 1)
        parts = [int(one * whole) for one in factor.values()]
        column = [*(bits[n][e] for n in factor), bits["O"][e]]
        numerators = [*parts, whole - sum(parts)]
        used = [(b, n) for b, n in zip(column, numerators, strict=True) if n]
        made.append(
            reference.mean([b for b, _ in used], [dtype] * len(used), [n for _, n in used], whole, dtype)
        )
    return reference.pack(made, dtype)


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_every_element_is_what_the_definition_says(
    home: Path, tmp_path: Path, name: str, parameters: Mapping[str, Any]
) -> None:
    recipe = recipe_of(home, name, parameters)
    made = soup(recipe, tmp_path / "soup")
    inputs = {one: read_directory(home / one) for one in "OABC"}
    for tensor in ("BF16.weight", "F16.weight", "F32.weight", "one"):
        assert made[tensor][2] == expected(recipe, inputs, tensor), tensor
    assert made["ids"] == inputs["O"]["ids"]


@pytest.mark.parametrize(
    ("weights", "parameters", "values"),
    [
        ({"A": 1, "B": 1}, {"combine": "sum"}, (3, 3, 0, -4)),
        ({"A": 1, "B": 1}, {}, (3, 1.5, 0, -4)),
        ({"A": "0.5", "B": 2}, {}, (-1, 1.8, 2, -4)),
        ({"A": "0.5", "B": 2}, {"combine": "sum"}, (-2, 4.5, 4, -8)),
    ],
)
def test_the_worked_example_of_ties(
    tmp_path: Path, weights: Mapping[str, Any], parameters: Mapping[str, Any], values: Sequence[float]
) -> None:
    """Where a sum is zero nothing is kept."""
    for name, deltas in {"O": (0, 0, 0, 0), "A": (3, 1, -2, 0), "B": (-1, 2, 2, -4)}.items():
        checkpoint(tmp_path / name, {"w": ("F32", [4], f32(*deltas))})
    recipe = recipe_of(tmp_path, "ties", {"density": 1, **parameters}, weights)
    assert soup(recipe, tmp_path / "soup")["w"][2] == f32(*values)


@pytest.mark.parametrize(("density", "count"), [("0.2", 2), ("0.25", 2), ("0.01", 1), ("0.99", 9)])
def test_exactly_so_many_are_kept_of_equal_ones_the_first(tmp_path: Path, density: str, count: int) -> None:
    size = 10 if density != "0.01" else 100
    checkpoint(tmp_path / "O", {"w": ("F32", [size], f32(*[0] * size))})
    checkpoint(tmp_path / "A", {"w": ("F32", [size], f32(*[1, -1] * (size // 2)))})
    made = soup(recipe_of(tmp_path, "ties", {"density": density}, {"A": 1}), tmp_path / "soup")
    assert made["w"][2] == f32(*([1, -1] * size)[:count], *[0] * (size - count))


@pytest.mark.parametrize("name", MASKS)
def test_one_model_of_which_everything_is_kept_is_task_arithmetic(
    home: Path, tmp_path: Path, name: str
) -> None:
    for factor in ("1", "0.7"):
        asked = {"lambda": factor, "density": 1}
        one = recipe_of(home, name, asked, {"A": 1})
        plain = recipe_of(home, "task_arithmetic", {"lambda": factor}, {"A": 1})
        assert soup(one, tmp_path / f"a{factor}") == soup(plain, tmp_path / f"b{factor}")
    assert read_directory(tmp_path / "a1") == read_directory(home / "A")


@pytest.mark.parametrize(("name", "parameters"), CASES[::2])
def test_no_order_thread_or_chunk_changes_a_byte(
    home: Path, tmp_path: Path, name: str, parameters: Mapping[str, Any]
) -> None:
    weights = {"A": "0.5", "B": 1, "C": "1/4"}
    turned = {one: weights[one] for one in "CBA"}
    options: dict[str, Any] = {"config_from": str(home / "A")}
    one, other = (recipe_of(home, name, parameters, given) for given in (weights, turned))
    assert one.id == other.id
    made = []
    for number, (recipe, more) in enumerate([
        (one, {"num_threads": 1}),
        (other, {"num_threads": 8, "chunk_bytes": 4096}),
        (one, {"num_threads": 3, "chunk_bytes": 1 << 20, "kernels": "scalar"}),
    ]):  # fmt: skip
        soup(recipe, tmp_path / str(number), **options, **more)
        digest = json.loads((tmp_path / str(number) / "soce.json").read_bytes())["result_digest"]
        made.append((shards(tmp_path / str(number)), digest))
    assert made[0] == made[1] == made[2]


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_a_soup_is_computed_again_whichever_order_its_ingredients_come_in(
    home: Path, tmp_path: Path, name: str, parameters: Mapping[str, Any]
) -> None:
    soup(recipe_of(home, name, parameters), tmp_path / "soup", digests="full")
    assert soce.verify(tmp_path / "soup", recompute=True).ok
    paths = [str(home / one) for one in "COBA"]
    assert soce.verify(tmp_path / "soup", recompute=paths).ok
    assert not soce.verify(tmp_path / "soup", recompute=[*paths[:3], paths[0]]).ok


@pytest.mark.parametrize("digests", ["tensors", "none"])
def test_an_interrupted_merge_goes_on(tmp_path: Path, digests: str) -> None:
    for seed, name in enumerate("OAB"):
        files = [{f"{i}.{key}": one for key, one in tensors(seed).items()} for i in range(3)]
        checkpoint(tmp_path / name, *files)
    recipe = recipe_of(tmp_path, "dare_ties", {}, {"A": 1, "B": 1})
    options: dict[str, Any] = {"num_threads": 1, "digests": digests}
    fresh = soup(recipe, tmp_path / "fresh", **options)

    def stop(done: int, whole: int) -> None:
        if done > whole // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        soce.merge(
            recipe, output=tmp_path / "soup", options=MergeOptions(sync=False, **options), on_progress=stop
        )
    again = soce.merge(recipe, output=tmp_path / "soup", options=MergeOptions(sync=False, **options))
    assert read_directory(tmp_path / "soup") == fresh
    assert again.outputs


def test_several_recipes_share_one_pass(home: Path, tmp_path: Path) -> None:
    text = {
        "ingredients": {name: str(home / name) for name in "AB"},
        "base": str(home / "O"),
        "recipes": {name: {"method": name} for name in (*MASKS, "task_arithmetic")},
    }
    (tmp_path / "all.json").write_text(json.dumps(text))
    report = soce.merge_all(tmp_path / "all.json", output=tmp_path / "soups", options=QUICK)
    for name, output in zip(text["recipes"], report.outputs, strict=True):
        alone = soup(recipe_of(home, name, {}, {"A": 1, "B": 1}), tmp_path / name)
        assert read_directory(output) == alone, name


def random_words(home: Path, tmp_path: Path, seeds: int, density: str) -> list[list[int]]:
    """Return for each seed which of many elements A and B keep: bit 0 and bit 1."""
    size = 40_000
    for name, value in {"O": 0, "A": 1, "B": 2}.items():
        checkpoint(tmp_path / name, {"w": ("F32", [size], f32(*[value] * size))})
    found = []
    for seed in range(seeds):
        asked = {"density": density, "seed": seed, "rescale": "none"}
        made = soup(recipe_of(tmp_path, "dare_linear", asked, {"A": 1, "B": 1}), tmp_path / f"soup{seed}")
        found.append(np.frombuffer(made["w"][2], "<f4").astype(int).tolist())
    return found


def test_random_masks_keep_their_share_and_are_independent(home: Path, tmp_path: Path) -> None:
    (one, other) = random_words(home, tmp_path, 2, "0.3")
    size = len(one)

    def near(count: int, chance: float) -> bool:
        return bool(abs(count - size * chance) < 5 * (size * chance * (1 - chance)) ** 0.5)

    for words in (one, other):
        assert near(sum(w & 1 for w in words), 0.3)
        assert near(sum(w >> 1 for w in words), 0.3)
        assert near(sum(w == 3 for w in words), 0.09), "one ingredient's mask says nothing of another's"
    both = sum(a & b & 1 for a, b in zip(one, other, strict=True))
    assert near(both, 0.09), "nor one seed's of another's"
    shifted = sum(a & b & 1 for a, b in pairwise(one))
    assert near(shifted, 0.09), "nor one element's of the next"


def test_the_mean_over_seeds_tends_to_the_whole_difference(home: Path, tmp_path: Path) -> None:
    sums = np.zeros(40_000)
    seeds = 12
    for words in random_words(home, tmp_path, seeds, "0.5"):
        sums += np.array([w & 1 for w in words]) * 2
    assert abs(sums.mean() / seeds - 1) < 5 / (seeds * 40_000) ** 0.5
    assert sums.std() < 2 * seeds**0.5


def test_edges_are_what_sorting_says(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    size = 200_000
    base = rng.normal(size=size).astype("<f4")
    inputs = {"A": base + rng.normal(size=size).astype("<f4") / 64, "B": np.round(base * 2) / 2}
    for name, values in {"O": base, **inputs}.items():
        checkpoint(tmp_path / name, {"w": ("F32", [size], values.astype("<f4").tobytes())})
    mixer = Mixer([str(tmp_path / name) for name in "OAB"])
    ranks = [(i, rank) for i in (1, 2) for rank in (1, 777, size // 2, size - 1, size)]
    for threads in (1, 8):
        found, counts = mixer.edges("w", 0, ranks, num_threads=threads)
        assert counts == [(0, 0)] * 3
        for (i, rank), edge in zip(ranks, found, strict=True):
            sizes = np.abs(inputs["AB"[i - 1]].astype("<f4").astype(float) - base.astype(float))
            order = np.lexsort((np.arange(size), -sizes))
            assert edge == (sizes[order[rank - 1]], order[rank - 1])
    contents, _ = mixer.contents("w", 0)
    assert [one[0] for one in contents] == [
        blake3.blake3(values.astype("<f4").tobytes()).hexdigest() for values in (base, *inputs.values())
    ]
    assert contents[1][1] == np.abs(inputs["A"].astype(float) - base.astype(float)).max()
    with pytest.raises(RecipeError, match="no element of rank 0"):
        mixer.edges("w", 0, [(1, 0)])


@pytest.mark.parametrize(
    ("given", "asked", "told"),
    [
        ("A B", {"name": "ties", "density": 0}, "`density` is `0`: expected a number in (0, 1]"),
        ("A B", {"name": "ties", "density": "1.5"}, "expected a number in (0, 1]"),
        ("A B", {"name": "ties", "density": "0.1"}, "a density of 0.1 keeps nothing of any tensor: the largest has 8"),
        ("A B", {"name": "dare_linear", "density": "0.0000000001"}, "keeps nothing of anything"),
        ("A B", {"name": "dare_ties", "density": 0}, "expected a number in (0, 1]"),
        ("A B", {"name": "dare_ties", "seed": "1.5"}, "`seed` is `1.5`, not a whole number"),
        ("A B", {"name": "dare_ties", "seed": "-1"}, "expected a number in [0, 18446744073709551615]"),
        ("A B", {"name": "dare_ties", "seed": "x"}, "`seed`"),
        ("A B", {"name": "dare_linear", "rescale": "l1"}, "`rescale` is `l1`"),
        ("A B", {"name": "breadcrumbs", "gamma": 1}, "expected a number in [0, 1)"),
        ("A B", {"name": "ties", "gamma": "0.1"}, "`ties` has no parameter `gamma`"),
        ("A=1 B=-1", {"name": "ties"}, "a mean of those that agree needs weights above 0"),
        ("A=1 B=-1", {"name": "dare_linear", "normalize": True}, "divides by the sum of the weights, which is 0"),
        ("A O", {"name": "ties"}, "is among the ingredients"),
        ("O2 O3", {"name": "ties"}, "every ingredient equals the base"),
        ("O2 O3", {"name": "ties", "density": 1}, "every ingredient equals the base"),
        ("O2 O3", {"name": "dare_linear"}, "every ingredient equals the base"),
        ("A=1 B=0.0000001", {"name": "ties", "density": 1}, "too far apart"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_line_before_any_work(
    tmp_path: Path, given: str, asked: dict[str, Any], told: str
) -> None:
    for name, value in {"A": 1, "B": 2, "O": 0, "O2": 0, "O3": 0}.items():
        directory(tmp_path / name, *[value] * 8)
    before = state_of(tmp_path)
    pairs = [one.partition("=") for one in given.split()]
    ingredients = {str(tmp_path / path): weight or None for path, _, weight in pairs}
    name = asked.pop("name")
    with pytest.raises(RecipeError) as caught:
        soce.merge(ingredients, method=Method(name, str(tmp_path / "O"), asked), output=tmp_path / "soup")
    (problem,) = caught.value.problems
    assert told in problem.message
    assert "\n" not in problem.message
    assert state_of(tmp_path) == before


@pytest.mark.parametrize("name", MASKS)
def test_a_value_that_is_not_finite_is_refused_by_its_tensor(tmp_path: Path, name: str) -> None:
    for path, value in {"A": 1.0, "B": float("nan"), "O": 0.0}.items():
        directory(tmp_path / path, value, 1, 2, 3)
    recipe = recipe_of(tmp_path, name, {"density": "0.5"}, {"A": 1, "B": 1})
    with pytest.raises(CheckpointError, match="`w`"):
        soce.merge(recipe, output=tmp_path / "soup")


def test_large_differences_are_told_where_most_are_dropped_at_random(home: Path, tmp_path: Path) -> None:
    def warnings(name: str) -> list[str]:
        recipe = recipe_of(home, name, {})
        found: list[str] = plan(recipe, output=tmp_path / "soup").data["warnings"]
        return [text for text in found if "differences to the base go up to" in text]

    assert len(warnings("dare_linear")) == 1
    assert not warnings("ties")


def test_every_method_that_masks_is_tried_here() -> None:
    assert KNOWN.keys() == MASKS.keys()
