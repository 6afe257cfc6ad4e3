"""The layers of a checkpoint: how many its config names, and which tensors belong to each."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from soce.exceptions import shown
from soce.files.words import listed
from soce.recipes.names import HubName, base_of, remote_name
from soce.recipes.parts import refuse

_KEYS: Final = ("num_hidden_layers", "num_layers", "n_layer", "n_layers")
_MAX_CONFIG: Final = 16 << 20
_NUMBERED: Final = re.compile(r"(?P<stack>(?:[^.]+\.)*?)(?P<layer>0|[1-9][0-9]{0,5})\.", re.ASCII)


@dataclass(frozen=True, slots=True)
class Layers:
    """The tensors of a checkpoint, by layer."""

    names: tuple[str, ...]
    stack: str
    """What the names of the layers' tensors begin with, such as ``model.layers.``."""
    count: int

    @classmethod
    def of(cls, path: str, *, counted: bool) -> Layers:
        """Read the names of a checkpoint; with `counted` false, no layer is told from the rest.

        An adapter on top adds none.

        Raises
        ------
        RecipeError
            Its config does not say how many layers there are, or they are no single stack.
        CheckpointError, OSError
            It cannot be read.
        """
        path = base_of(path)
        names = tuple(name for name, _ in shapes_of(path))
        if not counted:
            return cls(names, "", 0)
        count = layer_count(path)
        stacks: dict[str, set[int]] = defaultdict(set)
        for name in names:
            if match := _NUMBERED.match(name):
                stacks[match["stack"]].add(int(match["layer"]))
        found = [stack for stack, numbers in stacks.items() if numbers == set(range(count))]
        if len(found) != 1:
            told = f"{count} layers are not one stack of tensors; numbered are {listed(sorted(stacks))}"
            hint = "write the weights of such a model as `rows` in soce's own format (docs/recipe-format.md)"
            refuse(told, hint, path)
        return cls(names, found[0], count)

    def layer(self, name: str) -> int | None:
        """Return the layer of a tensor; None if it is outside of all."""
        match = _NUMBERED.match(name)
        return int(match["layer"]) if self.count and match and match["stack"] == self.stack else None


def shapes_of(path: str) -> list[tuple[str, list[int]]]:
    """Return name and shape of every tensor of a checkpoint; raises what `Layers.of` does."""
    from soce._core import Mixer

    path = base_of(path)
    _check_here(path)
    # Only the names are wanted: what may be read is checked when the soup is planned.
    mixer = Mixer([path], follow_links=True, ignore_unreferenced=True)
    return [(name, shape) for name, _, shape in mixer.tensors()]


def _check_here(path: str) -> None:
    """Refuse a checkpoint of which only the name is known: nothing is downloaded while a recipe is read."""
    name = remote_name(path)
    if name is not None:
        fetch = f"`hf download {name.id}`" if isinstance(name, HubName) else "`soce doctor`"
        message = "slices, filters and lists of weights need its tensors, and it is not on this disk"
        refuse(message, f"{fetch} downloads it", path)


def layer_count(path: str) -> int:
    """Return how many layers the config of a checkpoint names; raises `RecipeError`."""
    path = base_of(path)
    _check_here(path)
    config = Path(path) / "config.json"
    try:
        if config.stat().st_size > _MAX_CONFIG:
            refuse("too large for a config", path=str(config))
        tree = json.loads(config.read_bytes())
        found = {tree[key] for key in _KEYS if key in tree}
        (count,) = found or {tree["text_config"][key] for key in _KEYS if key in tree["text_config"]}
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        count = None
    if not isinstance(count, int) or not 0 < count <= 10_000:
        hint = f"the recipe needs one of {listed(_KEYS)} to know what a layer is"
        refuse("does not say how many layers the model has", hint, shown(str(config)))
    return count
