"""Where Optuna keeps the trials of a study: a journal in its folder, or the database that a URL names.

A trial is a line of the journal, which any number of processes append to, each while it holds the lock of the
study's folder. A database takes thirty times as long for it. Folders of 0.1 hold one, and go on with it.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from soce.exceptions import shown
from soce.search.folder import OLD_TRIALS, TRIALS
from soce.search.optional import quiet_optuna
from soce.search.refusal import refuse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import optuna

_NOTHING_LOST: Final = "nothing that was scored is lost"
_OTHER: Final = (
    f"name another with `--storage`: sqlite:///study.db, postgresql://user@host/database; {_NOTHING_LOST}"
)
_DAMAGED: Final = (OSError, ValueError, LookupError, TypeError, AssertionError)
"""What Optuna raises of a journal that it cannot write, or not read."""


class TrialStorage:
    """The study of Optuna's in which trials are recorded, made if it is not there.

    Whoever opens it, or adds to it, holds the lock of the study's folder. Raises StudyError if the storage
    cannot be opened, or what it holds cannot be read.
    """

    def __init__(self, folder: Path, name: str, *, url: str | None) -> None:
        old = folder / OLD_TRIALS
        if url is None and old.is_file():
            url = f"sqlite:///{old.absolute()}"
        self._path = folder / TRIALS
        self._url = url
        self._database: optuna.storages.RDBStorage | None = None
        self.mend()
        with quiet_optuna(), self._explained("cannot be opened", is_open=False):
            if url is None:
                self.study = _in_journal(self._path, name)
            else:
                self._database = _open_database(url)
                self.study = _in_database(self._database, name)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Refuse what the storage refuses, as on a full disk."""
        with self._explained("of the search failed", is_open=True):
            yield

    def mend(self) -> None:
        """Take off what a killed process or a full disk left of a line: Optuna refuses one in the middle."""
        if self._url is not None:
            return
        with suppress(FileNotFoundError), self._path.open("rb+") as file:
            if file.seek(0, os.SEEK_END) == 0:
                return
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)

    def close(self) -> None:
        """Let go of the storage."""
        if self._database is not None:
            self._database.remove_session()
            self._database.engine.dispose()

    @contextmanager
    def _explained(self, what: str, *, is_open: bool) -> Iterator[None]:
        kind = (
            "journal" if self._url is None else shown(self._url.partition(":")[0])
        )  # it may hold a password
        try:
            yield
        except self._errors(is_open=is_open) as error:
            if self._url is not None:
                hint = (
                    f"{_NOTHING_LOST}: mend it, and run the same command"
                    if is_open
                    else f"mend it, or {_OTHER}"
                )
            elif isinstance(error, OSError):
                hint = f"{_NOTHING_LOST}: make room, say, and run the same command"
            else:
                hint = (
                    f"{_NOTHING_LOST}: remove `{shown(str(self._path))}`, and the same command writes it anew"
                )
            refuse(f"the `{kind}` storage {what}: {_reason(error)}", hint, cause=error)

    def _errors(self, *, is_open: bool) -> tuple[type[Exception], ...]:
        if self._url is None:
            return _DAMAGED
        from optuna.exceptions import OptunaError
        from sqlalchemy.exc import SQLAlchemyError

        return (
            (OptunaError, SQLAlchemyError)
            if is_open
            else (ImportError, ValueError, RuntimeError, SQLAlchemyError)
        )


class _LockedAlready:
    """What Optuna asks for as a lock of the journal: the lock of the study's folder is held."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def _in_journal(path: Path, name: str) -> optuna.Study:
    import optuna
    from optuna.storages.journal import JournalFileBackend

    lock: Any = _LockedAlready()
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
    if any(
        study.study_name == name for study in storage.get_all_studies()
    ):  # a vain try to make it adds a line
        return optuna.load_study(study_name=name, storage=storage)
    return optuna.create_study(study_name=name, storage=storage, direction="maximize")


def _open_database(url: str) -> optuna.storages.RDBStorage:
    import optuna

    options: dict[str, Any] = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}
    return optuna.storages.RDBStorage(url, engine_kwargs=options)


def _in_database(storage: optuna.storages.RDBStorage, name: str) -> optuna.Study:
    import optuna

    return optuna.create_study(study_name=name, storage=storage, direction="maximize", load_if_exists=True)


def _reason(error: BaseException) -> str:
    """Return what the database said, which others raise with statements and advice of their own."""
    while error.__cause__ is not None:
        error = error.__cause__
    return shown(str(error))
