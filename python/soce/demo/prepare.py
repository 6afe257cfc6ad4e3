"""What the demo brings: models, tasks and a table of scores. The rest goes as with models of one's own."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soce.demo.machine import this_machine
from soce.demo.models import DemoModels, Steps, make_models
from soce.exceptions import OutputError, Problem
from soce.search.folder import DEMO, MODELS
from soce.search.identity import differences

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from typing import NoReturn

    from soce.demo.models import OnProgress
    from soce.scores.table import ScoreTable

THRESHOLD: Final = 0.5
"""The demo's tau; the paper gives none. `soce select --sweep` on the demo's scores shows what others give."""


@dataclass(frozen=True, slots=True)
class Demo:
    """A folder with the demo's models, ready to be chosen among."""

    folder: Path
    models: DemoModels
    machine: str
    """On which they were trained."""
    scores: ScoreTable
    """Of all candidates on the items to choose on."""


def prepare_demo(
    folder: str | os.PathLike[str],
    *,
    seed: int = 0,
    steps: Steps = Steps(),  # noqa: B008 - frozen
    cache: Path | None = None,
    on_stage: Callable[[str], object] = lambda _: None,
    on_training: OnProgress | None = None,
) -> Demo:
    """Train tiny experts and score them.

    Parameters
    ----------
    folder : path-like
        Where everything goes. The same call into it finishes what was interrupted.
    seed : int
        Of the training; the items are the same for every seed.
    steps : Steps
        How long each model is trained.
    cache : Path, optional
        Where trained models are kept, see `make_models`.
    on_stage : callable
        Called with a sentence before each stage.
    on_training : callable, optional
        Called with a model's name, its steps done and its steps in all.

    Returns
    -------
    Demo

    Raises
    ------
    OutputError
        The folder holds something else, or a demo with another seed or other steps.
    SoceError, OSError
        torch is not installed; training or scoring failed.
    """
    folder = Path(folder)
    models = DemoModels.at(folder / MODELS)
    is_trained = models.test.exists()  # the folder appears when all is done
    machine = _claim(folder, {"seed": seed, "steps": asdict(steps)}, is_trained=is_trained)
    on_stage("training a base model, four experts and two bad candidates")
    if not is_trained:
        make_models(folder / MODELS, seed=seed, steps=steps, cache=cache, on_progress=on_training)
    on_stage("scoring all seven on the items to choose on")
    return Demo(folder, models, machine, _scored(models))


def _scored(models: DemoModels) -> ScoreTable:
    from soce.evaluate.kinds import open_evaluator
    from soce.evaluate.live.soup_model import SoupModel
    from soce.recipes.model import Recipe
    from soce.search.measure import measured_table

    paths = {name: str(path) for name, path in models.candidates.items()}
    with closing(SoupModel(list(paths.values()))) as soup:
        evaluator = open_evaluator(str(models.dev), soup)
        scores = {name: evaluator.score(Recipe.of({path: 1})) for name, path in paths.items()}
        return measured_table(scores, evaluator, evaluator.item_ids())


def _claim(folder: Path, own: dict[str, object], *, is_trained: bool) -> str:
    """Say in the folder what demo it holds, or refuse one that holds something else; return the machine."""
    mark = folder / DEMO
    try:
        found = json.loads(mark.read_text(encoding="utf-8"))
        machine = str(found.pop("machine"))
    except FileNotFoundError:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            _refuse(folder, "it exists and holds no demo", "choose another directory")
        folder.mkdir(parents=True, exist_ok=True)
        found, machine = own, ""
    except (AttributeError, KeyError, TypeError, ValueError):
        _refuse(folder, "it holds another demo: `demo.json` is damaged", "choose another directory")
    if found != own:
        changes = "; ".join(differences(found, own))
        _refuse(folder, f"it holds another demo: {changes}", "choose another directory, or the same seed")
    if is_trained:
        return machine
    machine = this_machine()
    mark.write_text(json.dumps({**own, "machine": machine}) + "\n", encoding="utf-8")
    return machine


def _refuse(folder: Path, message: str, hint: str) -> NoReturn:
    raise OutputError.of([Problem("output", str(folder), None, message, hint)])
