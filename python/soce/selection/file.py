"""Selection files: recipe files of every soup on a grid, which also say how the experts were chosen."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, cast

from soce.exceptions import OutputError, Problem, shown
from soce.files.arguments import expect, expect_path
from soce.files.atomic import write_text
from soce.files.documents import MAX_BYTES, as_json, read_document
from soce.files.emit import n_values, printable, to_json, to_yaml
from soce.files.parsing import MAX_VALUES
from soce.files.words import counted, listed, nearest
from soce.recipes.checkpoint_paths import find_checkpoint
from soce.recipes.files import looks_like_recipe
from soce.recipes.model import same_path_key
from soce.recipes.names import parts_of, remote_name
from soce.recipes.parts import parse_dtype
from soce.selection.experts import Selection
from soce.selection.refusal import refuse
from soce.selection.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

    from soce.files.emit import Tree
    from soce.recipes.model import Ingredient
    from soce.selection.weights import WeightGrid

FORMAT: Final = 1
_CHECKPOINTS: Final = "checkpoints"
"""Where paths of candidates that are no experts stand, below ``selection``."""
_MAX_NAME: Final = 100
"""Longest name of a recipe, which becomes a directory."""
_MAX_IDS: Final = 10_000
"""Most ids of items that a file lists, far below what a recipe file may hold."""


@dataclass(frozen=True, slots=True)
class SelectionFile:
    """What a selection file says."""

    path: str
    """The file."""
    text: str
    """Its text."""
    selection: Selection
    """Equal to the one that was written, but for ids of items that were too many to be listed."""
    ingredients: tuple[Ingredient, ...]
    """The experts in their order, each with the path of its checkpoint."""
    checkpoints: Mapping[str, str]
    """Paths of candidates that are no experts, where they are known."""
    dtype: str | None
    """Safetensors name of the soups' dtype, if the file gives one."""
    leave_out: tuple[str, ...] = ()
    """Patterns of tensors that stay out of the soups."""
    take: Mapping[str, str] = field(default_factory=dict)
    """Pattern of tensors, and path of the checkpoint that gives them unchanged."""

    def __repr__(self) -> str:
        """Return the file and what it selects, on one line."""
        return f"SelectionFile(`{shown(self.path)}`, {self.selection!r})"

    @property
    def grid(self) -> WeightGrid:
        """Weights to try, in the ingredients' order."""
        return self.selection.grid

    @property
    def objective(self) -> str:
        """Name of the objective."""
        return self.selection.objective


def write_selection(
    selection: Selection,
    path: str | os.PathLike[str],
    *,
    paths: Mapping[str, str | os.PathLike[str]] | None = None,
    dtype: str | None = None,
    overwrite: bool = False,
) -> tuple[str, ...]:
    """Write a selection as a recipe file: `soce-merge --recipes` makes every soup of its grid.

    Parameters
    ----------
    selection : Selection
    path : path-like
        A ``.yaml``, ``.yml`` or ``.json`` file. It appears complete or not at all.
    paths : mapping of model to path, optional
        Checkpoints of candidates. Relative paths are relative to the working directory and are written
        relative to the file; an expert without one gets its own name for a path.
    dtype : str, optional
        Output dtype of the soups, such as ``bf16``.
    overwrite : bool
        Replace a file that is there.

    Returns
    -------
    tuple of str
        What the user should know, also said in comments at the top of the file: experts without a path, a
        grid or items that are too many to be listed.

    Raises
    ------
    OutputError
        The file is there already, or has another suffix.
    ScoreTableError
        A path for a model that is no candidate, one path for two candidates, an expert whose name no
        ingredient can have, a selection that is larger than a recipe file may be.
    RecipeError
        An unknown dtype.
    """
    expect(selection, Selection, "selection", "a Selection, which `soce.select_experts` returns")
    expect_path(path, "path")
    target = Path(path)
    check_target(target, overwrite=overwrite)
    places, notes = _places(selection, target, paths or {})
    if sum(map(len, (selection.origin.items or {}).values())) > _MAX_IDS:
        selection = replace(selection, origin=replace(selection.origin, items=None, evaluator=None))
        notes.append("the items that the scores stand on are too many to be listed, so they stay unnamed")
    head: dict[str, Tree] = {"ingredients": {model: places.pop(model) for model in selection.models}}
    if dtype is not None:
        head["dtype"] = parse_dtype(dtype).lower()
    known: dict[str, Tree] = {_CHECKPOINTS: places} if places else {}
    tail: dict[str, Tree] = {"selection": {"format": FORMAT, **known, **asdict(selection)}}
    grid = selection.grid
    text = None
    if n_values({**head, **tail}) + grid.count * (grid.n_experts + 1) + 2 <= MAX_VALUES:
        recipes = [_recipe(parts, number) for number, parts in enumerate(grid, 1)]
        text = _text(selection, target, notes, {**head, "recipes": recipes, **tail})
    if text is None:
        notes.append(
            f"the {grid.count} points of the grid are too many for a recipe file, `soce search` goes through "
            "them; as a recipe, the file is the uniform soup"
        )
        text = _text(selection, target, notes, {**head, **tail})
    if text is None:
        message = f"the selection has {n_values({**head, **tail})} values, a recipe file at most {MAX_VALUES}"
        refuse(message, "choose fewer categories, or a smaller population")
    try:
        write_text(target, text, overwrite=overwrite)
    except FileExistsError:
        _refuse_exists(target)
    return tuple(notes)


