"""Weights by layers and by parts of names: the rows say for every tensor what the settings say."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from soce._core import matches
from soce.recipes.layers import Layers
from soce.recipes.mergekit_settings import NamedWeight, Stretch, as_rows

PARTS = ("mlp.up_proj.weight", "mlp.down_proj.weight", "self_attn.q_proj.weight")
LAYERS = Layers(
    ("model.embed.weight", "model.norm.weight", *(f"model.layers.{i}.{part}" for i in range(12) for part in PARTS)),
    "model.layers.",
    12,
)  # fmt: skip
anchors = st.lists(st.integers(1, 9).map(Fraction), min_size=1, max_size=3).map(tuple)
texts = st.sampled_from(["", "mlp", "up_proj", "self_attn", "layers.1", "embed", "none"])
own = st.lists(st.builds(NamedWeight, texts, anchors), max_size=3).map(
    lambda chosen: (*chosen, NamedWeight("", (Fraction(1),)))
)


@given(own, own, st.booleans())
def test_the_first_row_that_matches_is_what_is_set(
    first: tuple[NamedWeight, ...], second: tuple[NamedWeight, ...], has_default: bool
) -> None:
    stretch = Stretch(0, LAYERS.count, (first, second))
    mixes = {name: _known(stretch, name, LAYERS.layer(name)) for name in LAYERS.names}
    default = _known(stretch, "", None) if has_default else None
    rows = as_rows(mixes, default, sorted(stretch.texts), LAYERS)
    for name, mix in mixes.items():
        assert next((found for pattern, found in rows if matches(pattern, name)), default) == mix
    assert len(rows) == len({pattern for pattern, _ in rows})


def _known(stretch: Stretch, name: str, layer: int | None) -> tuple[Fraction, ...]:
    return tuple(weight for weight in stretch.weights(name, layer) if weight is not None)


def test_anchors_span_the_layers() -> None:
    ramp = Stretch(2, 7, ((NamedWeight("", (Fraction(0), Fraction(1), Fraction(0))),),))
    found = [ramp.weights("x", layer)[0] for layer in range(2, 7)]
    assert found == [Fraction(0), Fraction(1, 2), Fraction(1), Fraction(1, 2), Fraction(0)]
    assert ramp.weights("x", None) == [Fraction(0)]
    assert Stretch(3, 4, ramp.settings).weights("x", 3) == [Fraction(0)]  # one layer is the last
