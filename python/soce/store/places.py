"""Where the items of one evaluator are filed: its categories and ids lead to rows of items by key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from soce.files.digests import digest_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Mapping

    from soce.evaluate.evaluation import Evaluator


class Places:
    """Rows of the items that an evaluator, known by its identity, is registered with.

    What is read is kept: a place never changes, and only new ones are read again.
    """

    def __init__(self, identity: Mapping[str, object]) -> None:
        self.digest = digest_of(dict(identity))
        self._identity = json.dumps(dict(identity), sort_keys=True)
        self.forget()

    def forget(self) -> None:
        """Forget what was read, as after a transaction that was not kept."""
        self._evaluator: int | None = None
        self._rows: dict[str, dict[str, int]] = {}  # category → id → row of the item, as registered
        self._last = 0  # place that was read

    def key(self, category: str, item: str) -> str:
        """Return the key of an item of an evaluator that has none: it stands for its name in this one."""
        return digest_of([self.digest, category, item])

    def read(self, connection: sqlite3.Connection) -> None:
        """Look for what was registered meanwhile."""
        if self._evaluator is None:
            found = connection.execute(
                "SELECT id FROM evaluators WHERE digest = ?", (self.digest,)
            ).fetchone()
            if found is None:
                return
            self._evaluator = found[0]
        (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM places").fetchone()
        if last == self._last:
            return
        # At first by the evaluator's categories, then by what is new: a cross join keeps the order.
        tables = "categories c CROSS JOIN places p" if self._last == 0 else "places p CROSS JOIN categories c"
        rows = connection.execute(
            f"SELECT c.name, p.name, p.item FROM {tables} ON c.id = p.category "
            "WHERE p.id > ? AND p.id <= ? AND c.evaluator = ? ORDER BY p.id",
            (self._last, last, self._evaluator),
        )
        for category, item, row in rows:
            self._rows.setdefault(_name(category), {})[_name(item)] = row
        self._last = last

    def rows(self, items: Mapping[str, Collection[str]] | None = None) -> dict[str, dict[str, int]]:
        """Return category → id → row, of these items, of all if None, as far as they are registered.

        In the order of registration, whatever the order in which they are asked for.
        """
        if items is None:
            return {category: dict(found) for category, found in self._rows.items()}
        chosen = {}
        for category, found in self._rows.items():
            if category in items:
                wanted = frozenset(items[category])
                if len(wanted) * 8 < len(found):  # a few of many
                    few = [(found[item], item) for item in wanted if item in found]
                    chosen[category] = {item: row for row, item in sorted(few)}
                else:
                    chosen[category] = {item: row for item, row in found.items() if item in wanted}
        return chosen

    def register(
        self,
        connection: sqlite3.Connection,
        items: Mapping[str, Iterable[str]],
        keys: Mapping[str, Mapping[str, str]] | None,
    ) -> None:
        """Keep the keys of all items of the evaluator, in a transaction."""
        self.add(connection, items, keys=keys)
        connection.execute("UPDATE evaluators SET is_registered = 1 WHERE id = ?", (self._evaluator,))

    def foresee(self, connection: sqlite3.Connection, evaluator: Evaluator) -> None:
        """Look for what would be known of an evaluator's items if it were registered; keep nothing."""
        for category, keys in (keys_of(evaluator) or {}).items():
            rows = connection.execute(
                "SELECT i.key, i.id FROM json_each(?) j CROSS JOIN items i ON i.key = j.value",
                (json.dumps([*keys.values()]),),
            )
            known = dict(rows.fetchall())
            self._rows[category] = {item: known[key] for item, key in keys.items() if key in known}

    def is_registered(self, connection: sqlite3.Connection) -> bool:
        """Return whether that was done."""
        look = "SELECT is_registered FROM evaluators WHERE digest = ?"
        found = connection.execute(look, (self.digest,)).fetchone()
        return found is not None and bool(found[0])

    def add(
        self,
        connection: sqlite3.Connection,
        items: Mapping[str, Iterable[str]],
        *,
        keys: Mapping[str, Mapping[str, str]] | None = None,
    ) -> int:
        """Give places to items that have none, in a transaction; return the row of the evaluator."""
        connection.execute(
            "INSERT OR IGNORE INTO evaluators (digest, identity) VALUES (?, ?)", (self.digest, self._identity)
        )
        self.read(connection)
        assert self._evaluator is not None
        for category, ids in items.items():
            known = self._rows.get(category, {})
            told = {} if keys is None else keys[category]
            new = {item: told.get(item) or self.key(category, item) for item in ids if item not in known}
            if new:
                self._add_category(connection, category, new)
        self.read(connection)
        return self._evaluator

    def _add_category(self, connection: sqlite3.Connection, category: str, keys: Mapping[str, str]) -> None:
        connection.executemany(
            "INSERT OR IGNORE INTO items (key) VALUES (?)", ((key,) for key in keys.values())
        )
        owner = (self._evaluator, _text(category))
        connection.execute("INSERT OR IGNORE INTO categories (evaluator, name) VALUES (?, ?)", owner)
        (row,) = connection.execute(
            "SELECT id FROM categories WHERE evaluator = ? AND name = ?", owner
        ).fetchone()
        connection.executemany(
            "INSERT INTO places (category, name, item) SELECT ?, ?, id FROM items WHERE key = ?",
            ((row, _text(item), key) for item, key in keys.items()),
        )


def keys_of(evaluator: Evaluator) -> Mapping[str, Mapping[str, str]] | None:
    """Return the keys of an evaluator's items; None if it does not tell them."""
    keys: Mapping[str, Mapping[str, str]] | None = getattr(evaluator, "item_keys", lambda: None)()
    return keys


def _text(name: str) -> str | bytes:
    """Return a name as SQLite takes it: those that are no Unicode, which JSON may hold, as bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return name.encode("utf-8", "surrogatepass")
    return name


def _name(text: str | bytes) -> str:
    return text if isinstance(text, str) else text.decode("utf-8", "surrogatepass")
