"""A soup that is whole is found whole, and any change to it is found and named."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.checkpoints import bf16, checkpoint, f32, read_directory, sparse, state_of, write_file
from tests.manifests import digest, rewrite

import soce
from soce.cli.verify import verify as command
from soce.exceptions import CheckpointError, RecipeError
from soce.merging.verify import Verification
from soce.recipes.model import Ingredient
from soce.recipes.rows import Row

NASTY = "\x1b[2J\u202e\x9b\u2028\n\x7f"


def floats(seed: int, count: int) -> bytes:
    source = random.Random(seed)
    return f32(*(source.gauss(0, 1) for _ in range(count)))


def ingredient(path: Path, seed: int, **changed: tuple[str, list[int], bytes]) -> Path:
    """Write a checkpoint of two shards with every kind of tensor."""
    first = {
        "a": ("F32", [10, 3], floats(seed, 30)),
        "empty": ("F32", [0, 4], b""),
        "ids": ("I64", [2], struct.pack("<2q", 1, 2)),
    }
    second = {
        "b": ("BF16", [500], bf16(*(float((seed * k) % 17 - 8) for k in range(500)))),
        "s": ("F32", [], f32(seed)),
    }
    made = checkpoint(
        path, *({name: changed.get(name, t) for name, t in part.items()} for part in (first, second))
    )
    (made / "tokenizer.json").write_text('{"model": 1}')
    return made


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    return [ingredient(tmp_path / name, seed) for seed, name in enumerate("ABC", 1)]


def merged(three: list[Path], **options: Any) -> Path:
    paths = dict(zip(map(str, three), (5, 2, 3), strict=True))
    return soce.merge(
        paths, output=three[0].parent / "soup", options=soce.MergeOptions(sync=False, **options)
    ).output


@pytest.fixture
def soup(three: list[Path]) -> Path:
    return merged(three)


def found(soup: Path, **options: Any) -> list[str]:
    """Return what is found, without the directory's name; the directory is only read."""
    before = state_of(soup)
    verification = soce.verify(soup, **options)
    assert state_of(soup) == before
    assert verification.ok == (not verification.findings)
    return [str(finding).replace(f"{soup}/", "") for finding in verification.findings]


# ---- a soup that is whole


@pytest.mark.parametrize(
    "options", [{}, {"quick": True}, {"recompute": True}, {"quick": True, "recompute": True}]
)
@pytest.mark.parametrize("io", ["mmap", "pread"])
def test_a_fresh_soup_is_whole_at_every_depth(soup: Path, options: dict[str, Any], io: Any) -> None:
    assert found(soup, io=io, **options) == []


def test_what_was_checked_is_counted(soup: Path, three: list[Path]) -> None:
    quick = soce.verify(soup, quick=True)
    small = {"manifest": 1, "shards": 2, "tensors": 5, "files": 6, "side_files": 2}
    assert quick.checked == small
    assert (quick.bytes_read, quick.data_read) == (0, False)
    assert quick.level == "tensors"
    assert quick.result_digest == json.loads((soup / "soce.json").read_text())["result_digest"]
    data = soce.verify(soup)
    assert data.checked == small | {"tensor_digests": 5, "non_finite": 4}
    assert (data.bytes_read, data.data_read) == (120 + 16 + 1000 + 4, True)
    again = soce.verify(soup, quick=True, recompute=three)
    assert again.checked == small | {"recomputed": 5}
    assert again.data_read


@pytest.mark.parametrize("dtype", [None, "bf16", "f64"])
@pytest.mark.parametrize("size", [None, 200])
@pytest.mark.parametrize("level", ["tensors", "full"])
def test_every_layout_dtype_and_level_is_whole(
    three: list[Path], dtype: str | None, size: int | None, level: str
) -> None:
    soup = merged(three, dtype=dtype, max_shard_size=size, digests=level)
    assert soce.verify(soup).level == level
    assert found(soup, recompute=True) == []


def test_a_soup_without_digests_is_scanned_and_says_so(three: list[Path]) -> None:
    soup = merged(three, digests="none")
    verification = soce.verify(soup)
    assert verification.ok
    assert verification.level == "none"
    assert "tensor_digests" not in verification.checked
    assert any("has no digests" in note for note in verification.notes)
    assert run(soup).stdout.endswith("; it has no digests to compare the data with\n")
    assert found(soup, recompute=True) == []


