"""Every Python example of docs/analyses.md runs as it stands."""

from __future__ import annotations

import ast
import json
import random
import re
from pathlib import Path

import pytest
from tests.doc_blocks import FILE
from tests.tiny_models import save_models

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "analyses.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def kitchen(tmp_path: Path) -> Path:
    """Lay out three models and tasks of two categories."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    pytest.importorskip("optuna")
    for name, path in zip("ABC", save_models(tmp_path / "path", 3), strict=True):
        Path(path).rename(tmp_path / "path" / name)
    draw = random.Random(0)
    items = [
        {
            "category": category,
            "kind": "multiple_choice",
            "prompt": "".join(draw.choice("abcdefghij") for _ in range(6)),
            "choices": ["a", "bc", "d0"],
            "answer": draw.randrange(3),
        }
        for category in ("math", "code")
        for _ in range(8)
    ]
    (tmp_path / "tasks.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    return tmp_path


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("text", BLOCKS, ids=lambda text: re.findall(r"(\w+)\(", text)[0])
def test_an_example_runs(
    text: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "path/A" in text:
        request.getfixturevalue("kitchen")
    for name, content in FILE.findall(PAGE):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    exec(compile(text, "docs/analyses.md", "exec"), {"__name__": "example"})


def test_the_page_tells_of_every_function() -> None:
    functions = {
        node.name
        for file in sorted((ROOT / "python" / "soce" / "analysis").glob("*.py"))
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef)
        and not node.name.startswith("_")
        and file.stem not in ("checks", "item_clusters", "item_texts")
    }
    untold = {name for name in functions if f"{name}(" not in PAGE and f"`{name}`" not in PAGE}
    assert not untold
    assert len(BLOCKS) == 10
