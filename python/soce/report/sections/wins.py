"""Which items the soup solves that its ingredients do not, and the other way round."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soce.files.words import listed
from soce.report.cells import Cell, count, pair, probability, share
from soce.report.document import Table, Text

if TYPE_CHECKING:
    from soce.analysis.wins import Rate
    from soce.report.document import Section
    from soce.report.run_view import RunView

_TESTED: Final = ("only soup : only ingredient", "McNemar\u00a0p")


def build(section: Section, view: RunView) -> None:
    """Fill the section."""
    from soce.analysis.wins import Rate, win_rates

    soup, parents, evaluations = view.soup.label, view.parents, view.evaluations("report")
    if len(parents) < 2:
        section.missing.append("Win rates: the soup is its one ingredient.")
        return
    if any(name not in evaluations for name in (*parents, soup)):
        other = "the outcomes by item that are kept are not those of the result"
        section.missing.append(f"Win rates: {' '.join(view.run.why('study')) or other}.")
        return
    found = win_rates({name: evaluations[name] for name in (*parents, soup)}, parents, soup)
    n, lost = len(parents), found.regression
    rates = [("all of the ingredients", Rate(lost.of - lost.count, lost.of))]
    rates += [(f"{n - failing} of {n} ingredients", rate) for failing, rate in found.fails]
    rates.append(("none of the ingredients", found.rescue))
    section.blocks += [
        Text(
            f"The soup solves {count(found.solved[soup]).text} of {count(found.n_items).text} {view.where}. "
            f"It rescues {_of(found.rescue)} that no ingredient solves, and loses {_of(lost)} that all of "
            "them solve."
        ),
        Table(
            "What the soup solves, by how many of its ingredients solve it",
            ("items solved by", "items", "of these the soup solves", "share"),
            [(Cell(which), count(rate.of), count(rate.count), share(rate.share)) for which, rate in rates],
        ),
        Table(
            "Against each ingredient",
            ("ingredient", "solves", "of these the soup keeps", *_TESTED),
            [
                (
                    Cell(name),
                    count(found.solved[name]),
                    share(found.retention[name].share),
                    pair(found.mcnemar[name].only_second, found.mcnemar[name].only_first),
                    probability(found.mcnemar[name].p),
                )
                for name in parents
            ],
        ),
        Text(
            f"McNemar's exact test, two-sided, {found.n_tests} of them: p is not corrected. Every item "
            "counts once, whatever its category.",
            soft=True,
        ),
    ]
    if found.left_out:
        section.missing.append(
            f"Items of {listed(found.left_out, limit=5)}: they are neither solved nor failed."
        )
    section.data |= found.to_json()


def _of(rate: Rate) -> str:
    return f"{rate.count} of {rate.of}"
