"""lm-evaluation-harness in process: its command line's numbers, none of its caches, no output of its own."""

import json
import os
import subprocess
import sys
from functools import cached_property
from pathlib import Path

import pytest
from tests.tiny_models import save_models, write_tasks

import soce
from soce.evaluate.evaluation import Evaluation, Evaluator
from soce.evaluate.lm_eval.options import LmEvalOptions
from soce.evaluate.lm_eval.tasks import choose_metric
from soce.exceptions import EvaluationError
from soce.recipes.model import Recipe

pytest.importorskip("torch")

METRIC = "perplexity word_perplexity acc exact_match,first"
TASKS = ["tiny", "tiny_text", "tiny_surprise"]


def test_without_the_harness_one_line_says_what_to_install(monkeypatch):
    from soce.evaluate.lm_eval.evaluator import LmEvalEvaluator

    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(EvaluationError) as caught:
        LmEvalEvaluator(["nowhere"], ["task"])
    assert "needs lm-evaluation-harness" in str(caught.value)
    assert "pip install 'soce[lm-eval]'" in str(caught.value)


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [("acc_norm", ("acc_norm", "none")), ("acc,none", ("acc", "none")), ("f1 acc", ("acc", "none"))],
)
def test_the_first_metric_is_taken_that_the_task_has(wanted, chosen):
    assert choose_metric("t", ["acc", "acc_norm"], ["none"], wanted) == chosen


@pytest.mark.parametrize(
    ("metrics", "filters", "wanted", "message"),
    [
        (["acc", "acc_norm"], ["none"], None, "has several metrics: `acc,none`, `acc_norm,none`"),
        (["em"], ["strict", "loose"], "em", "is computed after several filters: `em,strict`, `em,loose`"),
        (["acc"], ["none"], "f1", "has no metric `f1`"),
        ([], ["none"], None, "has no metric"),
    ],
)
def test_an_open_choice_of_metric_is_refused(metrics, filters, wanted, message):
    with pytest.raises(EvaluationError) as caught:
        choose_metric("t", metrics, filters, wanted)
    assert message in str(caught.value)


@pytest.fixture(scope="module")
def harness(tmp_path_factory):
    """Models, tasks and an evaluator that all tests share."""
    pytest.importorskip("lm_eval")
    import datasets
    import torch

    home = tmp_path_factory.mktemp("harness")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", home / "cache")
        models, tasks = save_models(home), write_tasks(home / "tasks")
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # more are slower on models of this size
        yield Shared(home, models, tasks)
        torch.set_num_threads(threads)


