"""soce's own recipe format, described in docs/recipe-format.md."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final, TypeAlias

from soce.exceptions import shown
from soce.recipes.model import Ingredient, Recipe, Row
from soce.recipes.parts import lowest_terms, parse_dtype, parse_integer, parse_size, parse_weight, to_parts
from soce.recipes.text import KIND, Items, Scalar, Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from soce.recipes.text import Node, Source

_TOP: Final = (
    "ingredients",
    "weights",
    "rows",
    "recipes",
    "dtype",
    "max_shard_size",
    "config_from",
    "selection",
)
"""Of these, `selection` says how a file came about (`soce.selection.file` reads it) and changes no soup."""
_INGREDIENT: Final = ("path", "weight", "name")
_ROW: Final = ("pattern", "weights", "numerators", "whole")
_MIX: Final = ("weights", "rows")
RESERVED: Final = frozenset({*_MIX, "numerators", "whole", "equal"})
"""Names that an ingredient cannot have."""
_MAX_INGREDIENTS: Final = 4096
_RECIPE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)

Weights: TypeAlias = "list[Fraction] | None"


@dataclass(slots=True)
class Native:
    """What a native recipe file says."""

    recipes: list[tuple[str | None, Recipe]]
    dtype: str | None = None
    max_shard_size: int | None = None
    config_from: str | None = None


def read_native(source: Source, table: Table, resolve: Callable[[str], str]) -> Native:
    """Return the recipes of a native file; `resolve` makes a written path one that can be opened.

    Raises
    ------
    RecipeError
        With everything that is wrong in the file.
    """
    return _Reader(source, table, resolve).read()


class _Reader:
    """Reads one file; problems go to the source, so that all are reported at once."""

    def __init__(self, source: Source, table: Table, resolve: Callable[[str], str]) -> None:
        self.source = source
        self.table = table
        self.resolve = resolve
        self.names: list[str] = []
        self.paths: list[str] = []
        self.inline: list[Fraction | None] = []
        self.inline_line = 0

    def read(self) -> Native:
        self._known(self.table, _TOP)
        if "ingredients" not in self.table.entries:
            self.source.refuse(self.table.line, "`ingredients` is missing")
        self._ingredients(self.table.entries["ingredients"])
        native = Native([])
        self._options(native)
        if "recipes" in self.table.entries:
            native.recipes = self._many(self.table.entries["recipes"])
        else:
            recipe = self._mix(self.table, self.table.line)
            native.recipes = [] if recipe is None else [(None, recipe)]
        self.source.check()
        return native

    def _known(self, table: Table, known: tuple[str, ...], where: str = "") -> None:
        for key in table.entries:
            if key not in known:
                self.source.unknown_key(table, key, known, where)

    def _text(self, node: Node, what: str) -> str | None:
        """Return the text of a value that must be there, or note what is wrong."""
        if not isinstance(node, Scalar):
            self.source.add(node.line, f"{what} must be a single value, not {KIND[type(node)]}")
        elif node.is_null or not node.text:
            self.source.add(node.line, f"{what} is empty")
        else:
            return node.text
        return None

    def _options(self, native: Native) -> None:
        entries = self.table.entries
        if "dtype" in entries and (text := self._text(entries["dtype"], "`dtype`")):
            with self.source.collecting(entries["dtype"].line):
                native.dtype = parse_dtype(text)
        if "max_shard_size" in entries and (
            text := self._text(entries["max_shard_size"], "`max_shard_size`")
        ):
            with self.source.collecting(entries["max_shard_size"].line):
                native.max_shard_size = parse_size(text)
        if "config_from" in entries and (text := self._text(entries["config_from"], "`config_from`")):
            if text in self.names:
                native.config_from = self.paths[self.names.index(text)]
            else:
                self._no_such_ingredient(entries["config_from"].line, text, "`config_from`")

    def _no_such_ingredient(self, line: int, name: str, where: str) -> None:
        import difflib

        near = difflib.get_close_matches(name, self.names, n=1)
        hint = (
            f"did you mean `{shown(near[0])}`?"
            if near
            else f"ingredients: {', '.join(map(shown, self.names))}"
        )
        self.source.add(line, f"{where} names `{shown(name)}`, which is not an ingredient", hint)

    def _ingredients(self, node: Node) -> None:
        before = len(self.source.problems)
        given = (
            0 if isinstance(node, Scalar) else len(node.entries if isinstance(node, Table) else node.items)
        )
        if given > _MAX_INGREDIENTS:
            self.source.refuse(node.line, f"{given} ingredients, at most {_MAX_INGREDIENTS} are possible")
        if isinstance(node, Table):
            for name, value in node.entries.items():
                self._ingredient(value, name, node.key_lines[name])
        elif isinstance(node, Items):
            for value in node.items:
                self._ingredient(value, None, value.line)
        else:
            self.source.refuse(
                node.line, "`ingredients` must be a list of paths or a mapping of name to path"
            )
        if not self.names and len(self.source.problems) == before:
            self.source.add(node.line, "`ingredients` is empty")
        if len(self.source.problems) > before:
            self.source.check()  # what names ingredients makes no sense without them

    def _ingredient(self, node: Node, name: str | None, line: int) -> None:
        weight: Fraction | None = None
        path: str | None = None
        if isinstance(node, Table):
            self._known(node, _INGREDIENT, " in an ingredient")
            if "path" not in node.entries:
                self.source.add(line, "an ingredient has no `path`")
            else:
                path = self._text(node.entries["path"], "`path`")
            if "weight" in node.entries:
                weight = self._weight(node.entries["weight"])
                self.inline_line = self.inline_line or node.entries["weight"].line
            if "name" in node.entries:
                given = self._text(node.entries["name"], "`name`")
                if name is not None:
                    self.source.add(line, f"ingredient `{shown(name)}` is named twice")
                name = given
        else:
            path = self._text(node, "the path of an ingredient")
        if path is None:
            return
        unnamed = name is None  # then a path given twice is one ingredient with more parts
        name = path if name is None else name
        if name in self.names and not (unnamed and self.resolve(path) in self.paths):
            self.source.add(line, f"two ingredients are named `{shown(name)}`", "give them different names")
        if name in RESERVED or not name:
            self.source.add(line, f"an ingredient cannot be named `{shown(name)}`")
        self.names.append(name)
        self.paths.append(self.resolve(path))
        self.inline.append(weight)

    def _weight(self, node: Node) -> Fraction | None:
        if not isinstance(node, Scalar):
            self.source.add(node.line, f"a weight must be a single value, not {KIND[type(node)]}")
            return None
        with self.source.collecting(node.line):
            return parse_weight(node.text)
        return None

    def _by_ingredient(self, node: Node, what: str) -> list[Scalar] | None:
        """Return one scalar per ingredient, from a mapping by name or a list in the ingredients' order."""
        found: dict[int, Node] = {}
        if isinstance(node, Table):
            for name, value in node.entries.items():
                if name in self.names:
                    found[self.names.index(name)] = value
                else:
                    self._no_such_ingredient(node.key_lines[name], name, what)
            missing = [shown(name) for i, name in enumerate(self.names) if i not in found]
            if missing:
                self.source.add(
                    node.line,
                    f"{what} lacks {', '.join(f'`{name}`' for name in missing)}",
                    "name every ingredient; 0 leaves one out",
                )
        elif isinstance(node, Items):
            if len(node.items) != len(self.names):
                count = f"{len(node.items)} values for {len(self.names)} ingredients"
                self.source.add(node.line, f"{what} has {count}", "name every ingredient; 0 leaves one out")
            else:
                found = dict(enumerate(node.items))
        else:
            self.source.add(node.line, f"{what} must be a mapping by ingredient or a list")
        if len(found) != len(self.names):
            return None
        scalars = []
        for i in range(len(self.names)):
            value = found[i]
            if isinstance(value, Scalar):
                scalars.append(value)
            else:
                self.source.add(value.line, f"{what} must hold single values, not {KIND[type(value)]}")
        return scalars if len(scalars) == len(self.names) else None

    def _weights(self, node: Node) -> Weights:
        if isinstance(node, Scalar):
            if node.text != "equal":
                self.source.add(
                    node.line,
                    "`weights` must be a mapping by ingredient, a list, or `equal`",
                    "leave `weights` out for equal parts",
                )
                return None
            return [Fraction(1)] * len(self.names)
        scalars = self._by_ingredient(node, "`weights`")
        if scalars is None and isinstance(node, Table):  # say what else is wrong
            scalars_given = [value for value in node.entries.values() if isinstance(value, Scalar)]
        else:
            scalars_given = scalars or []
        weights = [self._weight(scalar) for scalar in scalars_given]
        known = [weight for weight in weights if weight is not None]
        return known if scalars is not None and len(known) == len(scalars) else None

    def _row(self, node: Node) -> Row | None:
        if not isinstance(node, Table):
            self.source.add(node.line, f"a row must be a mapping, not {KIND[type(node)]}")
            return None
        self._known(node, _ROW, " in a row")
        entries = node.entries
        pattern = self._text(entries["pattern"], "`pattern`") if "pattern" in entries else None
        if "pattern" not in entries:
            self.source.add(node.line, "a row has no `pattern`", "`*` matches every tensor")
        if "weights" in entries and ("numerators" in entries or "whole" in entries):
            self.source.add(node.line, "a row has both `weights` and `numerators` or `whole`")
        elif "weights" in entries:
            weights = self._weights(entries["weights"])
            if pattern and weights:
                with self.source.collecting(node.line):
                    parts = to_parts(weights)
                    return Row(pattern, parts, sum(parts))
        elif "numerators" in entries and "whole" in entries:
            scalars = self._by_ingredient(entries["numerators"], "`numerators`")
            whole = self._text(entries["whole"], "`whole`")
            if pattern and scalars and whole:
                with self.source.collecting(node.line):
                    numerators = tuple(parse_integer(scalar.text, "numerator") for scalar in scalars)
                    return Row(pattern, *lowest_terms(numerators, parse_integer(whole, "whole")))
        else:
            self.source.add(node.line, "a row needs `weights`, or `numerators` with `whole`")
        return None

    def _mix(self, table: Table, line: int) -> Recipe | None:
        """Return the recipe of a table with `weights` and `rows`, each optional."""
        entries = table.entries
        before = len(self.source.problems)
        weights: list[Fraction | None] | None = None
        if "weights" in entries:
            if self.inline_line:
                self.source.add(table.key_lines["weights"], "weights are given here and beside the paths")
            given = self._weights(entries["weights"])
            weights = None if given is None else list(given)
            line = table.key_lines["weights"]
        elif self.inline_line:
            weights = self.inline
            line = self.inline_line
        elif "rows" not in entries:
            weights = [Fraction(1)] * len(self.names)
        rows = []
        if "rows" in entries:
            node = entries["rows"]
            if isinstance(node, Items) and node.items:
                rows = [self._row(row) for row in node.items]
            else:
                self.source.add(node.line, "`rows` must be a list of at least one row")
        if len(self.source.problems) > before:
            return None
        return self._recipe(weights, [row for row in rows if row is not None], line)

    def _recipe(self, weights: list[Fraction | None] | None, rows: list[Row], line: int) -> Recipe | None:
        each = weights if weights is not None else [None] * len(self.names)
        with self.source.collecting(line):
            return Recipe(
                tuple(Ingredient(p, w, n) for p, w, n in zip(self.paths, each, self.names, strict=True)),
                tuple(rows),
            )
        return None

    def _many(self, node: Node) -> list[tuple[str | None, Recipe]]:
        for key in _MIX:
            if key in self.table.entries:
                self.source.add(
                    self.table.key_lines[key], f"`{key}` belongs inside `recipes` when there are many"
                )
        if self.inline_line:
            self.source.add(self.inline_line, "`weight` belongs inside `recipes` when there are many")
        named: list[tuple[str | None, Node, int]] = []
        if isinstance(node, Table):
            named = [(name, value, node.key_lines[name]) for name, value in node.entries.items()]
        elif isinstance(node, Items):
            named = [self._listed(value) for value in node.items]
        else:
            self.source.add(node.line, "`recipes` must be a mapping of name to weights, or a list")
        if not named and not isinstance(node, Scalar):
            self.source.add(node.line, "`recipes` is empty")
        recipes: dict[str | None, Recipe] = {}
        for name, value, line in named:
            recipe = self._one_of_many(value, line)
            if recipe is None:
                continue
            if name is None and recipe.rows:
                self.source.add(line, "a recipe with rows needs a `name`")
            name = "-".join(map(str, recipe.parts or ())) if name is None else name
            if _RECIPE_NAME.fullmatch(name) is None:
                self.source.add(
                    line,
                    f"a recipe cannot be named `{shown(name)}`",
                    "it becomes a directory: up to 100 of A-Z, a-z, 0-9, `.`, `_`, `-`, no mark first",
                )
            elif name in recipes:
                self.source.add(line, f"two recipes are named `{shown(name)}`", "give them different names")
            recipes[name] = recipe
        return list(recipes.items())

    def _listed(self, node: Node) -> tuple[str | None, Node, int]:
        """Return the name (if any), the mix and the line of an item of a list of recipes."""
        if isinstance(node, Table) and "name" in node.entries and "name" not in self.names:
            name = self._text(node.entries["name"], "`name`")
            rest = {key: value for key, value in node.entries.items() if key != "name"}
            return name, Table(rest, node.line, node.key_lines), node.line
        return None, node, node.line

    def _one_of_many(self, node: Node, line: int) -> Recipe | None:
        if isinstance(node, Table) and all(key in _MIX for key in node.entries):
            return self._mix(node, line)
        return self._mix(Table({"weights": node}, line, {"weights": line}), line)
