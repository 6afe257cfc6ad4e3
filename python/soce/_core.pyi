# ruff: noqa: PYI021 - the compiled module has no other place for its documentation
"""The Rust core: plans, streams and publishes merges."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NotRequired, Protocol, Self, TypeAlias, TypedDict, final, type_check_only

from typing_extensions import disjoint_base

from soce.adapters.on_base import Change
from soce.merging.options import MergeOptions
from soce.recipes.masks import Masks
from soce.remote.located import ServedShard

__all__ = ["Mixer", "Plan", "build_info", "config_differences", "header", "matches", "plan", "verify"]

_Numerators: TypeAlias = Sequence[int] | Sequence[Sequence[int]] | Masks
"""One for each ingredient, in their order; as many for each index of a tensor's first axis; or with masks."""
_Whole: TypeAlias = int | Sequence[int]
"""What numerators are divided by; or those of each index."""

@type_check_only
class Planning(TypedDict):
    dtype: str | None
    max_shard_size: int | None
    config_from: int
    overwrite: bool
    allow_different_tokenizers: bool
    allow_different_configs: bool
    copy_code: bool | None
    follow_links: bool
    ignore_unreferenced: bool
    leave_out: Sequence[str]
    take: Sequence[tuple[str, int]]
    makes_parent: bool
    sent: NotRequired[bool]
    skip_space_check: bool
    remarks: Sequence[str]
    remote: NotRequired[Sequence[ServedShard]]
    refresh: NotRequired[Callable[[str, str], str] | None]
    adapters: NotRequired[Sequence[Change]]

@type_check_only
class Carrier(Protocol):
    """Takes the shards of a soup away as they are made; at most two lie on this disk."""

    def begin(self, plan: str) -> str | None:
        """Refuse what is in the way; return the `result_digest` of the soup of this plan if it is there."""

    def still_there(self, sent: list[tuple[str, str]]) -> list[bool]:
        """Return which shards that an interrupted merge sent are there, by name and receipt."""

    def send(self, name: str, file: Path) -> str:
        """Take a finished shard away, which is removed then; return a receipt."""

    def complete(self, payload: Path, sent: list[tuple[str, str]]) -> None:
        """Take all files of a folder there, which makes a soup of what was sent."""

@type_check_only
class Verifying(TypedDict):
    quick: bool
    recompute: Sequence[str] | None
    num_threads: int | None
    io: str
    follow_links: bool
    remote: NotRequired[Sequence[ServedShard]]
    refresh: NotRequired[Callable[[str, str], str] | None]
    adapters: NotRequired[Sequence[Change]]

def plan(
    ingredients: Sequence[str],
    recipes: Sequence[tuple[str, Sequence[tuple[str, _Numerators, _Whole]]]],
    options: Planning,
) -> Plan:
    """Prove that the ingredients agree and lay the outputs out; write nothing.

    `recipes` are (output path, rows), a row is (pattern, numerators, whole); `dtype` is
    a safetensors name (``BF16``); `remarks` become the first warnings of the plan. Raises every `SoceError`
    of `soce.exceptions`, with all problems, and `OSError`.

    `remote` are shards that count as lying in the folder `root` under `name` but are read from `url` by
    ranges; `identity` tells this state of one from every other, an `etag` of `None` is that of the first
    answer. `refresh(root, name)` returns a new URL for one that is refused (401, 403); it is called on any
    thread, once for each time a URL expires.

    `adapters` are what files of adapters change in single tensors of ingredients: `scale` times the product
    of the tensors `b` and `a` of the file at `path` is added, or its transpose, or the tensor `replacement`
    of that file stands in its place, to which factors may be added too.
    """

@final
class Plan:
    """Everything decided; nothing done."""

    def to_json(self, *, kernels: str | None) -> str:
        """Return the plan as a JSON object."""

    def finished_shards(self, *, digests: str, differences: bool) -> list[int]:
        """Return per output how many shards an interrupted run with the same options has finished."""

    def plan_digests(self, *, digests: str, differences: bool) -> list[str]:
        """Return per output the digest that its manifest has of a plan with these options."""

    def execute(
        self,
        options: MergeOptions,
        *,
        recipe_texts: Sequence[str],
        run_info: str,
        on_progress: Callable[[int, int], object] | None,
        carrier: Carrier | None = None,
    ) -> str:
        """Write the outputs and return the report as a JSON object.

        `on_progress(bytes_done, bytes_total)` is called on the caller's thread; raising from it cancels the
        merge. `recipe_texts` holds one `mergekit_config.yml` per output (empty: none is written); `run_info`
        is a JSON object for the manifest. Of a plan with `sent`, the `carrier` takes the output away; like
        `on_progress` it is called on the caller's thread, and what it raises is raised.
        """