class Shared:
    def __init__(self, home, models, tasks):
        self.home, self.models, self.tasks = home, models, tasks
        self.first = Recipe.of({models[0]: 3, models[1]: 1})
        self.second = Recipe.of({models[0]: 1, models[1]: 3})

    @cached_property
    def evaluator(self):
        return self.make()

    @cached_property
    def scored(self):
        """What the first recipe scores."""
        return self.evaluator.score(self.first)

    @cached_property
    def translations(self):
        """Tasks whose references are, in part, what the first recipe says."""
        tasks = write_tasks(self.home / "translations")
        evaluator = self.make(["tiny_translation"], soup=self.evaluator.soup, metric="chrf")
        self.evaluator.score(self.first)
        said = [pair[1] for pair in said_of(evaluator, "tiny_translation", "chrf")]
        rows = [json.loads(line) for line in (tasks / "translation.jsonl").read_text().splitlines()]
        for place, row in enumerate(rows):
            row["a"] = said[place][place:] + row["a"][: 2 * place]
        (tasks / "translation.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return tasks

    def make(self, tasks=TASKS, **options):
        from soce.evaluate.lm_eval.evaluator import LmEvalEvaluator

        soup = options.pop("soup", self.models)
        options = {"include_path": self.tasks, "metric": METRIC, "batch_size": 8, **options}
        return LmEvalEvaluator(soup, tasks, LmEvalOptions(**options))

    def written(self, recipe):
        path = self.home / recipe.id
        if not path.exists():
            soce.merge(recipe, output=path, options=soce.MergeOptions(config_from=self.models[0], sync=False))
        return path


def said_of(evaluator, task, metric):
    """Return what the harness hands to a metric for each document."""
    results, _ = evaluator._run({evaluator.tasks[0]: tuple(range(12))}, lambda *_: None)
    return [sample[metric] for sample in results["samples"][task]]


def numbers(results):
    """Return scores and outcomes as the harness itself reports them."""
    scores = {task: row for task, row in results["results"].items() if task in results["n-samples"]}
    outcomes = {
        task: {
            str(sample["doc_id"]): sample[metric]
            for sample in samples
            for metric in sample["metrics"]
            if f"{metric},{sample['filter']}" in KEYS
        }
        for task, samples in results["samples"].items()
    }
    return scores, outcomes


KEYS = {"acc,none", "exact_match,first"}


def assert_same(found: Evaluation, results):
    scores, outcomes = numbers(results)
    assert list(found.categories) == ["tiny_choice", "tiny_said", "tiny_shots", "tiny_text", "tiny_surprise"]
    assert found.items is not None
    for task in ("tiny_choice", "tiny_shots"):
        assert found.categories[task].score == scores[task]["acc,none"], "to the bit"
        assert dict(found.items[task]) == outcomes[task]
    assert found.categories["tiny_said"].score == scores["tiny_said"]["exact_match,first"]
    assert dict(found.items["tiny_said"]) == outcomes["tiny_said"]
    assert found.categories["tiny_text"].score == scores["tiny_text"]["word_perplexity,none"], "no mean"
    assert found.categories["tiny_surprise"].score == pytest.approx(
        scores["tiny_surprise"]["perplexity,none"], rel=1e-12
    )


def test_a_soup_scores_what_the_harness_says_of_its_checkpoint_and_swaps_leave_no_trace(harness, capfd):
    first = harness.scored
    second = harness.evaluator.score(harness.second)
    assert harness.evaluator.score(harness.first) == first, "every number again"
    assert second != first
    assert capfd.readouterr() == ("", ""), "and nothing was printed"

    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    for recipe, found in ((harness.first, first), (harness.second, second)):
        expected = simple_evaluate(
            HFLM(pretrained=str(harness.written(recipe)), batch_size=8, device="cpu"),
            tasks=TASKS,
            task_manager=TaskManager(include_path=str(harness.tasks), include_defaults=False),
            bootstrap_iters=0,
        )
        assert_same(found, expected)


def test_the_evaluation_says_directions_items_and_what_is_no_mean(harness):
    found = harness.scored
    assert found.higher_is_better == {
        "tiny_choice": True,
        "tiny_said": True,
        "tiny_shots": True,
        "tiny_text": False,
        "tiny_surprise": False,
    }
    assert found.scale is None, "perplexities are no shares"
    assert found.geometric == {"tiny_surprise"}
    assert "tiny_text" not in found.items
    assert list(found.corpora) == ["tiny_text"]
    assert found.categories["tiny_text"].n == 12
    assert isinstance(harness.evaluator, Evaluator)
    assert Evaluation.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_shares_are_of_the_unit_scale(harness):
    evaluator = harness.make(["tiny_choice", "tiny_shots"], soup=harness.evaluator.soup)
    assert evaluator.score(harness.first).scale == "unit"


def test_groups_are_no_categories_not_even_groups_in_groups(harness):
    assert list(harness.evaluator.item_ids()) == [
        "tiny_choice",
        "tiny_said",
        "tiny_shots",
        "tiny_text",
        "tiny_surprise",
    ]


def test_some_items_score_what_they_score_among_all(harness):
    everything = harness.scored
    some = {"tiny_shots": ["10", "3", "11"], "tiny_choice": ["0"], "tiny_surprise": ["5", "4"]}
    found = harness.evaluator.score(harness.first, items=some)
    assert {name: list(outcomes) for name, outcomes in found.items.items()} == {
        "tiny_choice": ["0"],
        "tiny_shots": ["3", "10", "11"],
        "tiny_surprise": ["4", "5"],
    }
    expected = everything.restricted(some)
    for name in some:
        assert found.items[name] == pytest.approx(expected.items[name], rel=1e-5)
        assert found.categories[name].score == pytest.approx(expected.categories[name].score, rel=1e-5)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ({"tiny": ["0"]}, "there is no category `tiny`"),
        ({"tiny_choice": ["12"]}, "category `tiny_choice` has no item `12`"),
        ({"tiny_choice": []}, "no item of category `tiny_choice`"),
    ],
)
def test_items_that_do_not_exist_are_refused(harness, items, message):
    with pytest.raises(EvaluationError, match=message):
        harness.evaluator.score(harness.first, items=items)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"settings": {"use_cache": "cache.db"}}, "`use_cache` cannot be set here"),
        ({"settings": {"cache_requests": True}}, "`cache_requests` cannot be set here"),
        ({"settings": {"dtype": "float16"}}, "`dtype` cannot be set here"),
        ({"settings": {"max_lenght": 10}}, "there is no setting `max_lenght`"),
        ({"limit": 0}, "`limit` is 0"),
        ({"batch_size": 0}, "`batch_size` is 0"),
        ({"num_fewshot": -1}, "`num_fewshot` is -1"),
        ({"fewshot_as_multiturn": True}, "needs `apply_chat_template`"),
        ({"include_path": "/no/such/folder"}, "there is no such directory of tasks"),
        ({"metric": None}, "has several metrics"),
        ({"metric": "bleu"}, "task `tiny_choice` has no metric `bleu`"),
        ({"apply_chat_template": True}, "lm-evaluation-harness cannot load tiny"),
    ],
)
def test_settings_that_make_no_sense_are_refused(harness, options, message):
    with pytest.raises(EvaluationError) as caught:
        harness.make(soup=harness.evaluator.soup, **options)
    assert message in str(caught.value)


