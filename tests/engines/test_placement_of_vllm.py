"""What loaders copy where is recorded without memory; loaders that do more are found out."""

from __future__ import annotations

import pytest
import torch

from soce.evaluate.engines.vllm.placement import Copied, Slot, View, _RearrangedError, _Recorder


def slot(*shape: int) -> Slot:
    layer = torch.nn.Module()
    parameter = torch.nn.Parameter(torch.empty(shape, device="meta"), requires_grad=False)
    layer.register_parameter("weight", parameter)
    return Slot(layer, "weight", parameter, None)


def outline(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device="meta")


def test_a_share_of_columns_in_a_fused_and_padded_parameter_is_found() -> None:
    fused, tensors = slot(10, 4), {"q": outline(6, 8), "k": outline(3, 8)}
    with _Recorder([fused], tensors):
        fused.loaded.data.narrow(0, 0, 6).copy_(tensors["q"].narrow(1, 4, 4))
        fused.loaded[6:9].data.copy_(tensors["k"][:, 4:])
        fused.loaded[9:].data.fill_(0)
    assert fused.copies == [
        Copied("q", View((6, 4), (8, 1), 4), View((6, 4), (4, 1), 0)),
        Copied("k", View((3, 4), (8, 1), 4), View((3, 4), (4, 1), 24)),
    ]
    assert fused.fills == [(0, View((1, 4), (4, 1), 36))]
    assert fused.is_whole
    assert [one.source.is_run for one in fused.copies] == [False, False]
    assert all(one.target.is_run for one in fused.copies)


def test_a_view_takes_the_same_elements_from_memory() -> None:
    whole = torch.arange(24).reshape(4, 6)
    for part in (whole[1:3], whole[:, 2:4], whole.t()[1:3], whole[2]):
        assert torch.equal(View.within(part, whole).of(whole.reshape(-1)), part)
        assert View.within(part, whole).is_run == part.is_contiguous()


def test_a_parameter_with_a_hole_is_not_whole() -> None:
    holed, tensors = slot(4, 2), {"a": outline(3, 2)}
    with _Recorder([holed], tensors):
        holed.loaded.data[:3].copy_(tensors["a"])
    assert not holed.is_whole


@pytest.mark.parametrize(
    "load",
    [
        lambda parameter, tensor: parameter.data.copy_(tensor + 1),
        lambda parameter, tensor: parameter.data.copy_(tensor).add_(1),
        lambda parameter, tensor: parameter.data.copy_(tensor[:1]),
        lambda parameter, tensor: parameter.data.copy_(torch.cat([tensor[1:], tensor[:1]])),
    ],
    ids=["computed", "changed", "repeated", "joined"],
)
def test_a_loader_that_does_more_than_copy_is_found_out(load: object) -> None:
    target, tensors = slot(4, 2), {"a": outline(4, 2)}
    with (
        pytest.raises(_RearrangedError, match="`weight` of Module is loaded by aten"),
        _Recorder([target], tensors),
    ):
        load(target.loaded, tensors["a"])  # type: ignore[operator]


def test_a_parameter_that_is_replaced_is_found_out() -> None:
    target = slot(4, 2)
    target.check_kept()
    target.layer.weight = torch.nn.Parameter(outline(4, 2))  # type: ignore[union-attr]
    with pytest.raises(_RearrangedError, match="is replaced while it is loaded"):
        target.check_kept()
