"""`soce analyze` and `soce select` as a user meets them: exit codes, exact words, stdout for data only."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.checkpoints import directory
from tests.shared_data import shared_data

import soce
from soce.cli.analyze import analyze
from soce.cli.merge import merge
from soce.cli.select import select
from soce.selection.file import read_selection

SCORES = """model,math,code,chat,Overall
a,50.5%,70%,61%,60.5%
b,60.0%,52%,62%,58.0%
c,41.0%,66%,70%,59.0%
d,55.5%,61%,55%,57.2%
e,48.0%,58%,66%,57.3%
f,52.0%,49%,58%,53.0%
g,44.0%,63%,68%,58.3%
h,58.0%,55%,60%,59.7%
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a directory with scores.csv and the checkpoints A, B and C."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    (tmp_path / "scores.csv").write_text(SCORES)
    directory(tmp_path / "A", 1.0, 2.0)
    directory(tmp_path / "B", 3.0, 2.0)
    directory(tmp_path / "C", 5.0, 2.0)
    return tmp_path


def run(command: object, *arguments: object, env: dict[str, str] | None = None) -> Result:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments], env=env)  # type: ignore[arg-type]
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    assert "Traceback" not in result.stderr
    return result


# ---- analyze


def test_lint_comes_first_then_correlations_clusters_and_thresholds(here: Path) -> None:
    found = run(analyze, "scores.csv")
    assert found.exit_code == 0
    assert found.stderr == "next: soce select scores.csv --sweep\n"
    places = [
        found.stdout.index(word) for word in ("scores.csv", "lint", "correlation", "clusters", "thresholds")
    ]
    assert places == sorted(places)
    assert "8 models × 3 categories, 1 aggregate" in found.stdout


def test_the_paper_s_own_table_is_found_wanting() -> None:
    found = run(analyze, "paper:flores36")
    assert found.exit_code == 0
    told = " ".join(found.stdout.split())
    assert "S01: categories `eng_spa` and `spa_eng` are equal in 5 of 6 models" in told
    assert "S02: column `avg_bleu` is not the mean of its 36 parts in 6 of 6 models" in told
    assert "S07" in found.stdout


def test_everything_as_json(here: Path) -> None:
    found = run(analyze, "scores.csv", "--json", "-c", "a", "-c", "b")
    data = json.loads(found.stdout)
    assert data["table"]["categories"] == ["math", "code", "chat"]
    assert [column["name"] for column in data["table"]["columns"]] == ["math", "code", "chat", "Overall"]
    assert data["table"]["columns"][3]["role"] == "aggregate"
    assert {column["scale"] for column in data["table"]["columns"]} == {"percent"}
    low, rho, high = (data["correlation"][what][0][1] for what in ("low", "rho", "high"))
    assert low < rho < high
    assert data["correlation"]["low"][0][0] is None
    assert data["table"]["digest"] == soce.read_scores("scores.csv").digest
    assert {finding["code"] for finding in data["lint"]} >= {"S02"}
    assert len(data["correlation"]["rho"]) == 3
    assert data["sweep"][-1]["n_categories"] == 3
    assert data["saturation"] == data["sweep"][-1]["threshold"]
    assert all(set(step["experts"]) <= {"a", "b"} for step in data["sweep"])


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_a_plot_is_drawn(here: Path, suffix: str) -> None:
    found = run(analyze, "scores.csv", "--plot", f"plot.{suffix}")
    assert found.exit_code == 0
    assert found.stderr.splitlines()[0] == f"wrote `plot.{suffix}`"
    assert (here / f"plot.{suffix}").stat().st_size > 1000


def test_a_plot_that_cannot_be_is_refused_before_any_work(here: Path) -> None:
    found = run(analyze, "missing.csv", "--plot", "plot.gif")
    assert found.exit_code == 1
    assert "plot.gif" in found.stderr
    assert "missing.csv" not in found.stderr
    found = run(analyze, "missing.csv", "--plot", "folder/plot.png")
    assert found.stderr == "error: `folder`: no such file or directory\n"


def test_colour_is_for_terminals_only(here: Path) -> None:
    assert "\x1b[" not in run(analyze, "scores.csv").stdout


