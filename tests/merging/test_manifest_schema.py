"""Every manifest that a merge writes is what the schema says, and nothing else is; docs/manifest.md shows a real one.

``SOCE_BLESS=1`` writes the example of docs/manifest.md anew.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from fnmatch import fnmatch
from fractions import Fraction
from inspect import signature
from math import isfinite
from pathlib import Path

import pytest
from tests.checkpoints import Tensors, bf16, checkpoint, f32, read_directory, write_file

import soce
from soce import Recipe
from soce.exceptions import CheckpointError
from soce.merging.manifest import manifest_schema
from soce.recipes.model import Ingredient
from soce.recipes.rows import Row

jsonschema = pytest.importorskip("jsonschema")

QUICK = soce.MergeOptions(sync=False)
PAGE = Path(__file__).parents[2] / "docs" / "manifest.md"
REVISION = "0123456789abcdef0123456789abcdef01234567"
LEVELS = ("none", "tensors", "full")
INF, NAN = float("inf"), float("nan")


@pytest.fixture(scope="module")
def validator():
    schema = manifest_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def manifest_of(path: Path) -> dict:
    return json.loads((path / "soce.json").read_text())


def faults(validator, manifest: dict) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(manifest)]


# ---- what merges write


def tensors(value: float) -> Tensors:
    """Return tensors of every float dtype, integers, a scalar and an empty one, under odd names."""
    return {
        "model.embed.weight": ("BF16", [2, 2], bf16(value, 1.0, -value, 0.0)),
        "layers.0.weight": ("F32", [2], f32(value, 0.1)),
        "layers.1.weight": ("F16", [1], struct.pack("<e", value)),
        "layers.1.bias": ("F64", [1], struct.pack("<d", value / 3)),
        "scale": ("F32", [], f32(value)),
        "nothing": ("F32", [0, 3], b""),
        "ids": ("I64", [2], bytes(16)),
        "mask": ("BOOL", [2], b"\x00\x01"),
        'odd "name"\u202e\n/../x': ("BF16", [1], bf16(value)),
    }


def cut(whole: Tensors, count: int) -> list[Tensors]:
    names = list(whole)
    return [{name: whole[name] for name in names[k::count]} for k in range(count)]


def plain(home: Path) -> Iterator[tuple[Path, dict]]:
    paths = [checkpoint(home / name, tensors(value)) for name, value in (("A", 1.0), ("B", 3.0))]
    yield home / "plain", {"ingredients": {str(paths[0]): "0.6", str(paths[1]): "0.4"}}
    yield (
        home / "signed",
        {"ingredients": Recipe(tuple(Ingredient(str(p), None) for p in paths), (Row("*", (2, -1), 1),))},
    )
    rows = (Row("layers.*", (1, 2), 3), Row("*", (1, 0), 1))
    yield home / "rows", {"ingredients": Recipe(tuple(Ingredient(str(p), None) for p in paths), rows)}
    yield home / "cast", {"ingredients": [str(path) for path in paths], "dtype": "f64"}
    yield home / "alone", {"ingredients": [str(paths[0])]}
    yield (
        home / "thrice",
        {
            "ingredients": Recipe(
                tuple(Ingredient(str(paths[k]), None) for k in (0, 1, 1)), (Row("*", (1, 1, 2), 4),)
            )
        },
    )


def sharded(home: Path) -> Iterator[tuple[Path, dict]]:
    paths = [
        str(checkpoint(home / name, *cut(tensors(value), 3))) for name, value in (("A", 1.0), ("B", 3.0))
    ]
    yield home / "as they are", {"ingredients": paths}
    yield home / "cut anew", {"ingredients": paths, "max_shard_size": 16}
    whole = str(checkpoint(home / "C", tensors(5.0)))
    yield home / "mixed", {"ingredients": [*paths, whole]}


def tied(home: Path) -> Iterator[tuple[Path, dict]]:
    config = {"model_type": "test", "tie_word_embeddings": True}
    paths = []
    for name, value in (("A", 1.0), ("B", 3.0)):
        embed = ("F32", [2], f32(value, 2 * value))
        whole = {"model.embed_tokens.weight": embed, "x": ("F32", [1], f32(value))}
        if name == "A":
            whole["lm_head.weight"] = embed
        paths.append(str(checkpoint(home / name, whole, config=config)))
    yield home / "soup", {"ingredients": paths}


def non_finite(home: Path) -> Iterator[tuple[Path, dict]]:
    big = 3e38
    paths = [
        str(checkpoint(home / name, {"w": ("F32", [4], f32(*values)), "fine": ("F32", [1], f32(1.0))}))
        for name, values in (("A", (NAN, INF, -INF, big)), ("B", (1.0, -INF, NAN, big)))
    ]
    yield home / "soup", {"ingredients": paths, "nonfinite": "warn", "dtype": "bf16"}
    yield home / "narrow", {"ingredients": paths, "nonfinite": "warn", "dtype": "f16"}


def side_files(home: Path) -> Iterator[tuple[Path, dict]]:
    paths = [checkpoint(home / name, tensors(value)) for name, value in (("A", 1.0), ("B", 3.0))]
    for name in (
        "tokenizer_config.json",
        "LICENSE",
        "chat_template.jinja",
        "additional_chat_templates/tool.jinja",
    ):
        (paths[0] / name).parent.mkdir(exist_ok=True)
        (paths[0] / name).write_text("{}")
    (paths[0] / "modeling.py").write_text("")
    (paths[0] / "pytorch_model.bin").write_text("")
    (paths[0] / "onnx").mkdir()
    (paths[0] / ".hidden").write_text("")
    yield (
        home / "soup",
        {"ingredients": [str(path) for path in paths], "notes": {"scores": [1, None]}, "command": ["x"]},
    )


def single_files(home: Path) -> Iterator[tuple[Path, dict]]:
    paths = [
        str(write_file(home / f"{name}.safetensors", tensors(value)))
        for name, value in (("A", 1.0), ("B", 3.0))
    ]
    yield home / "soup", {"ingredients": paths}


def cached(home: Path) -> Iterator[tuple[Path, dict]]:
    paths = []
    for repository, size in (("models--org--name", 64), ("models--gpt2", 40)):
        folder = home / "hub" / repository
        snapshot = checkpoint(folder / "snapshots" / REVISION, tensors(float(size)))
        (folder / "blobs").mkdir()
        (snapshot / "model.safetensors").rename(folder / "blobs" / ("a" * size))
        (snapshot / "model.safetensors").symlink_to(f"../../blobs/{'a' * size}")
        paths.append(str(snapshot))
    yield home / "soup", {"ingredients": paths}


def downloaded(home: Path) -> Iterator[tuple[Path, dict]]:
    path = checkpoint(home / "model", tensors(1.0))
    record = path / ".cache/huggingface/download/model.safetensors.metadata"
    record.parent.mkdir(parents=True)
    record.write_text(f"{REVISION}\n{'b' * 64}\n9999999999.5\n")
    yield home / "soup", {"ingredients": [str(path), str(checkpoint(home / "other", tensors(2.0)))]}


KINDS = (plain, sharded, tied, non_finite, side_files, single_files, cached, downloaded)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_merge_writes_what_the_schema_says(
    validator, kind: Callable[[Path], Iterator[tuple[Path, dict]]], level: str, tmp_path: Path
) -> None:
    for n, (output, options) in enumerate(kind(tmp_path)):
        ingredients = options.pop("ingredients")
        soce.merge(
            ingredients,
            output=output,
            options=replace(QUICK, digests=level, differences=n % 2 == 0, **options),
        )
        manifest = manifest_of(output)
        assert faults(validator, manifest) == [], output.name
        result = manifest["result"]
        assert manifest["run"]["digests"] == level
        assert all(("blake3" in entry) == (level != "none") for entry in result["tensors"].values())
        averaged = [entry for entry in result["tensors"].values() if entry["fate"] == "averaged"]
        assert averaged
        assert all(("differences" in entry) == (n % 2 == 0) for entry in averaged)
        columns = {len(row["parts"]) for row in result["recipe"]["rows"]}
        for entry in result["tensors"].values():
            assert {len(entry.get("differences", "?" * max(columns)))} == columns
        if level == "full":
            assert {len(result["ingredients"])} == columns


def test_a_resumed_merge_says_so(validator, tmp_path: Path) -> None:
    paths = []
    for name, last in (("A", float("nan")), ("B", 1.0)):
        files = [
            {f"w{i}": ("F32", [1], struct.pack("<f", value))} for i, value in enumerate((1.0, 2.0, last))
        ]
        paths.append(str(checkpoint(tmp_path / name, *files)))
    with pytest.raises(CheckpointError, match="not finite"):
        soce.merge(paths, output=tmp_path / "soup")
    soce.merge(paths, output=tmp_path / "soup", options=soce.MergeOptions(nonfinite="warn"))
    manifest = manifest_of(tmp_path / "soup")
    assert faults(validator, manifest) == []
    assert manifest["run"]["resumes"] == 1


DECODED = {"F64": "d", "F32": "f", "F16": "e"}


def values(tensor: tuple[str, list[int], bytes]) -> list[Fraction | None]:
    """Return the elements of a float tensor, None for those that are not finite."""
    dtype, _, data = tensor
    if dtype == "BF16":
        data = b"".join(b"\0\0" + data[k : k + 2] for k in range(0, len(data), 2))
    code = DECODED.get(dtype, "f")
    numbers = struct.unpack(f"<{len(data) // struct.calcsize(code)}{code}", data)
    return [Fraction(number) if isfinite(number) else None for number in numbers]


def differences_of(kind: Callable[[Path], Iterator[tuple[Path, dict]]], home: Path) -> Iterator[tuple]:
    """Merge with differences; yield for each tensor and ingredient the ingredient's part, the text and the truth."""
    for output, options in kind(home):
        ingredients = options.pop("ingredients")
        if isinstance(ingredients, list):  # parts that differ tell which ingredient a column is
            ingredients = {path: k + 1 for k, path in enumerate(ingredients)}
        soce.merge(ingredients, output=output, options=replace(QUICK, differences=True, **options))
        manifest = manifest_of(output)
        rows, soup = manifest["result"]["recipe"]["rows"], read_directory(output)
        by_parts = {
            tuple(source["parts"]): read_directory(Path(path))
            for source, path in zip(manifest["sources"], manifest["run"]["ingredients"], strict=True)
        }
        for name, entry in manifest["result"]["tensors"].items():
            if entry["fate"] == "copied":
                continue
            row = next(row for row in rows if fnmatch(name, row["pattern"]))
            for column, text in enumerate(entry["differences"]):
                ingredient = by_parts[tuple(row["parts"][column] for row in rows)]
                pairs = zip(values(soup[name]), values(ingredient[name]), strict=True)
                found = [abs(a - b) for a, b in pairs if a is not None and b is not None]
                yield row["parts"][column], text, float(max(found, default=0))