def test_tied_heads_are_computed_again(tmp_path: Path) -> None:
    tensors = {"model.embed_tokens.weight": ("F32", [4, 2], floats(1, 8))}
    with_head = tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"]}
    config = {"tie_word_embeddings": True}
    paths = [
        checkpoint(tmp_path / "A", with_head, config=config),
        checkpoint(tmp_path / "B", tensors, config={}),
        checkpoint(tmp_path / "C", tensors, config=config),
    ]
    soup = soce.merge(
        paths, output=tmp_path / "soup", options=soce.MergeOptions(config_from=str(paths[2]), sync=False)
    ).output
    assert json.loads((soup / "soce.json").read_text())["result"]["tied"] == ["lm_head.weight"]
    assert found(soup, recompute=True) == []
    assert found(soup, recompute=list(reversed(paths))) == []


@pytest.mark.parametrize("level", ["tensors", "full"])
def test_rows_and_ingredients_without_a_part_are_computed_again(three: list[Path], level: Any) -> None:
    recipe = soce.Recipe(
        tuple(Ingredient(str(path), None) for path in three),
        (Row("a", (1, 1, 0), 2), Row("*", (0, 1, 0), 1)),
    )
    soup = soce.merge(
        recipe, output=three[0].parent / "soup", options=soce.MergeOptions(digests=level, sync=False)
    ).output
    assert found(soup, recompute=True) == []
    assert level == "tensors" or found(soup, recompute=three[1::-1]) == []
    verification = soce.verify(soup, recompute=three)
    assert verification.ok
    assert any("`" + str(three[2]) + "` has no part" in note for note in verification.notes)
    with pytest.raises(RecipeError, match="expected 2 ingredients to compute from, got 1"):
        soce.verify(soup, recompute=three[:1])


def test_large_tensors_are_read_in_pieces_by_any_number_of_threads(tmp_path: Path) -> None:
    count = 3_000_000  # three pieces of 4 MiB, the last one short
    tensors = {
        "w": ("F32", [count], floats(1, 1000) * (count // 1000)),
        "x": ("BF16", [5], bf16(1, 2, 3, 4, 5)),
    }
    path = checkpoint(tmp_path / "A", tensors)
    soup = soce.merge({path: 1}, output=tmp_path / "soup", options=soce.MergeOptions(sync=False)).output
    shard = soup / "model.safetensors"
    digest = hashlib.sha256(shard.read_bytes()).hexdigest()
    rewrite(soup, lambda m: m["result"]["shards"][0].update(sha256=digest))
    for threads in (1, 2, 7):
        assert found(soup, recompute=True, num_threads=threads) == []
    content = bytearray(shard.read_bytes())
    content[-20] ^= 64  # the third piece
    shard.write_bytes(content)
    for threads in (1, 7):
        lines = found(soup, recompute=[path], num_threads=threads)
        assert [re.sub("[0-9a-f]{64}", "#", line) for line in lines] == [
            "`model.safetensors`: tensor `w`: expected BLAKE3 #, got #",
            "`model.safetensors`: expected SHA-256 #, got #",
            f"`model.safetensors`: tensor `w`: element {count - 3}: expected 0x{element(tensors['w'][2], -3)}, as computed "
            f"from the ingredients, got 0x{element(bytes(content[:-10]), -3)}",
        ]


def element(data: bytes, number: int) -> str:
    return f"{struct.unpack('<I', data[4 * number :][:4])[0]:08x}"


# ---- what was changed is named


def test_a_changed_element_is_found_by_its_digest_and_by_computing_it_again(
    soup: Path, three: list[Path]
) -> None:
    shard = soup / "model-00002-of-00002.safetensors"
    content = bytearray(shard.read_bytes())
    content[-5] ^= 1
    shard.write_bytes(content)
    assert found(soup, quick=True) == []
    (line,) = found(soup)
    assert line.startswith("`model-00002-of-00002.safetensors`: tensor `b`: expected BLAKE3 ")
    (line,) = found(soup, quick=True, recompute=three)
    assert line.startswith("`model-00002-of-00002.safetensors`: tensor `b`: element 499: expected 0x")
    assert line.count("and") == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda s: (s / "model-00001-of-00002.safetensors").unlink(),
            "1 of 2 shards are missing: `model-00001",
        ),
        (
            lambda s: os.truncate(s / "model-00001-of-00002.safetensors", 300),
            "expected a file of 360 bytes, got 300",
        ),
        (
            lambda s: os.truncate(s / "model-00001-of-00002.safetensors", 4),
            "expected at least 8 bytes, got 4",
        ),
        (
            lambda s: (s / "model.safetensors.index.json").unlink(),
            "`model.safetensors.index.json`: is listed in",
        ),
        (lambda s: (s / "config.json").write_text("{}"), "`config.json`: expected SHA-256 "),
        (
            lambda s: (s / "config.json").unlink(),
            "`config.json`: is listed in the manifest and cannot be found",
        ),
        (lambda s: (s / "mergekit_config.yml").unlink(), "`mergekit_config.yml`: is listed in the manifest"),
        (lambda s: (s / "tokenizer.json").write_text("{}"), "`tokenizer.json`: expected SHA-256 "),
        (
            lambda s: write_file(s / "more.safetensors", {"z": ("U8", [1], b"1")}),
            "`more.safetensors`: is not listed",
        ),
        (lambda s: (s / "soce.json").write_text("{"), "`soce.json`: byte 1: "),
        (
            lambda s: (s / "soce.json").write_text((s / "soce.json").read_text() + "\n"),
            "`file_digest`: expected",
        ),
    ],
)
def test_changed_files_are_named(soup: Path, change: Callable[[Path], object], words: str) -> None:
    change(soup)
    lines = found(soup)
    assert any(words in line for line in lines), lines


