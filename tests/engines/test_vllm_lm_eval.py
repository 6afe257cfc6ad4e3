"""Tasks of lm-evaluation-harness asked of vLLM: item by item what the model in process says, in float32."""

from types import SimpleNamespace

import pytest
from tests.engines.served_models import save_family
from tests.lm_eval_pair import Pair, assert_agree

from soce.evaluate.engines.engine import EngineOptions
from soce.exceptions import EvaluationError

pytest.importorskip("torch")
pytest.importorskip("lm_eval")
pytestmark = [pytest.mark.vllm, pytest.mark.timeout(3000)]  # an engine starts in minutes on a busy machine


@pytest.fixture(scope="module")
def pair(vllm_python, tmp_path_factory):
    import datasets

    home = tmp_path_factory.mktemp("vllm")
    options = EngineOptions(python=vllm_python, arguments=("--enforce-eager", "--dtype", "float32"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", home / "cache")
        made = Pair(home, save_family(home, "llama", "float32", count=2), "vllm", options)
        yield made
        made.served.close()


@pytest.mark.parametrize(
    "options",
    [
        {"limit": None},
        {"apply_chat_template": True, "system_instruction": "be brief"},
        {"gen_kwargs": {"until": ["a", "b0", "e", "7"], "max_gen_toks": 9}, "num_fewshot": 1},
        {"gen_kwargs": {"until": ["<pad>", "<unk>"], "max_gen_toks": 40}},
        {"settings": {"max_length": 12}, "gen_kwargs": "max_gen_toks=5"},
    ],
    ids=["plain", "chat", "stops", "special stops", "small window"],
)
def test_vllm_says_what_the_model_in_process_says(pair, options):
    for recipe in (pair.recipe, pair.other):
        here = pair.make(pair.here, batch_size=1, **options).score(recipe)
        assert_agree(here, pair.make(pair.served, **options).score(recipe))


def test_vllm_makes_the_prompts_of_chats_if_it_is_asked_to(pair):
    names, given = ["tiny_said", "tiny_translation"], {"apply_chat_template": True, "num_fewshot": 0}
    here = pair.make(pair.here, names, batch_size=1, **given).score(pair.recipe)
    found = pair.make(pair.served, names, **given, chat_completions=True).score(pair.recipe)
    assert found.items == here.items
    for category, answers in here.answers.items():
        for item, answer in answers.items():
            other = found.answers[category][item]
            assert (other.text, other.ending) == (answer.text, answer.ending)


def test_vllm_has_room_for_all_but_one_token_of_its_window(pair):
    model = pair.make(pair.served, ["tiny_text"])._model
    model.set_cache_hook(SimpleNamespace(count=lambda answered: None))
    assert (model.max_length, model._most) == (256, 255)
    scored = [4 + i % 30 for i in range(254)]
    ((log, _),) = model._likelihoods([([1], scored)], 1)
    assert log < 0
    with pytest.raises(EvaluationError, match="log-likelihoods of 255 tokens are asked for"):
        model._likelihoods([([1], [*scored, 4])], 1)
    assert model.notes == ()
