"""The files of a soup of adapters: settings for PEFT, tensors, and what it was made of."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections import Counter
from math import prod
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final, cast

from soce.adapters.adapter import PREFIX, TENSORS
from soce.adapters.config import CONFIG
from soce.exceptions import CheckpointError, OutputError, Problem, shown
from soce.files.documents import read_json
from soce.files.words import listed
from soce.recipes.checkpoint_paths import HUB_ID, cached_repository, shortest_ends

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

    import numpy as np
    from numpy.typing import NDArray

    from soce.adapters.adapter import Adapter

MANIFEST: Final = "soce-adapter.json"
README: Final = "README.md"
FILES: Final = frozenset({CONFIG, TENSORS, MANIFEST, README})
"""All that a soup of adapters consists of."""


def check_output(output: Path, *, overwrite: bool) -> None:
    """Raise `OutputError` if there is something that must not be replaced."""
    if not output.exists() and not output.is_symlink():
        return
    names = {one.name for one in output.iterdir()} if output.is_dir() and not output.is_symlink() else set()
    if MANIFEST not in names:
        message, hint = "it exists and is no soup of adapters", "choose another directory"
    elif others := sorted(names - FILES):
        message, hint = f"it holds other files: {listed(others)}", "move them, or choose another directory"
    elif not overwrite:
        message, hint = "it exists", "choose another directory, or replace it with `--overwrite`"
    else:
        return
    raise OutputError.of([Problem("output", str(output), None, message, hint)])


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a soup of adapters.

    Raises
    ------
    CheckpointError
        It is damaged.
    """
    path = folder / MANIFEST
    manifest = read_json(path, error=CheckpointError, hint="make the soup again")
    digests = manifest.get("sha256") if isinstance(manifest, dict) else None
    if not isinstance(digests, dict) or not {CONFIG, TENSORS} <= digests.keys():
        raise CheckpointError.of([Problem("checkpoint", str(path), None, "it has no digests", None)])
    return cast("dict[str, Any]", manifest)


def changed_files(folder: Path) -> list[str]:
    """Return the files of a soup of adapters that are missing, or not what its manifest says."""
    digests = read_manifest(folder)["sha256"]
    files = {name: folder / name for name in (CONFIG, TENSORS)}
    return [
        name for name, file in files.items() if not file.is_file() or digest_of_file(file) != digests[name]
    ]


def digest_of_file(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def config_of(adapters: Sequence[Adapter], ranks: Mapping[str, int]) -> dict[str, Any]:
    """Return the settings of the soup: alpha is the rank, module by module, so that its scale is 1.

    Which modules have factors is said as the adapters say it, where all say the same and have the same;
    otherwise each is named.
    """
    first, *rest = [one.config for one in adapters]
    usual = Counter(ranks.values()).most_common(1)[0][0]
    others = {f"^{re.escape(module)}": rank for module, rank in ranks.items() if rank != usual}
    is_same = all(one.where == first.where for one in rest) and all(
        one.factors.keys() == ranks.keys() for one in adapters
    )
    carried = {
        key: value
        for key, value in first.carried.items()
        if all(other.carried.get(key) == value for other in rest)
    }
    return {
        "peft_type": "LORA",
        "base_model_name_or_path": next((one.config.base for one in adapters if one.config.base), None),
        **carried,
        "r": usual,
        "lora_alpha": usual,
        "rank_pattern": others,
        "alpha_pattern": others,
        "use_rslora": False,
        "fan_in_fan_out": any(one.config.fan_in_fan_out for one in adapters),
        "lora_dropout": 0.0,
        "bias": "none",
        "init_lora_weights": True,
        "inference_mode": True,
        **(first.where if is_same else {"target_modules": sorted(ranks)}),
        "modules_to_save": sorted({name for one in adapters for name in one.config.modules_to_save}) or None,
    }


def write_header(file: BinaryIO, shapes: Mapping[str, Sequence[int]]) -> None:
    """Write the header of a safetensors file of F32 tensors that follow in this order."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        begin, end = end, end + 4 * prod(shape)
        header[PREFIX + name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(struct.pack("<Q", len(text)) + text)


def write_tensors(
    file: BinaryIO, tensors: Iterable[tuple[str, NDArray[np.float64]]], shapes: Mapping[str, Sequence[int]]
) -> None:
    """Write the tensors that a header tells of, each rounded once to F32; one that overflows is refused."""
    from soce.adapters.factors import to_f32

    for name, values in tensors:
        assert values.shape == tuple(shapes[name]), name
        rounded = to_f32(values)
        if rounded is None:
            message = f"`{shown(name)}` would hold numbers that are too large for F32"
            raise OutputError.of([Problem("output", None, None, message, None)])
        file.write(rounded.tobytes())


def readme_text(manifest: Mapping[str, Any]) -> str:
    """Return the card of a soup of adapters, from its manifest; no path of this machine is in it."""
    base = manifest["base"]
    is_id = isinstance(base, str) and HUB_ID.fullmatch(base)
    head = [
        *([f"base_model: {base}"] if is_id else []),
        "library_name: peft",
        "tags: [lora, merge, model-soup, soce]",
    ]
    paths = [one["path"] for one in manifest["ingredients"]]
    names = [cached_repository(path)[0] or end for path, end in zip(paths, shortest_ends(paths), strict=True)]
    rows = [
        f"| {_cell(name)} | {one['part']} of {manifest['whole']} | `{one['sha256'][TENSORS][:16]}` |"
        for name, one in zip(names, manifest["ingredients"], strict=True)
    ]
    ranks = manifest["ranks"].values()
    said = f"rank {min(ranks)}" if min(ranks) == max(ranks) else f"ranks {min(ranks)} to {max(ranks)}"
    if manifest["method"] == "cat":
        made = (
            f"The factors stand side by side ({said}), so it adds to the base the weighted mean of what its "
            "ingredients add, exactly but for one rounding of A to F32."
        )
    else:
        made = (
            f"The weighted mean of what its ingredients add was cut to {said}, which loses "
            f"{100 * manifest['lost']['whole']:.3g} % of its Frobenius norm."
        )
    of = _cell(base if is_id else PurePath(base).name) if base else "one base"
    lines = [
        *("---", *head, "---", "", "# Soup of LoRA adapters", ""),
        f"A LoRA adapter of {of}, made by soce {manifest['soce']}. {made}",
        *("", "| adapter | weight | SHA-256 of its tensors |", "|---|---|---|", *rows, ""),
        f"`{MANIFEST}` has weights, digests and ranks in full.",
    ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """Return a name that no reader of Markdown takes for anything else."""
    return f"`{shown(text).replace('`', chr(39)).replace('|', '/')}`"
