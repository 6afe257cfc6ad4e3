"""Configs that make other models of equal shapes: refused or told, wherever ingredients meet."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.checkpoints import bf16, checkpoint, directory

import soce
from soce.cli.merge import merge as command
from soce.exceptions import IncompatibleError
from soce.merging.doctor import diagnose
from soce.merging.plan import plan

ALLOWED = soce.MergeOptions(allow_different_configs=True, sync=False)


def two(tmp_path: Path, a: dict[str, object], b: dict[str, object]) -> list[str]:
    for name, value, config in (("A", 1.0, a), ("B", 1.5, b)):
        made = directory(tmp_path / name, value, 2.0)
        (made / "config.json").write_text(json.dumps(config))
    return [str(tmp_path / name) for name in "AB"]


def labels(*names: str) -> dict[str, object]:
    return {"id2label": {str(id): name for id, name in enumerate(names)}}


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ({"model_type": "llama"}, {"model_type": "mistral"}, "`model_type` is"),
        (labels("negative", "positive"), labels("positive", "negative"), "label `negative` is number 1"),
        (labels("Negative", "Positive"), labels("positive", "negative"), "label `negative` is number 1"),
        ({"label2id": {"no": 0, "yes": 1}}, {"label2id": {"no": 1, "yes": 0}}, "label `no` is number 1"),
    ],
)
def test_other_labels_and_types_are_refused_unless_allowed(
    tmp_path: Path, a: dict[str, object], b: dict[str, object], words: str
) -> None:
    paths = two(tmp_path, a, b)
    with pytest.raises(IncompatibleError, match=words):
        soce.merge(paths, output=tmp_path / "soup")
    assert any(words in problem.message for problem in diagnose(paths).problems)
    told = soce.merge(paths, output=tmp_path / "soup", options=ALLOWED).warnings
    assert [words in warning for warning in told] == [True]


@pytest.mark.parametrize(
    ("key", "a", "b"),
    [
        ("rope_theta", 10000.0, 1000000.0),
        ("rms_norm_eps", 1e-5, 1e-6),
        ("hidden_act", "silu", "gelu"),
        ("sliding_window", None, 4096),
        ("num_experts_per_tok", 2, 4),
        ("max_position_embeddings", 2048, 4096),
    ],
)
def test_what_doctor_knows_merge_and_plan_say(tmp_path: Path, key: str, a: object, b: object) -> None:
    paths = two(tmp_path, {key: a}, {key: b})
    planned = plan(paths, output=tmp_path / "soup").data["warnings"]
    assert len(planned) == 1
    assert f"which the soup gets: {key} (" in planned[0]
    assert planned[0] in diagnose(paths).warnings
    result = CliRunner().invoke(command, [*paths, "-o", str(tmp_path / "soup"), "--no-sync"])
    told = " ".join(result.stderr.split())  # lines are folded
    assert (result.exit_code, planned[0] in told) == (0, True)


def test_rotary_scaling_that_one_lacks_is_told_and_its_other_spelling_is_not(tmp_path: Path) -> None:
    old = {"rope_theta": 1e6, "rope_scaling": {"type": "yarn", "factor": 4.0}}
    new = {"rope_parameters": {"rope_theta": 1000000, "rope_type": "yarn", "factor": 4}}
    assert plan(two(tmp_path, old, new), output=tmp_path / "soup").data["warnings"] == []
    without = two(tmp_path, old, {"rope_theta": 1e6, "rope_scaling": None})
    (warning,) = plan(without, output=tmp_path / "soup").data["warnings"]
    assert "rope_scaling.factor (4.0 and null)" in warning


@pytest.mark.parametrize("key", ["transformers_version", "_name_or_path", "torch_dtype", "use_cache"])
def test_keys_that_change_no_model_are_passed_over(tmp_path: Path, key: str) -> None:
    paths = two(tmp_path, {key: "x"}, {key: "y"})
    assert plan(paths, output=tmp_path / "soup").data["warnings"] == []


def test_averaged_routers_are_told_and_taken_ones_are_not(tmp_path: Path) -> None:
    router = "model.layers.0.mlp.gate.weight"
    names = (router, "model.layers.0.mlp.experts.0.up_proj.weight")
    paths = [
        str(checkpoint(tmp_path / name, {one: ("BF16", [2], bf16(value, 1)) for one in names}, config={}))
        for name, value in (("A", 1), ("B", 2))
    ]
    (warning,) = plan(paths, output=tmp_path / "soup").data["warnings"]
    assert "2606.03391" in warning
    assert warning in diagnose(paths).warnings
    taken = soce.MergeOptions(take={"*.gate.*": paths[0]})
    assert plan(paths, output=tmp_path / "soup", options=taken).data["warnings"] == []