def test_columns_population_and_direction_are_the_user_s(here: Path) -> None:
    found = run(analyze, "scores.csv", "--columns", "math,code", "--lower-is-better", "code", "--json")
    plain = run(analyze, "scores.csv", "--columns", "math,code", "--json")
    assert (
        json.loads(found.stdout)["correlation"]["rho"][0][1]
        == -json.loads(plain.stdout)["correlation"]["rho"][0][1]
    )
    (here / "people.txt").write_text("# the best\na\nb\nc\nd\n")
    some = json.loads(run(analyze, "scores.csv", "--population", "@people.txt", "--json").stdout)
    assert some["correlation"]["population"] == ["a", "b", "c", "d"]


# ---- select


def test_without_a_threshold_the_sweep_is_shown_and_nothing_is_selected(here: Path) -> None:
    found = run(select, "scores.csv", "-c", "a", "-c", "b", "-c", "c")
    assert found.exit_code == 2
    assert "τ above" in found.stdout
    assert "the paper gives no value" in found.stderr
    swept = run(select, "scores.csv", "-c", "a", "-c", "b", "-c", "c", "--sweep")
    assert swept.exit_code == 0
    assert swept.stdout == found.stdout


def test_a_selection_goes_to_a_file_that_soce_merge_takes(here: Path) -> None:
    found = run(
        select,
        "scores.csv",
        "-c",
        "a=A",
        "-c",
        "b=B",
        "-c",
        "c=C",
        "--threshold",
        "0.9",
        "-o",
        "selection.yaml",
    )
    assert found.exit_code == 0, found.stderr
    assert "wrote `selection.yaml`" in found.stderr
    selection = read_selection("selection.yaml")
    assert set(selection.selection.models) == {"a", "b", "c"}
    made = run(merge, "--recipes", "selection.yaml", "--output", "soups", "--no-sync", "--quiet")
    assert made.exit_code == 0, made.stderr
    soups = {path.name for path in (here / "soups").iterdir()}
    assert len(soups) == 37
    assert {"1-1-1", "1-1-8", "8-1-1"} <= soups


def test_a_models_file_names_candidates_and_paths(here: Path) -> None:
    (here / "models.yaml").write_text("a: A\nb: B\nc: C\n")
    found = run(
        select,
        "scores.csv",
        "--models",
        "models.yaml",
        "--rule",
        "clusters",
        "--clusters",
        "3",
        "-o",
        "s.yaml",
    )
    assert found.exit_code == 0, found.stderr
    paths = {
        ingredient.name: Path(ingredient.path).resolve()
        for ingredient in read_selection("s.yaml").ingredients
    }
    assert paths == {name: (here / name.upper()).resolve() for name in paths}


def test_json_holds_the_selection_and_what_lint_says(here: Path) -> None:
    found = run(select, "scores.csv", "-c", "a", "-c", "b", "--threshold", "0.9", "--json", "--quiet")
    data = json.loads(found.stdout)
    assert data["candidates"] == ["a", "b"]
    assert data["rule"] == {"name": "threshold", "tau": 0.9, "signed": False}
    assert data["grid"]["count"] == 9
    assert "S18" in {finding["code"] for finding in data["findings"]}
    assert found.stderr == ""


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (("--rule", "pairs", "--pairs", "1"), "the 1 pair"),
        (("--rule", "clusters", "--min-correlation", "0.5"), "clusters of average rho"),
        (("--rule", "explicit", "--category", "math", "--category", "chat"), "2 categories by name"),
        (("--threshold", "-0.1", "--sign", "signed"), "rho < -0.1"),
    ],
)
def test_every_rule(here: Path, rule: tuple[str, ...], words: str) -> None:
    found = run(select, "scores.csv", *rule)
    assert found.exit_code == 0, found.stderr
    assert words in found.stdout


def test_report_scores_must_be_other_scores(here: Path) -> None:
    found = run(
        select, "scores.csv", "-c", "a", "-c", "b", "--threshold", "0.9", "--report-scores", "scores.csv"
    )
    assert found.exit_code == 1
    assert "S17" in found.stderr
    (here / "other.csv").write_text(SCORES.replace("50.5", "51.5").replace("52%", "54%"))
    found = run(
        select, "scores.csv", "-c", "a", "-c", "b", "--threshold", "0.9", "--report-scores", "other.csv"
    )
    assert found.exit_code == 0, found.stderr
    assert found.stdout.endswith("\n\nreported   mean on other.csv\n  b  58.67\n  a  60.83\n")
    arguments = ("scores.csv", "-c", "a", "-c", "b", "--threshold", "0.9", "--report-scores", "other.csv")
    quiet = run(select, *arguments, "--quiet", "--json")
    assert quiet.stderr == ""
    reported = json.loads(quiet.stdout)["report"]
    assert reported["digest"] == soce.read_scores("other.csv").digest
    assert reported["overall"] == {"a": pytest.approx(182.5 / 3), "b": pytest.approx(176 / 3)}


