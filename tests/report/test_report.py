"""The report of a run: what it says, that all formats say the same, and what it does with runs that lack something."""

from __future__ import annotations

import html
import json
import re
import shutil
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.report_runs import CATEGORIES, Kitchen, make_run

from soce.analysis.games import ShapleyPlan
from soce.analysis.parents import Family
from soce.cli.report import report as command
from soce.evaluate.evaluation import Evaluation
from soce.evidence.interval import paired_interval
from soce.exceptions import OutputError, StudyError
from soce.report.build import build_report
from soce.report.document import Figure, Table
from soce.report.figures.canvas import svg
from soce.report.figures.rows import Bar, Bars, Differences
from soce.report.report import Report, format_of
from soce.report.run_view import RunView
from soce.scores.table import ScoreTable
from soce.scores.tables.long import write_scores
from soce.search.open import open_run
from soce.search.strategies.race.race import Race
from soce.store.file import StoreFile

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")
pytest.importorskip("optuna")

ANCHORS = [
    *("summary", "result", "categories", "selection", "weights", "shapley", "wins", "answers"),
    *("consistency", "parents", "overfit", "warnings", "costs", "reproduce"),
]
MODELS = ("ash", "birch", "cedar", "elm")
HOSTILE = (
    "<script>alert(1)</script>",
    "b`code`\u202eevil|pipe",
    "长长的名字",
    "d [link](javascript:alert(1)) $x^2$",
)
HOSTILE_CATEGORIES = ("<img src=x onerror=alert(1)>", "cat `tick`", "$\\alpha_{1}$", "a|b\u2066c")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a finished run of three experts; tests that change it copy it."""
    folder = tmp_path_factory.mktemp("report") / "run"
    assert make_run(folder) is not None
    return folder


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return report.to_html()


@pytest.fixture(scope="module")
def report(made: Path) -> Report:
    return build_report(open_run(made), why_not_more="nobody said how")


def draw(figure: Figure, width: int) -> str:
    return svg(figure.drawing, width, name="x", title=figure.title, description=figure.description)


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    assert "Traceback" not in result.stderr
    return result


class Texts(HTMLParser):
    """The texts of a page's tables, lists and code, and every tag that it has."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cells: list[str] = []
        self.words = ""
        self._inside = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag in {"td", "th", "dd", "dt"}:
            self.cells.append("")
            self._inside += 1

    def handle_endtag(self, tag: str) -> None:
        if tag in {"td", "th", "dd", "dt"}:
            self._inside -= 1

    def handle_data(self, data: str) -> None:
        self.words += data
        if self._inside:
            self.cells[-1] += data


def test_every_section_is_there_and_says_what_it_lacks(report: Report) -> None:
    assert [section.anchor for section in report.sections] == ANCHORS
    lacking = {section.anchor: section.missing for section in report.sections if section.missing}
    assert set(lacking) == {"shapley", "answers", "overfit", "reproduce"}
    assert lacking["answers"][0].startswith("What was said to them: the evaluator hands no answers over")
    assert lacking["shapley"] == [
        "Shapley values: 3 of the 7 uniform soups of the experts were never scored; nobody said how.",
    ]
    assert "`--other-benchmarks`" in lacking["overfit"][0]
    assert lacking["reproduce"] == [
        "The command of the search, which a published soup records: the published soup does not hold it.",
    ]


def test_the_numbers_are_those_of_the_result(made: Path, report: Report) -> None:
    result = json.loads((made / "search" / "result.json").read_text())
    summary = report.section("summary").data
    assert summary["best"] == result["best"]
    assert summary["against_best_single"] in result["comparisons"]
    ablation = report.section("result").data["ablation"]
    assert [row["label"] for row in ablation["rows"]] == [arm["label"] for arm in result["arms"]]
    by_pair = {(one["first"], one["second"]): one for one in result["comparisons"]}
    for one in ablation["differences"]:
        if (one["first"], one["second"]) in by_pair:
            assert one["percentage_points"] == by_pair[one["first"], one["second"]]["percentage_points"]
    assert report.section("weights").data["ranked"] == result["ranked"]
    best = result["best"]["report"]["categories"]
    gains = report.section("categories").data["gains"]["categories"]
    assert {one["category"]: one["soup"] for one in gains} == best
    wins = report.section("wins").data
    assert wins["solved"]["soce"] == round(sum(best.values()) / len(best) * wins["n_items"])
    kept = StoreFile(made / "search").size()
    assert report.section("costs").data["n_evaluations"] == kept.n_evaluations > 0