def test_the_manifest_cannot_be_reformatted(soup: Path) -> None:
    manifest = json.loads((soup / "soce.json").read_text())
    (soup / "soce.json").write_text(json.dumps(manifest, indent=1))
    assert any("white space around `file_digest`" in line for line in found(soup))


def test_nothing_is_said_of_a_soup_as_soce_wrote_it(soup: Path) -> None:
    assert (soup / "mergekit_config.yml").is_file()
    assert not soce.verify(soup).notes


def test_notes_tell_of_files_that_do_no_harm(soup: Path) -> None:
    (soup / "README.md").write_text("mine")
    (soup / ".gitattributes").write_text("mine")
    (soup / "images").mkdir()
    verification = soce.verify(soup)
    assert verification.ok
    assert verification.notes == ("not part of the soup: `.gitattributes`, `README.md`, `images`",)


def test_swapped_shards_and_tensors_of_other_shapes_are_named(soup: Path) -> None:
    one, two = (soup / f"model-0000{i}-of-00002.safetensors" for i in (1, 2))
    before = one.read_bytes(), two.read_bytes()
    one.write_bytes(before[1])
    two.write_bytes(before[0])
    lines = found(soup)
    assert any("tensor `a`: expected it in `model-00001-of-00002.safetensors`" in line for line in lines)
    one.write_bytes(before[0].replace(b'"shape":[10,3]', b'"shape":[3,10]'))
    two.write_bytes(before[1])
    assert found(soup) == [
        "`model-00001-of-00002.safetensors`: tensor `a`: expected shape [10, 3], got [3, 10]"
    ]


def test_all_findings_come_at_once_and_others_shards_are_still_looked_at(soup: Path) -> None:
    os.truncate(soup / "model-00001-of-00002.safetensors", 300)
    shard = soup / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1] + b"\x01")
    (soup / "config.json").write_text("{}")
    lines = found(soup)
    assert [line.split("`: ")[0] for line in lines] == [
        "`model-00001-of-00002.safetensors",
        "`config.json",
        "`model-00002-of-00002.safetensors",
    ]


def test_a_header_that_says_the_same_in_other_words_is_found(soup: Path) -> None:
    shard = soup / "model-00001-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes().replace(b'{"format":"pt"}', b'{"format":"qt"}'))
    assert found(soup) == [
        "`model-00001-of-00002.safetensors`: its header means the same but is not written as soce writes it, first at "
        "byte 35"
    ]


