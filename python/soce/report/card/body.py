"""The text of a model card: what was souped, how, what it scored, how to check it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soce.report.card.markdown import code, plain, table
from soce.report.card.scores import score_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.report.card.licences import Licence
    from soce.report.card.results import Results
    from soce.report.card.soup import Soup, Source

PAPER: Final = """\
@article{maiti2025souper,
  title   = {Souper-Model: How Simple Arithmetic Unlocks State-of-the-Art LLM Performance},
  author  = {Maiti, Shalini and Budhiraja, Amar and Gauri, Bhavul and Chaurasia, Gaurav and
             Protopopov, Anton and Audran-Reiss, Alexis and Slater, Michael and Magka, Despoina and
             Shavrina, Tatiana and Raileanu, Roberta and Bachrach, Yoram},
  journal = {arXiv preprint arXiv:2511.13254},
  year    = {2025}
}"""


def body_lines(
    soup: Soup,
    *,
    results: Results | None,
    licences: Sequence[Licence],
    warnings: Sequence[str],
    title: str | None,
) -> list[str]:
    """Return the lines of the card below its head.

    Parameters
    ----------
    soup : Soup
    results : Results, optional
        Of the search that chose it.
    licences : sequence of Licence
        Of the ingredients.
    warnings : sequence of str
        About licences.
    title : str, optional
        The heading; None if the card has one already.
    """
    head = [] if title is None else [f"# {code(title)}", ""]
    sections = (
        _disclosure(soup, results),
        _recipe(soup),
        [] if results is None else _choice(results),
        [] if results is None else score_lines(results),
        _licences(licences, warnings),
        _verify(soup),
        _citation(),
    )
    return [*head, *(line for section in sections if section for line in (*section, ""))]


def _disclosure(soup: Soup, results: Results | None) -> list[str]:
    count = len(soup.ingredients)
    counts = soup.manifest["result"].get("counts", {})
    copied = int(counts.get("copied", 0)) + int(counts.get("tied", 0))
    rest = (
        f" {copied} tensors are equal in all of them and were copied, or share another's values."
        if copied
        else ""
    )
    searched = (
        ""
        if results is None
        else f" The weights were chosen from {results.n_candidates} soups by their scores on a benchmark, "
        "which is itself a fit to that benchmark."
    )
    version = plain(str(soup.run.get("soce", "")))
    return [
        "## What this checkpoint is",
        "",
        f"**A model soup: nothing here was trained.** Each of its {counts.get('averaged', 'averaged')} "
        f"averaged tensors is the weighted mean of the same tensor of {count} "
        f"checkpoint{'' if count == 1 else 's'}, computed exactly and rounded once, by soce {version}."
        f"{rest}{searched}",
        "",
        "**For whoever studies its inside**: these parameters were not reached by gradient descent. "
        "Circuits, outlier parameters and other structure may be blends of those of the ingredients and say "
        "little about what training does. Work on the ingredients, or say that a soup was studied. What is "
        "derived from this checkpoint should go on saying so.",
    ]


def _recipe(soup: Soup) -> list[str]:
    lines = ["## Recipe", ""]
    if soup.is_plain:
        whole = soup.rows[0][1]
        rows = [
            [_name(one), str(one.parts[0]), f"{100 * one.parts[0] / whole:.4g} %"] for one in soup.ingredients
        ]
        lines += table(["ingredient", f"parts of {whole}", "share"], rows, "lrr")
    else:
        going = soup.ingredients
        header = ["tensors", *(_name(one) for one in going), "over"]
        rows = [
            [code(pattern), *(str(one.parts[place]) for one in going), str(whole)]
            for place, (pattern, whole) in enumerate(soup.rows)
        ]
        lines += ["The first pattern that matches a tensor's name gives its parts.", ""]
        lines += table(header, rows, "l" + "r" * (len(going) + 1))
    revisions = [[_name(one), code(one.revision)] for one in soup.ingredients if one.revision is not None]
    if revisions:
        lines += ["", *table(["ingredient", "revision"], revisions, "ll")]
    donor = next((one for one in soup.sources if one.gave_config), None)
    given = [] if donor is None else [f"Configuration and tokenizer are those of {_name(donor)}."]
    dtypes = sorted({str(one["dtype"]) for one in soup.manifest["result"]["tensors"].values()})
    given.append(f"Tensors are {', '.join(code(one) for one in dtypes)}.")
    return [*lines, "", " ".join(given), "", *_shards(soup)]


def _shards(soup: Soup) -> list[str]:
    """Return what tells the ingredients' files from others, folded away: tables of long numbers."""
    rows = []
    for source in soup.ingredients:
        for shard in source.shards:
            whole = shard.get("sha256")
            said = ", as the Hub says" if shard.get("sha256_source") else ""
            digest = f"file{said}: {whole}" if whole else f"header: {shard.get('header_sha256', 'not known')}"
            rows.append([_name(source), code(str(shard["name"])), f"{int(shard['size']):,}", code(digest)])
    return [
        "<details><summary>The ingredients' files</summary>",
        "",
        *table(["ingredient", "file", "bytes", "SHA-256"], rows, "llrl"),
        "",
        "</details>",
    ]