def test_soups_near_the_chosen_one_and_its_change_are_of_kept_outcomes(made: Path) -> None:
    view = RunView(open_run(made))
    assert len(view.to_chosen) == len(view.result.ranked) - 1
    for place, interval in view.to_chosen.items():
        behind = float(view.result.ranked[place].value) - view.soup.selection.value
        assert interval.difference == pytest.approx(behind, abs=1e-12)
    assert "cannot be told from the chosen one" in str(build_report(view.run).section("weights").blocks)
    drops = [arm.drop for arm in view.result.singles]
    assert view.change is not None
    assert view.change.difference == pytest.approx(sum(drops) / len(drops) - view.soup.drop, abs=1e-12)
    assert view.change.low < view.change.difference < view.change.high


def test_gains_over_parents_have_the_intervals_of_the_same_items(made: Path, report: Report) -> None:
    view, data = RunView(open_run(made)), report.section("parents").data
    known = view.evaluations("report")
    assert data["gain_intervals"].keys() == data["net_gain"].keys() == set(CATEGORIES)
    for name, gain in data["net_gain"].items():
        interval = data["gain_intervals"][name]
        assert interval["difference"] == pytest.approx(gain["mean"], abs=1e-12)
        assert interval["low"] < interval["difference"] < interval["high"]
        assert interval["n_items"] == len((known["soce"].items or {})[name])
    alone = view.gains_over_parents([Family(("ash",), "soce")], known)
    for name, found in alone.items():
        one = paired_interval(known["soce"], known["ash"], weights={name: Fraction(1)})
        assert (found.difference, found.low, found.high) == (one.difference, one.low, one.high)


def test_gains_are_positive_where_lower_is_better_and_the_soup_is_lower(made: Path) -> None:
    def model(failed: int) -> Evaluation:
        outcomes = {"errors": {str(item): float(item < failed) for item in range(100)}}
        return Evaluation.of_items(outcomes, higher_is_better={"errors": False})

    known = {"a": model(50), "b": model(70), "soup": model(40)}
    (gain,) = RunView(open_run(made)).gains_over_parents([Family(("a", "b"), "soup")], known).values()
    assert gain.difference == pytest.approx(0.2, abs=1e-12)


def test_without_outcomes_nothing_is_near_and_gains_have_no_interval(tmp_path: Path) -> None:
    make_run(tmp_path / "run", kitchen=Kitchen(MODELS, 3, has_items=False))
    view = RunView(open_run(tmp_path / "run"))
    assert view.to_chosen == {}
    assert view.change is None
    parents = build_report(view.run).section("parents").data
    assert parents["gain_intervals"] == {}
    assert parents["net_gain"]


def test_points_and_relative_percent_are_never_both_called_percent(report: Report) -> None:
    table = next(
        block
        for block in report.section("result").blocks
        if isinstance(block, Table) and block.caption.startswith("Ablation")
    )
    for row, one in zip(table.rows, report.section("result").data["ablation"]["differences"], strict=True):
        assert row[2].text.endswith(" pp")
        assert row[2].value == pytest.approx(one["percentage_points"], rel=1e-12)
        assert row[3].text.endswith(" %")
        assert row[3].value == one["relative_percent"]


