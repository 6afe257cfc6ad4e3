"""The exact recipe, the commands that make it again, and digests of all that went in."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soce.files.emit import to_yaml
from soce.report.document import Block, Cell, Code, Facts, Section, Table
from soce.report.units import NONE, size, weights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soce.files.emit import Plain
    from soce.report.material import Material
    from soce.search.run import Run

_SHORT = 16


def build(material: Material) -> Section:
    """Return the section."""
    title = "Recipe and how to reproduce it"
    run = material.run
    blocks: list[Block] = []
    missing: list[str] = []
    data: dict[str, Any] = {}
    if run.result is None:
        missing.append(f"The recipe: {'; '.join(run.why('result'))}.")
    else:
        recipe = _recipe(run, material)
        blocks.append(Code(f"The recipe: {weights(dict(material.soup.parts))}", recipe))
        data["recipe"] = {"id": material.soup.recipe.id, "parts": dict(material.soup.parts), "file": recipe}
    commands, remark = _commands(run)
    blocks.append(Code("Commands", "\n".join(commands)))
    data["commands"] = commands
    if remark:
        missing.append(remark)
    table = _ingredients(run, material)
    if table is not None:
        blocks.append(table)
    facts = _digests(run, data)
    if facts:
        blocks.append(Facts(tuple(facts)))
    if run.manifest is None:
        missing.append(f"Digests of the published soup: {'; '.join(run.why('soup'))}.")
    return Section("reproduce", title, tuple(blocks), tuple(missing), data)


def _recipe(run: Run, material: Material) -> str:
    parts = material.soup.parts
    used = [name for name in run.experts if parts.get(name)]
    used += [name for name in parts if parts[name] and name not in used]
    ingredients: dict[str, Plain] = {name: _path(run, name) for name in used}
    shares: dict[str, Plain] = {name: parts[name] for name in used}
    return f"# recipe.yaml\n{to_yaml({'ingredients': ingredients, 'weights': shares})}".rstrip("\n")


def _path(run: Run, name: str) -> str:
    """Return where a model is: relative to the run's folder if it is in there."""
    found = run.expert_paths.get(name)
    if run.identity is not None and name in run.pool.paths:
        found = run.pool.paths[name]
    if found is None:
        return name
    try:
        inside = Path(os.path.abspath(found)).relative_to(Path(os.path.abspath(run.folder)))  # noqa: PTH100
    except ValueError:
        return found
    return inside.as_posix()


def _commands(run: Run) -> tuple[list[str], str]:
    name = shlex.quote(run.name)
    made = (run.manifest or {}).get("run")
    command = made.get("command") if isinstance(made, dict) else None
    remark = ""
    if run.kind == "demo":
        first = [f"soce demo --seed {(run.settings or {}).get('seed', 0)} --output {name}"]
    elif isinstance(command, list) and command and all(isinstance(word, str) for word in command):
        first = [shlex.join([Path(command[0]).name, *command[1:]])]
    else:
        first = []
        why = "the published soup does not hold it" if run.manifest else "; ".join(run.why("soup"))
        remark = f"The command of the search, which a published soup records: {why}."
    if run.result is not None:
        first.append("soce merge recipe.yaml --output soup-again   # the soup alone, bit for bit")
    return [*first, f"soce report {name}"], remark


def _ingredients(run: Run, material: Material) -> Table | None:
    if run.identity is None:
        return None
    parts: Mapping[str, int] = {} if run.result is None else material.soup.parts
    whole = sum(parts.values())
    rows = []
    for name, identity in run.identity.ingredients.items():
        shards = identity.get("shards")
        if not isinstance(shards, dict):
            continue
        sizes = [one["bytes"] for one in shards.values() if isinstance(one, dict) and "bytes" in one]
        digests = [one.get("header") if isinstance(one, dict) else one for one in shards.values()]
        part = parts.get(name, 0)
        rows.append(
            (
                Cell(name, None, "best" if part else ""),
                Cell(f"{part}/{whole}", [part, whole]) if part else NONE,
                size(sum(sizes)) if sizes else NONE,
                Cell(f"{len(shards)}", len(shards)),
                Cell(f"`{str(digests[0])[:_SHORT]}`" if digests else "", digests),
            )
        )
    kind = "content" if rows and rows[0][2] is NONE else "header"
    header = ("model", "part", "size", "shards", f"SHA-256 of the first shard's {kind}")
    return Table("Models that were scored", header, tuple(rows), is_folded=True)


def _digests(run: Run, data: dict[str, Any]) -> list[tuple[str, Cell, str]]:
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
        evaluator, other = run.identity.evaluator, run.identity.held_out_evaluator
        add("Tasks to choose on", "tasks", evaluator.get("tasks"))
        if other is not None:
            add("Tasks to report on", "held_out_tasks", other.get("tasks"))
        words = [f"{key} {value}" for key, value in evaluator.items() if _is_short(key, value)]
        facts.append(("Evaluator", Cell(", ".join(words) or "unnamed", dict(evaluator)), ""))
    made = (run.manifest or {}).get("run")
    if isinstance(made, dict):
        words = [f"{key} {made[key]}" for key in ("soce", "python", "os") if isinstance(made.get(key), str)]
        facts.append(("Versions", Cell(", ".join(words)), "of the merge"))
    data["digests"] = digests
    return facts


def _is_short(key: str, value: object) -> bool:
    return key not in {"tasks", "config_and_tokenizer"} and (
        isinstance(value, int) or (isinstance(value, str) and 0 < len(value) <= 40)
    )
