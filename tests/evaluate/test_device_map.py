"""A model laid over devices becomes, wherever each tensor lives, the soup that is published.

The CPU by its name and as torch's device is to accelerate a device and the memory beside it: parts are kept out
of the model and brought into it for each batch, as on a machine whose device is too small.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.models import save
from tests.tiny_models import save_models

import soce
from soce.exceptions import EvaluationError
from soce.recipes.model import Recipe

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

from soce.evaluate.live.devices import live_tensors  # noqa: E402
from soce.evaluate.live.outline import ModelOutline  # noqa: E402
from soce.evaluate.live.placement import same_bits  # noqa: E402
from soce.evaluate.live.soup_model import SoupModel  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # accelerate's own
KINDS = ["llama-untied", "llama-tied", "mixtral", "qwen3-moe"]
IDS = [[5, 7, 11, 3, 2, 13]]


CPU = torch.device("cpu")


def split(first: Any = CPU, second: Any = "cpu") -> dict[str, Any]:
    """Lay two layers over two devices, ends on the second."""
    ends = dict.fromkeys(("model.embed_tokens", "model.norm", "model.rotary_emb", "lm_head"), second)
    return {**ends, "model.layers.0": first, "model.layers.1": second}


def check(tmp_path: Path, paths: list[Path], device_map: Any) -> SoupModel:
    """Compare soups in place, one after the other, with what is published and loaded onto one device."""
    names = list(map(str, paths))
    model = SoupModel(names, device_map=device_map)
    a, b, c = names
    for i, recipe in enumerate(
        (Recipe.of({a: "1/3", b: "2/3"}), Recipe.of({c: "0.8", a: "0.2"}), Recipe.of({a: 1}))
    ):
        output = tmp_path / f"soup{i}"
        soce.merge(recipe, output=output, options=soce.MergeOptions(config_from=a, sync=False))
        alone = SoupModel([str(output)], device="cpu")
        model.set(recipe)
        live, expected = live_tensors(model.model), live_tensors(alone.model)
        assert live.keys() == expected.keys()
        assert all(same_bits(live[name].cpu(), expected[name]) for name in live), i
        for one in (live, model._live):
            assert not any(tensor.is_meta for tensor in one.values())
        told = logits(model)
        assert same_bits(told, logits(alone)) or model.devices != alone.devices
        assert torch.allclose(told.float(), logits(alone).float(), atol=0.05)
    return model


def logits(model: SoupModel) -> Any:
    with torch.inference_mode():
        return model.model(torch.tensor(IDS, device=model.device)).logits.cpu()


@pytest.mark.parametrize("kind", KINDS)
def test_parts_that_are_copied_for_each_batch(kind: str, tmp_path: Path) -> None:
    model = check(tmp_path, save(tmp_path, kind, "bfloat16", range(3)), split())
    assert any(tensor.is_meta for tensor in model.model.state_dict().values()), "kept out of the model"
    assert model.is_direct
    assert sum(map(len, model._staging.buffers)) == 0, "mixed straight into the parameters"
    assert model.devices == (CPU,)
    assert model.bytes_by_device == {"cpu": sum(t.nbytes for t in tied_once(model._live).values())}


def tied_once(tensors: dict[str, Any]) -> dict[int, Any]:
    return {tensor.data_ptr(): tensor for tensor in tensors.values()}


def test_what_transformers_rearranges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soce.evaluate.live.soup_model.find_placement", lambda *_: None)
    assert not check(tmp_path, save(tmp_path, "llama-tied", "bfloat16", range(3)), split()).is_direct


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let accelerate copy what it brings to a device, as it does where that is not the CPU."""
    from accelerate import hooks

    place = hooks.set_module_tensor_to_device

    def copied(module: Any, name: str, device: Any, value: Any = None, **options: Any) -> None:
        place(module, name, device, value=value, **options)
        held = module._parameters.get(name)
        if value is not None and held is not None and held.data_ptr() == value.data_ptr():
            module._parameters[name] = torch.nn.Parameter(held.clone(), requires_grad=False)
            tied = (options.get("tied_params_map") or {}).get(value.data_ptr())
            if tied is not None:
                tied[device] = module._parameters[name]

    monkeypatch.setattr(hooks, "set_module_tensor_to_device", copied)


@pytest.mark.usefixtures("copies")
def test_a_batch_that_memory_ran_out_for_leaves_nothing_of_its_soup(tmp_path: Path) -> None:
    paths = list(map(str, save(tmp_path, "llama-tied", "float32", range(2))))
    model, alone = SoupModel(paths, device_map=split()), SoupModel(paths, device="cpu")
    first, second = (Recipe.of({path: 1}) for path in paths)
    model.set(first)

    def fail(*_: object) -> None:
        message = "out of memory"
        raise RuntimeError(message)

    for part in (model.model.lm_head, model.model.model.layers[1].mlp, model.model.model.embed_tokens):
        old, part._old_forward = part._old_forward, fail
        with pytest.raises(RuntimeError, match="out of memory"):
            logits(model)
        part._old_forward = old
    for one in (model, alone):
        one.set(second)
    assert same_bits(logits(model), logits(alone))


