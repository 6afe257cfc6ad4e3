"""The experts: copies of the base whose last layers were trained on a family of questions and answers.

It is made for two busy cores. Layers below the last ones are frozen, so what comes out of them is computed
once and kept. Prompts of a kind begin alike, with BFCL's instructions say: what they share goes through the
layers once a batch. And the head, a quarter of the model, sees only the tokens of answers.
"""

from __future__ import annotations

import json
import math
import random
import time
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import torch
    from torch import Tensor

N_TRAINED = 8
"""Of 30 layers, the last ones."""
BATCH, FROZEN_BATCH = 8, 24
RATE, EPOCHS = 3e-4, 2
STEPS_BETWEEN_SAVES = 25


@dataclass(frozen=True, slots=True)
class Example:
    """A question and its answer in tokens, without the beginning that all of its kind share."""

    tokens: tuple[int, ...]
    n_answer: int
    """How many of the last tokens are the answer."""


@dataclass(frozen=True, slots=True)
class Family:
    """Examples of a kind, and the hidden states of their tokens where the trained layers begin."""

    examples: list[Example]
    shared: Tensor
    """Those of the shared beginning, of shape (1, n, width)."""
    hidden: list[Tensor]
    """Those of each example, of shape (n, width)."""


class Trainer:
    """The base model in float32, for all experts of it."""

    def __init__(self, base: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.base = base
        self.model: Any
        self.tokenizer = AutoTokenizer.from_pretrained(base)
        self.model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        self.model.requires_grad_(requires_grad=False)
        self.layers: Any = self.model.model.layers
        self.first_trained = len(self.layers) - N_TRAINED
        self.start = {name: value.clone() for name, value in self._trained().items()}

    def read_family(self, path: Path, say: Callable[[str], object]) -> Family:
        """Return the examples of a .jsonl file; their hidden states are kept beside it."""
        import torch

        kept = path.with_suffix(".hidden")
        sequences = [self._tokens(json.loads(line)) for line in path.read_text().splitlines()]
        shared = _common_beginning([tokens for tokens, _ in sequences])
        examples = [Example(tuple(tokens[len(shared) :]), n) for tokens, n in sequences]
        if kept.exists():
            loaded = torch.load(kept, mmap=True)
            return Family(examples, loaded["shared"], loaded["hidden"])
        begin, hidden = time.monotonic(), [torch.empty(0)] * len(examples)
        beginning = torch.empty(0)
        order = sorted(range(len(examples)), key=lambda place: len(examples[place].tokens))
        with torch.no_grad():
            embedded = self.model.model.embed_tokens(torch.tensor([shared]))
            for start in range(0, len(order), FROZEN_BATCH):
                places = order[start : start + FROZEN_BATCH]
                batch = _padded([torch.tensor(examples[place].tokens) for place in places])
                beginning, rest = self._through(
                    range(self.first_trained), embedded, self.model.model.embed_tokens(batch)
                )
                for place, states in zip(places, rest, strict=True):
                    hidden[place] = states[: len(examples[place].tokens)].clone()
        n_tokens = sum(len(example.tokens) for example in examples)
        say(f"{path.stem}: {n_tokens} tokens through the frozen layers in {time.monotonic() - begin:.0f} s")
        unfinished = kept.with_suffix(".unfinished")
        torch.save({"shared": beginning, "hidden": hidden}, unfinished)
        unfinished.rename(kept)
        return Family(examples, beginning, hidden)

    def train(
        self,
        output: Path,
        families: Sequence[tuple[Family, Sequence[int]]],
        *,
        seed: int,
        say: Callable[[str], object],
    ) -> None:
        """Train on these examples of families and write a checkpoint, from where an earlier call ended."""
        import torch
        from torch.nn.functional import cross_entropy

        self._set(self.start)
        parameters = [*self._trained().values()]
        for parameter in parameters:
            parameter.requires_grad_()
        optimizer = torch.optim.AdamW(parameters, lr=RATE, betas=(0.9, 0.98), weight_decay=0.0)
        batches = [
            batch for epoch in range(EPOCHS) for batch in _batches(families, random.Random(f"{seed} {epoch}"))
        ]
        state_path, first = output.with_suffix(".state"), 0
        if state_path.exists():
            state = torch.load(state_path)
            self._set(state["layers"])
            optimizer.load_state_dict(state["optimizer"])
            first = state["step"]
        begin, total, n_tokens = time.monotonic(), 0.0, 0
        for step, (family, places) in enumerate(batches[first:], first + 1):
            for group in optimizer.param_groups:
                group["lr"] = RATE * min(1, step / 10) * (1 + math.cos(math.pi * step / len(batches))) / 2
            optimizer.zero_grad()
            _, rest = self._through(
                range(self.first_trained, len(self.layers)),
                family.shared,
                _padded([family.hidden[place] for place in places]),
            )
            answers, targets = [], list[int]()
            for states, place in zip(rest, places, strict=True):
                tokens, n_answer = family.examples[place].tokens, family.examples[place].n_answer
                answers.append(states[len(tokens) - n_answer - 1 : len(tokens) - 1])
                targets.extend(tokens[-n_answer:])
            logits = self.model.lm_head(self.model.model.norm(torch.cat(answers)))
            loss = cross_entropy(logits, torch.tensor(targets))
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            total += loss.item()
            n_tokens += sum(len(family.examples[place].tokens) for place in places)
            if step % STEPS_BETWEEN_SAVES == 0 or step == len(batches):
                rate = n_tokens / (time.monotonic() - begin)
                say(
                    f"{output.name}: step {step} of {len(batches)}, loss"
                    f" {total / (step - first):.3f} so far, {rate:.0f} tokens a second"
                )
                state = {"layers": self._trained(), "optimizer": optimizer.state_dict(), "step": step}
                torch.save(state, state_path.with_suffix(".unfinished"))
                state_path.with_suffix(".unfinished").rename(state_path)
        self.save(output)
        state_path.unlink(missing_ok=True)

    def save(self, output: Path) -> None:
        """Write the model as it is, in bfloat16 as the base."""
        import torch

        unfinished = output.with_suffix(".unfinished")
        state = {name: value.to(torch.bfloat16) for name, value in self.model.state_dict().items()}
        state.pop("lm_head.weight")  # it is the embedding's
        self.model.save_pretrained(unfinished, state_dict=state)
        config = json.loads((self.base / "config.json").read_text())
        (unfinished / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        self.tokenizer.save_pretrained(unfinished)
        unfinished.rename(output)

    def save_noisy(self, output: Path, noise: float, seed: int) -> None:
        """Write the base with normal noise on every weight, in standard deviations of its tensor."""
        import torch

        self._set(self.start)
        draw = torch.Generator().manual_seed(seed)
        kept = {name: value.clone() for name, value in self.model.named_parameters()}
        for value in self.model.parameters():
            value.data += noise * value.std() * torch.randn(value.shape, generator=draw)
        self.save(output)
        for name, value in self.model.named_parameters():
            value.data.copy_(kept[name])

    def _trained(self) -> dict[str, Tensor]:
        return dict(self.layers[self.first_trained :].named_parameters())

    def _set(self, values: dict[str, Tensor]) -> None:
        for name, parameter in self._trained().items():
            parameter.data.copy_(values[name])

    def _tokens(self, example: dict[str, Any]) -> tuple[list[int], int]:
        """Return the tokens of a conversation, and how many at the end are the answer."""
        asked = self.tokenizer.apply_chat_template(
            example["messages"], add_generation_prompt=True, tokenize=False
        )
        prompt = self.tokenizer(asked, add_special_tokens=False)["input_ids"]
        answer = self.tokenizer(example["answer"], add_special_tokens=False)["input_ids"]
        return [*prompt, *answer, self.tokenizer.eos_token_id], len(answer) + 1

    def _through(self, layers: range, shared: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
        """Return hidden states after some layers, of the shared beginning and of the rest of each example.

        Examples are padded at their ends, where causal attention needs no mask for it. No gradient goes
        through the beginning, which is the same for all and is no answer.
        """
        import torch
        from transformers import DynamicCache

        n_shared, n_rest = shared.shape[1], rest.shape[1]
        cache: Any = DynamicCache(config=self.model.config)
        # (1, 1, n_rest, n_shared + n_rest): a token sees the beginning, those before it and itself
        sees = torch.ones(n_rest, n_shared + n_rest, dtype=torch.bool).tril(n_shared)[None, None]
        sees_shared = torch.ones(n_shared, n_shared, dtype=torch.bool).tril()[None, None]
        positions = torch.arange(n_shared + n_rest)[None]
        turns_shared = self.model.model.rotary_emb(shared, positions[:, :n_shared])
        turns = self.model.model.rotary_emb(rest, positions[:, n_shared:])
        for place in layers:
            layer, kept = self.layers[place], cache.layers[place]
            with torch.no_grad():  # the cache is the fourth argument, whose name has changed
                shared = layer(shared, sees_shared, None, cache, position_embeddings=turns_shared)
            kept.keys = kept.keys.expand(len(rest), -1, -1, -1)
            kept.values = kept.values.expand(len(rest), -1, -1, -1)
            rest = layer(rest, sees, None, cache, position_embeddings=turns)
        return shared, rest


def mixture(family: str, sizes: dict[str, int], n_others: int, seed: int) -> dict[str, list[int]]:
    """Return the places of the examples that an expert learns: all of its own family, some of each other."""
    draw = random.Random(f"mixture {family} {seed}")
    return {
        name: [*range(size)] if name == family else draw.sample(range(size), n_others)
        for name, size in sizes.items()
    }


def _batches(
    families: Sequence[tuple[Family, Sequence[int]]], draw: random.Random
) -> Iterator[tuple[Family, list[int]]]:
    """Return batches of a family each and of about one length, in random order."""
    batches = []
    for family, places in families:
        shuffled = draw.sample([*places], len(places))
        shuffled.sort(key=lambda place: len(family.examples[place].tokens) // 16)
        batches += [(family, shuffled[start : start + BATCH]) for start in range(0, len(shuffled), BATCH)]
    draw.shuffle(batches)
    yield from batches


def _common_beginning(sequences: Sequence[Sequence[int]]) -> list[int]:
    alike = takewhile(lambda column: len(set(column)) == 1, zip(*sequences, strict=False))
    return [column[0] for column in alike]


def _padded(rows: Sequence[torch.Tensor]) -> torch.Tensor:
    from torch.nn.utils.rnn import pad_sequence

    return pad_sequence([*rows], batch_first=True)