def test_a_report_may_have_the_new_names_and_another_form(here: Path) -> None:
    (here / "long.csv").write_text(
        "model,category,score,split\n"
        + "".join(
            f"{model},{category},{score},test\n"
            for model, scores in (("new", (51, 71, 60)), ("b", (61, 53, 61)))
            for category, score in zip(("math", "code", "chat"), scores, strict=True)
        )
    )
    arguments = ("--rename", "a=new", "-c", "new", "-c", "b", "--threshold", "0.9", "--quiet")
    found = run(select, "scores.csv", *arguments, "--report-scores", "long.csv")
    assert found.exit_code == 0, found.stderr
    assert "reported   mean on long.csv" in found.stdout


@pytest.mark.parametrize("option", [("--metric", "acc"), ("--level", "group"), ("--split", "test")])
def test_options_of_other_formats_are_refused(here: Path, option: tuple[str, str]) -> None:
    for command in (analyze, select):
        found = run(command, "scores.csv", *option)
        assert found.exit_code == 1
        assert f"`{option[0]}` has no effect: the table is wide" in found.stderr


def test_the_text_says_what_a_reader_should_know(here: Path) -> None:
    found = run(select, "scores.csv", "--threshold", "0.9", "--max-experts", "1", "--quiet")
    assert "population 8 models; |ρ| below 0.707 cannot be told from 0\ncandidates 8 models\n" in found.stdout
    grid, *notes = found.stdout.splitlines()[-3:]
    assert grid == "grid       1 soup of parts of 10"
    assert notes[0] == "note       one expert, no soup"
    assert notes[1].startswith("note       the walk stopped at 1 expert: ")
    found = run(select, "scores.csv", "--threshold", "0.9", "--min-items", "5")
    assert "note       kept without a known number of items: `" in found.stdout
    found = run(select, "scores.csv", "--rule", "explicit", "--category", "math")
    assert "rule       1 category by name\n" in found.stdout


def test_shares_of_one_show_as_many_digits_as_percentages(here: Path) -> None:
    rows = ("a,0.5014,0.7", "b,0.6,0.52", "c,0.41,0.66", "d,0.5998,0.61")
    (here / "shares.csv").write_text("\n".join(("model,math,code", *rows)) + "\n")
    found = run(select, "shares.csv", "--threshold", "1", "--quiet")
    assert re.search(r"math .* b +0\.6000 +0\.0002\n", found.stdout)


