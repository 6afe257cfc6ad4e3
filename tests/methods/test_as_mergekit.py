"""mergekit itself as judge: its command and soce make the same models of the same files, but for roundings.

Where they are meant to differ a test says by how much, and that this is what docs/methods.md tells.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import numpy as np
import pytest
import yaml
from tests.methods.llamas import Arrays, apart, drawn, load, moved, write

import soce
from soce import MergeOptions
from soce.exceptions import RecipeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

pytestmark = pytest.mark.mergekit
QUICK = MergeOptions(sync=False)

SAME = {
    "linear: weights": (2, """linear
models:
  - {model: A, parameters: {weight: 0.5}}
  - {model: B, parameters: {weight: 0.2}}
  - {model: C, parameters: {weight: 0.4}}
"""),
    "linear: gradient [0, 0.5, 1]": (2, """linear
models:
  - {model: A, parameters: {weight: [0, 0.5, 1]}}
  - {model: B, parameters: {weight: [1, 0.5]}}
"""),
    "linear: filters": (2, """linear
models:
  - model: A
    parameters: {weight: [{filter: mlp, value: [0.25, 1]}, {filter: self_attn, value: 1}, {value: 0.75}]}
  - model: B
    parameters: {weight: {filter: q_proj, value: 3}}
parameters: {weight: 1}
"""),
    "linear: slices": (2, """linear
slices:
  - sources: [{model: A, layer_range: [0, 1]}, {model: B, layer_range: [0, 1]}]
    parameters: {weight: 1}
  - sources:
      - {model: A, layer_range: [1, 3], parameters: {weight: [1, 3]}}
      - {model: B, layer_range: [1, 3], parameters: {weight: 1}}
"""),
    "linear: normalize: false": (2, """linear
models: [{model: A, parameters: {weight: 0.75}}, {model: B, parameters: {weight: 0.25}}]
parameters: {normalize: false}
"""),
    "task_arithmetic: lambda": (2, """task_arithmetic
base_model: O
models: [{model: A, parameters: {weight: 0.5}}, {model: B, parameters: {weight: -0.3}}]
parameters: {lambda: 0.7}
"""),
    "task_arithmetic: normalize: true": (2, """task_arithmetic
base_model: O
models: [{model: O}, {model: A, parameters: {weight: 0.5}}, {model: B, parameters: {weight: 0.3}}]
parameters: {lambda: 1.7, normalize: true}
"""),
    "task_arithmetic: gradient and filters": (2, """task_arithmetic
base_model: O
models:
  - {model: A, parameters: {weight: [0, 0.5, 1]}}
  - {model: B, parameters: {weight: [{filter: mlp, value: 0.5}, {value: [-0.25, 0]}]}}
"""),
    "task_arithmetic: lambda by layer and name": (
        2,
        """task_arithmetic
base_model: O
models: [{model: A, parameters: {weight: 0.5}}, {model: B, parameters: {weight: [1.5, 0.5]}}]
parameters: {lambda: [{filter: mlp, value: 2}, {filter: self_attn, value: [0, 0.5, 1]}], normalize: true}
""",
    ),
    "task_arithmetic: lambda and normalize of slices": (
        2,
        """task_arithmetic
base_model: O
slices:
  - sources:
      - {model: O, layer_range: [0, 1]}
      - {model: A, layer_range: [0, 1]}
      - {model: B, layer_range: [0, 1]}
    parameters: {lambda: 0.5}
  - sources:
      - {model: O, layer_range: [1, 3]}
      - {model: A, layer_range: [1, 3]}
      - {model: B, layer_range: [1, 3]}
    parameters: {lambda: [0.5, 1], normalize: true}
parameters: {weight: 0.5, lambda: 2}
""",
    ),
    "slerp": (24, """slerp
base_model: B
models: [{model: A}, {model: B}]
parameters: {t: 0.3}
"""),
    "slerp: gradient and filters": (24, """slerp
