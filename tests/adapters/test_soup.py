"""Soups of adapters, judged by PEFT and by exact fractions."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from tests import lora, tiny_models
from tests.adapter_files import adapter
from tests.checkpoints import read_directory, read_file

import soce
from soce.adapters.soup import merge_adapters
from soce.exceptions import CheckpointError, OutputError, RecipeError

UNIT = 2.0**-24


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return lora.base_model(tmp_path_factory.mktemp("base"))


def values(path: Path) -> dict[str, np.ndarray]:
    """Return the tensors of an adapter's file in doubles."""
    return {
        name: np.frombuffer(data, "<f4").astype(float).reshape(shape)
        for name, (dtype, shape, data) in read_file(path / "adapter_model.safetensors").items()
        if dtype == "F32"
    }


DIFFERENT = (
    {"r": 4, "lora_alpha": 6},
    {"r": 3, "lora_alpha": 5, "use_rslora": True, "target_modules": ["q_proj", "v_proj"]},
    {
        "r": 2,
        "lora_alpha": 2,
        "target_modules": ["q_proj", "down_proj", "embed_tokens"],
        "rank_pattern": {"down_proj": 5},
        "alpha_pattern": {"^model.layers.0.self_attn.q_proj": 7},
    },
)


def test_is_the_weighted_mean_of_what_its_ingredients_add(base: str, tmp_path: Path) -> None:
    settings = [DIFFERENT[0], DIFFERENT[1], DIFFERENT[2] | {"target_modules": ["q_proj", "down_proj"]}]
    paths = [lora.save_adapter(base, tmp_path / f"a{i}", i, **one) for i, one in enumerate(settings)]
    weights = ["1/2", "0.3", "1/5"]
    made = merge_adapters(dict(zip(paths, weights, strict=True)), output=tmp_path / "soup").manifest
    assert made["method"] == "cat"
    assert made["ranks"] == {
        "model.layers.0.mlp.down_proj": 9,
        "model.layers.0.self_attn.q_proj": 9,
        "model.layers.0.self_attn.v_proj": 3,
    }
    found = lora.deltas(base, str(tmp_path / "soup"))
    each = [lora.deltas(base, path) for path in paths]
    stored = values(tmp_path / "soup")
    assert found.keys() == set().union(*each)
    for module, delta in found.items():
        shares = [float(Fraction(weight)) for weight in weights]
        expected = sum(w * one[module] for w, one in zip(shares, each, strict=True) if module in one)
        a, b = (stored[f"base_model.model.{module}.lora_{which}.weight"] for which in "AB")
        bound = UNIT * np.abs(b) @ np.abs(a) * (1 + 1e-6)
        assert (np.abs(delta.numpy() - expected.numpy()) <= bound).all()


def exact(stored: dict[str, np.ndarray], module: str) -> list[list[Fraction]]:
    a, b = (stored[f"base_model.model.{module}.lora_{which}.weight"] for which in "AB")
    rows = [[Fraction(x) for x in row] for row in b[:4]]
    columns = [[Fraction(x) for x in column] for column in a[:, :4].T]
    return [[sum((x * y for x, y in zip(r, c, strict=True)), Fraction(0)) for c in columns] for r in rows]


def test_loses_nothing_where_weight_times_scale_is_a_power_of_two(base: str, tmp_path: Path) -> None:
    paths = [
        lora.save_adapter(base, tmp_path / "a", 1, r=4, lora_alpha=8, dtype=torch.bfloat16),
        lora.save_adapter(base, tmp_path / "b", 2, r=16, lora_alpha=16, use_rslora=True),
    ]
    merge_adapters(paths, output=tmp_path / "soup")  # 1/2 × 2 and 1/2 × 4
    widened = read_file(Path(paths[0], "adapter_model.safetensors"))
    first = {
        name: (np.frombuffer(data, "<u2").astype(np.uint32) << 16)
        .view(np.float32)
        .astype(float)
        .reshape(shape)
        for name, (_, shape, data) in widened.items()
    }
    second, soup = values(Path(paths[1])), values(tmp_path / "soup")
    for module in ("model.layers.0.mlp.down_proj", "model.layers.0.self_attn.q_proj"):
        one, other, made = (exact(stored, module) for stored in (first, second, soup))
        assert made == [
            [x + 2 * y for x, y in zip(*rows, strict=True)] for rows in zip(one, other, strict=True)
        ]


