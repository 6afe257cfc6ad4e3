"""Tasks of every kind, and how a served model and the same soup in this process agree on them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from soce import Recipe, SoupModel, TaskEvaluator, read_tasks
from soce.evaluate.evaluation import Evaluation
from soce.evaluate.live.model import LiveModel

SETTINGS: Mapping[str, Any] = {"max_length": 100, "max_new_tokens": 12}
"""A window that leaves room for what an engine needs, so that both cut in the same places."""

CHAT = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "what is 1?"}]


def write_every_kind(path: Path, *, chat: bool = True) -> Path:
    """Write some items of each kind: choices of several lengths, stops, a text of several windows."""
    lines: list[dict[str, object]] = []
    for n in range(3):
        lines += [
            {"category": "choice", "kind": "multiple_choice", "prompt": f"{n} = ", "answer": n,
             "choices": ["a", "bcd", "0", "12 or 3"]},
            {"category": "exact", "kind": "exact_match", "prompt": f"say {n}: ", "answer": "b"},
            {"category": "stops", "kind": "generation", "prompt": f"{n}" * 150, "answer": "b",
             "scorer": "contains", "stop": ["e", "7", "a a"], "max_new_tokens": 20},
            {"category": "text", "kind": "perplexity", "text": "the quick brown fox jumps. " * (1 + 4 * n)},
        ]  # fmt: skip
        lines += [
            {"category": "forced", "kind": "teacher_forced", "prompt": "1", "answer": letter}
            for letter in "abcdefghijklmnopqrstuvwxyz"[n::3]
        ]
        if chat:
            asked = {"messages": [*CHAT, {"role": "assistant", "content": f"{n}"}]}
            lines.append({"category": "chat", **asked, "scorer": "exact", "answer": "1", "max_new_tokens": 5})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def expect_agreement(served: LiveModel, soup: SoupModel, recipes: Sequence[Recipe], tasks: Path) -> None:
    """Assert that both give the same answers to every item, and likelihoods but for rounding."""
    here, there = (TaskEvaluator(model, read_tasks(tasks), **SETTINGS) for model in (soup, served))
    assert here.item_ids() == there.item_ids()
    said = set()
    for recipe in recipes:
        expected, found = here.score(recipe), there.score(recipe)
        _expect_equal(found, expected)
        assert found.notes == expected.notes
        said.add(str(found.answers))
    assert len(said) == len(recipes), "every soup answers in its own way"


def _expect_equal(found: Evaluation, expected: Evaluation) -> None:
    assert found.items is not None
    assert expected.items is not None
    assert found.answers.keys() == expected.answers.keys()
    for category, answers in expected.answers.items():
        for item, answer in answers.items():
            other, place = found.answers[category][item], (category, item)
            assert (place, other.text, other.ending) == (place, answer.text, answer.ending)
            assert (place, other.choice, other.prompt) == (place, answer.choice, answer.prompt)
            both = zip(other.log_likelihoods, answer.log_likelihoods, strict=True)
            assert max((abs(one - two) / abs(two) for one, two in both), default=0) < 1e-5, place
    for category, outcomes in expected.items.items():
        for item, outcome in outcomes.items():
            tolerance = 1e-4 * outcome if category in expected.geometric else 0
            assert abs(found.items[category][item] - outcome) <= tolerance, (category, item)
