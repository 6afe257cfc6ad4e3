"""One prompt, said to one soup after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soce.evaluate.evaluation import refuse
from soce.evaluate.tasks.chat import template_text
from soce.evaluate.tasks.encoding import USUAL_NEW_TOKENS, Prompt
from soce.evaluate.tasks.opening import open_encoder, open_inference

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from soce.evaluate.live.model import LiveModel
    from soce.evaluate.tasks.inference import Written
    from soce.recipes.model import Recipe


def ask_soups(
    model: LiveModel, recipes: Iterable[Recipe], prompt: str, *, most: int | None, is_chat: bool
) -> Iterator[Written]:
    """Yield what each soup writes after a prompt, always the likeliest token.

    Parameters
    ----------
    model : LiveModel
        Becomes the soups.
    recipes : iterable of Recipe
        The soups.
    prompt : str
        A user's message, or the beginning of a text.
    most : int, optional
        Tokens that it may write; as many as fit otherwise, at most `USUAL_NEW_TOKENS`.
    is_chat : bool
        Whether the prompt goes through the chat template.
    """
    encoder = open_encoder(model, max_length=None)
    if is_chat:
        text = template_text(model.tokenizer, [{"role": "user", "content": prompt}])
        tokens = encoder.plain([text])[0]
    else:
        tokens = (*encoder.prefix, *encoder.plain([prompt])[0]) or (encoder.start,)
    left = encoder.max_length - len(tokens)
    if left < (most or 1):
        message = f"the prompt has {len(tokens)} tokens, and the model sees {encoder.max_length} at once"
        refuse(message, "shorten it" if most is None else "shorten it, or lower `--max-new-tokens`")
    asked = Prompt(tokens, most or min(USUAL_NEW_TOKENS, left), ())
    inference = open_inference(model, batch_size=1, window=encoder.max_length)
    for recipe in recipes:
        model.set(recipe)
        yield inference.texts([asked], lambda _: None)[0]
