"""What is kept of documents of lm-evaluation-harness: what was said, why it ended, and what it is filed under."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.tiny_models import save_models, write_tasks

from soce.evaluate.answers import prompt_digest
from soce.evaluate.evaluation import Evaluation
from soce.evaluate.kinds import open_evaluator, unused_options
from soce.evaluate.lm_eval.options import LmEvalOptions
from soce.evaluate.options import EvaluatorOptions
from soce.exceptions import EvaluationError
from soce.recipes.model import Recipe

pytest.importorskip("torch")
pytest.importorskip("lm_eval")

METRIC = "perplexity word_perplexity acc exact_match,first chrf"
TASKS = ["tiny", "tiny_text", "tiny_surprise", "tiny_translation"]
PROMPTED = {"tiny_choice", "tiny_said", "tiny_shots", "tiny_surprise", "tiny_translation"}
TEMPLATE = (
    "{% for message in messages %}{{ message.role }}: {{ message.content }}. {% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


class Shared:
    """Models, tasks, and evaluators of one live model."""

    def __init__(self, home):
        from soce.evaluate.live.soup_model import SoupModel

        self.models, self.tasks = save_models(home), write_tasks(home / "tasks")
        self.soup = SoupModel(self.models)
        self.soup.tokenizer.chat_template = TEMPLATE
        self.recipe = Recipe.of({self.models[0]: 3, self.models[1]: 1})

    def make(self, tasks=TASKS, **options):
        from soce.evaluate.lm_eval.evaluator import LmEvalEvaluator

        options = {"include_path": self.tasks, "metric": METRIC, "batch_size": 5, **options}
        return LmEvalEvaluator(self.soup, tasks, LmEvalOptions(**options))

    def keys(self, tasks=TASKS, **options):
        return self.make(tasks, **options).item_keys()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    import datasets
    import torch

    home = tmp_path_factory.mktemp("answers")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", home / "cache")
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield Shared(home)
        torch.set_num_threads(threads)


# ---- answers


@pytest.mark.parametrize(
    ("options", "n"),
    [
        ({}, 12),
        ({"limit": 5.0}, 5),
        ({"limit": 0.3}, 4),
        ({"system_instruction": "be brief"}, 12),
        ({"apply_chat_template": True, "system_instruction": "be brief"}, 12),
        ({"apply_chat_template": True, "fewshot_as_multiturn": False}, 12),
        ({"num_fewshot": 1, "gen_kwargs": (("max_gen_toks", "4"), ("until", ("e", "a")))}, 12),
    ],
)
def test_answers_are_what_the_harness_logs_with_the_same_options(shared, options, n):
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    held = {"include_path": (str(shared.tasks),), "metric": METRIC, "batch_size": 5, **options}
    evaluator = open_evaluator(f"lm-eval:{','.join(TASKS)}", shared.soup, EvaluatorOptions(**held))
    found = evaluator.score(shared.recipe)
    if "gen_kwargs" in options:
        options = options | {"gen_kwargs": {"max_gen_toks": 4, "until": ["e", "a"]}}
    is_chat = options.get("apply_chat_template", False)
    theirs = simple_evaluate(
        HFLM(pretrained=shared.soup.model, tokenizer=shared.soup.tokenizer, batch_size=5),
        tasks=TASKS,
        task_manager=TaskManager(include_path=str(shared.tasks), include_defaults=False),
        bootstrap_iters=0,
        **{"fewshot_as_multiturn": is_chat, **options},
    )["samples"]
    assert {len(ids) for ids in found.item_ids().values()} == {n}
    prompts = [requests[0].arguments[0] for task in evaluator.tasks for requests in task.requests]
    assert any("user: " in prompt for prompt in prompts) == is_chat
    assert {*found.answers} == {*theirs} == {*found.categories}
    for task, samples in theirs.items():
        for sample in samples:
            answer, said = found.answers[task][str(sample["doc_id"])], [one[0] for one in sample["resps"]]
            assert answer.prompt == prompt_digest(sample["arguments"][0][0])
            assert (answer.text is None) == (answer.ending is None)
            if isinstance(said[0], str):
                assert answer.text == said[0], "before filters"
                assert answer.log_likelihoods == ()
                continue
            logs = tuple(one[0] if isinstance(one, tuple) else one for one in said)
            assert answer.log_likelihoods == logs
            assert (answer.choice is None) == (len(logs) == 1)
            if answer.choice is not None:
                assert found.items[task][str(sample["doc_id"])] == float(answer.choice == sample["target"])
    assert Evaluation.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize("metric", ["acc", "acc_norm"])
def test_the_option_is_the_one_that_the_metric_takes(shared, metric):
    found = shared.make(["tiny_choice"], metric=metric).score(shared.recipe)
    taken = {item: answer.choice for item, answer in found.answers["tiny_choice"].items()}
    assert found.items["tiny_choice"] == {
        item: float(choice == int(item) % 3) for item, choice in taken.items()
    }
    assert len({*taken.values()}) > 1


def test_some_documents_have_the_answers_that_they_have_among_all(shared):
    evaluator = shared.make(["tiny_said", "tiny_translation"])
    some = {"tiny_said": ["7", "2"], "tiny_translation": ["11"]}
    found = evaluator.score(shared.recipe, items=some)
    everything = evaluator.score(shared.recipe).answers
    assert found.answers == {
        name: {item: everything[name][item] for item in sorted(ids)} for name, ids in some.items()
    }


def alone(shared, prompt, *, most, stops):
    """Generate for one prompt, a token at a time, and say why that ended."""
    import torch

    tokenizer, model = shared.soup.tokenizer, shared.soup.model
    row = tokenizer(prompt, return_tensors="pt").input_ids
    start = row.shape[1]
    for _ in range(most):
        with torch.no_grad():
            row = torch.cat([row, model(row).logits[:, -1:].argmax(-1)], dim=1)
        text = tokenizer.decode(row[0, start:])
        if any(stop in text for stop in [*stops, "</s>"]):
            return "stop"
    return "length"


@pytest.mark.parametrize(
    ("stops", "most"), [(["."], 24), (["a", "b0", "e", "7"], 8), (["x", "o"], 16), ([], 24)]
)
def test_texts_end_as_they_would_alone(shared, stops, most):
    evaluator = shared.make(["tiny_translation"], gen_kwargs={"until": stops, "max_gen_toks": most})
    found = evaluator.score(shared.recipe).answers["tiny_translation"]
    (task,) = evaluator.tasks
    prompts = [requests[0].arguments[0] for requests in task.requests]
    ended = [alone(shared, prompt, most=most, stops=stops) for prompt in prompts]
    assert [answer.ending for answer in found.values()] == ended
    if len(stops) > 1:
        assert {*ended} == {"stop", "length"}, "or nothing is shown"


class Speller:
    """A model of the harness as far as endings need it: tokens are letters, capitals are special."""

    def __init__(self, think_end_token=None, ends=()):
        self.think_end_token = think_end_token
        self.model = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=ends))

    def tok_decode(self, tokens, skip_special_tokens=True):
        text = "".join(map(chr, tokens))
        return "".join(letter for letter in text if letter.islower()) if skip_special_tokens else text


@pytest.mark.parametrize(
    ("text", "think_end_token", "ending"),
    [
        ("abcdef", None, "length"),
        ("abqcde", None, "stop"),
        ("abcEde", None, "stop"),
        ("abSTde", None, "stop"),
        ("aqcdzf", "z", "length"),
        ("aqcdzq", "z", "stop"),
        ("aqcdef", "z", "stop"),
        ("aqczef", ord("z"), "length"),
        ("zqczqf", ord("z"), "stop"),
        ("azczzq", ord("z"), "stop"),
        ("abcdef", ord("z"), "length"),
    ],
)
def test_a_text_is_cut_if_it_has_no_end_and_no_stop_outside_of_its_thought(text, think_end_token, ending):
    import torch

    from soce.evaluate.lm_eval.endings import endings_of

    model = Speller(think_end_token, ends=[ord("E")])
    rows = torch.tensor([[ord(letter) for letter in f"qq{text}"]])

    def ended(most, **settings):
        return [*endings_of(model, rows, start=2, most=most, stops=["q", "ST", ""], settings=settings)]

    assert ended(8) == [ending]
    assert ended(9) == ["stop"], "all rows ended before they had to"
    assert ended(8, eos_token_id=[ord("E"), ord("f")]) == ["stop" if "f" in text else ending]


def test_of_several_texts_the_first_is_kept_with_its_ending(shared, tmp_path):
    tasks = write_tasks(tmp_path / "tasks")
    held = json.loads((tasks / "tiny_translation.yaml").read_text())
    sampled = {"until": ["e"], "max_gen_toks": 6, "do_sample": True, "temperature": 3.0}
    sampled["suppress_tokens"] = [0, 1, 3]  # those that no text shows
    held |= {"repeats": 3, "generation_kwargs": sampled}
    (tasks / "tiny_translation.yaml").write_text(json.dumps(held))
    evaluator = shared.make(["tiny_translation"], include_path=tasks)
    answers = evaluator.score(shared.recipe).answers["tiny_translation"]
    for answer in answers.values():
        assert answer.is_cut == (len(answer.text) == 6), "six characters, or cut before an e"
    assert {answer.ending for answer in answers.values()} == {"stop", "length"}


# ---- keys


def test_keys_are_of_every_document_and_differ(shared):
    evaluator = shared.make()
    keys = evaluator.item_keys()
    assert {name: tuple(held) for name, held in keys.items()} == evaluator.item_ids()
    assert len({key for held in keys.values() for key in held.values()}) == len(keys) * 12
    assert not any(path in json.dumps(keys) for path in shared.models)


def test_a_document_keeps_its_key_whatever_else_is_scored(shared, tmp_path):
    keys = shared.keys()
    some = shared.keys(["tiny_shots", "tiny_translation"], limit=5)
    assert some == {name: dict(list(keys[name].items())[:5]) for name in some}, "examples and all"
    assert shared.keys(include_path=write_tasks(tmp_path / "moved"), batch_size=1) == keys
    renamed = shared.keys(["tiny_choice"], categories={"tiny_choice": "quiz"})
    assert renamed == {"quiz": keys["tiny_choice"]}
    copied = json.loads((shared.tasks / "tiny_choice.yaml").read_text()) | {"task": "other_choice"}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "other_choice.yaml").write_text(json.dumps(copied))
    other = shared.keys(["other_choice"], include_path=tmp_path / "other")
    assert other == {"other_choice": keys["tiny_choice"]}


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        ({"num_fewshot": 1}, PROMPTED),
        ({"seed": (0, 1234, 1234, 5)}, {"tiny_shots"}),
        ({"gen_kwargs": "max_gen_toks=5"}, {"tiny_said", "tiny_translation"}),
        ({"metric": METRIC.replace("first", "whole")}, {"tiny_said"}),
        ({"metric": METRIC.replace("acc", "acc_norm acc")}, {"tiny_choice"}),
        ({"system_instruction": "be brief."}, PROMPTED),
        ({"settings": {"max_length": 100}}, None),
        ({"seed": 3}, None),
    ],
)  # fmt: skip
def test_a_setting_changes_the_keys_of_what_it_changes(shared, options, changed):
    before = shared.keys()
    after = shared.keys(**options)
    differ = {name for name in before if before[name] != after[name]}
    assert differ == ({*before} if changed is None else changed)
    assert all(not {*before[name].values()} & {*after[name].values()} for name in differ)


def test_an_edited_document_is_the_only_one_with_another_key(shared, tmp_path):
    before = shared.keys(["tiny_said", "tiny_choice"])
    tasks = write_tasks(tmp_path / "tasks")
    lines = (tasks / "said.jsonl").read_text().splitlines()
    row = json.loads(lines[4])
    lines[4] = json.dumps(row | {"a": "another"})
    (tasks / "said.jsonl").write_text("\n".join([lines[1], lines[0], *lines[2:]]) + "\n")
    after = shared.keys(["tiny_said", "tiny_choice"], include_path=tasks)
    assert after["tiny_choice"] == before["tiny_choice"]
    assert {*before["tiny_said"].values()} - {*after["tiny_said"].values()} == {before["tiny_said"]["4"]}
    assert after["tiny_said"]["0"] == before["tiny_said"]["1"], "numbers say nothing"


def test_functions_of_tasks_are_known_by_their_source(shared, tmp_path):
    tasks = write_tasks(tmp_path / "tasks")
    held = (tasks / "tiny_choice.yaml").read_text()[:-1]
    (tasks / "tiny_choice.yaml").write_text(f"{held}, 'process_docs': !function own.prepare}}")
    (tasks / "own.py").write_text("def prepare(docs):\n    return docs\n")

    def seen():
        from soce.evaluate.lm_eval.tasks import _index

        _index.cache_clear()
        made = shared.make(["tiny_choice"], include_path=tasks)
        return made.identity["tasks"]["tiny_choice"]["digest"], made.item_keys()

    before = seen()
    assert seen() == before, "wherever they are in memory"
    Path(tasks, "own.py").write_text("def prepare(docs):\n    return docs.select(range(11, -1, -1))\n")
    after = seen()
    assert after[0] != before[0]
    (was,), (now,) = before[1].values(), after[1].values()
    assert [*now.values()] == [*was.values()][::-1]


# ---- options


def test_options_of_the_harness_are_for_no_other_evaluator():
    given = {
        "apply_chat_template": True,
        "fewshot_as_multiturn": False,
        "system_instruction": "be brief",
        "limit": 3,
        "gen_kwargs": (("max_gen_toks", "64"),),
    }
    options = EvaluatorOptions(**given)
    assert unused_options(["lm-eval:tiny"], options) == {}
    unused = unused_options(["tasks.jsonl", "module:function", ["program"]], options)
    assert unused == dict.fromkeys(given, "it is for lm-eval")


def test_a_template_that_takes_no_instruction_is_refused(shared, monkeypatch):
    refusing = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + TEMPLATE
    )
    monkeypatch.setattr(shared.soup.tokenizer, "chat_template", refusing)
    with pytest.raises(EvaluationError, match="takes no system instruction: TemplateError: no system role"):
        shared.make(["tiny_said"], apply_chat_template=True, system_instruction="be brief")
    shared.make(["tiny_said"], apply_chat_template=True)
    monkeypatch.setattr(shared.soup.tokenizer, "chat_template", None)
    with pytest.raises(EvaluationError, match="lm-evaluation-harness cannot load tiny_said: ValueError"):
        shared.make(["tiny_said"], apply_chat_template=True, system_instruction="be brief")