def test_an_evaluator_scores_it_as_it_scores_one_device(tmp_path: Path) -> None:
    from soce.evaluate.kinds import EvaluatorOptions, open_evaluator

    paths = save_models(tmp_path / "models", 2)
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text(
        '{"category": "math", "kind": "exact_match", "prompt": "1 + 1 =", "answer": "2"}\n'
        '{"category": "code", "kind": "multiple_choice", "prompt": "a", "choices": ["b", "c"], "answer": 0}\n'
    )
    placed = {**split()}
    del placed["model.layers.1"]
    evaluators = [
        open_evaluator(str(tasks), SoupModel(paths, **chosen), EvaluatorOptions())
        for chosen in ({"device_map": placed}, {"device": "cpu"})
    ]
    both = [evaluator.score(Recipe.of(paths)) for evaluator in evaluators]
    assert both[0].items == both[1].items
    assert both[0].answers == both[1].answers
    assert evaluators[0].identity == evaluators[1].identity


def test_the_engine_transformers_asks_it_as_it_asks_one_device(tmp_path: Path) -> None:
    from soce.evaluate.engines.transformers.asked import Ask
    from soce.evaluate.engines.transformers.asking import Asker
    from soce.evaluate.tasks.forward import Batches

    paths = save_models(tmp_path, 2)
    placed = split()
    del placed["model.layers.1"]
    asks = [Ask((1, 5, 9, 12), None, 6, top=2, prompt_top=1), Ask((1, 7), None, 4)]
    said = []
    for chosen in ({"device_map": placed}, {"device": "cpu"}):
        soup = SoupModel(paths, **chosen)
        soup.set(Recipe.of(paths))
        said.append(Asker(soup, Batches(1), window=128).answers(asks))
    assert said[0] == said[1]


@pytest.mark.parametrize("chosen", ["auto", "sequential"])
def test_the_devices_of_this_machine(chosen: str, tmp_path: Path) -> None:
    paths = save(tmp_path, "llama-tied", "bfloat16", range(3))
    model = check(tmp_path, paths, chosen)
    outline = ModelOutline(list(map(str, paths)), device_map=chosen)
    assert outline.identity == model.identity
    assert outline.devices == model.devices


def test_options_ask_for_it(tmp_path: Path) -> None:
    from soce.evaluate.live.opening import live_model, model_outline
    from soce.evaluate.options import EvaluatorOptions

    paths = list(map(str, save(tmp_path, "llama-tied", "bfloat16", range(2))))
    with pytest.raises(EvaluationError, match="`even` is no device map"):
        model_outline(paths, EvaluatorOptions(device_map="even"))
    with live_model(paths, EvaluatorOptions(device_map="sequential")) as model:
        assert isinstance(model, SoupModel)
        assert model._devices, "laid out by accelerate"


def test_what_cannot_be_laid_out(tmp_path: Path) -> None:
    paths = list(map(str, save(tmp_path, "llama-tied", "float32", range(2))))
    none = dict.fromkeys(range(torch.cuda.device_count()), "0B")
    for chosen, told in [
        ({"device_map": "auto", "max_memory": {**none, "cpu": "40KB"}}, "would lie on a disk"),
        ({"device_map": split("disk")}, "`model.layers.0` would lie on a disk"),
        ({"device_map": split("meta")}, "`model.layers.0` would lie on no device"),
        ({"device_map": split("cuda:99")}, "`cuda:99` cannot be used here"),
        ({"device_map": split(99)}, "cannot be used here"),
        ({"device_map": split("gpu")}, "`gpu` is no device"),
        ({"device_map": {"model": "cpu"}}, "lm_head.weight"),
        ({"device_map": {**split(), "model.layers.7": "cpu"}}, "`model.layers.7`, which is no module"),
        ({"device_map": "even"}, "`even` is no device map"),
        ({"device_map": "auto", "device": "cpu"}, "either `device` or `device_map`"),
    ]:
        for make in (SoupModel, ModelOutline):
            with pytest.raises(EvaluationError, match=told) as caught:
                make(paths, **chosen)
            assert str(caught.value).count("\n") <= 1, "a hint at most"


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_device_and_the_cpu(kind: str, dtype: str, tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    paths = save(tmp_path, kind, dtype, range(3))
    model = check(tmp_path / "copied", paths, split(0, "cpu"))
    assert model.identity["device"] == "cuda", "the CPU holds parts, and computes none"
    assert [buffer.is_pinned() for buffer in model._staging.buffers] == [True, True]
    assert set(model.bytes_by_device) == {"cpu", "cuda:0"}


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
def test_two_devices(kind: str, tmp_path: Path) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("no two CUDA devices")
    paths = save(tmp_path, kind, "bfloat16", range(3))
    for number, device_map in enumerate([split(0, 1), "balanced"]):
        model = check(tmp_path / str(number), paths, device_map)
        assert model.devices == (torch.device("cuda:0"), torch.device("cuda:1"))