@disjoint_base
class Mixer:
    """Any tensor of any mix of the ingredients, into a caller's memory."""

    def __new__(
        cls,
        ingredients: Sequence[str],
        *,
        io: str = "auto",
        follow_links: bool = False,
        ignore_unreferenced: bool = False,
        leave_out: Sequence[str] = (),
        take: Sequence[tuple[str, int]] = (),
        adapters: Sequence[Change] = (),
        remote: Sequence[ServedShard] = (),
        refresh: Callable[[str, str], str] | None = None,
    ) -> Self:
        """Prove that the ingredients agree; `adapters`, `remote` and `refresh` are those of `plan`."""

    def tensors(self) -> list[tuple[str, str, list[int]]]:
        """Return name, dtype and shape of every tensor, in file order of the first ingredient.

        At the end those that only others have and one of them gives.
        """

    def giver(self, name: str) -> int | None:
        """Return which ingredient gives a tensor unchanged, whatever the mix, if one does."""

    def mix(
        self,
        name: str,
        numerators: _Numerators,
        whole: _Whole,
        out: object,
        *,
        dtype: str | None = None,
        start: int | None = None,
        num_threads: int | None = None,
    ) -> None:
        """Write the mix of tensor `name` into `out`: writable, contiguous memory of the right size.

        Numerators are one for each ingredient, or one list of these for each index of the first axis.
        With `start`, only a part: the elements from that one on of the flat tensor, as many as `out` holds.
        `out` is anything with a buffer (numpy array, bytearray) or DLPack memory on the CPU (torch tensor).
        If it holds floats, they must be of the dtype that is written; integers hold any dtype's bits.
        Until this returns nobody else may use that memory, nor resize or free it behind the back of its owner
        (``resize(refcheck=False)`` of numpy, ``resize_`` of torch).
        """

    def squares(
        self,
        name: str,
        out: object,
        *,
        beside: Sequence[Mixer] = (),
        filters: bool = False,
        num_threads: int | None = None,
    ) -> list[tuple[int, int]]:
        """Write how long a tensor is in each ingredient, and how far apart in each two, into float64 memory.

        Of n ingredients these are n(n+1)/2 sums, in the order (0,0), (0,1), … (0,n-1), (1,1), …: of squares
        where both numbers are one, else of squares of differences. With `filters`, as many for each index of
        the first axis. Ingredients of the mixers `beside` follow this one's; of theirs, only this tensor must
        have one shape. The bits depend on nothing but the values.

        An element that is not finite in one ingredient counts as zero in all. Returns for each ingredient
        how many are NaN and how many infinite. `out` is memory as for `mix`.
        """

    def inner_products(
        self,
        name: str,
        gradient: object,
        out: object,
        *,
        of: Sequence[int],
        reference: int,
        num_threads: int | None = None,
    ) -> None:
        """Write the inner products of a gradient with differences of ingredients into float64 memory.

        For each ingredient `of` that is the sum over all elements of the gradient times what tensor `name` is
        in it less what it is in the ingredient `reference`. The gradient holds float16, bfloat16, float32 or
        float64, as many as the tensor has elements. The bits depend on nothing but the values; what is not
        finite shows in the sums. `gradient` and `out` are memory as for `mix`; the first is only read.
        """

    def edges(
        self, name: str, base: int, ranks: Sequence[tuple[int, int]], *, num_threads: int | None = None
    ) -> tuple[list[tuple[float, int]], list[tuple[int, int]]]:
        """Return the elements of tensor `name` of these ranks, each (ingredient, rank), by their size.

        That is how far an element is from that of ingredient `base`; 1 is the largest, of equal ones the
        lower index is above. Each is told by its size and its index in the flat tensor. Beside them for each
        ingredient how many elements are NaN and how many infinite: these are at no distance.
        """

    def contents(
        self, name: str, base: int, *, num_threads: int | None = None
    ) -> tuple[list[tuple[str, float]], list[tuple[int, int]]]:
        """Return for each ingredient a digest of tensor `name` and its largest difference to that of `base`.

        Beside them how many elements are NaN and how many infinite.
        """

    def states(self) -> list[tuple[str, int]]:
        """Return what tells the state of each ingredient's files from another, without reading them.

        Beside it when the last of them changed, in nanoseconds since 1970; 0 for what lies on a server.
        """

def verify(directory: str, options: Verifying, *, on_progress: Callable[[int, int], object] | None) -> str:
    """Compare a soup with its manifest and return what was checked and found as a JSON object.

    `recompute` in `options` are the ingredients to compute every tensor from again; none in it means those
    that the manifest names; `remote` and `refresh` are those of `plan`. What is wrong in the directory is in
    the JSON; exceptions are for what cannot be read.
    """

def config_differences(
    ingredients: Sequence[str], follow_links: bool, ignore_unreferenced: bool
) -> list[str]:
    """Return what a plan would warn of in the configs of `ingredients`, also where it is refused."""

def header(path: str) -> list[tuple[str, str, list[int], int]]:
    """Return name, dtype, shape and place of every tensor of a safetensors file, in file order.

    Raises `CheckpointError` if the header is malformed or does not fit the file.
    """

def matches(pattern: str, name: str) -> bool:
    """Return whether a recipe's pattern matches the whole of a tensor's name.

    ``*`` is any run of characters, ``?`` any one. Takes at most as many steps as the product of the lengths.
    """

def build_info() -> dict[str, object]:
    """Return version, kernel sets and build profile of the core."""
