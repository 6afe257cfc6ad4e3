"""Scores of kept answers before and after, as lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soce.analysis.item_texts import answer_text
from soce.cli.text.answers import paragraph
from soce.cli.text.layout import fitted
from soce.exceptions import shown
from soce.files.words import counted, signed

if TYPE_CHECKING:
    from soce.analysis.item_texts import ItemTexts
    from soce.evaluate.evaluation import Scale
    from soce.search.rescore import ChangedItem, RescoredArm, Rescoring


def rescored_blocks(
    found: Rescoring, arm: RescoredArm | None, texts: ItemTexts, *, limit: int
) -> list[list[str]]:
    """Return every arm's objective before and after, the categories of one, and what changed in it."""
    if arm is None:
        return [[f"answers of {counted(found.n_soups, 'model and soup', 'models and soups')}"]]
    rows = [["arm", "before", "after", "difference"]]
    rows += [
        [shown(one.label), *_scores(one, one.value_before, one.value_after)]
        for one in found.arms
        if one.value_after is not None
    ]
    blocks = [[f"objective on the {found.on} items", *fitted(rows, "lrrr")]] if len(rows) > 1 else []
    of = {name: sum(one.category == name for one in arm.changed) for name in arm.after}
    rows = [["category", "items", "before", "after", "difference", "changed"]]
    rows += [
        [shown(name), str(arm.n[name]), *_scores(arm, arm.before[name], after), str(of[name])]
        for name, after in arm.after.items()
    ]
    blocks.append([f"categories of {shown(arm.label)}", *fitted(rows, "lrrrrr", spare=(1,))])
    blocks += [_changed(one, texts) for one in arm.changed[:limit]]
    if len(arm.changed) > limit:
        blocks.append([f"and {counted(len(arm.changed) - limit, 'more item')} that changed: see --limit"])
    return blocks


def _scores(arm: RescoredArm, before: float | None, after: float | None) -> list[str]:
    times = [100.0 if scale == "unit" else 1.0 for scale in (arm.scale_before, arm.scale_after)]
    values = [None if one is None else one * of for one, of in zip((before, after), times, strict=True)]
    texts = ["" if one is None else f"{one:.2f}" for one in values]
    first, second = values
    if first is None or second is None or not _same(arm.scale_before, arm.scale_after):
        return [*texts, ""]
    return [*texts, signed(second - first)]


def _same(before: Scale | None, after: Scale | None) -> bool:
    return before == after or {before, after} <= {"unit", "percent"}


def _changed(one: ChangedItem, texts: ItemTexts) -> list[str]:
    text = texts.get((one.category, one.item))
    lines = [f"{shown(one.category)}/{shown(one.item)}  {one.before:g} \u2192 {one.after:g}"]
    if text is not None:
        lines += paragraph("wanted", text.wanted, 6)
    return lines + paragraph("said", answer_text(one.answer, text).strip() or "(nothing)", 6)
