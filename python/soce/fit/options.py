"""What a fit is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from soce.evaluate.evaluation import refuse
from soce.exceptions import shown

ObjectiveName: TypeAlias = Literal["nll", "entropy"]
Granularity: TypeAlias = Literal["tensor", "model"]

_RATES: Final = {"nll": 0.05, "entropy": 0.001}
_EPOCHS: Final = 5
_ENTROPY_STEPS: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOptions:
    """What is minimised, over what, and how long. None: as in the paper of the objective.

    Raises
    ------
    EvaluationError
        A value that makes no sense.
    """

    objective: ObjectiveName = "nll"
    """``"nll"``: the negative log-likelihood of answers, over weights that sum to 1 (learned soup).
    ``"entropy"``: that of predictions, whose items need no answers, over coefficients of differences to a
    base (AdaMerging)."""
    base: str | None = None
    """For ``"entropy"``: the path of what the experts were trained from."""
    by: Granularity = "tensor"
    """Whether each tensor has coefficients of its own."""
    steps: int | None = None
    """Five times through the items for ``"nll"``, 500 for ``"entropy"``."""
    learning_rate: float | None = None
    """0.05 for ``"nll"``, 0.001 for ``"entropy"``."""
    batch: int = 16
    """Items of a step."""
    seed: int = 0
    """Of the order of the items."""
    max_length: int | None = None
    """Tokens that the model sees at once; what config and tokenizer say otherwise."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        for name, value, kind in (
            ("objective", self.objective, ObjectiveName),
            ("by", self.by, Granularity),
        ):
            if value not in get_args(kind):
                refuse(f"`{name}` is `{shown(str(value))}`", f"it is one of {', '.join(get_args(kind))}")
        for name, number in (("steps", self.steps), ("batch", self.batch), ("max_length", self.max_length)):
            if number is not None and number < 1:
                refuse(f"`{name}` is {number}", "it is at least 1")
        if self.learning_rate is not None and not 0 < self.learning_rate < float("inf"):
            refuse(f"`learning_rate` is {self.learning_rate}", "it is a number above 0")
        if self.objective == "entropy" and self.base is None:
            hint = "name as `base` what the experts were trained from"
            refuse("`entropy` is minimised over differences to a base, and none is named", hint)
        if self.objective == "nll" and self.base is not None:
            refuse(
                "`nll` is minimised over weights of the experts alone",
                "leave `base` out, or choose `entropy`",
            )

    @property
    def rate(self) -> float:
        """The learning rate."""
        return self.learning_rate or _RATES[self.objective]

    def steps_for(self, n_items: int) -> int:
        """Return how many steps there are for so many items."""
        if self.steps is not None:
            return self.steps
        return _ENTROPY_STEPS if self.objective == "entropy" else -(-_EPOCHS * n_items // self.batch)