def test_tasks_are_names_in_a_list(harness):
    with pytest.raises(EvaluationError, match="the tasks are one text"):
        harness.make("tiny", soup=harness.evaluator.soup)
    with pytest.raises(EvaluationError, match="no task is named"):
        harness.make([], soup=harness.evaluator.soup)


@pytest.mark.slow
def test_an_unknown_task_is_refused_with_names_alike(harness):
    with pytest.raises(EvaluationError) as caught:  # slow: all built-in tasks are looked through
        harness.make(["tiny_chioce"], soup=harness.evaluator.soup)
    assert "there is no task `tiny_chioce`" in str(caught.value)
    assert "tiny_choice" in str(caught.value)


def test_data_that_are_not_there_are_one_line(harness, tmp_path):
    tasks = write_tasks(tmp_path / "tasks")
    (tasks / "choice.jsonl").unlink()
    with pytest.raises(EvaluationError) as caught:
        harness.make(["tiny_choice"], soup=harness.evaluator.soup, include_path=tasks)
    assert "cannot load tiny_choice" in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_the_identity_follows_the_documents_not_their_place(harness, tmp_path):
    def digests(tasks, **options):
        made = harness.make(soup=harness.evaluator.soup, include_path=tasks, **options)
        return {name: held["digest"] for name, held in made.identity["tasks"].items()}

    moved = write_tasks(tmp_path / "tasks")
    before = digests(harness.tasks)
    assert digests(moved) == before
    text = (moved / "choice.jsonl").read_text()
    (moved / "choice.jsonl").write_text(text.replace("a", "b", 1))
    edited = digests(moved)
    assert {name for name in before if edited[name] != before[name]} == {"tiny_choice"}
    shots = digests(harness.tasks, num_fewshot=1)
    assert shots["tiny_shots"] != before["tiny_shots"]
    seeded = digests(harness.tasks, seed=5)
    assert {name for name in before if seeded[name] != before[name]} == {"tiny_shots"}
    json.dumps(harness.evaluator.identity)


def test_a_document_is_known_by_what_it_asks(harness):
    contents = harness.evaluator.item_contents()
    assert {name: tuple(told) for name, told in contents.items()} == harness.evaluator.item_ids()
    assert contents["tiny_choice"] == contents["tiny_shots"], "whatever examples stand before it"
    assert contents["tiny_said"] == contents["tiny_surprise"], "however it is scored"
    different = [contents[name] for name in ("tiny_choice", "tiny_said", "tiny_text")]
    assert len({content for told in different for content in told.values()}) == 3 * 12


def test_a_limit_takes_the_first_documents(harness):
    evaluator = harness.make(["tiny_choice", "tiny_shots"], soup=harness.evaluator.soup, limit=5)
    assert evaluator.item_ids()["tiny_choice"] == ("0", "1", "2", "3", "4")
    everything = harness.scored
    found = evaluator.score(harness.first)
    for name, ids in evaluator.item_ids().items():
        assert found.items[name] == {item: everything.items[name][item] for item in ids}