def test_all_formats_hold_the_same_key_figures(report: Report, page: str) -> None:
    found, text, data = Texts(page), report.to_markdown(), report.to_json()
    n_cells = 0
    for section, plain in zip(report.sections, data["sections"], strict=True):
        assert html.unescape(section.title) in found.words
        assert section.title.replace(",", ",") in text
        for block, kept in zip(section.blocks, plain["blocks"], strict=True):
            if isinstance(block, Table):
                assert kept["rows"] == [[one.to_json() for one in row] for row in block.rows]
                for row in block.rows:
                    for one in row:
                        n_cells += 1
                        words = one.text.replace("`", "")
                        assert words in found.cells
                        assert re.sub(r"[\W_]+", "", words) in re.sub(r"[\W_]+", "", text)
            elif isinstance(block, Figure):
                assert kept["description"] == block.description
    assert n_cells > 150
    assert json.loads(report.text("json")) == data


def test_texts_that_were_cut_differently_are_told_above_the_verdict(copied: Path) -> None:
    path = copied / "search" / "result.json"
    data = json.loads(path.read_text())
    for number, arm in enumerate(data["arms"]):
        arm["report"]["truncation"] = {
            "math": {"n_cut": number, "n_texts": 50},
            "code": {"n_cut": 0, "n_texts": 9},
        }
    path.write_text(json.dumps(data))
    report = build_report(open_run(copied))
    caution = report.caution
    assert caution is not None
    assert "texts of `" in caution
    for text in (report.to_markdown().replace("\\", ""), html.unescape(report.to_html())):
        plain = re.sub(r"</?code>", "`", text)
        assert 0 < plain.index(caution) < plain.index(report.verdict)
    (table,) = (one for one in report.section("result").blocks if isinstance(one, Table) and "ended only" in one.caption)  # fmt: skip
    assert table.header == ("arm", "math")
    assert [row[1].text for row in table.rows][:2] == ["0.0 % (0 of 50)", "2.0 % (1 of 50)"]
    assert report.to_json()["caution"] == caution


def test_the_same_run_gives_the_same_bytes(made: Path, report: Report, page: str) -> None:
    again = build_report(open_run(made), why_not_more="nobody said how")
    assert again.to_html() == page
    assert again.to_markdown() == report.to_markdown()
    assert again.to_json() == report.to_json()


def test_the_page_needs_nothing_beside_it(page: str) -> None:
    tags = Texts(page).tags
    for tag, attributes in tags:
        assert tag not in {"img", "link", "iframe", "object", "embed", "base", "form"}
        assert not attributes.get("src")
        href = attributes.get("href")
        assert href is None or href.startswith("#"), (tag, href)
        assert not any(name.startswith("on") for name in attributes)
    (policy,) = [one["content"] or "" for tag, one in tags if tag == "meta" and "http-equiv" in one]
    assert policy.startswith("default-src 'none'; ")
    assert [tag for tag, _ in tags].count("script") == 1
    assert "url(" not in page.replace("url(#", "")
    ids = [attributes["id"] for _, attributes in tags if attributes.get("id")]
    assert len(ids) == len(set(ids))
    for _, attributes in tags:
        for name in ("aria-labelledby", "href"):
            for target in (attributes.get(name) or "").removeprefix("#").split():
                assert target in ids


def test_every_figure_has_words_and_text_stays_text(report: Report) -> None:
    figures = [block for section in report.sections for block in section.blocks if isinstance(block, Figure)]
    assert {figure.name for figure in figures} == {
        *("arms", "differences", "categories", "correlation", "weights"),
        *("consistency-before", "consistency-after"),
    }
    for figure in figures:
        for width in (340, 720):
            drawing = draw(figure, width)
            assert f'viewBox="0 0 {width} ' in drawing
            assert 'role="img"' in drawing
            assert html.escape(figure.title, quote=False) in drawing
            assert html.escape(figure.description, quote=False) in drawing
            assert "<text" in drawing
            assert not re.search(r"#0[0-9a]00", drawing), "a colour of the theme that was not replaced"


