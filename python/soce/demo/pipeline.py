"""The whole recipe on the demo's models: score, select, search, publish. Nothing here is special to them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soce.demo.experts import DemoModels, Steps, make_experts
from soce.exceptions import OutputError, Problem
from soce.search.folder import DEMO, MODELS, SCORES, SEARCH, SELECTION, SOUP
from soce.search.identity import differences

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from typing import NoReturn

    from soce.evaluate.evaluation import Evaluation
    from soce.scores.table import ScoreTable
    from soce.search.result import SearchResult
    from soce.search.scoring import SearchProgress
    from soce.selection.experts import Selection

THRESHOLD: Final = 0.5
"""The demo's tau; the paper gives none. `soce select --sweep` on the demo's scores shows what others give."""


@dataclass(frozen=True, slots=True)
class DemoRun:
    """What a demo made, and where."""

    folder: Path
    models: DemoModels
    scores: ScoreTable
    """Of all candidates on the items to choose on."""
    selection: Selection
    result: SearchResult
    soup: Path
    """The published checkpoint."""


def run_demo(
    folder: str | os.PathLike[str],
    *,
    seed: int = 0,
    steps: Steps | None = None,
    step: str = "0.1",
    cache: bool | str | os.PathLike[str] = True,
    on_stage: Callable[[str], object] | None = None,
    on_training: Callable[[str, int, int], object] | None = None,
    on_search: Callable[[SearchProgress], object] | None = None,
) -> DemoRun:
    """Train tiny experts, choose among them as the paper does, and publish the best soup.

    Parameters
    ----------
    folder : path-like
        Where everything goes. The same call into it finishes what was interrupted.
    seed : int
        Of the training; the items are the same for every seed.
    steps : Steps, optional
        How long each model is trained.
    step : str
        Of the grid of weights.
    cache : bool or path-like
        Where trained models are kept, see `make_experts`.
    on_stage : callable, optional
        Called with a sentence before each stage.
    on_training : callable, optional
        Called with a model's name, its steps done and its steps in all.
    on_search : callable, optional
        Called with a `SearchProgress`.

    Returns
    -------
    DemoRun

    Raises
    ------
    OutputError
        The folder holds something else, or a demo with another seed or other steps.
    SoceError, OSError
        torch or Optuna is not installed; a stage failed.

    References
    ----------
    .. [1] Maiti et al., "Souper-Model", arXiv:2511.13254v1, Algorithm 1.
    """
    from soce.evaluate.live.soup_model import SoupModel
    from soce.evaluate.tasks.evaluator import TorchEvaluator
    from soce.evaluate.tasks.items import read_tasks
    from soce.merging.options import MergeOptions
    from soce.recipes.model import Recipe
    from soce.report.publish import publish_soup
    from soce.scores.formats.long import write_scores
    from soce.search.scoring import table_of
    from soce.search.soups import search_soups
    from soce.search.study import require_optuna
    from soce.selection.experts import select_experts
    from soce.selection.file import read_selection, write_selection
    from soce.selection.options import SelectionOptions
    from soce.selection.rules import Threshold

    require_optuna()  # before minutes of training
    tell = on_stage or (lambda _: None)
    folder = Path(folder)
    _claim(folder, {"seed": seed, "steps": asdict(steps or Steps()), "step": step})
    tell("training a base model, four experts and two bad candidates")
    models = DemoModels.at(folder / MODELS)
    if not models.test.exists():  # the folder appears when all is done
        make_experts(folder / MODELS, seed=seed, steps=steps, cache=cache, on_progress=on_training)
    paths = {name: str(path) for name, path in models.candidates.items()}
    soup = SoupModel(list(paths.values()))
    try:
        dev = TorchEvaluator(soup, read_tasks([models.dev]))
        test = TorchEvaluator(soup, read_tasks([models.test]))
        tell("scoring all seven on the items to choose on")
        evaluations: dict[str, Evaluation] = {
            name: dev.score(Recipe.of({path: 1})) for name, path in paths.items()
        }
        scores = table_of(evaluations)
        write_scores(scores, folder / SCORES)
        tell(f"choosing the experts of categories with |rho| < {THRESHOLD}")
        selection = select_experts(
            scores, Threshold(THRESHOLD), SelectionOptions(candidates=list(paths), step=step)
        )
        write_selection(selection, folder / SELECTION, paths=paths, overwrite=True)
        tell(f"searching {selection.grid.count} soups of {', '.join(selection.models)}")
        result = search_soups(
            read_selection(folder / SELECTION),
            dev,
            folder=folder / SEARCH,
            candidates=paths,
            held_out_evaluator=test,
            on_progress=on_search,
        )
    finally:
        soup.close()
    tell("publishing the best soup")
    options = MergeOptions(overwrite=True)
    published = publish_soup(result, folder / SOUP, selection=selection, run=folder / SEARCH, options=options)
    return DemoRun(folder, models, scores, selection, result, published.path)


def _claim(folder: Path, own: dict[str, object]) -> None:
    """Say in the folder what demo it holds, or refuse one that holds something else."""
    mark = folder / DEMO
    try:
        found = json.loads(mark.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            _refuse(folder, "it exists and holds no demo", "choose another directory")
        folder.mkdir(parents=True, exist_ok=True)
        mark.write_text(json.dumps(own) + "\n", encoding="utf-8")
        return
    except ValueError:
        found = None
    if found != own:
        changes = "; ".join(differences(found, own)) if isinstance(found, dict) else "`demo.json` is damaged"
        _refuse(folder, f"it holds another demo: {changes}", "choose another directory, or the same seed")


def _refuse(folder: Path, message: str, hint: str) -> NoReturn:
    raise OutputError.of([Problem("output", str(folder), None, message, hint)])
