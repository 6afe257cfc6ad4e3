"""Which items the soup solves that its ingredients do not, and the other way round."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soce.exceptions import SoceError
from soce.report.document import Cell, Section, Table, Text
from soce.report.units import count, probability, share

if TYPE_CHECKING:
    from soce.analysis.wins import Rate
    from soce.report.material import Material


def build(material: Material) -> Section:
    """Return the section."""
    from soce.analysis.wins import Rate, win_rates

    title = "Which items the soup solves"
    run = material.run
    if run.result is None:
        return Section("wins", title, missing=run.why("result"))
    soup, parents = material.soup.label, material.parents
    if len(parents) < 2:
        return Section("wins", title, missing=("Win rates: the soup is its one ingredient.",))
    evaluations = material.evaluations("report")
    if any(name not in evaluations for name in (*parents, soup)):
        why = " ".join(run.why("study")) or "the outcomes by item that are kept are not those of the result"
        return Section("wins", title, missing=(f"Win rates: {why}.",))
    try:
        found = win_rates({name: evaluations[name] for name in (*parents, soup)}, parents, soup)
    except SoceError as error:
        return Section("wins", title, missing=(f"Win rates: {error.problems[0].message}.",))
    n = len(parents)
    lost = found.regression
    rows = [("all of the ingredients", Rate(lost.of - lost.count, lost.of))]
    rows += [(f"{n - failing} of {n} ingredients", rate) for failing, rate in found.fails]
    rows.append(("none of the ingredients", found.rescue))
    table = Table(
        "What the soup solves, by how many of its ingredients solve it",
        ("items solved by", "items", "of these the soup solves", "share"),
        tuple((Cell(which), count(rate.of), count(rate.count), share(rate.share)) for which, rate in rows),
    )
    each = Table(
        "Against each ingredient",
        ("ingredient", "solves", "of these the soup keeps", "only soup : only ingredient", "McNemar\u00a0p"),
        tuple(
            (
                Cell(name),
                count(found.solved[name]),
                share(found.retention[name].share),
                Cell(
                    f"{found.mcnemar[name].only_second} : {found.mcnemar[name].only_first}",
                    [found.mcnemar[name].only_second, found.mcnemar[name].only_first],
                ),
                probability(found.mcnemar[name].p),
            )
            for name in parents
        ),
    )
    text = Text(
        f"The soup solves {count(found.solved[soup]).text} of {count(found.n_items).text} "
        f"{material.where}. It rescues "
        f"{_of(found.rescue)} that no ingredient solves, and loses {_of(found.regression)} that all of "
        "them solve."
    )
    note = Text(f"McNemar's exact test, two-sided, {found.n_tests} of them: p is not corrected.", soft=True)
    return Section("wins", title, (text, table, each, note), data=found.to_json())


def _of(rate: Rate) -> str:
    return f"{rate.count} of {rate.of}"
