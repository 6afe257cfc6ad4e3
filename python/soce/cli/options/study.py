"""Options of a study: which models and soups are in its population."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from soce.cli.options.group import OptionGroup, all_of
from soce.cli.options.types import COUNT, NUMBER

if TYPE_CHECKING:
    from soce.analysis.population import PopulationOptions


def _studying(**given: Any) -> PopulationOptions:  # noqa: ANN401 - the fields of `PopulationOptions`
    from soce.analysis.population import PopulationOptions

    return PopulationOptions(**given)


_option = OptionGroup("studying", _studying).option

study_options = all_of(
    _option(
        "--budget",
        type=COUNT,
        default=200,
        metavar="N",
        help="Most different models and soups, known ones too. Default: 200.",
    ),
    _option(
        "--points",
        type=NUMBER,
        default=20,
        metavar="N",
        help="Soups of all candidates with random weights. Default: 20.",
    ),
    _option(
        "--reading",
        type=click.Choice(["union", "nested"]),
        default="union",
        help="Of Shapley values of pairs and triplets. Default: union.",
    ),
    _option("--seed", type=int, default=0, metavar="N", help="Of what is drawn. Default: 0."),
)