def check_target(path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Raise `OutputError` or `OSError` unless a selection can be written there; writing checks it again."""
    target = Path(path)
    if not looks_like_recipe(target.name):
        _refuse_output(target, "a selection file is named .yaml, .yml or .json")
    target.parent.stat()  # a directory that is not there is an OSError that names it
    if not overwrite and target.exists():
        _refuse_exists(target)


def read_selection(path: str | os.PathLike[str]) -> SelectionFile:
    """Read a selection file, strictly.

    Parameters
    ----------
    path : path-like
        A file that `write_selection` wrote. Paths of checkpoints may have been changed in it.

    Raises
    ------
    RecipeError
        Not a recipe file, no selection, or anything in it that cannot have been written.
    """
    from pydantic import Discriminator

    from soce.files.validation import validate
    from soce.recipes.native import CheckpointPath, read_native

    document = read_document(path)
    if not isinstance(document.tree, dict):
        document.refuse((), "a selection file must be a mapping")
    written = document.tree.get("selection")
    if not isinstance(written, dict):
        document.refuse(("selection",), "the file has no `selection`", "`soce select` writes such files")
    recipes = read_native(document)
    if written.get("format") != str(FORMAT):
        given = f"`{shown(str(written['format']))}`" if "format" in written else "missing"
        document.refuse(("selection", "format"), f"`format` is {given}, this version reads {FORMAT}")
    del written["format"]
    checkpoints: dict[str, str] = {}
    if _CHECKPOINTS in written:
        place = ("selection", _CHECKPOINTS)
        folder = Path(document.path).parent
        checkpoints = validate(document, dict[str, CheckpointPath], at=place)
        checkpoints = {name: find_checkpoint(path, folder=folder) for name, path in checkpoints.items()}
        del written[_CHECKPOINTS]
    # First by itself, where its name says which rule it is: of what fits no rule, each rule has a complaint.
    validate(document, cast("type[Rule]", Annotated[Rule, Discriminator("name")]), at=("selection", "rule"))
    selection = validate(document, Selection, at=("selection",))
    findings = (replace(found, details=as_json(found.details)) for found in selection.findings)
    selection = replace(selection, findings=tuple(findings))
    ingredients = recipes.recipes[0][1].ingredients
    if tuple(ingredient.name for ingredient in ingredients) != selection.models:
        document.refuse(
            ("ingredients",),
            "the ingredients are not the experts of the selection, in their order, each with its own path",
            f"the experts: {listed(selection.models)}",
        )
    for name in checkpoints:
        if name not in selection.candidates or name in selection.models:
            message = f"`{shown(name)}` is no candidate beside the experts"
            document.refuse(("selection", _CHECKPOINTS, name), message)
    if selection.grid.n_experts != len(selection.experts):
        document.refuse(
            ("selection", "grid"),
            f"the grid is one for {selection.grid.n_experts} experts, there are {len(selection.experts)}",
        )
    says = recipes.dtype, recipes.leave_out, recipes.take
    return SelectionFile(document.path, document.text, selection, ingredients, checkpoints, *says)


def _recipe(parts: Sequence[int], number: int) -> Tree:
    """Return a point of the grid; the reader names it after its parts, if they make a name."""
    if len("-".join(map(str, parts))) <= _MAX_NAME:
        return list(parts)
    return {"name": f"point-{number}", "weights": list(parts)}


def _places(
    selection: Selection, target: Path, paths: Mapping[str, str | os.PathLike[str]]
) -> tuple[dict[str, Tree], list[str]]:
    """Return the paths to be written, of every expert and of others with one, and what to say about them."""
    from soce.recipes.native import RESERVED

    for model in paths:
        if model not in selection.candidates:
            hint = nearest(model, selection.candidates, "candidates")
            refuse(f"a path is given for `{shown(model)}`, which is no candidate", hint)
    written: dict[str, Tree] = {}
    owners: dict[str, str] = {}
    unknown = []
    folder = os.path.realpath(target.parent)  # `..` in a written path starts from where links lead
    for model in (*selection.models, *sorted(paths.keys() - set(selection.models))):
        if model in RESERVED and model in selection.models:
            refuse(f"an ingredient cannot be named `{model}`", "rename the model (`--rename`)")
        given = os.fspath(paths[model]) if model in paths else None
        if given is None:
            unknown.append(model)
        place = model if given is None else _beside(given, folder)
        if not place or "\0" in place:
            refuse(f"the path of `{shown(model)}` is not one: `{shown(place)}`")
        written[model] = place
        # What has no path yet is looked for by its name, from the folder on.
        key = same_path_key(os.path.join(folder, place) if given is None else given)  # noqa: PTH118
        if key in owners:
            refuse(
                f"`{shown(owners[key])}` and `{shown(model)}` have the same path `{shown(place)}`",
                "every candidate needs a checkpoint of its own",
            )
        owners[key] = model
    notes = [f"no path is known for {listed(unknown)}: write it under `ingredients`"] if unknown else []
    return written, notes


def _beside(path: str, folder: str) -> str:
    """Return an absolute path, or the name of what is not here, as it is; else relative to the folder."""

    def beside(part: str) -> str:
        if not part or Path(part).is_absolute() or remote_name(part) is not None:
            return part
        return Path(os.path.relpath(Path.cwd() / part, folder)).as_posix()

    return "+".join(map(beside, parts_of(path)))


def _text(selection: Selection, target: Path, notes: Sequence[str], tree: Mapping[str, Tree]) -> str | None:
    """Return a file's text, comments at the top of YAML; None if it is larger than a recipe file may be."""
    if target.name.lower().endswith(".json"):
        text = to_json(tree)
    else:
        n_experts = counted(len(selection.experts), "expert")
        lines = [
            f"Written by soce {version('soce')}: {n_experts} of {len(selection.candidates)} candidates of "
            f"`{shown(selection.source)}`,",
            f"chosen by {selection.rule}.",
            f"Find the best: soce search {shown(target.name)} --evaluator tasks.jsonl --output run/",
            f"Or make every soup: soce-merge --recipes {shown(target.name)} --output soups/",
            *(f"Note: {note}." for note in notes),
        ]
        text = "".join(f"# {printable(line)}\n" for line in lines) + to_yaml(tree)
    return text if n_values(tree) <= MAX_VALUES and len(text.encode()) <= MAX_BYTES else None


def _refuse_exists(target: Path) -> NoReturn:
    _refuse_output(target, "the file exists", "choose another name, or overwrite it")


def _refuse_output(target: Path, message: str, hint: str | None = None) -> NoReturn:
    raise OutputError.of([Problem("output", str(target), None, message, hint)])
