"""Average two tiny checkpoints with the installed `soce-merge` and compare every bit.

Run by `make wheel-test` in an environment that holds nothing but soce and what it depends on.
"""

import json
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np


def write_checkpoint(folder: Path, values: np.ndarray) -> None:
    folder.mkdir()
    data = values.astype("<f4").tobytes()
    header = {"w": {"dtype": "F32", "shape": list(values.shape), "data_offsets": [0, len(data)]}}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    (folder / "config.json").write_text('{"model_type": "smoke"}')


def read_tensor(folder: Path) -> np.ndarray:
    raw = (folder / "model.safetensors").read_bytes()
    (n,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8 : 8 + n])
    start, end = header["w"]["data_offsets"]
    return np.frombuffer(raw[8 + n + start : 8 + n + end], "<f4")


def main() -> None:
    program = Path(sys.executable).with_name("soce-merge")
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        a = np.arange(1000, dtype=np.float32)
        b = a[::-1].copy()
        write_checkpoint(root / "a", a)
        write_checkpoint(root / "b", b)
        recipe = root / "recipe.yaml"
        recipe.write_text(
            "merge_method: linear\n"
            "models:\n"
            f"  - model: {json.dumps(str(root / 'a'))}\n"
            "    parameters: {weight: 0.25}\n"
            f"  - model: {json.dumps(str(root / 'b'))}\n"
            "    parameters: {weight: 0.75}\n"
        )
        subprocess.run([program, recipe, "--output", root / "out"], check=True)
        got = read_tensor(root / "out")
    expected = (a + 3 * b) / 4  # exact: small integers over a power of two
    if not np.array_equal(got, expected):
        sys.exit(f"the installed wheel averages wrongly: expected {expected[:4]}, got {got[:4]}")
    print("the installed wheel averages two checkpoints, bit for bit")


if __name__ == "__main__":
    main()
