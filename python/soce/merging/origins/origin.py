"""Where one ingredient comes from: what its names, its model card and the small files beside it say."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Final

from soce.exceptions import shown
from soce.merging.origins.front_matter import read_front_matter, read_text, texts_in
from soce.merging.origins.licences import Licence, licence_of
from soce.merging.origins.naming import has_size, identity_of, stage_of, stage_of_tags, words_of
from soce.merging.origins.steps import Moment, moment_of
from soce.recipes.checkpoint_paths import HUB_ID, cached_repository, shortest_ends
from soce.recipes.model import same_path_key
from soce.recipes.names import parts_of, split_adapter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from soce.merging.origins.naming import Stage

_LONGEST_JSON: Final = 1 << 24
"""Bytes of a JSON file that is read: tokenizers with many added tokens, logs of long trainings."""
_FILES: Final = frozenset({"model", "consolidated"})
"""Names of files that every model has."""
_TEMPLATES: Final = ("chat_template.jinja", "chat_template.json")


@dataclass(frozen=True, slots=True)
class StageWord:
    """A word that says how far a model was trained."""

    word: str
    stage: Stage
    where: str

    @property
    def text(self) -> str:
        """The word with its source."""
        return f"({self.where}: `{shown(self.word)}`)"


@dataclass(frozen=True, slots=True)
class Origin:
    """What is known of an ingredient's origin; nothing in it is guessed."""

    label: str
    """What messages call it."""
    path: str
    names: tuple[tuple[str, str], ...]
    """Each with what it is: the ``name`` that messages show, or an end of its ``path``."""
    hub_id: str | None
    tags: tuple[str, ...]
    bases: tuple[str, ...]
    """The models that it was made from, by their ids or, where they are none, the ends of paths."""
    bases_source: str
    relation: str | None
    """How it was made from them, as on the Hub: ``finetune``, ``adapter``, ``merge``, ``quantized``."""
    stage: StageWord | None
    """How far it was trained; None if neither a name nor a tag says it."""
    has_template: bool | None
    """Whether it has a chat template; None if it has no settings of a tokenizer either."""
    template_source: str
    moment: Moment | None
    licences: tuple[Licence, ...]
    """Its own, and that of the base if it is an adapter on one."""

    @property
    def is_merge(self) -> bool:
        """Whether it says to be a merge of several models."""
        return self.relation == "merge" or (self.relation is None and len(self.bases) > 1)

    @property
    def trained_from(self) -> str | None:
        """The one model that it was trained from, if it says so."""
        one = len(self.bases) == 1 and self.relation in {None, "finetune", "adapter"}
        return self.bases[0] if one and not self.is_called(self.bases[0]) else None

    def is_on(self, other: Origin) -> bool:
        """Whether this is an adapter on top of that very model."""
        base, adapter = split_adapter(self.path)
        return adapter is not None and same_path_key(base) == same_path_key(other.path)

    def is_called(self, model: str) -> bool:
        """Whether this is the model of that id, or at the end of that path."""
        owner, slash, name = model.rpartition("/")
        if slash and self.hub_id is not None and not self.hub_id.lower().startswith(f"{owner.lower()}/"):
            return False
        wanted = identity_of(name)
        return bool(wanted) and any(identity_of(PurePath(own).name) == wanted for _, own in self.names)


def read_origins(ingredients: Sequence[tuple[str, str]]) -> tuple[Origin, ...]:
    """Return the origins of ingredients, each given as what it is called and its path.

    Small files are read, and nothing is refused: what is missing, damaged or too long says nothing. An
    ingredient that is called by its path gets its id on the Hub, or the end of the path, as its label.
    """
    ends = shortest_ends(["+".join(map(_telling, parts_of(path))) for _, path in ingredients])
    return tuple(_read(name, path, end) for (name, path), end in zip(ingredients, ends, strict=True))


def _read(name: str, path: str, end: str) -> Origin:
    base, adapter = split_adapter(path)
    own = adapter or base  # of an adapter its own card and state tell, of its base only the chat template
    hub_id, _ = cached_repository(own)
    there = end if adapter is None else PurePath(_telling(own)).name
    there = there if hub_id is None else hub_id.rpartition("/")[2]
    label = name if name != path else end if adapter is not None else hub_id or end
    called = there if name == path else PurePath(parts_of(name)[-1].partition("@")[0]).name
    names = (("name", called), *([] if there in label else [("path", there)]))
    folder = _folder(own)
    card = read_front_matter(folder)
    bases, source = texts_in(card.get("base_model")), "README.md, base_model"
    if not bases:  # a path says nothing: it may be that of the checkpoint itself
        loaded = texts_in(_json(folder / "config.json").get("_name_or_path"))
        bases = tuple(one for one in loaded if HUB_ID.fullmatch(one) and has_size(words_of(one)))
        source = "config.json, _name_or_path"
    relation, tags = (texts_in(card.get(key)) for key in ("base_model_relation", "tags"))
    if made_of := _ingredients_of_soup(folder):
        bases, source, relation = made_of, "soce.json, run.ingredients", ("merge",)
    has_template, template_source = _template(_folder(base))
    return Origin(
        label=label,
        path=path,
        names=names,
        hub_id=hub_id,
        tags=tags,
        bases=tuple(one if HUB_ID.fullmatch(one) else PurePath(one).name for one in bases),
        bases_source=source,
        relation=relation[0].lower() if relation else None,
        stage=_stage(names, tags),
        has_template=has_template,
        template_source=template_source,
        moment=moment_of((label, called), own, _json(folder / "trainer_state.json")),
        licences=_licences(label, folder, card, None if adapter is None else base),
    )


def _licences(label: str, folder: Path, card: Mapping[str, Any], base: str | None) -> tuple[Licence, ...]:
    own = licence_of(label, folder, card)
    if base is None:
        return (own,)
    called = cached_repository(base)[0] or PurePath(base).name
    return own, licence_of(called, _folder(base), read_front_matter(_folder(base)))


def _folder(path: str) -> Path:
    return Path(path).parent if os.path.isfile(path) else Path(path)  # noqa: PTH113 - never raises


def _telling(path: str) -> str:
    """Return the part of a path that has a name: of a file called ``model.safetensors``, its folder."""
    place = PurePath(same_path_key(path))
    if place.suffix != ".safetensors":
        return str(place)
    return str(place.parent if place.stem in _FILES else place.with_suffix(""))


def _stage(names: Iterable[tuple[str, str]], tags: Sequence[str]) -> StageWord | None:
    for source, name in names:
        if found := stage_of(name):
            return StageWord(*found, source)
    found = stage_of_tags(tags)
    return StageWord(*found, "README.md, tags") if found else None


def _ingredients_of_soup(folder: Path) -> tuple[str, ...]:
    """Return the ingredients that the manifest of a soup names, as ids where they lay in the Hub's cache."""
    run = _json(folder / "soce.json").get("run")
    paths = texts_in(run.get("ingredients")) if isinstance(run, dict) else ()
    return tuple(cached_repository(path)[0] or path for path in paths)


def _template(folder: Path) -> tuple[bool | None, str]:
    """Return whether there is a chat template, and which file says so."""
    for name in _TEMPLATES:
        if read_text(folder / name) is not None:
            return True, name
    settings = _json(folder / "tokenizer_config.json")
    return (bool(settings.get("chat_template")) if settings else None), "tokenizer_config.json, chat_template"


def _json(path: Path) -> Mapping[str, Any]:
    """Return the object that a file holds; an empty one if it holds none."""
    try:
        found = json.loads(read_text(path, longest=_LONGEST_JSON) or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
