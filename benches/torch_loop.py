"""The loop a careful user writes by hand: torch and safetensors, shard by shard, sums in float32.

    python benches/torch_loop.py OUT A B C --parts 5 2 3 [--threads N] [--mapped-output]

Tuned so that it would win if it could: inputs are mapped and never copied whole, a tensor is averaged in
blocks that stay in the cache, the float32 accumulator and its pages are reused, torch uses every core. With
`--mapped-output` the output shard is a mapped file that the blocks are rounded into, so that no shard is
ever held in memory and `save_file`'s copy is saved; without, the shard is built in memory and written by
`safetensors.torch.save_file`.
"""

import argparse
import json
import math
import shutil
import struct
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

BLOCK = 1 << 19  # elements: 2 MiB of float32, which fits the second-level cache of two cores


def average_into(
    out: torch.Tensor, inputs: list[torch.Tensor], weights: list[float], scratch: torch.Tensor
) -> None:
    flat = [t.reshape(-1) for t in inputs]
    target = out.view(-1)
    for start in range(0, target.numel(), BLOCK):
        n = min(BLOCK, target.numel() - start)
        sums = scratch[:n]
        sums.copy_(flat[0][start : start + n])
        sums.mul_(weights[0])
        for t, weight in zip(flat[1:], weights[1:], strict=True):
            sums.add_(t[start : start + n], alpha=weight)
        target[start : start + n].copy_(sums)


def mapped_shard(path: Path, like: Path) -> dict[str, torch.Tensor]:
    """Create a shard with the header of another one and return its tensors as views of the mapped file."""
    with like.open("rb") as file:
        prefix = file.read(8)
        (n,) = struct.unpack("<Q", prefix)
        header_bytes = file.read(n)
    header = json.loads(header_bytes)
    header.pop("__metadata__", None)
    size = like.stat().st_size
    with path.open("wb") as file:
        file.write(prefix + header_bytes)
        file.truncate(size)
    raw = torch.from_file(str(path), shared=True, size=size, dtype=torch.uint8)
    views = {}
    for name, info in header.items():
        start, end = (8 + n + offset for offset in info["data_offsets"])
        assert info["dtype"] == "BF16"
        views[name] = raw[start:end].view(torch.bfloat16).view(info["shape"])
    return views


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("ingredients", type=Path, nargs="+")
    parser.add_argument("--parts", type=int, nargs="+", required=True)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--mapped-output", action="store_true")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    whole = math.fsum(arguments.parts)
    weights = [part / whole for part in arguments.parts]

    donor = arguments.ingredients[0]
    arguments.out.mkdir()
    scratch = torch.empty(BLOCK, dtype=torch.float32)
    with torch.inference_mode():
        for shard in sorted(donor.glob("*.safetensors")):
            opened = [safe_open(folder / shard.name, framework="pt") for folder in arguments.ingredients]
            target = arguments.out / shard.name
            names = list(opened[0].keys())
            outputs = mapped_shard(target, shard) if arguments.mapped_output else {}
            for name in names:
                inputs = [file.get_tensor(name) for file in opened]
                if name not in outputs:
                    outputs[name] = torch.empty_like(inputs[0])
                average_into(outputs[name], inputs, weights, scratch)
            if not arguments.mapped_output:
                save_file(outputs, target, metadata={"format": "pt"})
    for path in donor.glob("*.json"):
        shutil.copy(path, arguments.out)


if __name__ == "__main__":
    main()
