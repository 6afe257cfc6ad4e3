"""Write Llama-shaped BF16 checkpoints to average: one base model and fine-tunes of it.

    python benches/make_checkpoints.py DIR [--size 1.2b] [--ingredients 3] [--shards 3] [--independent]

An ingredient is base + delta with base ~ N(0, 0.02) and delta ~ N(0, 0.0005), which is how fine-tunes of
one model lie to each other: most elements differ in their last bits only. `--independent` draws each
ingredient from N(0, 0.02) alone. Everything is written in blocks, so memory does not depend on the size.
Same arguments, same bytes.
"""

import argparse
import json
import os
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

BLOCK = 1 << 20  # elements drawn at once
BASE_STD, DELTA_STD = 0.02, 0.0005


@dataclass(frozen=True, slots=True)
class Size:
    """The numbers of a Llama configuration that decide its shapes."""

    hidden: int
    layers: int
    intermediate: int
    heads: int
    kv_heads: int
    vocabulary: int


SIZES = {
    "tiny": Size(hidden=64, layers=2, intermediate=128, heads=4, kv_heads=2, vocabulary=512),
    "0.25b": Size(hidden=1024, layers=8, intermediate=4096, heads=16, kv_heads=4, vocabulary=128_256),
    "1.2b": Size(hidden=2048, layers=16, intermediate=8192, heads=32, kv_heads=8, vocabulary=128_256),
    "4b": Size(hidden=3072, layers=36, intermediate=8192, heads=24, kv_heads=8, vocabulary=128_256),
}


def tensors(size: Size) -> list[tuple[str, tuple[int, ...]]]:
    """Return names and shapes in the order of the model; the output head is tied to the embedding."""
    kv = size.hidden // size.heads * size.kv_heads
    found: list[tuple[str, tuple[int, ...]]] = [("model.embed_tokens.weight", (size.vocabulary, size.hidden))]
    for layer in range(size.layers):
        at = f"model.layers.{layer}."
        found += [
            (at + "input_layernorm.weight", (size.hidden,)),
            (at + "mlp.down_proj.weight", (size.hidden, size.intermediate)),
            (at + "mlp.gate_proj.weight", (size.intermediate, size.hidden)),
            (at + "mlp.up_proj.weight", (size.intermediate, size.hidden)),
            (at + "post_attention_layernorm.weight", (size.hidden,)),
            (at + "self_attn.k_proj.weight", (kv, size.hidden)),
            (at + "self_attn.o_proj.weight", (size.hidden, size.hidden)),
            (at + "self_attn.q_proj.weight", (size.hidden, size.hidden)),
            (at + "self_attn.v_proj.weight", (kv, size.hidden)),
        ]
    return [*found, ("model.norm.weight", (size.hidden,))]


def count(shape: tuple[int, ...]) -> int:
    product = 1
    for side in shape:
        product *= side
    return product


