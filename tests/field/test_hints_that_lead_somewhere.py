"""Inputs that are no safetensors checkpoints, or not the same model's: the refusal names a mend, and it works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.checkpoints import checkpoint, directory, f32, read_directory, sparse, write_file

from soce.exceptions import SoceError
from soce.merging.merge import merge
from soce.merging.plan import plan
from soce.recipes.files import read_recipes


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def hint_of(*paths: str) -> str:
    """Return the one hint of a refusal."""
    with pytest.raises(SoceError) as caught:
        plan(dict.fromkeys(paths, 1), output="soup")
    (hint,) = {problem.hint for problem in caught.value.problems}
    return hint or ""


def follow(hint: str) -> None:
    """Run the command of a hint."""
    command = re.search(r'python3 -c "([^"]*)"', hint)
    assert command is not None, hint
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, "-c", command[1]], check=True, env=environment, capture_output=True)


def names(*parts: str) -> dict[str, tuple[str, list[int], bytes]]:
    return {part: ("F32", [2], f32(1.0, 2.0)) for part in parts}


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "base_model.model."])
def test_names_of_a_wrapped_model(wrapper: str) -> None:
    checkpoint(Path("A"), names("embed.weight", "norm.weight"))
    checkpoint(Path("B"), names(f"{wrapper}embed.weight"), names(f"{wrapper}norm.weight"))
    follow(hint_of("A", "B"))
    Path("B/model.safetensors.index.json").unlink()
    merge({"A": 1, "B": 1}, output="soup")
    assert read_directory(Path("soup")) == read_directory(Path("A"))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("bert.LayerNorm.gamma", "x"), ("bert.LayerNorm.weight", "x")),
        (("conv.weight_g", "conv.weight_v"), ("conv.parametrizations.weight.original0", "conv.parametrizations.weight.original1")),
        (("visual.x", "model.norm.weight"), ("model.visual.x", "model.language_model.norm.weight")),
        (("language_model.model.x", "language_model.lm_head"), ("model.language_model.x", "lm_head")),
    ],
)  # fmt: skip
def test_one_architecture_saved_by_two_versions(first: tuple[str, ...], second: tuple[str, ...]) -> None:
    checkpoint(Path("A"), names(*first))
    checkpoint(Path("B"), names(*second))
    assert "save_original_format=False" in hint_of("A", "B")


def test_two_architectures_are_not_taken_for_two_versions() -> None:
    checkpoint(Path("A"), names("a", "b", "x"))
    checkpoint(Path("B"), names("c", "x"))
    assert "save_original_format" not in hint_of("A", "B")


def test_a_model_in_the_only_subfolder() -> None:
    directory(Path("run/checkpoint-500"), 1.0)
    Path("run/trainer_state.json").write_text("{}")
    directory(Path("A"), 1.0)
    assert hint_of("A", "run") == "give `run/checkpoint-500`"


def test_gguf_leads_nowhere() -> None:
    directory(Path("A"), 1.0)
    Path("G").mkdir()
    Path("G/model-Q4_K_M.gguf").write_bytes(b"GGUF")
    for path in ("G", "G/model-Q4_K_M.gguf"):
        assert "take the original" in hint_of("A", path)


def test_a_name_that_a_shell_reads_is_not_in_a_command() -> None:
    directory(Path("A"), 1.0)
    for name in ("$(touch x)", "a'; import os #", 'a"b', "`x`"):
        Path(name).mkdir()
        Path(name, "pytorch_model.bin").write_bytes(b"")
        hint = hint_of("A", name)
        assert name not in hint
        assert "'DIR'" in hint


def test_shards_numbered_without_zeros() -> None:
    for model in "AB":
        for i in range(12):
            write_file(Path(model, f"model-{i + 1}-of-12.safetensors"), names(f"w{i}"))
    merge({"A": 1, "B": 1}, output="soup")
    assert len(read_directory(Path("soup"))) == 12
    Path("B/model-7-of-12.safetensors").unlink()
    with pytest.raises(SoceError, match=r"1 of 12 shards are missing: `model-7-of-12\.safetensors`"):
        plan({"A": 1, "B": 1}, output="other")


def test_what_a_snapshot_lacks() -> None:
    snapshot = Path("hub/models--org--a/snapshots") / ("a" * 40)
    checkpoint(snapshot, names("a"), names("b"))
    (snapshot / "model-00002-of-00002.safetensors").unlink()
    directory(Path("A"), 1.0)
    assert f"`hf download org/a --revision {'a' * 40}`" in hint_of("A", "hub/models--org--a")


@pytest.mark.parametrize(
    ("content", "told", "hint"),
    [
        (b"ingredients:\n\ta: A\n", "not valid YAML", "spaces"),
        (b'ingredients: ["C:\\models\\A"]', "unknown escape", "single quotes"),
        ("ingredients: [A]".encode("utf-16"), "UTF-16", "save it as UTF-8"),
        ("ingredients: [Ä]".encode("cp1252"), "not UTF-8: byte 14", "save it as UTF-8"),
    ],
)
def test_texts_that_are_no_yaml(content: bytes, told: str, hint: str) -> None:
    Path("r.yaml").write_bytes(content)
    with pytest.raises(SoceError) as caught:
        read_recipes("r.yaml")
    (problem,) = caught.value.problems
    assert told in problem.message
    assert hint in (problem.hint or "")


@pytest.mark.parametrize("name", ["r.yaml", "r.json"])
def test_a_byte_order_mark_in_a_recipe_is_passed_over(name: str) -> None:
    Path(name).write_bytes(b'\xef\xbb\xbf{"ingredients": ["A", "B"]}')
    assert read_recipes(name).recipe.parts == (1, 1)


def test_a_byte_order_mark_is_named() -> None:
    for model in "AB":
        directory(Path(model), 1.0)
    Path("A/config.json").write_bytes(b"\xef\xbb\xbf{}")
    with pytest.raises(SoceError, match="a byte order mark"):
        plan({"A": 1, "B": 1}, output="soup")


def test_an_adapter_in_any_format() -> None:
    sparse(Path("A"), "F32", 8)
    for file in ("adapter_model.safetensors", "adapter_model.bin"):
        write_file(Path(file, file), names("lora_A"))
        for path in (file, f"{file}/{file}"):
            hint = hint_of("A", path)
            assert f"`BASE+{file}`" in hint
            assert f"from_pretrained('{file}', dtype='auto').merge_and_unload()" in hint


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of peft and transformers
def test_adapters_and_pickles_become_checkpoints() -> None:
    """The commands themselves, with torch, transformers and peft."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    peft = pytest.importorskip("peft")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        tie_word_embeddings=False,
    )  # fmt: skip
    model = transformers.LlamaForCausalLM(config)
    model.save_pretrained("A")
    expected = read_directory(Path("A"))
    for folder, file, content in (
        ("bin", "pytorch_model.bin", model.state_dict()),
        ("ckpt", "last.ckpt", {"state_dict": model.state_dict(), "epoch": 3}),
    ):
        Path(folder).mkdir()
        torch.save(content, Path(folder, file))
        if folder == "bin":
            Path("bin/config.json").write_bytes(Path("A/config.json").read_bytes())
        follow(hint_of("A", folder))
        assert read_directory(Path(folder)) == expected
    Path("file.pth").write_bytes(Path("bin/pytorch_model.bin").read_bytes())
    follow(hint_of("A/model.safetensors", "file.pth"))
    assert Path("file.safetensors").exists()
    lora = peft.LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    peft.get_peft_model(transformers.LlamaForCausalLM.from_pretrained("A"), lora).save_pretrained("adapter")
    follow(hint_of("A", "adapter"))
    merge({"A": 1, "adapter-merged": 1}, output="soup")