def test_progress_counts_answers_and_may_stop(harness):
    seen = []
    harness.evaluator.score(harness.first, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert len(set(seen)) > 20
    assert seen[-1][0] == seen[-1][1] == 12 * (3 + 3 + 1 + 1 + 1)

    class StopNowError(Exception):
        pass

    def stop(done, total):
        raise StopNowError

    with pytest.raises(StopNowError):
        harness.evaluator.score(harness.first, on_progress=stop)


def test_generators_are_left_as_they_were(harness):
    import random

    import numpy as np
    import torch

    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    harness.evaluator.score(harness.first)
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before


def test_batches_that_do_not_fit_are_halved_and_told(harness, monkeypatch):
    import torch

    evaluator = harness.make(["tiny_choice"], soup=harness.evaluator.soup)
    model = evaluator._model
    call = model._model_call

    def small_memory(inputs, *rest, **named):
        if len(inputs) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return call(inputs, *rest, **named)

    monkeypatch.setattr(model, "_model_call", small_memory)
    found = evaluator.score(harness.first)
    assert found.notes == (
        "8 requests at once did not fit into memory; 4 were tried",
        "4 requests at once did not fit into memory; 2 were tried",
    )
    assert found.items["tiny_choice"] == harness.scored.items["tiny_choice"]
    assert evaluator.score(harness.first).notes == (), "it is remembered"


def test_what_a_task_raises_is_one_line(harness, monkeypatch):
    evaluator = harness.make(["tiny_choice"], soup=harness.evaluator.soup)

    def broken(*_):
        raise KeyError("gold")

    monkeypatch.setattr(evaluator.tasks[0].task, "process_results", broken)
    with pytest.raises(EvaluationError, match="cannot score this soup: KeyError: 'gold'"):
        evaluator.score(harness.first)


@pytest.mark.parametrize("value", [float("nan"), None, (1, 2)])
def test_a_hole_in_the_outcomes_is_refused(harness, monkeypatch, value):
    evaluator = harness.make(["tiny_choice"], soup=harness.evaluator.soup)
    process = evaluator.tasks[0].task.process_results

    def holey(doc, results):
        return {**process(doc, results), "acc": value}

    monkeypatch.setattr(evaluator.tasks[0].task, "process_results", holey)
    monkeypatch.setattr(evaluator.tasks[0].task, "aggregation", dict)  # the mean of these raises
    monkeypatch.setattr("lm_eval.evaluator_utils.mean", lambda values: 0.0)
    with pytest.raises(EvaluationError, match="task `tiny_choice`, item 0: the harness gives `acc` as"):
        evaluator.score(harness.first)


def test_a_model_that_the_harness_would_change_is_refused(harness, monkeypatch):
    import torch

    soup = soce.evaluate.live.soup_model.SoupModel(harness.models)

    def tie():
        soup.model.lm_head.weight = soup.model.model.embed_tokens.weight

    monkeypatch.setattr(soup.model, "tie_weights", tie)
    with pytest.raises(EvaluationError, match=r"would score another model: it changed `lm_head\.weight`"):
        harness.make(soup=soup)

    def write():
        with torch.no_grad():
            soup.model.model.norm.weight.add_(1)

    monkeypatch.setattr(soup.model, "tie_weights", write)
    with pytest.raises(EvaluationError, match=r"it changed `model\.norm\.weight`"):
        harness.make(soup=soup)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_tied_models_are_left_as_they_are(harness, tmp_path, dtype):
    models = save_models(tmp_path, dtype=dtype, tied=True)
    evaluator = harness.make(["tiny_choice"], soup=models)
    recipe = Recipe.of(models)
    first = evaluator.score(recipe)
    evaluator.score(Recipe.of({models[0]: 1}))
    assert evaluator.score(recipe) == first
    evaluator.close()


@pytest.mark.slow
def test_the_numbers_are_those_of_the_command_line(harness, tmp_path):
    found = harness.scored
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "HF_HOME": str(tmp_path / "hf"),
        "CUDA_VISIBLE_DEVICES": "",
    }
    options = {
        "--model": "hf",
        "--model_args": f"pretrained={harness.written(harness.first)}",
        "--tasks": ",".join(TASKS),
        "--include_path": str(harness.tasks),
        "--batch_size": "8",
        "--device": "cpu",
        "--output_path": str(tmp_path / "out"),
    }
    words = [word for option in options.items() for word in option]
    subprocess.run(
        [sys.executable, "-m", "lm_eval", "run", *words, "--log_samples"],
        env=environment,
        check=True,
        capture_output=True,
    )
    (path,) = Path(tmp_path, "out").rglob("results_*.json")
    results = json.loads(path.read_text())
    stamp = path.stem.removeprefix("results")
    results["samples"] = {
        task: [
            json.loads(line)
            for line in path.with_name(f"samples_{task}{stamp}.jsonl").read_text().splitlines()
        ]
        for task in results["n-samples"]
    }
    assert_same(found, results)


