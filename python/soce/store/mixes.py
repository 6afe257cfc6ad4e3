"""What a mix is: exact parts of ingredients told apart by content, without names, paths or order."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TYPE_CHECKING

from soce.exceptions import shown
from soce.files.digests import digest_of

if TYPE_CHECKING:
    from soce.recipes.model import Recipe


class Mixes:
    """Digests of recipes over ingredients, which are told apart by their identities.

    Of what lies beside an ingredient's shards only that of the first in a recipe counts, which gives config
    and tokenizer, even with no part: that of the others is in no soup.
    """

    def __init__(self, ingredients: Mapping[str, object]) -> None:
        parts = {name: _parts_of(identity) for name, identity in ingredients.items()}
        self._ingredients = {name: digest_of(shards) for name, (shards, _) in parts.items()}
        self._beside = {name: digest_of(beside) for name, (_, beside) in parts.items()}

    def digest(self, recipe: Recipe) -> str:
        """Return what the recipe's scores are filed under."""
        rows: list[object] = []
        for row in recipe.table:
            shares: dict[str, Fraction] = {}
            for one, numerator in zip(recipe.ingredients, row.numerators, strict=True):
                if numerator:
                    digest = self._ingredients[one.name]
                    shares[digest] = shares.get(digest, Fraction(0)) + Fraction(numerator, row.whole)
            rows.append([row.pattern, sorted([digest, str(share)] for digest, share in shares.items())])
        method, base = recipe.method, recipe.base
        if method is not None:
            of = None if base is None else self._ingredients[base.name]
            rows.append([method.name, of, sorted(method.parameter_texts.items())])
        return digest_of([rows, self._beside[recipe.ingredients[0].name]])


def _parts_of(identity: object) -> tuple[object, object]:
    """Return what an identity says of the shards, and of what lies beside them."""
    if isinstance(identity, Mapping) and identity.keys() == {"shards", "beside"}:
        return identity["shards"], identity["beside"]
    return identity, None


def mix_text(recipe: Recipe) -> str:
    """Return the weights of a recipe as people read them.

    Examples
    --------
    >>> from soce.recipes.model import Recipe
    >>> mix_text(Recipe.of({"path/A": 3, "path/B": 0, "path/C": 1}))
    '3/4 path/A + 1/4 path/C'
    """
    if recipe.parts is None:
        return " + ".join(shown(one.name) for one in recipe.ingredients)
    pairs = zip(recipe.parts, recipe.ingredients, strict=True)
    return " + ".join(f"{part}/{recipe.whole} {shown(one.name)}" for part, one in pairs if part)
