"""What methods look at is measured once for each set of ingredients, and never taken from what is not whole."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from itertools import combinations_with_replacement, permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.checkpoints import Tensors, checkpoint, f32

from soce import Mixer
from soce.exceptions import CheckpointError
from soce.methods import squares as module
from soce.methods.squares import squares_of


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "SETTLED_NS", 0)
    return tmp_path / "cache" / "soce" / "squares"


class Counting:
    """A mixer that tells which tensors were read."""

    def __init__(self, mixer: Mixer) -> None:
        self.mixer, self.read = mixer, list[str]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.mixer, name)

    def squares(self, name: str, *args: object, **options: Any) -> list[tuple[int, int]]:
        self.read.append(name)
        return self.mixer.squares(name, *args, **options)


def measured(paths: Sequence[Path], **options: Any) -> tuple[dict[str, list[float]], list[str]]:
    """Return the squares, and the tensors that were read for them."""
    names = [str(path) for path in paths]
    counting: Any = Counting(Mixer(names, **options))
    return {name: sums.tolist() for name, sums in squares_of(counting, names).items()}, counting.read


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    vectors = {"A": ((3.0, 4.0), 1.0), "B": ((3.0, 0.0), 1.5), "C": ((-1.0, 2.0), math.pi)}
    return [
        checkpoint(
            tmp_path / name,
            {"w": ("F32", [2], f32(*w)), "b": ("F32", [], f32(b)), "ids": ("I64", [1], bytes(8))},
        )
        for name, (w, b) in vectors.items()
    ]


def test_a_second_look_reads_nothing_in_whatever_order(three: list[Path]) -> None:
    first, read = measured(three)
    assert read == ["w", "b"]
    assert first["w"] == [25, 16, 20, 9, 20, 5]
    for order in permutations(range(3)):
        found, read = measured([three[i] for i in order])
        assert read == []
        for name, sums in first.items():
            by_pair = dict(zip(combinations_with_replacement(range(3), 2), sums, strict=True))
            pairs = combinations_with_replacement(order, 2)
            assert found[name] == [by_pair[min(pair), max(pair)] for pair in pairs]


def test_other_ingredients_and_other_states_of_them_are_measured(three: list[Path]) -> None:
    measured(three)
    assert measured(three[:2])[1] == ["w", "b"]
    os.utime(three[0] / "model.safetensors", ns=(1, 1))
    assert measured(three)[1] == ["w", "b"]


def test_tensors_that_were_left_out_before_are_added(three: list[Path]) -> None:
    assert measured(three, leave_out=["b"])[1] == ["w"]
    both, read = measured(three)
    assert read == ["b"]
    assert measured(three) == (both, [])
    assert measured(three, leave_out=["b"]) == ({"w": both["w"]}, [])


@pytest.mark.parametrize("break_", ["cut", "flipped", "emptied", "other", "deep", "folder"])
def test_what_is_not_whole_is_measured_again(three: list[Path], kept: Path, break_: str) -> None:
    correct, _ = measured(three)
    (file,) = kept.iterdir()
    text = file.read_text()
    if break_ == "folder":
        file.unlink()
        file.mkdir()
    else:
        told = json.loads(text)
        told["squares"]["w"][0] = (26.0).hex()
        texts = {
            "cut": text[:-20],
            "flipped": json.dumps(told),
            "emptied": "",
            "other": "[1]",
            "deep": "[" * 10**5,
        }
        file.write_text(texts[break_])
    assert measured(three) == (correct, ["w", "b"])
    if break_ != "folder":
        assert measured(three) == (correct, [])
        assert [path.name for path in kept.iterdir()] == [file.name], "nothing lies beside it"


def test_without_a_cache_all_is_measured(three: list[Path], kept: Path) -> None:
    kept.parent.mkdir(parents=True)
    kept.write_text("not a folder")
    first, _ = measured(three)
    assert measured(three) == (first, ["w", "b"])


def test_files_that_just_changed_are_not_trusted(
    three: list[Path], kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SETTLED_NS", 3_600_000_000_000)
    measured(three)
    assert not kept.exists()


def test_numbers_come_back_to_the_bit_whatever_they_are(tmp_path: Path) -> None:
    values = np.array([1e200, math.pi, 5e-324])
    paths = [
        checkpoint(
            tmp_path / name, {"x": ("F64", [1], value.tobytes()), "y": ("F64", [1], values[1].tobytes())}
        )
        for name, value in zip("AB", (values[0], values[2]), strict=True)
    ]
    first, _ = measured(paths)
    assert first["x"][0] == math.inf
    assert measured(paths) == (first, [])


def test_a_tensor_that_is_not_finite_is_told_and_nothing_kept(tmp_path: Path, kept: Path) -> None:
    held: dict[str, Tensors] = {
        "A": {"w": ("F32", [3], f32(math.nan, 1, math.inf))},
        "B": {"w": ("F32", [3], f32(1, 1, 1))},
    }
    paths = [checkpoint(tmp_path / name, tensors) for name, tensors in held.items()]
    with pytest.raises(CheckpointError) as caught:
        measured(paths)
    (problem,) = caught.value.problems
    assert (problem.path, problem.tensor) == (str(paths[0]), "w")
    assert problem.message == "2 of 3 values are not finite (1 NaN, 1 infinite)"
    assert not kept.exists()


def test_progress_ends_at_the_whole_and_raising_stops(three: list[Path], kept: Path) -> None:
    names = [str(path) for path in three]
    seen: list[tuple[int, int]] = []

    def stop(done: int, whole: int) -> None:
        seen.append((done, whole))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        squares_of(Mixer(names), names, on_progress=stop)
    assert not kept.exists()
    squares_of(Mixer(names), names, on_progress=lambda done, whole: seen.append((done, whole)))
    assert seen == [(6, 9), (6, 9), (9, 9)]
