"""The code blocks of README.md and docs/, and a kitchen in which they can be run."""

from __future__ import annotations

import json
import random
import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from click.testing import CliRunner
from tests.adapter_files import adapter
from tests.checkpoints import Tensors, f32, read_directory, write_file
from tests.tiny_models import LLAMA, save_models

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
KEYS = "base_model.model.model.layers.0.self_attn.k_proj"
FACTORS: Tensors = {
    f"{KEYS}.lora_A.weight": ("F32", [1, LLAMA["hidden_size"]], f32(*[0.5] * LLAMA["hidden_size"])),
    f"{KEYS}.lora_B.weight": ("F32", [16, 1], f32(*[0.5] * 16)),
}
RUNNABLE = {"console", "bash", "sh", "shell", "python", "pycon"}
FENCE = re.compile(
    r"^(?P<fence>```+)(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=fence)[ \t]*$", re.DOTALL | re.MULTILINE
)
FILE = re.compile(r"<!-- file: (\S+) -->\n+```\w*\n(.*?)```", re.DOTALL)
"""A file that a page shows and that its examples read."""
CATEGORIES = ("math", "code", "chat")
SCORES = """model,math,code,chat
math,74,54,64
code,51,75,63
chat,42,48,76
d,57,53,47
e,48,55,44
f,50,54,59
g,47,46,58
h,60,60,57
"""
"""No two of the categories correlate."""


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    page: str
    line: int
    language: str
    text: str

    @property
    def first(self) -> str:
        """Its first line, by which a decision names it."""
        return self.text.split("\n", 1)[0].removeprefix("$ ").split("  #")[0].strip()

    @property
    def commands(self) -> list[tuple[str, str]]:
        """Commands of a console with what they print; of a shell script without."""
        found: list[tuple[str, str]] = []
        lines = re.sub(r"\\\n\s*", "", self.text).splitlines(keepends=True)
        for line in lines:
            if line.startswith("$ ") or (self.language != "console" and line.strip()):
                found.append((line.removeprefix("$ ").strip(), ""))
            else:
                assert found, f"{self}: output before the first command"
                found[-1] = (found[-1][0], found[-1][1] + line)
        return found

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks() -> list[Block]:
    """Return every fenced block of every page."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        name = str(page.relative_to(ROOT))
        for match in FENCE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(name, line, match["language"].strip(), match["text"]))
    return found


def stock(folder: Path) -> Path:
    """Save what does not change: a model and three that were moved a little away from it."""
    save_models(folder, 1)
    base = folder / "model0"
    for seed in (1, 2, 3):
        copy = folder / f"model{seed}"
        shutil.copytree(base, copy)
        noise = np.random.default_rng(seed)
        tensors = read_directory(base)
        for name, (dtype, shape, data) in tensors.items():
            values = np.frombuffer(data, "<f4")
            moved = values + noise.standard_normal(len(values)) * 0.1 * values.std()
            tensors[name] = (dtype, shape, moved.astype("<f4").tobytes())
        write_file(copy / "model.safetensors", tensors)
    return folder


def kitchen(folder: Path, stocked: Path, block: Block) -> None:
    """Lay out what the examples speak of, but for what the block makes itself."""
    names = {"math": 1, "code": 2, "chat": 3, "A": 1, "B": 2, "C": 3, "base": 0}
    (folder / "path").mkdir()
    for name, place in names.items():
        (folder / "path" / name).symlink_to(stocked / f"model{place}")
    for name in CATEGORIES if "lora/" in block.text else ():
        adapter(folder / "lora" / name, FACTORS, target_modules=["k_proj"])
    (folder / "docs").symlink_to(ROOT / "docs")
    (folder / "scores.csv").write_text(SCORES)
    (folder / "models.yaml").write_text("".join(f"{name}: path/{name}\n" for name in CATEGORIES))
    draw = random.Random(0)
    items = [
        {
            "category": category,
            "kind": "multiple_choice",
            "prompt": "".join(draw.choice("abcdefghij") for _ in range(6)),
            "choices": ["a", "bc", "d0"],
            "answer": draw.randrange(3),
        }
        for category in CATEGORIES
        for _ in range(8)
    ]
    for name, some in (("tasks.jsonl", items), ("dev.jsonl", items[::2]), ("test.jsonl", items[1::2])):
        (folder / name).write_text("".join(json.dumps(item) + "\n" for item in some))
    (folder / "recipe.yaml").write_text(
        "ingredients: {math: path/A, code: path/B}\nweights: {math: 5, code: 1/2}\n"
    )
    recipes = (
        "ingredients: {math: path/A, code: path/B}\nrecipes:\n  even: equal\n  mathy: {math: 3, code: 1}\n"
    )
    (folder / "grid.yaml").write_text(recipes)
    (folder / "my_tasks.py").write_text(
        'def evaluate(model, tokenizer):\n    return {"math": {"q1": 1, "q2": 0}}\n'
    )
    (folder / "evaluate.py").write_text("")
    page = (ROOT / block.page).read_text(encoding="utf-8")
    for name, content in FILE.findall(page):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    (folder / "venv" / "bin").mkdir(parents=True)
    (folder / "venv" / "bin" / "python").symlink_to(shutil.which("python3") or "/usr/bin/python3")
    if "selection.yaml" in block.text and not re.search(
        r"(--output |-o |write_selection\(\s*selection, \")\"?selection.yaml", block.text
    ):
        given = [f"-c{name}=path/{name}" for name in CATEGORIES]
        run_command(
            shlex.join(["soce", "select", "scores.csv", *given, "--threshold", "0.9", "-o", "selection.yaml"])
        )
    if block.first.startswith("soce card") or "soup/soce.json" in block.text:
        run_command("soce-merge path/math=3 path/code=1 --output soup --quiet")


def run_command(line: str) -> str:
    """Run a command of soce in this process and return what it prints on stdout."""
    program, *arguments = shlex.split(line, comments=True)
    result = CliRunner().invoke(_program(program), arguments)
    assert result.exit_code == 0, f"{line}\n{result.stderr}\n{result.exc_info}"
    return result.stdout


def _program(name: str) -> click.Command:
    from soce.cli import _group
    from soce.cli.merge import merge

    assert name in {"soce", "soce-merge"}, (
        f"`{name}` is no command of soce: say in the table why it is not run"
    )
    return merge if name == "soce-merge" else _group()