def test_only_dots_whose_interval_leaves_0_out_are_full() -> None:
    def dot(interval: tuple[float, float] | None) -> str:
        return svg(
            Differences([Bar("a", 1.0, "+1", "soup", interval)], ""), 720, name="x", title="", description=""
        )

    def look(interval: tuple[float, float] | None) -> set[str]:
        return set(re.findall(r"fill: ?[^;\"]+", dot(interval)))

    assert look((0.5, 1.5)) != look((-0.5, 2.5))
    assert look(None) == look((-0.5, 2.5))


def test_a_number_in_a_name_is_no_number_of_a_drawing() -> None:
    bars = Bars([Bar("model-3.14159  v2", 1.23456, "1.23456"), Bar("#010001", 2.0, "2")], "axis 0.12345")
    drawing = svg(bars, 720, name="x", title="0.98765", description="")
    for text in ("model-3.14159  v2", "1.23456", "#010001", "axis 0.12345", "0.98765"):
        assert f">{text}</" in drawing
    assert not re.search(r'="[^"]*\d\.\d{3}', drawing)  # but places are short


def test_names_never_become_markup(tmp_path: Path) -> None:
    kitchen = Kitchen(HOSTILE, 3, categories=HOSTILE_CATEGORIES)
    make_run(tmp_path / "run", HOSTILE, 3, kitchen=kitchen)
    report = build_report(open_run(tmp_path / "run"))
    page, text, data = report.to_html(), report.to_markdown(), report.text("json")
    found = Texts(page)
    assert [tag for tag, _ in found.tags].count("script") == 1
    assert "img" not in {tag for tag, _ in found.tags}
    assert not any(href.startswith("javascript") for _, one in found.tags if (href := one.get("href") or ""))
    assert HOSTILE[0] in found.cells
    for written in (page, text, data):
        assert "\u202e" not in written
        assert "\u2066" not in written
    assert r"\u{202e}" in page
    assert r"\<script\>alert\(1\)\</script\>" in text
    # Outside code, no bracket, backtick or less-than sign of a name is left unescaped.
    outside = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    assert not re.search(r"(?<!\\)(?:<|\]\(javascript)", outside)
    rows = [line for line in text.splitlines() if line.startswith("|")]
    tables = re.findall(r"(?m)(?:^\|.*\n)+", text)
    assert sum(table.count("\n") for table in tables) == len(rows)
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1
    assert json.loads(data)["sections"][0]["data"]["best"]["parts"].keys() <= set(HOSTILE)


@pytest.mark.parametrize(
    ("experts", "drawing"), [(2, "weight of ash"), (3, "fuller is better"), (4, "in each panel")]
)
def test_weights_are_drawn_by_how_many_there_are(tmp_path: Path, experts: int, drawing: str) -> None:
    make_run(tmp_path / "run", MODELS, experts, step="1/5")
    section = build_report(open_run(tmp_path / "run")).section("weights")
    (figure,) = [block for block in section.blocks if isinstance(block, Figure)]
    assert drawing in figure.caption + draw(figure, 720)
    # Every soup is a mark with its weights and its value.
    marks = re.findall(r'<g class="tip"><title>([^<]*)', draw(figure, 340))
    ranked = section.data["ranked"]
    assert len(marks) >= len(ranked)
    assert any(f"{100 * ranked[0]['value']:.2f}" in mark for mark in marks)


def test_a_race_is_told_as_people_write_it_and_its_soups_by_what_they_were_scored_on(tmp_path: Path) -> None:
    race = Race(epsilon=Fraction(1, 5), confidence=Fraction(9, 10), fewest=10)
    result = make_run(tmp_path / "run", MODELS, step="1/5", publishes=False, strategy=race)
    assert result is not None
    assert len(result.ranked) == 1 < result.n_candidates
    report = build_report(open_run(tmp_path / "run"))
    assert report.section("weights").missing == [
        "The objective over the weights: fewer than two soups were scored on all items to choose on."
    ]
    told = report.to_markdown()
    assert "race, epsilon 20 pp, confidence 90 %, fewest 10, seed 0" in told
    assert "The best 1 of 1 soups scored on all selection items" in told
    assert "The race: confidence 90 % that none of " in told
    assert result.certificate is not None
    n_near = len(result.certificate.survivors)
    assert re.search(rf"Not told apart from it by the race\W+{n_near or 'no other'}\b", told)


