"""Products of gradients are of the tensors as files hold them, wherever transformers puts these in the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.models import MODELS, save

from soce import Recipe
from soce.exceptions import EvaluationError

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from soce.evaluate.live.soup_model import SoupModel  # noqa: E402

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore"),  # transformers' own
]
IDS = [[3, 1, 4, 1, 5, 9, 2, 6]]


def loss(model: Any) -> Any:
    return model(input_ids=torch.tensor(IDS), use_cache=False).logits.log_softmax(-1)[0, :, 7].sum()


def loaded(path: Path, kind: str) -> dict[str, Any]:
    """Return the parameters of a model that transformers loads, each once."""
    model = type(MODELS[kind]()).from_pretrained(path)
    return {name: value.detach().double() for name, value in model.named_parameters()}


@pytest.mark.parametrize("kind", ["llama-untied", "llama-tied", "mixtral", "qwen3-moe"])
def test_products_are_of_every_tensor_of_the_files(tmp_path: Path, kind: str) -> None:
    """Those of experts that are fused in the model add up to those of what they are fused into."""
    paths = save(tmp_path, kind, "float32", range(3))
    names = [str(path) for path in paths]
    soup = SoupModel(names)
    soup.set(Recipe.of(names))
    with soup.gradient_products([names[2], names[0]], names[1]) as found:
        loss(soup.model).backward()
    assert set(found) == set(soup.averaged) - soup.twins.keys()
    soup.model.requires_grad_(True)
    loss(soup.model).backward()
    gradients = {name: one.grad.double() for name, one in soup.model.named_parameters()}
    apart = [
        {name: value - others[name] for name, value in loaded(path, kind).items()}
        for others in [loaded(paths[1], kind)]
        for path in (paths[2], paths[0])
    ]
    whole = [sum(float((gradients[name] * one[name]).sum()) for name in one) for one in apart]
    assert [sum(one[k] for one in found.values()) for k in range(2)] == pytest.approx(whole, rel=1e-9)
    for name in found.keys() & gradients.keys():
        expected = [float((gradients[name] * one[name]).sum()) for one in apart]
        assert list(found[name]) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_passes_add_up_and_what_none_reaches_has_no_product(tmp_path: Path) -> None:
    names = [str(path) for path in save(tmp_path, "llama-untied", "float32", range(2))]
    soup = SoupModel(names)
    soup.set(Recipe.of(names))
    with soup.gradient_products([names[0]], names[1]) as once:
        loss(soup.model).backward()
    with soup.gradient_products([names[0]], names[1]) as twice:
        loss(soup.model).backward()
        loss(soup.model).backward()
        soup.model.model.norm.weight.sum().backward()
    with soup.gradient_products([names[0]], names[1]) as alone:
        soup.model.model.norm.weight.sum().backward()
    assert list(alone) == ["model.norm.weight"]
    for name, value in once.items():
        assert twice[name] == pytest.approx(2 * value + alone.get(name, 0), rel=1e-12)


def test_a_stranger_is_refused_before_a_pass(tmp_path: Path) -> None:
    names = [str(path) for path in save(tmp_path, "llama-untied", "float32", range(2))]
    with pytest.raises(Exception, match="is not an ingredient"):
        SoupModel(names).gradient_products([names[0]], "elsewhere")


def test_a_model_that_transformers_rearranges_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [str(path) for path in save(tmp_path, "llama-untied", "float32", range(2))]
    monkeypatch.setattr("soce.evaluate.live.soup_model.find_placement", lambda *_: None)
    with pytest.raises(EvaluationError, match="transformers rearranges tensors of this model"):
        SoupModel(names).gradient_products([names[0]], names[1])
