"""A commented experiment file of what was found: what cannot be known stands there as an example."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final

from soce.exceptions import shown
from soce.files.emit import quoted
from soce.files.words import counted
from soce.search.strategies.registry import STRATEGIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from soce.experiment.surroundings import FoundModels, FoundScores, FoundTasks, Surroundings
    from soce.selection.sweep import SweepStep

_WIDTH: Final = 88
_STEPS: Final = 8
_NAMES: Final = 12
_HEAD: Final = (
    "An experiment: `soce run` goes from here to a published soup, and on from where it was stopped. Paths "
    "are relative to this file. `soce run --dry-run` says what would be done and what it would cost; "
    "docs/experiment.md has every key. Whatever you change later, what was scored stays known."
)


def experiment_text(found: Surroundings) -> str:
    """Return the text of an experiment file, as `soce init` writes it."""
    sections = [
        _comment(_HEAD),
        _scores(found.scores),
        _models(found.models, found.lacking),
        _select(found),
        _evaluate(found.tasks),
        _report_on(found.tasks),
        _search(),
        [
            *_comment("What soups are written as; else as the first expert is."),
            "# merge: {dtype: bf16}",
        ],
        [*_comment("Gets the selection, all scores, the report and soup/."), "output: run/"],
    ]
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def _comment(text: str, indent: str = "") -> list[str]:
    head = f"{indent}# "
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=head,
        subsequent_indent=head,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _named(names: Iterable[str]) -> str:
    given = [shown(name) for name in names]
    more = f" and {len(given) - _NAMES} more" if len(given) > _NAMES else ""
    return ", ".join(given[:_NAMES]) + more


def _scores(found: FoundScores | None) -> list[str]:
    if found is None:
        return [
            *_comment(
                "The table that experts are chosen by: CSV, Excel, Markdown, results of a harness. Without "
                "one every model below is scored first, on the items that soups are chosen on."
            ),
            "# scores: scores.csv",
        ]
    written = quoted(found.sources[0])
    if len(found.sources) > 1:
        written = f"[{', '.join(map(quoted, found.sources))}]"
    if found.table is None:
        return [
            *_comment(f"EDIT: the table cannot be read as it stands: {found.refusal}."),
            "scores:",
            f"  tables: {written}",
            "  # format: long",
            "  # columns: [math, code]",
        ]
    table = found.table
    categories = counted(len(table.categories), "category", "categories")
    size = f"{counted(len(table.models), 'model')} and {categories}"
    left = [name for name, _ in table.ignored] + [c.name for c in table.columns if c.role == "aggregate"]
    text = f"What experts are chosen by. Read as {table.kind}: {size}, {_named(table.categories)}."
    if left:
        text += f" No categories: {_named(left)}."
    down = [column.name for column in table.columns if not column.higher_is_better]
    if down:
        text += f" Smaller is better in {_named(down)}."
    return [
        *_comment(text),
        f"scores: {written}",
        *_comment("If that is wrong, say how it is read:"),
        f"# scores: {{tables: {written}, columns: [{', '.join(map(quoted, table.categories[:2]))}]}}",
    ]


def _models(found: FoundModels | None, lacking: Sequence[str]) -> list[str]:
    intro = _comment(
        "The candidates and their checkpoints: directories, or ids of the Hub that were downloaded. "
        "Models of the table without a checkpoint count in correlations only."
    )
    if found is None:
        return [*_comment("EDIT: say where the checkpoints are."), *intro, *_as_example(["name", "other"])]
    lines = list(intro)
    if found.is_file:
        lines.append(f"models: {quoted(found.source)}")
    elif found.paths:
        lines += ["models:", *(f"  {quoted(name)}: {quoted(path)}" for name, path in found.paths.items())]
    else:
        lines += [*_comment("EDIT: no checkpoint has the name of a model in the table."), "# models:"]
    for name, (path, meant) in found.strangers.items():
        told = f"is it {shown(meant)}?" if meant else "the table has no such model"
        lines.append(f"  # {quoted(meant or name)}: {quoted(path)}  # {told}")
    lines += [
        f"  # {quoted(name)} is an adapter: name it on its base, as BASE+ADAPTER" for name in found.adapters
    ]
    if lacking:
        lines += _comment(f"without a checkpoint: {_named(lacking)}", "  ")
    return lines


def _as_example(names: Sequence[str]) -> list[str]:
    return ["# models:", *(f"#   {name}: path/to/{name}" for name in names)]


def _select(found: Surroundings) -> list[str]:
    scores = found.scores
    table = None if scores is None else scores.table
    meant = (
        "Categories with |rho| below the threshold to some other get an expert: their best candidate. The "
        "paper gives no value."
    )
    if scores is not None and scores.threshold is not None:
        chance = (
            ""
            if scores.critical is None
            else f" |rho| below {scores.critical:.2f} cannot be told from 0 here."
        )
        return [
            *_comment(f"{meant}{chance}"),
            *(f"#   {line}".rstrip() for line in _sweep(scores.steps)),
            "select:",
            f"  threshold: {scores.threshold:g}",
            "  # step: 0.1  # of the weights that are tried",
        ]
    if scores is not None and table is not None and scores.refusal is not None:
        categories = ", ".join(map(quoted, table.categories))
        return [
            *_comment(f"{meant} Here none can be suggested: {scores.refusal}. So every category gets one."),
            "select:",
            "  rule: explicit",
            f"  categories: [{categories}]",
        ]
    if table is None:
        why = "there is no table that says which categories move together"
    else:
        why = "one candidate is the best in every category"
    return [*_comment(f"EDIT: {meant} None can be suggested: {why}."), "# select: {threshold: 0.5}"]


def _sweep(steps: Sequence[SweepStep]) -> list[str]:
    """Return the thresholds at which the experts change, in columns."""
    changes: list[SweepStep] = []
    for step in steps:
        if not changes or changes[-1].experts != step.experts:
            changes.append(step)
    rows = ["threshold  categories  experts  soups"]
    for step in changes[:_STEPS]:
        soups = "too many" if step.n_evaluations is None else str(step.n_evaluations)
        counts = f"{step.n_categories:>10}  {len(step.experts):>7}  {soups:>5}"
        rows.append(f"{step.enough:>9g}  {counts}  {_named(step.experts)}")
    if len(changes) > _STEPS:
        rows.append(f"and {len(changes) - _STEPS} more: `soce select --sweep`")
    return rows


def _evaluate(found: FoundTasks | None) -> list[str]:
    examples = {
        "tasks": "tasks.jsonl",
        "lm-eval": '"gsm8k,ifeval"',
        "bfcl": '"non_live,multi_turn", engine: vllm',
        "function": '"my_tasks:evaluate"',
        "command": '"python score.py {checkpoint} --output {output}"',
    }
    if found is None:
        lines = _comment(
            "EDIT: say what scores soups. Nobody can guess it; take one of these, and its categories need "
            "the names of the table's."
        )
        return [*lines, *(f"# evaluate: {{{key}: {value}}}" for key, value in examples.items())]
    told = ""
    if found.counts is not None:
        items = counted(sum(found.counts.values()), "item")
        told = f": {items} in {counted(len(found.counts), 'category', 'categories')}, {_named(found.counts)}"
    elif found.categories is not None:
        told = f": {_named(found.categories)}"
    more = ["  # batch-size: 16"]
    if found.key == "bfcl":
        more = ["  engine: vllm", "  bfcl-python: bfcl/bin/python  # `soce bfcl setup bfcl` makes it"]
    return [
        *_comment(f"What scores soups{told}."),
        "evaluate:",
        f"  {found.key}: {quoted(found.value)}",
        *more,
    ]


def _report_on(found: FoundTasks | None) -> list[str]:
    other = "held-out.jsonl" if found is None or found.other is None else found.other
    return [
        *_comment("Soups are chosen on one part of the items and reported on the other, or on other tasks:"),
        "report_on: {share: 1/2}",
        f"# report_on: {{tasks: {quoted(other)}}}",
    ]


def _search() -> list[str]:
    width = max(map(len, STRATEGIES))
    return [
        *_comment("What proposes weights:"),
        *(f"#   {name:<{width}}  {kind.help}" for name, kind in STRATEGIES.items()),
        "search: {strategy: grid}",
    ]
