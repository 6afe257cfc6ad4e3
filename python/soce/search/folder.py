"""The names of a run's files: no other file spells them."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from soce.exceptions import StudyError
from soce.search.refusal import refuse

if TYPE_CHECKING:
    from pathlib import Path

Kind: TypeAlias = Literal["demo", "run", "search", "study"]
"""Which command wrote a folder; `soce study` where nothing was searched."""

SCORES: Final = "scores.csv"
"""The table that the experts were chosen by; of `soce run` and `soce demo`, as are the next three."""
SELECTION: Final = "selection.yaml"
SEARCH: Final = "search"
"""The folder of the search."""
SOUP: Final = "soup"
"""The published soup."""
LOG: Final = "soce.log"
DEMO: Final = "demo.json"
"""The settings of a demo."""
MODELS: Final = "models"
"""The models and the tasks of a demo."""

STUDY: Final = "study.json"
"""What the scores of a search belong to: a `SearchIdentity`."""
TRIALS: Final = "study.journal"
"""Optuna's storage, unless another one is named."""
OLD_TRIALS: Final = "study.db"
"""The same in folders of 0.1, a database."""
RESULT: Final = "result.json"
"""The `SearchResult`, once the search is finished."""
POPULATION: Final = "population.json"
"""The models and soups of a study."""
HISTORY: Final = "history"
"""Earlier questions, a folder each; see `soce.search.history`."""
EXPERIMENT: Final = "experiment.json"
"""Whose experiment the search is: where its file lies."""
LOCK: Final = ".lock"
PRESENT: Final = ".present"
"""Locked by whoever searches."""
PUBLISHING: Final = ".publishing.lock"
"""Held while the best soup is written, by one worker at a time."""
FITS: Final = "fits"
"""Coefficients that arms were fitted to, a folder each."""
PROGRAMS: Final = "programs"
"""What an evaluator's programs leave."""


def kind_of(folder: Path) -> Kind:
    """Return which command wrote a folder; refuse one that none did."""
    hint = "give the output of `soce run`, `soce demo`, `soce search` or `soce study`"
    if not folder.is_dir():
        refuse("this is a file, not the directory of a run", hint, folder)
    if (folder / DEMO).is_file():
        return "demo"
    if (folder / STUDY).is_file() or (folder / RESULT).is_file():
        is_search = any((folder / name).is_file() for name in (RESULT, TRIALS, OLD_TRIALS))
        return "study" if (folder / POPULATION).is_file() and not is_search else "search"
    if (folder / SELECTION).is_file() or any((folder / SEARCH / name).is_file() for name in (STUDY, RESULT)):
        return "run"
    refuse(f"the directory holds no run: neither `{SELECTION}` nor `{STUDY}` is there", hint, folder)


def holds_run(folder: Path) -> bool:
    """Return whether some command wrote the folder; refuse a file."""
    if folder.is_file():
        kind_of(folder)
    with suppress(StudyError):
        return folder.is_dir() and bool(kind_of(folder))
    return False


def search_folder(folder: Path, kind: Kind) -> Path:
    """Return where the search of a run is kept."""
    return folder if kind in ("search", "study") else folder / SEARCH