def test_an_index_with_another_total_is_found(soup: Path) -> None:
    index = soup / "model.safetensors.index.json"
    text = index.read_text()
    index.write_text(text.replace('"total_size": 1140', '"total_size": 1141'))
    assert found(soup) == ["`model.safetensors.index.json`: expected total_size 1140, got 1141"]
    index.write_text(text.replace('"total_parameters": 533', '"total_parameters": 534'))
    (line,) = found(soup)
    assert "is not written as soce writes it for these shards, first at byte 44" in line


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m["result"]["counts"].update(averaged=5), "`counts.averaged`: expected 4, got 5"),
        (lambda m: m["result"]["counts"].update(refused=1), "`counts.refused`: expected 0, got 1"),
        (lambda m: m["result"]["tied"].append("a"), "tensor `a`: is both written and left out as tied"),
        (
            lambda m: m["result"]["tensors"]["a"].pop("blake3"),
            "tensor `a`: expected a BLAKE3 digest, got none",
        ),
        (lambda m: m["result"]["tensors"]["a"].update(fate="copied"), "tensor `a`: F32 cannot be `copied`"),
        (lambda m: m["result"]["tensors"]["a"].update(shard="x"), "`shards` does not list its shard `x`"),
        (
            lambda m: m["result"]["tensors"]["a"].update(offset=9),
            "expected 120 bytes at offset 9, got 120 at",
        ),
        (lambda m: m["result"]["tensors"].pop("a"), "is a tensor that the manifest does not list"),
        (lambda m: m["result"]["shards"][0].update(size=9), "expected 9 bytes, got "),
        (lambda m: m["result"]["shards"].pop(), "is a shard that the manifest does not list"),
        (lambda m: m["result"]["files"].pop(0), "`files` does not list `config.json`"),
        (
            lambda m: m["sources"][0].update(parts=[4]),
            "`sources` and `recipe` give the ingredients different parts",
        ),
        (
            lambda m: m["result"]["recipe"]["rows"][0].update(whole=0),
            "row 0: the parts of all ingredients are zero",
        ),
        (lambda m: m["result"].update(ingredients=[]), "expected 3 `ingredients`, got 0"),
        (lambda m: m["run"].update(digests="full"), "`run.digests`: expected `tensors`, got `full`"),
        (lambda m: m.update(plan_digest="x"), "expected 64 hexadecimal digits, got `x`"),
        (lambda m: m["result"].update(more=1), "unknown field `more`"),
        (lambda m: m["result"].update(format=4), "has format 4, this version of soce knows 1 to 3"),
        (lambda m: m["result"].update(format=2), "`format`: expected 1, got 2"),
        (lambda m: m["result"].pop("tensors"), "missing field `tensors`"),
    ],
)
def test_a_manifest_with_right_digests_that_contradicts_itself_or_the_files(
    soup: Path, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    lines = found(rewrite(soup, change))
    assert any(words in line for line in lines), lines


# ---- values that are not finite


@pytest.fixture
def with_nan(tmp_path: Path) -> list[Path]:
    values = [(1.0, float("nan"), 3.0, 4.0), (1.0, 2.0, float("inf"), float("nan"))]
    return [
        checkpoint(tmp_path / name, {"w": ("F32", [4], f32(*row))})
        for name, row in zip("AB", values, strict=True)
    ]


def test_a_directory_without_manifest_has_its_structure_checked_and_its_data_scanned(
    with_nan: list[Path],
) -> None:
    verification = soce.verify(with_nan[1])
    assert not verification.has_manifest
    assert verification.level is None
    assert [str(finding) for finding in verification.findings] == [
        f"`{with_nan[1]}/model.safetensors`: tensor `w`: 2 of 4 values are not finite (1 NaN, 1 +inf, 0 -inf), the first "
        "at element 2"
    ]
    assert verification.notes[0].startswith("no `soce.json`: nothing to compare with")
    os.truncate(with_nan[1] / "model.safetensors", 100)
    assert "expected a header of 96 bytes" in found(with_nan[1])[0]
    with pytest.raises(CheckpointError, match="no recipe to compute with"):
        soce.verify(with_nan[0], recompute=with_nan)


def test_values_that_are_not_finite_are_counted_again(with_nan: list[Path], tmp_path: Path) -> None:
    soup = soce.merge(
        with_nan, output=tmp_path / "soup", options=soce.MergeOptions(nonfinite="warn", sync=False)
    ).output
    assert found(soup, recompute=True) == []
    entry = json.loads((soup / "soce.json").read_text())["result"]["tensors"]["w"]["non_finite"]
    assert sorted(entry["ingredients"]) == [[1, 0, 0], [1, 1, 0]]

    def change(m: dict[str, Any]) -> None:
        m["result"]["tensors"]["w"]["non_finite"]["ingredients"] = [[1, 0, 0], [0, 0, 0]]

    rewrite(soup, change)
    lines = found(soup, recompute=True)
    assert (
        "3 of 4 values are not finite, expected 1 (2 NaN, 1 +inf, 0 -inf), the first at element 1" in lines[0]
    )
    assert "expected values that are not finite [[1, 0, 0]]" in lines[1]
    rewrite(soup, lambda m: m["result"]["tensors"]["w"].pop("non_finite"))
    assert "3 of 4 values are not finite, expected 0" in found(soup)[0]


def test_results_too_large_for_their_dtype_are_counted_again(tmp_path: Path) -> None:
    paths = [checkpoint(tmp_path / name, {"w": ("F32", [2], f32(1e38, 1))}) for name in "AB"]
    soup = soce.merge(
        paths, output=tmp_path / "soup", options=soce.MergeOptions(dtype="f16", nonfinite="warn", sync=False)
    ).output
    assert found(soup, recompute=True) == []


# ---- ingredients


def content(path: Path) -> str:
    """Return the digest of all tensors of a checkpoint, whatever shards they lie in."""
    import blake3

    entries = [
        [name, dtype, shape, blake3.blake3(data).hexdigest()]
        for name, (dtype, shape, data) in sorted(read_directory(path).items())
    ]
    return digest(entries)


def test_what_an_ingredient_gave_is_recorded_as_anybody_would_compute_it(three: list[Path]) -> None:
    manifest = json.loads((merged(three, digests="full") / "soce.json").read_text())
    order = [three[0], three[2], three[1]]  # by their parts
    assert manifest["result"]["recipe"]["rows"][0]["parts"] == [5, 3, 2]
    assert [found["content"] for found in manifest["result"]["ingredients"]] == [*map(content, order)]


def test_ingredients_are_known_by_content_in_any_order_and_any_shards(three: list[Path]) -> None:
    soup = merged(three, digests="full", differences=True)
    verification = soce.verify(soup, recompute=[three[2], three[0], three[1]])
    assert verification.ok, verification.findings
    assert verification.level == "full"
    assert verification.checked["ingredient_contents"] == 3
    assert verification.checked["shard_digests"] == 2
    again = soce.merge(
        {three[1]: 1},
        output=three[0].parent / "again",
        options=soce.MergeOptions(max_shard_size=20, sync=False),
    ).output
    assert len(list(again.glob("*.safetensors"))) > 2
    assert found(soup, recompute=[three[2], again, three[0]]) == []

    # Without contents, order decides between checkpoints with equal headers, and the computation tells.
    def forget(manifest: dict) -> None:
        del manifest["result"]["ingredients"]
        for source in manifest["sources"]:
            del source["content"]
        manifest["run"]["digests"] = "tensors"

    rewrite(soup, forget)
    assert found(soup, recompute=three) == []
    assert found(soup, recompute=[three[2], three[0], three[1]]) != []


def test_an_ingredient_that_was_changed_since_is_named(three: list[Path]) -> None:
    soup = merged(three, digests="full")
    ingredient(three[1], 2, a=("F32", [10, 3], floats(2, 29) + f32(7)))
    lines = found(soup, recompute=[three[1], three[2], three[0]])
    assert lines[0] == f"`{three[1]}`: holds other tensors than any ingredient of this soup"
    assert [line.split(": expected")[0] for line in lines[1:]] == [
        "`model-00001-of-00002.safetensors`: tensor `a`: element 29"
    ]


def test_headers_tell_ingredients_apart_where_contents_are_not_recorded(tmp_path: Path) -> None:
    pad = [
        {"x": ("F32", [2], f32(1, 2)), "w": ("F32", [1], f32(3))},
        {"w": ("F32", [1], f32(5)), "x": ("F32", [2], f32(3, 7))},
    ]
    paths = [checkpoint(tmp_path / name, tensors) for name, tensors in zip("AB", pad, strict=True)]
    soup = soce.merge(
        {paths[0]: 1, paths[1]: 3}, output=tmp_path / "soup", options=soce.MergeOptions(sync=False)
    ).output
    assert found(soup, recompute=paths) == []
    assert found(soup, recompute=paths[::-1]) == []


@pytest.mark.parametrize("give", [lambda path: path / "none", lambda path: path / "config.json"])
def test_ingredients_that_cannot_be_read_are_findings(
    soup: Path, three: list[Path], give: Callable[[Path], Path]
) -> None:
    lines = found(soup, recompute=[give(three[0]), *three[1:]])
    assert len(lines) == 1
    assert lines[0].startswith(f"`{give(three[0])}`: ")


def test_ingredients_that_do_not_fit_are_findings(soup: Path, three: list[Path]) -> None:
    other = ingredient(three[0].parent / "other", 9, a=("F32", [31], floats(9, 31)))
    (line,) = found(soup, recompute=[three[0], three[1], other])
    assert "expected shape [10, 3], got [31]" in line
    other = ingredient(three[0].parent / "other", 9, ids=("I64", [2], struct.pack("<2q", 1, 3)))
    (line,) = found(soup, recompute=[three[0], three[1], other])
    assert "expected 2, got 3" in line


def test_a_soup_of_other_shapes_than_its_ingredients(soup: Path, three: list[Path]) -> None:
    paths = [ingredient(path, seed, s=("F32", [1], f32(seed))) for seed, path in enumerate(three, 1)]
    (line,) = found(soup, recompute=paths)
    assert "tensor `s`: expected shape [1], as in the ingredients, got []" in line


def test_unknown_numerics_are_not_computed(soup: Path, three: list[Path]) -> None:
    rewrite(soup, lambda m: m["result"].update(numerics=2))
    (line,) = found(soup, recompute=three)
    assert "its numerics are 2, this version of soce computes 1" in line


# ---- hostile directories


def test_names_that_lead_outside_are_findings_and_never_opened(soup: Path) -> None:
    outside = soup.parent / "outside.json"
    os.mkfifo(outside)  # opening it would wait for a writer
    names = [
        "../outside.json",
        str(outside),
        "..",
        "a//b",
        "x\0y",
        "additional_chat_templates/../../outside.json",
    ]

    def change(m: dict[str, Any]) -> None:
        m["result"]["files"] += names
        m["result"]["donor"]["side_files"] |= dict.fromkeys(names, "0" * 64)
        m["result"]["shards"].append({"name": "../outside.safetensors", "size": 1})

    lines = found(rewrite(soup, change))
    assert sum("which is not opened" in line for line in lines) == 2 * len(names)
    assert any("folder inside the checkpoint, at most 4 deep, got `..`" in line for line in lines)
    assert all(line.startswith("`soce.json`: ") for line in lines), lines


@pytest.mark.parametrize(
    "name", ["soce.json", "config.json", "model-00001-of-00002.safetensors", "model.safetensors.index.json"]
)
@pytest.mark.parametrize("kind", ["fifo", "socket", "directory", "dangling", "device", "outside"])
def test_files_that_are_none_are_refused_at_once(
    soup: Path, name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = soup / name
    shutil.copy(path, soup.parent / "copy")
    path.unlink()
    monkeypatch.chdir(soup)
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "socket":
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(name)
        case "directory":
            path.mkdir()
        case "dangling":
            path.symlink_to("nowhere")
        case "device":
            path.symlink_to("/dev/zero")
        case "outside":
            path.symlink_to("../copy")
    answers: list[Verification] = []
    thread = threading.Thread(target=lambda: answers.append(soce.verify(soup)), daemon=True)
    thread.start()
    thread.join(20)
    assert answers, "it waits for something"
    assert any(name in str(finding) for finding in answers[0].findings)
    if kind == "outside":
        assert soce.verify(soup, follow_links=True).ok


def test_a_soup_in_the_hugging_face_cache_is_read_through_its_links(soup: Path) -> None:
    repo = soup.parent / "models--x--y"
    (repo / "blobs").mkdir(parents=True)
    snapshot = repo / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    for path in soup.iterdir():
        blob = repo / "blobs" / hashlib.sha256(path.read_bytes()).hexdigest()
        path.rename(blob)
        (snapshot / path.name).symlink_to(f"../../blobs/{blob.name}")
    assert soce.verify(snapshot, recompute=True).ok


def test_hostile_names_are_shown_escaped(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "A", {f"x{NASTY}": ("F32", [1], f32(1))})
    soup = soce.merge({path: 1}, output=tmp_path / "soup", options=soce.MergeOptions(sync=False)).output
    assert soce.verify(soup, recompute=True).ok
    (soup / f"{NASTY.replace('/', '')}.safetensors").write_bytes(b"x")
    shard = soup / "model.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1] + b"\0")
    rewrite(soup, lambda m: m["result"]["files"].append(f"../{NASTY}"))
    result = CliRunner().invoke(command, [str(soup)])
    assert result.exit_code == 1
    for text in (result.stdout, result.stderr):
        assert re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]", text) is None
    assert len(result.stdout.splitlines()) > 3


def test_deep_duplicate_and_oversized_manifests_are_refused(soup: Path) -> None:
    path = soup / "soce.json"
    text = path.read_text()
    path.write_text(text.replace('"result":{', '"result":{"format":1,', 1))
    assert "`format` is there twice" in found(soup)[0]
    path.write_text("[" * 100_000)
    assert "nested more than 64 levels deep" in found(soup)[0]
    path.write_text(text)
    os.truncate(path, (1 << 30) + 1)
    assert f"expected at most {1 << 30} bytes, got {(1 << 30) + 1}" in found_quickly(soup)[0]


def found_quickly(soup: Path) -> list[str]:
    return [str(finding) for finding in soce.verify(soup).findings]


# ---- progress and cancelling


def test_progress_ends_with_everything_and_can_cancel(tmp_path: Path) -> None:
    path = sparse(tmp_path / "A", "F32", 20_000_000)
    (path / "config.json").write_text("{}")
    soup = soce.merge({path: 1}, output=tmp_path / "soup", options=soce.MergeOptions(sync=False)).output
    told: list[tuple[int, int]] = []
    soce.verify(soup, recompute=True, on_progress=lambda *call: told.append(call))
    assert told == sorted(told)
    assert told[-1] == (160_000_000, 160_000_000)

    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        soce.verify(soup, num_threads=1, on_progress=stop)


@pytest.mark.parametrize("io", ["mmap", "pread"])
def test_a_soup_that_changes_under_the_reader_is_a_finding(tmp_path: Path, io: Any) -> None:
    path = sparse(tmp_path / "A", "F32", 40_000_000)
    (path / "config.json").write_text("{}")
    soup = soce.merge({path: 1}, output=tmp_path / "soup", options=soce.MergeOptions(sync=False)).output
    shard = soup / "model.safetensors"
    changed = []

    def change(done: int, total: int) -> None:
        if not changed:
            changed.append(done)
            os.truncate(shard, 1000)

    verification = soce.verify(soup, recompute=True, num_threads=1, io=io, on_progress=change)
    assert not verification.ok
    assert str(shard) in str(verification.findings[0])


def test_options_that_make_no_sense_are_refused(soup: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="`num_threads` is 0"):
        soce.verify(soup, num_threads=0)
    with pytest.raises(RecipeError, match="`recompute` is empty"):
        soce.verify(soup, recompute=[])
    with pytest.raises(RecipeError, match="`recompute` is the single path"):
        soce.verify(soup, recompute=str(soup))  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match="expected a directory, got a file"):
        soce.verify(soup / "soce.json")
    with pytest.raises(FileNotFoundError):
        soce.verify(tmp_path / "none")
    with pytest.raises(ValueError, match="io: expected one of"):
        soce.verify(soup, io="x")  # type: ignore[arg-type]


