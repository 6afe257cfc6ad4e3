"""A model made into a soup in place is, bit for bit, the soup that is published and loaded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.checkpoints import Tensors, read_file, write_file
from tests.models import raw, save

import soce
from soce import Recipe
from soce.exceptions import CheckpointError, EvaluationError, IncompatibleError, RecipeError
from soce.recipes.model import Ingredient
from soce.recipes.rows import Row

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from soce.evaluate.live import residents  # noqa: E402
from soce.evaluate.live.device_means import write_mean  # noqa: E402
from soce.evaluate.live.mixing import SoupMixer  # noqa: E402
from soce.evaluate.live.soup_model import SoupModel  # noqa: E402

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore"),  # transformers' own
]
CLASSES = {"bert": "AutoModel", "vit": "AutoModelForImageClassification"}
KINDS = ["llama-untied", "llama-tied", "mixtral", "qwen3-moe", "bert", "vit"]


def recipes(paths: Sequence[Path]) -> list[Recipe]:
    """Return a single, mixtures, another order, one with rows, one by rows alone, some of other methods."""
    a, b, c = map(str, paths)
    everything = tuple(Ingredient(path, None) for path in (a, b, c))
    return [
        Recipe.of({a: 1}),
        Recipe.of({a: "0.5", b: "0.2", c: "0.3"}),
        Recipe.of({c: "1/3", a: "2/3"}),
        Recipe.of([a, b, c]),
        Recipe(Recipe.of([a, b, c]).ingredients, (Row("*norm*", (1, 0, 0), 1), Row("*.1.*", (3, -1, 1), 3))),
        Recipe(everything, (Row("*[0-9]*", (0, 1, 0), 1), Row("*e?*", (0, 1, 2), 3), Row("*", (2, 0, 1), 2))),
        Recipe.of({a: "0.4", c: "-0.3"}, soce.Method("task_arithmetic", b)),
        Recipe.of({c: "0.7", a: "0.3"}, soce.Method("slerp")),
        Recipe.of([a, b], soce.Method("model_stock", c, {"clamp": False})),
        Recipe.of([a, c], soce.Method("ties", b, {"density": "0.4"})),
        Recipe.of({a: "0.5", c: 2}, soce.Method("dare_ties", b)),
    ]


def loaded(path: Path, kind: str, dtype: str = "auto") -> dict[str, Any]:
    import transformers

    auto = getattr(transformers, CLASSES.get(kind, "AutoModelForCausalLM"))
    model, info = auto.from_pretrained(path, dtype=dtype, output_loading_info=True)
    assert not info["missing_keys"]
    return everything_of(model)


def everything_of(model: Any) -> dict[str, Any]:
    """Return bits of all parameters and buffers, those that are not saved too."""
    named = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    return {name: raw(tensor.cpu()) for name, tensor in named}


def check(
    tmp_path: Path,
    paths: list[Path],
    kind: str,
    *,
    device: str = "cpu",
    compute_dtype: str | None = None,
    dtype: str | None = None,
    **choices: Any,
) -> SoupModel:
    """Compare soups A, B, A, B, … in place with the same ones published and loaded."""
    model = SoupModel(
        [str(path) for path in paths],
        device=device,
        model_class=CLASSES.get(kind),
        compute_dtype=compute_dtype,
        merge=soce.MergeOptions(dtype=dtype, **choices),
    )
    options = soce.MergeOptions(dtype=dtype, **choices, config_from=str(paths[0]), sync=False)
    published = []
    for i, recipe in enumerate(recipes(paths)):
        output = tmp_path / f"soup{i}"
        soce.merge(recipe, output=output, options=options)
        published.append((recipe, loaded(output, kind, compute_dtype or "auto")))
    assert published[0][1] != published[1][1]
    for i in (*range(len(published)), 0, 1, 0, len(published) - 1, 1):
        recipe, expected = published[i]
        seen: list[tuple[int, int]] = []
        model.set(recipe, on_progress=lambda done, total, seen=seen: seen.append((done, total)))
        assert everything_of(model.model) == expected, i
        assert seen == sorted(seen)
        assert seen[-1] == (model.nbytes, model.nbytes)
        assert model.recipe is recipe
    return model


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [*((kind, "bfloat16") for kind in KINDS), ("llama-tied", "float16"), ("mixtral", "float32")],
)
def test_a_soup_in_place_is_the_published_soup(kind: str, dtype: str, tmp_path: Path) -> None:
    model = check(tmp_path, save(tmp_path, kind, dtype, range(3)), kind)
    assert model.is_direct
    assert sum(map(len, model._staging.buffers)) == 0, "mixed straight into the parameters"


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_soup_on_a_device_is_the_published_soup(kind: str, dtype: str, tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    paths = save(tmp_path, kind, dtype, range(3))
    model = check(tmp_path, paths, kind, device="cuda")
    assert [buffer.is_pinned() for buffer in model._staging.buffers] == [True, True]
    assert model._residents is not None
    assert (model._residents.nbytes > 0) == (dtype == "bfloat16")
    check(tmp_path / "cast", paths, kind, device="cuda", dtype="bf16", compute_dtype="float32")


@pytest.mark.parametrize("share", [2.0, 0.3])
def test_ingredients_stay_where_there_is_room(
    share: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parameters of another dtype are not mixed in place, as those of another device are not."""
    paths = save(tmp_path, "llama-tied", "bfloat16", range(3))
    room = int(share * sum((path / "model.safetensors").stat().st_size for path in paths))
    written = []
    monkeypatch.setattr(residents, "room_on", lambda _: room)
    monkeypatch.setattr(residents, "write_mean", lambda *given: written.append(given) or write_mean(*given))
    model = check(tmp_path, paths, "llama-tied", compute_dtype="float32")
    assert model._residents is not None
    held, tensors = model._residents.nbytes, len(model._blocks)
    assert held == (3 * model.nbytes if share > 1 else pytest.approx(room, rel=0.5))
    assert held <= room
    assert len(written) > 6 * tensors if share > 1 else 0 < len(written) < 6 * tensors


