"""The accelerators that there are to share out among processes, before one of these has loaded torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

VARIABLE: Final = "CUDA_VISIBLE_DEVICES"
"""What says which of them a process sees; ROCm listens to it as well."""
_DRIVERS: Final = ("nvidia[0-9]*", "kfd", "dxg")
"""What is in ``/dev`` if there may be one."""


def visible_devices() -> tuple[str, ...]:
    """Return the accelerators that this process sees, as `VARIABLE` names them."""
    if not any(any(Path("/dev").glob(pattern)) for pattern in _DRIVERS):
        return ()
    try:
        import torch
    except ImportError:
        return ()
    count = torch.cuda.device_count()
    said = os.environ.get(VARIABLE)
    names = map(str, range(count)) if said is None else (name.strip() for name in said.split(","))
    return tuple(names)[:count]


def is_on_cpu(model: Any) -> bool:  # noqa: ANN401 - any live model or its outline, or none
    """Whether a model computes on the CPU, and is in the process that scores."""
    devices: Sequence[Any] = getattr(model, "devices", ())
    return bool(devices) and all(device.type == "cpu" for device in devices)