slices:
  - sources: [{model: A, layer_range: [0, 3]}, {model: B, layer_range: [0, 3]}]
base_model: A
parameters:
  t: [{filter: self_attn, value: [0, 0.5, 1]}, {filter: mlp, value: [1, 0.5, 0.7]}, {value: 0.5}]
"""),
    "nuslerp": (24, """nuslerp
models: [{model: A, parameters: {weight: 3}}, {model: B, parameters: {weight: 1}}]
"""),
    "nuslerp: base and gradient": (24, """nuslerp
base_model: O
models: [{model: A, parameters: {weight: [0.25, 0.75]}}, {model: B, parameters: {weight: 1}}]
"""),
    "multislerp": (24, """multislerp
models:
  - {model: A, parameters: {weight: 3}}
  - {model: B, parameters: {weight: 1}}
  - {model: C, parameters: {weight: 2}}
"""),
    "multislerp: base": (24, """multislerp
base_model: O
models: [{model: A}, {model: B}, {model: C}]
parameters: {weight: [1, 2]}
"""),
    "karcher": (24, """karcher
models: [{model: A}, {model: B}, {model: C}]
"""),
    "karcher: one more model as base": (24, """karcher
base_model: O
models: [{model: A}, {model: B}]
parameters: {max_iter: 5, tol: 1e-3}
"""),
    "karcher: a base that is in no slice": (
        24,
        """karcher
base_model: O
slices: [{sources: [{model: A, layer_range: [0, 3]}, {model: B, layer_range: [0, 3]}]}]
""",
    ),
    "model_stock: two": (24, """model_stock
base_model: O
models: [{model: A}, {model: B}]
"""),
    "model_stock: three, and the base among them": (24, """model_stock
base_model: O
models: [{model: O}, {model: A}, {model: B}, {model: C}]
"""),
    "model_stock: filter by filter": (24, """model_stock
base_model: O
models: [{model: A}, {model: B}, {model: C}]
parameters: {filter_wise: true}
"""),
    "ties": (2, """ties
base_model: O
models:
  - {model: A, parameters: {weight: 0.5}}
  - {model: B, parameters: {weight: 0.3}}
  - {model: C, parameters: {weight: 0.4}}
parameters: {density: 0.4}
"""),
    "ties: gradients, a sum": (2, """ties
base_model: O
models: [{model: A, parameters: {weight: [0, 0.5, 1]}}, {model: B, parameters: {weight: 0.75}}]
parameters: {density: 0.25, normalize: false, lambda: 0.7}
"""),
    "ties: all elements": (2, """ties
base_model: O
models: [{model: A, parameters: {weight: 0.5}}, {model: B, parameters: {weight: 1}}]
"""),
    "dare_linear: all elements": (2, """dare_linear
base_model: O
models: [{model: A, parameters: {weight: 0.5}}, {model: B, parameters: {weight: -0.25}}]
parameters: {density: 1, lambda: 0.8}
"""),
    "dare_ties: all elements": (2, """dare_ties
base_model: O
models: [{model: A, parameters: {weight: 0.5}}, {model: B, parameters: {weight: 0.25}}]
parameters: {density: 1, normalize: true}
"""),
    "breadcrumbs": (2, """breadcrumbs
base_model: O
models: [{model: A, parameters: {weight: 0.5}}, {model: B, parameters: {weight: 0.3}}]
parameters: {density: 0.7, gamma: 0.05}
"""),
    "breadcrumbs_ties": (2, """breadcrumbs_ties
base_model: O
models:
  - {model: A, parameters: {weight: 0.5}}
  - {model: B, parameters: {weight: 0.3}}
  - {model: C, parameters: {weight: 0.4}}
parameters: {density: 0.7, gamma: 0.05, lambda: 0.5}
"""),
    "nuslerp: row by row": (24, """nuslerp
models: [{model: A, parameters: {weight: [0.25, 0.75]}}, {model: B, parameters: {weight: 1}}]
parameters: {nuslerp_flatten: false}
"""),
    "nuslerp: base, row by row": (24, """nuslerp
