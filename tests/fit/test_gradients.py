"""Gradients in coefficients are those of autograd with all models in memory, though there is only one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.checkpoints import read_file
from tests.fit_worlds import Head, save_experts, write_items

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from soce.evaluate.live.soup_model import SoupModel  # noqa: E402
from soce.evaluate.tasks.item import Item  # noqa: E402
from soce.evaluate.tasks.items import Tasks, read_tasks  # noqa: E402
from soce.fit.adam import Adam  # noqa: E402
from soce.fit.coefficients import Clamped  # noqa: E402
from soce.fit.fit import Fit  # noqa: E402
from soce.fit.options import FitOptions, Granularity, ObjectiveName  # noqa: E402
from soce.merging.options import MergeOptions  # noqa: E402

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore"),  # transformers' own
]
HEADS: list[Head] = ["untied", "tied", "both stored"]


@pytest.fixture(scope="module")
def experts(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Head], list[str]]:
    made: dict[Head, list[str]] = {}

    def of(head: Head) -> list[str]:
        if head not in made:
            made[head] = save_experts(tmp_path_factory.mktemp("models"), 4, head=head)
        return made[head]

    return of


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Tasks:
    return read_tasks(write_items(tmp_path_factory.mktemp("items") / "tasks.jsonl"))


def fit_of(paths: Sequence[str], tasks: Tasks, folder: Path, options: FitOptions, **merge: Any) -> Fit:
    """Return a fit of the first three; of the last, if it is the base."""
    soup = SoupModel(paths, merge=MergeOptions(**merge))
    return Fit(soup, dict(zip("abc", paths[:3], strict=True)), tasks, folder, options)


def options_of(objective: ObjectiveName, by: Granularity, paths: Sequence[str]) -> FitOptions:
    return FitOptions(objective=objective, by=by, base=paths[3] if objective == "entropy" else None)


def state_of(fit: Fit, objective: ObjectiveName, n_rows: int) -> Adam:
    """Return free numbers whose coefficients are whole parts of a power of two, so that nothing is rounded."""
    draw = np.random.default_rng(5)
    if objective == "nll":
        parts = draw.permuted(np.tile([1.0, 2.0, 5.0], (n_rows, 1)), axis=1)
        free = np.log(parts / 8)
    else:
        free = (2 * draw.integers(-8, 40, (n_rows, 3)) + 1) / 64  # some below 0, some above 1, none at an end
        free[0] = [0.25, 0.75, 1.25]
    return replace(Adam.at(0.0, (n_rows, 3)), free=free)


def ingredients(soup: SoupModel) -> list[dict[str, Any]]:
    """Return the float tensors of every ingredient, all in memory."""
    found = []
    for path in soup.ingredients:
        tensors = read_file(Path(path, "model.safetensors"))
        found.append(
            {
                name: torch.frombuffer(bytearray(data), dtype=torch.float64).reshape(shape)
                for name, (dtype, shape, data) in tensors.items()
                if dtype == "F64"
            }
        )
    return found


def loss_by_autograd(
    soup: SoupModel, item: Item, objective: ObjectiveName, weights: Mapping[str, Any]
) -> Any:
    """Return the loss of one item, of its definition in docs/fit.md."""
    model: Any = soup.model

    def tokens(text: str) -> list[int]:
        found: list[int] = soup.tokenizer(text, add_special_tokens=False)["input_ids"]
        return found

    def logs(given: Sequence[int]) -> Any:
        called = torch.func.functional_call(model, dict(weights), (torch.tensor([given]),), tie_weights=True)
        return called.logits[0].log_softmax(-1)

    def said(prompt: str, answer: str) -> Any:
        whole = [1, *tokens(prompt + answer)]
        scored = len(whole) - 1 - len(tokens(prompt.rstrip()))
        return logs(whole[:-1])[-scored:].gather(1, torch.tensor(whole[-scored:])[:, None])

    def entropy(found: Any) -> Any:
        return -(found.exp() * found).sum(-1)

    if objective == "nll":
        return -said(item.prompt, item.answer).mean()
    if item.kind == "multiple_choice":
        return entropy(torch.stack([said(item.prompt, one).sum() for one in item.choices]).log_softmax(0))
    if item.kind == "perplexity":
        return entropy(logs([1, *tokens(item.answer)][:-1])).mean()
    return entropy(logs([1, *tokens(item.prompt)])[-1])


def by_autograd(
    fit: Fit, tasks: Tasks, state: Adam, objective: ObjectiveName, rows: Mapping[str, int]
) -> tuple[float, Any]:
    soup = fit.soup
    free = torch.tensor(state.free, requires_grad=True)
    models = ingredients(soup)
    if objective == "nll":
        coefficients = free.softmax(1)
        mixed = {
            name: sum(coefficients[row, k] * models[k][name] for k in range(3)) for name, row in rows.items()
        }
    else:
        coefficients = free.clamp(0, 1)
        base = models[3]
        mixed = {
            name: base[name] + sum(coefficients[row, k] * (models[k][name] - base[name]) for k in range(3))
            for name, row in rows.items()
        }
    losses = [loss_by_autograd(soup, item, objective, mixed) for item in tasks.items]
    loss = torch.stack(losses).mean()
    loss.backward()
    return float(loss), free.grad.numpy()


@pytest.mark.parametrize("by", ["tensor", "model"])
@pytest.mark.parametrize("objective", ["nll", "entropy"])
@pytest.mark.parametrize("head", HEADS)
def test_gradients_are_those_of_autograd(
    experts: Callable[[Head], list[str]],
    tasks: Tasks,
    tmp_path: Path,
    head: Head,
    objective: ObjectiveName,
    by: Granularity,
) -> None:
    paths = experts(head)
    fit = fit_of(paths, tasks, tmp_path / "fit", options_of(objective, by, paths))
    names = [name for name in ingredients(fit.soup)[0] if not (head != "untied" and name == "lm_head.weight")]
    assert sorted(names) == sorted(fit.soup.averaged)
    rows = {name: 0 if by == "model" else i for i, name in enumerate(fit.soup.averaged)}
    state = state_of(fit, objective, max(rows.values()) + 1)
    loss, gradient = fit.gradient(state, [item.key for item in tasks.items])
    expected_loss, expected = by_autograd(fit, tasks, state, objective, rows)
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-12)
    if objective == "entropy":
        outside = (state.free < 0) | (state.free > 1)
        assert outside.any()
        assert not gradient[outside].any()


def test_the_ends_of_a_clamp_are_inside() -> None:
    """Torch lets no gradient through there since some version: what has reached an end would stay."""
    free = np.array([[0.0, 1.0, -1e-9, 1 + 1e-9]])
    assert Clamped().gradient(free, np.ones((1, 4))).tolist() == [[1, 1, 0, 0]]


def test_no_gradient_is_left_and_none_is_wanted(
    experts: Callable[[Head], list[str]], tasks: Tasks, tmp_path: Path
) -> None:
    fit = fit_of(experts("tied"), tasks, tmp_path / "fit", FitOptions())
    fit.gradient(Adam.at(0.0, (len(fit.soup.averaged), 3)), [tasks.items[0].key])
    assert all(one.grad is None and not one.requires_grad for one in fit.soup.model.parameters())


def test_gradients_are_slopes_of_the_objective(
    experts: Callable[[Head], list[str]], tasks: Tasks, tmp_path: Path
) -> None:
    """By central differences of what is published, which steps of a power of two round nowhere."""
    paths = experts("tied")
    fit = fit_of(paths, tasks, tmp_path / "fit", options_of("entropy", "tensor", paths))
    keys, step = [item.key for item in tasks.items], Fraction(1, 1 << 12)
    state = Adam.at(0.5, (len(fit.soup.averaged), 3))
    _, gradient = fit.gradient(state, keys)
    for place in [(0, 0), (3, 1), (5, 2), (7, 0)]:
        values = []
        for sign in (1, -1):
            free = state.free.copy()
            free[place] += sign * float(step)
            values.append(fit.gradient(replace(state, free=free), keys)[0])
        slope = (values[0] - values[1]) / float(2 * step)
        assert gradient[place] == pytest.approx(slope, rel=1e-4, abs=1e-8)


def test_no_thread_of_the_core_changes_a_bit(
    experts: Callable[[Head], list[str]], tasks: Tasks, tmp_path: Path
) -> None:
    found = []
    for threads in (1, 3):
        fit = fit_of(experts("untied"), tasks, tmp_path / str(threads), FitOptions(), num_threads=threads)
        state = Adam.at(0.0, (len(fit.soup.averaged), 3))
        found.append(fit.gradient(state, [item.key for item in tasks.items])[1].tobytes())
    assert found[0] == found[1]