@pytest.mark.parametrize("kind", [plain, sharded, non_finite], ids=lambda kind: kind.__name__)
def test_differences_are_the_exact_ones_rounded_once(
    kind: Callable[[Path], Iterator[tuple[Path, dict]]], tmp_path: Path
) -> None:
    found = [(text, true) for part, text, true in differences_of(kind, tmp_path) if part]
    assert len(found) >= 8
    assert any(true > 0 for _, true in found)
    for text, true in found:
        assert float(text) == true


def test_an_ingredient_without_a_part_in_a_tensor_has_no_difference(tmp_path: Path) -> None:
    found = [text for part, text, _ in differences_of(plain, tmp_path) if not part]
    assert found
    assert set(found) == {None}


def test_contents_are_what_the_page_says(tmp_path: Path) -> None:
    blake3 = pytest.importorskip("blake3").blake3
    for output, options in sharded(tmp_path):
        options["ingredients"] = {path: k + 1 for k, path in enumerate(options["ingredients"])}
        soce.merge(
            options.pop("ingredients"), output=output, options=replace(QUICK, digests="full", **options)
        )
        manifest = manifest_of(output)
        expected = []
        for path in reversed(manifest["run"]["ingredients"]):  # by their parts, largest first
            entries = [
                [name, dtype, shape, blake3(data).hexdigest()]
                for name, (dtype, shape, data) in sorted(read_directory(Path(path)).items())
            ]
            text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False)
            expected.append({"content": blake3(text.encode()).hexdigest()})
        assert manifest["result"]["ingredients"] == expected
        for shard in manifest["result"]["shards"]:
            assert shard["sha256"] == hashlib.sha256((output / shard["name"]).read_bytes()).hexdigest()


