"""Manifests changed by hand, with digests that are right again: what only a forger or a bug could write."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import blake3


def canonical(value: object) -> str:
    """Return JSON as a manifest has it: keys sorted, no white space."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(value: object) -> str:
    return blake3.blake3(canonical(value).encode()).hexdigest()


def rewrite(soup: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Change the manifest of a soup and compute its digests anew."""
    path = soup / "soce.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    manifest["result_digest"] = digest(manifest["result"])
    del manifest["file_digest"]
    path.write_text(canonical(manifest | {"file_digest": digest(manifest)}))
    return soup
