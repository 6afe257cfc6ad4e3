"""A study: the folder and the Optuna storage in which a search is recorded, resumed and shared.

The folder holds ``study.json`` (what the scores belong to), ``store.db`` (outcomes by item) and, unless
another storage is named, ``study.journal``, which optuna-dashboard shows. A trial is added in one step when
its recipe has been scored: none is ever left running by a worker that was killed.
"""

from __future__ import annotations

import secrets
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soce.exceptions import StudyError, shown
from soce.files.atomic import write_json
from soce.files.digests import digest_of
from soce.files.documents import read_json
from soce.recipes.model import same_path_key
from soce.search.archive import bring_back, clear, find_past, next_number, put_away, read_study, tidy
from soce.search.claims import claim
from soce.search.folder import (
    EXPERIMENT,
    HISTORY,
    LOCK,
    LOG,
    POPULATION,
    PRESENT,
    PROGRAMS,
    RESULT,
    STUDY,
)
from soce.search.identity import differences
from soce.search.optional import require_optuna
from soce.search.presence import Presence
from soce.search.refusal import refuse
from soce.search.storage import TrialStorage
from soce.search.trials import read_trials
from soce.store.database import JOURNAL, LEASES, STORE
from soce.store.file import StoreFile
from soce.store.old import OLD_FOLDER

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    import optuna

_FORMAT: Final = 2
_READ: Final = frozenset({1, _FORMAT})
"""Formats that are put into the history; of the first, ingredients were told apart by paths and times."""
_MAX_LISTED: Final = 8
_STORE: Final = frozenset({STORE, JOURNAL, LEASES, f"{LEASES}-journal", OLD_FOLDER})
_OWN: Final = _STORE | {LOCK, PRESENT, PROGRAMS, LOG, HISTORY, EXPERIMENT}
"""What may be there before the study: its lock, what an evaluator's programs leave, the command's log, and
evaluations of candidates, which know themselves what they are of."""


