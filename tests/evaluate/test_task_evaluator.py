"""The built-in evaluator gives what one item at a time, without padding or tricks, gives."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.characters import save_characters
from tests.models import save

import soce
from soce import Recipe
from soce.evaluate.answers import prompt_digest
from soce.evaluate.evaluation import Evaluation, Evaluator
from soce.evaluate.tasks.item import Item
from soce.evaluate.tasks.items import Tasks
from soce.exceptions import EvaluationError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from soce.evaluate.live.soup_model import SoupModel  # noqa: E402
from soce.evaluate.tasks.encoding import Encoder, rolling  # noqa: E402
from soce.evaluate.tasks.evaluator import TaskEvaluator  # noqa: E402
from soce.evaluate.tasks.forward import Batches  # noqa: E402

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore"),  # transformers' own
]
NEW_TOKENS = 5
COUNT = 12


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    home = tmp_path_factory.mktemp("experts")
    found = save(home, "llama-untied", "float32", range(3))
    for path in found:
        save_characters(path)
    return found


@pytest.fixture(scope="module")
def soup(paths: list[Path]) -> SoupModel:
    return SoupModel([str(path) for path in paths])


@pytest.fixture(scope="module")
def recipe(paths: list[Path]) -> Recipe:
    return Recipe.of({str(path): part for path, part in zip(paths, (5, 2, 3), strict=True)})


class Naive:
    """What the outcomes are by definition."""

    def __init__(self, path: Path) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.model = AutoModelForCausalLM.from_pretrained(path).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(path)

    def tokens(self, text: str) -> list[int]:
        return self.tokenizer(text)["input_ids"]

    @torch.no_grad()
    def logs(self, tokens: list[int]) -> Any:
        return self.model(torch.tensor([tokens])).logits[0].double().log_softmax(-1)

    def log(self, prompt: str, answer: str) -> float:
        whole, count = self.tokens(prompt + answer), len(answer)
        logs = self.logs(whole[:-1])
        return sum(float(logs[i - 1, whole[i]]) for i in range(len(whole) - count, len(whole)))

    def write(self, prompt: str, count: int) -> str:
        tokens = self.tokens(prompt)
        for _ in range(count):
            tokens.append(int(self.logs(tokens)[-1].argmax()))
            if tokens[-1] == self.tokenizer.eos_token_id:
                break
        text = self.tokenizer.decode(tokens[len(self.tokens(prompt)) :], skip_special_tokens=True)
        return text.split("\n")[0]

    def outcome(self, item: Item, normalise: str) -> float:
        if item.kind == "multiple_choice":
            values = [self.log(item.prompt, choice) for choice in item.choices]
            if normalise != "none":
                values = [v / len(c.encode()) for v, c in zip(values, item.choices, strict=True)]
            return float(values.index(max(values)) == item.choices.index(item.answer))
        if item.kind == "perplexity":
            return math.exp(-self.log("", item.answer) / len(item.answer))
        if item.kind == "exact_match":
            return float(self.write(item.prompt, NEW_TOKENS).strip() == item.answer.strip())
        prompt, answer = self.tokens(item.prompt), self.tokens(item.prompt + item.answer)
        best = self.logs(answer[:-1]).argmax(-1).tolist()
        return float(best[len(prompt) - 1 :] == answer[len(prompt) :])


@pytest.fixture(scope="module")
def naive(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Naive:
    output = tmp_path_factory.mktemp("published") / "soup"
    soce.merge(recipe, output=output, options=soce.MergeOptions(sync=False))
    return Naive(output)


@pytest.fixture(scope="module")
def tasks(naive: Naive) -> Tasks:
    """Return items of every kind, about half of which this soup gets right."""
    items = []
    for i in range(COUNT):
        prompt = "Question " + "x" * (i % 7) + f"{i * 37}="
        written = naive.write(prompt, 3)
        choices = ("yes", "no", "m" * (i % 5 + 2), "a b", "c")
        items.append(Item("choice", f"c{i}", "multiple_choice", prompt[i % 3 :], choices[i % 5], choices))
        items.append(Item("letter", f"l{i}", "multiple_choice", prompt, "ABCD"[i % 4], tuple("ABCD")))
        items.append(Item("forced", f"f{i}", "teacher_forced", prompt, (written or "q") if i % 2 else "no"))
        full = naive.write(prompt, NEW_TOKENS)
        items.append(Item("written", f"w{i}", "exact_match", prompt, f" {full} " if full.strip() and i % 3 else "no"))  # fmt: skip
        items.append(Item("prose", f"p{i}", "perplexity", "", "Once upon a time"[: 16 - i % 11]))
    return Tasks(tuple(items))


def evaluator(soup: SoupModel, tasks: Tasks, **options: Any) -> TaskEvaluator:
    return TaskEvaluator(soup, tasks, max_new_tokens=NEW_TOKENS, **options)


@pytest.mark.parametrize("normalise", ["none", "token", "byte"])
def test_outcomes_are_those_of_the_definition(
    normalise: str, soup: SoupModel, tasks: Tasks, naive: Naive, recipe: Recipe
) -> None:
    result = evaluator(soup, tasks, normalise=normalise).score(recipe)
    assert result.items is not None
    for item in tasks.items:
        outcome, expected = result.items[item.category][item.id], naive.outcome(item, normalise)
        if item.kind == "perplexity":
            assert outcome == pytest.approx(expected, rel=1e-5)
        else:
            assert outcome == expected, item
    for category, score in result.categories.items():
        outcomes = list(result.items[category].values())
        assert score.n == len(outcomes) == COUNT
        mean = (
            math.fsum(map(math.log, outcomes)) / COUNT if category == "prose" else math.fsum(outcomes) / COUNT
        )
        assert score.score == pytest.approx(math.exp(mean) if category == "prose" else mean)
    for category in ("choice", "letter", "forced", "written"):
        assert 0 < result.categories[category].score < 1, category
    assert result.higher_is_better == {name: name != "prose" for name in result.categories}
    assert result.scale is None
    assert result.notes == ()


def test_the_batch_size_changes_no_outcome(soup: SoupModel, tasks: Tasks, recipe: Recipe) -> None:
    results = [evaluator(soup, tasks, batch_size=size).score(recipe) for size in (None, 1, 7, 64)]
    for result in results[1:]:
        assert rounded(result) == rounded(results[0])


def rounded(result: Evaluation) -> dict[str, dict[str, float]]:
    assert result.items is not None
    return {name: {item: float(f"{outcome:.4g}") for item, outcome in found.items()} for name, found in result.items.items()}  # fmt: skip


def test_scores_follow_the_parameters_and_come_back(
    soup: SoupModel, tasks: Tasks, paths: list[Path], recipe: Recipe
) -> None:
    found = evaluator(soup, tasks)
    other = Recipe.of({str(paths[1]): 1})
    first, second, again = found.score(recipe), found.score(other), found.score(recipe)
    assert again == first
    assert second != first
    assert found.score_current() == first
    alone = evaluator(SoupModel([str(path) for path in paths]), tasks)
    assert alone.score(other) == second


def test_some_items_only(soup: SoupModel, tasks: Tasks, recipe: Recipe) -> None:
    found = evaluator(soup, tasks)
    chosen = {"written": ["w3", "w1"], "prose": ["p5"], "choice": ["c0", "c1", "c2"]}
    seen: list[tuple[int, int]] = []
    part = found.score(recipe, items=chosen, on_progress=lambda *counts: seen.append(counts))
    whole = found.score(recipe)
    assert rounded(part) == rounded(whole.restricted(chosen))
    assert list(part.categories) == ["choice", "written", "prose"]
    assert seen[-1] == (3 * 5 + 2 + 1, 3 * 5 + 2 + 1)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    with pytest.raises(EvaluationError, match="has no item `w99`"):
        found.score(recipe, items={"written": ["w99"]})


def test_choices_of_one_token_share_a_row(
    soup: SoupModel, tasks: Tasks, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, before = [], type(soup.model).forward

    def counted(self: Any, input_ids: Any, **options: Any) -> Any:
        rows.append(len(input_ids))
        return before(self, input_ids=input_ids, **options)

    monkeypatch.setattr(type(soup.model), "forward", counted)
    evaluator(soup, tasks).score(recipe, items={"letter": ["l0", "l1"]})
    assert sum(rows) == 2


def test_memory_that_runs_out_halves_the_batch_and_is_told(
    soup: SoupModel, tasks: Tasks, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = evaluator(soup, tasks).score(recipe)
    most, before = 5, type(soup.model).forward

    def forward(self: Any, input_ids: Any, **options: Any) -> Any:
        if len(input_ids) > most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return before(self, input_ids=input_ids, **options)

    forward.__signature__ = __import__("inspect").signature(before)
    monkeypatch.setattr(type(soup.model), "forward", forward)
    found = evaluator(soup, tasks)
    result = found.score(recipe)
    assert rounded(result) == rounded(expected)
    assert result.notes[-1].endswith("rows in a batch; the batch size is now 4")
    assert 1 < len(result.notes) <= 4
    assert found.score(recipe).notes == (), "the smaller size stays"
    most = 0
    with pytest.raises(EvaluationError, match="memory runs out for a single row of"):
        found.score(recipe)


def test_other_errors_of_the_model_pass() -> None:
    def work(batch: list[int]) -> list[int]:
        raise RuntimeError("expected scalar type")

    with pytest.raises(RuntimeError, match="scalar type"):
        Batches().run([1], length=int, cost=len, work=work, on_done=len)


def test_batches_keep_order_and_budget() -> None:
    seen: list[list[int]] = []

    def work(batch: list[int]) -> list[int]:
        seen.append(batch)
        return [-number for number in batch]

    rows = [3, 1, 1 << 29, 2, 5, 1 << 29, 1 << 31]
    assert Batches().run(rows, length=int, cost=sum, work=work, on_done=len) == [-row for row in rows]
    assert all(len(batch) == 1 or sum(batch) <= 1 << 30 for batch in seen)
    assert max(map(len, seen)) > 1
    assert [row for batch in seen for row in batch] == sorted(rows, reverse=True)


def test_a_model_that_gives_nan_fails_every_item(paths: list[Path], tasks: Tasks) -> None:
    broken = SoupModel([str(path) for path in paths])
    broken.model.get_input_embeddings().weight.data.fill_(math.nan)
    result = evaluator(broken, tasks).score_current()
    assert {name: score.score for name, score in result.categories.items() if name not in {"prose", "written"}} == {"choice": 0, "letter": 0, "forced": 0}  # fmt: skip
    assert result.categories["prose"].score > 1e300
    assert any("the model gave NaN" in note for note in result.notes)
    assert Evaluation.from_json(json.loads(json.dumps(result.to_json()))) == result


def test_settings_for_generation_are_put_aside(soup: SoupModel, tasks: Tasks, recipe: Recipe) -> None:
    expected = evaluator(soup, tasks).score(recipe, items={"written": [f"w{i}" for i in range(COUNT)]})
    own = soup.model.generation_config
    own.update(do_sample=True, temperature=9.0, repetition_penalty=7.0, num_beams=3, max_length=3)
    try:
        assert evaluator(soup, tasks).score(recipe, items={"written": [f"w{i}" for i in range(COUNT)]}) == expected  # fmt: skip
        assert soup.model.generation_config is own
    finally:
        own.update(do_sample=False, temperature=1.0, repetition_penalty=1.0, num_beams=1, max_length=20)


def test_texts_longer_than_the_window(soup: SoupModel, recipe: Recipe, naive: Naive) -> None:
    text = "abcdefghijklmnopqrstuvw"
    result = TaskEvaluator(soup, Tasks((Item("a", "1", "perplexity", "", text),)), max_length=8).score(recipe)
    ids, total = naive.tokens(text)[1:], 0.0
    for given, begin, end in ((0, 0, 8), (8, 8, 16), (15, 16, 23)):
        window = [naive.tokens("")[0] if given == 0 else ids[given - 1], *ids[given:end]]
        logs = naive.logs(window[:-1])
        total += sum(float(logs[i - given, ids[i]]) for i in range(begin, end))
    assert result.categories["a"].score == pytest.approx(math.exp(-total / len(text)), rel=1e-5)


@pytest.mark.parametrize("window", [1, 2, 7, 32])
def test_windows_score_every_token_once(window: int) -> None:
    for count in range(1, 40):
        tokens = list(range(100, 100 + count))
        requests = rolling(tokens, start=1, max_length=window)
        assert [token for request in requests for token in request.tokens[-request.scored :]] == tokens
        assert all(1 <= request.scored < len(request.tokens) <= window + 1 for request in requests)


def test_prompts_longer_than_the_window_are_cut_and_told(
    soup: SoupModel, recipe: Recipe, naive: Naive
) -> None:
    items = (
        Item("a", "1", "teacher_forced", "x" * 50, "yes"),
        Item("a", "2", "exact_match", "y" * 50, "no"),
        Item("a", "3", "exact_match", "z", "no"),
    )
    result = evaluator(soup, Tasks(items)).score(recipe)
    assert result.notes == ("2 prompts were cut to the window of 32 tokens",)
    with pytest.raises(EvaluationError, match="leave no room for a prompt"):
        TaskEvaluator(soup, Tasks(items), max_new_tokens=32)


def test_spaces_at_the_end_of_a_prompt_belong_to_the_answer(soup: SoupModel) -> None:
    encoder = Encoder(soup.tokenizer, soup.model.config, max_length=None)
    request = encoder.request(Item("a", "1", "teacher_forced", "ab  ", "c"), "c")
    assert soup.tokenizer.decode(request.tokens[-request.scored :]) == "  c"
    assert request.tokens[0] == soup.tokenizer.bos_token_id
    nothing = encoder.request(Item("a", "1", "teacher_forced", "", "c"), "c")
    assert (len(nothing.tokens), nothing.scored) == (2, 1)


def test_a_tokenizer_without_a_first_token(tmp_path: Path, soup: SoupModel) -> None:
    encoder = Encoder(save_characters(tmp_path, start=False), soup.model.config, max_length=None)
    assert encoder.prefix == ()
    with pytest.raises(EvaluationError, match="no token that a text starts with"):
        encoder.request(Item("a", "1", "teacher_forced", "", "c"), "c")
    assert encoder.request(Item("a", "1", "teacher_forced", "ab", "c"), "c").scored == 1


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_runs(dtype: str, paths: list[Path], tasks: Tasks, recipe: Recipe) -> None:
    model = SoupModel([str(path) for path in paths], compute_dtype=dtype)
    result = evaluator(model, tasks).score(recipe)
    assert result.categories["prose"].score == pytest.approx(99, rel=0.2)


@pytest.mark.gpu
def test_a_device_gives_the_same_outcomes(
    paths: list[Path], soup: SoupModel, tasks: Tasks, recipe: Recipe
) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    on_device = SoupModel([str(path) for path in paths], device="cuda")
    results = [evaluator(model, tasks).score(recipe) for model in (soup, on_device)]
    assert rounded(results[0]) == rounded(results[1])


def test_identity_holds_what_scores_depend_on(soup: SoupModel, tasks: Tasks) -> None:
    one = evaluator(soup, tasks)
    assert isinstance(one, Evaluator)
    assert one.item_ids() == tasks.item_ids()
    texts = [json.dumps(one.identity)]
    assert texts[0] == json.dumps(evaluator(soup, tasks, batch_size=3).identity)
    others = ({"normalise": "byte"}, {"perplexity_per": "token"}, {"max_length": 16}, {"stop": ["."]})
    texts += [json.dumps(evaluator(soup, tasks, **options).identity) for options in others]
    texts.append(json.dumps(evaluator(soup, tasks.only({"prose": ["p1"]})).identity))
    assert len(set(texts)) == len(texts)


def test_wrong_settings_and_models(tmp_path: Path, soup: SoupModel, tasks: Tasks) -> None:
    for options in (
        {"normalise": "words"},
        {"perplexity_per": "word"},
        {"batch_size": 0},
        {"max_length": -1},
    ):
        with pytest.raises(EvaluationError, match=next(iter(options))):
            TaskEvaluator(soup, tasks, **options)
    (path,) = save(tmp_path, "bert", "float32", range(1))
    save_characters(path)
    with pytest.raises(EvaluationError, match="is not a causal language model"):
        TaskEvaluator(SoupModel([str(path)], model_class="AutoModel"), tasks)
    (path,) = save(tmp_path / "bare", "llama-tied", "float32", range(1))
    with pytest.raises(EvaluationError, match="cannot load its tokenizer"):
        TaskEvaluator(SoupModel([str(path)]), tasks)


def test_answers_are_kept_with_what_was_asked_and_why_they_end(
    soup: SoupModel, tasks: Tasks, naive: Naive, recipe: Recipe
) -> None:
    result = evaluator(soup, tasks).score(recipe)
    for item in tasks.items:
        answer = result.answers[item.category][item.id]
        assert answer.prompt == prompt_digest(item.prompt)
        assert (answer.text is None) == (item.kind != "exact_match") == (answer.ending is None)
        if item.kind == "exact_match":
            assert answer.text == naive.write(item.prompt, NEW_TOKENS)
            assert answer.is_cut or len(answer.text) < NEW_TOKENS
        elif item.kind == "multiple_choice":
            expected = [naive.log(item.prompt, choice) for choice in item.choices]
            assert answer.log_likelihoods == pytest.approx(expected, rel=1e-4)
            assert answer.choice == answer.log_likelihoods.index(max(answer.log_likelihoods))
        else:
            assert len(answer.log_likelihoods) == 1
    assert Evaluation.from_json(json.loads(json.dumps(result.to_json()))) == result


def test_a_text_ends_by_a_stop_of_several_tokens_an_end_token_or_its_length(
    soup: SoupModel, recipe: Recipe, naive: Naive
) -> None:
    prompt = "Question 74="
    written = naive.write(prompt, 8)
    tasks = Tasks((Item("a", "1", "exact_match", prompt, written[:3]),))
    before = written.split(written[1:4])[0]
    for stop, text, ending in (
        ([written[1:4]], before, "stop"),
        (["</s>"], written, "length"),
        (["</s>", written[1:4]], before, "stop"),
    ):
        found = TaskEvaluator(soup, tasks, max_new_tokens=8, stop=stop).score(recipe)
        answer = found.answers["a"]["1"]
        assert (answer.text, answer.ending) == (text, ending)
        assert found.notes == ()


def test_writing_ends_when_every_row_has_its_stop(
    soup: SoupModel, recipe: Recipe, naive: Naive, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = "Question 74="
    stop, calls = naive.write(prompt, 8)[3:6], []
    before = type(soup.model).forward

    def counted(self: Any, input_ids: Any, **options: Any) -> Any:
        calls.append(len(input_ids))
        return before(self, input_ids=input_ids, **options)

    monkeypatch.setattr(type(soup.model), "forward", counted)
    tasks = Tasks((Item("a", "1", "exact_match", prompt, "x"),))
    TaskEvaluator(soup, tasks, stop=[stop]).score(recipe)
    assert len(calls) <= 7


def test_the_usual_length_leaves_the_prompt_its_room(
    soup: SoupModel, recipe: Recipe, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a window of 32, a text gets what the prompt leaves, but a quarter at least."""
    items = tuple(Item("a", str(n), "exact_match", "y" * n, "no") for n in (3, 20, 50))
    encoder = Encoder(soup.tokenizer, soup.model.config, max_length=None)
    found = [encoder.prompt(item, most=None, stop=()) for item in items]
    assert [(len(one.tokens), one.most) for one in found] == [(4, 28), (21, 11), (24, 8)]
    result = TaskEvaluator(soup, Tasks(items), stop=["\0"]).score(recipe)
    assert {one.ending for one in result.answers["a"].values()} == {"length"}
    assert result.notes == (
        "1 prompt was cut to the window of 32 tokens",
        "texts may have 1024 new tokens, as nothing else was said",
    )
    assert not caplog.records, "no row is fed more than the window, whatever the others of its batch may"


