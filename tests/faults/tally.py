"""What was injected how often, and what happened: one JSON line a test, for the record."""

from __future__ import annotations

import json
import os
from pathlib import Path


def record(name: str, **counts: object) -> None:
    """Append one line to the file that SOCE_FAULTS_LOG names; without it, do nothing."""
    if log := os.environ.get("SOCE_FAULTS_LOG"):
        path = Path(log)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"test": name, **counts}, sort_keys=True) + "\n")
