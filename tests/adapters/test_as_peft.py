"""PEFT's own weighted sums of adapters as judge: `cat` and `svd` add what soups of adapters add."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from tests import lora

from soce.adapters.soup import merge_adapters

SETTINGS = ({"r": 4, "lora_alpha": 6}, {"r": 4, "lora_alpha": 3}, {"r": 2, "lora_alpha": 7})
WEIGHTS = ("0.5", "0.3", "0.2")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return lora.base_model(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def adapters(base: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    home = tmp_path_factory.mktemp("adapters")
    return [lora.save_adapter(base, home / str(i), i, **one) for i, one in enumerate(SETTINGS)]


def summed(base: str, adapters: list[str], **settings: object) -> dict[str, torch.Tensor]:
    """Return what PEFT's sum of adapters adds to each module, in doubles."""
    from peft import PeftModel
    from peft.tuners.lora import LoraLayer

    names = [Path(path).name for path in adapters]
    with warnings.catch_warnings():
        lora.quietly()
        model = PeftModel.from_pretrained(lora.load(base), adapters[0], names[0])
        for path, name in zip(adapters[1:], names[1:], strict=True):
            model.load_adapter(path, name)
        model.to(torch.float64)
        model.add_weighted_adapter(names, [float(one) for one in WEIGHTS], "sum", **settings)
    return {
        name: module.get_delta_weight("sum").detach().double()
        for name, module in model.base_model.model.named_modules()
        if isinstance(module, LoraLayer)
    }


def test_factors_side_by_side_are_cat(base: str, adapters: list[str], tmp_path: Path) -> None:
    soup = str(tmp_path / "soup")
    merge_adapters(dict(zip(adapters, WEIGHTS, strict=True)), output=soup)
    made, expected = lora.deltas(base, soup), summed(base, adapters, combination_type="cat")
    assert made.keys() == expected.keys()
    for module, delta in made.items():
        assert torch.allclose(delta, expected[module], rtol=0, atol=4 * 2.0**-24 * float(delta.abs().max()))


@pytest.mark.parametrize("rank", [1, 3])
def test_a_lower_rank_is_svd(base: str, adapters: list[str], tmp_path: Path, rank: int) -> None:
    soup = str(tmp_path / "soup")
    merge_adapters(dict(zip(adapters, WEIGHTS, strict=True)), output=soup, rank=rank)
    made = lora.deltas(base, soup)
    expected = summed(base, adapters, combination_type="svd", svd_rank=rank)
    whole = summed(base, adapters, combination_type="cat")
    for module, delta in made.items():
        off = float((delta - expected[module]).abs().max() / delta.abs().max())
        assert off < 2.0**-22
        assert float((whole[module] - delta).norm() / delta.norm()) > 0.1, "a rank that loses nothing"
