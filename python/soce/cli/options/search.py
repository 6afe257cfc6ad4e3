"""Options of a search of weights."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import click

from soce.cli.command import usage
from soce.cli.options.group import OptionGroup, all_of
from soce.cli.options.types import COUNT, ParsedText, Registered
from soce.exceptions import shown

if TYPE_CHECKING:
    from soce.search.options import SearchOptions
    from soce.search.strategies.space import Strategy


def _searching(
    *,
    strategy: str,
    budget: int | None,
    seed: int,
    accept: Literal["gt", "ge"],
    over: Literal["experts", "candidates"],
    share: Fraction,
    **given: Any,  # noqa: ANN401 - the other fields of `SearchOptions`
) -> SearchOptions:
    from soce.search.options import SearchOptions

    proposing = _strategy(strategy, budget=budget, seed=seed, accept=accept, over=over)
    return SearchOptions(strategy=proposing, share=share or None, **given)


def _strategy(
    name: str,
    *,
    budget: int | None,
    seed: int,
    accept: Literal["gt", "ge"],
    over: Literal["experts", "candidates"],
) -> Strategy:
    from soce.search.strategies.greedy import Greedy
    from soce.search.strategies.registry import strategy_of

    if name == "greedy":
        if budget is not None:
            usage("--budget does not go with --strategy greedy")
        return Greedy(accept, over)
    if (accept, over) != ("gt", "experts"):
        usage("--accept and --greedy-over go with --strategy greedy")
    return strategy_of(name, budget=budget, seed=seed)


def parse_share(text: str) -> Fraction:
    """Return a share of the items, below 1; raises ValueError.

    Examples
    --------
    >>> parse_share("1/3")
    Fraction(1, 3)
    """
    try:
        share = Fraction(text)
    except (ValueError, ZeroDivisionError):
        message = f"`{shown(text)}` is not a number such as 1/2 or 0.3"
        raise ValueError(message) from None
    if not 0 <= share < 1:
        message = f"{share} is not between 0 and 1"
        raise ValueError(message)
    return share


_STRATEGY = Registered("soce.search.strategies.registry:STRATEGIES")
_option = OptionGroup("searching", _searching, section="search").option

search_options = all_of(
    _option("--strategy", type=_STRATEGY, default="grid", help="Default: grid, the paper's."),
    _option("--budget", type=COUNT, metavar="N", help="Most different soups to propose."),
    _option("--seed", type=int, default=0, metavar="N", help="Of the strategy. Default: 0."),
    _option(
        "--accept",
        type=click.Choice(["gt", "ge"]),
        default="gt",
        help="Greedy: keep what is better, or not worse. Default: gt.",
    ),
    _option(
        "--greedy-over",
        "over",
        key="greedy-over",
        type=click.Choice(["experts", "candidates"]),
        default="experts",
        help="Greedy: which models. Default: experts.",
    ),
    _option(
        "--held-out-share",
        "share",
        section="report_on",
        type=ParsedText("share", "soce.cli.options.search:parse_share"),
        default="1/2",
        either="what",
        metavar="SHARE",
        help="Of the items, to report on. Default: 1/2.",
    ),
    _option(
        "--split-seed",
        section="report_on",
        type=int,
        default=0,
        metavar="N",
        help="Of the split. Default: 0.",
    ),
    _option("--storage", metavar="URL", help="An Optuna storage; else study.db in the output."),
)

fail_option = click.option("--fail-if-worse", is_flag=True, help="Exit 3 unless it beats all single models.")
