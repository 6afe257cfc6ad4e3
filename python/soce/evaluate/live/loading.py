"""Models as transformers loads them, with one clear line where it cannot.

An adapter on top of a checkpoint is not loaded: whoever needs it mixes it into the model.
"""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from soce.evaluate.evaluation import refuse
from soce.exceptions import EvaluationError, shown
from soce.files.extras import install
from soce.files.words import counted, nearest
from soce.recipes.names import base_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType

    import torch
    from transformers import GenerationConfig, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
Device: TypeAlias = "str | int | torch.device"
"""A device by its name, or as the number of an accelerator."""
_log = logging.getLogger(__name__)


def require_torch() -> tuple[ModuleType, ModuleType]:
    """Return torch and transformers; raises EvaluationError if one of them is not installed."""
    try:
        import torch
        import transformers
    except ImportError as error:
        message = f"evaluating models in place needs torch and transformers: {shown(str(error))}"
        refuse(message, install("torch"), cause=error)
    return torch, transformers


def named_device(name: str) -> torch.device:
    """Return the device of a name, which need not be here; ``"auto"`` is CUDA if it is, else the CPU."""
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.device(name)
    except RuntimeError as error:
        refuse(f"`{shown(name)}` is no device", "name one such as cpu, cuda, cuda:1 or mps", cause=error)


def open_device(name: str) -> torch.device:
    """Return the device of a name; raises EvaluationError if it is not here."""
    import torch

    device = named_device(name)
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was compiled for a device
        refuse(f"device `{shown(name)}` cannot be used here", "name another, such as cpu", cause=error)
    return device


def load_model(
    path: str,
    *,
    model_class: str | None,
    dtype: torch.dtype | None,
    device_map: Mapping[str, Device] | None = None,
) -> PreTrainedModel:
    """Return the model that `from_pretrained` makes of a checkpoint, on the CPU or where a map says.

    It is of a class of transformers, ``AutoModelForCausalLM`` if none is named; its parameters are cast to
    `dtype`, or to what the checkpoint says.
    """
    loader, name = _class_of(model_class)
    _log.info("loading %s as %s", path, name)
    with in_one_line(f"it as `{name}`", path):
        model, info = loader.from_pretrained(
            base_of(path),
            dtype="auto" if dtype is None else dtype,
            device_map=None if device_map is None else dict(device_map),
            output_loading_info=True,
            trust_remote_code=False,
            local_files_only=True,
        )
    missing = sorted(info["missing_keys"])
    if missing:
        of = f"of `{type(model).__name__}`"
        which = counted(len(missing), f"parameter {of} is", f"parameters {of} are")
        message = f"{which} not in the checkpoint, the first is `{shown(missing[0])}`"
        refuse(message, "they would be drawn at random: choose the model class that was saved", path)
    result: PreTrainedModel = model.eval().requires_grad_(False)  # noqa: FBT003 - torch's signature
    return result


def outline_model(
    path: str, *, model_class: str | None, dtype: torch.dtype | None, held: torch.dtype | None
) -> PreTrainedModel:
    """Return the model that `load_model` would, without memory for its parameters: no tensor is read.

    `held` is the dtype of the checkpoint's tensors, which they keep if neither `dtype` nor config says more.
    """
    torch, transformers = require_torch()
    loader, name = _class_of(model_class)
    with in_one_line(f"it as `{name}`", path), torch.device("meta"):
        config = transformers.AutoConfig.from_pretrained(
            base_of(path), local_files_only=True, trust_remote_code=False
        )
        make = getattr(loader, "from_config", None) or loader._from_config  # a class of one architecture
        model: PreTrainedModel = make(config, dtype=dtype or config.dtype or held)
    return model


def _class_of(model_class: str | None) -> tuple[Any, str]:
    """Return a class of transformers that loads models, and its name."""
    _, transformers = require_torch()
    name = model_class or "AutoModelForCausalLM"
    loader = getattr(transformers, name, None)
    if not hasattr(loader, "from_pretrained"):
        usual = [known for known in dir(transformers) if known.startswith("AutoModel")]
        hint = nearest(name, usual, "classes for any architecture")
        refuse(f"transformers {transformers.__version__} has no model class `{shown(name)}`", hint)
    return loader, name


def load_config(path: str) -> PretrainedConfig:
    """Return the config of a checkpoint."""
    _, transformers = require_torch()
    with in_one_line("its config", path):
        config: PretrainedConfig = transformers.AutoConfig.from_pretrained(
            base_of(path), local_files_only=True, trust_remote_code=False
        )
    return config


def load_generation_config(path: str) -> GenerationConfig | None:
    """Return a checkpoint's settings of generation; None if it has no file of them."""
    if not Path(base_of(path), "generation_config.json").is_file():
        return None
    _, transformers = require_torch()
    with in_one_line("its settings of generation", path):
        settings: GenerationConfig = transformers.GenerationConfig.from_pretrained(
            base_of(path), local_files_only=True
        )
    return settings


def load_tokenizer(path: str) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a checkpoint."""
    _, transformers = require_torch()
    with in_one_line("its tokenizer", path):
        tokenizer: PreTrainedTokenizerBase = transformers.AutoTokenizer.from_pretrained(
            base_of(path), local_files_only=True, trust_remote_code=False
        )
    return tokenizer


def convert(model: PreTrainedModel, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the state dict of a new model that transformers loads from the tensors of a checkpoint.

    Tensors that need no conversion may share memory with `state`.
    """
    loader: Any = type(model)
    with in_one_line(f"it as `{loader.__name__}`"):
        config = model.config
        converted, info = loader.from_pretrained(
            None, config=config, state_dict=dict(state), dtype=config.dtype, output_loading_info=True
        )
    if info["missing_keys"]:
        missing = shown(sorted(info["missing_keys"])[0])
        refuse(f"transformers loads `{missing}` from files only, not from memory")
    return dict(converted.state_dict())


@contextmanager
def quiet(transformers: ModuleType) -> Iterator[None]:
    """Keep progress bars and load reports of transformers, and of accelerate, from the terminal."""
    told = transformers.utils.logging
    verbosity, bars = told.get_verbosity(), told.is_progress_bar_enabled()
    accelerate = logging.getLogger("accelerate")
    level = accelerate.level
    told.set_verbosity_error()
    told.disable_progress_bar()
    accelerate.setLevel(logging.ERROR)
    try:
        yield
    finally:
        told.set_verbosity(verbosity)
        accelerate.setLevel(level)
        if bars:
            told.enable_progress_bar()


@contextmanager
def in_one_line(what: str, path: str | None = None) -> Iterator[None]:
    """Keep transformers quiet, and turn what it raises, of many types and many lines, into one line."""
    try:
        with quiet(require_torch()[1]):
            yield
    except Exception as error:
        if isinstance(error, EvaluationError) or "out of memory" in str(error):
            raise
        text, hint = " ".join(str(error).split()), None
        if "does not recognize this architecture" in text or "Unrecognized model" in text:
            hint = "a newer transformers may know it; otherwise evaluate written checkpoints with a command"
        elif "Unrecognized configuration class" in text:
            text = re.sub(r"<class '[\w.]*\.(\w+)'>", r"`\1`", text).split(" for this kind of AutoModel")[0]
            hint = "name a class for this architecture as `model_class`, AutoModel for instance"
        elif "trust_remote_code" in text:
            text = "the model needs code of its own"
            hint = "soce runs no code from checkpoints; evaluate written checkpoints with a command instead"
        refuse(f"transformers cannot load {what}: {shown(text)}", hint, path, cause=error)
