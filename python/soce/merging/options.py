"""All that can be chosen about a merge, as one value."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final, Literal, TypeAlias, get_args

from soce.exceptions import shown
from soce.files.arguments import expect, expect_mapping, expect_names
from soce.recipes.parts import refuse
from soce.remote.located import Remote

OnProgress: TypeAlias = Callable[[int, int], object]
"""Called with bytes done and bytes in all, on the caller's thread; raising from it cancels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeOptions:
    """What can be chosen about a merge, besides its recipe and its output.

    Examples
    --------
    >>> from soce import MergeOptions
    >>> MergeOptions(dtype="bf16", overwrite=True).overwrite
    True
    """

    dtype: str | None = None
    """Output dtype of averaged tensors (``"bfloat16"``, ``"f32"``); the first ingredient's otherwise, tensor
    by tensor."""
    max_shard_size: int | str | None = None
    """Re-cut shards to at most this many bytes (``"5GB"``); the first ingredient's layout otherwise."""
    config_from: str | None = None
    """Path or name of the ingredient that gives config and tokenizer; the first one otherwise."""
    overwrite: bool = False
    """Replace an existing soup. A directory that holds anything else is refused all the same."""
    allow_different_tokenizers: bool = False
    """Accept ingredients that map tokens to different ids."""
    allow_different_configs: bool = False
    """Accept configs of another model type, or with labels in another order, than the one the soup gets."""
    copy_code: bool | None = None
    """True copies ``*.py`` files beside the config, False leaves them out; None refuses if it needs them."""
    leave_out: Sequence[str] = ()
    """Patterns of tensors that stay out of the soup (``"mtp.*"``, as in rows of recipes)."""
    take: Mapping[str, str] | None = None
    """Patterns of tensors that are taken byte for byte, in their own dtype, from the ingredient (by name or
    path) or other checkpoint (by path) that each is mapped to; other ingredients need not have them."""
    follow_links: bool = False
    """Follow links that leave an ingredient's directory."""
    ignore_unreferenced: bool = False
    """Accept shards that an ingredient's index does not name."""
    preflight: bool = True
    """False skips the comparison of free space with what will be written."""

    num_threads: int | None = None
    """Worker threads; as many as the machine offers otherwise."""
    chunk_bytes: int | None = None
    """A thread's unit of work, in bytes."""
    io: Literal["auto", "mmap", "pread"] = "auto"
    """How ingredients are read."""
    private: bool = False
    """Make the repository of the Hub that the soup goes to visible to its owners only."""
    work_dir: str | None = None
    """Folder for the two shards that are on this disk at a time of a soup that goes elsewhere; in the user's
    cache otherwise."""
    remote: Remote = "stream"
    """Whether tensors that are somewhere else are read over the network as they are needed, or downloaded
    first and kept."""
    cache: Literal["auto", "keep", "drop"] = "auto"
    """Whether the page cache keeps what was read and written."""
    kernels: str | None = None
    """Kernel set by name (`soce.build_info` lists them), or ``"auto"`` for the fastest; otherwise what the
    environment variable ``SOCE_KERNELS`` says, or the fastest. No set changes a bit."""
    sync: bool = True
    """False skips fsync: a power cut may then lose or damage the soup."""
    digests: Literal["none", "tensors", "full"] = "tensors"
    """``"tensors"`` records a digest of every tensor in the manifest; ``"full"`` also of every input tensor
    and every shard, which is read back. With ``"none"`` an interrupted merge begins anew."""
    differences: bool = False
    """Record per tensor the largest absolute difference between the soup and each ingredient."""
    require_same_mask: bool = False
    """Refuse ingredients that are zero in different places, as pruned models that do not share a mask are:
    they are read once more, before anything is written."""
    sparsity_report: bool = False
    """Count the zeros of every tensor in each ingredient, in all of them and in the soup, for
    `MergeReport.zeros`; all are read once more for it."""
    nonfinite: Literal["error", "warn"] = "error"
    """Whether NaN and infinities in the data stop the merge or are counted and reported."""
    restart: bool = False
    """Discard what an interrupted merge has finished instead of going on from there."""
    command: Sequence[str] | None = None
    """The command line to record in the manifest."""
    notes: Mapping[str, object] | None = None
    """JSON to record in the manifest under `run`, such as the scores that chose the recipe."""

    def __post_init__(self) -> None:
        """Check types: a text where a list belongs would be read letter by letter."""
        for option in fields(self):
            if isinstance(option.default, bool):
                expect(getattr(self, option.name), bool, option.name, "True or False")
        expect(self.dtype, (str, type(None)), "dtype", "a name such as `bf16`")
        if self.remote not in get_args(Remote):
            refuse(f"`remote` is `{shown(str(self.remote))}`", "use `--remote stream` or `--remote download`")
        expect_names(self.leave_out, "leave_out")
        if self.take is not None:
            expect_mapping(self.take, "take", "of pattern to ingredient")

    def changed(self) -> dict[str, object]:
        """Return the options that are not the default, by name."""
        values = ((field.name, getattr(self, field.name), field.default) for field in fields(self))
        return {name: value for name, value, default in values if value != default}

    def decisions(self) -> dict[str, object]:
        """Return as JSON those that every command which makes soups can be given, see `DECISIONS`."""
        return {name: _plain(value) for name, value in self.changed().items() if name in DECISIONS}


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


CHANGE_TENSORS: Final = frozenset({"dtype", "leave_out", "take"})
"""Names of the options that change what tensors a soup has, and what they hold."""

CHANGE_FILES: Final = CHANGE_TENSORS | {"max_shard_size", "config_from", "copy_code"}
"""Names of those that change any file of a soup but its manifest."""

ACCEPT_MORE: Final = frozenset(
    {"allow_different_tokenizers", "allow_different_configs", "follow_links", "ignore_unreferenced"}
)
"""Names of those that change no soup: they only say which ingredients are accepted."""

DECISIONS: Final = CHANGE_TENSORS | ACCEPT_MORE | {"copy_code"}
"""Names of those that a search needs as well: it gives soups the config of the first expert."""


def flags_of(decisions: Mapping[str, object]) -> list[str]:
    """Return what `MergeOptions.decisions` returned as options of `soce-merge`.

    Examples
    --------
    >>> flags_of({"dtype": "bf16", "follow_links": True, "copy_code": False})
    ['--dtype', 'bf16', '--follow-links', '--no-code']
    """
    words: list[str] = []
    for name, value in decisions.items():
        flag = f"--{name.replace('_', '-')}"
        match value:
            case bool():
                words.append(flag if value else "--no-code")  # the only one that can be told to be off
            case str():
                words += [flag, value]
            case Mapping():
                words += [word for key, one in value.items() for word in (flag, f"{key}={one}")]
            case Sequence():
                words += [word for one in value for word in (flag, str(one))]
    return words