class Study(AbstractContextManager["Study"]):
    """The trials of a search: made anew, or gone on with if the same was asked before in the folder.

    Workers share it. The storage is the URL of one of Optuna's, such as ``postgresql://…``; a journal in the
    folder if left out. A context manager, which closes the storage.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        identity: Mapping[str, object],
        paths: Mapping[str, str] | None = None,
        storage: str | None = None,
    ) -> None:
        require_optuna()
        place = Path(folder)
        check_folder(place)
        place.mkdir(parents=True, exist_ok=True)
        self._lock, self._path = place / LOCK, place / STUDY
        self._presence = Presence(place / PRESENT)
        try:
            with claim(self._lock, wait=True):
                self.name = settle_question(place, identity, paths=paths or {}, presence=self._presence)
                self._storage = TrialStorage(place, self.name, url=storage)
                self._optuna = self._storage.study
                with self._storage.used():
                    known = self._optuna.user_attrs
                    for key, value in {"metric": "objective on the selection items", **identity}.items():
                        if known.get(key) != value:
                            self._optuna.set_user_attr(key, value)
        except BaseException:
            self._presence.close()
            raise
        self._recorded: set[tuple[str, str]] = set()

    def record(
        self,
        recipe: str,
        parts: Mapping[str, int],
        value: float,
        *,
        attributes: Mapping[str, object] | None = None,
        rungs: Mapping[int, float] | None = None,
        is_complete: bool = True,
    ) -> bool:
        """Add a trial, unless the recipe's id has one like it; return whether it was added.

        The parts are the trial's parameters, the attributes are shown beside it. Rungs are the number of
        items → the objective on them, of a recipe that was tried on few first; one that was left out after
        its last rung is not complete.
        """
        import optuna

        state = optuna.trial.TrialState.COMPLETE if is_complete else optuna.trial.TrialState.PRUNED
        if self._has(recipe, state.name):
            return False
        most = max(1, *parts.values())
        trial = optuna.trial.create_trial(
            state=state,
            value=value if is_complete else None,
            params=dict(parts),
            distributions={name: optuna.distributions.IntDistribution(0, most) for name in parts},
            user_attrs={"recipe": recipe, **(attributes or {})},
            intermediate_values=dict(rungs or {}),
        )
        # One writer at a time: lines of a journal must not mix, a database would make the others fail after a
        # while, and two workers could add one recipe twice.
        with claim(self._lock, wait=True), self._storage.used():
            self._storage.mend()
            for known in self._optuna.get_trials(deepcopy=False):
                self._recorded.add((str(known.user_attrs.get("recipe")), known.state.name))
            if self._has(recipe, state.name):
                return False
            self._optuna.add_trial(trial)
            self._recorded.add((recipe, state.name))
            return True

    def once(self, name: str, find: Callable[[], int]) -> int:
        """Return a number that is found when the question is asked first, and is the same ever after."""
        with claim(self._lock, wait=True):
            told = read_json(self._path, error=StudyError)
            if name not in told:
                told = {**told, name: find()}
                write_json(self._path, told)
            return int(told[name])

    def _has(self, recipe: str, state: str) -> bool:
        # What is complete, as an arm for instance, is not recorded as given up as well.
        return bool(self._recorded & {(recipe, state), (recipe, "COMPLETE")})

    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """Return what is recorded, in the order in which it was added."""
        with self._storage.used():
            return self._optuna.get_trials(deepcopy=False)

    def __exit__(self, *_: object) -> None:
        """Close the storage."""
        self._storage.close()
        self._presence.close()


def check_folder(folder: str | os.PathLike[str]) -> None:
    """Raise `StudyError` if the folder holds something and no study, or another store; nothing is written."""
    place = Path(folder)
    StoreFile(place)
    if (place / STUDY).exists() or not place.is_dir():
        return
    unfinished = f".{STUDY}."  # what another worker that begins at the same time is writing
    strangers = sorted(
        entry.name
        for entry in place.iterdir()
        if entry.name not in _OWN and not entry.name.startswith(unfinished)
    )
    if strangers:
        message = f"the directory holds `{shown(strangers[0])}` and no study"
        refuse(message, "name a new directory, or the one of an earlier search", place)


def settle_question(
    folder: Path, identity: Mapping[str, object], *, paths: Mapping[str, str], presence: Presence
) -> str:
    """Make this the question that is asked in the folder, and return the name of its study.

    Another one that was asked is put into the history, and one that was asked before comes back from it. The
    paths are where the models lie now. Whoever calls it holds the folder's lock, and is present.

    Raises
    ------
    StudyError
        Somebody else is searching for the answer to another one; the folder is of a later version.
    """
    located = {name: same_path_key(path) for name, path in sorted(paths.items())}
    tidy(folder)
    path = folder / STUDY
    if path.exists():
        found = read_json(path, error=StudyError, hint="name a new directory")
        if not isinstance(found, dict) or found.get("format") not in _READ or "name" not in found:
            refuse("`study.json` is not of a study that this version reads", "name a new directory", folder)
        if digest_of(found.get("identity")) == digest_of(dict(identity)):
            if located and found.get("paths") != located:
                write_json(path, {**found, "paths": located})
            return str(found["name"])
        make_way(folder, presence, changes=_changes(found.get("identity"), dict(identity)))
    else:
        check_folder(folder)
    past = find_past(folder, identity)
    before = {} if past is None else read_study(past) or {}
    name = str(before.get("name") or f"soce-{secrets.token_hex(4)}")
    told = {
        **before,  # what was found when it was asked first
        "format": _FORMAT,
        "name": name,
        "number": next_number(folder),
        "asked": before.get("asked") or datetime.now(UTC).isoformat(timespec="seconds"),
        "identity": dict(identity),
        "paths": located,
    }
    write_json(path, told)
    if past is not None:
        bring_back(past, folder)
    return name


def make_way(folder: Path, presence: Presence, *, changes: Sequence[str] = ()) -> None:
    """Put the present question into the history if something was found; refuse if others work on it."""
    if not presence.is_alone():
        more = len(changes) - _MAX_LISTED
        told = [*changes[:_MAX_LISTED], *([f"and {more} more"] if more > 0 else [])]
        refuse(
            f"another process is searching in it for something else{': ' if told else ''}{'; '.join(told)}",
            "wait until it is done, or name a new directory",
            folder,
        )
    trials = read_trials(folder)
    if (folder / STUDY).exists() and trials is not None and not (trials.n_trials or _is_found(folder)):
        clear(folder)  # an evaluator that failed at once may be mended: there is nothing to keep
    else:
        put_away(folder)


def _is_found(folder: Path) -> bool:
    return any((folder / name).exists() for name in (RESULT, POPULATION))


def _changes(before: object, after: dict[str, object]) -> list[str]:
    """Return what differs; of evaluators of two kinds only that they are."""
    if isinstance(before, dict):
        kinds = [
            held.get("evaluator") if isinstance(held := one.get("evaluator"), dict) else None
            for one in (before, after)
        ]
        if kinds[0] != kinds[1]:
            before, after = (
                {**one, "evaluator": kind} for one, kind in zip((before, after), kinds, strict=True)
            )
    return differences(before, after)
