"""The heatmap as a file: formats, names that are no markup, undefined cells, same bytes twice, nothing half written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import soce
from soce.exceptions import OutputError
from soce.scores.table import ScoreTable
from soce.selection.correlation import Correlation, correlate_categories
from soce.selection.heatmap import check_plot, save_heatmap

pytest.importorskip("matplotlib")

STARTS = {"png": b"\x89PNG\r\n\x1a\n", "svg": b"<?xml", "pdf": b"%PDF-"}


def correlation(n_categories: int = 4, *, names: list[str] | None = None) -> Correlation:
    random = np.random.default_rng(0)
    columns = {
        name: random.random(12).tolist() for name in names or [f"category {n}" for n in range(n_categories)]
    }
    columns["flat"] = [1.0] * 12
    return correlate_categories(ScoreTable.of(columns, models=[f"m{n}" for n in range(12)]))


def texts(found: Correlation) -> list[str]:
    from matplotlib import pyplot as plt
    from matplotlib.text import Text

    axes = soce.plot_correlation(found)
    plt.close(axes.get_figure())
    return [text.get_text() for text in axes.findobj(Text)]


def test_it_draws_in_axes_of_the_caller_and_returns_them() -> None:
    from matplotlib.figure import Figure

    left, right = Figure(figsize=(10, 5)).subplots(1, 2)
    assert soce.plot_correlation(correlation(), ax=left) is left
    assert [label.get_text() for label in left.get_yticklabels()] == list(correlation().order())
    assert not right.has_data()


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf", "PNG"])
def test_same_correlation_same_bytes(suffix: str, tmp_path: Path) -> None:
    first = save_heatmap(correlation(), tmp_path / f"a.{suffix}")
    second = save_heatmap(correlation(), str(tmp_path / f"b.{suffix}"))
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes().startswith(STARTS[suffix.lower()])
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a.{suffix}", f"b.{suffix}"]


def test_order_of_the_table_does_not_show(tmp_path: Path) -> None:
    table = ScoreTable.of({"a": [1, 2, 4, 3], "b": [2, 1, 3, 5], "c": [9, 1, 3, 3]}, models=list("wxyz"))
    turned = table.take(models=list("zyxw"), columns=["c", "a", "b"])
    first = save_heatmap(correlate_categories(table), tmp_path / "a.svg")
    second = save_heatmap(correlate_categories(turned), tmp_path / "b.svg")
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("name", "words"),
    [("a.gif", "cannot draw a `.gif`"), ("heatmap", "cannot draw a file without suffix")],
)
def test_other_formats_are_refused(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError) as caught:
        save_heatmap(correlation(), tmp_path / name)
    assert words in str(caught.value)
    assert "hint: end the name in .png, .svg or .pdf" in str(caught.value)
    with pytest.raises(OutputError, match="cannot draw"):
        check_plot(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(OutputError, match="drawing needs matplotlib\nhint: pip install 'soce\\[report\\]'"):
        save_heatmap(correlation(), tmp_path / "a.png")


def test_an_existing_file_is_replaced_only_by_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.svg"
    path.write_text("old")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fail)
        with pytest.raises(OSError, match="No space left"):
            save_heatmap(correlation(), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    save_heatmap(correlation(), path)
    assert path.read_bytes().startswith(b"<?xml")


def test_a_folder_that_is_not_there_is_a_system_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        save_heatmap(correlation(), tmp_path / "no" / "a.png")


def test_names_are_text_not_markup(tmp_path: Path) -> None:
    names = ["$x_1$", "b\x1b[2J", "\\alpha^2", "n" * 300, "<script>", "语言"]
    found = correlation(names=names)
    written = texts(found)
    assert {"$x_1$", "b\\u{1b}[2J", "\\alpha^2", "<script>", "n" * 43 + "…"} < set(written)
    for suffix in STARTS:
        save_heatmap(found, tmp_path / f"a.{suffix}")
    assert b"<script>" not in (tmp_path / "a.svg").read_bytes()


def test_cells_hold_rho_unless_there_are_too_many() -> None:
    found = correlation()
    expected = f"{found.rho[0, 1]:.2f}".replace("-", "\u2212")
    assert texts(found).count(expected) >= 2
    many = correlation(45)
    assert f"{many.rho[0, 1]:.2f}".replace("-", "\u2212") not in texts(many)


def test_the_caption_says_how_sure_we_are() -> None:
    caption = next(text for text in texts(correlation()) if "Pearson" in text)
    plain = " ".join(caption.split())
    assert "Pearson's ρ of 5 categories, n = 12 models. |ρ| < 0.58 (marks on the scale)" in plain
    assert "Hatched: undefined." in plain


def test_the_caption_says_how_many_models_pairs_share() -> None:
    columns = {"a": [1, 2, 3, 4, None], "b": [2, 1, 4, 3, 1], "c": [1, 1, 3, None, 2]}
    found = correlate_categories(ScoreTable.of(columns, models=list("vwxyz")))
    caption = next(text for text in texts(found) if "Pearson" in text)
    assert "n = 3–4 models with both scores" in " ".join(caption.split())


def test_nothing_defined_is_drawn_all_the_same(tmp_path: Path) -> None:
    table = ScoreTable.of({"a": [1, 1, 1], "b": [None, None, 1]}, models=list("xyz"))
    assert save_heatmap(correlate_categories(table), tmp_path / "a.png").stat().st_size > 1000


def test_global_state_of_matplotlib_is_left_alone(tmp_path: Path) -> None:
    script = (
        "import sys; from tests.selection.test_heatmap import correlation, save_heatmap\n"
        "assert 'matplotlib.figure' not in sys.modules\n"
        "import matplotlib as mpl\n"
        "def state(): return {key: mpl.rcParams[key] for key in mpl.rcParams if key != 'backend'}\n"
        "before = state()\n"
        f"save_heatmap(correlation(), {str(tmp_path / 'a.png')!r})\n"
        "assert state() == before\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    root = Path(__file__).parents[2]
    search = os.pathsep.join([str(root), *sys.path])
    subprocess.run([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": search}, check=True)
