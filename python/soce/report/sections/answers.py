"""A sample of items that the soup wins from its best ingredient and loses to it, with what was said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soce.analysis.item_texts import answer_text, excerpt
from soce.analysis.side_by_side import wins_and_losses
from soce.files.words import counted
from soce.report.document import Quote, Quotes, Text
from soce.search.soup_names import best_ingredient

if TYPE_CHECKING:
    from soce.analysis.item_texts import ItemText
    from soce.analysis.side_by_side import ItemAnswers, Said, WinsAndLosses
    from soce.report.document import Block, Section
    from soce.report.run_view import RunView

_ITEMS: Final = 3
"""Of those won, and of those lost."""
_OTHERS: Final = 4
"""Ingredients whose answers are shown."""
_SHORT: Final = 280
"""Characters of a text that is shown whole, if it has no more lines than the next."""
_LINES: Final = 8
_LONGEST: Final = 8_000


def build(section: Section, view: RunView) -> None:
    """Fill the section."""
    soup, parents, evaluations = view.soup.label, view.parents, view.evaluations("report")
    best = best_ingredient(view.result, view.soup.parts)
    if best is None:
        section.missing.append("A sample of items: the soup is its one ingredient.")
        return
    if any(name not in evaluations for name in (*parents, soup)):
        other = "the outcomes by item that are kept are not those of the result"
        section.missing.append(f"A sample of items: {' '.join(view.run.why('study')) or other}.")
        return
    found = wins_and_losses(evaluations, soup, parents, best=best, limit=_ITEMS)
    section.data |= found.to_json()
    section.blocks.append(Text(_counts(found, view.where)))
    if not (found.won or found.lost):
        if found.n_won or found.n_lost:
            section.missing.append(
                "What was said to them: the evaluator hands no answers over, or did not when it scored them."
            )
        return
    section.blocks += [_quotes(one, view, best) for one in (*found.won, *found.lost)]
    section.blocks.append(
        Text(
            "The items are taken by a digest of their names, from each category in turn, first those that "
            "tell the soup from all of its ingredients: nobody picked them. `soce show` prints all.",
            soft=True,
        )
    )


def _counts(found: WinsAndLosses, where: str) -> str:
    def of_all(count: int, word: str) -> str:
        return f", on {count or 'none'} of them {word} than every ingredient"

    won = f"{counted(found.n_won, 'item')}{of_all(found.n_won_from_all, 'better')}" if found.n_won else "none"
    lost = (
        f"{counted(found.n_lost, 'item')}{of_all(found.n_lost_to_all, 'worse')}" if found.n_lost else "none"
    )
    best = found.best
    return (
        f"Of the {where}, the soup does better than `{best}`, its best ingredient, on {won}. It does worse "
        f"than `{best}` on {lost}."
    )


def _quotes(one: ItemAnswers, view: RunView, best: str) -> Block:
    text = view.item_texts.get((one.category, one.item))
    if text is None:
        asked = [Quote("prompt", f"of digest {one.prompt_digest}")]
    else:
        asked = [Quote("prompt", *_folded(text.prompt))] if text.prompt else []
        asked.append(Quote("wanted", *_folded(text.wanted)))
    soup, *parents = one.said
    said = [_quote(soup, text, "the soup", is_soup=True)]
    experts = _experts(view, one.category)
    others = sorted(parents, key=lambda by: (by.model != best, by.model not in experts))
    for by in others[:_OTHERS]:
        remarks = ["best ingredient"] if by.model == best else []
        remarks += [f"expert of {one.category}"] if by.model in experts else []
        said.append(_quote(by, text, ", ".join(remarks)))
    is_won = one.of((soup.model, best)).matches("won")
    others_too = len(parents) > 1 and one.matches("won" if is_won else "lost")
    verdict = f"{'won from' if is_won else 'lost to'} {'every' if others_too else 'the best'} ingredient"
    return Quotes(
        f"{one.category}/{one.item}", verdict, "good" if is_won else "bad", tuple(asked), tuple(said)
    )


def _experts(view: RunView, category: str) -> set[str]:
    """Return the models that were chosen for a category."""
    selection = view.run.selection
    experts = () if selection is None else selection.experts
    return {one.model for one in experts if category in one.categories}


def _quote(said: Said, text: ItemText | None, remark: str, *, is_soup: bool = False) -> Quote:
    words = "" if said.answer is None else answer_text(said.answer, text).strip()
    whole, short = _folded(words or ("(no answer is kept)" if said.answer is None else "(nothing)"))
    if said.outcome is not None and said.is_right is None:
        remark = f"{remark}, {said.outcome:.4g}" if remark else f"{said.outcome:.4g}"
    after = "cut at its length" if said.answer is not None and said.answer.is_cut else ""
    return Quote(said.model, whole, short, remark, after, said.is_right, is_soup)


def _folded(text: str) -> tuple[str, str | None]:
    """Return a text, and what is shown of it at first if it is long."""
    whole = excerpt(text, _LONGEST)
    if len(whole) <= _SHORT and whole.count("\n") < _LINES:
        return whole, None
    return whole, excerpt(" ".join(whole.split()), _SHORT)
