"""One server of tiny models for all tests of it: starting another takes seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.tiny_models import save_models

from soce.evaluate.engines.engine import EngineOptions
from soce.evaluate.served.model import ServedModel

TEMPLATE = (
    "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}.{% endfor %}"
    "{% if tools %}t:{% for tool in tools %}{{ tool.function.name }}{% endfor %}.{% endif %}"
    "{% if add_generation_prompt %}a:{% endif %}"
)


@pytest.fixture(scope="session")
def ingredients(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    paths = save_models(tmp_path_factory.mktemp("served"), 3)
    for path in paths:
        (Path(path) / "chat_template.jinja").write_text(TEMPLATE)
    return paths


@pytest.fixture(scope="session")
def served(ingredients: list[str]) -> Iterator[ServedModel]:
    """A model that is served by transformers one request after the other, so that no bit depends on others."""
    options = EngineOptions(arguments=("--device", "cpu", "--batch-size", "1"), start_seconds=200)
    model = ServedModel.start(ingredients, "transformers", options)
    yield model
    model.close()
