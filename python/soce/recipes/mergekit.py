"""mergekit's YAML for its `linear` method: the subset soce reads, and the file it writes beside a soup.

Written from mergekit's documentation and behaviour at version 0.1.5. Keys that soce does not honour are
refused by name, because a key that is silently ignored changes what was asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from soce.exceptions import shown
from soce.recipes.model import Ingredient, Recipe
from soce.recipes.parts import TORCH_DTYPES, parse_dtype, parse_weight
from soce.recipes.text import KIND, Items, Scalar, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from soce.recipes.text import Node, Source

_TOP: Final = ("merge_method", "models", "parameters", "dtype", "out_dtype")
_MODEL: Final = ("model", "parameters")
_PARAMETERS: Final = ("weight", "normalize")
_REFUSED: Final = {
    "slices": "soce averages whole models: list them under `models`",
    "modules": "soce averages whole models: list them under `models`",
    "base_model": "list it first under `models`: config and tokenizer come from the first one",
    "tokenizer_source": "the tokenizer is copied from the first model; use --config-from to choose another",
    "tokenizer": "the tokenizer is copied from the first model; use --config-from to choose another",
    "chat_template": "the chat template is copied with the tokenizer",
    "normalize": "it belongs under `parameters`",
    "weight": "it belongs under `parameters`",
}
HOLDS: Final = {
    "F64": frozenset({"F64", "F32", "F16", "BF16"}),
    "F32": frozenset({"F32", "F16", "BF16"}),
    "F16": frozenset({"F16"}),
    "BF16": frozenset({"BF16"}),
}
"""Which input dtypes each `dtype` holds exactly; any other would be rounded before averaging."""


@dataclass(slots=True)
class Mergekit:
    """What a mergekit file says."""

    recipe: Recipe
    dtype: str | None
    """Output dtype: `out_dtype`, or else `dtype`."""
    must_hold: str | None
    """`dtype`, which must hold every input exactly."""


def read_mergekit(source: Source, table: Table, resolve: Callable[[str], str]) -> Mergekit:
    """Return the recipe of a mergekit file with ``merge_method: linear``.

    Raises
    ------
    RecipeError
        With every key and value that soce does not honour exactly.
    """
    return _Reader(source, table, resolve).read()


class _Reader:
    def __init__(self, source: Source, table: Table, resolve: Callable[[str], str]) -> None:
        self.source = source
        self.table = table
        self.resolve = resolve

    def read(self) -> Mergekit:
        entries = self.table.entries
        self._known(self.table, _TOP, "")
        method = self._text(entries["merge_method"], "`merge_method`") if "merge_method" in entries else None
        if "merge_method" not in entries:
            self.source.add(self.table.line, "`merge_method` is missing", "write `merge_method: linear`")
        elif method is not None and method != "linear":
            self.source.add(
                entries["merge_method"].line,
                f"merge method `{shown(method)}` is not supported",
                "soce reads `merge_method: linear` only",
            )
        default, normalize, normalize_line = self._parameters(entries.get("parameters"))
        ingredients = self._models(entries.get("models"), default)
        dtype, out_dtype = self._dtype("dtype"), self._dtype("out_dtype")
        total = sum((ingredient.weight or Fraction(0)) for ingredient in ingredients)
        if not normalize and not self.source.problems and total != 1:
            self.source.add(
                normalize_line,
                f"`normalize: false` with weights that sum to {shown(str(total))}",
                "soce writes averages: make the weights sum to 1, or set `normalize: true`",
            )
        recipe = None
        if not self.source.problems:
            models = entries["models"]
            with self.source.collecting(models.line):
                if not any(ingredient.weight is not None for ingredient in ingredients):
                    ingredients = [Ingredient(i.path, Fraction(1), i.name) for i in ingredients]
                recipe = Recipe(tuple(ingredients))
        self.source.check()
        assert recipe is not None
        return Mergekit(recipe, out_dtype or dtype, dtype)

    def _known(self, table: Table, known: Sequence[str], where: str) -> None:
        for key in table.entries:
            if key in known:
                continue
            if not where and key in _REFUSED:
                self.source.add(table.key_lines[key], f"key `{key}` is not supported here", _REFUSED[key])
            else:
                self.source.unknown_key(table, key, known, where)

    def _text(self, node: Node, what: str) -> str | None:
        if not isinstance(node, Scalar):
            self.source.add(node.line, f"{what} must be a single value, not {KIND[type(node)]}")
        elif node.is_null or not node.text:
            self.source.add(node.line, f"{what} is empty")
        else:
            return node.text
        return None

    def _dtype(self, key: str) -> str | None:
        node = self.table.entries.get(key)
        if node is not None and (text := self._text(node, f"`{key}`")):
            with self.source.collecting(node.line):
                return parse_dtype(text)
        return None

    def _parameters(self, node: Node | None) -> tuple[Fraction | None, bool, int]:
        """Return the default weight, whether to normalise, and the line that says so."""
        if node is None:
            return None, True, 0
        if not isinstance(node, Table):
            self.source.add(node.line, "`parameters` must be a mapping")
            return None, True, 0
        self._known(node, _PARAMETERS, " in `parameters`")
        weight = self._weight(node.entries["weight"]) if "weight" in node.entries else None
        normalize = True
        line = node.key_lines.get("normalize", 0)
        if "normalize" in node.entries and (text := self._text(node.entries["normalize"], "`normalize`")):
            if text.lower() not in {"true", "false"}:
                self.source.add(line, f"`normalize` is `{shown(text)}`", "write true or false")
            normalize = text.lower() == "true"
        return weight, normalize, line

    def _models(self, node: Node | None, default: Fraction | None) -> list[Ingredient]:
        if node is None:
            self.source.add(self.table.line, "`models` is missing")
        elif not isinstance(node, Items) or not node.items:
            self.source.add(node.line, "`models` must be a list of at least one model")
        else:
            found = [self._model(model, default) for model in node.items]
            return [ingredient for ingredient in found if ingredient is not None]
        return []

    def _model(self, node: Node, default: Fraction | None) -> Ingredient | None:
        if not isinstance(node, Table):
            self.source.add(
                node.line, f"a model must be a mapping with the key `model`, not {KIND[type(node)]}"
            )
            return None
        self._known(node, _MODEL, " in a model")
        weight = default
        parameters = node.entries.get("parameters")
        if isinstance(parameters, Table):
            for key in parameters.entries:
                if key == "normalize":
                    line = parameters.key_lines[key]
                    self.source.add(
                        line, "`normalize` of one model", "it belongs under the top-level `parameters`"
                    )
                elif key != "weight":
                    self.source.unknown_key(parameters, key, ["weight"], " in the `parameters` of a model")
            if "weight" in parameters.entries:
                weight = self._weight(parameters.entries["weight"])
        elif parameters is not None:
            self.source.add(parameters.line, "`parameters` must be a mapping")
        if "model" not in node.entries:
            self.source.add(node.line, "a model has no `model`")
            return None
        path = self._text(node.entries["model"], "`model`")
        if path is None:
            return None
        if "+" in path:
            self.source.add(
                node.entries["model"].line,
                f"`{shown(path)}` looks like a model with a LoRA adapter",
                "merge the adapter into its model first; soce averages full checkpoints",
            )
        return Ingredient(self.resolve(path), weight, path)

    def _weight(self, node: Node) -> Fraction | None:
        if isinstance(node, Items):
            self.source.add(
                node.line, "a list of weights (gradient or filter) is not supported", "give one weight"
            )
        elif isinstance(node, Table):
            self.source.add(node.line, "a weight must be a single value, not a mapping")
        else:
            with self.source.collecting(node.line):
                return parse_weight(node.text)
        return None


def mergekit_yaml(recipe: Recipe, paths: Sequence[str], out_dtype: str) -> str:
    """Return the mergekit file of a plain average, or an empty text: mergekit has no word for rows.

    Parameters
    ----------
    recipe : Recipe
    paths : sequence of str
        Of its ingredients, as they are to be written.
    out_dtype : str
        Safetensors name of the output dtype.

    Notes
    -----
    Parts and ``normalize: true`` keep a third exact in the text; without ``dtype: float32`` mergekit rounds
    to the inputs' dtype first.
    """
    if recipe.rows or recipe.parts is None:
        return ""
    lines = [
        "# For mergekit (linear, as of 0.1.5): the same average, but its bits differ from soce's: soce",
        "# rounds the exact mean once, mergekit sums in float32. Without `base_model`, mergekit may take",
        "# config and tokenizer from any of the models.",
        "merge_method: linear",
        "models:",
    ]
    for path, part in zip(paths, recipe.parts, strict=True):
        if part:
            lines += [f"  - model: {_quoted(path)}", "    parameters:", f"      weight: {part}"]
    compute = "float64" if out_dtype == "F64" else "float32"
    lines += [
        "parameters:",
        "  normalize: true",
        f"dtype: {compute}",
        f"out_dtype: {TORCH_DTYPES[out_dtype]}",
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """Return a YAML double-quoted scalar in ASCII: a plain one may be read as a number, boolean or null."""
    body = "".join(c if " " <= c <= "~" and c not in '"\\' else f"\\U{ord(c):08X}" for c in text)
    return f'"{body}"'
