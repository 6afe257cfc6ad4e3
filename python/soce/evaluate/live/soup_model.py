"""A live model that becomes any soup of its ingredients in place: nothing is written, nothing reloaded."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING

from soce.evaluate.evaluation import no_progress, refuse
from soce.evaluate.live.devices import (
    bytes_by_device,
    computing_devices,
    find_device_map,
    forget_copies,
    input_device,
    live_tensors,
)
from soce.evaluate.live.gradients import products_taken
from soce.evaluate.live.loading import (
    convert,
    load_model,
    load_tokenizer,
    open_device,
    outline_model,
    require_torch,
)
from soce.evaluate.live.mixing import SoupMixer, torch_dtype
from soce.evaluate.live.placement import find_placement, same_bits
from soce.evaluate.live.residents import Residents
from soce.evaluate.live.staging import Staging
from soce.evaluate.side_files import side_files_digest
from soce.exceptions import shown
from soce.merging.options import CHANGE_TENSORS, MergeOptions
from soce.recipes.parts import parse_dtype

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    import numpy as np
    import torch
    from numpy.typing import NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from soce.evaluate.evaluation import OnProgress
    from soce.evaluate.live.devices import DeviceMap, MaxMemory
    from soce.evaluate.live.loading import Device
    from soce.evaluate.live.model import LiveModel
    from soce.recipes.model import Recipe
    from soce.recipes.rows import Mix

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
    device_map : str or mapping, optional
        For a model that one device does not hold: how accelerate lays it over all that are here and the CPU,
        ``"auto"`` say, or a device for each module; see `soce.evaluate.live.devices`.
    max_memory : mapping, optional
        The most that a `device_map` may put onto each device, as accelerate takes it.
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
        dtypes although no `dtype` is chosen; a tied head that differs from the embedding; a `device_map`
        that leaves a tensor on a disk.

    Notes
    -----
    Memory: the model, and on the CPU the largest tensor where its dtype differs from what is mixed; twice
    that for CUDA, where one is copied while the next is mixed. From the second soup on ingredients stay on a
    CUDA device, as far as that leaves what scoring the first took of it, and a quarter. While a soup is set
    of a model whose tensors transformers rearranges (`is_direct` is False): two more models on the CPU.
    """

    def __init__(
        self,
        ingredients: Sequence[str],
        *,
        device: str = "auto",
        compute_dtype: str | None = None,
        model_class: str | None = None,
        merge: MergeOptions = MergeOptions(),
        device_map: DeviceMap | None = None,
        max_memory: MaxMemory | None = None,
    ) -> None:
        require_torch()
        dtype = self._begin(ingredients, merge, compute_dtype)
        placed = None
        if device_map is not None or max_memory is not None:
            outline = self._outline(model_class, dtype)
            placed = self._placed(outline, device, device_map, max_memory)
        path = self.ingredients[0]
        self.model = load_model(path, model_class=model_class, dtype=dtype, device_map=placed)
        """In evaluation mode, no gradients."""
        self._live: dict[str, torch.Tensor] = live_tensors(self.model)
        stored = [(name, torch_dtype(held), shape) for name, (held, shape) in self._mixer.tensors.items()]
        placement = find_placement(self.model, self._live, stored, self._mixer.loaded)
        self.is_direct = placement is not None
        """Whether each tensor is mixed on its own; False if transformers must convert whole soups."""
        self._blocks, self._twins = ((), {}) if placement is None else (placement.blocks, placement.twins)
        self._check_tied()
        if placed is None:
            self.model.to(open_device(device))  # type: ignore[arg-type] # a decorator of transformers hides the signature
            self._live = live_tensors(self.model)
        self._staging = Staging(is_pinned=any(one.device.type == "cuda" for one in self._live.values()))
        self._residents: Residents | None = None
        """Made for the second soup, when it is known what scoring the first took of the devices."""

    def _begin(
        self, ingredients: Sequence[str], merge: MergeOptions, compute_dtype: str | None
    ) -> torch.dtype | None:
        """Read headers and small files, refuse what does not fit, and return what parameters are cast to."""
        self._mixer = SoupMixer(ingredients, merge)
        self.decisions = merge.decisions()
        """Those options of a merge by which soups are other ones, where they are not the usual."""
        self.ingredients = self._mixer.paths
        self.warnings = self._mixer.warnings
        """What the engine would warn of before merging these ingredients."""
        self.nbytes = sum(map(self._mixer.size, self._mixer.tensors))
        """Bytes of one soup, the total that `set` reports as progress."""
        self.recipe: Recipe | None = None
        """What the parameters hold; None before the first `set` and after one that failed."""
        self._devices: tuple[torch.device, ...] = ()
        cast_to = self._mixer.dtype if compute_dtype is None else parse_dtype(compute_dtype)
        return None if cast_to is None else torch_dtype(cast_to)

    def _outline(self, model_class: str | None, dtype: torch.dtype | None) -> PreTrainedModel:
        """Return the model without memory for its parameters."""
        path, held = self.ingredients[0], self._mixer.held
        return outline_model(path, model_class=model_class, dtype=dtype, held=held)

    def _placed(
        self,
        outline: PreTrainedModel,
        device: str,
        device_map: DeviceMap | None,
        max_memory: MaxMemory | None,
    ) -> dict[str, Device]:
        """Return which module goes where, and keep which devices compute."""
        if device != "auto":
            refuse("give either `device` or `device_map`", "a device map lays the model over several")
        placed = find_device_map(outline, device_map or "auto", max_memory)
        self._devices = computing_devices(placed)
        return placed

    @property
    def device(self) -> torch.device:
        """Where inputs of the model go, and all of it lives that is on one device."""
        return input_device(self.model)

    @property
    def devices(self) -> tuple[torch.device, ...]:
        """Where it computes: one device, or those of its device map."""
        return self._devices or (self.device,)

    @property
    def bytes_by_device(self) -> dict[str, int]:
        """What parameters and saved buffers take of each device's memory."""
        return bytes_by_device(self._live)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer of the first ingredient."""
        return load_tokenizer(self.ingredients[0])

    @cached_property
    def identity(self) -> dict[str, object]:
        """What scores depend on besides the ingredients' tensors and the recipe, as JSON."""
        torch, transformers = require_torch()
        told = CHANGE_TENSORS - {"dtype"}  # which stands beside them as it is published
        decided = {name: held for name, held in self.decisions.items() if name in told}
        dtypes = {str(tensor.dtype).removeprefix("torch.") for tensor in self._live.values()}
        return {
            "model_class": type(self.model).__name__,
            "config_and_tokenizer": side_files_digest(self.ingredients[0], self._mixer.side_files),
            "published_dtype": self._mixer.dtype,
            **({"merge": decided} if decided else {}),
            "parameter_dtypes": sorted(dtypes),
            "device": "+".join(sorted({device.type for device in self.devices})),
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
        if self._residents is None and self.recipe is not None and self.is_direct:
            self._residents = Residents.beside(self._mixer, self._live.values())
        self.recipe, done, tell = None, 0, on_progress or no_progress
        for name in self._set_direct(rows) if self.is_direct else self._set_converted(rows):
            done += self._mixer.size(name)
            tell(done, self.nbytes)
        forget_copies(self.model)
        tell(self.nbytes, self.nbytes)
        self.recipe = recipe

    @property
    def averaged(self) -> tuple[str, ...]:
        """Names of the tensors that a recipe decides on, without those that the model ties to another."""
        return tuple(name for name in self._mixer.averaged if name not in self._twins)

    @property
    def twins(self) -> Mapping[str, str]:
        """Tensors of the checkpoint that the model ties to another: name → that other tensor's name."""
        return self._twins

    def size(self, name: str) -> int:
        """Return the bytes of a tensor of the soup."""
        return self._mixer.size(name)

    def gradient_products(
        self, of: Sequence[str], reference: str
    ) -> AbstractContextManager[Mapping[str, NDArray[np.float64]]]:
        """Take the inner products of gradients with what ingredients `of` are apart from the `reference`.

        Inside ``with model.gradient_products(paths, path) as found:`` each backward pass adds to ``found``, a
        mapping of tensor to one product for each path. Ingredients are streamed while the pass goes on, and
        no gradient stays in memory. Raises EvaluationError for a model whose tensors transformers rearranges.
        """
        if not self.is_direct:
            message = (
                "transformers rearranges tensors of this model, so their gradients are not those of the files"
            )
            refuse(
                message,
                "only models whose tensors lie as in the checkpoint can be fitted",
                self.ingredients[0],
            )
        numbers = [self._mixer.number(path) for path in of]
        products = partial(self._mixer.inner_products, of=numbers, reference=self._mixer.number(reference))
        averaged = set(self.averaged)
        blocks = [block for block in self._blocks if block.tensor in averaged]
        return products_taken(self.model, blocks, products)

    def look(self) -> None:
        """Do nothing: the model is in this process."""

    def close(self) -> None:
        """Let go of the model and of the ingredients."""
        for name in ("model", "_live", "_staging", "_residents", "_mixer", "tokenizer"):
            self.__dict__.pop(name, None)

    def _set_direct(self, rows: Mapping[str, Mix]) -> Iterator[str]:
        """Mix each tensor into its run of live elements, there or through host memory; yield it."""
        for block in self._blocks:
            name = block.tensor
            live = self._live[block.live].reshape(-1)[block.start : block.start + block.count]
            if self._in_place(name, live):
                self._mixer.mix(name, rows[name], live)
            elif self._residents is None or not self._residents.mix(name, rows[name], live):
                number, mixed = self._staging.take(block.count, torch_dtype(self._mixer.published(name)))
                self._mixer.mix(name, rows[name], mixed)
                self._staging.send(number, mixed, live)
            yield name
        self._staging.arrive()

    def _in_place(self, name: str, live: torch.Tensor) -> bool:
        return live.device.type == "cpu" and live.dtype == torch_dtype(self._mixer.published(name))

    def _set_converted(self, rows: Mapping[str, Mix]) -> Iterator[str]:
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
        names = {id(module): name for name, module in self.model.named_modules()}
        head, embedding = (self._live.get(f"{names.get(id(end))}.weight") for end in ends)
        if head is None or embedding is None or head.shape != embedding.shape:
            return
        if (head.device, head.data_ptr()) == (embedding.device, embedding.data_ptr()):
            return
        message = "its head differs from its embedding although `tie_word_embeddings` is true"
        refuse(message, _TIE, self.ingredients[0])


def in_process(model: LiveModel, who: str) -> SoupModel:
    """Return a live model that is in this process; raises EvaluationError for one behind a serving engine."""
    if not isinstance(model, SoupModel):
        refuse(f"{who} needs the model in this process, not behind a serving engine", "leave `engine` out")
    return model
