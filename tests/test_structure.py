"""The house rules that no linter knows: ARCHITECTURE.md says why they are there."""

from __future__ import annotations

import ast
import builtins
import inspect
import re
from collections import Counter
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest

import soce

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "python" / "soce"
SOURCES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES, MOST_PARAMETERS = 400, 8


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def module(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(path): path for path in SOURCES}


def imports(path: Path) -> set[str]:
    """Return the modules of soce that a file names in its imports, wherever these stand."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return (found & MODULES.keys()) - {module(path)}


def test_no_files_import_each_other_in_a_circle() -> None:
    left = {name: imports(path) for name, path in MODULES.items()}
    while free := [name for name, needs in left.items() if not needs & left.keys()]:
        for name in free:
            del left[name]
    assert not left, f"these import each other, or what does: {sorted(left)}"


def test_no_file_is_long() -> None:
    files = [*SOURCES, *sorted((ROOT / "rust" / "src").rglob("*.rs"))]
    counts = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8").count("\n") for path in files}
    assert {path: n for path, n in counts.items() if n > MOST_LINES} == {}


def test_no_public_function_takes_many_parameters() -> None:
    many = {}
    for path in SOURCES:
        if path.parent.name == "cli":  # a command has the options that it has
            continue
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef) and (
                not node.name.startswith("_") or node.name == "__init__"
            ):
                given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                count = sum(one.arg not in {"self", "cls"} for one in given)
                if count > MOST_PARAMETERS:
                    many[f"{module(path)}.{node.name}"] = count
    assert many == {}


def test_no_two_public_classes_have_one_name() -> None:
    names = Counter(
        node.name
        for path in SOURCES
        for node in tree(path).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert {name for name, count in names.items() if count > 1} == set()


def test_packages_define_nothing() -> None:
    """A name has one home: the file that defines it."""
    for path in PACKAGE.rglob("*/__init__.py"):
        if path.parent.name != "cli":  # the group of commands
            assert [type(node) for node in tree(path).body] == [ast.Expr], path


def test_public_names_are_listed_loaded_when_used_and_nothing_else_is_shown() -> None:
    assert dir(soce) == soce.__all__ == sorted(soce.__all__)
    for name in soce.__all__:
        assert getattr(soce, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = soce.nothing  # type: ignore[attr-defined]


def documented() -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for name in soce.__all__:
        value = getattr(soce, name)
        if inspect.isroutine(value) or inspect.isclass(value):
            found.append((name, value))
        if inspect.isclass(value) and value.__module__.startswith("soce."):
            own = [key for key in vars(value) if not key.startswith("_") and callable(getattr(value, key))]
            found += [(f"{name}.{key}", getattr(value, key)) for key in own]
    return found


@pytest.mark.parametrize(
    ("name", "value"), documented(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_help_mentions_only_what_can_be_found(name: str, value: object) -> None:
    """A class in backticks is public, a builtin, or of the module that says it; a dotted name can be followed."""
    text = inspect.getdoc(value) or ""
    owner = getattr(soce, name.split(".")[0])
    here = inspect.getmodule(value) or inspect.getmodule(owner)
    known = {*dir(owner), *dir(here), *dir(builtins), *soce.__all__, "soce"}
    mentioned = re.findall(r"(?<!`)`([A-Za-z_]\w*(?:\.\w+)*)`(?!`)", text)
    for word in mentioned:
        first = word.split(".")[0]
        if word.startswith("soce."):
            assert find(word) is not None, f"{name} tells of {word}"
        elif re.fullmatch(r"[A-Z][a-z]\w*", first):
            assert first in known, f"{name} tells of {word}, which is neither its own nor in soce"


def find(dotted: str) -> object:
    """Return what a dotted name of soce stands for; None if nothing."""
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        if ".".join(parts[:end]) in MODULES:
            found: object = import_module(".".join(parts[:end]))
            for part in parts[end:]:
                found = getattr(found, part, None)
            return found
    return None
