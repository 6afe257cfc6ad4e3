"""Soups asked by BFCL's handlers, their answers checked by its checkers, through a model that stands in."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from tests.bfcl.stand_ins import BFCL_PYTHON, Client, StandIn, Truth, needs_bfcl, save_tokenizer

from soce.evaluate.bfcl import process
from soce.evaluate.bfcl.categories import CATEGORIES, FORMAT_SENSITIVITY, REFUSED
from soce.evaluate.bfcl.evaluator import BfclEvaluator, BfclOptions
from soce.evaluate.evaluation import refuse
from soce.exceptions import EvaluationError
from soce.recipes.model import Recipe

pytestmark = [pytest.mark.bfcl, needs_bfcl]
OFFLINE = [name for name in CATEGORIES if name not in REFUSED and name != FORMAT_SENSITIVITY]

_KILLED = """
import os, signal, sys, tempfile
from tests.bfcl.stand_ins import BFCL_PYTHON, StandIn
from soce import Recipe
from soce.evaluate.bfcl.evaluator import BfclEvaluator, BfclOptions

model, tempfile.tempdir = sys.argv[1:]
stand_in = StandIn([model], lambda _: os.kill(os.getpid(), signal.SIGKILL))
BfclEvaluator(stand_in, ["irrelevance"], BfclOptions(python=BFCL_PYTHON)).score(Recipe.of([model]))
"""


def evaluator(stand_in: StandIn, *categories: str, **options: Any) -> BfclEvaluator:
    return BfclEvaluator(stand_in, categories, BfclOptions(python=BFCL_PYTHON, **options))


def few(of: BfclEvaluator) -> dict[str, tuple[str, ...]]:
    """Return three items a category whose right answers are calls as handlers read them.

    Those of several turns begin alike if they have one number.
    """
    starts = {"simple_java": 2, "multi_turn_base": 1}
    turns = iter(range(5, 40, 3))
    return {
        name: ids[start : start + 3]
        for name, ids in of.item_ids().items()
        for start in [starts.get(name) or (next(turns) if name.startswith("multi_turn") else 0)]
    }


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def model(tmp_path: Path) -> str:
    return save_tokenizer(tmp_path / "model")


def processes_of_bfcl() -> list[str]:
    """Return the processes of BFCL that this one started."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes()
        except OSError:
            continue
        if b"soce.evaluate.bfcl.program" in words and tempfile.gettempdir().encode() in words:
            found.append(path.name)
    return found


def test_what_is_right_scores_one_in_every_category_and_twice(model: str, own_folder: Path) -> None:
    recipe = Recipe.of([model])
    stand_in = StandIn([model], lambda _: "")
    scored = evaluator(stand_in, *OFFLINE)
    items = few(scored)
    told: list[tuple[int, int]] = []
    stand_in.client = Client(Truth(items))  # type: ignore[assignment]
    first = scored.score(recipe, items=items, on_progress=lambda *done: told.append(done))
    assert {name: found.score for name, found in first.categories.items()} == dict.fromkeys(OFFLINE, 1.0)
    assert first.item_ids() == items
    assert told[-1] == (57, 57)
    # BFCL keeps what simulates services in globals: a second soup finds nothing of the first.
    assert scored.score(recipe, items=items) == first
    assert [*own_folder.iterdir()] == []
    answer = first.answers["multi_turn_base"][items["multi_turn_base"][0]]
    assert (answer.text or "")[0] == "["
    assert answer.ending == "stop"
    assert first.notes[0].endswith(
        "asked by their own chat template, for at most 4096 tokens at temperature 0"
    )


def test_a_call_is_wrong_where_none_is_right_and_right_where_any_is(model: str) -> None:
    scored = evaluator(StandIn([model], lambda _: "[f(x=1)]"), "live_irrelevance", "live_relevance")
    items = few(scored)
    found = scored.score(Recipe.of([model]), items=items)
    assert {name: one.score for name, one in found.categories.items()} == {
        "live_irrelevance": 0.0,
        "live_relevance": 1.0,
    }


def test_a_prompt_that_is_not_seen_whole_is_wrong_also_where_no_call_is_right(tmp_path: Path) -> None:
    model = save_tokenizer(tmp_path / "model", max_length=1000)
    stand_in = StandIn([model], lambda _: "I cannot.")
    scored = evaluator(stand_in, "irrelevance")
    found = scored.score(Recipe.of([model]), items=few(scored))
    assert found.categories["irrelevance"].score == 0
    assert any(note.startswith("3 items had prompts that the model cannot see") for note in found.notes)
    assert found.answers["irrelevance"] == {}
    assert stand_in.client.prompts == []  # type: ignore[attr-defined]


def test_a_request_that_fails_ends_it_all_and_is_no_answer(model: str, own_folder: Path) -> None:
    def answer(prompt: str) -> str:
        if len(stand_in.client.prompts) > 1:  # type: ignore[attr-defined]
            refuse("the server answered with status 500: out of memory")
        return "I cannot."

    stand_in = StandIn([model], answer)
    scored = evaluator(stand_in, "irrelevance")
    with pytest.raises(EvaluationError, match="status 500: out of memory"):
        scored.score(Recipe.of([model]))
    assert [*own_folder.iterdir()] == []
    assert processes_of_bfcl() == []