def test_many_recipes_write_one_manifest_each(validator, tmp_path: Path) -> None:
    paths = [str(checkpoint(tmp_path / name, tensors(value))) for name, value in (("A", 1.0), ("B", 3.0))]
    grid = {"ingredients": paths, "recipes": [{"name": f"{k}", "weights": [k, 4 - k]} for k in range(5)]}
    (tmp_path / "grid.json").write_text(json.dumps(grid))
    report = soce.merge_all(tmp_path / "grid.json", output=tmp_path / "soups", options=QUICK)
    assert len(report.outputs) == 5
    for output in report.outputs:
        manifest = manifest_of(output)
        assert faults(validator, manifest) == []
        assert manifest["run"]["recipe_text"] == json.dumps(grid)


# ---- what the schema refuses


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, validator) -> dict:
    """Return a manifest that has every key there is."""
    home = tmp_path_factory.mktemp("good")
    [(output, options)] = cached(home)
    soce.merge(
        options["ingredients"], output=output, options=replace(QUICK, digests="full", differences=True)
    )
    manifest = manifest_of(output)
    result = manifest["result"]
    for entry in result["tensors"].values():
        entry["differences"] = ["1e-7", None]
        entry["non_finite"] = {"ingredients": [[0, 1, 2], [0, 0, 0]], "created": 1}
    assert faults(validator, manifest) == []
    return manifest


