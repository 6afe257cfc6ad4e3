"""A served model as far as it is known without starting anything."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from soce.evaluate.engines.engine import EngineOptions
from soce.evaluate.engines.open import open_engine
from soce.evaluate.evaluation import refuse
from soce.evaluate.live.loading import load_tokenizer
from soce.evaluate.live.mixing import SoupMixer
from soce.evaluate.side_files import side_files_digest
from soce.merging.options import CHANGE_TENSORS, MergeOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from transformers import PreTrainedTokenizerBase

    from soce.evaluate.engines.engine import EngineName
    from soce.evaluate.evaluation import OnProgress
    from soce.recipes.model import Recipe


class ServedOutline:
    """A live model that has no engine yet: evaluators say of it what they would score, and as whom.

    It refuses what is wrong with headers and config, or with the engine's installation, and has the same
    `identity` as a `soce.evaluate.served.model.ServedModel` of the same arguments. It can be no soup.
    """

    _engine_identity: Mapping[str, object]

    def __init__(
        self, ingredients: Sequence[str], engine_name: EngineName, options: EngineOptions = EngineOptions()
    ) -> None:
        self._begin(ingredients, options.merge)
        self.options = options
        self.engine = open_engine(engine_name, self.ingredients, options)
        """Not started."""
        self._engine_identity = dict(self.engine.identity)

    def _begin(self, ingredients: Sequence[str], merge: MergeOptions) -> None:
        """Read headers and small files, and refuse what does not fit."""
        self._mixer = SoupMixer(ingredients, merge)
        self._decisions = merge.decisions()
        self.ingredients = self._mixer.paths
        self.warnings = self._mixer.warnings
        self.nbytes = sum(map(self._mixer.size, self._mixer.tensors))
        self.recipe: Recipe | None = None

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer of the first ingredient."""
        return load_tokenizer(self.ingredients[0])

    @property
    def soups_identity(self) -> dict[str, object]:
        """What answers depend on, besides recipe and tensors, whatever the engine."""
        told = CHANGE_TENSORS - {"dtype"}  # which stands beside them as it is published
        decided = {name: held for name, held in self._decisions.items() if name in told}
        return {
            "config_and_tokenizer": side_files_digest(self.ingredients[0], self._mixer.side_files),
            "published_dtype": self._mixer.dtype,
            **({"merge": decided} if decided else {}),
        }

    @cached_property
    def identity(self) -> Mapping[str, object]:
        """What scores depend on besides the ingredients' tensors and the recipe, as JSON."""
        return {**self.soups_identity, **self._engine_identity}

    def check(self, recipe: Recipe) -> None:
        """Raise what is wrong with a recipe as far as headers tell, as `SoupModel.set` would."""
        self._mixer.rows(recipe)

    def set(self, recipe: Recipe, *, on_progress: OnProgress | None = None) -> None:  # noqa: ARG002
        """Refuse to be a soup."""
        refuse("the model is not served yet, and cannot be scored")

    def look(self) -> None:
        """Do nothing: there is no engine yet."""

    def close(self) -> None:
        """Let go of the ingredients."""
        self.__dict__.pop("_mixer", None)