# ---- scores that are no mean of documents

CORPORA = [
    ("tiny_translation", "bleu"),
    ("tiny_translation", "chrf"),
    ("tiny_translation", "ter"),
    ("tiny_pair", "f1"),
    ("tiny_pair", "mcc"),
    ("tiny_text", "word_perplexity"),
    ("tiny_text", "bits_per_byte"),
]


@pytest.mark.parametrize(("task", "metric"), CORPORA)
def test_scores_of_sums_are_the_harness_s_on_all_documents_and_on_some(harness, task, metric):
    evaluator = harness.make(
        [task], soup=harness.evaluator.soup, metric=metric, include_path=harness.translations
    )
    everything = evaluator.score(harness.first)
    assert everything.items is None
    assert everything.scale is None
    assert everything.item_ids() == evaluator.item_ids() == {task: tuple(map(str, range(12)))}
    assert everything.categories[task].stderr > 0
    some = {task: ["7", "2", "3", "11"]}
    theirs = evaluator._run({evaluator.tasks[0]: (2, 3, 7, 11)}, lambda *_: None)[0]
    expected = theirs["results"][task][f"{metric},none"]
    assert everything.restricted(some).categories[task].score == pytest.approx(expected, rel=1e-5)
    assert evaluator.score(harness.first, items=some).categories[task].score == pytest.approx(expected)


def test_translations_are_scored_by_sacrebleu(harness):
    metrics = pytest.importorskip("sacrebleu.metrics")
    evaluator = harness.make(
        ["tiny_translation"], soup=harness.evaluator.soup, metric="chrf", include_path=harness.translations
    )
    found = evaluator.score(harness.first)
    references, predictions = zip(*said_of(evaluator, "tiny_translation", "chrf"), strict=True)
    assert len({*predictions}) > 6
    expected = metrics.CHRF().corpus_score([*predictions], [[*references]]).score
    assert found.categories["tiny_translation"].score == expected > 0
    assert evaluator.identity["tasks"]["tiny_translation"]["corpus"]["name"] == "chrf"


def test_a_brier_score_is_a_mean_of_documents(harness):
    evaluator = harness.make(["tiny_pair"], soup=harness.evaluator.soup, metric="brier_score")
    found = evaluator.score(harness.first)
    theirs = evaluator._run({evaluator.tasks[0]: tuple(range(12))}, lambda *_: None)[0]
    assert found.categories["tiny_pair"].score == pytest.approx(
        theirs["results"]["tiny_pair"]["brier_score,none"], rel=1e-12
    )
    assert len({*found.items["tiny_pair"].values()}) > 6


def test_of_a_score_that_nobody_knows_the_way_to_there_are_no_items(harness):
    evaluator = harness.make(["tiny_pair", "tiny_shots"], soup=harness.evaluator.soup, metric="acc")
    assert evaluator.item_ids() is None, "the median is no mean, and no function of sums"
    found = evaluator.score(harness.first)
    assert found.item_ids() == {"tiny_shots": tuple(map(str, range(12)))}
    assert found.categories["tiny_pair"].stderr is None
    assert evaluator.score(harness.first, items={"tiny_shots": ["3"]}).item_ids() == {"tiny_shots": ("3",)}
    with pytest.raises(EvaluationError, match="has no item `12`"):
        evaluator.score(harness.first, items={"tiny_pair": ["12"]})