# ---- the command


def run(*arguments: object) -> Any:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_the_command_says_what_it_looked_at(soup: Path, three: list[Path]) -> None:
    result = run(soup)
    assert result.exit_code == 0
    assert result.stdout == (
        "looked at the manifest, 2 shards, 5 tensors, 6 listed files, 2 side files by\n"
        "  SHA-256, 5 tensors by BLAKE3, 4 tensors for values that are not finite\n"
        f"`{soup}`: as its manifest says\n"
    )
    assert run(soup, "--recompute", *three, "-j", 2).exit_code == 0
    assert run(soup, "--recompute").exit_code == 0
    quiet = run(soup, "--quiet")
    assert (quiet.stdout, quiet.stderr) == ("", "")


def test_findings_are_printed_and_the_exit_code_is_1(soup: Path) -> None:
    (soup / "config.json").write_text("{}")
    result = run(soup)
    assert result.exit_code == 1
    assert result.stdout.startswith(f"`{soup}/config.json`: expected SHA-256 ")
    assert result.stdout.endswith(f"`{soup}`: 1 finding\n")
    assert run(soup, "-q").stdout.count("\n") == 1
    data = json.loads(run(soup, "--json").stdout)
    assert (data["ok"], data["level"], data["findings"][0]["check"]) == (False, "tensors", "files")
    assert data == soce.verify(soup).to_json() | {"seconds": data["seconds"]}


