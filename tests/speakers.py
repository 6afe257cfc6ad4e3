"""An evaluator whose models say something to every item of a tasks file, for tests of what is done with answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tests.landscapes import difficulty, shares
from tests.report_runs import CATEGORIES, Kitchen

from soce.evaluate.answers import Answer, prompt_digest
from soce.evaluate.evaluation import Evaluation
from soce.evaluate.several import SeveralEvaluators
from soce.evaluate.tasks.items import read_tasks
from soce.evaluate.tasks.keys import item_keys
from soce.evaluate.tasks.scoring import score_answers
from soce.recipes.model import Recipe

SLIPS = 0.08
"""Share of the items that a soup should solve and does not."""
LONG = "First I look at the question.\nThen I take both numbers apart, one digit after the other. " * 20


def write_tasks(path: Path, categories: Sequence[str] = CATEGORIES, n_items: int = 60) -> Path:
    """Write items such as 'algebra: what is 3 + 4?', every tenth of them with choices."""
    lines = []
    for category in categories:
        for number in range(n_items):
            item: dict[str, object] = {
                "category": category,
                "id": f"{category}-{number}",
                "kind": "exact_match",
            }
            item |= {"prompt": f"{category}: what is {number} + {number}?\nSay only the number."}
            item |= {"answer": str(2 * number)}
            if number % 10 == 9:
                choices = [str(2 * number), str(number), "<b>neither</b>"]
                item |= {"kind": "multiple_choice", "choices": choices, "answer": 0}
            lines.append(json.dumps(item))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


class Speaker(Kitchen):
    """A kitchen whose soups also speak: right where the item is solved, wrong or cut where it is not."""

    def __init__(
        self,
        models: Sequence[str],
        experts: int,
        tasks: Path,
        *,
        speaks: bool = True,
        categories: Sequence[str] = CATEGORIES,
    ) -> None:
        super().__init__(models, experts, categories=categories)
        self.tasks = read_tasks(tasks)
        self.speaks = speaks
        self.items = self.tasks.item_ids()
        self.identity |= {"tasks": self.tasks.digest}

    def score(
        self, recipe: Recipe, *, items: Mapping[str, Sequence[str]] | None = None, on_progress: object = None
    ) -> Evaluation:
        found = super().score(recipe, items=items, on_progress=on_progress)
        whole = found.items or {}
        # Now and then a soup fails what it should solve, so that it loses something as well.
        slips = {
            name: {
                item: outcome * (difficulty(f"{recipe.id}{item}") > SLIPS) for item, outcome in one.items()
            }
            for name, one in whole.items()
        }
        found = Evaluation.of_items(slips, scale=found.scale)
        if not self.speaks:
            return found
        assert found.items is not None
        by_key = {item.key: item for item in self.tasks.items}
        name = "-".join(name for name, share in shares(recipe).items() if share)
        answers: dict[str, dict[str, Answer]] = {}
        for category, outcomes in found.items.items():
            for item, outcome in outcomes.items():
                asked = by_key[category, item]
                prompt = prompt_digest(asked.prompt)
                if asked.kind == "multiple_choice":
                    logs = (-1.0, -2.0, -3.0) if outcome else (-2.0, -1.0, -3.0)
                    said = Answer(prompt, choice=int(not outcome), log_likelihoods=logs)
                elif not outcome and difficulty(item) > 0.8:
                    said = Answer(prompt, text=LONG, ending="length")
                else:
                    text = self.says(name, item, asked.answer if outcome else "-1")
                    said = Answer(prompt, text=text, ending="stop")
                answers.setdefault(category, {})[item] = said
        return replace(found, answers=answers)

    def says(self, name: str, item: str, answer: str) -> str:
        """Return the words in which a soup gives an answer."""
        return f"<i>{name}</i> says \x1b[31m-1" if answer == "-1" else f" {answer}"


class Teller(Speaker):
    """A speaker whose outcomes follow from what it says, as those of the built-in evaluator do.

    Half of its right answers stand in a sentence, which an exact scorer does not see.
    """

    def __init__(
        self, models: Sequence[str], experts: int, tasks: Path, *, categories: Sequence[str] = CATEGORIES
    ) -> None:
        super().__init__(models, experts, tasks, categories=categories)
        self.identity |= {"evaluator": "torch", "stop": ["\n"], "max_new_tokens": 32, "normalise": "none"}
        self.n_items = 0

    def item_keys(self) -> dict[str, dict[str, str]]:
        return item_keys(self.tasks, self.identity)

    def says(self, name: str, item: str, answer: str) -> str:
        if answer != "-1" and difficulty(f"wordy {item}") < 0.5:
            return f" The answer is {answer}."
        return super().says(name, item, answer)

    def score(
        self, recipe: Recipe, *, items: Mapping[str, Sequence[str]] | None = None, on_progress: object = None
    ) -> Evaluation:
        answers = super().score(recipe, items=items, on_progress=on_progress).answers
        chosen = self.tasks.only(items).items
        self.n_items += len(chosen)
        return Evaluation.of_items(score_answers(chosen, answers), scale="unit", answers=answers)


class Together(SeveralEvaluators, Kitchen):
    """Several kitchens as one evaluator."""

    def __init__(self, *kitchens: Kitchen) -> None:
        SeveralEvaluators.__init__(self, kitchens)
        self.categories = tuple(name for one in kitchens for name in one.items)
