"""What the demo's models are trained on: rounding differs between processors, so models and scores do."""

from __future__ import annotations

import platform
import subprocess
from contextlib import suppress
from pathlib import Path


def this_machine() -> str:
    """Return the processor as the system names it, the instructions torch uses there, torch's version."""
    import torch

    return f"{_processor()} ({torch.backends.cpu.get_cpu_capability()}), torch {torch.__version__}"


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    with suppress(OSError, subprocess.CalledProcessError):  # macOS
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    return platform.processor() or platform.machine()
