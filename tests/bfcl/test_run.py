"""`soce run` with BFCL on a small language model that vLLM serves, from table to report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tests.bfcl.stand_ins import BFCL_PYTHON, needs_bfcl

BASE = Path(os.environ.get("SOCE_SMOLLM") or Path.home() / ".cache/soce/smollm/base")
VLLM_PYTHON = os.environ.get("SOCE_VLLM_PYTHON") or str(Path.home() / ".cache/soce/vllm/bin/python")
CATEGORIES = ("simple_python", "irrelevance")
NAMES = ("one", "two", "three")


def save_candidate(folder: Path, seed: int) -> None:
    """Save the base with a little noise on its last matrices."""
    import shutil

    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(BASE, folder)
    tensors = load_file(folder / "model.safetensors")
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in tensors.items():
        if ".layers.2" in name and tensor.dim() == 2:
            noise = torch.randn(tensor.shape, generator=generator)
            tensors[name] = (tensor.float() * (1 + 0.05 * noise)).to(tensor.dtype)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.bfcl
@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.timeout(3600)
@needs_bfcl
@pytest.mark.skipif(not Path(VLLM_PYTHON).is_file(), reason=f"there is no vLLM: `{VLLM_PYTHON}`")
@pytest.mark.skipif(
    not BASE.is_dir(), reason=f"there is no small model: `examples/smollm/base.py` makes `{BASE}`"
)
def test_from_table_to_report(tmp_path: Path) -> None:
    for seed, name in enumerate(NAMES):
        save_candidate(tmp_path / name, seed)
    (tmp_path / "scores.csv").write_text(
        "model,simple_python,irrelevance\none,60,50\ntwo,40,60\nthree,55,65\n"
    )
    ids = {name: [f"{name}_{number}" for number in range(4)] for name in CATEGORIES}
    (tmp_path / "items.json").write_text(json.dumps(ids))
    experiment = {
        "scores": {"tables": "scores.csv"},
        "models": {name: name for name in NAMES},
        "select": {"threshold": 0.9, "step": 0.5},
        "evaluate": {
            "bfcl": ",".join(CATEGORIES),
            "bfcl-items": "items.json",
            "bfcl-python": BFCL_PYTHON,
            "engine": "vllm",
            "engine-python": VLLM_PYTHON,
            "engine-arguments": ["--dtype", "float32", "--max-model-len", "2048", "--enforce-eager"],
            "max-new-tokens": 12,
        },
        "report_on": {"share": "1/2"},
        "output": "run",
    }
    (tmp_path / "soce.yaml").write_text(yaml.safe_dump(experiment))

    def soce(*words: str) -> str:
        command = [str(Path(sys.executable).with_name("soce")), *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    assert json.loads(soce("run", "--json"))
    soce("report", "run", "--no-evaluate")
    page = (tmp_path / "run" / "report.html").read_text()
    assert all(name in page for name in CATEGORIES)
    assert (tmp_path / "run" / "soup" / "model.safetensors").is_file()
    assert BFCL_PYTHON not in page
