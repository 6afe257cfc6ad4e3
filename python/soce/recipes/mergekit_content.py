"""The keys of mergekit's YAML for the methods that soce has, those that soce reads and those that it refuses.

Written from mergekit's documentation and behaviour at version 0.1.5. A key that would change the soup and is
not honoured is refused by name: one that is silently ignored changes what was asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from soce.exceptions import shown
from soce.files.validation import Strict
from soce.files.words import in_words, nearest
from soce.recipes.mergekit_settings import Setting
from soce.recipes.native import CheckpointPath, Dtype, ExactWeight
from soce.recipes.parts import refuse

if TYPE_CHECKING:
    from pydantic import ValidationInfo

_PARAMETER: Final = "it belongs under the top-level `parameters`"
_VOCABULARY: Final = "soce never changes a vocabulary: add the tokens to every model first, or leave it out"
_DELLA: Final = (
    "its chances go by ranks among equal sizes that no definition orders (docs/methods.md): use mergekit, or "
    "`dare_ties` or `ties` here"
)
_OTHER_METHODS: Final = {
    "passthrough": "stacked layers are another architecture: make it with mergekit",
    "della": _DELLA,
    "della_linear": _DELLA,
}
_MASKED: Final = {"weight", "density", "normalize", "rescale", "lambda"}
READ: Final = {
    "linear": {"weight", "normalize"},
    "task_arithmetic": {"weight", "normalize", "lambda"},
    "slerp": {"t"},
    "nuslerp": {"weight", "nuslerp_row_wise", "nuslerp_flatten"},
    "multislerp": {"weight", "normalize_weights"},
    "karcher": {"max_iter", "tol"},
    "model_stock": {"filter_wise"},
    "ties": _MASKED,
    "dare_linear": _MASKED,
    "dare_ties": _MASKED,
    "breadcrumbs": {*_MASKED, "gamma"},
    "breadcrumbs_ties": {*_MASKED, "gamma"},
}
"""Which parameters each method of mergekit's has that soce reads."""
MASKED: Final = frozenset(name for name, read in READ.items() if "density" in read)
"""Those that drop elements of differences."""
_LayerNumber: TypeAlias = Annotated[int, Field(ge=0, le=10_000)]
_HOW_TO_RUN: Final = frozenset({
    "allow_crimes", "async_write", "clone_tensors", "cuda", "int8_mask", "lazy_unpickle", "low_cpu_memory",
    "multi_gpu", "num_threads", "quiet", "random_seed", "read_to_gpu", "trust_remote_code", "verbose",
    "write_model_card",
})  # fmt: skip
"""Keys that people write although they change no tensor of these methods: mergekit's own flags, mostly."""


def _only_path(model: object) -> object:
    """Refuse other ways to name a model than by a path: a mapping of path, revision and adapter."""
    if isinstance(model, dict):
        hint = "write its path alone, or `org/name@revision`; with an adapter on top, `BASE+ADAPTER`"
        refuse("a model is named by a mapping", hint)
    return model


def _only_known(method: str) -> str:
    if method not in READ:
        near = nearest(method, READ, "methods")
        else_mergekit = f"use mergekit for it; soce reads {in_words([*READ])}"
        if near.startswith("did you mean"):
            else_mergekit = f"{near} Else {else_mergekit}"
        hint = _OTHER_METHODS.get(method, else_mergekit)
        refuse(f"soce does not read `merge_method: {shown(method)}`", hint)
    return method


def _only_auto(template: str) -> str:
    if template != "auto":
        hint = (
            "the template comes with the tokenizer: leave the key out, and put the one you want into "
            "`chat_template.jinja` of the model that gives config and tokenizer"
        )
        refuse("soce writes no other `chat_template` than that of a model", hint)
    return template


def _only_true(text: str) -> str:
    if text.lower() != "true":
        refuse("`normalize` is only read under the top-level `parameters`", _PARAMETER)
    return text


_ModelPath: TypeAlias = Annotated[CheckpointPath, BeforeValidator(_only_path)]
# mergekit does not look at it here, and true is its default: it changes nothing.
_Normalize: TypeAlias = Annotated[str, AfterValidator(_only_true)]


class _Runs(Strict):
    """A mapping in which keys may stand that say how to run, and nothing about the soup."""

    @model_validator(mode="before")
    @classmethod
    def _pass_over(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(info.context, dict):
            info.context[id(value)] = cls
        if not isinstance(value, dict):
            return value
        return {key: inner for key, inner in value.items() if key not in _HOW_TO_RUN}


class _ModelParameters(_Runs):
    refused: ClassVar[Mapping[str, str]] = {
        "lambda": _PARAMETER, "t": _PARAMETER, "filter_wise": _PARAMETER,
    }  # fmt: skip

    weight: Setting | None = None
    density: ExactWeight | None = None
    gamma: ExactWeight | None = None
    normalize: _Normalize | None = None


class Model(Strict):
    """A model and what is set for it."""

    model: _ModelPath
    parameters: _ModelParameters = _ModelParameters()


class Parameters(_Runs):
    """What is set for all models."""

    refused: ClassVar[Mapping[str, str]] = {"eps": "nothing is added to a length here: leave it out"}

    weight: Setting | None = None
    density: ExactWeight | None = None
    gamma: ExactWeight | None = None
    rescale: bool | None = None
    normalize: bool | None = None
    factor: Setting | None = Field(default=None, alias="lambda")
    t: Setting | None = None
    nuslerp_row_wise: bool | None = None
    nuslerp_flatten: bool | None = None
    normalize_weights: bool | None = None
    max_iter: ExactWeight | None = None
    tol: ExactWeight | None = None
    filter_wise: bool | None = None

    @property
    def given(self) -> tuple[str, ...]:
        """The keys that are there."""
        fields = type(self).model_fields
        return tuple(fields[name].alias or name for name in fields if getattr(self, name) is not None)


class _SliceSource(Model):
    layer_range: tuple[_LayerNumber, _LayerNumber]


class Slice(Strict):
    """Consecutive layers of the output, and where they come from."""

    sources: Annotated[tuple[_SliceSource, ...], Field(min_length=1)]
    parameters: Parameters | None = None


class _Tokenizer(Strict):
    refused: ClassVar[Mapping[str, str]] = {"tokens": _VOCABULARY, "pad_to_multiple_of": _VOCABULARY}

    source: _ModelPath = "union"


class MergekitContent(_Runs):
    """A file of mergekit."""

    refused: ClassVar[Mapping[str, str]] = {
        "modules": "soce averages whole models: list them under `models`",
        "experts": "mergekit-moe makes another architecture: use mergekit for it",
        "weight": _PARAMETER,
        "out_shard_size": "use `--max-shard-size`",
    }

    merge_method: Annotated[str, AfterValidator(_only_known)]
    models: Annotated[tuple[Model, ...], Field(min_length=1)] | None = None
    slices: Annotated[tuple[Slice, ...], Field(min_length=1)] | None = None
    parameters: Parameters = Parameters()
    base_model: _ModelPath | None = None
    tokenizer_source: _ModelPath | None = None
    tokenizer: _Tokenizer | None = None
    chat_template: Annotated[str, AfterValidator(_only_auto)] | None = None
    normalize: _Normalize | None = None
    dtype: Dtype | None = None
    out_dtype: Dtype | None = None
    name: str | None = None