# ---- what is missing


def test_a_run_that_was_stopped_before_the_search(tmp_path: Path) -> None:
    make_run(tmp_path / "run", finishes=False)
    report = build_report(open_run(tmp_path / "run"))
    assert report.tone == "open"
    assert report.verdict == "There is no result yet: nothing was searched yet: there is no `study.json`"
    assert report.section("result").missing == ["nothing was searched yet: there is no `study.json`"]
    assert report.section("selection").missing == []
    assert report.section("selection").data["correlation"]["n_models"] == 4
    assert "Not shown" in report.to_html()
    assert "*Not shown:*" in report.to_markdown()


def test_a_search_that_was_stopped_says_how_far_it_is(copied: Path) -> None:
    (copied / "search" / "result.json").unlink()
    shutil.rmtree(copied / "soup")
    report = build_report(open_run(copied))
    words = (
        "the search is not finished: 42 models and soups are scored so far; the same command goes on with it"
    )
    assert report.section("result").missing == [words]
    facts = report.to_json()["sections"][0]["blocks"][0]["facts"]
    assert {fact["name"]: fact["value"] for fact in facts}["Soups and models scored so far"] == 42
    assert report.section("reproduce").data["digests"].keys() == {"scores"}


def test_a_run_of_one_ingredient(tmp_path: Path) -> None:
    make_run(tmp_path / "run", MODELS, 1)
    report = build_report(open_run(tmp_path / "run"))
    assert report.title == "One model, no soup: ash"
    assert report.section("wins").missing == ["Win rates: the soup is its one ingredient."]
    assert report.section("shapley").missing == [
        "Shapley values: there is one expert, and nothing to divide.",
    ]
    told = report.to_markdown()
    assert "There is one expert" in told
    assert "no outcomes by item" not in told


def test_scores_without_outcomes_by_item(tmp_path: Path) -> None:
    make_run(tmp_path / "run", kitchen=Kitchen(MODELS, 3, has_items=False, scale=None))
    report = build_report(open_run(tmp_path / "run"))
    assert report.tone != "good"
    told = report.to_markdown()
    assert "optimistic" in told
    assert "the the" not in told
    assert "percentages" not in told, "nobody says that scores are shares"
    assert report.section("wins").missing == ["Win rates: the scores of `birch` do not tell items apart."]
    assert "no outcomes by item" in report.to_markdown()


def test_graded_outcomes_have_no_win_rates(tmp_path: Path) -> None:
    make_run(tmp_path / "run", kitchen=Kitchen(MODELS, 3, graded=True))
    (reason,) = build_report(open_run(tmp_path / "run")).section("wins").missing
    assert reason.startswith("Win rates: ")
    assert "the outcome is 0." in reason


def test_an_ingredient_with_other_categories(copied: Path) -> None:
    """The scores of one ingredient lose a category: what needs all of them says so, the rest is there."""
    path = copied / "search" / "result.json"
    data = json.loads(path.read_text())
    arm = next(arm for arm in data["arms"] if arm["label"] == "ash")
    del arm["report"]["categories"]["algebra"]
    path.write_text(json.dumps(data))
    report = build_report(open_run(copied))
    reason = "the scores of `ash` that are kept are not those of the result"
    assert report.section("categories").missing == [f"Gains with intervals: {reason}."]
    assert report.section("wins").missing[0].startswith("Win rates: the outcomes by item that are kept")
    assert report.section("result").data["ablation"]["beats_best_single"] == data["beats_best_single"]
    report.to_markdown()