def objects(value: object, path: tuple = ()) -> Iterator[tuple]:
    """Yield the paths of all objects."""
    if isinstance(value, dict):
        yield path
        for key, below in value.items():
            yield from objects(below, (*path, key))
    elif isinstance(value, list):
        for k, below in enumerate(value[:1]):
            yield from objects(below, (*path, k))


def at(value, path: tuple):
    for key in path:
        value = value[key]
    return value


OPEN = {("result", "tensors"), ("result", "donor", "side_files")}
"""Objects whose keys are names."""
OPTIONAL = {
    "result.tensors.*.differences",
    "result.tensors.*.non_finite",
    "sources.*.content",
    "sources.*.hub",
    "sources.*.hub.id",
}
"""Keys that depend on options or on what an ingredient's directory tells."""


def test_every_object_but_run_is_closed(validator, good: dict) -> None:
    tried = 0
    for path in objects(good):
        if path[:1] == ("run",):
            continue
        wrong = copy.deepcopy(good)
        at(wrong, path)["more"] = 1
        assert faults(validator, wrong), path
        tried += 1
    assert tried > 20
    wrong = copy.deepcopy(good)
    wrong["run"]["more"] = {"anything": [1.5]}
    assert faults(validator, wrong) == []


def test_only_these_keys_may_be_missing(validator, good: dict) -> None:
    found = set()
    for path in objects(good):
        if path in OPEN or path[:1] == ("run",):
            continue
        for key in at(good, path):
            smaller = copy.deepcopy(good)
            del at(smaller, path)[key]
            if not faults(validator, smaller):
                tensor = path[2] if path[:2] == ("result", "tensors") else None
                found.add(".".join("*" if part in (tensor, 0) else part for part in (*path, key)))
    assert found == OPTIONAL
    pair = copy.deepcopy(good)
    for key in ("sha256", "sha256_source"):  # one without the other is refused
        del pair["sources"][0]["shards"][0][key]
    assert faults(validator, pair) == []


