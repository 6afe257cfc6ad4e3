"""`--held-out lm-eval:TASK=CATEGORY`: BLEU of one task to choose by, of another to report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.tiny_models import save_models, write_tasks

from soce.cli.search import search
from soce.cli.select import select

pytest.importorskip("torch")
pytest.importorskip("lm_eval")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a directory with two experts and a task whose held-out part has another name."""
    import datasets

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    models = dict(zip("ab", save_models(tmp_path), strict=True))
    tasks = write_tasks(tmp_path / "tasks")
    for name, data, later in (
        ("tiny_translation", "translation", "tiny_later"),
        ("tiny_pair", "pair", "later_pair"),
    ):
        config = json.loads((tasks / f"{name}.yaml").read_text())
        rows = (tasks / f"{data}.jsonl").read_text().replace('"q": "', '"q": "a')
        (tasks / f"{later}.jsonl").write_text(rows)
        config |= {"task": later, "dataset_kwargs": {"data_files": {"test": str(tasks / f"{later}.jsonl")}}}
        (tasks / f"{later}.yaml").write_text(json.dumps(config))
    Path("scores.csv").write_text("model,tiny_translation,tiny_pair\na,2,1\nb,1,2\nc,0,0\n")
    paths = [f"-c{name}={path}" for name, path in models.items()]
    chosen = ["--rule", "explicit", "--category", "tiny_translation", "--category", "tiny_pair"]
    found = CliRunner().invoke(
        select, ["scores.csv", *paths, *chosen, "--step", "0.5", "--output", "selection.yaml"]
    )
    assert found.exit_code == 0, found.stderr
    return tmp_path


def searched(*arguments: str) -> tuple[int, str]:
    options = ("--include-path", "tasks", "--evaluator-metric", "chrf f1 acc", "-o", "run", "--device", "cpu")
    found = CliRunner().invoke(search, ["selection.yaml", *arguments, *options])
    assert found.exception is None or isinstance(found.exception, SystemExit), found.exc_info
    return found.exit_code, found.stderr


CHOSEN = ("-e", "lm-eval:tiny_translation,tiny_pair")


def test_soups_are_reported_on_tasks_of_another_name(here: Path) -> None:
    code, stderr = searched(*CHOSEN, "--held-out", "lm-eval:tiny_later=tiny_translation,later_pair=tiny_pair")
    assert code == 0, stderr
    result = json.loads(Path("run", "result.json").read_text())
    assert not result["optimistic"]
    assert {one["interval"]["fewest"] for one in result["comparisons"] if one["interval"]} == {12}


def test_a_category_is_chosen_on_and_reported_by_one_metric(here: Path) -> None:
    code, stderr = searched(*CHOSEN, "--held-out", "lm-eval:tiny_later=tiny_translation,tiny_shots=tiny_pair")
    assert code == 1
    told = "category `tiny_pair` is chosen on by `f1` and reported by the mean of outcomes"
    assert told in " ".join(stderr.split())


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        ("lm-eval:tiny_latr=tiny_translation,tiny_pair", "did you mean `tiny_later`"),
        ("lm-eval:tiny_later=tiny_translatoin,tiny_pair", "did you mean `tiny_translation`"),
        ("lm-eval:tiny=tiny_translation", "`tiny` is a group or tag"),
        ("lm-eval:tiny_later=", "is no TASK=CATEGORY"),
    ],
)
def test_unknown_names_are_refused_before_a_model_is_loaded(
    here: Path, monkeypatch: pytest.MonkeyPatch, tasks: str, words: str
) -> None:
    def load(*_: object, **__: object) -> None:
        pytest.fail("a model was loaded")

    monkeypatch.setattr("soce.evaluate.live.soup_model.SoupModel.__init__", load)
    code, stderr = searched(*CHOSEN, "--held-out", tasks)
    assert code in {1, 2}
    assert words in " ".join(stderr.split())
