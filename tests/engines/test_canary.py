"""The canary passes an engine that answers as its weights, and sees what another keeps of older ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.tiny_models import save_models

from soce.evaluate.engines import judge as judges
from soce.evaluate.engines.canary import Canary
from soce.evaluate.engines.engine import EngineName, EngineOptions
from soce.evaluate.engines.saying import Saying, distance, text_tokens
from soce.exceptions import CheckpointError, EngineLostError, EvaluationError
from soce.merging.options import MergeOptions
from soce.recipes.model import Recipe
from soce.recipes.wire import recipe_to_json

torch = pytest.importorskip("torch")
from soce.evaluate.engines.transformers.arguments import EngineArguments  # noqa: E402
from soce.evaluate.engines.transformers.serve import LiveHandler, LiveServer  # noqa: E402
from soce.evaluate.http.handler import json_of  # noqa: E402
from soce.evaluate.http.listener import Listener  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # transformers' own


class ThreadEngine:
    """The engine transformers in a thread of the test, which can be broken."""

    name: EngineName = "transformers"
    model = "soup"
    socket: str | None = None

    def __init__(self, folder: Path, paths: list[str], compute: str | None = None, **merge: Any) -> None:
        self.paths, self.folder = paths, folder
        self.options = EngineOptions(merge=MergeOptions(**merge))
        self.identity = {"engine": self.name, "folder": str(folder)}
        self.arguments = EngineArguments(device="cpu", compute_dtype=compute, batch_size=1)
        self.after: Callable[[], object] = lambda: None
        self.became: list[str] = []
        self.remembers = False

    def start(self) -> None:
        self.socket = str(self.folder / "socket")
        arguments = {name: getattr(self.arguments, name) for name in self.arguments.__slots__}
        merge = self.options.merge.changed()
        self.live = LiveServer({"ingredients": self.paths, "merge": merge, "arguments": arguments})
        engine, remembered = self, {}

        class Handler(LiveHandler):
            live = self.live

            def answer(self, body: bytes | None) -> None:
                key = (self.path, body)
                if not engine.remembers or "prompt_logprobs" in (json_of(body) if body else {}):
                    super().answer(body)
                    return
                send, self.send = self.send, lambda *answer: remembered.setdefault(key, answer)  # type: ignore[method-assign,assignment,return-value]
                if key not in remembered:
                    super().answer(body)
                send(*remembered[key])

        self.listener = Listener(self.socket, Handler)
        self.listener.start()

    def open(self, ingredients: list[str]) -> None: ...

    def become(self, recipe: Recipe) -> None:
        self.became.append(recipe.ingredients[0].path)
        self.live.become(recipe_to_json(recipe))
        self.after()

    def check(self) -> None: ...

    def close(self) -> None:
        self.listener.stop()
        self.listener.server_close()
        Path(str(self.socket)).unlink()


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., tuple[Canary, ThreadEngine]]]:
    engines = []

    def made(paths: list[str], **options: Any) -> tuple[Canary, ThreadEngine]:
        folder = tmp_path / f"engine{len(engines)}"
        folder.mkdir()
        engine = ThreadEngine(folder, paths, **options)
        canary = Canary(engine, paths, engine.options)
        canary.prepare()
        engine.start()
        engines.append(engine)
        return canary, engine

    yield made
    for engine in engines:
        engine.close()


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return save_models(tmp_path_factory.mktemp("canary"), 3, tied=True)


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_an_engine_that_answers_as_its_weights_passes(paths: list[str], make: Any, dtype: str | None) -> None:
    canary, engine = make(paths, compute=dtype)
    canary.check(at_start=True)
    report = canary.report
    assert (report.ingredient, report.judge) == (paths[1], "transformers")
    assert report.is_conclusive
    assert report.tokens == 124, "the window of the model but for what is written"
    assert report.allowed == 1e-3 or dtype
    assert report.distance <= report.allowed / (2 if dtype else 10)
    assert report.noise == pytest.approx(report.allowed / 3) or not dtype
    assert engine.became == [paths[1], paths[0]], "it holds what it held"
    canary.check()
    assert len(engine.became) == 4
    again = Canary(engine, paths, engine.options)
    again.prepare()
    again.check(at_start=True)
    assert (len(engine.became), again.report.tokens) == (4, 124), "known, so not asked again"


def stale_head(engine: ThreadEngine) -> None:
    """Pack the head once, as a backend may, and forget it at a change."""
    model = engine.live._soup.model
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())


def stale_tensor(engine: ThreadEngine) -> None:
    live = engine.live._soup._live["model.layers.0.mlp.up_proj.weight"]
    old = live.clone()
    engine.after = lambda: live.copy_(old)


def no_change(engine: ThreadEngine) -> None:
    engine.live.become = lambda _: None  # type: ignore[method-assign]


def drift(engine: ThreadEngine) -> None:
    """Come back to the first ingredient with one tensor a little off."""
    live = engine.live._soup._live["model.norm.weight"]
    engine.after = lambda: engine.became[-1] == engine.paths[0] and live.mul_(1 + 2**-6)


def remembering(engine: ThreadEngine) -> None:
    engine.remembers = True


def another_model(engine: ThreadEngine) -> None:
    engine.live._soup.model.model.norm.weight.mul_(0.25)


FAR = "after it became .* it is .* nats from transformers"


@pytest.mark.parametrize(
    ("broken", "dtype", "told"),
    [
        (stale_head, None, FAR),
        (stale_head, "bfloat16", FAR),
        (stale_tensor, None, FAR),
        (no_change, None, FAR),
        (remembering, None, f"{FAR}|a prompt is remembered that older weights had read"),
        (remembering, "bfloat16", f"{FAR}|a prompt is remembered that older weights had read"),
        (drift, None, "back at the first ingredient it does not answer as it did"),
        (another_model, None, "at its start it is .* nats from transformers"),
    ],
)
def test_what_an_engine_keeps_of_older_weights(
    broken: Callable[[ThreadEngine], None], dtype: str | None, told: str, paths: list[str], make: Any
) -> None:
    canary, engine = make(paths, compute=dtype)
    broken(engine)
    with pytest.raises(EngineLostError, match=f"does not answer as its weights say: .*{told}"):
        canary.check(at_start=True)
    assert canary.report is None


def test_soups_of_a_merge_that_changes_tensors(paths: list[str], make: Any) -> None:
    canary, engine = make(paths)
    narrow, narrowed = make(paths, dtype="bf16")
    assert engine.options != narrowed.options
    for one in (canary, narrow):
        one.check(at_start=True)
    assert narrowed.became == [paths[0], paths[1], paths[0]], "what is loaded is no soup of that merge"


def test_a_judge_of_its_own_kind(
    paths: list[str], make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judges, "_free_bytes", lambda: 0)
    judge = tmp_path / "judge"
    judge.mkdir()
    monkeypatch.setattr(judges, "open_engine", lambda _, paths, __: ThreadEngine(judge, paths))
    canary, _ = make(paths)
    canary.check(at_start=True)
    assert (canary.report.judge, canary.report.distance, canary.report.allowed) == (
        "a transformers started on it",
        0.0,
        0.0,
    )
    drift_once, other = make(paths)
    other.after = lambda: other.live._soup._live["model.norm.weight"].mul_(1 + 2**-20)
    with pytest.raises(EngineLostError, match="nats from a transformers started on it"):
        drift_once.check(at_start=True)


def test_who_cannot_be_judged(paths: list[str], make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judges, "_free_bytes", lambda: 0)
    canary, _ = make(paths, dtype="f32")
    canary.check(at_start=True)
    assert canary.report.judge is None
    assert not canary.report.is_conclusive
    alone, _ = make(paths[:1])
    alone.check(at_start=True)
    assert alone.report is None


def test_an_ingredient_that_is_not_finite_is_passed_over(paths: list[str], make: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    bad = Path(save_models(tmp_path / "bad", 1, tied=True)[0])
    tensors = load_file(bad / "model.safetensors")
    tensors["model.norm.weight"][3] = float("nan")
    save_file(tensors, bad / "model.safetensors", metadata={"format": "pt"})
    canary, engine = make([paths[0], str(bad), paths[1]])
    canary.check(at_start=True)
    assert canary.report.ingredient == paths[1]
    with pytest.raises(CheckpointError, match="not finite"):
        engine.become(Recipe.of({str(bad): 1}))


def test_a_request_that_is_refused_is_no_answer(paths: list[str], make: Any) -> None:
    canary, engine = make(paths)
    engine.model = "soup"
    engine.live.reader = None
    with pytest.raises(EvaluationError, match="`/v1/completions` was refused with status 500"):
        canary.check(at_start=True)


def test_a_tokenizer_that_cannot_read_the_text() -> None:
    from soce.demo.training import make_tokenizer

    tokenizer = make_tokenizer()
    with pytest.raises(Exception, match=r"vocabulary|unk"):
        tokenizer("Ä")
    tokens = text_tokens(tokenizer)
    assert len(tokens) == 256
    assert 0 <= min(tokens) <= max(tokens) < len(tokenizer)


def test_distances() -> None:
    one = Saying((-1.0, -2.0), ((5, -1.0), (6, -1.0)), ())
    assert distance(one, one) == 0
    assert distance(one, Saying((-1.0, -2.0), ((5, -1.0), (7, -1.0)), ())) == 0, "a tie"
    assert distance(one, Saying((-1.0,), ((9, -9.0),), ())) == 0, (
        "another window: nothing to compare after it"
    )
    assert distance(one, Saying((-1.0, -2.0), ((9, -3.0), (6, -9.0)), ())) == pytest.approx((4 / 3) ** 0.5)
    inf = float("inf")
    assert distance(Saying((-inf, -1.0), (), ()), Saying((-inf, -1.0), (), ())) == 0
    assert distance(Saying((-inf, -1.0), (), ()), one) == inf
    assert not distance(Saying((float("nan"),), (), ()), one) <= inf
