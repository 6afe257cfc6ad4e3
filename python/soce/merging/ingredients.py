"""Ingredients as the core opens them: a base by its path, and what the adapter on top changes of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from soce._core import Mixer
from soce.exceptions import CheckpointError, Problem, SoceError, shown
from soce.recipes.names import HubName, remote_name, split_adapter
from soce.remote.located import Located

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.adapters.on_base import Base, Change


@dataclass(frozen=True, slots=True)
class AdaptedIngredients:
    """What adapters change of the bases they are put on."""

    changes: tuple[Change, ...] = ()
    remarks: tuple[str, ...] = ()
    """What to say of bases that adapters know by other names."""


def adapted(located: Located, *, follow_links: bool, ignore_unreferenced: bool) -> AdaptedIngredients:
    """Return what the adapters of some ingredients change of their bases.

    Settings and headers are read, no number is.

    Raises
    ------
    SoceError, OSError
        A base that cannot be read, an adapter that is damaged, of a kind that is no sum of a base and s·B·A
        for each module, or of another base: with everything that is wrong.
    """
    if not any(located.adapters):
        return AdaptedIngredients()
    # Here: most ingredients have no adapter, and a merge of them need not wait for what reads one.
    from soce.adapters.adapter import read_adapter
    from soce.adapters.on_base import Base, base_remark, changes_on

    bases: dict[str, Base] = {}
    changes: list[Change] = []
    remarks: dict[str, None] = {}
    errors: list[SoceError] = []
    for place, (path, folder) in enumerate(zip(located.paths, located.adapters, strict=True)):
        if folder is None:
            continue
        try:
            _check_order(path, folder)
            if path not in bases:
                mixer = Mixer(
                    [path],
                    follow_links=follow_links,
                    ignore_unreferenced=ignore_unreferenced,
                    remote=located.shards,
                    refresh=located.refresh,
                )
                tensors = {name: (dtype, shape) for name, dtype, shape in mixer.tensors()}
                bases[path] = Base(path, tensors, _names(located, path))
            adapter = read_adapter(folder)
            changes += changes_on(adapter, bases[path], ingredient=place)
            if (remark := base_remark(adapter, bases[path])) is not None:
                remarks[remark] = None
        except SoceError as error:
            errors.append(error)
    if errors:
        raise type(errors[0]).of(dict.fromkeys(problem for error in errors for problem in error.problems))
    return AdaptedIngredients(tuple(changes), tuple(remarks))


def open_mixer(
    paths: Sequence[str],
    *,
    follow_links: bool,
    ignore_unreferenced: bool,
    leave_out: Sequence[str] = (),
    take: Sequence[tuple[str, int]] = (),
) -> Mixer:
    """Return the core's `Mixer` of ingredients on this disk, some of them with an adapter on top."""
    bases, changes = split_here(paths, follow_links=follow_links, ignore_unreferenced=ignore_unreferenced)
    return Mixer(
        bases,
        follow_links=follow_links,
        ignore_unreferenced=ignore_unreferenced,
        leave_out=leave_out,
        take=take,
        adapters=changes,
    )


def split_here(
    paths: Sequence[str], *, follow_links: bool, ignore_unreferenced: bool
) -> tuple[tuple[str, ...], tuple[Change, ...]]:
    """Return the bases of ingredients on this disk, and what adapters on top change of them."""
    split = [split_adapter(path) for path in paths]
    located = Located(tuple(base for base, _ in split), tuple(adapter for _, adapter in split))
    found = adapted(located, follow_links=follow_links, ignore_unreferenced=ignore_unreferenced)
    return located.paths, found.changes


def _check_order(base: str, adapter: str) -> None:
    """Refuse a base and an adapter whose places are swapped."""
    from soce.adapters.config import CONFIG

    if Path(base, CONFIG).is_file() and Path(adapter).exists() and not Path(adapter, CONFIG).is_file():
        hint = f"the base comes first: `{shown(f'{adapter}+{base}')}`"
        message = f"`{shown(base)}` is the adapter, and stands where the base does"
        raise CheckpointError.of([Problem("checkpoint", f"{base}+{adapter}", None, message, hint)])


def _names(located: Located, path: str) -> tuple[str, ...]:
    """Return what a base is called that was named otherwise than by a path."""
    if path not in located.hosts:
        return ()
    origin = located.hosts[path].origin
    name = remote_name(origin)
    return (name.id if isinstance(name, HubName) else origin,)
