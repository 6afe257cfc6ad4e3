"""The packages that some features need, and the extra of soce that installs each."""

from __future__ import annotations

from typing import Final

EXTRAS: Final[dict[str, tuple[str, ...]]] = {
    "torch": ("torch", "transformers", "safetensors", "jinja2", "sacrebleu"),
    "lm-eval": ("lm-eval", "torch", "transformers", "safetensors"),
    "search": ("optuna", "cmaes", "huggingface_hub"),
    "report": ("jinja2", "matplotlib"),
    "hub": ("huggingface_hub",),
    "s3": ("obstore",),
    "ray": ("ray",),
    "excel": ("openpyxl", "pyarrow"),
}
"""Distributions by extra; those of `all` are all of these. vLLM lives in an environment of its own."""


def install(*extras: str) -> str:
    """Return the command that installs what is missing, for a hint.

    Examples
    --------
    >>> install("search", "torch")
    "pip install 'soce[search,torch]'"
    """
    assert EXTRAS.keys() >= set(extras)
    return f"pip install 'soce[{','.join(extras)}]'"


def installed() -> dict[str, dict[str, str | None]]:
    """Return the version of every package by extra, None where it is not installed; nothing is imported."""
    from importlib.metadata import PackageNotFoundError, version

    def found(package: str) -> str | None:
        try:
            return version(package)
        except PackageNotFoundError:
            return None

    return {extra: {package: found(package) for package in packages} for extra, packages in EXTRAS.items()}
