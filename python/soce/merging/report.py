"""What a merge did, as the compiled core tells it."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soce.files.words import listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soce.merging.zeros import TensorZeros
    from soce.recipes.names import RemoteName


@dataclass(frozen=True, slots=True)
class NonFinite:
    """Non-finite values met in one tensor."""

    tensor: str
    ingredient: str | None
    """Where they were; None for the output."""
    nan: int
    pos_inf: int
    neg_inf: int
    created: int
    """Outputs that are not finite although all their inputs are."""


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What a merge did."""

    outputs: tuple[Path | RemoteName, ...]
    """The soups, in the recipes' order; the one that was sent elsewhere by its name."""
    seconds: float
    bytes_read: int
    bytes_written: int
    num_threads: int
    kernels: str
    """Name of the kernel set used."""
    counts: Mapping[str, int]
    """Tensors averaged, copied, taken, tied, left out and refused (always 0)."""
    side_files: tuple[str, ...]
    """Files that came along from the ingredient that gave the config."""
    left_out: tuple[str, ...]
    """Its files that did not."""
    nonfinite: tuple[NonFinite, ...]
    warnings: tuple[str, ...]
    result_digests: tuple[str, ...]
    """One per output, equal for equal results."""
    reused_shards: int
    """Shards that an interrupted merge had finished, over all outputs."""
    complete_before: tuple[Path | RemoteName, ...]
    """Outputs that an earlier run of the same merge had already published; nothing was done about them."""
    json: str
    """The core's report, as one JSON object."""
    zeros: tuple[TensorZeros, ...] = ()
    """Of every tensor that was averaged, if `MergeOptions.sparsity_report` asked for them."""

    def __repr__(self) -> str:
        """Return what was written on one line."""
        where = listed(map(str, self.outputs), limit=3)
        return f"MergeReport({where}, {self.bytes_written} bytes in {self.seconds:.1f} s)"

    @property
    def did_nothing(self) -> bool:
        """Whether an earlier run of the same merge had made every soup."""
        return set(self.complete_before) == set(self.outputs)

    @property
    def output(self) -> Path:
        """The soup, if there is one only.

        Raises
        ------
        ValueError
            There are several, or it is not on this disk: see `outputs`.
        """
        (output,) = self.outputs
        if not isinstance(output, Path):
            message = f"{output} is not on this disk"
            raise ValueError(message)  # noqa: TRY004 - of what it is, not of an argument
        return output

    @classmethod
    def from_json(cls, text: str, outputs: Sequence[Path | RemoteName]) -> MergeReport:
        """Return the report that the core wrote as `text`; `outputs` may have names that JSON cannot hold."""
        data: dict[str, Any] = json.loads(text)
        written = data["outputs"]
        values = {field.name: data[field.name] for field in fields(cls) if field.name in data}
        values |= {
            name: tuple(data[name]) for name in ("warnings", "result_digests", "side_files", "left_out")
        }
        values["outputs"] = tuple(outputs)
        values["complete_before"] = tuple(
            outputs[written.index(output)] for output in data["complete_before"]
        )
        values["nonfinite"] = tuple(
            NonFinite(**{name: found[name] for name in NonFinite.__slots__}) for found in data["nonfinite"]
        )
        return cls(**values, json=text)
