"""Tensors that some ingredients lack: loaders' buffers stay out, and people say what becomes of the rest."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner
from tests.checkpoints import Tensors, bf16, checkpoint, f32, read_directory
from tests.manifests import rewrite

import soce
from soce.cli.merge import merge as command
from soce.exceptions import IncompatibleError, RecipeError
from soce.merging.manifest import manifest_schema

W: Tensors = {"w": ("BF16", [2], bf16(1, 2))}
HEAD: Tensors = {
    "mtp.fc.weight": ("F32", [3], f32(0.1, 0.2, 0.3)),
    "mtp.ids": ("I64", [1], struct.pack("<q", 7)),
}


def pair(home: Path, first: Tensors, second: Tensors, config: dict[str, object] | None = None) -> list[Path]:
    """Write checkpoints A and B with a tensor that both have."""
    other: Tensors = {"w": ("BF16", [2], bf16(3, 4))}
    return [
        checkpoint(home / name, shared | own, config=config)
        for name, shared, own in (("A", W, first), ("B", other, second))
    ]


def soup(paths: list[Path], *, name: str = "soup", **options: Any) -> soce.MergeReport:
    home = paths[0].parent
    return soce.merge(paths, output=home / name, options=soce.MergeOptions(sync=False, **options))


def manifest_of(report: soce.MergeReport) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((report.output / "soce.json").read_text())
    jsonschema.Draft202012Validator(manifest_schema()).validate(manifest)
    return manifest


def check(report: soce.MergeReport, expected: Mapping[str, bytes], paths: list[Path]) -> dict[str, Any]:
    """Compare a soup with its bytes, its manifest with the schema, and verify it from its ingredients."""
    found = read_directory(report.output)
    assert {name: data for name, (_, _, data) in found.items()} == expected
    for recompute in (None, paths, True):
        verification = soce.verify(report.output, recompute=recompute)
        assert verification.ok, verification.findings
    return manifest_of(report)["result"]  # type: ignore[no-any-return]


BUFFERS: dict[str, tuple[str, list[int], bytes]] = {
    "model.layers.0.self_attn.rotary_emb.inv_freq": ("F32", [2], f32(1, 0.5)),
    "embeddings.position_ids": ("I64", [1, 2], struct.pack("<2q", 0, 1)),
    "h.0.attn.masked_bias": ("F32", [], f32(-1e4)),
    "h.0.attn.bias": ("U8", [1, 1, 2, 2], b"\1\0\1\1"),
    "bn.num_batches_tracked": ("I64", [], struct.pack("<q", 3)),
}


@pytest.mark.parametrize("name", BUFFERS)
@pytest.mark.parametrize("turned", [False, True])
def test_a_buffer_that_loaders_make_stays_out(tmp_path: Path, name: str, *, turned: bool) -> None:
    paths = pair(tmp_path, {name: BUFFERS[name]}, {})[:: -1 if turned else 1]
    report = soup(paths)
    result = check(report, {"w": bf16(2, 3)}, paths)
    assert result["left_out"] == {name: None}
    assert (result["format"], result["counts"]["left_out"]) == (2, 1)
    (warning,) = report.warnings
    assert name in warning
    assert "loaders make it anew" in warning


@pytest.mark.parametrize("name", BUFFERS)
def test_a_buffer_that_all_have_is_kept(tmp_path: Path, name: str) -> None:
    paths = pair(tmp_path, {name: BUFFERS[name]}, {name: BUFFERS[name]})
    report = soup(paths)
    assert check(report, {"w": bf16(2, 3), name: BUFFERS[name][2]}, paths)["format"] == 1
    assert report.warnings == ()


def test_a_buffer_of_another_dtype_may_be_left_out(tmp_path: Path) -> None:
    name = "h.0.attn.bias"
    paths = pair(tmp_path, {name: BUFFERS[name]}, {name: ("BOOL", *BUFFERS[name][1:])})
    with pytest.raises(IncompatibleError) as caught:
        soup(paths)
    (problem,) = caught.value.problems
    assert (problem.tensor, "--leave-out" in (problem.hint or "")) == (name, True)
    report = soup(paths, leave_out=[name])
    assert check(report, {"w": bf16(2, 3)}, paths)["left_out"] == {name: name}


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("h.0.attn.bias", ("F32", [2], f32(1, 2))),
        ("h.0.conv.bias", ("U8", [1, 1, 2, 2], b"\1\0\1\1")),
        ("embeddings.position_ids.weight", ("F32", [2], f32(1, 2))),
        ("bn.running_mean", ("F32", [2], f32(1, 2))),
    ],
)
def test_what_is_learned_is_no_buffer(
    tmp_path: Path, name: str, tensor: tuple[str, list[int], bytes]
) -> None:
    with pytest.raises(IncompatibleError) as caught:
        soup(pair(tmp_path, {name: tensor}, {}))
    (problem,) = caught.value.problems
    assert problem.tensor == name
    assert "leave_out" in (problem.hint or "") or "--leave-out" in (problem.hint or "")
    assert "take" in (problem.hint or "")


def test_a_pattern_leaves_tensors_out(tmp_path: Path) -> None:
    paths = pair(tmp_path, HEAD, {})
    report = soup(paths, leave_out=["mtp.*", "*.ids"])
    result = check(report, {"w": bf16(2, 3)}, paths)
    assert result["left_out"] == {"mtp.fc.weight": "mtp.*", "mtp.ids": "*.ids"}
    assert not (report.output / "mergekit_config.yml").exists()
    assert report.counts == {
        "averaged": 1, "copied": 0, "taken": 0, "left_out": 2, "tied": 0, "refused": 0
    }  # fmt: skip


def test_tensors_that_all_have_can_be_left_out(tmp_path: Path) -> None:
    paths = pair(tmp_path, HEAD, HEAD)
    check(soup(paths, leave_out=["mtp.*"]), {"w": bf16(2, 3)}, paths)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("digests", ["none", "tensors", "full"])
def test_a_pattern_takes_tensors_byte_for_byte(tmp_path: Path, digests: str, *, turned: bool) -> None:
    paths = pair(tmp_path, HEAD, {})
    given = paths[:: -1 if turned else 1]
    report = soup(given, take={"mtp.*": str(paths[0])}, digests=digests, dtype="f32")
    kept = {name: data for name, (_, _, data) in HEAD.items()}
    result = check(report, {"w": f32(2, 3), **kept}, given)
    assert {name: one["fate"] for name, one in result["tensors"].items()} == {
        "w": "averaged", "mtp.fc.weight": "taken", "mtp.ids": "taken"
    }  # fmt: skip
    row, _ = result["recipe"]["rows"]
    assert (row["pattern"], sorted(row["parts"]), row["whole"]) == ("mtp.*", [0, 1], 1)
    assert result["counts"]["taken"] == 2


def test_equal_choices_give_equal_soups_in_any_order(tmp_path: Path) -> None:
    paths = pair(tmp_path, HEAD, {"ema.w": ("F32", [1], f32(5))})
    a, b = map(str, paths)
    first = soup(paths, take={"mtp.fc*": a, "mtp.ids": a}, leave_out=["ema.*", "ema.w"], digests="full")
    second = soup(
        paths[::-1],
        name="again",
        take={"mtp.ids": a, "mtp.fc*": a},
        leave_out=["ema.w", "ema.*"],
        digests="full",
    )
    assert (first.output / "soce.json").stat().st_size
    contents = [read_directory(report.output) for report in (first, second)]
    assert contents[0] == contents[1]
    assert manifest_of(first)["result"]["left_out"] == manifest_of(second)["result"]["left_out"]
    assert manifest_of(first)["result"]["recipe"] == manifest_of(second)["result"]["recipe"]
    assert a != b


def test_what_others_lack_goes_to_the_last_of_the_first_ones_shards(tmp_path: Path) -> None:
    first = checkpoint(tmp_path / "A", {"v": ("BF16", [1], bf16(1))}, W | {"z": ("U8", [1], b"x")})
    other = checkpoint(tmp_path / "B", {"v": ("BF16", [1], bf16(3))} | W | {"z": ("U8", [1], b"x")} | HEAD)
    report = soup([first, other], take={"mtp.*": str(other)})
    index = json.loads((report.output / "model.safetensors.index.json").read_text())
    last = "model-00002-of-00002.safetensors"
    assert {index["weight_map"][name] for name in HEAD} == {last}
    assert index["metadata"]["total_size"] == 2 + 4 + 1 + 12 + 8
    tensors = manifest_of(report)["result"]["tensors"]
    assert tensors["mtp.ids"]["offset"] % 8 == tensors["mtp.fc.weight"]["offset"] % 4 == 0
    assert soce.verify(report.output, recompute=[first, other]).ok


def test_a_take_lets_shapes_and_integers_differ(tmp_path: Path) -> None:
    counter = [{"bn.num_batches_tracked": ("I64", [], struct.pack("<q", n))} for n in (3, 900)]
    head = [{"score.weight": ("F32", [n], f32(*range(n)))} for n in (2, 3)]
    paths = pair(tmp_path, counter[0] | head[0], counter[1] | head[1])
    with pytest.raises(IncompatibleError):
        soup(paths)
    report = soup(paths, take={"bn.*": str(paths[0]), "score.*": str(paths[1])})
    expected = {"w": bf16(2, 3), "bn.num_batches_tracked": struct.pack("<q", 3), "score.weight": f32(0, 1, 2)}
    check(report, expected, paths)


def test_a_row_of_one_ingredient_takes_what_has_no_mean(tmp_path: Path) -> None:
    counter = [{"bn.num_batches_tracked": ("I64", [], struct.pack("<q", n))} for n in (3, 900)]
    paths = pair(tmp_path, HEAD | counter[0], counter[1])
    recipe = tmp_path / "r.yaml"
    rows = '[{pattern: "mtp.*", weights: {a: 1, b: 0}}, {pattern: "bn.*", weights: {a: 0, b: 1}}]'
    recipe.write_text(f"ingredients: {{a: A, b: B}}\nrows: {rows}\nweights: {{a: 1, b: 1}}\n")
    report = soce.merge(recipe, output=tmp_path / "soup")
    kept = {name: data for name, (_, _, data) in HEAD.items()}
    result = check(report, {"w": bf16(2, 3), **kept, "bn.num_batches_tracked": struct.pack("<q", 900)}, paths)
    assert result["counts"]["taken"] == 3


def test_a_recipe_file_says_it_too(tmp_path: Path) -> None:
    paths = pair(tmp_path, HEAD, {"ema.w": ("F32", [1], f32(5))})
    (tmp_path / "r.yaml").write_text(
        "ingredients: {a: A, b: B}\nweights: {a: 1, b: 1}\nleave_out: ['ema.*']\ntake: {'mtp.*': a}\n"
    )
    kept = {name: data for name, (_, _, data) in HEAD.items()}
    check(soce.merge(tmp_path / "r.yaml", output=tmp_path / "one"), {"w": bf16(2, 3), **kept}, paths)
    more = soce.MergeOptions(leave_out=["mtp.ids"], take={"mtp.*": "nobody"})
    with pytest.raises(RecipeError, match="nobody"):
        soce.merge(tmp_path / "r.yaml", output=tmp_path / "two", options=more)


def test_a_checkpoint_that_is_no_ingredient_can_give_tensors(tmp_path: Path) -> None:
    paths = pair(tmp_path, {}, {})
    base = checkpoint(tmp_path / "base", W | HEAD)
    report = soup(paths, take={"mtp.*": str(base)}, digests="full")
    kept = {name: data for name, (_, _, data) in HEAD.items()}
    check(report, {"w": bf16(2, 3), **kept}, [*paths, base])


def test_takes_hold_for_every_soup_of_a_pass(tmp_path: Path) -> None:
    a, b = map(str, pair(tmp_path, HEAD, {}))
    options = soce.MergeOptions(take={"mtp.*": a}, sync=False)
    report = soce.merge_all({"a": {a: 1}, "b": {b: 1}}, output=tmp_path / "soups", options=options)
    for output, own in zip(report.outputs, (bf16(1, 2), bf16(3, 4)), strict=True):
        found = read_directory(output)
        assert found["w"][2] == own
        assert found["mtp.fc.weight"] == HEAD["mtp.fc.weight"]
        assert soce.verify(output, recompute=True).ok


def test_not_finite_values_that_are_taken_are_told(tmp_path: Path) -> None:
    paths = pair(tmp_path, {"mask": ("F32", [2], f32(0, float("-inf")))}, {})
    options = {"take": {"mask": str(paths[0])}}
    with pytest.raises(soce.SoceError, match="not finite"):
        soup(paths, **options)
    report = soup(paths, nonfinite="warn", restart=True, **options)
    assert [(found.tensor, found.neg_inf) for found in report.nonfinite] == [("mask", 1)]
    check(report, {"w": bf16(2, 3), "mask": f32(0, float("-inf"))}, paths)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"leave_out": ["mpt.*"]}, ("leave_out", "mpt.*")),
        ({"take": {"mtp.fc.bias": "A"}}, ("take", "mtp.fc.bias", "mtp.fc.weight")),
        ({"take": {"mtp.*": "B"}}, ("mtp.fc.weight", "cannot be taken")),
        ({"take": {"mtp.*": "A", "*.ids": "B"}}, ("mtp.ids",)),
        ({"take": {"mtp.*": "A"}, "leave_out": ["*.ids"]}, ("mtp.ids", "left out", "taken")),
        ({"leave_out": ["*"]}, ("nothing is left",)),
        ({"take": {"mtp.*": "C"}}, ("neither an ingredient",)),
    ],
)
def test_choices_that_make_no_sense_are_refused(
    tmp_path: Path, options: dict[str, Any], words: tuple[str, ...]
) -> None:
    paths = pair(tmp_path, HEAD, {})
    if "take" in options:
        options = options | {"take": {k: str(tmp_path / v) for k, v in options["take"].items()}}
    with pytest.raises(RecipeError) as caught:
        soup(paths, **options)
    told = " ".join(f"{one} {one.hint}" for one in caught.value.problems)
    assert all(word in told for word in words), told
    assert not (tmp_path / "soup").exists()


@pytest.mark.parametrize("options", [{"leave_out": "mtp.*"}, {"leave_out": [1]}, {"take": "mtp.*=A"}])
def test_choices_of_a_wrong_type_are_told(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(options))):
        soup(pair(tmp_path, HEAD, {}), **options)


def test_the_command_line_says_what_is_left_out_and_taken(tmp_path: Path) -> None:
    a, b = map(str, pair(tmp_path, HEAD, {"ema.w": ("F32", [1], f32(5))}))
    arguments = [a, b, "-o", str(tmp_path / "soup"), "--leave-out", "ema.*", "--take", f"mtp.*={a}"]
    shown = CliRunner().invoke(command, [*arguments, "--plan"])
    assert shown.exit_code == 0, shown.output
    assert "2 taken, 1 left out" in shown.stdout
    made = CliRunner().invoke(command, arguments)
    assert made.exit_code == 0, made.output
    for output in (shown.stdout, made.stderr):
        assert "left out by `ema.*`: `ema.w`" in output
        assert "`mtp.fc.weight`, `mtp.ids`" in output
    plan = json.loads(CliRunner().invoke(command, [*arguments, "-o", f"{b}2", "--plan", "--json"]).stdout)
    assert plan["tensors_left_out"] == [{"name": "ema.w", "pattern": "ema.*"}]
    assert {one["name"]: one["from"] for one in plan["tensors"]} == {
        "w": None,
        "mtp.fc.weight": 0,
        "mtp.ids": 0,
    }
    assert CliRunner().invoke(command, [*arguments, "--take", f"mtp.*={b}"]).exit_code == 2


def test_a_left_out_tensor_that_is_there_is_found(tmp_path: Path) -> None:
    paths = pair(tmp_path, HEAD, {})
    report = soup(paths, leave_out=["mtp.*"])
    kept = soup(paths, name="kept", take={"mtp.*": str(paths[0])})
    (report.output / "model.safetensors").write_bytes((kept.output / "model.safetensors").read_bytes())
    found = soce.verify(report.output, quick=True).findings
    assert any("left out" in one.message and one.tensor == "mtp.ids" for one in found)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda result: result["left_out"].update({"ema.w": "mtp.*"}), "does not match it"),
        (lambda result: result["left_out"].update({"w": None}), "is left out and something else"),
        (lambda result: result["counts"].update(left_out=5), "`counts.left_out`: expected 1, got 5"),
        (lambda result: result["counts"].update(taken=1), "`counts.taken`: expected 2, got 1"),
        (lambda result: result["tensors"]["w"].update(fate="taken"), "BF16 cannot be `taken` by this recipe"),
        (lambda result: result.update(format=1), "`format`: expected 2, got 1"),
    ],
)
def test_a_manifest_that_lies_about_choices_is_found(tmp_path: Path, change: Any, words: str) -> None:
    paths = pair(tmp_path, HEAD, {"ema.w": ("F32", [1], f32(5))})
    report = soup(paths, leave_out=["ema.*"], take={"mtp.*": str(paths[0])})
    rewrite(report.output, lambda manifest: change(manifest["result"]))
    findings = soce.verify(report.output, quick=True).findings
    assert any(words in str(finding) for finding in findings), findings


def test_bytes_that_the_giver_has_not_are_found(tmp_path: Path) -> None:
    paths = pair(tmp_path, HEAD, {})
    report = soup(paths, take={"mtp.*": str(paths[0])})
    found = read_directory(paths[0])
    changed: Tensors = found | {"mtp.fc.weight": ("F32", [3], f32(0.1, 0.2, 0.4))}
    checkpoint(paths[0], changed)
    findings = soce.verify(report.output, recompute=paths).findings
    assert [(one.kind, one.tensor) for one in findings] == [("recompute", "mtp.fc.weight")]


def test_a_mixer_gives_what_a_merge_writes(tmp_path: Path) -> None:
    paths = pair(tmp_path, {}, HEAD | {"ema.w": ("F32", [1], f32(5))})
    mixer = soce.Mixer(list(map(str, paths)), leave_out=["ema.*"], take=[("mtp.*", 1)])
    assert [name for name, _, _ in mixer.tensors()] == ["w", "mtp.fc.weight", "mtp.ids"]
    out = np.zeros(3, dtype=np.float32)
    mixer.mix("mtp.fc.weight", [1, 1], 2, out, dtype="BF16")
    assert out.tobytes() == HEAD["mtp.fc.weight"][2]
    assert (mixer.giver("mtp.fc.weight"), mixer.giver("w")) == (1, None)
    with pytest.raises(RecipeError):
        mixer.mix("ema.w", [1, 1], 2, out[:1])


def test_a_buffer_of_one_part_of_a_pipeline_stays_out(tmp_path: Path) -> None:
    ids: Tensors = {"text_model.embeddings.position_ids": BUFFERS["embeddings.position_ids"]}
    paths = []
    for name, own in (("A", ids), ("B", {})):
        checkpoint(tmp_path / name / "text_encoder", W | own)
        checkpoint(tmp_path / name / "text_encoder_2", W)
        index = {key: ["transformers", "CLIPTextModel"] for key in ("text_encoder", "text_encoder_2")}
        (tmp_path / name / "model_index.json").write_text(json.dumps({"_class_name": "P", **index}))
        paths.append(tmp_path / name)
    report = soup(paths)
    assert manifest_of(report)["result"]["left_out"] == {f"text_encoder/{name}": None for name in ids}
    assert soce.verify(report.output, recompute=paths).ok
