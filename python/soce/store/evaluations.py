"""Evaluations of recipes by one evaluator, so that nothing is scored twice. Knows no search, no objective."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from soce.files.digests import digest_of
from soce.store.file import StoreFile
from soce.store.leases import leased
from soce.store.measures import (
    Measure,
    evaluation_of,
    outcomes_of,
    packed_answers,
    packed_evaluation,
    unpacked_answers,
    unpacked_evaluation,
)
from soce.store.mixes import Mixes, mix_text
from soce.store.old import OLD_FOLDER, old_evaluations
from soce.store.places import Places, keys_of

if TYPE_CHECKING:
    import os
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from soce.evaluate.answers import Answer
    from soce.evaluate.evaluation import Evaluation, Evaluator
    from soce.recipes.model import Recipe
    from soce.store.measures import Outcome

    Items = Mapping[str, Sequence[str]]
    Rows = Mapping[str, Mapping[str, int]]
    """Category → item id → row of the item."""

_MOST_CACHED: Final = 2_000_000
"""Outcomes that are kept in memory; those of the mixes that were asked for last."""


class _Row(NamedTuple):
    outcome: Outcome
    evaluation: int
    measure: Measure


class EvaluationStore(StoreFile):
    """Evaluations of recipes by one evaluator; it and the ingredients are given by their identities.

    An outcome is filed under the mix and the item's key. Evaluators that name their items' keys, which
    `register` tells, share what is known of an item with all others that give it the same key; an outcome of
    another evaluator is filed under its identity, category and id. What is known once does not change.

    Parameters
    ----------
    folder : path-like
        Of the search; the file is ``store.db`` in it.
    ingredients : mapping of model to identity
        As JSON; not where they are, but what they are.
    evaluator : mapping
        `Evaluator.identity`.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        ingredients: Mapping[str, object],
        evaluator: Mapping[str, object],
    ) -> None:
        super().__init__(folder)
        self._mixes = Mixes(ingredients)
        self._places = Places(evaluator)
        self._measures: dict[int, Measure] = {}
        self._kept: OrderedDict[str, dict[int, _Row]] = OrderedDict()  # mix → row of the item → outcome
        self._n_kept = 0
        self.refresh()
        self._read_old(ingredients, evaluator)

    def register(self, evaluator: Evaluator) -> None:
        """Keep which key each item of the evaluator has; afterwards its identity alone finds its scores."""
        with self._database.reading() as connection:
            if connection is not None and self._places.is_registered(connection):
                return
        keys = keys_of(evaluator)
        items = keys or evaluator.item_ids()
        if items is None:
            return  # nobody can tell before something is scored
        with self._changing() as connection:
            self._places.register(connection, items, keys)

    def foresee(self, evaluator: Evaluator) -> None:
        """Look up what is known of an evaluator's items without registering it: nothing is written."""
        with self._database.reading() as connection:
            if connection is not None and not self._places.is_registered(connection):
                self._places.foresee(connection, evaluator)

    def refresh(self) -> None:
        """Look for items that other workers registered meanwhile; outcomes are looked up when needed."""
        with self._database.reading() as connection:
            if connection is not None:
                self._places.read(connection)

    def key(self, recipe: Recipe) -> str:
        """Return the digest that the recipe's outcomes are filed under.

        It stands for exact parts and the ingredients' identities; names, paths and the order of ingredients
        have no part in it.
        """
        return self._mixes.digest(recipe)

    def items(self) -> dict[str, tuple[str, ...]]:
        """Return category → ids of all items that are registered with the evaluator."""
        return {category: tuple(found) for category, found in self._places.rows().items()}

    def item_keys(self, items: Items) -> dict[str, dict[str, str]]:
        """Return category → id → key, of those of the items that are registered."""
        rows = self._places.rows(items)
        asked = json.dumps([row for found in rows.values() for row in found.values()])
        with self._database.reading() as connection:
            if connection is None:
                return {}
            found = connection.execute(
                "SELECT id, key FROM items WHERE id IN (SELECT value FROM json_each(?))", (asked,)
            )
            keys = dict(found.fetchall())
        return {category: {item: keys[row] for item, row in of.items()} for category, of in rows.items()}

    def claim(self, recipe: Recipe) -> AbstractContextManager[bool]:
        """Say to other workers that this one scores the recipe; the value is False if another one does."""
        return leased(self._leases, self.key(recipe), mix_text(recipe))

    def find(self, recipe: Recipe, items: Items | None, *, with_answers: bool = True) -> Evaluation | None:
        """Return the scores over these items, over all if None; None if some were not evaluated."""
        if items is None:
            return self._whole(recipe)
        rows = self._places.rows(items)
        if any(len(rows.get(category, ())) < len(frozenset(ids)) for category, ids in items.items()):
            return None
        kept = self._look_up(self.key(recipe), rows)
        if any(row not in kept for found in rows.values() for row in found.values()):
            return None
        return self._evaluation(rows, kept, with_answers=with_answers)

    def known(self, recipe: Recipe, *, with_answers: bool = True) -> Evaluation | None:
        """Return all that is known of a recipe, over whatever items; None if it was never evaluated."""
        rows = self._places.rows()
        kept = self._look_up(self.key(recipe), rows)
        there = {
            category: {item: row for item, row in found.items() if row in kept}
            for category, found in rows.items()
        }
        there = {category: found for category, found in there.items() if found}
        whole = self._whole_as_given(recipe)
        if whole is not None:
            told = whole.item_ids() or {}
            if all(found.keys() <= frozenset(told.get(category, ())) for category, found in there.items()):
                return whole
        return self._evaluation(there, kept, with_answers=with_answers) if there else None

    def missing(self, recipe: Recipe, items: Items) -> dict[str, tuple[str, ...]]:
        """Return those of the items that were not evaluated; categories that miss none are left out."""
        rows = self._places.rows(items)
        kept = self._look_up(self.key(recipe), rows)
        lacking = {}
        for category, ids in items.items():
            there = {item for item, row in rows.get(category, {}).items() if row in kept}
            lacking[category] = tuple(item for item in ids if item not in there)
        return {category: ids for category, ids in lacking.items() if ids}

    def add(
        self, recipe: Recipe, evaluation: Evaluation, *, is_whole: bool, seconds: float | None = None
    ) -> int:
        """Keep what the evaluator returned, and return the number of outcomes that were not known yet.

        `is_whole` if it was asked for all items; `seconds` are what the evaluation took. What is known
        already stays as it is, so whoever comes late reads what all others read.
        """
        outcomes = outcomes_of(evaluation)
        whole = packed_evaluation(evaluation) if is_whole else None
        measures = {category: Measure.of(evaluation, category).to_text() for category in outcomes}
        with self._changing() as connection:
            evaluator = self._places.add(connection, outcomes)
            rows = self._places.rows(outcomes)
            mix = _id_of(connection, "mixes", "digest", self.key(recipe))
            known = _known_rows(connection, mix, rows)
            new = {
                row: (category, item)
                for category, found in rows.items()
                for item, row in found.items()
                if row not in known
            }
            if not new and (not is_whole or _has_whole(connection, mix, evaluator)):
                return 0
            for category in dict.fromkeys(category for category, _ in new.values()):
                measure = _id_of(connection, "measures", "content", measures[category])
                connection.executemany(
                    "UPDATE items SET measure = ? WHERE id = ? AND measure IS NULL",
                    ((measure, row) for row, (name, _) in new.items() if name == category),
                )
            answers = {
                row: evaluation.answers[category][item]
                for row, (category, item) in new.items()
                if item in evaluation.answers.get(category, ())
            }
            number = connection.execute(
                "INSERT INTO evaluations "
                "(mix, evaluator, added, seconds, n_items, n_answers, is_whole, notes, whole, answers) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    mix,
                    evaluator,
                    time.time(),
                    seconds,
                    n_items_of(evaluation),
                    len(answers),
                    is_whole,
                    json.dumps(evaluation.notes),
                    whole,
                    packed_answers(answers),
                ),
            ).lastrowid
            connection.executemany(
                "INSERT INTO outcomes (mix, item, outcome, evaluation) VALUES (?, ?, ?, ?)",
                (
                    (mix, row, outcomes[category][item], number)
                    for row, (category, item) in sorted(new.items())
                ),
            )
        return len(new)

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """Give the connection for one transaction; if it is not kept, its places are forgotten as well."""
        try:
            with self._database.changing() as connection:
                yield connection
        except BaseException:
            self._places.forget()
            self.refresh()
            raise

    def _read_old(self, ingredients: Mapping[str, object], evaluator: Mapping[str, object]) -> None:
        """Take over what soce kept before there was a store, once for these ingredients and evaluator."""
        folder = self.path.with_name(OLD_FOLDER)
        if not folder.is_dir():
            return
        view = digest_of([dict(ingredients), dict(evaluator)])
        with self._database.reading() as connection:
            look = "SELECT 1 FROM read_in WHERE view = ?"
            if connection is not None and connection.execute(look, (view,)).fetchone():
                return
        for old in old_evaluations(folder, ingredients, evaluator):
            self.add(old.recipe, old.evaluation, is_whole=old.is_whole)
        with self._changing() as connection:
            connection.execute("INSERT OR IGNORE INTO read_in (view) VALUES (?)", (view,))

    def _look_up(self, mix: str, rows: Rows) -> Mapping[int, _Row]:
        """Return what is known of a mix on these items, by their rows; only what is new is read."""
        kept = self._kept.pop(mix, {})
        lacking = [row for found in rows.values() for row in found.values() if row not in kept]
        if lacking:
            before = len(kept)
            kept.update(self._read_rows(mix, lacking))
            self._n_kept += len(kept) - before
        if kept:
            self._kept[mix] = kept
        while self._n_kept > _MOST_CACHED and len(self._kept) > 1:
            _, gone = self._kept.popitem(last=False)
            self._n_kept -= len(gone)
        return kept

    def _read_rows(self, mix: str, lacking: Iterable[int]) -> dict[int, _Row]:
        with self._database.reading() as connection:
            if connection is None:
                return {}
            # A cross join keeps the order: what is asked for leads, not all that is known of the mix.
            rows = connection.execute(
                "SELECT o.item, o.outcome, o.evaluation, i.measure FROM json_each(?) j CROSS JOIN mixes m "
                "CROSS JOIN outcomes o ON o.mix = m.id AND o.item = j.value CROSS JOIN items i "
                "ON i.id = o.item WHERE m.digest = ?",
                (json.dumps([*lacking]), mix),
            ).fetchall()
            for (measure,) in {row[3:] for row in rows if row[3] not in self._measures}:
                (content,) = connection.execute(
                    "SELECT content FROM measures WHERE id = ?", (measure,)
                ).fetchone()
                self._measures[measure] = Measure.from_text(content)
        return {
            item: _Row(outcome, evaluation, self._measures[measure])
            for item, outcome, evaluation, measure in rows
        }

    def _evaluation(self, rows: Rows, kept: Mapping[int, _Row], *, with_answers: bool) -> Evaluation:
        """Return the scores over items, all of which are known."""
        sources = sorted({kept[row].evaluation for found in rows.values() for row in found.values()})
        column = "answers" if with_answers else "NULL"
        with self._database.reading() as connection:
            assert connection is not None
            told = connection.execute(
                f"SELECT id, notes, {column} FROM evaluations WHERE id IN (SELECT value FROM json_each(?)) "
                "ORDER BY id",
                (json.dumps(sources),),
            ).fetchall()
        said = {number: unpacked_answers(answers) for number, _, answers in told}
        answers: dict[str, dict[str, Answer]] = {}
        for category, found in rows.items():
            of = {
                item: said[kept[row].evaluation][row]
                for item, row in found.items()
                if row in said[kept[row].evaluation]
            }
            if of:
                answers[category] = of
        return evaluation_of(
            {
                category: {item: (kept[row].outcome, kept[row].measure) for item, row in found.items()}
                for category, found in rows.items()
            },
            notes=[note for _, notes, _ in told for note in json.loads(notes)],
            answers=answers,
        )

    def _whole(self, recipe: Recipe) -> Evaluation | None:
        """Return what the evaluator gave when it was asked for all items; None if it never was."""
        with self._database.reading() as connection:
            if connection is None:
                return None
            found = connection.execute(
                "SELECT 1 FROM evaluations e JOIN mixes m ON m.id = e.mix JOIN evaluators r "
                "ON r.id = e.evaluator WHERE m.digest = ? AND r.digest = ? AND e.is_whole LIMIT 1",
                (self.key(recipe), self._places.digest),
            ).fetchone()
        if found is None:
            return None
        return self._whole_as_given(recipe) or self.known(recipe)

    def _whole_as_given(self, recipe: Recipe) -> Evaluation | None:
        """Return what is kept as it was given, because it does not follow from items; None if nothing is."""
        with self._database.reading() as connection:
            if connection is None:
                return None
            found = connection.execute(
                "SELECT e.whole FROM evaluations e JOIN mixes m ON m.id = e.mix JOIN evaluators r "
                "ON r.id = e.evaluator WHERE m.digest = ? AND r.digest = ? AND e.whole IS NOT NULL "
                "ORDER BY e.id LIMIT 1",
                (self.key(recipe), self._places.digest),
            ).fetchone()
        return None if found is None else unpacked_evaluation(found[0])


