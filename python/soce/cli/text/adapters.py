"""Soups of adapters as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from soce.cli.text.layout import columns
from soce.exceptions import shown
from soce.files.words import counted

if TYPE_CHECKING:
    from collections.abc import Mapping


def adapters_text(plan: Mapping[str, Any]) -> str:
    """Return what a soup of adapters is to be made of, and what it becomes."""
    whole = plan["whole"]
    rows = [
        [str(one["part"]), f"of {whole}", f"{100 * one['part'] / whole:.4g} %", shown(one["path"])]
        for one in plan["ingredients"]
    ]
    ranks = plan["ranks"].values()
    replaced = plan["replaced"]
    return "\n".join(
        [
            "adapters",
            *(f"  {line}" for line in columns(rows, "rlrl")),
            f"base     {shown(plan['base'] or 'not named')}",
            f"modules  {len(ranks)} of {_spread(ranks)}",
            *([f"replaced {counted(len(replaced), 'tensor')}, averaged"] if replaced else []),
        ]
    )


def made_text(manifest: Mapping[str, Any]) -> str:
    """Return what was made, and what of it a lower rank has lost."""
    ranks = manifest["ranks"].values()
    text = f"{counted(len(ranks), 'module')} of {_spread(ranks)}"
    if "lost" not in manifest:
        return text
    lost = manifest["lost"]
    module, share = max(lost["modules"].items(), key=lambda one: one[1])
    return (
        f"{text}; the rank loses {100 * lost['whole']:.3g} % of what all add (Frobenius norm), "
        f"at most {100 * share:.3g} % of one (`{shown(module)}`)"
    )


def _spread(ranks: Any) -> str:  # noqa: ANN401 - a view of integers
    low, high = min(ranks), max(ranks)
    return f"rank {low}" if low == high else f"ranks {low} to {high}"