def test_equals_the_soup_of_the_merged_models(base: str, tmp_path: Path) -> None:
    """All in doubles: what is left is the rounding of A to F32."""
    paths = [
        lora.save_adapter(base, tmp_path / f"a{i}", i, **{**one, "modules_to_save": ["lm_head"]})
        for i, one in enumerate(DIFFERENT)
    ]
    weights = ["3", "1", "2"]
    merge_adapters(dict(zip(paths, weights, strict=True)), output=tmp_path / "soup")
    models = [lora.merged(base, path, tmp_path / f"m{i}") for i, path in enumerate(paths)]
    soce.merge(dict(zip(models, weights, strict=True)), output=tmp_path / "models")
    lora.merged(base, str(tmp_path / "soup"), tmp_path / "merged")
    one, other = read_directory(tmp_path / "models"), read_directory(tmp_path / "merged")
    assert one.keys() == other.keys()
    stored = values(tmp_path / "soup")
    for name, (dtype, shape, data) in one.items():
        assert dtype == "F64"
        here, there = (np.frombuffer(bits, "<f8").reshape(shape) for bits in (data, other[name][2]))
        start = f"base_model.model.{name.removesuffix('.weight')}"
        if name == "lm_head.weight":
            assert (np.abs(here - there) <= UNIT * np.abs(here)).all()
        elif f"{start}.lora_embedding_A" in stored:
            a, b = (np.abs(stored[f"{start}.lora_embedding_{which}"]) for which in "AB")
            assert (UNIT * b @ a * (1 + 1e-6) >= np.abs(here - there).T).all()
        elif f"{start}.lora_A.weight" in stored:
            a, b = (np.abs(stored[f"{start}.lora_{which}.weight"]) for which in "AB")
            assert (np.abs(here - there) <= UNIT * b @ a * (1 + 1e-6)).all()
            assert (here != there).any()
        else:
            assert data == other[name][2]


def test_answers_as_the_mean_of_the_models_does(base: str, tmp_path: Path) -> None:
    paths = [lora.save_adapter(base, tmp_path / f"a{i}", i) for i in range(2)]
    merge_adapters(paths, output=tmp_path / "soup")
    soce.merge([lora.merged(base, p, Path(f"{p}-model")) for p in paths], output=tmp_path / "model")
    tokens = torch.arange(4, 20)[None]
    with torch.no_grad():
        here = lora.loaded(base, str(tmp_path / "soup"))(tokens).logits
        there = lora.load(str(tmp_path / "model"), torch.float64)(tokens).logits
    torch.testing.assert_close(here, there, rtol=0, atol=1e-5)


def test_averages_what_adapters_replace_and_copies_what_is_equal(base: str, tmp_path: Path) -> None:
    paths = [lora.save_adapter(base, tmp_path / f"a{i}", i, modules_to_save=["lm_head"]) for i in (0, 1)]
    merge_adapters(dict(zip(paths, "12", strict=True)), output=tmp_path / "soup")
    name = "base_model.model.lm_head.weight"
    one, other, soup = (values(Path(path))[name] for path in (*paths, tmp_path / "soup"))
    assert (soup == ((one + 2 * other) / 3).astype(np.float32)).all()
    merge_adapters({paths[0]: "1/3"}, output=tmp_path / "same")
    assert (values(tmp_path / "same")[name] == one).all()