base_model: O
models: [{model: A, parameters: {weight: 3}}, {model: B, parameters: {weight: 1}}]
parameters: {nuslerp_flatten: false}
"""),
}  # fmt: skip
"""What mergekit's command and soce read alike: a bound in units in the last place of a tensor's largest element."""


def any_setting(draw: Random, numbers: Sequence[float], *, always: bool = False) -> object:
    """Return a number, a list over the layers or conditions, at random; one that always applies if asked to."""

    def value() -> object:
        return draw.choices(numbers, k=draw.randint(1, 4)) if draw.random() < 0.5 else draw.choice(numbers)

    def condition() -> object:
        text = draw.choice(["mlp", "self_attn", "q_proj", "layers.1", "layers.2.mlp", "norm", "embed", "*"])
        return {"filter": text, "value": value()}

    kind = draw.randint(1 if always else 0, 3)
    if kind == 0:
        return condition()
    return value() if kind == 1 else [*(condition() for _ in range(kind - 1)), {"value": value()}]


def any_file(seed: int) -> str:
    """Return a file with settings at random, wherever they may stand."""
    draw = Random(seed)
    method, names, key = draw.choice(
        [("linear", "ABC", "weight"), ("task_arithmetic", "OAB", "weight"), ("slerp", "AB", "t")]
    )
    numbers = [0.25, 0.5, 0.75, 1]
    if is_signed := method == "task_arithmetic" and draw.random() < 0.5:
        numbers += [-0.5, 0]
    shared = {key: any_setting(draw, numbers, always=True)}
    if method == "task_arithmetic":
        shared |= {"lambda": any_setting(draw, numbers), "normalize": not is_signed}
    models = [{"model": name} for name in names]
    if key == "weight":
        models = [one | {"parameters": {key: any_setting(draw, numbers)}} for one in models]
    file = {"merge_method": method, "parameters": shared}
    if method != "linear":
        file["base_model"] = names[0]
    if draw.random() < 0.5:
        sources = [model | {"layer_range": [0, 3]} for model in models]
        file["slices"] = [{"sources": sources, "parameters": {key: any_setting(draw, numbers)}}]
    else:
        file["models"] = models
    return yaml.safe_dump(file)


ANY = range(24)

OTHERWISE = {
    "near": "slerp\nbase_model: A\nmodels: [{model: A}, {model: near A}]\nparameters: {t: 0.25}\n",
    "tiny": "model_stock\nbase_model: zero\nmodels: [{model: tiny}, {model: tiny too}]\n",
    "still": "model_stock\nbase_model: O\nmodels: [{model: A}, {model: B}, {model: O too}]\n",
    "short": "karcher\nmodels: [{model: A}, {model: B}, {model: short}]\nparameters: {tol: 0.05}\n",
    "half": "dare_linear\nbase_model: O\nmodels: [{model: A, parameters: {weight: 1}}]\nparameters: {density: 0.5}\n",
    "opposite": "multislerp\nmodels: [{model: A}, {model: minus A}]\nparameters: {weight: 1}\n",
}
"""What they read alike and make otherwise."""


@dataclass(frozen=True)
class Made:
    """Files of mergekit in a folder of models, and what it made of them."""

    home: Path
    files: dict[str, Path]

    def model(self, name: str) -> Arrays:
        return load(self.home / name)

    def by_mergekit(self, case: str) -> Arrays:
        return load(_output(self.files[case]))

    def by_soce(self, case: str) -> Arrays:
        output = self.files[case].with_suffix(".soce")
        soce.merge(self.files[case], output=output, options=QUICK)
        return load(output)


def run_mergekit(home: Path, files: Iterable[Path]) -> None:
    folder = Path(os.environ.get("SOCE_MERGEKIT", "~/.cache/soce/mergekit")).expanduser()
    if not (folder / "mergekit").exists():
        pytest.skip(f"there is no mergekit: {folder} is not there; `make oracles` makes it")
    program = Path(__file__).with_name("mergekit_program.py")
    done = subprocess.run(
        [sys.executable, program],
        input=json.dumps([[str(file), str(_output(file))] for file in files]),
        env=os.environ | {"PYTHONPATH": str(folder), "HF_HUB_OFFLINE": "1"},
        cwd=home,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {}


def _output(file: Path) -> Path:
    return file.with_suffix(".mergekit")


def models() -> dict[str, Arrays]:
    base, common, *own = map(drawn, range(5))
    zero = {name: np.zeros_like(array) for name, array in base.items()}
    a, b, c = (moved(base, 0.4, common, one) for one in own)
    tiny = {name: np.full_like(array, 1e-5) for name, array in base.items()}
    return {
        "O": base, "A": a, "B": b, "C": c, "O too": base, "near A": moved(a, 0.01, own[1]),
        "zero": zero, "tiny": tiny, "tiny too": tiny, "minus A": moved(zero, -1, a), "short": moved(zero, 0.01, c),
    }  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    home = tmp_path_factory.mktemp("models")
    for name, arrays in models().items():
        write(home / name, arrays)
    files = {}
    texts = {case: f"merge_method: {text}" for case, (_, text) in SAME.items()}
    texts |= {case: f"merge_method: {text}" for case, text in OTHERWISE.items()}
    texts |= {f"any {seed}": any_file(seed) for seed in ANY}
    for number, (case, text) in enumerate(texts.items()):
        files[case] = home / f"{number}.yaml"
        files[case].write_text(f"{text}dtype: float32\n")
    run_mergekit(home, files.values())
    return Made(home, files)


@pytest.mark.parametrize("case", SAME)
def test_models_are_the_same_but_for_roundings(made: Made, case: str) -> None:
    bound, _ = SAME[case]
    found = apart(made.by_soce(case), made.by_mergekit(case))
    print(f"{case}: {found:.1f} of at most {bound} units")
    assert found <= bound


@pytest.mark.parametrize("seed", ANY)
def test_settings_mean_the_same_wherever_they_stand(made: Made, seed: int) -> None:
    assert apart(made.by_soce(f"any {seed}"), made.by_mergekit(f"any {seed}")) <= 24


def test_mergekit_makes_an_average_of_the_file_that_soce_writes_beside_it(made: Made) -> None:
    paths = {str(made.home / name): weight for name, weight in {"A": "1/3", "B": "1/7", "C": "11/21"}.items()}
    soce.merge(paths, output=made.home / "mean", options=QUICK)
    file = made.home / "mean/mergekit_config.yml"
    run_mergekit(made.home, [file])
    found = apart(load(made.home / "mean"), load(_output(file)))
    print(f"{file.name}: {found:.1f} of at most 2 units")
    assert found <= 2


# ---- where the two differ


def combination(coefficients: Iterable[float], arrays: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    pairs = zip(coefficients, arrays, strict=True)
    return np.asarray(sum(float(one) * array.astype(np.float64) for one, array in pairs), np.float32)


def by_tensor(find: Callable[..., NDArray[np.float32]], *given: Arrays) -> Arrays:
    """Return what is found for each tensor of some models."""
    return {name: find(*(one[name] for one in given)) for name in given[0]}


def cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    x, y = (array.astype(np.float64).ravel() for array in (one, other))
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


def length(array: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(array.astype(np.float64)))


def test_slerp_of_near_models_is_the_straight_line_to_mergekit(made: Made) -> None:
    def on_the_sphere(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
        angle = np.arccos(cosine(x, y))
        return combination(np.sin([0.75 * angle, 0.25 * angle]) / np.sin(angle), [x, y])

    ends = made.model("A"), made.model("near A")
    assert all(
        0.9995 < cosine(x, y) < 1 - 1e-6 for x, y in zip(ends[0].values(), ends[1].values(), strict=True)
    )
    straight = by_tensor(lambda x, y: combination([0.75, 0.25], [x, y]), *ends)
    assert apart(straight, made.by_mergekit("near")) <= 2
    assert apart(by_tensor(on_the_sphere, *ends), made.by_soce("near")) <= 16
    assert apart(made.by_soce("near"), made.by_mergekit("near")) > 50


def test_model_stock_of_tiny_deltas_is_mostly_the_base_to_mergekit(made: Made) -> None:
    """It clamps the product of two norms, 1024 or fewer elements of 1e-5 each, at 1e-6."""

    def clamped(x: NDArray[np.float32]) -> NDArray[np.float32]:
        cos = length(x) ** 2 / max(length(x) ** 2, 1e-6)
        return combination([2 * cos / (1 + cos)], [x])

    tiny = made.model("tiny")
    assert apart(tiny, made.by_soce("tiny")) == 0
    assert apart(by_tensor(clamped, tiny), made.by_mergekit("tiny")) <= 24
    assert max(array.max() for array in made.by_mergekit("tiny").values()) < 0.2e-5


def test_a_delta_of_zero_is_orthogonal_to_mergekit(made: Made) -> None:
    def stocked(base: NDArray[np.float32], *others: NDArray[np.float32], pairs: int) -> NDArray[np.float32]:
        deltas = [one.astype(np.float64) - base for one in others]
        cos = cosine(*deltas[:2]) / pairs
        t = 3 * cos / (1 + 2 * cos)
        return combination([1 - t, *[t / 3] * 3], [base, *others])

    given = [made.model(name) for name in ("O", "A", "B", "O too")]
    of_one, of_three = (by_tensor(partial(stocked, pairs=pairs), *given) for pairs in (1, 3))
    assert apart(of_three, made.by_mergekit("still")) <= 24
    assert apart(of_one, made.by_soce("still")) <= 24
    assert apart(of_one, of_three) > 1000


def test_a_tensor_shorter_than_tol_has_no_direction_to_mergekit(made: Made) -> None:
    """Its length still counts: with two of three on the sphere, halfway between these."""

    def of_two(
        x: NDArray[np.float32], y: NDArray[np.float32], short: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        lengths = [length(one) for one in (x, y, short)]
        halfway = x.astype(np.float64) / lengths[0] + y.astype(np.float64) / lengths[1]
        return (halfway / length(halfway) * sum(lengths) / 3).astype(np.float32)

    given = [made.model(name) for name in ("A", "B", "short")]
    assert max(map(length, given[2].values())) < 0.05
    expected = by_tensor(of_two, *given)
    assert apart(expected, made.by_mergekit("short")) <= 32
    assert apart(expected, made.by_soce("short")) > 1000


def test_opposite_models_have_a_straight_mean_to_mergekit_and_none_to_soce(made: Made) -> None:
    assert {float(np.abs(array).max()) for array in made.by_mergekit("opposite").values()} == {0.0}
    with pytest.raises(RecipeError, match=r"`model.embed_tokens.weight`: .*cancel out"):
        made.by_soce("opposite")


def test_what_is_left_of_a_delta_is_twice_as_long_or_to_mergekit_as_long_as_all_of_it(made: Made) -> None:
    base, model = made.model("O"), made.model("A")
    n_kept, n_elements = {"soce": 0, "mergekit": 0}, sum(array.size for array in base.values())
    for program, result in (("soce", made.by_soce("half")), ("mergekit", made.by_mergekit("half"))):
        for name, array in result.items():
            delta, left = model[name] - base[name].astype(np.float64), array - base[name].astype(np.float64)
            kept = np.abs(left) > np.abs(delta) / 2
            n_kept[program] += int(kept.sum())
            factor = 2 if program == "soce" else np.abs(delta).sum() / np.abs(delta[kept]).sum()
            assert np.allclose(left, np.where(kept, factor * delta, 0), rtol=0, atol=1e-6), (program, name)
    for program, count in n_kept.items():
        assert abs(count - n_elements / 2) < 5 * np.sqrt(n_elements) / 2, program
