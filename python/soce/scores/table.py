"""The score table: models × categories, with what is known of every column. Reads and decides nothing."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from html import escape
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np

from soce.exceptions import ScoreTableError, shown
from soce.files.arguments import expect, expect_mapping, expect_names
from soce.files.words import counted, nearest
from soce.scores.origin import ScoreOrigin
from soce.scores.refusals import Refusals

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import NoReturn

    import pandas as pd

    Floats: TypeAlias = np.ndarray[tuple[int, int], np.dtype[np.float64]]
    Outcomes: TypeAlias = Mapping[str, Mapping[str, Mapping[str, float]]]

Role: TypeAlias = Literal["category", "aggregate"]
Scale: TypeAlias = Literal["percent", "unit"]
DirectionSource: TypeAlias = Literal["default", "name", "stated"]

_MAX_HTML: Final = 40
_LONGEST_CAPTION: Final = 2000
FULL: Final[dict[str, float]] = {"percent": 100.0, "unit": 1.0}
"""The end of each scale."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of scores and what its source says about it."""

    name: str
    role: Role = "category"
    """``category``: the method uses it. ``aggregate``: computed from others, kept for objectives."""
    scale: Scale | None = None
    """``percent`` (0 to 100) or ``unit`` (0 to 1); None if it is neither or nobody said."""
    higher_is_better: bool = True
    decimals: int | None = None
    """Most decimals printed: a score is known to within 0.5·10^-decimals; None: not rounded."""
    parts: tuple[str, ...] = ()
    """Of an aggregate: the columns it is computed from, where they are known."""
    metric: str | None = None
    """What the scores measure, such as ``acc_norm``, where the source says so."""
    direction: DirectionSource = field(default="default", compare=False)
    """Where `higher_is_better` comes from: nobody said, the column's name, or the source or user did."""

    @property
    def half_width(self) -> float:
        """Half the width of the interval that a printed score stands for, in the column's units."""
        return 0.0 if self.decimals is None else 0.5 * 10.0**-self.decimals


