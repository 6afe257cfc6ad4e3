"""One model in this process and one behind an engine, which lm-evaluation-harness asks the same."""

import pytest
from tests.tiny_models import write_tasks

from soce.evaluate.lm_eval.options import LmEvalOptions
from soce.recipes.model import Recipe

METRIC = "perplexity word_perplexity acc exact_match,first chrf"
TASKS = ["tiny", "tiny_text", "tiny_surprise", "tiny_translation"]
TEMPLATE = (
    "<s>{% for message in messages %}{{ message.role }}: {{ message.content }}. {% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


class Pair:
    """Two live models of the same ingredients, and evaluators on each."""

    def __init__(self, home, models, engine, options):
        from soce.evaluate.live.loading import load_tokenizer
        from soce.evaluate.live.soup_model import SoupModel
        from soce.evaluate.served.model import ServedModel

        self.models, self.tasks = models, write_tasks(home / "tasks")
        tokenizer = load_tokenizer(self.models[0])
        tokenizer.chat_template = TEMPLATE
        tokenizer.save_pretrained(self.models[0])
        self.here = SoupModel(self.models)
        self.served = ServedModel.start(self.models, engine, options)
        self.recipe = Recipe.of({self.models[0]: 3, self.models[1]: 1})
        self.other = Recipe.of({self.models[1]: 1})

    def make(self, model, tasks=TASKS, **options):
        from soce.evaluate.lm_eval.evaluator import LmEvalEvaluator

        options = {"include_path": self.tasks, "metric": METRIC, "limit": 5, **options}
        return LmEvalEvaluator(model, tasks, LmEvalOptions(**options))


def assert_agree(here, served):
    """Compare two evaluations item by item: all that is said, and every outcome."""
    assert here.answers.keys() == served.answers.keys()
    for category, answers in here.answers.items():
        for item, answer in answers.items():
            other = served.answers[category][item]
            told = (other.prompt, other.text, other.ending, other.choice)
            assert told == (answer.prompt, answer.text, answer.ending, answer.choice), (category, item)
            assert other.log_likelihoods == pytest.approx(answer.log_likelihoods, rel=1e-5), (category, item)
    for category, outcomes in here.items.items():
        assert served.items[category] == pytest.approx(outcomes, rel=1e-4), category
    for category, corpus in here.corpora.items():
        for item, told in corpus.items.items():
            assert served.corpora[category].items[item] == pytest.approx(told, rel=1e-5), (category, item)
    assert served.higher_is_better == here.higher_is_better
    assert (served.scale, served.geometric) == (here.scale, here.geometric)
