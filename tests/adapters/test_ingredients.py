"""Bases with adapters on top, wherever an ingredient is taken: names, bytes, manifests, live models."""

from __future__ import annotations

import json
import math
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from tests import lora, reference
from tests.adapter_files import adapter
from tests.checkpoints import Tensors, checkpoint, f32, read_directory, read_file, shards

import soce
from soce.adapters.soup import merge_adapters
from soce.cli.doctor import doctor as doctor_command
from soce.cli.merge import merge as command
from soce.cli.verify import verify as verify_command
from soce.exceptions import CheckpointError, IncompatibleError, RecipeError, SoceError
from soce.merging.doctor import diagnose
from soce.merging.merge import merge
from soce.merging.options import MergeOptions
from soce.merging.plan import plan
from soce.recipes.files import read_recipes
from soce.recipes.model import Recipe, same_path_key
from soce.report.card.card import make_card
from soce.report.card.soup import read_soup
from soce.search.identity import ingredient_identity
from soce.search.pool import Pool

W = "x.y.weight"
START = "base_model.model.x.y"


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    return lora.base_model(tmp_path_factory.mktemp("base"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a base and two adapters."""
    monkeypatch.chdir(tmp_path)
    checkpoint(
        tmp_path / "base", {W: ("F32", [2, 3], f32(*range(0, 600, 100))), "norm": ("F32", [1], f32(7))}
    )
    adapter(tmp_path / "a")
    adapter(tmp_path / "b", factors([[0.5, 0.25, 3]], [[1], [8]]), lora_alpha=1)
    return tmp_path


def factors(a: list[list[float]], b: list[list[float]]) -> Tensors:
    return {
        f"{START}.lora_A.weight": ("F32", [len(a), len(a[0])], f32(*np.ravel(a))),
        f"{START}.lora_B.weight": ("F32", [len(b), len(b[0])], f32(*np.ravel(b))),
    }


def values(path: Path | str, name: str = W) -> np.ndarray:
    _, shape, data = read_directory(Path(path))[name]
    return np.frombuffer(data, "<f4").reshape(shape)


def test_is_the_mean_of_the_models_that_base_and_adapters_are(here: Path) -> None:
    result = CliRunner().invoke(command, ["base+a=0.5", "./base+b=1/4", "base=0.25", "-o", "soup"])
    assert result.exit_code == 0, result.output
    assert "averaging 2 x `base+a`, 1 x `./base+b`, 1 x `base`" in result.stderr
    base = 100 * np.arange(6.0).reshape(2, 3)
    a, b = np.outer([1, -1], [1, 2, 3]) * 2, np.outer([1, 8], [0.5, 0.25, 3])
    assert (values("soup") == base + a / 2 + b / 4).all()
    assert values("soup", "norm") == 7
    found = json.loads(Path("soup/soce.json").read_text())["run"]
    assert found["ingredients"] == ["base+a", "./base+b", "base"]
    assert "origins" not in found
    assert '"./base+b"' in Path("soup/mergekit_config.yml").read_text()


@pytest.mark.parametrize(
    ("name", "said", "mend"),
    [
        ("base+", "no adapter after the `+`", "write `base+ADAPTER`"),
        ("+a", "no base before the `+`", "write `BASE+a`"),
        ("base++a", "nothing between one `+` and the next", "write `base+a`"),
        ("nothere+a", "there is no base `nothere`", "the base comes first: write `BASE+a`"),
        ("nothere+hf://org/a", "there is no base `nothere`", "write `BASE+hf://org/a`"),
        ("a+base", "`a` is the adapter", "the base comes first: `base+a`"),
        ("base+x", "no adapter `x` is here", "check what stands behind the `+`"),
        ("nothere+x", "cannot be read", None),
    ],
)
def test_the_half_that_is_missing_is_named(here: Path, name: str, said: str, mend: str | None) -> None:
    with pytest.raises(CheckpointError) as caught:
        merge([name], output="soup")
    (problem,) = caught.value.problems
    assert problem.path == name
    assert said in problem.message
    assert mend in problem.hint if mend else problem.hint is None


numbers = st.floats(-8, 8, width=32).map(lambda x: x + 0.0)


@given(st.data())
def test_every_element_is_the_exact_mean_rounded_once(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    home = tmp_path_factory.mktemp("exact")
    drawn = data.draw
    held = [drawn(numbers) for _ in range(6)]
    checkpoint(home / "base", {W: ("F32", [2, 3], f32(*held))})
    exact = []
    for name in "ab":
        rank, alpha = drawn(st.integers(1, 3)), drawn(st.integers(-9, 9))
        a, b = ([[drawn(numbers) for _ in range(n)] for _ in range(m)] for m, n in ((rank, 3), (2, rank)))
        adapter(home / name, factors(a, b), r=rank, lora_alpha=alpha)
        scale = Fraction(alpha / rank)
        exact.append(
            [
                Fraction(held[3 * i + j])
                + scale * sum((Fraction(b[i][k]) * Fraction(a[k][j]) for k in range(rank)), Fraction(0))
                for i in range(2)
                for j in range(3)
            ]
        )
    parts = [drawn(st.integers(1, 9)) for _ in "ab"]
    weights = dict(zip((f"{home}/base+{home}/{name}" for name in "ab"), parts, strict=True))
    merge(weights, output=home / "soup", options=MergeOptions(sync=False))
    total = [
        sum(p * x for p, x in zip(parts, xs, strict=True)) / sum(parts) for xs in zip(*exact, strict=True)
    ]
    units = [x * 2**-reference.UNIT for x in total]
    expected = [reference.rounded(x.numerator, x.denominator, "F32") for x in units]
    assert reference.unpack(read_directory(home / "soup")[W][2], "F32") == tuple(expected)


def test_peft_merges_the_same_but_for_its_own_roundings(llama: str, tmp_path: Path) -> None:
    """In float32 PEFT rounds s·B·A, term by term, and its sum with W; soce rounds once."""
    for seed, settings in enumerate(
        (
            {"r": 4, "lora_alpha": 6},
            {"r": 3, "lora_alpha": 5, "use_rslora": True, "modules_to_save": ["lm_head"]},
            {"target_modules": ["embed_tokens", "v_proj"], "rank_pattern": {"v_proj": 5}},
        )
    ):
        path = lora.save_adapter(llama, tmp_path / f"lora{seed}", seed, **settings)
        merge([f"{llama}+{path}"], output=tmp_path / f"ours{seed}")
        lora.merged(llama, path, tmp_path / f"theirs{seed}", torch.float32)
        ours, theirs = (read_directory(tmp_path / f"{who}{seed}") for who in ("ours", "theirs"))
        assert ours.keys() == theirs.keys()
        stored = read_file(Path(path, "adapter_model.safetensors"))
        for name, (dtype, shape, data) in ours.items():
            one, other = (np.frombuffer(x, "<f4").astype(float) for x in (data, theirs[name][2]))
            assert (dtype, shape) == theirs[name][:2]
            bound = np.zeros(shape)
            start = f"base_model.model.{name.removesuffix('.weight')}.lora_"
            ends = (
                ("embedding_A", "embedding_B")
                if f"{start}embedding_A" in stored
                else ("A.weight", "B.weight")
            )
            if start + ends[0] in stored:
                a, b = (
                    np.abs(np.frombuffer(stored[start + end][2], "<f4").astype(float)).reshape(
                        stored[start + end][1]
                    )
                    for end in ends
                )
                product = b @ a if ends[0] == "A.weight" else (b @ a).T
                scale = max(8.0, settings.get("lora_alpha", 8))
                bound = 2.0**-23 * (np.abs(one).reshape(shape) + (len(a) + 2) * scale * product)
            assert (np.abs(one - other).reshape(shape) <= bound).all(), name


def test_the_soup_of_the_adapters_on_the_base_is_the_soup_of_the_models(here: Path) -> None:
    """Weights times scales are powers of two: the soup of adapters loses nothing."""
    merge_adapters({"a": 1, "b": 1}, output="both")
    merge(["base+a", "base+b"], output="one")
    merge(["base+both"], output="other")
    assert read_directory(Path("one")) == read_directory(Path("other"))


def test_bytes_do_not_depend_on_the_order_nor_on_how_it_is_named(here: Path) -> None:
    merge({"base+a": 3, "base+b": 1, "base": 2}, output="one")
    merge({"base": 4, f"{here}/base+{here}/b": 2, "./base+./a": "3", "base+./a": "3"}, output="two")
    assert shards(Path("one")) == shards(Path("two"))
    recipe = Recipe.of({"base+a": 1, f"{here}/base+./a": 1})
    assert len(recipe.ingredients) == 1


def test_the_mixer_takes_a_base_with_an_adapter_on_top(here: Path) -> None:
    merge({"base+a": 1, "base+b": 3}, output="soup")
    found = np.empty((2, 3), np.float32)
    soce.Mixer(["base+a", "base+b"]).mix(W, [1, 3], 4, found)
    assert found.tobytes() == values("soup").tobytes()


def test_is_verified_and_recomputed(here: Path) -> None:
    merge({"base+a": 3, "base+b": 1}, output="soup", options=MergeOptions(digests="full"))
    for recompute in (True, ["base+a", "base+b"], ["base+b", "base+a"]):
        found = soce.verify("soup", recompute=recompute)
        assert found.ok, found.findings
        assert found.checked["recomputed"] == 2
    for wrong in (["base", "base+b"], ["base+a", "base+a"]):
        assert not soce.verify("soup", recompute=wrong).ok
    result = CliRunner().invoke(verify_command, ["soup", "--recompute", "base+a", "--recompute", "base+b"])
    assert result.exit_code == 0, result.output
    adapter(here / "a", lora_alpha=3)
    assert not soce.verify("soup", recompute=True).ok


def test_recipe_files_name_both_from_their_own_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("recipe.yaml").write_text("ingredients: {one: base+a, two: base+b}\nweights: {one: 1, two: 3}\n")
    Path("mergekit.yaml").write_text(
        "merge_method: linear\nmodels:\n- {model: base+a, parameters: {weight: 1}}\n"
        "- {model: base+b, parameters: {weight: 3}}\nbase_model: base\ndtype: float32\n"
    )
    merge({"base+a": 1, "base+b": 3}, output="expected")
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    for name in ("recipe", "mergekit"):
        merge(here / f"{name}.yaml", output=name)
        assert shards(Path(name)) == shards(here / "expected")
    monkeypatch.chdir(here)
    again = read_recipes("mergekit.yaml").recipe
    assert [one.name for one in again.ingredients] == ["base+a", "base+b", "base"]
    merge("expected/mergekit_config.yml", output="again")  # its paths are those of this folder
    assert shards(Path("again")) == shards(Path("expected"))


def test_config_and_rows_and_takes_name_it_too(here: Path) -> None:
    options = MergeOptions(config_from="base+b", take={"norm": "base+a"})
    assert plan(["base+a", "base+b"], output="soup", options=options).data["config_from"] == "base+b"
    with pytest.raises(SoceError, match="cannot be taken"):
        plan(["base", "base+b"], output="soup", options=MergeOptions(take={W: "base+a"}))


@pytest.mark.parametrize(
    ("name", "told", "kind"),
    [
        ("base+a+b", "several adapters on one base", RecipeError),
        ("base+base", "it has no `adapter_config.json`", CheckpointError),
        ("a+a", "a", SoceError),
        ("base+dora", "DoRA", CheckpointError),
        ("base+bin", "only `adapter_model.bin`", CheckpointError),
        ("base+other", "has no tensor `z.weight`", IncompatibleError),
        ("base+wide", "B·A is [2, 4], and `x.y.weight` of the base is [2, 3]", IncompatibleError),
    ],
)
def test_what_cannot_be_is_told_in_one_line(here: Path, name: str, told: str, kind: type[Exception]) -> None:
    adapter(here / "dora", use_dora=True)
    adapter(here / "bin")
    (here / "bin" / "adapter_model.safetensors").rename(here / "bin" / "adapter_model.bin")
    adapter(here / "wide", factors([[1, 2, 3, 4]], [[1], [2]]))
    start = "base_model.model.z"
    adapter(
        here / "other",
        {
            f"{start}.lora_A.weight": ("F32", [1, 3], f32(1, 2, 3)),
            f"{start}.lora_B.weight": ("F32", [2, 1], f32(1, 2)),
        },
    )
    merge(["base+a", "base+b"], output="soup")
    for act in (
        lambda: merge([name, "base"], output="result"),
        lambda: soce.verify("soup", recompute=[name, "base"]),
    ):
        with pytest.raises(kind) as caught:
            act()
        assert told in str(caught.value)
    if issubclass(kind, (CheckpointError, IncompatibleError)):
        (problem,) = diagnose([name, "base"]).problems
        assert told in str(problem)
    result = CliRunner().invoke(command, [name, "base", "-o", "result"])
    assert result.exit_code == 1
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    assert not Path("result").exists()


def test_what_is_not_finite_is_told_of_the_ingredient_that_both_are(here: Path) -> None:
    adapter(here / "nan", factors([[math.nan, 0, 0]], [[1], [2]]))
    with pytest.raises(CheckpointError, match=r"^`base\+nan`: .*not finite"):
        merge(["base+nan", "base"], output="soup")


def test_all_adapters_that_do_not_fit_are_told_at_once(here: Path) -> None:
    for name in ("wide", "wider"):
        adapter(here / name, factors([[1, 2, 3, 4]], [[1], [2]]))
    with pytest.raises(IncompatibleError) as caught:
        merge(["base+wide", "base+wider", "base+a"], output="soup")
    assert {Path(problem.path or "").parent.name for problem in caught.value.problems} == {"wide", "wider"}


def test_the_base_that_an_adapter_names_is_compared(here: Path) -> None:
    told = plan(["base+a"], output="soup").data["warnings"]
    assert not any("is an adapter of" in text for text in told)  # of `org/base`, whose name ends alike
    adapter(here / "c", base_model_name_or_path="org/elsewhere")
    told = plan(["base+a", "base+c"], output="soup").data["warnings"]
    assert sum("is an adapter of `org/elsewhere`" in text for text in told) == 1


def test_doctor_measures_what_adapters_make_of_the_base(here: Path) -> None:
    found = diagnose(["base+a", "base+b"], base="base")
    assert found.soupable
    assert [one.n_parameters for one in found.checkpoints] == [7, 7, 7]
    a, b = np.outer([1, -1], [1, 2, 3]) * 2, np.outer([1, 8], [0.5, 0.25, 3])
    cosine = float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))
    assert found.distances.task_vectors[0].cosine == pytest.approx(cosine, abs=1e-12)
    result = CliRunner().invoke(doctor_command, ["base+a", "base+b", "--base", "base"])
    assert result.exit_code == 0, result.output
    assert "base+b" in result.output


def test_the_live_model_is_what_a_merge_publishes(llama: str, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    from soce.evaluate.live.soup_model import SoupModel

    paths = [
        lora.save_adapter(llama, tmp_path / name, seed, **settings)
        for seed, (name, settings) in enumerate(
            {
                "a": {},
                "b": {"target_modules": ["embed_tokens", "o_proj"], "modules_to_save": ["lm_head"]},
            }.items()
        )
    ]
    named = [f"{llama}+{paths[0]}", f"{llama}+{paths[1]}", llama]
    for ingredients in (named, named[::-1]):
        model = SoupModel(ingredients, device="cpu")
        assert model.is_direct
        for weights in ({named[0]: 1}, {named[0]: 2, named[1]: 1}, {named[1]: 1, named[2]: 3}):
            model.set(Recipe.of(weights))
            output = tmp_path / "soup"
            merge(weights, output=output, options=MergeOptions(overwrite=True, sync=False))
            expected = AutoModelForCausalLM.from_pretrained(output).state_dict()
            live = model.model.state_dict()
            assert all(torch.equal(live[name], tensor) for name, tensor in expected.items())
        assert model.tokenizer is not None
        with pytest.raises(RecipeError, match="is not an ingredient"):
            model.set(Recipe.of([paths[0]]))
        model.close()


def test_a_card_names_both_and_both_of_their_licences(here: Path) -> None:
    Path("base/README.md").write_text("---\nlicense: llama3\n---\n")
    Path("a/README.md").write_text("---\nlicense: mit\nbase_model: org/base\n---\n")
    merge(["base+a", "base+b"], output="soup")
    assert [(one.name, one.hub_id) for one in read_soup("soup").ingredients] == [
        ("base+a", None),
        ("base+b", None),
    ]
    told = make_card("soup")
    assert told.front_matter.get("license") != "mit"
    for name, licence in (("base+a", "mit"), ("base", "llama3"), ("base+b", "not known")):
        assert re.search(rf"\| `{re.escape(name)}` \| [^|]*{licence}", told.text)
    assert "licences differ" in " ".join(plan(["base+a", "base+b"], output="other").data["warnings"])


def test_scores_belong_to_base_and_adapter_by_content(here: Path) -> None:
    found = {name: ingredient_identity(name) for name in ("base", "base+a", "base+b", "base+./a")}
    assert found["base+a"] == found["base+./a"]
    assert len({json.dumps(one, sort_keys=True) for one in found.values()}) == 3
    assert found["base"]["beside"] == found["base+a"]["beside"]
    adapter(here / "renamed", base_model_name_or_path="/another/name", peft_version="9")
    assert ingredient_identity("base+renamed") == found["base+a"]
    adapter(here / "scaled", lora_alpha=3)
    assert ingredient_identity("base+scaled") != found["base+a"]


def test_candidates_are_told_apart_by_their_adapters(here: Path) -> None:
    pool = Pool({"one": "base+a", "two": "base+b", "three": "base"}, experts=["one", "two"])
    assert pool.here().paths == pool.paths
    with pytest.raises(SoceError, match="have the same path"):
        Pool({"one": "base+a", "two": "./base+a"}, experts=["one", "two"])
    assert same_path_key("base+a") == f"{here}/base+{here}/a"
    assert same_path_key("nothing+a") == f"{here}/nothing+a"