@pytest.mark.slow
def test_two_versions_of_one_architecture_become_one() -> None:
    transformers = pytest.importorskip("transformers")
    safetensors = pytest.importorskip("safetensors.torch")
    config = transformers.BertConfig(
        vocab_size=32, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    transformers.BertForMaskedLM(config).save_pretrained("new")
    tensors = safetensors.load_file("new/model.safetensors")
    older = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in tensors.items()
    }
    Path("old").mkdir()
    Path("old/config.json").write_bytes(Path("new/config.json").read_bytes())
    safetensors.save_file(older, "old/model.safetensors", {"format": "pt"})
    hint = hint_of("new", "old")
    follow(hint)
    follow(hint.replace("'old'", "'new'"))
    merge({"new-saved": 1, "old-saved": 1}, output="soup")


@pytest.mark.slow
def test_a_pickle_of_a_pipelines_component() -> None:
    torch = pytest.importorskip("torch")

    for component in ("A/vae", "A/unet"):
        Path(component).mkdir(parents=True)
        (Path(component) / "config.json").write_text('{"_class_name": "AutoencoderKL"}')
        write_file(Path(component) / "diffusion_pytorch_model.safetensors", names("w"))
    Path("A/model_index.json").write_text(
        '{"unet": ["diffusers", "U"], "vae": ["diffusers", "AutoencoderKL"]}'
    )
    Path("A/vae/diffusion_pytorch_model.safetensors").unlink()
    torch.save({"w": torch.tensor([1.0, 2.0])}, "A/vae/diffusion_pytorch_model.bin")
    follow(hint_of("A"))
    merge({"A": 1}, output="soup")
    assert read_directory(Path("soup/vae")) == read_directory(Path("soup/unet"))