def n_items_of(evaluation: Evaluation) -> int:
    """Return the number of items behind an evaluation, as far as it tells."""
    told = evaluation.item_ids() or {}
    return sum(len(told.get(name, ())) or one.n or 0 for name, one in evaluation.categories.items())


def _id_of(connection: sqlite3.Connection, table: str, column: str, value: str) -> int:
    """Return the row of a value that is kept once."""
    connection.execute(f"INSERT OR IGNORE INTO {table} ({column}) VALUES (?)", (value,))
    (row,) = connection.execute(f"SELECT id FROM {table} WHERE {column} = ?", (value,)).fetchone()
    return int(row)


def _known_rows(connection: sqlite3.Connection, mix: int, rows: Rows) -> frozenset[int]:
    asked = json.dumps([row for found in rows.values() for row in found.values()])
    known = connection.execute(
        "SELECT item FROM outcomes WHERE mix = ? AND item IN (SELECT value FROM json_each(?))", (mix, asked)
    )
    return frozenset(item for (item,) in known)


def _has_whole(connection: sqlite3.Connection, mix: int, evaluator: int) -> bool:
    look = "SELECT 1 FROM evaluations WHERE mix = ? AND evaluator = ? AND is_whole LIMIT 1"
    return connection.execute(look, (mix, evaluator)).fetchone() is not None
