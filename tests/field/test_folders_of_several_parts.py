"""Folders whose parts are loaded together: sentence-transformers (`modules.json`), diffusers (`model_index.json`)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from tests.checkpoints import Tensors, f32, read_file, write_file

from soce import MergeOptions, Recipe, merge, verify
from soce.exceptions import SoceError
from soce.merging.doctor import diagnose
from soce.merging.manifest import manifest_schema
from soce.merging.plan import plan
from soce.recipes.model import Ingredient
from soce.recipes.rows import Row

W: Tensors = {"w": ("F32", [2], f32(1, 2))}


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def modules(path: Path, *parts: tuple[str, str]) -> None:
    entries = [
        {"idx": i, "name": str(i), "path": p, "type": f"x.models.{t}"} for i, (p, t) in enumerate(parts)
    ]
    write_json(path / "modules.json", entries)


def embedder(path: Path, value: float) -> Path:
    """Write a transformer, its pooling, a dense layer and a normalisation without files."""
    modules(path, ("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense"), ("3_N", "Normalize"))
    write_file(path / "model.safetensors", {"weight": ("F32", [1], f32(value))})
    write_json(path / "config.json", {"model_type": "bert"})
    write_json(path / "1_Pooling" / "config.json", {"pooling_mode_mean_tokens": True})
    write_json(path / "2_Dense" / "config.json", {"in_features": 2})
    write_file(path / "2_Dense" / "model.safetensors", {"weight": ("F32", [1], f32(10 * value))})
    return path


def pipeline(path: Path, value: float) -> Path:
    """Write a pipeline of a sharded component of a variant, one of a single file, and two without tensors."""
    components = {
        "unet": "UNet2DModel",
        "vae": "AutoencoderKL",
        "scheduler": "DDIMScheduler",
        "tokenizer": "CLIPTokenizer",
    }
    index = {name: ["diffusers", kind] for name, kind in components.items()}
    write_json(
        path / "model_index.json", {"_class_name": "P", "safety_checker": [None, None], "flag": True, **index}
    )
    stem = "diffusion_pytorch_model"
    names = [f"{stem}.fp16-0000{i}-of-00002.safetensors" for i in (1, 2)]
    for i, name in enumerate(names):
        write_file(path / "unet" / name, {f"w{i}": ("F32", [1], f32(value + i))})
    weight_map = {f"w{i}": name for i, name in enumerate(names)}
    write_json(path / "unet" / f"{stem}.safetensors.index.fp16.json", {"weight_map": weight_map})
    write_file(path / "vae" / f"{stem}.safetensors", {"w0": ("F32", [1], f32(-value))})
    for name in components:
        write_json(
            path / name / ("config.json" if name != "scheduler" else "scheduler_config.json"), {"a": 1}
        )
    (path / "tokenizer" / "vocab.json").write_text('{"a": 0}')
    return path


def files(path: Path) -> set[str]:
    return {str(found.relative_to(path)) for found in path.rglob("*") if found.is_file()}


def value(path: Path, name: str) -> bytes:
    return read_file(path)[name][2]


def refused(path: Path, tmp_path: Path) -> str:
    with pytest.raises(SoceError) as caught:
        plan([str(path), str(path)], output=tmp_path / "soup")
    assert not (tmp_path / "soup").exists()
    return "\n".join(f"{problem.path} {problem.message}" for problem in caught.value.problems)


def test_modules_with_tensors_are_averaged_and_the_others_copied(tmp_path: Path) -> None:
    a, b, soup = embedder(tmp_path / "a", 1), embedder(tmp_path / "b", 3), tmp_path / "soup"
    report = merge([str(a), str(b)], output=soup)
    assert report.counts["averaged"] == 2
    assert files(soup) - {"soce.json", "mergekit_config.yml"} == files(a)
    assert (soup / "1_Pooling" / "config.json").read_bytes() == (a / "1_Pooling" / "config.json").read_bytes()
    assert value(soup / "model.safetensors", "weight") == f32(2)
    assert value(soup / "2_Dense" / "model.safetensors", "weight") == f32(20)
    assert verify(soup).ok
    assert verify(soup, recompute=[a, b]).ok


def test_empty_folder_of_a_module_without_files_may_be_lacking(tmp_path: Path) -> None:
    saved, downloaded = embedder(tmp_path / "saved", 1), embedder(tmp_path / "downloaded", 3)
    (saved / "3_N").mkdir()
    for i, pair in enumerate([(saved, downloaded), (downloaded, saved)]):
        report = merge([str(path) for path in pair], output=tmp_path / f"soup{i}")
        assert report.counts["averaged"] == 2
        assert verify(tmp_path / f"soup{i}", recompute=list(pair)).ok


def test_soup_of_one_model_of_parts_is_that_model(tmp_path: Path) -> None:
    a, soup = pipeline(tmp_path / "a", 1), tmp_path / "soup"
    merge([str(a), str(a)], output=soup)
    for name in files(a):
        if name.endswith(".safetensors"):
            assert read_file(soup / name) == read_file(a / name), name
        elif ".index." not in name:
            assert (soup / name).read_bytes() == (a / name).read_bytes(), name


def test_components_of_a_pipeline_are_averaged_under_one_manifest(tmp_path: Path) -> None:
    a, b, soup = pipeline(tmp_path / "a", 1), pipeline(tmp_path / "b", 3), tmp_path / "soup"
    merge([str(a), str(b)], output=soup, options=MergeOptions(digests="full"))
    assert files(soup) - {"soce.json", "mergekit_config.yml"} == files(a)
    manifest = json.loads((soup / "soce.json").read_text())["result"]
    assert sorted(manifest["tensors"]) == ["unet/w0", "unet/w1", "vae/w0"]
    assert manifest["format"] == 2
    assert manifest["donor"]["left_out"] == []
    index = json.loads((soup / "unet" / "diffusion_pytorch_model.safetensors.index.fp16.json").read_text())
    assert index["weight_map"]["w1"] == "diffusion_pytorch_model.fp16-00002-of-00002.safetensors"
    assert index["metadata"]["total_size"] == 8
    assert value(soup / "vae" / "diffusion_pytorch_model.safetensors", "w0") == f32(-2)
    assert verify(soup).ok
    assert verify(soup, recompute=[b, a]).ok
    Draft202012Validator(manifest_schema()).validate(json.loads((soup / "soce.json").read_text()))


def test_rows_of_a_recipe_know_the_folder_of_a_part(tmp_path: Path) -> None:
    a, b, soup = embedder(tmp_path / "a", 1), embedder(tmp_path / "b", 3), tmp_path / "soup"
    ingredients = (Ingredient(str(a), None), Ingredient(str(b), None))
    merge(Recipe(ingredients, (Row("2_Dense/*", (0, 1), 1), Row("*", (1, 0), 1))), output=soup)
    assert value(soup / "2_Dense" / "model.safetensors", "weight") == f32(30)
    assert value(soup / "model.safetensors", "weight") == f32(1)


def test_parts_are_cut_anew_each_by_itself(tmp_path: Path) -> None:
    a = pipeline(tmp_path / "a", 1)
    merge([str(a), str(a)], output=tmp_path / "soup", options=MergeOptions(max_shard_size="1GB"))
    found = sorted(name for name in files(tmp_path / "soup") if name.endswith(".safetensors"))
    assert found == [
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
    ]
    assert verify(tmp_path / "soup").ok


def test_dtype_of_each_config_is_that_of_its_part(tmp_path: Path) -> None:
    a = embedder(tmp_path / "a", 1)
    for folder in (a, a / "2_Dense"):
        write_json(folder / "config.json", {"dtype": "float32"})
    merge([str(a), str(a)], output=tmp_path / "soup", options=MergeOptions(dtype="BF16"))
    for folder in (tmp_path / "soup", tmp_path / "soup" / "2_Dense"):
        assert json.loads((folder / "config.json").read_text()) == {"dtype": "bfloat16"}


def test_routes_of_a_router_are_parts(tmp_path: Path) -> None:
    a = tmp_path / "a"
    modules(a, ("", "Router"), ("1_Dense", "Dense"))
    types = {"query_0_StaticEmbedding": "x.StaticEmbedding", "document_0_Transformer": "x.Transformer"}
    write_json(a / "router_config.json", {"types": types, "structure": {}})
    for folder in [*types, "1_Dense"]:
        write_file(a / folder / "model.safetensors", W)
    report = merge([str(a), str(a)], output=tmp_path / "soup")
    assert report.counts["averaged"] == 3
    assert {"router_config.json", *(f"{folder}/model.safetensors" for folder in types)} < files(
        tmp_path / "soup"
    )


def test_legacy_folders_without_a_model_of_their_own(tmp_path: Path) -> None:
    a = tmp_path / "a"
    modules(a, ("0_Transformer", "Transformer"), ("1_Pooling", "Pooling"))
    write_file(a / "0_Transformer" / "model.safetensors", W)
    write_json(a / "1_Pooling" / "config.json", {})
    merge([str(a), str(a)], output=tmp_path / "soup")
    assert {"0_Transformer/model.safetensors", "1_Pooling/config.json"} < files(tmp_path / "soup")


def test_what_no_part_names_is_left_out_and_said(tmp_path: Path) -> None:
    a = pipeline(tmp_path / "a", 1)
    write_file(a / "v1-5-pruned.safetensors", W)
    write_file(a / "lora" / "x.safetensors", W)
    (a / "unet" / "notes.md").write_text("x")
    (a / "unet" / "extra").mkdir()
    left = ["lora/", "v1-5-pruned.safetensors", "unet/extra/", "unet/notes.md"]
    assert plan([str(a), str(a)], output=tmp_path / "soup").data["left_out"] == left


def test_vocabularies_of_parts_are_compared(tmp_path: Path) -> None:
    a, b = pipeline(tmp_path / "a", 1), pipeline(tmp_path / "b", 3)
    (b / "tokenizer" / "vocab.json").write_text('{"b": 0}')
    with pytest.raises(SoceError) as caught:
        plan([str(a), str(b)], output=tmp_path / "soup")
    assert any(str(problem.path) == str(b / "tokenizer" / "vocab.json") for problem in caught.value.problems)


@pytest.mark.parametrize("folder", ["../x", "/etc", "a/../../x", ".hidden", "a\\b", "a//b"])
def test_paths_that_lead_outside_are_refused(tmp_path: Path, folder: str) -> None:
    a = embedder(tmp_path / "a", 1)
    modules(a, ("", "Transformer"), (folder, "Dense"))
    assert f"{a / 'modules.json'} " in refused(a, tmp_path)


def test_links_out_are_refused(tmp_path: Path) -> None:
    a = embedder(tmp_path / "a", 1)
    shutil.move(a / "1_Pooling", tmp_path / "elsewhere")
    (a / "1_Pooling").symlink_to(tmp_path / "elsewhere")
    assert "outside the checkpoint" in refused(a, tmp_path)
    options = MergeOptions(follow_links=True)
    merge([str(a), str(a)], output=tmp_path / "soup", options=options)
    assert (tmp_path / "soup" / "1_Pooling" / "config.json").is_file()


def test_part_that_is_not_there_is_refused(tmp_path: Path) -> None:
    a = embedder(tmp_path / "a", 1)
    shutil.rmtree(a / "1_Pooling")
    assert "`1_Pooling`" in refused(a, tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.onnx", "flax_model.msgpack"])
def test_tensors_of_a_part_in_another_format_are_refused(tmp_path: Path, name: str) -> None:
    a = embedder(tmp_path / "a", 1)
    (a / "2_Dense" / "model.safetensors").rename(a / "2_Dense" / name)
    assert f"{a / '2_Dense'} no safetensors checkpoint (found `{name}`)" in refused(a, tmp_path)


def test_half_a_download_of_a_part_is_refused(tmp_path: Path) -> None:
    a = pipeline(tmp_path / "a", 1)
    (a / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    assert f"{a / 'vae'} " in refused(a, tmp_path)


def test_ingredients_of_different_parts_are_refused(tmp_path: Path) -> None:
    a, b = embedder(tmp_path / "a", 1), embedder(tmp_path / "b", 2)
    modules(b, ("", "Transformer"), ("1_Pooling", "Pooling"))
    with pytest.raises(SoceError, match=r"`2_Dense`.*\nhint: .*`modules\.json`"):
        plan([str(a), str(b)], output=tmp_path / "soup")
    modules(b, ("", "Transformer"), ("1_Pooling", "WeightedPooling"), ("2_Dense", "Dense"))
    with pytest.raises(SoceError, match="WeightedPooling"):
        plan([str(a), str(b)], output=tmp_path / "soup")


@pytest.mark.parametrize(("pattern", "folder"), [("2_Dense/*", "2_Dense"), ("weight", "")])
def test_patterns_that_empty_a_part_are_refused(tmp_path: Path, pattern: str, folder: str) -> None:
    a = embedder(tmp_path / "a", 1)
    with pytest.raises(SoceError) as caught:
        plan([str(a), str(a)], output=tmp_path / "soup", options=MergeOptions(leave_out=[pattern]))
    (problem,) = caught.value.problems
    assert Path(problem.path or "") == a / folder
    assert f"`{pattern}`" in problem.message
    assert "`modules.json`" in (problem.hint or "")


@pytest.mark.parametrize("in_first", [True, False])
def test_tied_copy_in_a_part_of_one_ingredient_stays_out(tmp_path: Path, *, in_first: bool) -> None:
    embedding, other = {"shared.weight": ("F32", [1, 1], f32(1))}, {"shared.weight": ("F32", [1, 1], f32(3))}
    copy = {"encoder.embed_tokens.weight": ("F32", [1, 1], f32(1))}
    paths = [pipeline(tmp_path / name, 1) for name in "ab"]
    for path, tensors in zip(paths, ({**embedding, **copy}, other), strict=True):
        index = json.loads((path / "model_index.json").read_text())
        write_json(path / "model_index.json", {**index, "text_encoder": ["transformers", "T5EncoderModel"]})
        write_json(path / "text_encoder" / "config.json", {"model_type": "t5"})
        write_file(path / "text_encoder" / "model.safetensors", tensors)
    pair = paths if in_first else paths[::-1]
    merge([str(path) for path in pair], output=tmp_path / "soup")
    assert read_file(tmp_path / "soup" / "text_encoder" / "model.safetensors") == {
        "shared.weight": ("F32", [1, 1], f32(2))
    }
    assert verify(tmp_path / "soup", recompute=pair).ok
    write_json(paths[1] / "text_encoder" / "config.json", {"model_type": "t5", "tie_word_embeddings": False})
    with pytest.raises(SoceError, match="`tie_word_embeddings`"):
        plan([str(path) for path in pair], output=tmp_path / "untied")


def test_class_of_a_module_may_have_moved(tmp_path: Path) -> None:
    a, b = embedder(tmp_path / "a", 1), embedder(tmp_path / "b", 2)
    text = (b / "modules.json").read_text()
    (b / "modules.json").write_text(text.replace("x.models.", "x.base.modules."))
    plan([str(a), str(b)], output=tmp_path / "soup")


def test_soup_of_parts_is_replaced_and_a_stranger_in_it_stays(tmp_path: Path) -> None:
    a, soup = pipeline(tmp_path / "a", 1), tmp_path / "soup"
    merge([str(a), str(a)], output=soup)
    merge([str(a), str(a)], output=soup, options=MergeOptions(overwrite=True, dtype="BF16"))
    assert verify(soup).ok
    (soup / "unet" / "mine.txt").write_text("x")
    with pytest.raises(SoceError, match=r"unet/mine\.txt"):
        plan([str(a), str(a)], output=soup, options=MergeOptions(overwrite=True))


def test_damage_in_a_part_is_found(tmp_path: Path) -> None:
    a, soup = embedder(tmp_path / "a", 1), tmp_path / "soup"
    merge([str(a), str(a)], output=soup)
    shard = soup / "2_Dense" / "model.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1] + b"\xff")
    assert [finding.tensor for finding in verify(soup).findings] == ["2_Dense/weight"]
    write_file(soup / "2_Dense" / "more.safetensors", W)
    assert any("more.safetensors" in str(finding.path) for finding in verify(soup).findings)


def test_doctor_measures_every_part(tmp_path: Path) -> None:
    a, b = embedder(tmp_path / "a", 1), embedder(tmp_path / "b", 2)
    found = diagnose([str(a), str(b)])
    assert [checkpoint.n_tensors for checkpoint in found.checkpoints] == [2, 2]


def test_interrupted_merge_goes_on_with_what_is_finished_in_a_folder(tmp_path: Path) -> None:
    a, soup = tmp_path / "a", tmp_path / "soup"
    modules(a, ("1_Dense", "Dense"), ("", "Dense"))
    write_file(a / "1_Dense" / "model.safetensors", W)
    write_file(a / "model.safetensors", {"w": ("F32", [1], f32(float("nan")))})
    with pytest.raises(SoceError, match="not finite"):
        merge([str(a), str(a)], output=soup, options=MergeOptions(num_threads=1))
    state = tmp_path / "soup.soce-partial"
    inode = (state / "payload" / "1_Dense" / "model.safetensors").stat().st_ino
    report = merge([str(a), str(a)], output=soup, options=MergeOptions(num_threads=1, nonfinite="warn"))
    assert report.reused_shards == 1
    assert (soup / "1_Dense" / "model.safetensors").stat().st_ino == inode
    assert not state.exists()
    assert verify(soup).ok


def test_every_one_of_several_control_nets_is_averaged(tmp_path: Path) -> None:
    for name, number in (("a", 1.0), ("b", 3.0)):
        a = tmp_path / name
        write_json(a / "model_index.json", {"controlnet": ["diffusers", "MultiControlNetModel"]})
        for folder in ("controlnet", "controlnet_1", "controlnet_2"):
            write_file(a / folder / "m.safetensors", {"w": ("F32", [1], f32(number))})
    merge([str(tmp_path / "a"), str(tmp_path / "b")], output=tmp_path / "soup")
    assert value(tmp_path / "soup" / "controlnet_2" / "m.safetensors", "w") == f32(2)


@pytest.mark.parametrize(
    ("named_in", "text", "code"),
    [
        ("modules.json", [{"path": "", "type": "custom_st.Transformer"}], "custom_st.py"),
        ("model_index.json", {"vae": ["my_vae", "VAE"]}, "vae/my_vae.py"),
        ("model_index.json", {"_class_name": ["mine", "P"], "vae": ["diffusers", "VAE"]}, "mine.py"),
        ("preprocessor_config.json", {"auto_map": {"AutoImageProcessor": "processing.P"}}, "processing.py"),
    ],
)
def test_code_that_loads_a_part_is_asked_about(
    tmp_path: Path, named_in: str, text: object, code: str
) -> None:
    a = tmp_path / "a"
    for folder in (a, a / "vae"):
        write_file(folder / "model.safetensors", W)
    write_json(a / named_in, text)
    (a / code).write_text("")
    assert named_in in refused(a, tmp_path)
    for copy in (True, False):
        soup = tmp_path / f"soup{copy}"
        merge([str(a), str(a)], output=soup, options=MergeOptions(copy_code=copy))
        assert (soup / code).exists() == copy


def test_programs_that_no_part_is_loaded_by_are_not_asked_about(tmp_path: Path) -> None:
    a = embedder(tmp_path / "a", 1)
    (a / "train.py").write_text("")
    assert merge([str(a), str(a)], output=tmp_path / "soup").left_out == ("train.py",)


def test_settings_of_parts_that_differ_are_told(tmp_path: Path) -> None:
    a, b = pipeline(tmp_path / "a", 1), pipeline(tmp_path / "b", 3)
    for path, prediction in ((a, "epsilon"), (b, "v_prediction")):
        settings = {"prediction_type": prediction, "_diffusers_version": prediction}
        write_json(path / "scheduler" / "scheduler_config.json", settings)
    warnings = plan([str(a), str(b)], output=tmp_path / "soup").data["warnings"]
    told = [warning for warning in warnings if "scheduler_config.json" in warning]
    assert len(told) == 1
    assert 'prediction_type ("epsilon" and "v_prediction")' in told[0]
    assert "_diffusers_version" not in told[0]


def test_model_of_one_part_among_embedders_is_refused_by_its_kind(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    modules(a, ("", "Transformer"))
    for path in (a, b):
        write_file(path / "model.safetensors", W)
    for pair in ((a, b), (b, a)):
        with pytest.raises(SoceError, match="plain model"):
            plan([str(path) for path in pair], output=tmp_path / "soup")