def test_the_level_says_which_digests_there_are(validator, good: dict) -> None:
    for level in ("none", "tensors"):
        manifest = copy.deepcopy(good)
        manifest["run"]["digests"] = level
        assert faults(validator, manifest)
        del manifest["result"]["ingredients"]
        assert faults(validator, manifest)
        for shard in manifest["result"]["shards"]:
            del shard["sha256"]
        assert (faults(validator, manifest) == []) == (level == "tensors")
        for entry in manifest["result"]["tensors"].values():
            del entry["blake3"]
        assert (faults(validator, manifest) == []) == (level == "none")
        del manifest["run"]["digests"]
        assert faults(validator, manifest)


WRONG: list[tuple[tuple, list]] = [
    (("result", "format"), [0, 2, "1", None]),
    (("result", "numerics"), [2]),
    (("result", "recipe", "method"), ["slerp"]),
    (("result", "recipe", "rows"), [[], {}]),
    (("result", "recipe", "rows", 0, "parts"), [[], [0.5], ["1"], [1 << 21]]),
    (("result", "recipe", "rows", 0, "whole"), [0, -1, 1.5, (1 << 20) + 1]),
    (("result", "ingredients"), [[], [{}], ["0" * 64]]),
    (("result", "ingredients", 0, "content"), ["0" * 63, "0" * 65, "G" * 64, "A" * 64, "0" * 64 + "\n"]),
    (("result", "donor", "left_out"), [[1], {}]),
    (("result", "donor", "side_files"), [{"../x": "0" * 64}, {"/x": "0" * 64}, {"x": ""}, {"": "0" * 64}]),
    (("result", "tensors"), [{}, {"x" * 4097: {}}]),
    (("result", "tensors", "ids", "fate"), ["refused", "tied", "averaged"]),
    (("result", "tensors", "scale", "dtype"), ["f32", "F8_E4M3", "C64", "I64"]),
    (("result", "tensors", "scale", "shape"), [[-1], [1.5], [1 << 49], [1] * 65, None]),
    (
        ("result", "tensors", "scale", "shard"),
        ["../x.safetensors", "a//b.safetensors", "x.bin", ".safetensors"],
    ),
    (("result", "tensors", "scale", "offset"), [0, 7, -1, 1 << 64]),
    (("result", "tensors", "scale", "length"), [-1, 0.5, "4"]),
    (("result", "tensors", "scale", "blake3"), [None, "", "0" * 63]),
    (
        ("result", "tensors", "scale", "non_finite", "ingredients"),
        [[], [[1, 2]], [[1, 2, -3]], [[1, 2, 3, 4]]],
    ),
    (("result", "tensors", "scale", "non_finite", "created"), [-1, True, None]),
    (
        ("result", "tensors", "scale", "differences"),
        [[], [0.5], ["-1"], ["nan"], ["inf"], ["1.0"], ["01"], [".5"], ["1e+5"], ["1e"], ["1E5"], [""]],
    ),
    (("result", "tied"), [["a", "a"], [1], None]),
    (("result", "shards"), [[]]),
    (("result", "shards", 0, "size"), [-1, 1.5]),
    (("result", "files"), [[], ["a", "a"], ["../a"], ["/a"], ["a/b/c/d/e/f/g"], ["a/.."], [""]]),
    (("result", "counts", "refused"), [1, None]),
    (("result", "counts", "averaged"), [-1]),
    (("result_digest",), ["", None]),
    (("plan_digest",), ["sha256:" + "0" * 57]),
    (("file_digest",), [1]),
    (("sources",), [[], {}]),
    (("sources", 0, "parts"), [[], [1.5]]),
    (("sources", 0, "gave_config"), [0, "yes"]),
    (("sources", 0, "hub"), [{}, {"id": "org/name"}, None]),
    (("sources", 0, "hub", "id"), ["a/b/c", "a--b", "a..b", "-a", "a/", "a.git", "x\x1b[2J", "\u00e9", ""]),
    (("sources", 0, "hub", "revision"), ["main", "0" * 39, "0" * 41, "G" * 40]),
    (("sources", 0, "shards"), [[]]),
    (("sources", 0, "shards", 0, "name"), ["", "../x.safetensors", "..", "x\x1b.safetensors"]),
    (("sources", 0, "shards", 0, "header_sha256"), [None, "0"]),
    (("sources", 0, "shards", 0, "sha256_source"), ["guess", "computed", None]),
    (("run", "ingredients"), [None, [1], []]),
    (("run", "warnings"), [None, [1]]),
    (("run", "num_threads"), [0]),
    (("run", "digests"), ["most"]),
    (("run", "resumes"), [-1]),
    ((), [[], None, {}]),
]


