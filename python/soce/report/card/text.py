"""The text of a model card: what was souped, how, what it scored, how to check it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soce.files.words import counted
from soce.report import sentences
from soce.report.card.scores import score_lines
from soce.report.markdown import code, plain, table, with_code

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.merging.origins.licences import Licence
    from soce.report.card.choice import Choice
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


def card_text(
    soup: Soup,
    choice: Choice | None,
    *,
    remarks: Sequence[str],
    licences: Sequence[Licence],
    warnings: Sequence[str],
    title: str | None,
) -> str:
    """Return the card below its head; without a title if the card has one already.

    `remarks` are on the origins of the ingredients, `warnings` on their licences.
    """
    sections = (
        [] if title is None else [f"# {code(title)}"],
        [*_disclosure(soup, choice), *_mind(remarks)],
        _recipe(soup),
        [] if choice is None else _choice(choice),
        [] if choice is None else score_lines(choice.result),
        _licences(licences, warnings),
        _verify(soup),
        ["## Citation", "", "```bibtex", PAPER, "```"],
    )
    return "".join(f"{line}\n" for section in sections if section for line in (*section, ""))


def _disclosure(soup: Soup, choice: Choice | None) -> list[str]:
    counts = soup.manifest["result"].get("counts", {})
    copied = int(counts.get("copied", 0)) + int(counts.get("tied", 0))
    made = (
        f"**A model soup: nothing here was trained.** Each of its {counts.get('averaged', 'averaged')} "
        f"averaged tensors is the weighted mean of the same tensor of "
        f"{counted(len(soup.averaged), 'checkpoint')}, computed exactly and rounded once, by soce "
        f"{plain(str(soup.run.get('soce', '')))}."
    )
    if copied:
        made += f" {counted(copied, 'tensor is', 'tensors are')} equal in all of them and copied, or shared."
    if choice is not None and choice.result.n_candidates > 1:
        made += (
            f" The weights were chosen from {choice.result.n_candidates} soups by their scores on a "
            "benchmark, which is itself a fit to that benchmark."
        )
    return [
        "## What this checkpoint is",
        "",
        made,
        "",
        "**For whoever studies its inside**: these parameters were not reached by gradient descent. "
        "Circuits, outlier parameters and other structure may be blends of those of the ingredients and say "
        "little about what training does. Work on the ingredients, or say that a soup was studied. What is "
        "derived from this checkpoint should go on saying so.",
    ]


def _recipe(soup: Soup) -> list[str]:
    going, names = soup.averaged, [_name(one) for one in soup.averaged]
    lines = ["## Recipe", ""]
    if soup.is_plain:
        whole = soup.rows[-1][1]
        parts = [one.parts[-1] for one in going]
        shares = [f"{100 * part / whole:.4g} %" for part in parts]
        rows = [list(row) for row in zip(names, map(str, parts), shares, strict=True)]
        lines += table(["ingredient", f"parts of {whole}", "share"], rows, "lrr")
    else:
        rows = [
            [code(pattern), *(str(one.parts[place]) for one in going), str(whole)]
            for place, (pattern, whole) in enumerate(soup.rows)
        ]
        each = (
            " Of some, each index of the first axis has parts of its own: here are the sums of their sizes."
        )
        first = "The first pattern that matches a tensor's name gives its parts."
        lines += [first + (each if soup.has_filters else ""), ""]
        lines += table(["tensors", *names, "over"], rows, "l" + "r" * (len(going) + 1))
    taken = [f"Tensors {code(name)} are those of {_name(one)}, unchanged." for name, one in soup.taken]
    lines += ["", *taken] if taken or soup.left_out else []
    if soup.left_out:
        more = f" and {len(soup.left_out) - 3} more" if len(soup.left_out) > 3 else ""
        lines += [f"Left out: {', '.join(map(code, soup.left_out[:3]))}{more}."]
    revisions = [[_name(one), code(one.revision)] for one in going if one.revision is not None]
    if revisions:
        lines += ["", *table(["ingredient", "revision"], revisions, "ll")]
    donor = next((one for one in soup.sources if one.gave_config), None)
    given = f"Configuration and tokenizer are those of {_name(donor)}. " if donor else ""
    dtypes = ", ".join(code(one) for one in soup.dtypes)
    return [*lines, "", f"{given}Tensors are {dtypes}.", "", *_shards(soup)]


def _shards(soup: Soup) -> list[str]:
    """Return what tells the ingredients from others, folded away: tables of long numbers.

    Not the digests of headers: fine-tunes of one model share them.
    """
    going = soup.ingredients
    contents = [[_name(one), code(one.content)] for one in going if one.content is not None]
    files = [
        [_name(one), code(str(shard["name"])), f"{int(shard['size']):,}", code(str(shard["sha256"]))]
        for one in going
        for shard in one.shards
        if shard.get("sha256")
    ]
    lines = []
    if contents:
        lines += [*table(["ingredient", "BLAKE3 of the tensors that went in"], contents, "ll"), ""]
    if files:
        lines += [*table(["ingredient", "file", "bytes", "SHA-256, as the Hub says"], files, "llrl"), ""]
    if not lines:
        unknown = "The ingredients' contents were not hashed; a merge with `--digests full` does that."
        lines = [unknown, ""]
    return ["<details><summary>What the ingredients hold</summary>", "", *lines, "</details>"]


def _choice(choice: Choice) -> list[str]:
    lines = ["## How it was chosen", ""]
    result, chosen = choice.result, choice.selected_by
    if chosen is not None:
        rule = plain(str(chosen.get("rule", "a rule that was not recorded")))
        lines += [f"Experts by {rule}, from {counted(len(chosen.get('candidates', ())), 'candidate')}:", ""]
        lines += [*_experts(chosen.get("experts")), ""]
    items = result.best.selection.n_items
    return [
        *lines,
        f"Weights by the strategy {code(str(result.strategy['name']))}: of "
        f"{counted(result.n_candidates, 'different soup')}, none that was scored on all "
        f"{'items' if items is None else f'{items:,} items'} to choose on has a higher "
        f"{code(result.objective)}. The method is after *Soup Of Category Experts* "
        "([paper](https://arxiv.org/abs/2511.13254)), whose rule is a threshold and whose strategy a grid.",
        *([] if (race := sentences.of_the_race(result)) is None else ["", race]),
    ]


def _experts(experts: object) -> list[str]:
    rows = [
        [code(str(one["model"])), ", ".join(code(str(name)) for name in one["categories"])]
        for one in (experts if isinstance(experts, list) else ())
        if isinstance(one, dict) and isinstance(one.get("categories"), list) and "model" in one
    ]
    return table(["expert", "chosen for"], rows, "ll") if rows else []


def _licences(licences: Sequence[Licence], warnings: Sequence[str]) -> list[str]:
    rows = []
    for one in licences:
        known = "not known" if one.identifier is None else code(one.identifier)
        name = f" {plain(one.name)}" if one.name else ""
        rows.append([code(one.ingredient), known + name, plain(one.where)])
    lines = ["## Licences of the ingredients", ""]
    lines += table(["ingredient", "licence", "as said by"], rows, "lll")
    return [*lines, *_mind(warnings)]


def _mind(warnings: Sequence[str]) -> list[str]:
    return [line for text in warnings for line in ("", f"> **Mind**: {with_code(text)}.")]


def _verify(soup: Soup) -> list[str]:
    result, file = (code(str(soup.manifest[key])) for key in ("result_digest", "file_digest"))
    rows = [
        ["`result_digest`, equal for every merge of this recipe", result],
        ["`file_digest`, of `soce.json` itself", file],
    ]
    return [
        "## Verify",
        "",
        "`soce.json` beside the tensors records the recipe, the ingredients' files and a digest of every "
        "tensor. With soce installed, in this directory:",
        "",
        "```console",
        "$ soce verify .",
        "```",
        "",
        *table(["digest (BLAKE3)", ""], rows, "ll"),
    ]


def _name(source: Source) -> str:
    if source.hub_id is None:
        return code(source.name)
    link = f"[{code(source.hub_id)}](https://huggingface.co/{source.hub_id})"
    return link if source.name == source.hub_id else f"{link}, here {code(source.name)}"
