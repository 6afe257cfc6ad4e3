"""Opens a run: reads what there is of it, and says why the rest is not there."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from soce.exceptions import ScoreTableError, SoceError, StudyError, shown
from soce.files.arguments import expect_path
from soce.files.documents import read_json
from soce.files.words import listed
from soce.scores.objective import Weighted, parse_objective
from soce.search.folder import (
    DEMO,
    MODELS,
    POPULATION,
    RESULT,
    SCORES,
    SELECTION,
    SOUP,
    STUDY,
    kind_of,
    search_folder,
)
from soce.search.identity import SearchIdentity
from soce.search.pool import Pool
from soce.search.refusal import refuse
from soce.search.result import SearchResult
from soce.search.run import Run
from soce.search.trials import read_trials
from soce.selection.file import read_selection

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping
    from typing import NoReturn

    from soce.scores.objective import Objective
    from soce.scores.table import ScoreTable
    from soce.search.folder import Kind
    from soce.selection.experts import Selection
    from soce.selection.file import SelectionFile

    T = TypeVar("T")

_MANIFEST = "soce.json"


class _MissingError(Exception):
    """A part of the run is not there; the text says why."""


def open_run(
    folder: str | os.PathLike[str],
    *,
    selection: str | os.PathLike[str] | None = None,
    paths: Mapping[str, str | os.PathLike[str]] | None = None,
    objective: Objective | None = None,
) -> Run:
    """Open a run that is finished, or was interrupted. Nothing is written or evaluated.

    What is missing or damaged is named in `Run.missing`, with the reason.

    Parameters
    ----------
    folder : path-like
        What `soce run`, `soce demo` or `soce search` was given as output.
    selection : path-like, optional
        Of a search: the selection file that it was given, which its folder does not hold.
    paths : mapping of model to path, optional
        Checkpoints that have moved. Needed only to score what is missing.
    objective : Objective, optional
        Only where the run's was an object of your own.

    Raises
    ------
    SoceError, OSError
        The folder holds no run at all, `paths` names a model that is not in it, or the selection that was
        named cannot be read.
    """
    expect_path(folder, "folder")
    place = Path(folder)
    place.stat()
    kind = kind_of(place)
    search = search_folder(place, kind)
    missing: dict[str, str] = {}

    def part(name: str, file: str, read: Callable[..., T], *arguments: object) -> T | None:
        try:
            return read(*arguments)
        except _MissingError as reason:
            missing[name] = str(reason)
        except SoceError as error:
            first = error.problems[0]
            missing[name] = "; ".join(filter(None, [f"{file} cannot be read: {first.message}", first.hint]))
        except OSError as error:
            missing[name] = f"{file} cannot be read: {error.strerror}"
        return None

    settings = part("settings", f"`{DEMO}`", _settings, place) if kind == "demo" else None
    if selection is None:
        chosen = part("selection", f"`{SELECTION}`", _selection, place, kind)
    else:
        chosen = read_selection(selection)
    experts = None if chosen is None else chosen.selection
    models = place / MODELS if kind == "demo" else None
    identity, pool = part("study", "the study", _study, search, models, experts, paths or {}) or (None, None)
    for name in paths or {}:
        if identity is not None and name not in identity.ingredients:
            hint = f"models: {listed(sorted(identity.ingredients))}"
            refuse(f"there is no model `{shown(name)}` in the run", hint, search)
    if objective is None and identity is not None:
        objective = part("objective", "the objective", _objective, identity)
    trials = read_trials(search)
    if kind == "study":
        unfinished = "no soup was searched for: these are scores of `soce study`"
    elif identity is None and trials is None:
        unfinished = missing["study"]
    else:
        so_far = f": {trials.n_trials} models and soups are scored so far" if trials else ""
        unfinished = f"the search is not finished{so_far}; the same command goes on with it"
    return Run(
        folder=place,
        kind=kind,
        selection=experts,
        expert_paths={} if chosen is None else {one.name: one.path for one in chosen.ingredients},
        table=part("scores", "the score table", _table, place, experts, missing),
        identity=identity,
        known_pool=pool,
        objective=objective,
        result=part("result", f"`{RESULT}`", _result, search, pool, unfinished),
        trials=trials,
        population=part("population", f"`{POPULATION}`", _population, search),
        manifest=part("soup", f"`{SOUP}/{_MANIFEST}`", _manifest, place, kind),
        settings=settings,
        missing=missing,
    )


def _population(search: Path) -> dict[str, Any] | None:
    path = search / POPULATION
    found = read_json(path, error=StudyError) if path.is_file() else None
    return found if isinstance(found, dict) else None


def _settings(folder: Path) -> dict[str, Any]:
    found = read_json(folder / DEMO, error=StudyError)
    return found if isinstance(found, dict) else {}


def _selection(folder: Path, kind: Kind) -> SelectionFile:
    absent = f"there is no `{SELECTION}`: the run was stopped before the experts were chosen"
    if kind == "search":
        absent = "the folder of a search does not hold the selection it was given; name it with `--selection`"
    elif kind == "study":
        absent = "no experts were chosen: these are scores of `soce study`"
    return read_selection(_present(folder / SELECTION, absent))


def _study(
    search: Path, models: Path | None, selection: Selection | None, paths: Mapping[str, object]
) -> tuple[SearchIdentity, Pool]:
    """Return what was searched: its identity and its models, where they are now."""
    path = _present(search / STUDY, f"nothing was searched yet: there is no `{STUDY}`")
    data = read_json(path, error=StudyError)
    data = data if isinstance(data, dict) else {}
    identity = SearchIdentity.from_json(data.get("identity"))
    known = data.get("paths") or {}
    located = {name: known.get(name, one.get("path")) for name, one in identity.ingredients.items()}
    if models is not None:  # those of a demo may have been moved or copied with its folder
        here = {name: models / name for name in located}
        located |= {name: str(path) for name, path in here.items() if path.is_dir() and path.name == name}
    located |= {name: str(path) for name, path in paths.items()}
    without = tuple(sorted(name for name, path in located.items() if path is None))
    # A path that nobody knows is never used: what stands there keeps the models apart.
    some_paths = {name: path or f"(unknown)/{name}" for name, path in located.items()}
    pool = Pool(
        some_paths,
        identity.experts,
        without_path=without,
        config_from=identity.config_from,
        base=identity.base,
        is_base_alone=identity.is_base_alone,
    )
    if selection is not None and set(selection.models) != set(pool.experts):
        _lack("the search is not of the experts that the selection names")
    return identity, pool


def _objective(identity: SearchIdentity) -> Objective:
    name, weights = identity.objective, identity.objective_weights
    try:
        if weights is None:
            return parse_objective(name)
        source = name.partition(":")[2] or name
        return Weighted({column: Fraction(share) for column, share in weights.items()}, source=source)
    except (ScoreTableError, OSError, ValueError) as error:
        _lack(f"the run's objective `{shown(name)}` cannot be made again: {shown(str(error))}")


def _result(search: Path, pool: Pool | None, unfinished: str) -> SearchResult:
    path = _present(search / RESULT, unfinished)
    return SearchResult.from_json(read_json(path, error=StudyError), pool=pool)


def _table(folder: Path, selection: Selection | None, missing: Mapping[str, str]) -> ScoreTable:
    """Find the table that the selection names: its digest says whether a file is it."""
    from soce.scores.read import read_scores

    if selection is None:
        _lack(missing["selection"])
    source = Path(selection.source)
    for path in filter(Path.is_file, (folder / SCORES, source, folder / source.name)):
        with suppress(SoceError, OSError):
            table = read_scores(path)
            if table.digest == selection.digest:
                return table.with_origin(selection.origin)
    _lack(
        f"the score table that the experts were chosen by (`{shown(selection.source)}`) is not there, "
        "or is another one now"
    )


def _manifest(folder: Path, kind: Kind) -> dict[str, Any]:
    absent = f"no soup was published {'beside the search' if kind == 'search' else 'yet'}"
    found = read_json(_present(folder / SOUP / _MANIFEST, absent), error=StudyError)
    if not isinstance(found, dict) or not isinstance(found.get("result"), dict):
        _lack(f"`{SOUP}/{_MANIFEST}` is not a manifest")
    return found


def _present(path: Path, absent: str) -> Path:
    if not path.is_file():
        _lack(absent)
    return path


def _lack(why: str) -> NoReturn:
    raise _MissingError(why)
