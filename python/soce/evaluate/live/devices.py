"""Models that one device does not hold, laid over several by accelerate."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from soce.evaluate.evaluation import refuse
from soce.evaluate.live.loading import in_one_line, open_device, require_torch
from soce.exceptions import shown
from soce.files.words import nearest, or_else

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType

    import torch
    from transformers import PreTrainedModel

    from soce.evaluate.live.loading import Device

DeviceMap: TypeAlias = "str | Mapping[str, Device]"
"""One of `LAYOUTS`, or where each module goes, by the names of modules."""
MaxMemory: TypeAlias = "Mapping[str | int, str | int]"
"""The most that each device may hold, ``{0: "20GiB", "cpu": "60GiB"}`` say."""

LAYOUTS: Final = ("auto", "balanced", "balanced_low_0", "sequential")
"""What accelerate calls its ways to fill devices; "auto" is "balanced"."""


def find_device_map(
    outline: PreTrainedModel, chosen: DeviceMap, max_memory: MaxMemory | None = None
) -> dict[str, Device]:
    """Return which module of a model goes where; `outline` is the model, with memory or without.

    Raises EvaluationError if accelerate is missing, a device is not here, a tensor has no place, or one would
    lie on a disk: a soup needs memory that it can be written into.
    """
    torch = _require_accelerate()
    with in_one_line("it over several devices"):
        if isinstance(chosen, str):
            if chosen not in LAYOUTS:
                hint = or_else(nearest(chosen, LAYOUTS, "layouts"), "give a device for each module")
                refuse(f"`{shown(chosen)}` is no device map", hint)
            placed = _filled(outline, chosen, max_memory)
        else:
            from accelerate.utils.modeling import check_device_map  # type: ignore[import-untyped]

            strange = sorted(set(chosen) - {name for name, _ in outline.named_modules()})
            if strange:
                refuse(f"the device map names `{shown(strange[0])}`, which is no module of the model")
            placed = dict(chosen)
            check_device_map(outline, dict(placed))
    for module, device in placed.items():
        if str(device) in {"disk", "meta"}:
            which = f"`{shown(module)}`" if module else "the model"
            if isinstance(chosen, str) and module:
                which += " and what follows it"
            message = f"{which} would lie on {'a disk' if device == 'disk' else 'no device'}"
            more = "more devices, a larger `max_memory`, or a smaller dtype"
            refuse(message, f"only memory becomes a soup in place: {more}")
    for device in set(placed.values()):
        open_device(device if isinstance(device, str) else str(torch.device(device)))
    return placed


def _filled(outline: PreTrainedModel, layout: str, max_memory: MaxMemory | None) -> dict[str, Device]:
    """Fill the devices that are here, in the way that `from_pretrained` does."""
    from accelerate import infer_auto_device_map  # type: ignore[import-untyped]
    from accelerate.utils import get_balanced_memory, get_max_memory  # type: ignore[import-untyped]

    whole = list(outline._no_split_modules or ())
    most = None if max_memory is None else dict(max_memory)
    if layout == "sequential":
        most = get_max_memory(most)
    else:
        low_zero = layout == "balanced_low_0"
        most = get_balanced_memory(outline, most, no_split_module_classes=whole, low_zero=low_zero)
    placed: dict[str, Device] = infer_auto_device_map(outline, max_memory=most, no_split_module_classes=whole)
    return placed


def computing_devices(placed: Mapping[str, Device]) -> tuple[torch.device, ...]:
    """Return the devices that modules compute on, in order; accelerate takes parts on the CPU to a device.

    They lie on the CPU then, and are copied for each batch.
    """
    import torch

    devices = {torch.device(device) for device in placed.values() if device != "cpu"}
    return tuple(sorted(devices or {torch.device("cpu")}, key=str))


def input_device(model: PreTrainedModel) -> torch.device:
    """Return where a model wants its inputs."""
    import torch

    for _, _, hook in _hooks(model):
        return torch.device(hook.execution_device)  # the first is the whole model's
    return model.device


def live_tensors(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Return parameters and buffers where they live: what accelerate copies to a device lies on the CPU."""
    live: dict[str, torch.Tensor] = model.state_dict()
    for prefix, module, hook in _hooks(model):
        if hook.offload:
            held = dict(module.named_parameters(recurse=False))
            if hook.offload_buffers:
                held |= dict(module.named_buffers(recurse=False))
            live |= {prefix + name: hook.weights_map[name] for name in held if prefix + name in live}
    return live


def forget_copies(model: PreTrainedModel) -> None:
    """Let go of copies that a batch left on a device when its memory ran out.

    accelerate would take a tied head or embedding from there for the next batch, with the values of old.
    """
    for _, _, hook in _hooks(model):
        if hook.offload and hook.tied_params_map:
            for name in hook.tied_params_names:
                hook.tied_params_map.get(hook.weights_map[name].data_ptr(), {}).clear()


def bytes_by_device(tensors: Mapping[str, torch.Tensor]) -> dict[str, int]:
    """Return what tensors take of each device; what shares memory counts once."""
    sizes: dict[str, int] = defaultdict(int)
    for tensor in {(one.device, one.data_ptr()): one for one in tensors.values() if one.numel()}.values():
        sizes[str(tensor.device)] += tensor.nbytes
    return dict(sorted(sizes.items()))


def _hooks(model: PreTrainedModel) -> Iterator[tuple[str, Any, Any]]:
    """Yield what accelerate hung onto modules: where it is in the state dict, the module, the hook."""
    for name, module in model.named_modules():
        hung: Any = getattr(module, "_hf_hook", None)
        for hook in getattr(hung, "hooks", (hung,)):  # several in a row are one
            if hasattr(hook, "execution_device"):
                yield f"{name}." if name else "", module, hook


def _require_accelerate() -> ModuleType:
    """Return torch."""
    torch, _ = require_torch()
    try:
        import accelerate  # noqa: F401
    except ImportError as error:
        message = f"laying a model over devices needs accelerate: {shown(str(error))}"
        refuse(message, "pip install accelerate", cause=error)
    return torch
