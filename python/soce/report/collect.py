"""What there is of a run: selection, scores, search and soup, and what is missing, each with its reason."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from soce.exceptions import Problem, SoceError, StudyError, shown
from soce.search.outcomes import read_json
from soce.search.record import Record, read_record
from soce.search.result_json import result_of

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from soce.scores.table import ScoreTable
    from soce.search.result import SearchResult
    from soce.search.run import KeptScores
    from soce.selection.experts import Selection

Kind = Literal["demo", "run", "search"]


@dataclass(slots=True)
class Run:
    """A folder that `soce run`, `soce demo` or `soce search` has written, finished or not."""

    folder: Path
    kind: Kind
    selection: Selection | None = None
    """How the experts were chosen."""
    paths: Mapping[str, str] = field(default_factory=dict)
    """Checkpoints of the experts, as far as they are known."""
    table: ScoreTable | None = None
    """The scores that the experts were chosen by."""
    kept: KeptScores | None = None
    """The scores of the search."""
    record: Record | None = None
    """When they were recorded."""
    result: SearchResult | None = None
    manifest: Mapping[str, Any] | None = None
    """Of the published soup."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of a demo."""
    missing: dict[str, str] = field(default_factory=dict)
    """``selection``, ``scores``, ``study``, ``result`` or ``soup`` → why it is not there."""

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder.resolve().name

    @property
    def search_folder(self) -> Path:
        """Where the study is."""
        return self.folder if self.kind == "search" else self.folder / "search"

    @property
    def soup_folder(self) -> Path:
        """Where the published soup is."""
        return self.folder / "soup"

    @property
    def experts(self) -> tuple[str, ...]:
        """Models of the soup, in the order of the grid; empty if nobody knows."""
        if self.selection is not None:
            return self.selection.models
        return () if self.kept is None else self.kept.pool.experts

    def why(self, *parts: str) -> tuple[str, ...]:
        """Return the reasons for those of the parts that are missing."""
        return tuple(dict.fromkeys(self.missing[part] for part in parts if part in self.missing))


def read_run(folder: str | os.PathLike[str], *, selection: str | os.PathLike[str] | None = None) -> Run:
    """Return what there is of a run; nothing is written or evaluated.

    Parameters
    ----------
    folder : path-like
        What `soce run`, `soce demo` or `soce search` was given as output.
    selection : path-like, optional
        Of a search: the selection file that it was given, which its folder does not hold.

    Returns
    -------
    Run
        What is missing or damaged is named in `Run.missing`, with the reason.

    Raises
    ------
    StudyError
        The folder holds no run at all.
    SoceError
        The selection that was named cannot be read.
    OSError
        The folder, or the selection that was named, is not there.
    """
    place = Path(folder)
    place.stat()
    if not place.is_dir():
        _refuse(place, "this is a file, not the directory of a run")
    run = Run(place, _kind(place))
    if run.kind == "demo":
        found = _read(run, "settings", place / "demo.json")
        run.settings = found if isinstance(found, dict) else {}
    _read_selection(run, None if selection is None else Path(selection))
    _read_study(run)
    _read_table(run)
    _read_soup(run)
    return run


def _kind(folder: Path) -> Kind:
    if (folder / "demo.json").is_file():
        return "demo"
    if (folder / "study.json").is_file():
        return "search"
    if (folder / "selection.yaml").is_file() or (folder / "search" / "study.json").is_file():
        return "run"
    _refuse(folder, "the directory holds no run: neither `selection.yaml` nor `study.json` is there")


def _read_selection(run: Run, named: Path | None) -> None:
    from soce.selection.file import read_selection

    if named is not None:
        found = read_selection(named)
    else:
        path = run.folder / "selection.yaml"
        if not path.is_file():
            run.missing["selection"] = (
                "the folder of a search does not hold the selection it was given; name it with `--selection`"
                if run.kind == "search"
                else "there is no `selection.yaml`: the run was stopped before the experts were chosen"
            )
            return
        try:
            found = read_selection(path)
        except SoceError as error:
            run.missing["selection"] = f"`selection.yaml` cannot be read: {_first(error)}"
            return
    run.selection = found.selection
    run.paths = {ingredient.name: ingredient.path for ingredient in found.ingredients}


