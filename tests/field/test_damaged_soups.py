"""A soup whose data are damaged is never called good."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.checkpoints import checkpoint, directory, f32

import soce
from soce.cli.merge import merge as merge_command
from soce.cli.verify import verify as command


def soup_of(tmp_path: Path, **options: Any) -> Path:
    paths = [checkpoint(tmp_path / name, {"w": ("F32", [4], f32(n, 2, 3, 4))}) for n, name in enumerate("AB")]
    return soce.merge(
        paths, output=tmp_path / "soup", options=soce.MergeOptions(sync=False, **options)
    ).output


def run(*arguments: object) -> Any:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


@pytest.mark.parametrize("place", [-1, -16])
@pytest.mark.parametrize("digests", ["tensors", "full"])
def test_one_flipped_bit_is_found_by_the_plain_command(tmp_path: Path, place: int, digests: str) -> None:
    soup = soup_of(tmp_path, digests=digests)
    assert run(soup).exit_code == 0
    shard = soup / "model.safetensors"
    content = bytearray(shard.read_bytes())
    content[place] ^= 1
    shard.write_bytes(content)
    result = run(soup)
    assert result.exit_code == 1
    assert "tensor `w`: expected BLAKE3" in result.stdout
    assert not soce.verify(soup).ok
    assert run(soup, "--quick").exit_code == 0
    assert run(soup, "--quick").stdout.endswith("; no data was read\n")


def test_a_soup_without_digests_is_not_said_to_be_as_it_was(tmp_path: Path) -> None:
    soup = soup_of(tmp_path, digests="none")
    last = run(soup).stdout.splitlines()[-1]
    assert last.endswith("; it has no digests to compare the data with")
    assert run(soup, "--recompute").stdout.endswith(": as its manifest says\n")
    assert run(soup, "--quick").stdout.endswith("; no data was read\n")


def test_a_quick_look_at_a_strangers_checkpoint_says_that_no_data_was_read(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "A", {"w": ("F32", [1], f32(float("nan")))})
    assert run(path).exit_code == 1
    assert run(path, "--quick").exit_code == 0
    assert run(path, "--quick").stdout.endswith("; no data was read\n")


def test_a_soup_completed_with_nan_says_so(tmp_path: Path) -> None:
    a = str(directory(tmp_path / "a", 1.0, float("nan")))
    done = CliRunner().invoke(
        merge_command, [a, "--output", str(tmp_path / "soup"), "--nonfinite", "warn", "--quiet"]
    )
    assert done.exit_code == 0
    assert "NaN or infinities in 1 tensor: `w`" in done.stderr