@pytest.mark.parametrize(
    ("path", "values"), WRONG, ids=lambda case: ".".join(map(str, case)) if isinstance(case, tuple) else ""
)
def test_wrong_values_are_refused(validator, good: dict, path: tuple, values: list) -> None:
    for value in values:
        wrong = copy.deepcopy(good)
        if path:
            at(good, path)  # or the test would be about a key that is missing
            at(wrong, path[:-1])[path[-1]] = value
        else:
            wrong = value
        assert faults(validator, wrong), value


def test_each_call_returns_a_schema_of_its_own() -> None:
    manifest_schema().clear()
    assert manifest_schema()["title"] == "soce.json"
    assert not signature(manifest_schema).parameters


# ---- the page


def example(home: Path) -> dict:
    """Make the soup of docs/manifest.md and return its manifest."""
    folder = home / "hub" / "models--org--math"
    first = checkpoint(
        folder / "snapshots" / REVISION, {"w": ("BF16", [2], bf16(1.0, 2.0)), "ids": ("I64", [1], bytes(8))}
    )
    content = (first / "model.safetensors").read_bytes()
    blob = folder / "blobs" / hashlib.sha256(content).hexdigest()
    blob.parent.mkdir()
    (first / "model.safetensors").rename(blob)
    (first / "model.safetensors").symlink_to(f"../../blobs/{blob.name}")
    (first / "README.md").write_text("# math\n")
    second = checkpoint(
        home / "code", {"w": ("BF16", [2], bf16(float("inf"), 4.0)), "ids": ("I64", [1], bytes(8))}
    )
    soce.merge(
        {str(first): "0.75", str(second): "0.25"},
        output=home / "soup",
        options=replace(
            QUICK, digests="full", nonfinite="warn", num_threads=2, kernels="scalar", differences=True
        ),
    )
    return manifest_of(home / "soup")


BLOCK = re.compile(r"```json\n(.*?)```", re.DOTALL)
CHANGING = ("run", "file_digest", "plan_digest")
"""What is another on another machine or after another minute."""


def test_the_page_shows_a_real_manifest(validator, tmp_path: Path) -> None:
    made = example(tmp_path)
    for key, value in made["run"].items():
        if isinstance(value, list):
            made["run"][key] = [text.replace(f"{tmp_path}/", "") for text in value]
    page = PAGE.read_text()
    if os.environ.get("SOCE_BLESS"):
        text = json.dumps(made, indent=2, sort_keys=True)
        text = re.sub(r"\[\s+([-\d,\s]*?)\s*\]", lambda m: f"[{' '.join(m[1].split())}]", text)
        page = BLOCK.sub(lambda _: f"```json\n{text}\n```", page, count=1)
        PAGE.write_text(page)
    (block,) = BLOCK.findall(page)
    shown = json.loads(block)
    assert faults(validator, shown) == []
    assert {k: v for k, v in shown.items() if k not in CHANGING} == {
        k: v for k, v in made.items() if k not in CHANGING
    }
    assert shown.keys() == made.keys()
    assert shown["run"].keys() == made["run"].keys()


def test_the_page_explains_every_key() -> None:
    def keys(schema: dict) -> Iterator[str]:
        for name, below in schema.get("properties", {}).items():
            yield name
            yield from keys(below)
        for below in [
            schema.get("items"),
            schema.get("additionalProperties"),
            *schema.get("$defs", {}).values(),
        ]:
            if isinstance(below, dict):
                yield from keys(below)

    page = PAGE.read_text()
    explained = set(re.findall(r"`([a-z0-9_]+)(?:\[\]|\{\})?`", BLOCK.sub("", page)))
    wanted = set(keys(manifest_schema()))
    assert len(wanted) > 50
    assert wanted - explained == set()