@dataclass(frozen=True, eq=False, slots=True)
class ScoreTable:
    """Scores of models in categories.

    Parameters
    ----------
    models : sequence of str
        Row names, unique even if case is ignored.
    columns : sequence of Column
        Categories and aggregates, names unique even if case is ignored.
    values : array of shape (n_models, n_columns)
        Scores as read, in the column's units; NaN where there is none.
    counts : array of shape (n_models, n_columns), optional
        Number of items behind each score; NaN where unknown.
    stderrs : array of shape (n_models, n_columns), optional
        Standard errors that the source states, in the column's units; NaN where it does not.
    source : str
        Where it was read from, for messages.
    kind : str
        The format it was read as.
    ignored : sequence of (str, str)
        Columns of the source that are not scores, each with the reason.
    companions : sequence of (name, what, column)
        Columns of the source that were read as the ``standard errors`` or ``numbers of items`` of another.
    no_models : sequence of (str, str)
        Rows of the source that are no models, each with what it is.
    blanked : sequence of (model, column, text)
        Aggregates that the source states although scores below them are missing: taken for missing, with
        what stood there.
    notes : sequence of str
        What a reader decided that its source does not say outright: an encoding, a separator.
    origin : ScoreOrigin
        Which items the scores stand on, as far as that is known.
    outcomes : mapping of model to mapping of category to mapping of item id to outcome
        Where the source says how single items came out, and `ReadOptions.items` asked for it: the score of a
        model in a category is the mean of its outcomes.
    no_outcomes : sequence of (category, reason)
        Categories in which some model has none although `ReadOptions.items` asked for them.

    Raises
    ------
    ScoreTableError
        No model, no column, wrong shapes, infinite scores; names that are empty, equal, or equal up to case.

    Examples
    --------
    >>> table = ScoreTable.of({"math": [50, 60], "code": [70, None]}, models=["a", "b"])
    >>> table.categories, table.score("a", "code"), table.n_missing
    (('math', 'code'), 70.0, 1)
    """

    models: tuple[str, ...]
    columns: tuple[Column, ...]
    values: Floats
    counts: Floats | None = None
    stderrs: Floats | None = None
    source: str = "table"
    kind: str = "table"
    ignored: tuple[tuple[str, str], ...] = ()
    companions: tuple[tuple[str, str, str], ...] = ()
    no_models: tuple[tuple[str, str], ...] = ()
    blanked: tuple[tuple[str, str, str], ...] = ()
    notes: tuple[str, ...] = ()
    origin: ScoreOrigin = field(default_factory=ScoreOrigin)
    outcomes: Outcomes = field(default_factory=dict, repr=False)
    no_outcomes: tuple[tuple[str, str], ...] = ()
    _rows: dict[str, int] = field(init=False, repr=False)
    _places: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check names, shapes and values, and make the arrays read-only."""
        object.__setattr__(self, "models", tuple(self.models))
        object.__setattr__(self, "columns", tuple(self.columns))
        if not self.models:
            self.refuse("the table has no models")
        if not self.columns:
            self.refuse("the table has no score columns")
        for what, names in (("model", self.models), ("column", [column.name for column in self.columns])):
            self._check_names(what, names)
        shape = (len(self.models), len(self.columns))
        for name in ("values", "counts", "stderrs"):
            given = getattr(self, name)
            if given is None:
                continue
            array = np.array(given, dtype=np.float64)
            if array.shape != shape:
                self.refuse(f"{name} have shape {array.shape}, expected {shape} (models, columns)")
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        infinite = np.argwhere(np.isinf(self.values))
        if infinite.size:
            row, place = infinite[0]
            where = f"model `{shown(self.models[row])}`, column `{shown(self.columns[place].name)}`"
            self.refuse(f"{where}: the score is infinite", "leave the cell empty if there is no score")
        object.__setattr__(self, "_rows", {name: row for row, name in enumerate(self.models)})
        object.__setattr__(self, "_places", {column.name: i for i, column in enumerate(self.columns)})
        for model, of_model in self.outcomes.items():  # a name that is not there is refused
            self.row(model)
            for column in of_model:
                self.place(column)

    def _check_names(self, what: str, names: Sequence[str]) -> None:
        seen: dict[str, str] = {}
        for name in names:
            if not name or name != name.strip():
                self.refuse(
                    f"a {what} is named `{shown(name)}`", "names must not be empty or padded with spaces"
                )
            other = seen.get(name.casefold())
            seen[name.casefold()] = name
            if other is not None:
                same = "twice" if other == name else f"also as `{shown(other)}`"
                self.refuse(
                    f"the {what} `{shown(name)}` is there {same}",
                    f"every {what} needs a name of its own, different also when case is ignored",
                )

    @classmethod
    def of(
        cls,
        columns: Mapping[str, Sequence[float | None]],
        *,
        models: Sequence[str],
        scale: Scale | None = None,
    ) -> ScoreTable:
        """Return a table from columns of numbers; None is a missing score."""
        expect_mapping(columns, "columns", "of name to scores")
        expect_names(models, "models")
        given = [
            [np.nan if score is None else float(score) for score in column] for column in columns.values()
        ]
        for name, column in zip(columns, given, strict=True):
            if len(column) != len(models):
                scores = f"{counted(len(column), 'score')} for {counted(len(models), 'model')}"
                message = f"column `{shown(name)}` has {scores}"
                raise ScoreTableError(message)
        return cls(tuple(models), tuple(Column(name, scale=scale) for name in columns), np.array(given).T)

    def refuse(self, message: str, hint: str | None = None) -> NoReturn:
        """Raise a `ScoreTableError` that names this table's source."""
        Refusals(self.source).refuse(message, hint)

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of the columns that the method uses, in column order."""
        return tuple(self.columns[place].name for place in self.category_places)

    @property
    def category_places(self) -> list[int]:
        """Indices of the columns that the method uses."""
        return [place for place, column in enumerate(self.columns) if column.role == "category"]

    @property
    def n_missing(self) -> int:
        """Number of empty cells in the categories."""
        return int(np.isnan(self.values[:, self.category_places]).sum())

    def row(self, model: str) -> int:
        """Return the row of a model; unknown names raise `ScoreTableError` with the nearest ones."""
        if model not in self._rows:
            if what := dict(self.no_models).get(model):
                hint = f"`--keep-row {shown(model)}` reads it as a model"
                self.refuse(f"the row `{shown(model)}` was set aside as {what}", hint)
            self.refuse(f"there is no model `{shown(model)}`", nearest(model, self.models, "models"))
        return self._rows[model]

    def place(self, column: str) -> int:
        """Return the index of a column; unknown names raise `ScoreTableError` with the nearest ones."""
        if column not in self._places:
            self.refuse(
                f"there is no column `{shown(column)}`", nearest(column, list(self._places), "columns")
            )
        return self._places[column]

    def score(self, model: str, column: str) -> float:
        """Return one score as read; NaN if missing."""
        return float(self.values[self.row(model), self.place(column)])

    def most_items(self) -> dict[str, int]:
        """Return the most items behind a score of each category, where that is known."""
        if self.counts is None:
            return {}
        counts = {self.columns[place].name: self.counts[:, place] for place in self.category_places}
        return {name: int(np.nanmax(held)) for name, held in counts.items() if not np.isnan(held).all()}

    def oriented(self, columns: Sequence[str] | None = None) -> Floats:
        """Return scores of these columns, else of the categories, with larger always better.

        Columns where lower is better are negated.
        """
        places = self.category_places if columns is None else [self.place(name) for name in columns]
        signs = np.array([1.0 if self.columns[place].higher_is_better else -1.0 for place in places])
        oriented: Floats = self.values[:, places] * signs
        return oriented

    def standard_errors(self, columns: Sequence[str] | None = None) -> Floats:
        """Return standard errors in the columns' units, NaN where neither stated nor computable.

        Where the source states none: sqrt(s (1 - s) / n) for a share s of n items, taken as independent.
        """
        places = self.category_places if columns is None else [self.place(name) for name in columns]
        errors = np.full((len(self.models), len(places)), np.nan)
        if self.counts is not None:
            full = np.array([FULL.get(self.columns[place].scale or "", np.nan) for place in places])
            share = self.values[:, places] / full
            share = np.where((share >= 0) & (share <= 1), share, np.nan)
            with np.errstate(divide="ignore", invalid="ignore"):
                errors = full * np.sqrt(share * (1 - share) / self.counts[:, places])
        if self.stderrs is not None:
            stated = self.stderrs[:, places]
            errors = np.where(np.isnan(stated), errors, stated)
        return errors

    def take(
        self, *, models: Sequence[str] | None = None, columns: Sequence[str] | None = None
    ) -> ScoreTable:
        """Return the table of these models and columns, in this order."""
        rows = range(len(self.models)) if models is None else [self.row(model) for model in models]
        places = range(len(self.columns)) if columns is None else [self.place(name) for name in columns]
        cut = np.ix_(list(rows), list(places))
        kept_models = tuple(self.models[row] for row in rows)
        kept_columns = tuple(self.columns[place] for place in places)
        names = {column.name for column in kept_columns}
        return replace(
            self,
            models=kept_models,
            columns=kept_columns,
            blanked=tuple(cell for cell in self.blanked if cell[0] in kept_models and cell[1] in names),
            origin=self.origin.under({name: name for name in names}),
            outcomes={
                model: {name: found for name, found in self.outcomes[model].items() if name in names}
                for model in kept_models
                if model in self.outcomes
            },
            no_outcomes=tuple(pair for pair in self.no_outcomes if pair[0] in names),
            values=self.values[cut],
            counts=None if self.counts is None else self.counts[cut],
            stderrs=None if self.stderrs is None else self.stderrs[cut],
        )

    def with_columns(self, columns: Iterable[Column]) -> ScoreTable:
        """Return the same scores under changed columns (names, roles, scales, directions), one for each."""
        changed = tuple(columns)
        names = {old.name: new.name for old, new in zip(self.columns, changed, strict=False)}
        blanked = tuple((model, names.get(column, column), text) for model, column, text in self.blanked)
        outcomes = {
            model: {names.get(column, column): found for column, found in of_model.items()}
            for model, of_model in self.outcomes.items()
        }
        return replace(
            self,
            columns=changed,
            blanked=blanked,
            origin=self.origin.under(names),
            outcomes=outcomes,
            no_outcomes=tuple((names.get(column, column), reason) for column, reason in self.no_outcomes),
        )

    def with_origin(self, origin: ScoreOrigin) -> ScoreTable:
        """Return the same scores with what is known, or stated, of the items that they stand on."""
        expect(origin, ScoreOrigin, "origin", "a ScoreOrigin")
        return replace(self, origin=origin)

    def renamed(self, models: Mapping[str, str]) -> ScoreTable:
        """Return the table with models renamed; a name that is not there raises `ScoreTableError`."""
        for model in models:
            self.row(model)
        return replace(
            self,
            models=tuple(models.get(model, model) for model in self.models),
            blanked=tuple((models.get(model, model), column, text) for model, column, text in self.blanked),
            outcomes={models.get(model, model): found for model, found in self.outcomes.items()},
        )

    def to_frame(self) -> pd.DataFrame:
        """Return a data frame of the scores as read: a row for each model, a column for each column."""
        import pandas as pd

        models = pd.Index(self.models, name="model")
        return pd.DataFrame(self.values, index=models, columns=[column.name for column in self.columns])

    def _caption(self) -> str:
        n_aggregates = len(self.columns) - len(self.categories)
        return (
            f"{self.kind}, {counted(len(self.models), 'model')} × "
            f"{counted(len(self.categories), 'category', 'categories')}, {counted(n_aggregates, 'aggregate')}"
        )

    def __repr__(self) -> str:
        """Return the size and where the scores are from, on one line."""
        return f"ScoreTable({self._caption()}, from `{shown(self.source)}`)"

    def _repr_html_(self) -> str:
        frame = self.to_frame().rename_axis(None).rename(index=shown, columns=shown)
        caption = f"{self.source}: {self._caption()}"
        table = frame.to_html(na_rep="", max_rows=_MAX_HTML, max_cols=_MAX_HTML)
        return f"<p>{escape(shown(caption, limit=_LONGEST_CAPTION))}</p>{table}"

    @property
    def digest(self) -> str:
        """SHA-256 of names, columns, scores, counts and errors; no order of rows or columns changes it."""
        rows = sorted(range(len(self.models)), key=self.models.__getitem__)
        places = sorted(range(len(self.columns)), key=lambda place: self.columns[place].name)
        cut = np.ix_(rows, places)
        content: list[object] = [
            [self.models[row] for row in rows],
            [
                [column.name, column.role, column.scale, column.higher_is_better]
                for column in (self.columns[place] for place in places)
            ],
        ]
        digest = hashlib.sha256(json.dumps(content).encode())
        for array in (self.values, self.counts, self.stderrs):
            known = array is not None and not np.isnan(array).all()
            digest.update(b"\1" if known else b"\0")
            if array is not None and known:
                cells = array[cut] + 0.0  # -0.0 is 0.0
                cells[np.isnan(cells)] = np.nan  # one NaN of the many
                digest.update(np.ascontiguousarray(cells, dtype="<f8").tobytes())
        return digest.hexdigest()


def scale_of(scores: np.ndarray[Any, np.dtype[np.float64]]) -> Scale | None:
    """Return what scores show: ``percent`` if one is above 1, ``unit`` if one is neither 0 nor 1."""
    known = scores[~np.isnan(scores)]
    if (known > 1).any():
        return "percent"
    return "unit" if ((known != 0) & (known != 1)).any() else None


def expect_table(table: object) -> None:
    """Raise `TypeError` if an argument is no score table."""
    expected = "a ScoreTable, which `soce.read_scores` makes of a file or a data frame"
    expect(table, ScoreTable, "table", expected)
