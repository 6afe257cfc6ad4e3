"""The data files of this folder."""

from __future__ import annotations

import csv
from importlib import resources


def packaged_rows(name: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file in `data`."""
    text = resources.files("soce.scores").joinpath("data", name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))
