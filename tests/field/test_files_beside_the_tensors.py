"""Files beside the tensors: what loaders need comes along, what is true of one ingredient does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.checkpoints import directory

import soce
from soce.cli.merge import merge as command


def two(tmp_path: Path, *files: str) -> list[str]:
    for name, value in (("A", 1.0), ("B", 2.0)):
        made = directory(tmp_path / name, value, 2.0)
        for file in files:
            (made / file).parent.mkdir(exist_ok=True)
            (made / file).write_text("{}")
    return [str(tmp_path / name) for name in "AB"]


@pytest.mark.parametrize(
    "file",
    [
        "source.spm",
        "target.spm",
        "qwen.tiktoken",
        "bpe.codes",
        "vocab.bpe",
        "dict.txt",
        "spiece.model",
        "tokenizer.model.v3",
        "tekken.json",
        "chat_template.jinja",
        "additional_chat_templates/tools.jinja",
        "preprocessor_config.json",
        "processor_config.json",
    ],
)
def test_files_of_tokenizers_and_processors_come_along(tmp_path: Path, file: str) -> None:
    soup = soce.merge(two(tmp_path, file), output=tmp_path / "soup").output
    assert (soup / file).read_text() == "{}"


FACTS = [
    "trainer_state.json", "eval_results.json", "all_results.json", "train_results.json", "test_results.json",
    "predict_results.json", "training_args.bin", "params.json", "optimizer.pt", "scheduler.pt",
    "rng_state.pth", "README.md", "runs/events.out", "metrics.json", "generated_predictions.txt",
]  # fmt: skip


@pytest.mark.parametrize("file", FACTS)
def test_facts_about_one_ingredient_stay_behind(tmp_path: Path, file: str) -> None:
    report = soce.merge(two(tmp_path, file), output=tmp_path / "soup")
    assert not (report.output / file).exists()
    assert report.left_out == (file.split("/")[0] + "/" * ("/" in file),)


def test_the_config_of_mistrals_own_format_comes_along(tmp_path: Path) -> None:
    paths = two(tmp_path, "params.json")
    for path in map(Path, paths):
        (path / "model.safetensors").rename(path / "consolidated.safetensors")
    assert (soce.merge(paths, output=tmp_path / "soup").output / "params.json").exists()


def test_every_run_says_what_came_along_and_what_did_not(tmp_path: Path) -> None:
    paths = two(tmp_path, "vocab.json", *FACTS)
    result = CliRunner().invoke(command, [*paths, "-o", str(tmp_path / "soup"), "--no-sync"])
    assert "copied 2 files: config.json, vocab.json" in result.stderr
    assert f"left out {len(FACTS)} files: README.md, " in result.stderr
    told = [line for line in result.stderr.splitlines() if "file" in line and "wrote" not in line]
    assert max(map(len, told)) <= 80


def test_numbers_of_python_in_a_config_are_read_and_kept(tmp_path: Path) -> None:
    paths = two(tmp_path)
    text = '{"time_step_limit": [0.0, Infinity], "low": -Infinity, "mask": NaN, "torch_dtype": "float32"}\n'
    for path in paths:
        (Path(path) / "config.json").write_text(text)
    soup = soce.merge(paths, output=tmp_path / "soup").output
    assert (soup / "config.json").read_text() == text
    halves = soce.merge(paths, output=tmp_path / "halves", options=soce.MergeOptions(dtype="bf16")).output
    assert (halves / "config.json").read_text() == text.replace("float32", "bfloat16")
