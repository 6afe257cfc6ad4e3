"""Which way a wide table lies. Those with a row for each category are turned before anything else is read."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from soce.exceptions import shown
from soce.files.words import listed
from soce.scores.cells.column import is_missing, parse_column
from soce.scores.formats.metric_choice import chosen_rows
from soce.scores.names.columns import no_score_words, split_words, word_set
from soce.scores.names.directions import directed
from soce.scores.names.likeness import ABOUT_CATEGORIES, most_look_like_benchmarks, most_look_like_models
from soce.scores.refusals import Refusals
from soce.scores.tables.companions import companions
from soce.scores.tables.long import rows_of_split
from soce.scores.tables.wide import NO_NUMBER

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from soce.scores.cells.column import Vector
    from soce.scores.formats.options import ReadOptions
    from soce.scores.table import Column, ScoreTable

_OF_CATEGORIES: Final = frozenset(
    f"{word}{end}"
    for word in ("benchmark", "dataset", "eval", "metric", "subject", "task", "test")
    for end in ("", "s", "_name")
) | {"category", "categories", "category_name"}
_OF_MODELS: Final = frozenset({"checkpoint", "llm", "model", "models", "run", "system"})
_MEASURES: Final = frozenset({"acc_norm", "exact_match", "pass_1"}) | word_set(
    "acc accuracy bleu bleurt chrf comet em f1 mcc mean precision recall result rouge rouge1 rouge2 rougel "
    "score value"
)
_AVERAGES: Final = ("naive_average", "weighted_average")
_ASK: Final = (
    "say which it is: `--transpose` if each row is a category, `--no-transpose` if each row is a model"
)


@dataclass(frozen=True, slots=True)
class Oriented:
    """A grid with a row for each model, and what its source said of the categories."""

    grid: pd.DataFrame
    turned: bool = False
    metrics: Mapping[str, str] = field(default_factory=dict)
    """Of each category that states one."""
    averages: frozenset[str] = frozenset()
    """Categories that are averages of others in the table."""
    ignored: tuple[tuple[str, str], ...] = ()

    def tell(self, table: ScoreTable) -> ScoreTable:
        """Return the table of this grid with what the source said besides scores."""
        if not self.turned:
            return table
        columns = [self._told(column, table.values[:, i]) for i, column in enumerate(table.columns)]
        note = "the rows are categories, the columns models (`--no-transpose` reads the rows as models)"
        told = replace(
            table, kind="transposed", ignored=(*self.ignored, *table.ignored), notes=(note, *table.notes)
        )
        return told.with_columns(columns)

    def _told(self, column: Column, scores: Vector) -> Column:
        metric = self.metrics.get(column.name)
        if metric is None:
            return column
        role = "aggregate" if column.name in self.averages else column.role
        return directed(replace(column, role=role, metric=metric), scores, signed=False)


def with_models_in_rows(grid: pd.DataFrame, path: str, options: ReadOptions) -> Oriented:
    """Return the grid with models in rows: turned if the user or else the names say so.

    Names are evidence: what the first column is called, and whether its cells and the other names look like
    models or like benchmarks. Raises `ScoreTableError` where they make it likely that the rows are
    categories, but not certain.
    """
    refusals = Refusals(path)
    turn = options.transpose
    if turn is None and options.format is not None:
        turn = options.format == "transposed"
    if turn is None:
        turn = _has_categories_in_rows(grid, options, refusals)
    return _turned(grid, options, refusals) if turn else Oriented(grid)


def _has_categories_in_rows(grid: pd.DataFrame, options: ReadOptions, refusals: Refusals) -> bool:
    head, *others = grid.columns
    names_models = not _OF_MODELS.isdisjoint(split_words(head))
    if options.model_column is not None or any(_plain(name) in _OF_MODELS for name in others):
        return False
    rows = grid[head].tolist()
    if not head and others == [str(number) for number in range(len(others))]:
        return rows != others  # the index that pandas numbered
    columns = [name for name in others if _plain(name) not in ABOUT_CATEGORIES]
    if columns and all(_plain(name) in _MEASURES for name in columns):
        if _plain(head) not in _OF_CATEGORIES:
            return False
        refusals.refuse(
            f"the first column is `{shown(head)}`, the others are measures, not models: {listed(columns)}",
            "keep one of them as `score`, and name the model that the table is about: `NAME=PATH`",
        )
    signs = []
    if most_look_like_benchmarks(rows):
        signs.append(f"its rows are named like benchmarks: {listed(rows, limit=3)}")
    if most_look_like_models(columns):
        signs.append(f"its columns are named like models: {listed(columns, limit=3)}")
    contradicted = most_look_like_models(rows) or most_look_like_benchmarks(columns)
    if _plain(head) in _OF_CATEGORIES:
        if not contradicted:
            return True
        signs.insert(0, f"its first column is `{shown(head)}`")
    elif contradicted or not signs or (names_models and len(signs) == 1):
        return False
    elif len(signs) == 2 and not names_models:
        return True
    refusals.refuse(f"the table may have its categories in rows: {' and '.join(signs)}", _ASK)


def _plain(name: str) -> str:
    return "_".join(split_words(name))


def _turned(grid: pd.DataFrame, options: ReadOptions, refusals: Refusals) -> Oriented:
    import pandas as pd

    head, *others = grid.columns
    if options.model_column is not None:
        refusals.refuse("the models are in the header, so no column names them", "leave one of the two out")
    metric_column = next((name for name in others if _plain(name) == "metric"), None)
    ignored = {name: f"the {one.what} of `{shown(one.of)}`" for name, one in companions(others).items()}
    for name in others:
        if name in ignored:
            continue
        if _plain(name) in ABOUT_CATEGORIES:
            ignored[name] = "says something of the categories and is no model"
        elif words := no_score_words(name):
            ignored[name] = f"its name has `{words[0]}`"
        elif parse_column(grid[name].tolist(), options.decimal).is_text:
            ignored[name] = NO_NUMBER
    models = [name for name in others if name not in ignored]
    if not models:
        refusals.refuse(
            f"the rows are categories, but no column is a model: {listed(ignored)}",
            "say `--no-transpose` if each row is a model",
        )
    split = next((name for name in others if _plain(name) == "split"), "split")
    grid = rows_of_split(grid.rename(columns={split: "split"}), options, refusals)
    scored = ~grid[models].map(is_missing).all(axis=1)
    ignored |= dict.fromkeys(grid.loc[~scored, head], "no model has a score")
    rows = grid[scored]
    if metric_column is not None:
        chosen = chosen_rows(rows[head], rows[metric_column], options, refusals)
        for name in dict.fromkeys(rows[head]).keys() - set(rows[head][chosen]):
            ignored[name] = f"has no metric `{shown(options.metric or '')}`"
        rows = rows[chosen]
    _check_categories(rows[head], refusals)
    categories = rows[head].tolist()
    stated = rows[metric_column].tolist() if metric_column is not None else [""] * len(categories)
    metrics = {
        name: metric for name, metric in zip(categories, stated, strict=True) if not is_missing(metric)
    }
    cells = [models, *rows[models].to_numpy(dtype=object).tolist()]
    places = pd.Index([f"model `{shown(model)}`" for model in models])
    # Transposed from rows, because a table may have a row `model`, as the JSON of a data frame has.
    turned = pd.DataFrame(dict(enumerate(cells)), index=places, dtype=object)
    turned.columns = pd.Index(["", *categories])
    means = {name for name, metric in metrics.items() if metric in _AVERAGES}
    averages = frozenset(_computed(means, categories))
    return Oriented(turned, turned=True, metrics=metrics, averages=averages, ignored=tuple(ignored.items()))


def _check_categories(names: pd.Series[str], refusals: Refusals) -> None:
    first: dict[str, str] = {}
    for where, name in names.items():
        before = first.setdefault(name, str(where))
        if not name:
            refusals.add(f"{where}: the category has no name")
        elif before != where:
            refusals.add(
                f"{where}: the category `{shown(name)}` is also in {before}",
                "every category needs one row; tell its metrics apart in a column `metric`",
            )
    refusals.check()
    if names.empty:
        refusals.refuse("no category has a score")


def _computed(means: set[str], categories: list[str]) -> set[str]:
    """Return the means whose parts are there too, by their names, and those that lie within one of these.

    `mmlu` averages `lukaemon_mmlu_law`, and `mmlu-stem`, beside it, some of the same.
    """
    words = {name: set(split_words(name)) for name in categories}
    whole = {
        mean for mean in means if any(words[mean] < words[one] for one in categories if one not in means)
    }
    return whole | {mean for mean in means if any(words[one] < words[mean] for one in whole)}
