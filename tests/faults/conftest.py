"""What the tests about places share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.commands import Pair, ingredient, untouched


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Write the ingredients A and B of three shards, and see to it that they stay as they are."""
    made = Pair(
        tmp_path,
        *(ingredient(tmp_path / name, seed, shards=3, elements=500) for seed, name in enumerate("AB")),
    )
    with untouched(*made.paths):
        yield made