def split(names: list[tuple[str, tuple[int, ...]]], shards: int) -> list[list[tuple[str, tuple[int, ...]]]]:
    """Cut the list into parts of about equal bytes, in order, none empty."""
    total = sum(count(shape) for _, shape in names)
    parts: list[list[tuple[str, tuple[int, ...]]]] = [[] for _ in range(shards)]
    before = 0
    for name, shape in names:
        n = count(shape)
        parts[min(shards - 1, (before + n // 2) * shards // total)].append((name, shape))
        before += n
    return [sorted(part) for part in parts if part]


def to_bf16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def blocks(
    name: str, shape: tuple[int, ...], ingredients: int, seed: int, *, independent: bool
) -> Iterator[list[bytes]]:
    """Yield, block after block, the bytes of one tensor in every ingredient."""
    key = [seed, *name.encode()]
    base = np.random.Generator(np.random.SFC64(np.random.SeedSequence([*key, 0])))
    own = [
        np.random.Generator(np.random.SFC64(np.random.SeedSequence([*key, i + 1])))
        for i in range(ingredients)
    ]
    centre = np.float32(1.0 if len(shape) == 1 else 0.0)  # norms lie around one
    n = count(shape)
    for start in range(0, n, BLOCK):
        length = min(BLOCK, n - start)
        shared = base.standard_normal(length, np.float32) * np.float32(BASE_STD) + centre
        block = []
        for generator in own:
            drawn = generator.standard_normal(length, np.float32)
            drawn *= np.float32(BASE_STD if independent else DELTA_STD)
            drawn += centre if independent else shared
            block.append(to_bf16(drawn).astype("<u2", copy=False).tobytes())
        yield block


def write_header(files: Sequence[BinaryIO], part: list[tuple[str, tuple[int, ...]]]) -> None:
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in part:
        start, end = end, end + 2 * count(shape)
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    for file in files:
        file.write(struct.pack("<Q", len(text)) + text)


def write_shard(
    paths: list[Path], part: list[tuple[str, tuple[int, ...]]], seed: int, *, independent: bool
) -> None:
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("wb")) for path in paths]
        write_header(files, part)
        for name, shape in part:
            for block in blocks(name, shape, len(files), seed, independent=independent):
                for file, data in zip(files, block, strict=True):
                    file.write(data)


def configuration(size: Size) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "bos_token_id": 1,
        "eos_token_id": 2,
        "head_dim": size.hidden // size.heads,
        "hidden_act": "silu",
        "hidden_size": size.hidden,
        "intermediate_size": size.intermediate,
        "max_position_embeddings": 8192,
        "model_type": "llama",
        "num_attention_heads": size.heads,
        "num_hidden_layers": size.layers,
        "num_key_value_heads": size.kv_heads,
        "rms_norm_eps": 1e-05,
        "rope_theta": 500000.0,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "vocab_size": size.vocabulary,
    }


def make(
    target: Path,
    size: str,
    *,
    ingredients: int = 3,
    shards: int = 3,
    seed: int = 0,
    independent: bool = False,
) -> list[Path]:
    """Write the checkpoints unless they are there already; return their directories."""
    config = SIZES[size]
    parts = split(tensors(config), shards)
    settings = {
        "base_std": BASE_STD,
        "delta_std": DELTA_STD,
        "independent": independent,
        "ingredients": ingredients,
        "numpy": np.__version__,
        "seed": seed,
        "shards": shards,
        "size": size,
    }
    folders = [target / f"ingredient-{i}" for i in range(ingredients)]
    done = target / "made.json"
    if done.exists() and json.loads(done.read_text()) == settings:
        return folders
    done.unlink(missing_ok=True)

    names = [
        f"model-{i + 1:05}-of-{len(parts):05}.safetensors" if len(parts) > 1 else "model.safetensors"
        for i in range(len(parts))
    ]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(configuration(config), indent=2) + "\n")
        if len(parts) > 1:
            total = 2 * sum(count(shape) for part in parts for _, shape in part)
            weight_map = {name: file for file, part in zip(names, parts, strict=True) for name, _ in part}
            index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
            (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # numpy draws without holding the interpreter lock
        running = [
            pool.submit(
                write_shard, [folder / file for folder in folders], part, seed, independent=independent
            )
            for file, part in zip(names, parts, strict=True)
        ]
        for shard in running:
            shard.result()
    done.write_text(json.dumps(settings))
    return folders


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", type=Path)
    parser.add_argument("--size", choices=SIZES, default="1.2b")
    parser.add_argument("--ingredients", type=int, default=3)
    parser.add_argument("--shards", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--independent", action="store_true", help="no common base")
    arguments = parser.parse_args()
    for folder in make(
        arguments.target,
        arguments.size,
        ingredients=arguments.ingredients,
        shards=arguments.shards,
        seed=arguments.seed,
        independent=arguments.independent,
    ):
        print(folder)


if __name__ == "__main__":
    main()