def _choice(results: Results) -> list[str]:
    lines = ["## How it was chosen", ""]
    chosen = results.selection
    if chosen is not None:
        lines.append(
            f"Experts by {plain(str(chosen.get('rule', 'a rule that was not recorded')))}, from "
            f"{len(chosen.get('candidates', ()))} candidates:"
        )
        lines += ["", *_experts(chosen), ""]
    items = results.soup.chosen.n_items
    lines.append(
        f"Weights by the strategy {code(results.strategy)}: {results.n_candidates} different soups were "
        f"scored on {'some' if items is None else f'{items:,}'} items, and the best "
        f"{code(results.objective)} won. That is the method of *Soup Of Category Experts* "
        "([paper](https://arxiv.org/abs/2511.13254)), where the rule is a threshold and the strategy a grid."
    )
    return lines


def _experts(chosen: object) -> list[str]:
    experts = chosen.get("experts", ()) if isinstance(chosen, dict) else ()
    rows = [
        [code(str(one["model"])), ", ".join(code(str(name)) for name in one["categories"])]
        for one in experts
        if isinstance(one, dict) and isinstance(one.get("categories"), list) and "model" in one
    ]
    return table(["expert", "best in"], rows, "ll") if rows else []


def _licences(licences: Sequence[Licence], warnings: Sequence[str]) -> list[str]:
    rows = [
        [
            code(one.ingredient),
            "not known"
            if one.identifier is None
            else code(one.identifier) + (f" {plain(one.name)}" if one.name else ""),
            plain(one.where),
        ]
        for one in licences
    ]
    lines = [
        "## Licences of the ingredients",
        "",
        *table(["ingredient", "licence", "as said by"], rows, "lll"),
    ]
    return [*lines, *(line for text in warnings for line in ("", f"> **Mind**: {_sentence(text)}."))]


def _sentence(text: str) -> str:
    """Return a warning, whose names stand in backticks, as Markdown."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a name that has a backtick itself
        return plain(text)
    return "".join(code(part) if place % 2 else plain(part) for place, part in enumerate(parts))


def _verify(soup: Soup) -> list[str]:
    return [
        "## Verify",
        "",
        "`soce.json` beside the tensors records the recipe, the ingredients' files and a digest of every "
        "tensor. With soce installed, in this directory:",
        "",
        "```console",
        "$ soce verify . --data",
        "```",
        "",
        *table(
            ["digest (BLAKE3)", ""],
            [
                [
                    "`result_digest`, equal for every merge of this recipe",
                    code(str(soup.manifest["result_digest"])),
                ],
                ["`file_digest`, of `soce.json` itself", code(str(soup.manifest["file_digest"]))],
            ],
            "ll",
        ),
    ]


def _citation() -> list[str]:
    return ["## Citation", "", "```bibtex", *PAPER.splitlines(), "```"]


def _name(source: Source) -> str:
    if source.hub_id is None:
        return code(source.name)
    link = f"[{code(source.hub_id)}](https://huggingface.co/{source.hub_id})"
    return link if source.name == source.hub_id else f"{link}, here {code(source.name)}"
