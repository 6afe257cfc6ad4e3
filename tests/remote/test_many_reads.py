"""What reads ingredients again and again: a live model, a search, a doctor. They are downloaded first."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.hubs import Hub

from soce.exceptions import SoceError
from soce.merging.doctor import diagnose
from soce.merging.options import MergeOptions
from soce.recipes.model import Recipe
from soce.remote.here import bring, check_here
from soce.search.identity import ingredient_identities
from soce.search.pool import Pool

pytest.importorskip("huggingface_hub")


def n_kept() -> int:
    """Return how many files of tensors the Hub's cache has."""
    return len([*Path(os.environ["HF_HOME"]).rglob("snapshots/*/*.safetensors")])


def test_a_live_model_takes_recipes_by_either_name(served: Hub) -> None:
    pytest.importorskip("torch")
    from soce.evaluate.live.mixing import SoupMixer

    mixer = SoupMixer(["hf://org/a", "org/b"], MergeOptions())
    assert n_kept() == 4
    local = bring(["org/a", "org/b"])
    assert list(mixer.paths) == local
    for first, second in (("hf://org/a", "hf://org/b"), local):
        assert mixer.rows(Recipe.of({first: 1, second: 3}))["w0"] == ((1, 3), 4)


def test_a_pool_comes_here_as_a_whole(served: Hub) -> None:
    pool = Pool({"a": "org/a", "b": "hf://org/b"}, ("a",))
    assert [*pool.paths.values()] == ["org/a", "hf://org/b"]
    with pytest.raises(SoceError, match="bytes of it are to be downloaded") as caught:
        check_here([*pool.paths.values()])
    assert "hf download" in (caught.value.problems[0].hint or "")
    assert n_kept() == 0
    here = pool.here()
    assert n_kept() == 4
    assert ingredient_identities(here.paths).keys() == {"a", "b"}
    check_here([*here.paths.values()])
    assert here.here() == here


def test_a_doctor_looks_at_every_parameter(served: Hub) -> None:
    found = diagnose(["org/a", "org/b"])
    assert [checkpoint.n_parameters for checkpoint in found.checkpoints] == [4, 4]
    assert n_kept() == 4


@pytest.mark.slow
def test_an_experiment_names_models_of_the_hub(served: Hub) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("optuna")
    from tests.tiny_models import save_models, write_scores_and_choices

    from soce.cli.run import run

    for place, path in enumerate(save_models(served.root / "tiny", 3)):
        Path(path).rename(served.root / f"org/m{place}")
    write_scores_and_choices(Path())
    Path("soce.yaml").write_text(
        "scores: scores.csv\nmodels: {m0: org/m0, m1: 'hf://org/m1', m2: org/m2@main}\n"
        "select: {threshold: 0.9, step: '1/4'}\nevaluate: {tasks: tasks.jsonl}\noutput: run\n"
    )
    told = CliRunner().invoke(run, ["--dry-run"])
    assert told.exit_code == 1
    assert "bytes of it are to be downloaded" in told.stderr
    assert n_kept() == 0
    found = CliRunner().invoke(run)
    assert found.exit_code == 0, found.stderr
    assert "are downloaded" in found.stderr
    assert n_kept() == 3
    assert CliRunner().invoke(run, ["--dry-run"]).exit_code == 0
    assert Path("run/soup/soce.json").is_file()
