"""The exact recipe, the commands that make it again, and digests of all that went in."""

from __future__ import annotations

import os
import shlex
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from soce.files.emit import to_yaml
from soce.merging.options import flags_of
from soce.recipes.checkpoint_paths import cached_repository
from soce.recipes.names import parts_of
from soce.report.cells import NONE, Cell, weights
from soce.report.document import Code, Facts, Table
from soce.search.known_tasks import tasks_evaluators
from soce.search.soup import method_of, rows_of, whole_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soce.files.emit import Tree
    from soce.report.document import Section
    from soce.report.run_view import RunView
    from soce.search.run import ItemSet, Run
    from soce.search.soup import Parts

_SHORT = 16


def build(section: Section, view: RunView) -> None:
    """Fill the section."""
    run = view.run
    if run.result is None:
        section.missing.append(f"The recipe: {'; '.join(run.why('result'))}.")
    else:
        parts, recipe = view.soup.parts, _recipe(view)
        section.blocks.append(Code(f"The recipe: {weights(parts).text}", recipe))
        section.data["recipe"] = {"id": view.soup.recipe.id, "parts": dict(parts), "file": recipe}
    commands = _commands(section, view)
    section.blocks.append(Code("Commands", "\n".join(commands)))
    section.data["commands"] = commands
    if run.identity is not None:
        parts = {} if run.result is None else view.soup.parts
        section.blocks.append(_ingredients(run.identity.ingredients, parts))
    facts = _digests(section, view)
    if facts:
        section.blocks.append(Facts(facts))
    if run.manifest is None:
        section.missing.append(f"Digests of the published soup: {'; '.join(run.why('soup'))}.")


def _recipe(view: RunView) -> str:
    parts = view.soup.parts
    # The first one gives config and tokenizer, even if it has no part.
    names = [one.name for one in view.soup.recipe.ingredients]
    rows, method, divisor = rows_of(parts), method_of(parts), whole_of(parts)
    is_used = {name for one in (parts, *(of for _, of in rows)) for name, part in one.items() if part}
    used = [name for place, name in enumerate(names) if name in is_used or not place]
    is_coefficients = method is not None and method.definition.weights == "coefficients"

    def weighted(of: Parts) -> dict[str, Tree]:
        given = {name: of.get(name, 0) for name in used}
        return {
            name: str(Fraction(part, divisor)) if is_coefficients else part for name, part in given.items()
        }

    recipe: dict[str, Tree] = {"ingredients": {name: _path(view.run, name) for name in used}}
    if rows:
        recipe["rows"] = [{"pattern": pattern, "weights": weighted(of)} for pattern, of in rows]
    recipe["weights"] = weighted(parts)
    if method is not None:
        recipe["method"] = method.name
        if method.base is not None:
            recipe["base"] = _path(view.run, method.base)
        recipe["parameters"] = dict(method.parameter_texts)
    return f"# recipe.yaml\n{to_yaml(recipe)}".rstrip("\n")


def _path(run: Run, name: str) -> str:
    """Return where a model is: relative to the run's folder if it is in there."""
    searched = {} if run.identity is None else run.pool.paths
    found = searched.get(name) or run.expert_paths.get(name) or name
    folder = Path(os.path.abspath(run.folder))  # noqa: PTH100 - a link is not followed

    def seen(part: str) -> str:
        hub_id, commit = cached_repository(part)
        if commit is not None and Path(part).name == commit:  # a name that other machines know as well
            return f"{hub_id}@{commit}"
        place = Path(os.path.abspath(part))  # noqa: PTH100
        return place.relative_to(folder).as_posix() if place.is_relative_to(folder) else part

    return "+".join(map(seen, parts_of(found)))


def _commands(section: Section, view: RunView) -> list[str]:
    run, name = view.run, shlex.quote(view.run.name)
    command = view.merge.get("command")
    commands = []
    if run.kind == "demo":
        commands.append(f"soce demo --seed {(run.settings or {}).get('seed', 0)} --output {name}")
    elif isinstance(command, list) and command and all(isinstance(word, str) for word in command):
        commands.append(shlex.join([Path(command[0]).name, *command[1:]]))
    else:
        why = "the published soup does not hold it" if run.manifest else "; ".join(run.why("soup"))
        section.missing.append(f"The command of the search, which a published soup records: {why}.")
    if run.result is not None:
        words = ["soce", "merge", "recipe.yaml", "--output", "soup-again", *flags_of(run.result.merge)]
        commands.append(f"{shlex.join(words)}   # the soup alone, bit for bit")
    return [*commands, f"soce report {name}"]


def _ingredients(known: Mapping[str, Mapping[str, object]], parts: Mapping[str, int]) -> Table:
    whole = sum(parts.values())
    rows = []
    for name, identity in known.items():
        shards = identity.get("shards")
        if not isinstance(shards, dict):
            continue
        digests = [one.get("header") if isinstance(one, dict) else one for one in shards.values()]
        part = parts.get(name, 0)
        rows.append(
            (
                Cell(name, None, "best" if part else ""),
                Cell(f"{part}/{whole}", [part, whole]) if part else NONE,
                Cell(f"{len(shards)}", len(shards)),
                Cell(f"`{str(digests[0])[:_SHORT]}`" if digests else "", digests),
            )
        )
    header = ("model", "part", "shards", "SHA-256 of the first")
    return Table("Models that were scored", header, rows, is_folded=True)


def _digests(section: Section, view: RunView) -> list[tuple[str, Cell, str]]:
    run = view.run
    facts: list[tuple[str, Cell, str]] = []
    digests: dict[str, object] = {}

    def add(name: str, key: str, digest: object, remark: str = "") -> None:
        if isinstance(digest, str) and digest:
            facts.append((name, Cell(f"`{digest}`", digest), remark))
            digests[key] = digest

    if run.manifest is not None:
        add("Soup", "soup", run.manifest.get("result_digest"), "BLAKE3 of everything that decides its bytes")
        add("Recipe of the soup", "file", run.manifest.get("file_digest"), "of its manifest")
    if run.selection is not None:
        add("Score table", "scores", run.selection.digest, "SHA-256 of names and scores")
    if run.identity is not None:
        evaluator = run.identity.evaluator
        add("Tasks to choose on", "tasks", _tasks(run, "selection"))
        if run.identity.held_out_evaluator is not None:
            add("Tasks to report on", "held_out_tasks", _tasks(run, "report"))
        each = evaluator.get("evaluators", [evaluator])
        told = (f"{key} {value}" for one in each for key, value in one.items() if _is_short(key, value))
        words = [*dict.fromkeys(told)]
        facts.append(("Evaluator", Cell(", ".join(words) or "unnamed", dict(evaluator)), ""))
    if view.merge:
        tools = ("soce", "python", "os")
        words = [f"{key} {view.merge[key]}" for key in tools if isinstance(view.merge.get(key), str)]
        facts.append(("Versions", Cell(", ".join(words)), "of the merge"))
    section.data["digests"] = digests
    return facts


def _tasks(run: Run, on: ItemSet) -> str:
    """Return the digests of the tasks files that score these items."""
    return ", ".join(one["tasks"] for one in tasks_evaluators(run, on))


def _is_short(key: str, value: object) -> bool:
    return key not in {"tasks", "config_and_tokenizer"} and (
        isinstance(value, int) or (isinstance(value, str) and 0 < len(value) <= 40)
    )
