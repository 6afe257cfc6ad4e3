"""A real model in other processes: opened there by its description, the same scores as in this one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.landscapes import search_with

from soce.evaluate.described import describe_evaluator
from soce.evaluate.kinds import open_evaluator
from soce.evaluate.options import EvaluatorOptions
from soce.exceptions import EvaluationError
from soce.search.executors.processes import ProcessExecutor
from soce.search.measure import measure_scores
from soce.search.options import SearchOptions
from soce.search.pool import Pool
from soce.selection.weights import WeightGrid


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.filterwarnings("ignore")  # transformers' own
def test_a_model_in_two_processes_gives_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from tests.characters import save_characters, save_choices
    from tests.models import save

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    paths = {}
    for name, path in zip("abc", save(tmp_path / "home", "llama-untied", "float32", range(3)), strict=True):
        save_characters(path)
        paths[name] = str(path)
    save_choices(tmp_path / "tasks.jsonl")
    tasks, options = str(tmp_path / "tasks.jsonl"), EvaluatorOptions(device="cpu")
    pool = Pool(paths, ("a", "b", "c"), WeightGrid(3, whole=4))
    inline = open_evaluator(tasks, [*paths.values()], options)
    expected = search_with(pool, inline, folder=tmp_path / "inline", draws=100)
    inline.close()
    described = describe_evaluator(tasks, [*paths.values()], options)
    with pytest.raises(EvaluationError, match="here without a model"):
        described.score(pool.recipe({"a": 1}))
    with ProcessExecutor(2) as executor:  # loads the models once for both steps
        chosen = SearchOptions(executor=executor)
        measure_scores(pool.paths, described, folder=tmp_path / "two", options=chosen)
        found = search_with(pool, described, folder=tmp_path / "two", draws=100, executor=executor)
    assert found.n_evaluated == expected.n_evaluated - 3
    results = [
        json.loads((tmp_path / name / "result.json").read_text()) | {"n_evaluated": 0, "n_items": 0}
        for name in ("inline", "two")
    ]
    assert results[0] == results[1]