def test_a_hundred_findings_are_printed_and_all_with_json(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "A", {f"w{i:03}": ("F32", [1], f32(1)) for i in range(150)})
    soup = soce.merge({path: 1}, output=tmp_path / "soup", options=soce.MergeOptions(sync=False)).output
    shard = soup / "model.safetensors"
    shard.write_bytes(shard.read_bytes()[:-600] + bytes(600))
    lines = run(soup).stdout.splitlines()
    assert sum("expected BLAKE3" in line for line in lines) == 100
    assert lines[99].startswith(f"`{shard}`: tensor `w099`")
    assert lines[100] == "and 50 more: `--json` lists all"
    assert len(json.loads(run(soup, "--json").stdout)["findings"]) == 150


@pytest.mark.parametrize("arguments", [(), ("A", "B"), ("A", "--nonsense"), ("A", "-j", "0")])
def test_usage_errors_end_with_2(arguments: tuple[str, ...]) -> None:
    import subprocess
    import sys

    code = "from soce.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "verify", *arguments], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")


def test_what_cannot_be_looked_at_ends_with_1(tmp_path: Path) -> None:
    result = run(tmp_path / "none")
    assert result.exit_code == 1
    assert "No such file or directory".lower() in result.stderr.lower()


# ---- the page


def test_the_page_prints_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.test_docs import CONSOLE, ROOT

    page = (ROOT / "docs" / "verify.md").read_text()
    monkeypatch.chdir(tmp_path)
    paths = [ingredient(Path(name), seed) for seed, name in enumerate("AB", 1)]
    soup = soce.merge(
        {paths[0]: 2, paths[1]: 1}, output=Path("soup"), options=soce.MergeOptions(sync=False)
    ).output

    def damage() -> None:
        (soup / "config.json").write_text("{}")
        shard = soup / "model-00002-of-00002.safetensors"
        content = shard.read_bytes()
        shard.write_bytes(content[:-11] + bytes([content[-11] ^ 4]) + content[-10:])

    def mend() -> None:
        soce.merge(
            {paths[0]: 2, paths[1]: 1}, output=soup, options=soce.MergeOptions(overwrite=True, sync=False)
        )

    blocks = list(CONSOLE.finditer(page))
    assert len(blocks) == 6
    before: dict[int, Callable[[], None]] = {3: damage, 4: mend}
    for i, block in enumerate(blocks):
        before.get(i, lambda: None)()
        program, name, *arguments = block["command"].split()
        assert (program, name) == ("soce", "verify")
        result = run(*arguments)
        assert result.stdout.rstrip("\n") == block["output"].rstrip("\n")
        assert result.exit_code == (1 if i in {3, 4} else 0)
