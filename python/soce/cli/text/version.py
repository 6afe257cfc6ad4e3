"""What `--version` prints: of soce, of its core on this machine, and of what is installed beside it."""

from __future__ import annotations

from soce import _core
from soce.files.extras import installed


def version_text() -> str:
    """Return version, the kernel sets that this CPU runs, and what is there of each extra.

    The first line has nothing but name and version, for programs that read it.
    """
    info = _core.build_info()
    kernels = info["kernels"]
    assert isinstance(kernels, list)
    lines = [f"soce {info['version']}", f"kernels  {', '.join(kernels)}", "extras"]
    for extra, packages in installed().items():
        missing = [name for name, version in packages.items() if version is None]
        there = ", ".join(f"{name} {version}" for name, version in packages.items())
        lines.append(f"  {extra:<8} {'lacks ' + ', '.join(missing) if missing else there}")
    return "\n".join(lines)
