"""What tasks need of a live model, in this process or behind a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soce.evaluate.evaluation import refuse
from soce.evaluate.live.loading import load_config
from soce.evaluate.live.soup_model import SoupModel
from soce.evaluate.served.outline import ServedOutline
from soce.evaluate.tasks.encoding import Encoder
from soce.evaluate.tasks.endpoint import SPARE, EndpointInference
from soce.evaluate.tasks.local import LocalInference

if TYPE_CHECKING:
    from soce.evaluate.live.model import LiveModel
    from soce.evaluate.tasks.inference import Inference


def open_encoder(model: LiveModel, *, max_length: int | None) -> Encoder:
    """Return what makes tokens for a model; raises EvaluationError if it is no causal one."""
    if isinstance(model, SoupModel):
        config, loaded = model.model.config, model.model
        if loaded.get_output_embeddings() is None:  # type: ignore[no-untyped-call]
            _refuse_kind(type(loaded).__name__)
    else:
        config = load_config(model.ingredients[0])
    if getattr(config, "is_encoder_decoder", False):
        _refuse_kind(*(config.architectures or [type(config).__name__])[:1])
    spare = 0 if isinstance(model, SoupModel) else SPARE
    return Encoder(model.tokenizer, config, max_length=max_length, spare=spare)


def open_inference(model: LiveModel, *, batch_size: int | None, window: int) -> Inference:
    """Return what asks the model."""
    if isinstance(model, SoupModel):
        return LocalInference(model, batch_size=batch_size, window=window)
    assert isinstance(model, ServedOutline)
    return EndpointInference(model)


def _refuse_kind(name: str) -> None:
    refuse(f"`{name}` is not a causal language model, which the built-in evaluator needs")
