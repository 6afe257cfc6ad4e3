"""Wide tables: a row for each model, a column for each category."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from soce.exceptions import shown
from soce.scores.cells.column import is_ranking, notes_on_cells, parse_column
from soce.scores.cells.markup import clean_names
from soce.scores.formats.options import DROPPED
from soce.scores.names.columns import NUMBER_OF, SURE, contradicts, no_score_words, role_by_name, split_marks
from soce.scores.names.directions import directed
from soce.scores.refusals import Refusals
from soce.scores.table import Column, ScoreTable
from soce.scores.tables.averages import settle_averages
from soce.scores.tables.companions import companions, read_companion
from soce.scores.tables.model_rows import counts_rows, is_index, model_column, no_models

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from soce.scores.cells.column import Parsed, Vector
    from soce.scores.formats.options import ReadOptions
    from soce.scores.table import Floats
    from soce.scores.tables.companions import Companion

NO_NUMBER: Final = "no cell is a number"
EMPTY: Final = "it is empty"
NUMBER_HINT: Final = "write a decimal number such as 78.5; leave the cell empty if there is no score"

# With fewer rows, scores that happen to be 1 to n are too likely.
_FEWEST_RANKED: Final = 5
_LARGEST_SCORE: Final = 100
_PRECISIONS: Final = frozenset({"precision", "bit", "bits"})
_BITS: Final = [2, 3, 4, 5, 6, 8, 16, 32, 64]


def wide_table(grid: pd.DataFrame, path: str, options: ReadOptions) -> ScoreTable:
    """Return the score table of a wide grid that was read at `path`.

    A column is no category if its name says what else it is (`no_score_words`, `companions`) and its cells do
    not contradict; if no cell of it is a number or was meant as one; or if its cells are the ranks 1 to n in
    any order, n at least 5. A name in the options makes any column one of scores (`apply_options` checks
    them). Where some cells are numbers, all others must be numbers or missing: every other cell is in the
    `ScoreTableError`.
    """
    refusals = Refusals(path)
    models = model_column(grid, options, refusals)
    grid = grid.assign(**{models: clean_names(grid[models].tolist())})
    not_models = no_models(
        grid[models].tolist(), options, lambda: _values(grid.drop(columns=models), options)
    )
    grid = grid[~grid[models].isin([*not_models])]
    check_models(grid[models], refusals)
    first = str(grid.columns[0])
    counters = {
        name
        for name in map(str, grid.columns)
        if name != models and (name == first or is_index(name)) and counts_rows(name, grid[name].tolist())
    }
    found = _Found.of(grid.drop(columns=models), options, counters)
    for name, parsed in found.scores.items():
        for bad in parsed.bad:
            where = f"{grid.index[bad.row]}, column `{shown(name)}`"
            refusals.add(f"{where}: {bad.message}", bad.hint or NUMBER_HINT)
    refusals.check()
    if not found.scores:
        named = ", ".join(f"`{shown(name)}` ({reason})" for name, reason in [*found.ignored.items()][:10])
        refusals.refuse("no column holds scores", f"columns: {named}" if named else None)
    held = found.scores.values()
    table = ScoreTable(
        tuple(grid[models].tolist()),
        tuple(found.column(name, options) for name in found.scores),
        np.array([parsed.values for parsed in held]).T,
        _side_by_side([parsed.counts for parsed in held]),
        _side_by_side([parsed.stderrs for parsed in held]),
        source=path,
        kind="wide",
        ignored=tuple(found.ignored.items()),
        companions=tuple(
            (name, one.what, one.of) for name, one in found.companions.items() if name not in found.ignored
        ),
        no_models=tuple(not_models.items()),
        notes=notes_on_cells(found.printed),
    )
    return settle_averages(table)


def _values(grid: pd.DataFrame, options: ReadOptions) -> Floats:
    return np.array([parse_column(grid[name].tolist(), options.decimal).values for name in grid.columns]).T


@dataclass(frozen=True, slots=True)
class _Found:
    """What the columns of a grid are."""

    scores: dict[str, Parsed]
    ignored: dict[str, str]
    """Why the others hold no scores."""
    companions: dict[str, Companion]
    """Columns that are about another one; those that are not in `ignored` were read as what they are."""
    printed: dict[str, Parsed]
    """The scores without what others say about them."""

    @classmethod
    def of(cls, grid: pd.DataFrame, options: ReadOptions, counters: set[str]) -> _Found:
        """Parse and sort out the columns of a grid without that of the models; `counters` count its rows."""
        found = cls({}, {}, {}, {})
        declared = {*(options.columns or ()), *options.lower_is_better, *options.higher_is_better}
        declared |= {*options.aggregates, *(part for parts in options.aggregates.values() for part in parts)}
        kept = [str(name) for name in grid.columns if name not in options.drop]
        about = {name: one for name, one in companions(kept).items() if name not in declared}
        parsed = {name: parse_column(grid[name].tolist(), options.decimal) for name in kept}
        # Those that are about others come last: by then it is known which of the others are scores.
        for name in sorted(kept, key=about.__contains__):
            if name in about and found._is_about(name, parsed[name], about[name]):
                continue
            reason = None if name in declared else _why_no_score(name, parsed[name])
            if reason is None and name in counters and name not in declared:
                reason = "it only counts the rows"
            if reason is None:
                found.scores[name] = parsed[name]
            else:
                found.ignored[name or "(no name)"] = reason
        dropped = dict.fromkeys((str(name) for name in grid.columns if name in options.drop), DROPPED)
        order = {name: place for place, name in enumerate(map(str, grid.columns))}
        scores = {name: found.scores[name] for name in order if name in found.scores}
        return cls(
            scores,
            dict(sorted({**found.ignored, **dropped}.items(), key=lambda item: order.get(item[0], 0))),
            found.companions,
            {name: parsed[name] for name in scores},
        )

    def _is_about(self, name: str, parsed: Parsed, companion: Companion) -> bool:
        """Put a column to the scores that it is about, or aside; say whether it was one of these."""
        scores = self.scores.get(companion.of)
        read = None if scores is None else read_companion(companion, parsed, scores)
        if read is None or scores is None:
            return False
        self.companions[name] = companion
        if isinstance(read, str):
            self.ignored[name] = read
        elif companion.what == "numbers of items":
            self.scores[companion.of] = replace(scores, counts=read)
        else:
            self.scores[companion.of] = replace(scores, stderrs=read)
        return True

    def column(self, name: str, options: ReadOptions) -> Column:
        """Return what is known of a column of scores."""
        parsed = self.scores[name]
        # `math_mean` beside `math_std` is a mean of seeds, not of categories.
        measured = any(one.of == name and one.measured for one in self.companions.values())
        role = "category" if measured else role_by_name(name)
        column = Column(name, role, parsed.scale, decimals=parsed.decimals)
        is_loss = name in options.lower_is_better
        return directed(column, parsed.values, signed=parsed.signed, is_loss=is_loss)


def _side_by_side(columns: Sequence[Vector | None]) -> Floats | None:
    """Return columns as an array, NaN in those that are not there; None if none is."""
    there = next((column for column in columns if column is not None), None)
    if there is None:
        return None
    return np.array([np.full(len(there), np.nan) if column is None else column for column in columns]).T


def _why_no_score(name: str, parsed: Parsed) -> str | None:
    words = no_score_words(name)
    is_percentage = parsed.signed and SURE.isdisjoint(words)
    if words and not is_percentage and not contradicts(words, parsed.values, parsed.decimals):
        return f"its name has `{words[0]}`"
    if parsed.is_text:
        return NO_NUMBER
    values = parsed.values[~np.isnan(parsed.values)]
    if not values.size and not parsed.bad and len(parsed.values) > 1:  # a model may lack a score
        return EMPTY
    marks = split_marks(name)
    if values.size and not (values % 1).any():
        if marks[:1] in NUMBER_OF and (values.max() > _LARGEST_SCORE or values.min() == values.max()):
            return f"its name has `{marks[0]}`, and its values look like counts"
        if marks and marks[-1] in _PRECISIONS and np.isin(values, _BITS).all():
            return f"its name has `{marks[-1]}`, and its values are numbers of bits"
    if is_ranking(parsed.values, fewest=_FEWEST_RANKED):
        return f"its values are the ranks 1 to {len(parsed.values)}"
    return None


def check_models(models: pd.Series[str], refusals: Refusals) -> None:
    """Note models without a name and models that are there twice, by their rows."""
    first: dict[str, tuple[str, str]] = {}
    for where, model in zip(models.index.tolist(), models.tolist(), strict=True):
        if not model:
            refusals.add(f"{where}: the model has no name")
            continue
        before, other = first.setdefault(model.casefold(), (where, model))
        if before != where:
            same = "" if other == model else f" as `{shown(other)}`"
            refusals.add(
                f"{where}: the model `{shown(model)}` is also in {before}{same}",
                "every model needs one row and a name of its own, different also when case is ignored; a "
                "table with a row for each score has the columns `model`, `category` and `score`",
            )