def test_keys_of_items_hold_what_their_outcomes_depend_on(soup: SoupModel, tasks: Tasks) -> None:
    def keys(tasks: Tasks = tasks, **options: Any) -> dict[str, dict[str, str]]:
        return evaluator(soup, tasks, **options).item_keys()

    whole = keys()
    assert {name: tuple(found) for name, found in whole.items()} == tasks.item_ids()
    assert len({key for found in whole.values() for key in found.values()}) > COUNT
    assert keys(tasks.only({"prose": ["p1"]}))["prose"]["p1"] == whole["prose"]["p1"]
    renamed = Tasks(tuple(replace(item, id=f"x{item.id}", category=f"x{item.category}") for item in tasks.items))  # fmt: skip
    for category, found in keys(renamed).items():
        assert [*found.values()] == [*whole[category[1:]].values()]
    assert keys(batch_size=3) == whole
    for option, changed in (
        ({"normalise": "byte"}, {"choice", "letter"}),
        ({"perplexity_per": "token"}, {"prose"}),
        ({"stop": ["."]}, {"written"}),
        ({"max_length": 16}, set(whole)),
    ):
        other = keys(**option)
        assert {name for name in whole if other[name] != whole[name]} == changed
        assert all(other[name][i] != whole[name][i] for name in changed for i in whole[name])