def test_a_text_that_was_broken_off_is_no_answer(model: str) -> None:
    stand_in = StandIn([model], lambda _: "I cannot.")
    stand_in.client.ending = "abort"  # type: ignore[attr-defined]
    scored = evaluator(stand_in, "irrelevance")
    with pytest.raises(EvaluationError, match="the text ended by `abort`"):
        scored.score(Recipe.of([model]), items=few(scored))


def test_who_stops_it_leaves_no_process(model: str, own_folder: Path) -> None:
    def stop(done: int, _: int) -> None:
        if done:
            assert processes_of_bfcl()
            raise KeyboardInterrupt

    scored = evaluator(StandIn([model], lambda _: "I cannot."), "irrelevance")
    with pytest.raises(KeyboardInterrupt):
        scored.score(Recipe.of([model]), on_progress=stop)
    assert [*own_folder.iterdir()] == []
    assert processes_of_bfcl() == []


def test_nothing_outlives_a_soce_that_is_killed(model: str, own_folder: Path) -> None:
    command = [sys.executable, "-c", _KILLED, model, str(own_folder)]
    done = subprocess.run(command, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == -signal.SIGKILL
    end = time.monotonic() + 30
    while [*own_folder.iterdir(), *processes_of_bfcl()] and time.monotonic() < end:
        time.sleep(0.05)
    assert [*own_folder.iterdir()] == []
    assert processes_of_bfcl() == []


def test_a_template_that_does_not_take_what_it_is_given_is_told(tmp_path: Path) -> None:
    template = "{{ raise_exception('roles must alternate') }}"
    model = save_tokenizer(tmp_path / "model", template=template)
    scored = evaluator(StandIn([model], lambda _: ""), "multiple")
    with pytest.raises(EvaluationError, match=r"(?s)item `multiple_.*roles must alternate.*bfcl_handler"):
        scored.score(Recipe.of([model]), items=few(scored))


def test_what_a_model_writes_can_write_no_file(model: str) -> None:
    place = Path.home() / ".soce-bfcl-was-here"
    said = f"[open(file='{place}', mode='w')]"
    scored = evaluator(StandIn([model], lambda _: said), "multi_turn_base", "multiple")
    found = scored.score(Recipe.of([model]), items=few(scored))
    assert {one.score for one in found.categories.values()} == {0.0}
    assert not place.exists()


def test_what_computes_without_end_is_wrong_or_ends_it_all(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "STEP_SECONDS", 2)
    scored = evaluator(StandIn([model], lambda _: "[f(x=9 ** 9 ** 9 ** 9)]"), "multi_turn_base", "multiple")
    items = few(scored)
    found = scored.score(Recipe.of([model]), items={"multiple": items["multiple"]})
    assert found.categories["multiple"].score == 0
    # Calls of several turns are read in threads, which nothing interrupts.
    with pytest.raises(EvaluationError, match="computed without end over what the model said"):
        scored.score(Recipe.of([model]), items={"multi_turn_base": items["multi_turn_base"]})


def test_handlers_are_named_or_those_of_the_ingredient_with_most_parts(tmp_path: Path) -> None:
    paths = [save_tokenizer(tmp_path / name) for name in ("mine", "watt-tool-8B", "models--Qwen--Qwen3-8B")]
    scored = evaluator(StandIn(paths, lambda _: "[f(x=1)]"), "live_relevance")
    handlers = (None, "watt-ai/watt-tool-8B", "Qwen/Qwen3-8B")
    assert scored.handlers == handlers
    weights = [("0.4", "0.3", "0.3"), ("0.2", "0.5", "0.3"), ("0.1", "0.4", "0.5"), ("0.2", "0.4", "0.4")]
    chosen = [scored.handler_of(Recipe.of(dict(zip(paths, one, strict=True)))) for one in weights]
    assert chosen == [*handlers, handlers[1]]
    assert scored.identity["handler"] == {
        "mine": "chat template",
        "watt-tool-8B": "watt-ai/watt-tool-8B",
        "models--Qwen--Qwen3-8B": "Qwen/Qwen3-8B",
    }
    found = scored.score(Recipe.of({paths[1]: "1"}), items=few(scored))
    assert "asked by the handler of `watt-ai/watt-tool-8B`" in found.notes[0]
    prompts = scored.soup.client.prompts  # type: ignore[attr-defined]
    assert all("<|start_header_id|>assistant" in prompt for prompt in prompts)
    named = evaluator(StandIn(paths, lambda _: ""), "multiple", handler="Qwen/Qwen3-8B-FC")
    assert named.identity["handler"] == "Qwen/Qwen3-8B-FC"
    assert {*named.item_keys()["multiple"].values()}.isdisjoint(
        evaluator(StandIn(paths, lambda _: ""), "multiple").item_keys()["multiple"].values()
    )


@pytest.mark.parametrize(
    ("handler", "told"),
    [
        ("Qwen/Qwen3-8", "BFCL has no model.*did you mean.*Qwen/Qwen3-8B"),
        ("gpt-5-mini-2025-08-07-FC", "through its maker's service"),
        ("Qwen/Qwen3-8B-FC", "`format_sensitivity` is about prompts"),
    ],
)
def test_handlers_that_cannot_be_used_are_refused(model: str, handler: str, told: str) -> None:
    with pytest.raises(EvaluationError, match=f"(?s){told}"):
        evaluator(StandIn([model], lambda _: ""), FORMAT_SENSITIVITY, handler=handler)
