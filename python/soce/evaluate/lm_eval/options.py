"""What can be said about an evaluation by lm-evaluation-harness."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from soce.evaluate.evaluation import refuse
from soce.evaluate.lm_eval.model import lm_eval
from soce.exceptions import shown
from soce.files.words import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from soce.evaluate.lm_eval.model import Seeds
    from soce.files.atomic import PathText

MODEL_SETTINGS: Final = (
    "add_bos_token", "backend", "chat_template_args", "enable_thinking", "logits_cache", "max_length",
    "prefix_token_id", "softmax_dtype", "think_end_token", "truncation",
)  # fmt: skip
"""Settings of the harness's `HFLM` that may be given."""

_REFUSED: Final = {
    "use_cache": "the harness's caches do not know that weights changed",
    "cache_requests": "the harness's caches do not know that weights changed",
    "pretrained": "give the ingredients instead",
    "tokenizer": "the first ingredient's is used",
    "device": "say it to SoupModel",
    "dtype": "say it to SoupModel",
    "parallelize": "one process holds the whole model",
    "peft": "merge the adapter into each ingredient first",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LmEvalOptions:
    """Options of an evaluation by the harness, named and chosen as on its own command line."""

    include_path: PathText | Sequence[PathText] = ()
    """Directories with tasks of your own. The harness's are looked at only if a name is not found there."""
    categories: Mapping[str, str] = field(default_factory=dict)
    """Task, as it is named, → the category that it is, for tasks that are not called like their category:
    ``{"flores_devtest": "flores_dev"}`` reports on one what another was chosen on."""
    metric: str | None = None
    """The metric to read, ``acc`` or ``acc,none``, or several separated by spaces, in order of preference.
    Needed where a task has several."""
    num_fewshot: int | None = None
    """Examples in front of a question; the task's own number otherwise."""
    limit: float | None = None
    """Only so many documents of each task, or such a share of them: to try things out."""
    batch_size: int | str | None = None
    """Requests at once: a number, ``"auto"`` or ``"auto:N"``; 16 otherwise. A number is halved when memory
    runs out, which a note of the evaluation tells. An engine makes batches itself."""
    seed: int | Seeds = (0, 1234, 1234, 1234)
    """Of Python, NumPy, torch and few-shot examples."""
    gen_kwargs: Mapping[str, Any] | str = field(default_factory=dict)
    """Arguments of generation, on top of the tasks' own: ``"max_gen_toks=64"``."""
    apply_chat_template: bool = False
    """Whether prompts go through the tokenizer's chat template."""
    fewshot_as_multiturn: bool | None = None
    """Whether few-shot examples are turns of the chat; if there is one, unless said otherwise."""
    system_instruction: str | None = None
    """What prompts begin with: a turn of the chat, if there is one."""
    chat_completions: bool = False
    """Whether an engine is sent the messages of a chat, to apply a template of its own and to tell reasoning
    from answers; only for tasks that generate. Otherwise prompts are made here and sent as tokens."""
    confirm_run_unsafe_code: bool = False
    """Needed for tasks that run code which the model wrote."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """More settings of the model, of those in `MODEL_SETTINGS`."""

    def __post_init__(self) -> None:
        """Raise EvaluationError for what would fail, or let one soup get the answers of another."""
        if self.limit is not None and not self.limit > 0:
            refuse(f"`limit` is {self.limit}", "it is a number of documents, or a share below 1")
        if isinstance(self.batch_size, int) and self.batch_size < 1:
            refuse(f"`batch_size` is {self.batch_size}")
        if self.num_fewshot is not None and self.num_fewshot < 0:
            refuse(f"`num_fewshot` is {self.num_fewshot}")
        if self.chat_completions and not self.apply_chat_template:
            refuse("`chat_completions` needs `apply_chat_template`")
        if self.fewshot_as_multiturn and not self.apply_chat_template:
            refuse("`fewshot_as_multiturn` needs `apply_chat_template`")
        if self.fewshot_as_multiturn is None:
            object.__setattr__(self, "fewshot_as_multiturn", self.apply_chat_template)
        for name in self.settings:
            if name in _REFUSED:
                refuse(f"`{name}` cannot be set here", _REFUSED[name])
            if name not in MODEL_SETTINGS:
                refuse(f"there is no setting `{shown(name)}`", nearest(name, MODEL_SETTINGS, "settings"))

    @property
    def folders(self) -> list[str]:
        """The directories of `include_path`."""
        paths = self.include_path
        return [os.fspath(path) for path in ([paths] if isinstance(paths, str | os.PathLike) else paths)]

    @property
    def seeds(self) -> Seeds:
        """The four seeds."""
        return (self.seed,) * 4 if isinstance(self.seed, int) else self.seed


def arguments_of(pairs: Iterable[tuple[str, str | Sequence[str]]]) -> dict[str, Any]:
    """Return arguments of generation from texts, which are read as on the harness's own command line."""
    return {
        name: lm_eval("utils").handle_arg_string(held) if isinstance(held, str) else [*held]
        for name, held in pairs
    }