def test_f1_of_three_answers_is_not_taken_for_that_of_two():
    pytest.importorskip("lm_eval")
    from lm_eval.api import metrics

    from soce.evaluate.lm_eval.aggregations import aggregation_of

    for function in (metrics.f1_score, metrics.matthews_corrcoef):
        assert aggregation_of(function, 2) is not None
        assert aggregation_of(function, 3) is None
        assert aggregation_of(function, None) is None
    assert aggregation_of(metrics.median, None) is None
    assert aggregation_of(lambda values: metrics.mean(values), None) is None


def test_a_score_that_does_not_follow_from_its_documents_is_refused(harness, monkeypatch):
    evaluator = harness.make(["tiny_text"], soup=harness.evaluator.soup)
    run = evaluator._run

    def wrong(*given):
        results, notes = run(*given)
        results["results"]["tiny_text"]["word_perplexity,none"] *= 1.001
        return results, notes

    monkeypatch.setattr(evaluator, "_run", wrong)
    with pytest.raises(EvaluationError, match="task `tiny_text`: its documents give"):
        evaluator.score(harness.first)


# ---- categories of another name


def test_a_task_may_be_a_category_of_another_name(harness):
    names = {"tiny_choice": "quiz", str(harness.tasks / "tiny_shots.yaml"): "shots"}
    evaluator = harness.make([*names], soup=harness.evaluator.soup, categories=names)
    assert [*evaluator.item_ids()] == ["quiz", "shots"]
    found = evaluator.score(harness.first)
    for category, task in (("quiz", "tiny_choice"), ("shots", "tiny_shots")):
        assert found.items[category] == harness.scored.items[task]
        assert found.categories[category] == harness.scored.categories[task]
    tasks = evaluator.identity["tasks"]
    assert {name: one["category"] for name, one in tasks.items()} == {
        "tiny_choice": "quiz",
        "tiny_shots": "shots",
    }
    plain = harness.make([*names], soup=harness.evaluator.soup)
    assert evaluator.identity != plain.identity
    same = harness.make(
        ["tiny_choice"], soup=harness.evaluator.soup, categories={"tiny_choice": "tiny_choice"}
    )
    assert same.identity == harness.make(["tiny_choice"], soup=harness.evaluator.soup).identity


@pytest.mark.parametrize(
    ("tasks", "categories", "message"),
    [
        (["tiny_choice"], {"tiny_chioce": "quiz"}, "`tiny_chioce`, which is given a category, is no task"),
        (["tiny"], {"tiny": "quiz"}, "`tiny` is a group or tag"),
        (["tiny_choice", "tiny_said"], {"tiny_choice": "tiny_said"}, "2 tasks are the category `tiny_said`"),
        (["tiny"], {"tiny_choice": "quiz"}, "`tiny_choice`, which is given a category, is no task"),
    ],
)
def test_categories_are_checked_before_anything_is_loaded(harness, tasks, categories, message):
    from soce.evaluate.lm_eval.tasks import check_tasks

    options = LmEvalOptions(include_path=harness.tasks, categories=categories)
    with pytest.raises(EvaluationError) as caught:
        check_tasks(tasks, options)
    assert message in str(caught.value)
    with pytest.raises(EvaluationError) as caught:
        harness.make(tasks, soup=harness.evaluator.soup, categories=categories)
    assert message in str(caught.value)


def test_the_tasks_of_a_group_are_known_before_they_are_loaded(harness, tmp_path):
    from soce.evaluate.lm_eval.tasks import check_tasks

    tasks = write_tasks(tmp_path / "tasks")
    inline = {"group": "inline", "task": ["tiny_choice", {"task": "tiny_said", "num_fewshot": 1}]}
    (tasks / "inline.yaml").write_text(json.dumps(inline))
    tagged = json.loads((tasks / "tiny_text.yaml").read_text())
    (tasks / "tiny_text.yaml").write_text(json.dumps({**tagged, "tag": "texts"}))
    options = LmEvalOptions(include_path=tasks)
    assert sorted(check_tasks(["tiny", "texts"], options)) == [
        "tiny_choice",
        "tiny_said",
        "tiny_shots",
        "tiny_text",
    ]
    assert check_tasks(["tiny_choice", str(tasks / "tiny_said.yaml")], options) is None
    assert check_tasks(["inline"], options) is None
