"""Where a text ends, token by token, with tokens that are bytes and words of which several make a stop."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from soce.evaluate.tasks.encoding import Prompt  # noqa: E402
from soce.evaluate.tasks.forward import Batches  # noqa: E402
from soce.evaluate.tasks.writing import Writer  # noqa: E402


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """Return a tokenizer of bytes that knows some pairs, as those of real models do."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<pad>", "</s>", "<|turn|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made.train_from_iterator(["Question: the answer is the question\n\nQuestion"] * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="</s>")


def writer(tokenizer: Any) -> Writer:
    config = SimpleNamespace(eos_token_id=tokenizer.eos_token_id)
    soup: Any = SimpleNamespace(
        tokenizer=tokenizer, model=SimpleNamespace(config=config, generation_config=config)
    )
    return Writer(soup, Batches(), window=1000)


@pytest.mark.parametrize(
    ("text", "stop", "expected", "ending"),
    [
        ("the answer is 4\n\nQuestion: 5", ["\n\nQuestion"], "the answer is 4", "stop"),
        ("es ist 日本国", ["日本"], "es ist ", "stop"),
        ("es ist 日光", ["日本"], "es ist 日光", "length"),
        ("one two", ["two", "one t"], "", "stop"),
        ("abc def", ["abc def", "c"], "ab", "stop"),
        ("the</s> answer", [], "the", "stop"),
        ("the<|turn|> answer", ["<|turn|>"], "the", "stop"),
        ("the<|turn|> answer", [], "the answer", "length"),
        ("the question", [], "the question", "length"),
    ],
)
def test_a_text_ends_where_it_should_and_no_token_later(
    tokenizer: Any, text: str, stop: list[str], expected: str, ending: str
) -> None:
    tokens = tokenizer(text)["input_ids"]
    prompt = Prompt((7, 8), len(tokens), tuple(stop))
    one = writer(tokenizer)
    is_done = one._is_done([prompt], given=2)
    found = one._ends.written(prompt, tokens)
    assert (found.text, found.ending) == (expected, ending)
    done = [bool(is_done(torch.tensor([[7, 8, *tokens[: n + 1]]]))) for n in range(len(tokens))]
    ends = [tokens[n] == tokenizer.eos_token_id for n in range(len(tokens))]  # which `generate` looks at
    first = next(n for n in range(len(tokens)) if done[n] or ends[n])
    short = one._ends.written(Prompt((7, 8), 99, tuple(stop)), tokens[: first + 1])
    assert short.text == expected
    assert (short.ending == "stop") == (ending == "stop")


def test_rows_of_one_batch_end_each_at_its_own(tokenizer: Any) -> None:
    texts = ["0123", "4567"]
    rows = [tokenizer.encode(text)[:3] for text in texts]
    batch = [Prompt((7,), 2, ()), Prompt((7,), 9, (tokenizer.decode(rows[1]),))]
    is_done = writer(tokenizer)._is_done(batch, given=1)
    steps = [is_done(torch.tensor([[7, *row[:n]] for row in rows])).tolist() for n in range(1, 4)]
    assert steps == [[False, False], [True, False], [True, True]]
