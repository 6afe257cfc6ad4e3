"""Hooks of mkdocs.yml: pages from outside docs/, decisions, the reference, links within the site.

The reference has every public name of soce on the page of its module, so none can be forgotten.
"""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).parent.parent
OUTSIDE: Final = {
    "ARCHITECTURE.md": "Architecture",
    "CONTRIBUTING.md": "Contributing",
    "SECURITY.md": "Security",
    "CHANGELOG.md": "Changes",
}
"""Pages of the repository that are also pages of the site, below project/."""
TITLES: Final = {
    "scores": "Score tables",
    "selection": "Correlation and selection",
    "recipes": "Recipes",
    "merging": "Merging",
    "evaluate": "Evaluators",
    "search": "Search and statistics",
    "analysis": "Analyses",
    "report": "Report and card",
    "exceptions": "Exceptions",
}
"""Pages of the reference by the room of the names on them; the compiled core is shown where it is used."""
LINK: Final = re.compile(
    r"\[(?P<text>[^\]\n]*(?:\n[^\]\n]*)?)\]\((?P<target>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)"
)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add what the hooks generate to the navigation."""
    assert config.nav is not None
    decisions = {_title(path): f"adr/{path.name}" for path in sorted((ROOT / "docs" / "adr").glob("*.md"))}
    reference = [{title: f"reference/{page}.md"} for page, (title, _) in _reference().items()]
    config.nav += [
        {"Reference": [{"All names": "reference/index.md"}, *reference]},
        {
            "Project": [
                *({title: f"project/{name}"} for name, title in OUTSIDE.items()),
                {"Decisions": [{title: page} for title, page in decisions.items()]},
            ]
        },
    ]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    from mkdocs.structure.files import File

    pages = {f"project/{name}": (ROOT / name).read_text(encoding="utf-8") for name in OUTSIDE}
    index = ["# Reference\n", "Everything here is a name of `soce`: `from soce import merge`.\n"]
    for page, (title, names) in _reference().items():
        pages[f"reference/{page}.md"] = f"# {title}\n\n" + "".join(
            f"::: {path}\n\n" for path in names.values()
        )
        linked = ", ".join(f"[`{name}`][{path}]" for name, path in sorted(names.items()))
        index.append(f"**[{title}]({page}.md)**: {linked}\n")
    pages["reference/index.md"] = "\n".join(index)
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Point links at pages of the site; what only the repository has keeps its name and loses the link."""
    if page.is_homepage:
        page.meta["hide"] = ["navigation"]  # which has nothing to show beside the tabs
    path = page.file.src_uri
    source = path.removeprefix("project/") if path.startswith("project/") else f"docs/{path}"

    def replace(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), found["target"]))
        if files.get_file_from_path(
            posixpath.join(posixpath.dirname(path), found["target"]).removeprefix("./")
        ):
            return found[0]
        place = f"project/{target}" if target in OUTSIDE else target.removeprefix("docs/")
        if target == "docs/adr":
            place = min(
                file.src_uri for file in files.documentation_pages() if file.src_uri.startswith("adr/")
            )
        if files.get_file_from_path(place) is not None and target.startswith(("docs", *OUTSIDE)):
            relative = posixpath.relpath(place, posixpath.dirname(path) or ".")
            return f"[{found['text']}]({relative}{found['anchor'] or ''})"
        if (ROOT / target).exists():
            return found["text"] if "`" in found["text"] else f"`{found['text']}`"
        return found[0]  # mkdocs says what is wrong with it

    return LINK.sub(replace, markdown)


def _title(path: Path) -> str:
    return path.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ")


def _reference() -> dict[str, tuple[str, dict[str, str]]]:
    """Return title, and names with the paths of their definitions, of each page of the reference."""
    sys.path.insert(0, str(ROOT / "python"))
    try:
        import soce
    finally:
        sys.path.pop(0)
    pages: dict[str, tuple[str, dict[str, str]]] = {room: (title, {}) for room, title in TITLES.items()}
    for name, module in vars(soce)["_HOMES"].items():
        room = "merging" if module == "soce._core" else module.split(".")[1]
        pages[room][1][name] = f"{module}.{name}"
    return {page: content for page, content in pages.items() if content[1]}