def _read_study(run: Run) -> None:
    from soce.search.run import open_run

    folder = run.search_folder
    run.record = read_record(folder)
    if not (folder / "study.json").is_file():
        run.missing["study"] = "nothing was searched yet: there is no `study.json`"
    else:
        try:
            run.kept = open_run(folder, paths=_paths(run, folder))
        except SoceError as error:
            run.missing["study"] = f"the study cannot be read: {_first(error)}"
    models = None if run.selection is None else set(run.selection.models)
    if run.kept is not None and models is not None and models != set(run.kept.pool.experts):
        run.missing["study"] = "the search is not of the experts that the selection names"
        run.kept = None
    path = folder / "result.json"
    if not path.is_file():
        n_trials = f": {run.record.n_trials} models and soups are scored so far" if run.record else ""
        run.missing["result"] = (
            f"the search is not finished{n_trials}; the same command goes on with it"
            if run.kept is not None or run.record is not None
            else run.missing["study"]
        )
        return
    try:
        run.result = result_of(read_json(path), path)
    except SoceError as error:
        run.missing["result"] = f"`result.json` cannot be read: {_first(error)}"


def _paths(run: Run, folder: Path) -> dict[str, str]:
    """Return where a demo's models are now: the whole folder may have been moved or copied."""
    if run.kind != "demo":
        return {}
    try:
        known = json.loads((folder / "study.json").read_text(encoding="utf-8"))["identity"]["ingredients"]
        names = [str(name) for name in known]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    here = {name: run.folder / "models" / name for name in names}
    return {name: str(path) for name, path in here.items() if path.is_dir() and path.name == name}


def _read_table(run: Run) -> None:
    """Find the table that the selection names: its digest says whether a file is it."""
    from soce.scores.read import read_scores

    if run.selection is None:
        run.missing["scores"] = run.missing["selection"]
        return
    wanted, source = run.selection.digest, Path(run.selection.source)
    for path in (run.folder / "scores.csv", source, run.folder / source.name):
        if not path.is_file():
            continue
        try:
            table = read_scores(path)
        except (SoceError, OSError):
            continue
        if table.digest == wanted:
            run.table = table
            return
    run.missing["scores"] = (
        f"the score table that the experts were chosen by (`{shown(run.selection.source)}`) is not there, "
        "or is another one now"
    )


def _read_soup(run: Run) -> None:
    found = _read(run, "soup", run.soup_folder / "soce.json")
    if isinstance(found, dict) and isinstance(found.get("result"), dict):
        run.manifest = found
    elif found is not None:
        run.missing["soup"] = "`soup/soce.json` is not a manifest"


def _read(run: Run, what: str, path: Path) -> Any:  # noqa: ANN401 - JSON
    """Return what a JSON file holds, None with a reason if there is nothing to be read."""
    reasons = {
        "soup": "no soup was published beside the search"
        if run.kind == "search"
        else "no soup was published yet",
    }
    try:
        return json.loads(path.read_text(encoding="utf-8", errors="surrogatepass"))
    except FileNotFoundError:
        run.missing[what] = reasons.get(what, f"there is no `{path.name}`")
    except (OSError, ValueError, RecursionError):
        run.missing[what] = f"`{path.name}` is damaged"
    return None


def _first(error: SoceError) -> str:
    return str(error.problems[0].message)


def _refuse(folder: Path, message: str) -> NoReturn:
    hint = "give the output of `soce run`, `soce demo` or `soce search`"
    raise StudyError.of([Problem("study", str(folder), None, message, hint)])
