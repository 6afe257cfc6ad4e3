"""The file of a store: opened, checked, and changed by one transaction at a time. Knows no evaluation."""

from __future__ import annotations

import sqlite3
import threading
import weakref
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from soce.exceptions import Problem, StudyError, shown
from soce.store.holder import holder_of, release_hint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import NoReturn

STORE: Final = "store.db"
"""The name of the file."""
JOURNAL: Final = f"{STORE}-journal"
"""What SQLite writes beside it while it changes; of a killed process it undoes what was begun."""
LEASES: Final = "leases.db"
"""The name of the file of leases, which is worth nothing to the next run."""
FORMAT: Final = 1
_APPLICATION: Final = int.from_bytes(b"soce", "big")
_BUSY_SECONDS: Final = 60.0

# Names of categories and items are the evaluator's; everything else is filed under digests. An outcome is a
# number, or the statistics of an item of a corpus as a JSON list.
_STORE_TABLES: Final = """
CREATE TABLE mixes (id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE);
CREATE TABLE measures (id INTEGER PRIMARY KEY, content TEXT NOT NULL UNIQUE);
CREATE TABLE items (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, measure INTEGER);
CREATE TABLE evaluators (
    id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, identity TEXT NOT NULL,
    is_registered INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE categories (
    id INTEGER PRIMARY KEY, evaluator INTEGER NOT NULL, name TEXT NOT NULL, UNIQUE (evaluator, name)
);
CREATE TABLE places (
    id INTEGER PRIMARY KEY, category INTEGER NOT NULL, name TEXT NOT NULL, item INTEGER NOT NULL,
    UNIQUE (category, name)
);
CREATE TABLE evaluations (
    id INTEGER PRIMARY KEY, mix INTEGER NOT NULL, evaluator INTEGER NOT NULL, added REAL NOT NULL,
    seconds REAL, n_items INTEGER NOT NULL, n_answers INTEGER NOT NULL, is_whole INTEGER NOT NULL,
    notes TEXT NOT NULL, whole BLOB, answers BLOB
);
CREATE INDEX evaluations_of_mix ON evaluations (mix, evaluator);
CREATE TABLE outcomes (
    mix INTEGER NOT NULL, item INTEGER NOT NULL, outcome REAL NOT NULL, evaluation INTEGER NOT NULL,
    PRIMARY KEY (mix, item)
) WITHOUT ROWID;
CREATE TABLE chosen (key TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE read_in (view TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_LEASE_TABLES: Final = """
CREATE TABLE leases (
    mix TEXT PRIMARY KEY, token TEXT NOT NULL, host TEXT NOT NULL, machine TEXT NOT NULL,
    process INTEGER NOT NULL, since REAL NOT NULL, beat REAL NOT NULL, what TEXT NOT NULL
) WITHOUT ROWID;
"""


class Database:
    """One SQLite file, made when something is first written to it.

    A file of another format, or of something else, is refused when it is opened. What a killed process had
    begun is undone by SQLite when the next one opens the file. The connection is closed with the object.
    """

    def __init__(self, path: Path, *, tables: str = _STORE_TABLES, is_durable: bool = True) -> None:
        self.path = path
        self._tables = tables
        self._is_durable = is_durable
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._connect(is_new=False)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection | None]:
        """Give the connection; None if there is no file yet."""
        with self._lock, self._refusing():
            yield self._connect(is_new=False)

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """Give the connection for one transaction, which is kept as a whole or not at all."""
        with self._lock, self._refusing():
            connection = self._connect(is_new=True)
            assert connection is not None
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise

    def generation(self) -> int:
        """Return a number that changes when somebody else has changed the file."""
        with self.reading() as connection:
            return 0 if connection is None else int(connection.execute("PRAGMA data_version").fetchone()[0])

    def _connect(self, *, is_new: bool) -> sqlite3.Connection | None:
        """Return the connection, opened when it is first needed; make the file only if it `is_new`."""
        if self._connection is not None:
            return self._connection
        if is_new:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        elif not self.path.exists():
            return None
        with self._refusing():
            try:
                self._open(is_new=is_new)
            except sqlite3.DatabaseError as error:
                if self._is_durable or _code(error) not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                    raise
                self.path.unlink(missing_ok=True)  # what a power failure left of it
                self._open(is_new=True)
        return self._connection

    def _open(self, *, is_new: bool) -> None:
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={'rwc' if is_new else 'rw'}",
            uri=True,
            timeout=_BUSY_SECONDS,
            isolation_level=None,  # transactions begin and end where `changing` says
            check_same_thread=False,  # the lock sees to it
        )
        is_ready = False
        try:
            # What was said to be kept is there after a power failure too: the folder is synced as well.
            connection.execute(f"PRAGMA synchronous = {'EXTRA' if self._is_durable else 'OFF'}")
            is_ready = self._is_checked(connection) or (is_new and self._is_made(connection))
        finally:
            if not is_ready:
                connection.close()
        if is_ready:
            self._connection = connection
            weakref.finalize(self, connection.close)

    def _is_checked(self, connection: sqlite3.Connection) -> bool:
        """Return whether the file is a store, refuse another one; False if there is nothing in it."""
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if application != _APPLICATION:
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] or version:
                self.refuse("this is no store of scores", "move the file away, or name another directory")
            return False
        if version != FORMAT:
            self.refuse(
                f"the store is of format {version}, and this version of soce reads format {FORMAT}",
                "use the version of soce that wrote it, or name another directory",
            )
        return True

    def _is_made(self, connection: sqlite3.Connection) -> bool:
        """Make the tables, unless another worker just did."""
        connection.execute("BEGIN IMMEDIATE")
        try:
            if not self._is_checked(connection):
                for statement in self._tables.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                connection.execute(f"PRAGMA user_version = {FORMAT}")
            connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        return True

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Say in one line what SQLite refuses."""
        try:
            yield
        except sqlite3.Error as error:
            message, hint = self._told(error)
            self.refuse(message, hint, cause=error)

    def _told(self, error: sqlite3.Error) -> tuple[str, str]:
        """Return what is wrong and what mends it."""
        code = _code(error)
        rest = "run the same command again: everything that was kept is there"
        if code == sqlite3.SQLITE_FULL:
            return "the store cannot be written: the disk is full", f"make room, and {rest}"
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            holder = holder_of(self.path)
            who = "another process" if holder is None else f"the process {holder}"
            message = f"{who} has kept the store to itself for {_BUSY_SECONDS:.0f} seconds"
            return f"{message}: it may be stopped", release_hint(holder)
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN):
            return (
                f"the store cannot be used: {shown(str(error))}",
                "see to the permissions of its folder",
            )
        if code == sqlite3.SQLITE_NOTADB:
            return "this is no store of scores", "move the file away, or name another directory"
        if code == sqlite3.SQLITE_CORRUPT:
            return (
                f"the store is damaged: {shown(str(error))}",
                "take a copy from a backup, or save what can be read with `sqlite3 store.db .recover`",
            )
        return f"the store failed: {shown(str(error))}", f"mend it, and {rest}"

    def refuse(self, message: str, hint: str, *, cause: BaseException | None = None) -> NoReturn:
        """Raise `StudyError` about the file."""
        raise StudyError.of([Problem("store", str(self.path), None, message, hint)]) from cause


def leases_beside(path: Path) -> Database:
    """Return the file of leases beside a store.

    It is another one, and never synced: who works is forgotten with the machine, claiming a mix costs no
    time, and a worker that is stopped while it says that it lives keeps nobody from the scores.
    """
    return Database(path.with_name(LEASES), tables=_LEASE_TABLES, is_durable=False)


def _code(error: sqlite3.Error) -> int:
    """Return the kind of an error, without its details."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
