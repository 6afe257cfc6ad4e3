"""A tiny Llama with a tokenizer of single characters, and tasks of lm-evaluation-harness that it can be given."""

from __future__ import annotations

import json
import random
from pathlib import Path

CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789 =?:."
SCORES = "model,math,code,chat\nm0,9,4,2\nm1,2,8,3\nm2,3,3,9\nx,4,4,5\n"
LLAMA = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}


def save_models(home: Path, count: int = 2, *, dtype: str = "float32", tied: bool = False) -> list[str]:
    """Save models that differ enough to answer differently, each with the tokenizer."""
    import torch
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = {word: i for i, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", *CHARACTERS])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", words["<s>"])]
    )
    tokenizer.decoder = decoders.Fuse()
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
    )
    config = LlamaConfig(
        **LLAMA,
        vocab_size=len(words),
        tie_word_embeddings=tied,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    paths = []
    for seed in range(count):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
        with torch.no_grad():
            for parameter in model.parameters():  # far from uniform predictions
                parameter.mul_(4)
        path = home / f"model{seed}"
        model.to(getattr(torch, dtype)).save_pretrained(path)
        wrapped.save_pretrained(path)
        paths.append(str(path))
    return paths


def write_tasks(home: Path, n: int = 12) -> Path:
    """Write a group of tasks of every kind, with a group inside it, on local files."""
    home.mkdir()
    draw = random.Random(0)

    def word(length: int) -> str:
        return "".join(draw.choice("abcdefghij") for _ in range(length))

    def data(name: str, rows: list[dict[str, object]]) -> str:
        path = home / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    asked = [{"q": word(6), "choices": [word(2), word(3), word(4)], "gold": i % 3} for i in range(n)]
    shots = [{"q": word(6), "choices": [word(2), word(3), word(4)], "gold": i % 3} for i in range(12)]
    said = [{"q": word(2), "a": word(1)} for _ in range(n)]
    texts = [{"text": word(10 + i)} for i in range(n)]
    pairs = [{"q": word(6), "choices": [word(2), word(2)], "gold": i % 2} for i in range(n)]
    translations = [{"q": word(4), "a": " ".join(word(1) for _ in range(8))} for _ in range(n)]
    common = {"dataset_path": "json", "test_split": "test", "target_delimiter": ""}
    choice = {
        "output_type": "multiple_choice",
        "doc_to_text": "{{q}}=",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{gold}}",
    }
    better = {"aggregation": "mean", "higher_is_better": True}
    configs: list[dict[str, object]] = [
        {
            **common,
            **choice,
            "task": "tiny_choice",
            "dataset_kwargs": {"data_files": {"test": data("choice", asked)}},
            "metric_list": [{"metric": "acc", **better}, {"metric": "acc_norm", **better}],
        },
        {
            **common,
            **choice,
            "task": "tiny_shots",
            "dataset_kwargs": {"data_files": {"test": data("shot", asked), "train": data("shots", shots)}},
            "fewshot_split": "train",
            "num_fewshot": 2,
            "fewshot_delimiter": ".",
            "metric_list": [{"metric": "acc", **better}],
        },
        {
            **common,
            "task": "tiny_said",
            "dataset_kwargs": {"data_files": {"test": data("said", said)}},
            "output_type": "generate_until",
            "doc_to_text": "{{q}}=",
            "doc_to_target": "{{a}}",
            "generation_kwargs": {"until": ["."], "max_gen_toks": 3, "do_sample": False},
            "metric_list": [{"metric": "exact_match", **better}],
            "filter_list": [
                {"name": "whole", "filter": [{"function": "take_first"}]},
                {
                    "name": "first",
                    "filter": [
                        {"function": "regex", "regex_pattern": "([a-z])"},
                        {"function": "take_first"},
                    ],
                },
            ],
        },
        {
            **common,
            "task": "tiny_text",
            "dataset_kwargs": {"data_files": {"test": data("text", texts)}},
            "output_type": "loglikelihood_rolling",
            "doc_to_text": "",
            "doc_to_target": "{{text}}",
            "metric_list": [
                {
                    "metric": "word_perplexity",
                    "aggregation": "weighted_perplexity",
                    "higher_is_better": False,
                },
                {"metric": "bits_per_byte", "aggregation": "bits_per_byte", "higher_is_better": False},
            ],
        },
        {
            **common,
            "task": "tiny_surprise",
            "dataset_kwargs": {"data_files": {"test": data("surprise", said)}},
            "output_type": "loglikelihood",
            "doc_to_text": "{{q}}=",
            "doc_to_target": "{{a}}",
            "metric_list": [
                {"metric": "perplexity", "aggregation": "perplexity", "higher_is_better": False},
                {"metric": "acc", **better},
            ],
        },
        {
            **common,
            "task": "tiny_translation",
            "dataset_kwargs": {"data_files": {"test": data("translation", translations)}},
            "output_type": "generate_until",
            "doc_to_text": "{{q}}=",
            "doc_to_target": "{{a}}",
            "generation_kwargs": {"until": ["."], "max_gen_toks": 24, "do_sample": False},
            "metric_list": [
                {"metric": "bleu", "aggregation": "bleu", "higher_is_better": True},
                {"metric": "chrf", "aggregation": "chrf", "higher_is_better": True},
                {"metric": "ter", "aggregation": "ter", "higher_is_better": False},
            ],
        },
        {
            **common,
            **choice,
            "task": "tiny_pair",
            "dataset_kwargs": {"data_files": {"test": data("pair", pairs)}},
            "metric_list": [
                {"metric": "f1", "aggregation": "f1", "higher_is_better": True},
                {"metric": "mcc", "aggregation": "matthews_corrcoef", "higher_is_better": True},
                {"metric": "brier_score", "aggregation": "brier_score", "higher_is_better": False},
                {"metric": "acc", "aggregation": "median", "higher_is_better": True},
            ],
        },
        {
            "group": "tiny_inner",
            "task": ["tiny_said", "tiny_shots"],
            "aggregate_metric_list": [{"metric": "acc", "aggregation": "mean", "weight_by_size": False}],
        },
        {"group": "tiny", "task": ["tiny_choice", "tiny_inner"]},
    ]
    for config in configs:
        name = config.get("group", config.get("task"))
        (home / f"{name}.yaml").write_text(json.dumps(config))  # JSON is YAML
    return home


def write_scores_and_choices(home: Path) -> None:
    """Write a table of three models and one without a checkpoint, and items of two choices in its categories."""
    (home / "scores.csv").write_text(SCORES)
    items = [
        {
            "category": name,
            "kind": "multiple_choice",
            "prompt": f"{n} ",
            "choices": ["a", "b"],
            "answer": n % 2,
        }
        for name in ("math", "code", "chat")
        for n in range(6)
    ]
    (home / "tasks.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