@pytest.mark.parametrize(
    ("name", "anchor", "words"),
    [
        ("search/result.json", "result", "`result.json` cannot be read"),
        ("search/study.json", "wins", "the study cannot be read"),
        ("selection.yaml", "selection", "`selection.yaml` cannot be read"),
        ("soup/soce.json", "costs", "`soce.json` is damaged"),
    ],
)
@pytest.mark.parametrize("content", [b"\xff{", b"[" * 100_000, b"[]", b'{"format": 1, "arms": [{}]}'])
def test_damaged_files_are_named_and_the_rest_is_shown(
    copied: Path, name: str, anchor: str, words: str, content: bytes
) -> None:
    (copied / name).write_bytes(content)
    report = build_report(open_run(copied))
    missing = " ".join(report.section(anchor).missing)
    assert words in missing or "is not a manifest" in missing or "cannot be read" in missing
    assert len(report.sections) == len(ANCHORS)
    report.to_markdown()


def test_damaged_outcomes_cost_only_what_needs_them(copied: Path) -> None:
    (copied / "search" / "store.db").write_bytes(b"SQLite format 3\0" * 512)
    report = build_report(open_run(copied))
    assert report.section("wins").missing
    assert report.section("result").data["ablation"]
    assert report.section("consistency").missing
    report.to_markdown()


def test_another_score_table_is_not_taken_for_the_one(copied: Path) -> None:
    table = ScoreTable.of({"algebra": [1, 2, 3], "coding": [3, 1, 2]}, models=["ash", "birch", "cedar"])
    (copied / "scores.csv").unlink()
    write_scores(table, copied / "scores.csv")
    section = build_report(open_run(copied)).section("selection")
    assert section.data["correlation"]["categories"] == list(CATEGORIES)
    assert "is not there, or is another one now" in build_report(open_run(copied)).to_markdown()


def test_a_search_alone_needs_its_selection(made: Path) -> None:
    found = open_run(made / "search")
    assert found.kind == "search"
    section = build_report(found).section("selection")
    assert "name it with `--selection`" in section.missing[0]
    assert section.data["correlation"]["n_models"] == 4
    again = build_report(open_run(made / "search", selection=made / "selection.yaml"))
    assert again.section("selection").missing == []


@pytest.mark.parametrize("what", ["empty", "file", "strangers", "nothing"])
def test_what_is_no_run_is_one_error(tmp_path: Path, what: str) -> None:
    place = tmp_path / "place"
    if what == "file":
        place.write_text("x")
    elif what != "nothing":
        place.mkdir()
    if what == "strangers":
        (place / "thesis.tex").write_text("x")
    found = run(place, "-o", tmp_path / "report.html")
    assert found.exit_code == 1
    assert found.stderr.count("error:") == 1
    assert found.stdout == ""
    assert not (tmp_path / "report.html").exists()


# ---- the command


def test_the_command_writes_beside_the_run_and_says_where(copied: Path) -> None:
    found = run(copied, "--no-evaluate")
    assert (found.exit_code, found.stdout) == (0, "")
    first, *lines = found.stderr.splitlines()
    assert first == f"wrote `{copied / 'report.html'}`"
    assert "the report says why: `What each model is worth`" in " ".join(line.strip() for line in lines)
    before = (copied / "report.html").read_bytes()
    assert run(copied, "--no-evaluate", "--quiet").stderr == ""
    assert (copied / "report.html").read_bytes() == before


def test_the_format_is_the_ending_or_what_is_asked_for(copied: Path, tmp_path: Path) -> None:
    for name, start in (
        ("a.md", "# "),
        ("a.json", "{"),
        ("a.html", "<!DOCTYPE html>"),
        ("a.HTM", "<!DOCTYPE"),
    ):
        assert run(copied, "-o", tmp_path / name, "-q", "--no-evaluate").exit_code == 0
        assert (tmp_path / name).read_text().startswith(start)
    found = run(copied, "-o", "-", "--format", "json", "--no-evaluate")
    assert json.loads(found.stdout) == json.loads((tmp_path / "a.json").read_text())
    refused = run(copied, "-o", tmp_path / "a.docx")
    assert refused.exit_code == 1
    assert "a report is not written as a `.docx` file" in refused.stderr
    with pytest.raises(OutputError, match="a file without an ending"):
        format_of("report")


