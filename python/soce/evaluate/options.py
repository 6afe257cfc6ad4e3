"""Options of evaluators that are opened by name, and how a serving engine is named among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from soce.evaluate.engines.open import parse_engine_name
from soce.merging.options import MergeOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soce.evaluate.tasks.evaluator import Normalisation, Unit
    from soce.evaluate.tasks.item import Kind


@dataclass(frozen=True, slots=True)
class EvaluatorOptions:
    """Options of evaluators that are opened by name. None: the evaluator chooses.

    `KINDS` tells which kinds of evaluators look at which.
    """

    merge: MergeOptions = MergeOptions()
    """The merge that soups are of."""
    device: str | None = None
    device_map: str | None = None
    """How a model that one device does not hold is laid over several, one of accelerate's layouts."""
    batch_size: int | None = None
    task_kind: Kind | None = None
    """The kind of items that name none."""
    normalise: Normalisation | None = None
    """What log-likelihoods of choices are divided by."""
    max_new_tokens: int | None = None
    """The most that a text may have, where an item does not say."""
    stop: tuple[str, ...] = ()
    """Where texts of ``exact_match`` items end, apart from end tokens; none: where a line ends."""
    max_length: int | None = None
    """Tokens that the model sees at once."""
    perplexity_per: Unit | None = None
    """What perplexities are taken of: bytes or tokens."""
    num_fewshot: int | None = None
    apply_chat_template: bool = False
    """Whether prompts of lm-eval go through the tokenizer's chat template."""
    chat_completions: bool = False
    """Whether a serving engine is sent its messages instead, to apply the template itself."""
    fewshot_as_multiturn: bool | None = None
    """Whether its few-shot examples are turns of the chat; they are, unless said otherwise."""
    system_instruction: str | None = None
    """What its prompts begin with."""
    limit: float | None = None
    """Only so many documents of each of its tasks, or such a share of them."""
    gen_kwargs: tuple[tuple[str, str | tuple[str, ...]], ...] = ()
    """Its arguments of generation, with texts as values: numbers and switches are told by their looks."""
    include_path: tuple[str, ...] = ()
    """Directories with tasks of your own."""
    metric: str | None = None
    """The metric to read."""
    scores: str | None = None
    """What the command leaves; ``{output}`` otherwise."""
    format: str | None = None
    """How that is read."""
    timeout_seconds: float | None = None
    scratch: str | None = None
    """Where soups are written."""
    engine: str | None = None
    """A serving engine that the models are asked through, one of `ENGINES`, or the URL of a `soce serve`; the
    model is in this process otherwise."""
    engine_python: str | None = None
    """The interpreter of the environment that the engine is in."""
    engine_arguments: tuple[str, ...] = ()
    """The engine's own arguments."""
    engine_token: str | None = None
    """A file with the token of the server at a URL."""
    engine_untried: bool = False
    """Whether the engine may be of a version that was not tried."""
    bfcl_python: str | None = None
    """The interpreter of the environment that BFCL is in."""
    bfcl_handler: str | None = None
    """What writes BFCL's prompts and reads its answers."""
    bfcl_items: str | None = None
    """A JSON file of the ids that are asked about, by category, as BFCL's own commands take them."""
    directory: str | None = None
    """Where a program runs, and where the module of a function is looked for; else the current one."""


def parse_engine(text: str) -> str:
    """Return the name of a serving engine, or the URL of a server; raises EvaluationError for anything else.

    Examples
    --------
    >>> parse_engine("vllm"), parse_engine("http://127.0.0.1:8000")
    ('vllm', 'http://127.0.0.1:8000')
    """
    return text if is_url(text) else parse_engine_name(text, or_url=True)


def is_url(engine: str) -> bool:
    """Whether an engine is named by the URL of a server that runs."""
    return engine.startswith(("http://", "https://"))


def without_effect(options: EvaluatorOptions) -> Iterator[tuple[str, str]]:
    """Give options that are set, but not looked at with this engine or with none, and why."""
    of_start = ["engine_python", "engine_arguments", "engine_untried"]
    if options.engine is None:
        why, names = "no serving engine is named", [*of_start, "engine_token", "chat_completions"]
    elif is_url(options.engine):
        why, names = "the server at that URL runs already", of_start
    else:
        why, names = "it is for a server at a URL", ["engine_token"]
    yield from ((name, why) for name in names if getattr(options, name))
    if options.engine is not None:
        why = "where a serving engine runs, and what it does at once, its own arguments say"
        yield from (
            (name, why)
            for name in ("device", "device_map", "batch_size")
            if getattr(options, name) is not None
        )
