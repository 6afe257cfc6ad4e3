"""Ranks that share memory mix each tensor once between them, and all fail where one does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

RANK = """
import sys
import torch
from soce import Recipe
from soce.evaluate.engines.vllm.sharing import Sharing
from soce.evaluate.live.mixing import SoupMixer
from soce.exceptions import SoceError
from soce.merging.options import MergeOptions

rank, place, *paths = sys.argv[1:]
torch.distributed.init_process_group("gloo", init_method=f"file://{place}", rank=int(rank), world_size=2)
group = torch.distributed.group.WORLD
mixer = SoupMixer(paths, MergeOptions())
names = list(mixer.tensors)
assert not Sharing(group, int(rank), 2).reserve([*names, rank], 64)  # they need different tensors
sharing = Sharing(group, int(rank), 2)
assert sharing.reserve(names, max(map(mixer.size, names)))
mixed = []


def take(rows, fails_at=None):
    mixed.clear()
    for name in names:
        if name == fails_at:
            raise ValueError(name)
        whole = sharing.mix(mixer, name, rows[name], torch.bfloat16)
        mixed.append(whole.view(torch.int16).tolist())


def outcome(recipe, fails_at=None):
    try:
        sharing.guarded(lambda: take(mixer.rows(Recipe.of(recipe)), fails_at))
    except (SoceError, ValueError) as error:
        return type(error).__name__, str(error).split(": ")[-1]
    return mixed.copy()


first, second, broken = paths
alone = []
for name, row in mixer.rows(Recipe.of({first: "1/3", second: "2/3"})).items():
    tensor = torch.empty(mixer.tensors[name][1], dtype=torch.bfloat16)
    mixer.mix(name, row, tensor)
    alone.append(tensor.reshape(-1).view(torch.int16).tolist())
recipe = {first: "1/3", second: "2/3"}
assert outcome(recipe) == alone
expected = ("ValueError", names[2]) if rank == "1" else ("EvaluationError", "another rank failed")
assert outcome(recipe, names[2] if rank == "1" else None) == expected
assert outcome(recipe) == alone
# A value in the second half of a tensor: only the second rank sees it.
kind, text = outcome({broken: "1/2", first: "1/2"})
assert (kind == "CheckpointError") == (rank == "1"), (kind, text)
assert outcome(recipe) == alone
print("done")
"""


@pytest.mark.slow
def test_ranks_share_what_they_mix_and_fail_together(tmp_path: Path) -> None:
    paths = []
    for i in range(3):
        torch.manual_seed(i)
        tensors = {f"t{k}": torch.randn(64, 150 + k, dtype=torch.bfloat16) for k in range(4)}
        if i == 2:
            tensors["t3"][-1, -1] = float("nan")
        path = tmp_path / f"m{i}"
        path.mkdir()
        save_file(tensors, path / "model.safetensors")
        (path / "config.json").write_text("{}")
        paths.append(str(path))
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(rank), str(tmp_path / "place"), *paths],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    for rank in ranks:
        said, _ = rank.communicate(timeout=200)
        assert rank.returncode == 0, said
        assert said.splitlines()[-1] == "done"