def test_a_reader_who_has_seen_enough_gets_no_error(here: Path) -> None:
    code = "from soce.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "analyze", "scores.csv"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("scores.csv", "--threshold", "1.5"), 1, "threshold 1.5 is not in (0, 1]"),
        (("scores.csv", "--threshold", "0"), 1, "threshold 0.0 is not in (0, 1]"),
        (("scores.csv", "-c", "A", "-c", "b", "--threshold", "0.5"), 1, "there is no model `A`"),
        (("scores.csv", "-c", "a", "--threshold", "0.5"), 1, "candidate"),
        (("scores.csv", "-c", "a", "-c", "a", "--threshold", "0.5"), 1, "`a` is named twice"),
        (("scores.csv", "--columns", "math,cod", "--threshold", "0.5"), 1, "`cod`"),
        (("scores.csv", "--threshold", "0.5", "-o", "selection.txt"), 1, "selection.txt"),
        (
            ("scores.csv", "--threshold", "0.5", "--pairs", "3"),
            2,
            "--pairs does not go with --rule threshold",
        ),
        (("scores.csv", "--rule", "pairs"), 2, "--rule pairs needs --pairs"),
        (("scores.csv", "--sweep", "-o", "selection.yaml"), 2, "--output does not go with --sweep"),
        (("scores.csv", "--sweep", "--report-scores", "s.csv"), 2, "--report-scores does not go with"),
        (("scores.csv", "--sweep", "--rule", "pairs", "--pairs", "3"), 2, "--sweep goes through thresholds"),
        (("gone.csv", "--threshold", "0.5", "-o", "no/s.yaml"), 1, "error: `no`: no such file or directory"),
        (("scores.csv", "--threshold", "0.5", "--objective", "best"), 1, "best"),
        (("scores.csv", "--threshold", "0.9", "--step", "0.3"), 1, "0.3"),
        (("missing.csv", "--threshold", "0.5"), 1, "missing.csv"),
    ],
)
def test_what_makes_no_sense_is_one_clear_line(
    here: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    found = run(select, *arguments)
    assert found.exit_code == code
    assert message in found.stderr
    assert found.stderr.count("error:") == 1
    assert not (here / "selection.yaml").exists()


def test_an_existing_selection_is_kept_unless_asked(here: Path) -> None:
    (here / "s.yaml").write_text("mine")
    found = run(select, "scores.csv", "-c", "a", "-c", "b", "--threshold", "0.9", "-o", "s.yaml")
    assert found.exit_code == 1
    assert (here / "s.yaml").read_text() == "mine"
    assert (
        run(
            select, "scores.csv", "-c", "a", "-c", "b", "--threshold", "0.9", "-o", "s.yaml", "--overwrite"
        ).exit_code
        == 0
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"model,math,code\n", "a header and no rows"),
        (b"model,math\na,50\nb,60\nc,70\n", "one category"),
        (b"model,math,code\na,50,60\n", "1 model"),
        (b"model,math,code\na,N/A,N/A\nb,,-\nc,null,none\n", "it is empty"),
        (b"model,math,code\na,50,0.6\nb,60,0.5\nc,70,0.7\n", "S04"),
        (b"model,math,code\na,50,60\na,60,50\nb,70,70\n", "`a`"),
        (b"model,math,math\na,50,60\nb,60,50\n", "`math`"),
        (b"model,math,code\na,50\nb,60,50\n", "line 2"),
        (b"model,math,code\na,fifty,60\nb,60,50\nc,1,2\n", "fifty"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\xff\xfe", "not UTF-8"),
    ],
)
def test_bad_tables(here: Path, content: bytes, message: str) -> None:
    (here / "bad.csv").write_bytes(content)
    found = run(analyze, "bad.csv")
    assert found.exit_code == 1
    assert found.stderr.startswith("error: `bad.csv`")
    assert message in found.stderr
    assert found.stderr.count("error:") == 1


def test_the_commands_are_listed_with_a_line_each() -> None:
    found = subprocess.run(
        [sys.executable, "-c", "from soce.cli import main; main()", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.split(maxsplit=1) for line in found.stdout.splitlines()]
    assert ["analyze", "Lint a score table and correlate its categories."] in lines
    assert ["select", "Choose experts and the weights to try."] in lines


@pytest.mark.parametrize(
    "arguments", [("select", "--threshold", "0.9", "-q", "-o", "s.yaml"), ("analyze", "--plot", "s.png")]
)
def test_a_full_disk_names_the_file_and_leaves_nothing(here: Path, arguments: tuple[str, ...]) -> None:
    # A limit on the size of files fails a write half way, as a full disk does.
    code = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)); from soce.cli import main; main()"
    command, *options = arguments
    run_it = [sys.executable, "-c", code, command, "scores.csv", *options]
    found = subprocess.run(run_it, capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert found.stderr.splitlines()[-1] == f"error: `{options[-1]}`: file too large"
    assert sorted(path.name for path in here.iterdir()) == ["A", "B", "C", "scores.csv"]


# ---- the real board


def test_the_board_of_the_paper_gives_its_70b_experts_at_one_threshold_only(tmp_path: Path) -> None:
    board = shared_data("bfcl/2025-04-30")
    names = ["xLAM-2-70b-fc-r (FC)", "CoALM-70B", "watt-tool-70B (FC)", "Functionary-Medium-v3.1 (FC)"]
    chosen = [argument for name in names for argument in ("-c", name)]
    found = run(select, board, *chosen, "--threshold", "0.01", "--json", "--quiet")
    assert {expert["model"] for expert in json.loads(found.stdout)["experts"]} == set(names[:3])
    found = run(select, board, *chosen, "--threshold", "0.1")
    assert "S18" in found.stderr
    assert len(run(analyze, board, *chosen).stdout.splitlines()) < 100
