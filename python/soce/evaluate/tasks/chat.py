"""Messages as the text that a model's chat template makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from soce.evaluate.evaluation import refuse, told
from soce.exceptions import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from transformers import PreTrainedTokenizerBase

    from soce.evaluate.tasks.item import Item

_SIGNS: Final = ("%d", "%-d", "%m", "%b", "%B", "%Y", "%y", "%A", "%a", "%H", "%M", "%S")
_DATE: Final = ("26", "26", "07", "Jul", "July", "2024", "24", "Friday", "Fri", "00", "00", "00")
"""What a template gets that asks for today's date, or a prompt and its scores would be others every day: the
date that the templates of Llama 3 fall back on."""

_FIXED_DATE: Final = (
    "{%- macro strftime_now(format) -%}{{ format"
    + "".join(f"|replace('{sign}', '{text}')" for sign, text in zip(_SIGNS, _DATE, strict=True))
    + " }}{%- endmacro -%}"
)


def chat_text(tokenizer: PreTrainedTokenizerBase, item: Item) -> str:
    """Return what the model is given of an item with messages, see `template_text`."""
    place = f"category `{shown(item.category)}`, item `{shown(item.id)}`: "
    return template_text(tokenizer, item.messages, item.tools, place=place)


def template_text(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] = (),
    *,
    place: str = "",
) -> str:
    """Return what the model is given of messages: everything up to the answer.

    If the last message is the assistant's, it is the beginning of the answer. Raises EvaluationError, which
    begins with `place`, if the tokenizer has no template, or one that cannot take these messages or that does
    not tell of tools.
    """
    if not tokenizer.chat_template:
        hint = "give a `prompt`, or name a checkpoint first whose tokenizer has one"
        refuse(f"{place}the tokenizer has no chat template, which `messages` need", hint)
    try:
        text = _rendered(tokenizer, messages, tools)
        is_told = not tools or text != _rendered(tokenizer, messages, ())
    except Exception as error:
        refuse(f"{place}the chat template cannot take these messages: {told(error)}", cause=error)
    if not is_told:
        hint = "is it that of a model that calls tools?"
        refuse(f"{place}the chat template does not tell of `tools`", hint)
    return text


def _rendered(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]],
) -> str:
    given: list[Any] | None = [*tools] or None
    goes_on = messages[-1]["role"] == "assistant"
    template = tokenizer.get_chat_template(None, given)
    fixed = _FIXED_DATE if "strftime_now" in template else ""
    return str(
        tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            tools=given,
            chat_template=fixed + template,
            add_generation_prompt=not goes_on,
            continue_final_message=goes_on,
            tokenize=False,
        )
    )