def test_what_does_not_go_together_is_refused(copied: Path) -> None:
    found = run(copied, "--no-evaluate", "-e", "tasks.jsonl")
    assert found.exit_code == 2
    assert "--no-evaluate does not go with an evaluator" in found.stderr


def test_soups_that_are_missing_are_scored_once_and_kept(copied: Path) -> None:
    kitchen = Kitchen(MODELS, 3)

    def score(plan: ShapleyPlan) -> None:
        plan.evaluate(kitchen)

    first = build_report(open_run(copied), score_more=score)
    assert kitchen.calls == 3
    values = first.section("shapley").data["singles"]["values"]
    total = sum(one["value"] for one in values.values())
    uniform = next(arm for arm in open_run(copied).result.arms if arm.kind == "uniform-selected")  # type: ignore[union-attr]
    assert total == pytest.approx(uniform.report.value, abs=1e-12)
    again = build_report(open_run(copied))
    assert again.section("shapley") == first.section("shapley") or (
        again.section("shapley").data == first.section("shapley").data
    )
    assert first.section("shapley").data.keys() == {"singles", "pairs"}


def test_other_benchmarks_are_checked(copied: Path, tmp_path: Path) -> None:
    rows = [
        "model,trivia,logic,algebra",
        "ash,60,50,40",
        "birch,62,48,41",
        "cedar,58,49,42",
        "my soup,57,55,70",
    ]
    (tmp_path / "others.csv").write_text("\n".join(rows) + "\n")
    found = run(
        copied, "--other-benchmarks", tmp_path / "others.csv", "--no-evaluate", "-o", "-", "--format", "json"
    )
    section = next(one for one in json.loads(found.stdout)["sections"] if one["anchor"] == "overfit")
    assert section["missing"] == []
    assert section["data"]["regressions"] == ["trivia"]
    flags = {one["benchmark"]: (one["flag"], one["took_part"]) for one in section["data"]["benchmarks"]}
    assert flags == {
        "trivia": ("below_min", False),
        "logic": ("above_max", False),
        "algebra": ("above_max", True),
    }
    (tmp_path / "more.csv").write_text("\n".join([*rows, "another,1,2,3"]) + "\n")
    found = run(
        copied, "--other-benchmarks", tmp_path / "more.csv", "--no-evaluate", "-o", "-", "--format", "json"
    )
    section = next(one for one in json.loads(found.stdout)["sections"] if one["anchor"] == "overfit")
    assert "2 rows of the other benchmarks may be the soup" in section["missing"][0]


def test_without_jinja2_the_error_says_what_to_install(
    copied: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    found = run(copied, "-o", tmp_path / "a.html")
    assert found.exit_code == 1
    assert "pip install 'soce[report]'" in found.stderr
    assert run(copied, "-o", tmp_path / "a.md", "--no-evaluate").exit_code == 0


def test_an_existing_report_is_replaced_only_by_a_whole_one(
    copied: Path, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = copied / "report.md"
    target.write_text("before")

    def full(*_: Any, **__: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        report.write(target)
    monkeypatch.undo()
    assert target.read_text() == "before"
    assert report.write(target).read_text().startswith("# A soup of")
    assert not [path for path in copied.iterdir() if path.name.startswith(".")]


def test_a_run_is_read_without_a_trace(copied: Path) -> None:
    def state() -> dict[str, tuple[int, int]]:
        return {
            str(path): (path.stat().st_mtime_ns, path.stat().st_size)
            for path in copied.rglob("*")
            if path.is_file()
        }

    before = state()
    build_report(open_run(copied))
    assert state() == before
    with pytest.raises(StudyError, match="holds no run"):
        open_run(copied / "models")
