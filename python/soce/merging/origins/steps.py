"""At which moment of its training a checkpoint was saved, by its name, its path and the trainer's file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_UNITS: Final = {"checkpoint": "step", "ckpt": "step", "global_step": "step", "iteration": "iter"}
_NUMBERED: Final = re.compile(
    r"(?:^|[-_./@])(checkpoint|ckpt|global_step|step|iter|iteration|epoch)[-_]?0*([0-9]{1,18})(?![a-z0-9]|\.\d)"
)
_LAST: Final = re.compile(r"(?:(?:checkpoint|ckpt|model)[-_])?(final|last)(?:[-_](?:checkpoint|ckpt|model))?")
_FOLDERS: Final = 3
"""Folders at the end of a path that are looked at: ``global_step_100/actor/huggingface``."""


@dataclass(frozen=True, slots=True)
class Moment:
    """When a checkpoint was saved."""

    numbers: Mapping[str, int]
    """Of steps, iterations and epochs, as far as they are known."""
    is_last: bool
    """Whether it is known to be the end of its training."""
    source: str
    """What says so, and how."""

    def differs_from(self, other: Moment) -> bool:
        """Whether two checkpoints were saved at different moments; ends of trainings are one."""
        if self.is_last or other.is_last:
            return self.is_last != other.is_last
        return any(number != other.numbers.get(unit, number) for unit, number in self.numbers.items())


def moment_of(names: Sequence[str], path: str, trainer_state: Mapping[str, Any]) -> Moment | None:
    """Return when a checkpoint was saved; None where nothing tells.

    Parameters
    ----------
    names : sequence of str
        What it is called.
    path : str
        Where it lies.
    trainer_state : mapping
        The content of its ``trainer_state.json``, or an empty one.
    """
    step, end = (trainer_state.get(key) for key in ("global_step", "max_steps"))
    if isinstance(step, int) and step > 0:
        knows_end = isinstance(end, int) and end > 0
        said = f"{step} of {end}" if knows_end else str(step)
        is_last = knows_end and step >= int(end or 0)
        return Moment({"step": step}, is_last, f"(trainer_state.json, global_step: {said})")
    folders = PurePath(path).parts[-_FOLDERS:]
    for source, texts in (("name", names), ("path", folders[::-1])):
        for text in texts:
            if moment := _moment_in(text, source):
                return moment
    return None


def _moment_in(text: str, source: str) -> Moment | None:
    found = list(_NUMBERED.finditer(text.lower()))
    # `Step-3` is a model; a training has more steps.
    found = [one for one in found if one[1] != "step" or int(one[2]) >= 10]
    if found:
        numbers = {_UNITS.get(one[1], one[1]): int(one[2]) for one in found}
        said = ", ".join(f"`{one[0].strip('-_./@')}`" for one in found)
        return Moment(numbers, is_last=False, source=f"({source}: {said})")
    end = _LAST.fullmatch(text.lower())
    return Moment({}, is_last=True, source=f"({source}: `{end[1]}`)") if end else None
