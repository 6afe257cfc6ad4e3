"""Options of a search of weights."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import click

from soce.cli.command import usage
from soce.cli.options.files import CANDIDATE_OR_CHECKPOINT
from soce.cli.options.group import OptionGroup, all_of
from soce.cli.options.types import COUNT, NamedValues, ParsedText, ParsedTexts, Registered
from soce.exceptions import shown

if TYPE_CHECKING:
    from soce.search.making import Making
    from soce.search.named_arms import NamedArm
    from soce.search.options import SearchOptions
    from soce.search.strategies.space import Strategy


def _searching(
    *,
    strategy: str,
    budget: int | None,
    seed: int,
    accept: Literal["gt", "ge"],
    over: Literal["experts", "candidates"],
    epsilon: Fraction | None,
    confidence: Fraction | None,
    batch: int | None,
    arms: tuple[NamedArm, ...],
    method: str | None,
    parameters: tuple[tuple[str, str | tuple[str, ...]], ...],
    groups: tuple[str, ...],
    share: Fraction,
    **given: Any,  # noqa: ANN401 - the other fields of `SearchOptions`
) -> SearchOptions:
    from soce.search.options import SearchOptions

    if strategy == "greedy":
        proposing = _greedy(budget, accept, over)
    elif (accept, over) != ("gt", "experts"):
        usage("--accept and --greedy-over go with --strategy greedy")
    else:
        proposing = _strategy(strategy, budget, seed, batch)
    if strategy == "race":
        proposing = _race(proposing, epsilon, confidence)
    elif (epsilon, confidence) != (None, None):
        usage("--epsilon and --confidence go with --strategy race")
    if batch is not None and strategy not in _SAMPLERS:
        usage("search.batch goes with the strategies cmaes, gp and tpe")
    making = _making(method, parameters, groups)
    if given["base"] is not None and not arms and method is None:
        usage("--base is for the methods of --arm and of search.method")
    if given["base"] is None and making is not None and making.needs_base:
        usage(f"search.method {method} needs --base: a candidate, or the path of a checkpoint")
    if given["base"] is None and (lacking := next((arm for arm in arms if arm.needs_base), None)):
        usage(f"the arm {lacking} needs --base: a candidate, or the path of a checkpoint")
    return SearchOptions(strategy=proposing, share=share or None, arms=arms, making=making, **given)


def _making(
    method: str | None, parameters: tuple[tuple[str, str | tuple[str, ...]], ...], groups: tuple[str, ...]
) -> Making | None:
    if method is None and not parameters and not groups:
        return None
    from soce.search.making import Making

    several = {name: (given,) if isinstance(given, str) else given for name, given in parameters}
    return Making(method, several, groups)


def _greedy(
    budget: int | None, accept: Literal["gt", "ge"], over: Literal["experts", "candidates"]
) -> Strategy:
    from soce.search.strategies.greedy import Greedy

    if budget is not None:
        usage("--budget does not go with --strategy greedy")
    return Greedy(accept, over)


def _strategy(name: str, budget: int | None, seed: int, batch: int | None) -> Strategy:
    from soce.search.strategies.registry import strategy_of
    from soce.search.strategies.samplers import Bayesian, CmaEs

    strategy = strategy_of(name, budget=budget, seed=seed)
    if batch is not None and isinstance(strategy, CmaEs):
        return replace(strategy, population=batch)
    if batch is not None and isinstance(strategy, Bayesian):
        return replace(strategy, batch=batch)
    return strategy


def _race(strategy: Strategy, epsilon: Fraction | None, confidence: Fraction | None) -> Strategy:
    from soce.search.strategies.race.race import Race

    assert isinstance(strategy, Race)
    return replace(
        strategy,
        epsilon=strategy.epsilon if epsilon is None else epsilon,
        confidence=strategy.confidence if confidence is None else confidence,
    )


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


def parse_epsilon(text: str) -> Fraction:
    """Return percentage points as a share, below 1; raises ValueError.

    Examples
    --------
    >>> parse_epsilon("0.5pp")
    Fraction(1, 200)
    """
    try:
        points = Fraction(0) if text.strip() == "0" else _number(text, "pp")
    except ValueError:
        message = f"`{shown(text)}` is not a number of percentage points such as 0.5pp"
        raise ValueError(message) from None
    if not 0 <= points < 100:
        message = f"{shown(text)} is not from 0pp to less than 100pp"
        raise ValueError(message)
    return points / 100


def parse_confidence(text: str) -> Fraction:
    """Return a confidence between 0 and 1; raises ValueError.

    Examples
    --------
    >>> parse_confidence("0.95")
    Fraction(19, 20)
    """
    try:
        confidence = _number(text, "")
    except ValueError:
        message = f"`{shown(text)}` is not a number such as 0.95"
        raise ValueError(message) from None
    if not 0 < confidence < 1:
        message = f"{shown(text)} is not between 0 and 1"
        raise ValueError(message)
    return confidence


def _number(text: str, unit: str) -> Fraction:
    number = text.strip()
    if not number.endswith(unit):
        raise ValueError(text)
    try:
        return Fraction(number.removesuffix(unit).strip())
    except ZeroDivisionError:
        raise ValueError(text) from None


_SAMPLERS = ("cmaes", "gp", "tpe")
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
        "--epsilon",
        type=ParsedText("points", "soce.cli.options.search:parse_epsilon"),
        metavar="POINTS",
        help="Race: what may be missed, such as 0.5pp. Default: 0.",
    ),
    _option(
        "--confidence",
        type=ParsedText("share", "soce.cli.options.search:parse_confidence"),
        metavar="SHARE",
        help="Race: of its certificate. Default: 0.95.",
    ),
    _option(
        "--batch",
        file_only=True,
        type=COUNT,
        help="cmaes, gp, tpe: proposals made at once. Else a generation of cmaes, one of the others.",
    ),
    _option(
        "--arm",
        "arms",
        key="arms",
        type=ParsedTexts("NAME[:PARAMETER=VALUE,...]", "soce.search.named_arms:parse_arm"),
        multiple=True,
        help="A method to compare, such as model_stock; may be repeated.",
    ),
    _option(
        "--search-method",
        "method",
        key="method",
        file_only=True,
        metavar="NAME",
        help="What is made of the experts instead of averages, and searched.",
    ),
    _option(
        "--search-parameters",
        "parameters",
        key="parameters",
        type=NamedValues("NAME=VALUE", at_first=True),
        multiple=True,
        file_only=True,
        help="Its parameters: a value, several to be tried, or for cmaes, gp and tpe two ends.",
    ),
    _option(
        "--search-groups",
        "groups",
        key="groups",
        multiple=True,
        file_only=True,
        metavar="PATTERN",
        help="cmaes, gp, tpe: tensors with weights of their own, e.g. 'model.layers.0.*'.",
    ),
    _option(
        "--base",
        files=CANDIDATE_OR_CHECKPOINT,
        metavar="NAME|PATH",
        help="What these take differences to.",
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
    _option("--storage", metavar="URL", help="An Optuna storage; else study.journal in the output."),
)

fail_option = click.option("--fail-if-worse", is_flag=True, help="Exit 3 unless it beats all single models.")
