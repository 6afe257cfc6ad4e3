"""A live model that becomes any soup of its ingredients in place: nothing is written, nothing reloaded."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from soce.evaluate.evaluation import no_progress, refuse
from soce.evaluate.live.loading import convert, load_model, load_tokenizer, open_device, require_torch
from soce.evaluate.live.mixing import SoupMixer, torch_dtype
from soce.evaluate.live.placement import find_placement, same_bits
from soce.evaluate.side_files import side_files_digest
from soce.exceptions import shown
from soce.merging.options import CHANGE_TENSORS, MergeOptions
from soce.recipes.parts import parse_dtype

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import torch
    from transformers import PreTrainedTokenizerBase

    from soce.evaluate.evaluation import OnProgress
    from soce.evaluate.live.mixing import Row
    from soce.evaluate.live.model import LiveModel
    from soce.recipes.model import Recipe

_TIE = "save this model again with a program that ties the head, or untie all ingredients"


class SoupModel:
    """A model whose parameters and buffers become those of any soup, in place.

    After ``set(recipe)`` they are, bit for bit, what `soce.merge` of the recipe would publish (with the
    first of `ingredients` as `config_from`) and `from_pretrained` would load. Every soup is mixed anew from
    the ingredients, so nothing of an earlier soup remains.

    Parameters
    ----------
    ingredients : sequence of str
        Checkpoint directories of one architecture. The first gives config and tokenizer.
    device : str
        Where the model lives; ``"auto"`` is CUDA if there is a device, else the CPU.
    compute_dtype : str, optional
        What `from_pretrained` is asked to cast parameters to; what the config says otherwise.
    model_class : str, optional
        A class of transformers by name; ``"AutoModelForCausalLM"`` otherwise.
    merge : MergeOptions, optional
        The options of `soce.merge` that the soups are to be of: `nonfinite`, `num_threads` and those of
        `soce.merging.options.DECISIONS`.

    Raises
    ------
    SoceError, OSError
        Ingredients that `soce.merge` would refuse.
    EvaluationError
        torch or transformers is missing, or transformers cannot load the model; ingredients of different
        dtypes although no `dtype` is chosen; a tied head that differs from the embedding.

    Notes
    -----
    Memory: the model, and one tensor where device or dtype differ from what is mixed. While a soup is set of
    a model whose tensors transformers rearranges (`is_direct` is False): two more models on the CPU.
    """

    def __init__(
        self,
        ingredients: Sequence[str],
        *,
        device: str = "auto",
        compute_dtype: str | None = None,
        model_class: str | None = None,
        merge: MergeOptions = MergeOptions(),
    ) -> None:
        require_torch()
        dtype = self._begin(ingredients, merge, compute_dtype)
        self.model = load_model(self.ingredients[0], model_class=model_class, dtype=dtype)
        """In evaluation mode, no gradients."""
        stored = [(name, torch_dtype(held), shape) for name, (held, shape) in self._mixer.tensors.items()]
        placement = find_placement(self.model, stored, lambda name: self._mixer.original(name, 0))
        self.is_direct = placement is not None
        """Whether each tensor is mixed on its own; False if transformers must convert whole soups."""
        self._blocks, self._twins = ((), {}) if placement is None else (placement.blocks, placement.twins)
        self._check_tied()
        self.model.to(open_device(device))  # type: ignore[arg-type] # a decorator of transformers hides the signature
        self._live: dict[str, torch.Tensor] = self.model.state_dict()
        self._buffer = self._host_buffer()

    def _begin(
        self, ingredients: Sequence[str], merge: MergeOptions, compute_dtype: str | None
    ) -> torch.dtype | None:
        """Read headers and small files, refuse what does not fit, and return what parameters are cast to."""
        self._mixer = SoupMixer(ingredients, merge)
        self._decisions = merge.decisions()
        self.ingredients = self._mixer.paths
        self.warnings = self._mixer.warnings
        """What the engine would warn of before merging these ingredients."""
        self.nbytes = sum(map(self._mixer.size, self._mixer.tensors))
        """Bytes of one soup, the total that `set` reports as progress."""
        self.recipe: Recipe | None = None
        """What the parameters hold; None before the first `set` and after one that failed."""
        cast_to = self._mixer.dtype if compute_dtype is None else parse_dtype(compute_dtype)
        return None if cast_to is None else torch_dtype(cast_to)

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return self.model.device

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer of the first ingredient."""
        return load_tokenizer(self.ingredients[0])

    @cached_property
    def identity(self) -> dict[str, object]:
        """What scores depend on besides the ingredients' tensors and the recipe, as JSON."""
        torch, transformers = require_torch()
        told = CHANGE_TENSORS - {"dtype"}  # which stands beside them as it is published
        decided = {name: held for name, held in self._decisions.items() if name in told}
        dtypes = {str(tensor.dtype).removeprefix("torch.") for tensor in self._live.values()}
        return {
            "model_class": type(self.model).__name__,
            "config_and_tokenizer": side_files_digest(self.ingredients[0], self._mixer.side_files),
            "published_dtype": self._mixer.dtype,
            **({"merge": decided} if decided else {}),
            "parameter_dtypes": sorted(dtypes),
            "device": self.device.type,
            "torch": str(torch.__version__),
            "transformers": str(transformers.__version__),
        }

    def set(self, recipe: Recipe, *, on_progress: OnProgress | None = None) -> None:
        """Give every parameter and buffer the value that it has in the soup.

        The recipe's ingredients are some of the model's, in any order; those it leaves out have no part.
        `on_progress` is called with bytes done and bytes in all; raising from it stops, and `recipe` is then
        None.

        Raises
        ------
        RecipeError, EvaluationError
            An ingredient that the model was not made of, a tensor that no row matches, a mix of nothing;
            tied tensors that are mixed differently.
        CheckpointError, IncompatibleError
            An ingredient is not finite, or changed since the model was made; the soup is not finite.
        """
        rows = self._mixer.rows(recipe)
        for twin, name in self._twins.items():
            if rows[twin] != rows[name]:
                which = f"`{shown(twin)}` and `{shown(name)}`"
                refuse(f"the recipe mixes {which} differently, but the model ties them", "match both at once")
        self.recipe, done, tell = None, 0, on_progress or no_progress
        for name in self._set_direct(rows) if self.is_direct else self._set_converted(rows):
            done += self._mixer.size(name)
            tell(done, self.nbytes)
        tell(self.nbytes, self.nbytes)
        self.recipe = recipe

    def close(self) -> None:
        """Let go of the model and of the ingredients."""
        for name in ("model", "_live", "_buffer", "_mixer", "tokenizer"):
            self.__dict__.pop(name, None)

    def _set_direct(self, rows: Mapping[str, Row]) -> Iterator[str]:
        """Mix each tensor into its run of live elements, through the host buffer if need be; yield it."""
        for block in self._blocks:
            name = block.tensor
            live = self._live[block.live].reshape(-1)[block.start : block.start + block.count]
            if self._in_place(name, live):
                self._mixer.mix(name, rows[name], live)
            else:
                mixed = self._buffer[: self._mixer.size(name)].view(torch_dtype(self._mixer.published(name)))
                self._mixer.mix(name, rows[name], mixed)
                live.copy_(mixed)
            yield name

    def _in_place(self, name: str, live: torch.Tensor) -> bool:
        return live.device.type == "cpu" and live.dtype == torch_dtype(self._mixer.published(name))

    def _set_converted(self, rows: Mapping[str, Row]) -> Iterator[str]:
        """Mix the whole soup, yield each tensor, and let transformers convert them as it does on load."""
        import torch

        state = {}
        for name, (_, shape) in self._mixer.tensors.items():
            state[name] = torch.empty(shape, dtype=torch_dtype(self._mixer.published(name)))
            self._mixer.mix(name, rows[name], state[name])
            yield name
        converted = convert(self.model, state)
        owners: dict[int, str] = {}
        for name, live in self._live.items():
            owner = owners.setdefault(live.data_ptr(), name) if live.numel() else name
            if not same_bits(converted[owner], converted[name]):
                refuse(f"the soup unties `{shown(name)}` from `{shown(owner)}`, which the model ties", _TIE)
            live.copy_(converted[name])

    def _host_buffer(self) -> torch.Tensor:
        """Return memory for the largest tensor that cannot be mixed in place; pinned for CUDA."""
        import torch

        copied = [block for block in self._blocks if not self._in_place(block.tensor, self._live[block.live])]
        most = max((self._mixer.size(block.tensor) for block in copied), default=0)
        pinned = most > 0 and self.device.type == "cuda"
        return torch.empty(most, dtype=torch.uint8, pin_memory=pinned)

    def _check_tied(self) -> None:
        """Refuse ingredients whose head differs from the embedding that their config ties it to."""
        for twin, name in self._twins.items():
            for i, path in enumerate(self.ingredients):
                if not same_bits(self._mixer.original(name, i), self._mixer.original(twin, i)):
                    refuse(f"is not `{shown(name)}` although the model ties them", _TIE, path, tensor=twin)
        if not getattr(self.model.config.get_text_config(), "tie_word_embeddings", False):
            return
        try:
            ends = self.model.get_output_embeddings(), self.model.get_input_embeddings()  # type: ignore[no-untyped-call]
        except (AttributeError, NotImplementedError):
            return
        head, embedding = (getattr(end, "weight", None) for end in ends)
        if head is None or embedding is None or head is embedding or head.shape != embedding.shape:
            return
        message = "its head differs from its embedding although `tie_word_embeddings` is true"
        refuse(message, _TIE, self.ingredients[0])


def in_process(model: LiveModel, who: str) -> SoupModel:
    """Return a live model that is in this process; raises EvaluationError for one behind a serving engine."""
    if not isinstance(model, SoupModel):
        refuse(f"{who} needs the model in this process, not behind a serving engine", "leave `engine` out")
    return model
