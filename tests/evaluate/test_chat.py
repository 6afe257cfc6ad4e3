"""Items of messages are given to the model as its chat template has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.characters import save_characters
from tests.models import save

from soce.evaluate.answers import prompt_digest
from soce.evaluate.tasks.item import Item
from soce.evaluate.tasks.items import Tasks, read_tasks
from soce.exceptions import EvaluationError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from soce.evaluate.live.soup_model import SoupModel  # noqa: E402
from soce.evaluate.tasks.chat import chat_text  # noqa: E402
from soce.evaluate.tasks.encoding import Encoder  # noqa: E402
from soce.evaluate.tasks.evaluator import TaskEvaluator  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # transformers' own
TEMPLATE = (
    "{{ bos_token }}{% for tool in tools or [] %}({{ tool.name }}){% endfor %}"
    "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}a:{% endif %}"
)
MESSAGES = ({"role": "user", "content": "1+1?"},)


@pytest.fixture(scope="module")
def soup(tmp_path_factory: pytest.TempPathFactory) -> SoupModel:
    (path,) = save(tmp_path_factory.mktemp("chat"), "llama-untied", "float32", range(1))
    save_characters(path)
    model = SoupModel([str(path)])
    model.tokenizer.chat_template = TEMPLATE
    return model


def item(**fields: Any) -> Item:
    return Item(**{"category": "a", "id": "1", "kind": "exact_match", "prompt": "", "answer": "2", "messages": MESSAGES, **fields})  # fmt: skip


def test_the_template_is_all_that_the_model_is_given(soup: SoupModel) -> None:
    encoder = Encoder(soup.tokenizer, soup.model.config, max_length=None)
    ids = encoder.prompt(item(), most=4, stop=()).tokens
    assert soup.tokenizer.decode([*ids]) == "<s>u:1+1?\na:", "one beginning, and none before it"
    request = encoder.request(item(kind="teacher_forced"), "2")
    assert (soup.tokenizer.decode([*request.tokens]), request.scored) == ("<s>u:1+1?\na:2", 1)


def test_the_last_message_of_the_assistant_is_gone_on_with(soup: SoupModel) -> None:
    messages = (*MESSAGES, {"role": "assistant", "content": "It is"})
    assert chat_text(soup.tokenizer, item(messages=messages)) == "<s>u:1+1?\na:It is"


def test_tools_are_told_or_refused(soup: SoupModel, tmp_path: Path) -> None:
    tools = ({"name": "add"},)
    assert chat_text(soup.tokenizer, item(tools=tools)) == "<s>(add)u:1+1?\na:"
    deaf = save_characters(tmp_path)
    deaf.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    with pytest.raises(EvaluationError, match="item `1`: the chat template does not tell of `tools`"):
        chat_text(deaf, item(tools=tools))


def test_a_tokenizer_without_a_template_and_one_that_cannot(tmp_path: Path) -> None:
    plain = save_characters(tmp_path)
    with pytest.raises(EvaluationError, match="category `a`, item `1`: the tokenizer has no chat template"):
        chat_text(plain, item())
    plain.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(EvaluationError, match="cannot take these messages: TemplateError: roles must"):
        chat_text(plain, item())


def test_todays_date_is_the_same_every_day(tmp_path: Path) -> None:
    tokenizer = save_characters(tmp_path)
    tokenizer.chat_template = (
        "{% if strftime_now is defined %}{% set day = strftime_now('%d %b %Y') %}{% endif %}"
        "{{ day }} {{ strftime_now('%Y-%m-%d') }}{{ messages[0].content }}"
    )
    assert chat_text(tokenizer, item()) == "26 Jul 2024 2024-07-261+1?"


def test_written_and_judged_answers_to_messages(soup: SoupModel, tmp_path: Path) -> None:
    lines = [
        {"category": "a", "messages": MESSAGES, "scorer": "number", "answer": 2, "max_new_tokens": 3, "stop": "\n"},
        {"category": "b", "kind": "multiple_choice", "messages": MESSAGES, "choices": ["2", "3"], "answer": 0},
        {"category": "c", "prompt": "1+1=", "scorer": {"name": "regex", "pattern": "."}, "max_new_tokens": 4},
    ]  # fmt: skip
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    evaluator = TaskEvaluator(soup, read_tasks(path))
    found = evaluator.score_current()
    (first,), (second,), (third,) = (found.answers[name].values() for name in "abc")
    assert first.prompt == second.prompt == prompt_digest("<s>u:1+1?\na:") != third.prompt
    assert first.text is not None
    assert third.text is not None
    assert len(first.text) <= 3
    assert found.items is not None
    assert found.items["c"] == {next(iter(found.answers["c"])): float(bool(third.text.strip("\n")))}
    assert found.notes == ()
    keys = evaluator.item_keys()
    assert len({key for held in keys.values() for key in held.values()}) == 3


def test_translations_are_a_corpus_that_is_split(soup: SoupModel) -> None:
    pytest.importorskip("sacrebleu")
    from soce.evaluate.tasks.scorers.registry import read_scorer

    items = tuple(
        Item("de", str(i), "generation", f"{i}:", "abc", scorer=read_scorer("chrf"), max_new_tokens=4)
        for i in range(4)
    )
    found = TaskEvaluator(soup, Tasks(items)).score_current()
    assert found.scale is None
    assert found.items is None
    assert found.item_ids() == {"de": ("0", "1", "2", "3")}
    assert found.restricted({"de": ["1", "3"]}).corpora["de"].items.keys() == {"1", "3"}