def test_none_stay_beside_a_model_on_the_cpu(tmp_path: Path) -> None:
    model = check(tmp_path, save(tmp_path, "llama-tied", "bfloat16", range(3)), "llama-tied")
    assert model._residents is not None
    assert model._residents.nbytes == 0


@pytest.mark.parametrize("kind", ["llama-tied", "mixtral"])
@pytest.mark.parametrize(("held", "options"), [
    ("float32", {"dtype": "bf16"}),
    ("bfloat16", {"dtype": "float32"}),
    ("bfloat16", {"compute_dtype": "float32"}),
    ("float32", {"dtype": "f16", "compute_dtype": "bfloat16"}),
])  # fmt: skip
def test_other_dtypes_published_or_computed_with(
    kind: str, held: str, options: dict[str, str], tmp_path: Path
) -> None:
    compute = options.pop("compute_dtype", None)
    model = check(tmp_path, save(tmp_path, kind, held, range(3)), kind, compute_dtype=compute, **options)
    largest = max(map(model._mixer.size, model._mixer.tensors))
    assert sum(map(len, model._staging.buffers)) == (largest if compute else 0), "memory for one tensor"


@pytest.mark.parametrize("dtype", [None, "f32"])
def test_choices_of_tensors_hold_in_place(dtype: str | None, tmp_path: Path) -> None:
    paths = save(tmp_path, "llama-untied", "bfloat16", range(3))
    file = paths[1] / "model.safetensors"
    write_file(file, read_file(file) | {"mtp.fc.weight": ("F32", [2], bytes(8))})
    take = {"model.norm.weight": str(paths[2]), "*.0.mlp.up_proj.weight": str(paths[1])}
    model = check(tmp_path, paths, "llama-untied", dtype=dtype, leave_out=["mtp.*"], take=take)
    assert model.is_direct


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_transformers_must_convert_whole(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soce.evaluate.live.soup_model.find_placement", lambda *_: None)
    model = check(tmp_path, save(tmp_path, kind, "bfloat16", range(3)), kind)
    assert not model.is_direct


def renamed(paths: list[Path], rename: Any) -> None:
    for path in paths:
        file = path / "model.safetensors"
        write_file(file, {rename(name): tensor for name, tensor in read_file(file).items()})


@pytest.mark.parametrize("noise", [True, False])
def test_a_checkpoint_with_names_of_old(noise: bool, tmp_path: Path) -> None:
    paths = save(tmp_path, "bert", "float32", range(3))
    renamed(paths, lambda name: "bert." + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"))  # fmt: skip
    assert "bert.embeddings.LayerNorm.gamma" in read_file(paths[0] / "model.safetensors")
    if noise:
        for seed, path in enumerate(paths):
            stir(path, seed)
    assert check(tmp_path, paths, "bert").is_direct


def stir(path: Path, seed: int) -> None:
    """Make every F32 tensor of a checkpoint a random one."""
    file, generator = path / "model.safetensors", torch.Generator().manual_seed(seed)
    tensors: Tensors = {}
    for name, (dtype, shape, _) in read_file(file).items():
        tensors[name] = (dtype, shape, torch.randn(shape, generator=generator).numpy().tobytes())
    write_file(file, tensors)


def test_experts_that_are_all_alike_are_told_apart(tmp_path: Path) -> None:
    """An upcycled mixture: values of the ingredients cannot say which expert is which."""
    paths = save(tmp_path, "qwen3-moe", "float32", range(3))
    file = paths[0] / "model.safetensors"
    tensors = read_file(file)
    for name, tensor in list(tensors.items()):
        if ".experts.0." in name:
            for other in range(4):
                tensors[name.replace("experts.0", f"experts.{other}")] = tensor
    write_file(file, tensors)
    assert check(tmp_path, paths, "qwen3-moe").is_direct


def test_rearranged_tensors_go_through_transformers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loader that transposes: no run of live elements is a checkpoint's tensor."""
    from transformers import conversion_mapping, core_model_loading

    entry = core_model_loading.WeightConverter(
        "mlp.down_proj.weight", "mlp.down_proj.weight", operations=[core_model_loading.Transpose(0, 1)]
    )
    before = conversion_mapping.get_model_conversion_mapping
    monkeypatch.setattr("transformers.modeling_utils.get_model_conversion_mapping", lambda *a, **k: [*before(*a, **k), entry])  # fmt: skip
    paths = save(tmp_path, "llama-untied", "float32", range(3))
    for path in paths:
        file = path / "model.safetensors"
        tensors = read_file(file)
        for name, (dtype, shape, data) in tensors.items():
            if name.endswith("down_proj.weight") and shape == [32, 48]:
                tensors[name] = (dtype, [48, 32], data)
        write_file(file, tensors)
    assert not check(tmp_path, paths, "llama-untied").is_direct


def test_tied_copies_in_every_checkpoint(tmp_path: Path) -> None:
    paths = save(tmp_path, "llama-tied", "bfloat16", range(3))
    for path in paths:
        tensors = read_file(path / "model.safetensors")
        write_file(path / "model.safetensors", tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"]})  # fmt: skip
    model = SoupModel([str(path) for path in paths])
    plain = recipes(paths)[1]
    soce.merge(plain, output=tmp_path / "soup", options=soce.MergeOptions(sync=False))
    model.set(plain)
    assert everything_of(model.model) == loaded(tmp_path / "soup", "llama-tied")
    apart = Recipe(plain.ingredients, (Row("lm_head*", (1, 0, 0), 1),))
    with pytest.raises(EvaluationError, match=r"`lm_head.weight` .*differently, but the model ties them"):
        model.set(apart)
    assert model.recipe is plain, "refused before anything was written"


def test_heads_that_only_look_tied_are_refused(tmp_path: Path) -> None:
    paths = save(tmp_path, "llama-tied", "bfloat16", range(2))
    for path in paths:
        tensors = read_file(path / "model.safetensors")
        write_file(path / "model.safetensors", tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"]})  # fmt: skip
    file = paths[1] / "model.safetensors"
    tensors = read_file(file)
    dtype, shape, data = tensors["lm_head.weight"]
    write_file(file, tensors | {"lm_head.weight": (dtype, shape, data[:-2] + b"\x00\x01")})
    for order, words in ((paths, "the model ties them"), (paths[::-1], "head differs from its embedding")):
        with pytest.raises(EvaluationError, match=words) as caught:
            SoupModel([str(path) for path in order])
        assert caught.value.path == str(paths[1])


def test_integer_buffers_are_copied(tmp_path: Path) -> None:
    """BatchNorm counts its batches in an integer buffer, and its running means are buffers to be averaged."""
    from transformers import MobileNetV1Config, MobileNetV1Model

    paths = []
    for seed in range(3):
        torch.manual_seed(seed)
        net = MobileNetV1Model(MobileNetV1Config(image_size=32, depth_multiplier=0.25, min_depth=4))
        for name, buffer in net.named_buffers():
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 2)
            else:
                assert name.endswith("num_batches_tracked")
                buffer.fill_(41)
        paths.append(tmp_path / str(seed))
        net.save_pretrained(paths[-1])
    model = SoupModel([str(path) for path in paths], model_class="AutoModel")
    recipe = recipes(paths)[1]
    soce.merge(recipe, output=tmp_path / "soup", options=soce.MergeOptions(sync=False))
    model.set(recipe)
    from transformers import AutoModel

    live, expected = everything_of(model.model), everything_of(AutoModel.from_pretrained(tmp_path / "soup"))
    assert live == expected
    assert any(dtype == "torch.int64" for dtype, _, _ in live.values())


def test_a_hundred_soups_later(tmp_path: Path) -> None:
    paths = save(tmp_path, "llama-tied", "bfloat16", range(3))
    model = SoupModel([str(path) for path in paths])
    first = Recipe.of({str(path): part for path, part in zip(paths, (5, 2, 3), strict=True)})
    model.set(first)
    before = everything_of(model.model)
    addresses = [parameter.data_ptr() for parameter in model.model.parameters()]
    for part in range(1, 101):
        model.set(Recipe.of({str(paths[0]): part, str(paths[1]): 101 - part}))
    model.set(first)
    assert everything_of(model.model) == before
    assert [parameter.data_ptr() for parameter in model.model.parameters()] == addresses


def test_parts_of_a_checkpoint_that_the_class_does_not_have(tmp_path: Path) -> None:
    paths = save(tmp_path, "llama-untied", "float32", range(2))
    model = SoupModel([str(path) for path in paths], model_class="AutoModel")
    assert model.is_direct
    assert "lm_head.weight" not in {block.tensor for block in model._blocks}
    recipe = Recipe.of([str(path) for path in paths])
    soce.merge(recipe, output=tmp_path / "soup", options=soce.MergeOptions(sync=False))
    from transformers import AutoModel

    model.set(recipe)
    assert everything_of(model.model) == everything_of(AutoModel.from_pretrained(tmp_path / "soup"))


# ---- refusals


def test_wrong_recipes_change_nothing(tmp_path: Path) -> None:
    paths = save(tmp_path, "llama-tied", "float32", range(2))
    model = SoupModel([str(path) for path in paths])
    recipe = Recipe.of([str(path) for path in paths])
    model.set(recipe)
    before = everything_of(model.model)
    with pytest.raises(RecipeError, match="is not an ingredient of the model"):
        model.set(Recipe.of({str(paths[0]): 1, "elsewhere": 2}))
    ingredients = tuple(Ingredient(str(path), None) for path in paths)
    with pytest.raises(RecipeError, match="no row of the recipe matches"):
        model.set(Recipe(ingredients, (Row("model.embed*", (1, 1), 2),)))
    assert everything_of(model.model) == before
    assert model.recipe is recipe


def test_an_interrupted_set_says_that_nothing_is_known(tmp_path: Path) -> None:
    paths = save(tmp_path, "llama-tied", "float32", range(2))
    model = SoupModel([str(path) for path in paths])
    recipe = Recipe.of([str(path) for path in paths])

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.set(recipe, on_progress=stop)
    assert model.recipe is None


def test_what_the_engine_refuses_is_refused_in_its_words(tmp_path: Path) -> None:
    paths = save(tmp_path / "llama", "llama-tied", "float32", range(1))
    paths += save(tmp_path / "bert", "bert", "float32", range(1))
    with pytest.raises(IncompatibleError):
        SoupModel([str(path) for path in paths])
    with pytest.raises((CheckpointError, EvaluationError, OSError)):
        SoupModel([str(tmp_path / "nowhere")])
    file = str(paths[0] / "model.safetensors")
    with pytest.raises(EvaluationError, match="not a checkpoint directory"):
        SoupModel([file])
    with pytest.raises(EvaluationError, match="`max_shard_size` has no effect"):
        SoupModel([str(paths[0])], merge=soce.MergeOptions(max_shard_size="5GB"))


def test_ingredients_of_different_dtypes_need_a_decision(tmp_path: Path) -> None:
    paths = save(tmp_path / "a", "llama-tied", "float32", range(1))
    paths += save(tmp_path / "b", "llama-tied", "bfloat16", range(1, 2))
    with pytest.raises(EvaluationError, match=r"expected F32 as in .*, got BF16"):
        SoupModel([str(path) for path in paths])
    model = SoupModel([str(path) for path in paths], merge=soce.MergeOptions(dtype="bfloat16"))
    for order in (paths, paths[::-1]):
        recipe = Recipe.of({str(path): part for path, part in zip(order, (2, 1), strict=True)})
        output = tmp_path / order[0].parent.name / "soup"
        soce.merge(recipe, output=output, options=soce.MergeOptions(dtype="bfloat16", sync=False))
        model.set(recipe)
        assert everything_of(model.model) == loaded(output, "llama-tied")


def test_soups_that_a_merge_refuses_for_their_values(tmp_path: Path) -> None:
    paths = save(tmp_path, "llama-tied", "float32", range(2))
    file = paths[1] / "model.safetensors"
    tensors = read_file(file)
    dtype, shape, data = tensors["model.norm.weight"]
    write_file(file, tensors | {"model.norm.weight": (dtype, shape, b"\x00\x00\xc0\x7f" + data[4:])})
    both = Recipe.of([str(path) for path in paths])
    model = SoupModel([str(path) for path in paths])
    model.set(Recipe.of({str(paths[0]): 1}))
    with pytest.raises(CheckpointError, match="has values that are not finite") as caught:
        model.set(both)
    assert (caught.value.path, caught.value.tensor) == (str(paths[1]), "model.norm.weight")
    assert model.recipe is None
    SoupModel([str(path) for path in paths], merge=soce.MergeOptions(nonfinite="warn")).set(both)


def test_soups_that_overflow_although_their_ingredients_do_not(tmp_path: Path) -> None:
    paths = save(tmp_path, "llama-tied", "float32", range(2))
    for path in paths:
        tensors = read_file(path / "model.safetensors")
        dtype, shape, data = tensors["model.norm.weight"]
        huge = b"\xff\xff\x7f\x7f" if path == paths[0] else b"\xff\xff\x7f\xff"
        write_file(path / "model.safetensors", tensors | {"model.norm.weight": (dtype, shape, huge + data[4:])})  # fmt: skip
    a, b = map(str, paths)
    model, ingredients = SoupModel([a, b]), (Ingredient(a, None), Ingredient(b, None))
    model.set(Recipe.of([a, b]))
    outside = Recipe(ingredients, (Row("*", (2, -1), 1),))
    for refused in (model.set, lambda recipe: soce.merge(recipe, output=tmp_path / "soup")):
        with pytest.raises(IncompatibleError, match="results are too large for F32"):
            refused(outside)
    halved = SoupModel([a, b], merge=soce.MergeOptions(dtype="bf16"))
    for _ in range(2):
        with pytest.raises(IncompatibleError, match="results are too large for BF16"):
            halved.set(Recipe.of({a: 1}))


@pytest.mark.parametrize(
    ("config", "model_class", "words"),
    [
        ({"model_type": "soup9000"}, None, "does not recognize this architecture"),
        ({"model_type": "vit"}, None, "Unrecognized configuration class"),
        ({"model_type": "mine", "auto_map": {"AutoConfig": "x.Y", "AutoModelForCausalLM": "x.Z"}}, None, "code of its own"),
        ({}, "AutoModelForCausalML", "no model class `AutoModelForCausalML`"),
        ({"hidden_size": "many"}, None, "hidden_size"),
    ],
)  # fmt: skip
def test_models_that_transformers_cannot_load(
    config: dict[str, object], model_class: str | None, words: str, tmp_path: Path
) -> None:
    (path,) = save(tmp_path, "llama-tied", "float32", range(1))
    known = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(known | config))
    with pytest.raises(EvaluationError, match=words) as caught:
        SoupModel([str(path)], model_class=model_class)
    first, *rest = str(caught.value).splitlines()
    assert len(rest) <= 1
    assert all(line.startswith("hint: ") for line in rest)
    assert len(first) < 400


def test_a_model_with_parameters_that_nobody_saved(tmp_path: Path) -> None:
    (path,) = save(tmp_path, "bert", "float32", range(1))
    with pytest.raises(EvaluationError, match="are not in the checkpoint"):
        SoupModel([str(path)], model_class="AutoModelForMaskedLM")


def test_missing_libraries_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(EvaluationError, match=r"pip install 'soce\[torch\]'"):
        SoupModel([str(tmp_path)])


def test_rows_of_many_stars_are_matched_at_once(tmp_path: Path) -> None:
    """A matcher that goes back to every star would not end within the age of the universe."""
    name = "a" * 250
    paths = [str(tmp_path / side) for side in "AB"]
    for path in paths:
        Path(path).mkdir()
        write_file(Path(path, "model.safetensors"), {name: ("F32", [1], bytes(4))})
    rows = (Row("*a" * 60 + "*b", (1, 0), 1), Row("*", (1, 1), 2))
    recipe = Recipe(Recipe.of(paths).ingredients, rows)
    assert SoupMixer(paths, soce.MergeOptions()).rows(recipe) == {name: ((1, 1), 2)}


def test_an_ingredient_that_somebody_writes_over_is_no_part_of_a_soup_any_more(tmp_path: Path) -> None:
    """Scores of it would be filed under what it was when the model was made."""
    paths = [str(path) for path in save(tmp_path, "llama-untied", "float32", range(3))]
    model = SoupModel(paths, device="cpu")
    file = Path(paths[1], "model.safetensors")
    file.write_bytes(Path(paths[2], "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match="changed since it was opened: ") as caught:
        model.set(Recipe.of({paths[0]: "1/2", paths[1]: "1/2"}))
    assert (caught.value.path, model.recipe) == (str(file), None)
    model.set(Recipe.of({paths[0]: "1/2", paths[2]: "1/2"}))
    again = SoupModel(paths, device="cpu")
    again.set(Recipe.of({paths[0]: "1/2", paths[1]: "1/2"}))
    assert everything_of(again.model) == everything_of(model.model)