def test_each_of_many_modules_gets_its_own_rank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More modules than PEFT keeps in a list, and layers 1 and 11, whose names begin and end alike."""
    monkeypatch.setitem(tiny_models.LLAMA, "num_hidden_layers", 12)
    base = lora.base_model(tmp_path)
    one = {"target_modules": ["q_proj", "v_proj"], "layers_to_transform": [1, 3, 10, 11]}
    other = {"target_modules": ["q_proj", "down_proj", "o_proj"], "r": 3}
    paths = [
        lora.save_adapter(base, tmp_path / f"a{i}", i, **settings) for i, settings in enumerate((one, other))
    ]
    ranks = merge_adapters(paths, output=tmp_path / "soup").manifest["ranks"]
    first, second, soup = (lora.deltas(base, str(path)) for path in (*paths, tmp_path / "soup"))
    assert ranks == {name: 4 * (name in first) + 3 * (name in second) for name in sorted({*first, *second})}
    for name, delta in soup.items():
        expected = (first.get(name, 0) + second.get(name, 0)) / 2
        torch.testing.assert_close(delta, expected, rtol=0, atol=1e-6)
    assert soup.keys() == ranks.keys()


def test_keeps_the_settings_that_all_adapters_share(base: str, tmp_path: Path) -> None:
    where = {"target_modules": ["q_proj", "v_proj"], "layers_to_transform": [0]}
    paths = [lora.save_adapter(base, tmp_path / f"a{i}", i, r=i + 1, **where) for i in (0, 1)]
    merge_adapters(paths, output=tmp_path / "soup")
    config = json.loads((tmp_path / "soup" / "adapter_config.json").read_text())
    assert sorted(config["target_modules"]) == ["q_proj", "v_proj"]
    assert config["layers_to_transform"] == [0]
    assert (config["r"], config["lora_alpha"], config["rank_pattern"]) == (3, 3, {})
    assert (config["task_type"], config["base_model_name_or_path"]) == ("CAUSAL_LM", base)


def test_bytes_do_not_depend_on_the_unit_of_the_weights_nor_on_the_order(base: str, tmp_path: Path) -> None:
    head = {"modules_to_save": ["lm_head"]}
    paths = [lora.save_adapter(base, tmp_path / f"a{i}", i, r=i + 1, **head) for i in range(3)]
    weights = dict(zip(paths, ("1", "3", "5"), strict=True))
    merge_adapters(weights, output=tmp_path / "one")
    merge_adapters({path: f"{weight}/9" for path, weight in weights.items()}, output=tmp_path / "two")
    merge_adapters(dict(reversed(weights.items())), output=tmp_path / "three")
    files = [(tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("one", "two", "three")]
    assert len(set(files)) == 1


def test_weights_that_need_too_many_parts_are_told(tmp_path: Path) -> None:
    both = [str(adapter(tmp_path / name)) for name in "ab"]
    made = merge_adapters(dict(zip(both, ("1", "0.33333333333"), strict=True)), output=tmp_path / "soup")
    (row,) = made.manifest["rounded_weights"]
    assert row["asked"][both[1]] == "0.33333333333"
    assert [row["used"][path] for path in both] == [one["part"] for one in made.manifest["ingredients"]]


def test_an_adapter_of_weight_zero_has_no_part(base: str, tmp_path: Path) -> None:
    paths = [lora.save_adapter(base, tmp_path / f"a{i}", i, r=i + 2) for i in range(2)]
    made = merge_adapters(dict(zip(paths, "10", strict=True)), output=tmp_path / "soup").manifest
    assert set(made["ranks"].values()) == {2}
    assert [one["part"] for one in made["ingredients"]] == [1, 0]


def test_cuts_to_a_rank_and_says_what_is_lost(base: str, tmp_path: Path) -> None:
    paths = [lora.save_adapter(base, tmp_path / f"a{i}", i, **one) for i, one in enumerate(DIFFERENT[:2])]
    made = merge_adapters(paths, output=tmp_path / "soup", rank=3).manifest
    exact = merge_adapters(paths, output=tmp_path / "exact").manifest
    assert exact["ranks"]["model.layers.0.self_attn.q_proj"] == 7
    assert made["ranks"] == dict.fromkeys(exact["ranks"], 3)
    whole, cut = (lora.deltas(base, str(tmp_path / name)) for name in ("exact", "soup"))
    lost = {module: float((whole[module] - cut[module]).square().sum()) for module in whole}
    norms = {module: float(whole[module].square().sum()) for module in whole}
    for module, share in made["lost"]["modules"].items():
        values = torch.linalg.svdvals(whole[module])
        best = float((values[3:].square().sum() / values.square().sum()).sqrt())
        assert share == pytest.approx(best, abs=1e-6)
        assert (lost[module] / norms[module]) ** 0.5 == pytest.approx(share, abs=1e-6)
    total = (sum(lost.values()) / sum(norms.values())) ** 0.5
    assert made["lost"]["whole"] == pytest.approx(total, abs=1e-6)
    assert made["lost"]["modules"]["model.layers.0.self_attn.v_proj"] == 0.0  # of rank 3 already


def test_a_module_of_the_rank_asked_for_stays_exact(base: str, tmp_path: Path) -> None:
    paths = [lora.save_adapter(base, tmp_path / f"a{i}", i) for i in range(2)]
    merge_adapters(paths, output=tmp_path / "exact")
    merge_adapters(paths, output=tmp_path / "soup", rank=8)
    name = "adapter_model.safetensors"
    assert (tmp_path / "exact" / name).read_bytes() == (tmp_path / "soup" / name).read_bytes()


@pytest.mark.parametrize("rank", [1, 2, 3, 4, 8, None])
def test_ranks_above_the_sides_of_a_module_lose_nothing(tmp_path: Path, rank: int | None) -> None:
    """Of a 2 × 3 matrix, eight ranks in all."""
    start, draw = "base_model.model.x.y", np.random.default_rng(0)
    paths = []
    for name in "ab":
        a, b = (draw.normal(size=size).astype("<f4") for size in ((4, 3), (2, 4)))
        tensors = {
            f"{start}.lora_A.weight": ("F32", [4, 3], a.tobytes()),
            f"{start}.lora_B.weight": ("F32", [2, 4], b.tobytes()),
        }
        paths.append(str(adapter(tmp_path / name, tensors, r=4, lora_alpha=4)))
    made = merge_adapters(paths, output=tmp_path / "soup", rank=rank).manifest
    assert made["ranks"] == {"x.y": 8 if rank in {8, None} else min(rank, 2)}
    products = []
    for path in (*paths, tmp_path / "soup"):
        found = values(Path(path))
        products.append(found[f"{start}.lora_B.weight"] @ found[f"{start}.lora_A.weight"])
    exact = (products[0] + products[1]) / 2
    left = np.linalg.norm(products[2] - exact) / np.linalg.norm(exact)
    assert left == pytest.approx(made.get("lost", {"whole": 0})["whole"], abs=1e-6)
    assert (left > 0.01) == (rank == 1)


def test_a_convolution_has_a_soup(tmp_path: Path) -> None:
    from peft import LoraConfig, PeftModel, get_peft_model

    def network() -> torch.nn.Module:
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3))

    for seed in (1, 2):
        model = get_peft_model(network(), LoraConfig(r=2, target_modules=["0"]))
        torch.manual_seed(seed)
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter)
        model.save_pretrained(tmp_path / str(seed))

    def delta(name: str) -> torch.Tensor:
        model = PeftModel.from_pretrained(network(), tmp_path / name)
        return model.base_model.model[0].get_delta_weight("default").detach()

    both = [str(tmp_path / "1"), str(tmp_path / "2")]
    merge_adapters(both, output=tmp_path / "soup")
    torch.testing.assert_close(delta("soup"), (delta("1") + delta("2")) / 2)
    merge_adapters(both, output=tmp_path / "low", rank=3)
    assert 0 < float((delta("low") - delta("soup")).norm() / delta("soup").norm()) < 0.5


def test_says_what_it_was_made_of(base: str, tmp_path: Path) -> None:
    paths = [lora.save_adapter(base, tmp_path / f"a{i}", i) for i in range(2)]
    made = merge_adapters(dict(zip(paths, ("1", "3"), strict=True)), output=tmp_path / "soup")
    manifest = json.loads((tmp_path / "soup" / "soce-adapter.json").read_text())
    assert manifest == made.manifest
    assert [(one["path"], one["part"]) for one in manifest["ingredients"]] == [(paths[0], 1), (paths[1], 3)]
    assert manifest["whole"] == 4
    card = (tmp_path / "soup" / "README.md").read_text()
    assert "library_name: peft" in card
    assert "| `a1` | 3 of 4 |" in card
    assert str(tmp_path) not in card
    import hashlib

    for folder, digests in [
        (tmp_path / "soup", manifest["sha256"]),
        (Path(paths[0]), manifest["ingredients"][0]["sha256"]),
    ]:
        for name, digest in digests.items():
            assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest


def test_replaces_a_soup_of_adapters_only_when_asked_to_and_nothing_else_ever(
    base: str, tmp_path: Path
) -> None:
    a = lora.save_adapter(base, tmp_path / "a", 1)
    merge_adapters([a], output=tmp_path / "soup")
    with pytest.raises(OutputError, match="overwrite"):
        merge_adapters([a], output=tmp_path / "soup")
    merge_adapters([a], output=tmp_path / "soup", rank=1, overwrite=True)
    assert json.loads((tmp_path / "soup" / "adapter_config.json").read_text())["r"] == 1
    (tmp_path / "soup" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="other files: `notes"):
        merge_adapters([a], output=tmp_path / "soup", overwrite=True)
    with pytest.raises(OutputError, match="no soup of adapters"):
        merge_adapters([a], output=a, overwrite=True)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a", "soup"]


def test_a_soup_is_no_ingredient_of_what_replaces_it(base: str, tmp_path: Path) -> None:
    a = lora.save_adapter(base, tmp_path / "a", 1)
    merge_adapters([a], output=tmp_path / "soup")
    with pytest.raises(OutputError, match="one of the ingredients"):
        merge_adapters([a, str(tmp_path / "soup")], output=tmp_path / "soup", overwrite=True)


def test_leaves_nothing_behind_when_it_fails(base: str, tmp_path: Path) -> None:
    a = lora.save_adapter(base, tmp_path / "a", 1)
    lora.change_config(a, lora_alpha=10**40)
    with pytest.raises(OutputError, match="too large for F32"):
        merge_adapters([a], output=tmp_path / "soup")
    assert [one.name for one in tmp_path.iterdir()] == ["a"]


def test_numbers_that_are_none_are_refused(base: str, tmp_path: Path) -> None:
    a = lora.save_adapter(base, tmp_path / "a", 1)
    file = Path(a, "adapter_model.safetensors")
    file.write_bytes(file.read_bytes()[:-4] + np.float32("nan").tobytes())
    for rank in (None, 1):
        with pytest.raises(CheckpointError, match="NaN"):
            merge_adapters([a], output=tmp_path / "soup", rank=rank)


def test_an_adapter_that_changes_under_it_is_refused(base: str, tmp_path: Path, monkeypatch) -> None:
    from soce.adapters import output, soup

    a = lora.save_adapter(base, tmp_path / "a", 1)

    def readme_text(manifest: object) -> str:
        lora.change_config(a, lora_alpha=9)
        return output.readme_text(manifest)

    monkeypatch.setattr(soup, "readme_text", readme_text)
    with pytest.raises(CheckpointError, match="changed while it was read"):
        merge_adapters([a], output=tmp_path / "soup")


def test_refuses_a_rank_of_nothing(base: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="`rank` is 0"):
        merge_adapters([lora.save_adapter(base, tmp_path / "a", 1)], output=tmp_path / "soup", rank=0)
