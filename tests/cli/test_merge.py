"""The command line: exit codes, exact words, stdout for data only; and `soce.merge`, which does the same."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from tests.checkpoints import bf16, directory, f32, read_file, write_file

import soce
from soce.cli.command import Subcommand
from soce.cli.merge import merge as command
from soce.cli.text.layout import size
from soce.exceptions import IncompatibleError, RecipeError


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a directory with the checkpoints A, B and C."""
    monkeypatch.chdir(tmp_path)
    directory(tmp_path / "A", 1.0, 2.0, 4.0)
    directory(tmp_path / "B", 3.0, 2.0, -4.0)
    directory(tmp_path / "C", 5.0, 2.0, 0.5)
    return tmp_path


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments], prog_name="soce-merge")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    assert "Traceback" not in result.stderr
    return result


def values(output: Path) -> tuple[float, ...]:
    dtype, shape, data = read_file(output / "model.safetensors")["w"]
    assert dtype == "F32"
    return struct.unpack(f"<{shape[0]}f", data)


# ---- usage


def test_help_says_which_names_are_taken() -> None:
    told = " ".join(run("--help").stdout.split())
    for name in ("org/model@revision", "hf://", "s3://", "gs://", "az://", "https://", "docs/remote.md"):
        assert name in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no ingredients: give PATH=WEIGHT for each, or a recipe file"),
        (["A=1"], "missing option `--output`"),
        (["A", "--recipes", "g.yaml", "-o", "x"], "--recipes names its ingredients itself: give no others"),
        (["A", "-o", "x", "--dtype", "int8"], "invalid value for `--dtype`: `int8` is not a dtype soce writes: use f64, f32, f16 or bf16 (float64, float32, float16, bfloat16)"),
        (["A", "-o", "x", "--max-shard-size", "5XB"], "invalid value for `--max-shard-size`: size `5XB` is not a number of bytes: write 5GB, 500MB, 2GiB or plain bytes"),
        (["A", "-o", "x", "-j", "0"], None),
        (["A", "-o", "x", "--io", "dma"], None),
        (["A", "-o", "x", "--outptu", "y"], None),
    ],
)  # fmt: skip
def test_usage_errors_exit_with_2(arguments: list[str], message: str | None) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.endswith("\n\nhint: see `soce-merge --help`\n")
    if message is not None:
        assert result.stderr.splitlines()[0] == f"error: {message}"


def test_help_and_version() -> None:
    result = run("--help")
    assert (result.exit_code, result.stderr) == (0, "")
    for option in (
        "--output",
        "--plan",
        "--json",
        "--max-shard-size",
        "--nonfinite",
        "--no-sync",
        "--recipes",
    ):
        assert option in result.stdout
    assert "soce-merge path/A=0.5 path/B=0.2 path/C=0.3 --output soup" in result.stdout


def test_help_loads_little() -> None:
    code = (
        "import sys\nfrom soce.cli import main_merge\ntry: main_merge()\nexcept SystemExit: pass\n"
        "print([m for m in ('yaml','pydantic','rich','numpy','pandas','torch','soce.merging.merge') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert done.stdout.startswith("Usage: soce-merge ")


def test_soce_merge_is_the_same_command() -> None:
    from soce.cli import _group

    group = _group()
    assert group.get_command(click.Context(group), "merge") is command
    result = CliRunner().invoke(group, ["merge"], prog_name="soce")
    assert result.exit_code == 2
    assert result.stderr.endswith("hint: see `soce merge --help`\n")


def test_soce_alone_prints_its_help_and_a_wrong_command_what_was_meant() -> None:
    from soce.cli import _group

    alone = CliRunner().invoke(_group(), [], prog_name="soce")
    asked = CliRunner().invoke(_group(), ["-h"], prog_name="soce")
    assert (alone.exit_code, alone.stdout) == (2, "")
    assert (asked.exit_code, asked.stdout) == (0, alone.stderr)
    wrong = CliRunner().invoke(_group(), ["serch"], prog_name="soce")
    assert wrong.exit_code == 2
    assert "`serch`: did you mean `search`" in wrong.stderr


def test_an_interrupt_exits_with_130() -> None:
    @click.command(cls=Subcommand)
    def stop() -> None:
        raise KeyboardInterrupt

    result = CliRunner().invoke(stop)
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr.strip() == "error: interrupted"


# ---- refusals


def test_all_problems_of_the_arguments_are_printed(here: Path) -> None:
    result = run("A=0x1", "B=1_0", "C=-1", "r.yaml", "=1", "-o", "soup")
    assert result.exit_code == 1
    assert result.stdout == ""
    how = "hint: write an integer (5), a decimal (0.5) or a fraction (1/3)"
    assert result.stderr.splitlines() == [
        "error: `A=0x1`: weight `0x1` is hexadecimal",
        "error: `B=1_0`: weight `1_0` has an underscore",
        "",
        how,
        "",
        "error: `C=-1`: weight `-1` is negative",
        "",
        "hint: an average needs weights of zero or more; other sums of models (not of adapters) are rows with `numerators` and `whole` in a recipe file",
        "",
        "error: `r.yaml`: a recipe file among ingredients",
        "",
        "hint: give a recipe file alone, or checkpoints with their weights",
        "",
        "error: `=1` has no path",
        "",
        "hint: write PATH=WEIGHT",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["A=1", "B"], "some ingredients have weights, but not `B`"),
        (["A=0", "B=0"], "the weights of all ingredients are zero"),
        (["A=1", "B=1e7"], "a weight is too small a part of their sum: 1e-07"),
        (["A=1", "A=-1"], "`A=-1`: weight `-1` is negative"),
        (["A", "B", "--config-from", "D"], "`config_from` names `D`, which is not an ingredient"),
        (["none.yaml"], "`none.yaml`: no such file or directory"),
    ],
)
def test_refusals_exit_with_1(here: Path, arguments: list[str], message: str) -> None:
    result = run(*arguments, "-o", "soup")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[0] == f"error: {message}"
    assert not (here / "soup").exists()


def test_a_weight_behind_a_colon(here: Path) -> None:
    result = run("A:5", "B=2", "-o", "soup")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "error: `A:5` does not exist",
        "",
        "hint: a weight follows `=`: A=5",
    ]
    (here / "A").rename(here / "A:5")
    assert run("A:5", "B", "-o", "soup").exit_code == 0


def test_ingredients_that_do_not_exist_or_do_not_agree(here: Path) -> None:
    result = run("A", "none", "-o", "soup")
    assert result.exit_code == 1
    assert "none" in result.stderr
    directory(here / "long", 1.0, 2.0, 3.0, 4.0)
    result = run("A", "long", "-o", "soup")
    assert result.exit_code == 1
    assert "`w`" in result.stderr
    with pytest.raises(IncompatibleError) as caught:
        soce.merge(["A", "long"], output="soup")
    assert caught.value.problems[0].tensor == "w"
    assert not (here / "soup").exists()


def test_an_existing_output_is_refused(here: Path) -> None:
    (here / "soup").mkdir()
    (here / "soup/notes.txt").write_text("mine")
    result = run("A", "B", "-o", "soup", "--overwrite")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert (here / "soup/notes.txt").read_text() == "mine"


def test_names_on_screen_are_escaped(here: Path) -> None:
    result = run("A\x1b[2J=1", "B=1", "-o", "soup")
    assert result.exit_code == 1
    assert "\x1b" not in result.stderr
    assert "\\u{1b}[2J" in result.stderr


# ---- merges


def test_a_merge_from_the_command_line(here: Path) -> None:
    result = run("A=0.5", "B=0.2", "C=0.3", "--output", "soup")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    assert result.stderr.splitlines()[0] == "averaging 5 x `A`, 2 x `B`, 3 x `C`"
    assert "wrote `soup`: 1 tensor (1 averaged), " in result.stderr
    exact = [
        Fraction(5 * a + 2 * b + 3 * c) / 10 for a, b, c in ((1, 3, 5), (2, 2, 2), (4, -4, Fraction(1, 2)))
    ]
    assert values(here / "soup") == struct.unpack("<3f", f32(*map(float, exact)))
    text = (here / "soup/mergekit_config.yml").read_text()
    assert "      weight: 5\n" in text
    assert text.endswith("dtype: float32\nout_dtype: float32\n")
    assert json.loads((here / "soup/soce.json").read_text())


def test_what_a_merge_did_fits_eighty_columns(here: Path) -> None:
    result = run("A", "B", "-o", "a-soup-of-two-tiny-models-" + "x" * 20)
    assert result.exit_code == 0, result.stderr
    assert "read and written" in " ".join(result.stderr.split())
    assert max(map(len, result.stderr.splitlines())) <= 80


def test_parts_decimals_fractions_and_python_give_the_same_bytes(here: Path) -> None:
    assert run("A=5", "B=2", "C=3", "-o", "parts", "-q").exit_code == 0
    assert run("A=1/2", "C=0.3", "B=1/5", "-o", "other", "-q", "--config-from", "A").exit_code == 0
    report = soce.merge({"A": "0.5", "B": Fraction(1, 5), "C": "0.3"}, output="python")
    assert report.output == Path("python")
    assert report.counts["averaged"] == 1
    assert report.bytes_read > 0
    first, *others = [(here / n / "model.safetensors").read_bytes() for n in ("parts", "other", "python")]
    assert all(other == first for other in others)


def test_quiet_prints_nothing(here: Path) -> None:
    result = run("A", "B", "-o", "soup", "--quiet")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


def test_a_plan_writes_nothing(here: Path) -> None:
    before = sorted(here.rglob("*"))
    result = run("A=1", "B=3", "-o", "soup", "--plan")
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == "ingredients"
    assert "    1  of 4  25 %  A" in lines
    assert "    3  of 4  75 %  B" in lines
    result = run("A=1", "B=3", "-o", "soup", "--plan", "--json")
    data = json.loads(result.stdout)
    assert data["outputs"][0]["rows"] == [{"pattern": "*", "numerators": [1, 3], "whole": 4}]
    assert sorted(here.rglob("*")) == before


def test_json_is_all_that_stdout_gets(here: Path) -> None:
    report = json.loads(run("A", "B", "-o", "soup", "--json").stdout)
    assert report["counts"]["averaged"] == 1
    assert [Path(output).name for output in report["outputs"]] == ["soup"]


def test_recipe_files(here: Path) -> None:
    (here / "r.yaml").write_text("ingredients: {a: A, b: B}\nweights: {a: 1/4, b: 3/4}\n")
    assert run("r.yaml", "-o", "soup", "-q").exit_code == 0
    assert values(here / "soup") == (2.5, 2.0, -2.0)
    (here / "rows.yaml").write_text(
        "ingredients: {a: A, b: B}\nrows: [{pattern: w, numerators: {a: 2, b: -1}, whole: 1}]\n"
    )
    assert run("rows.yaml", "-o", "rows", "-q").exit_code == 0
    assert values(here / "rows") == (-1.0, 2.0, 12.0)
    assert not (here / "rows/mergekit_config.yml").exists()
    result = run("r.yaml", "A", "-o", "x")
    assert result.stderr.splitlines()[0] == "error: `r.yaml`: a recipe file among ingredients"
    assert json.loads((here / "soup/soce.json").read_text())
    assert soce.merge("r.yaml", output="again").output == Path("again")


def test_mergekit_files(here: Path) -> None:
    text = "merge_method: linear\nmodels:\n- {model: A, parameters: {weight: 0.25}}\n- {model: B, parameters: {weight: 0.75}}\n"
    (here / "m.yml").write_text(text)
    assert run("m.yml", "-o", "soup", "-q").exit_code == 0
    assert values(here / "soup") == (2.5, 2.0, -2.0)
    assert run("soup/mergekit_config.yml", "-o", "again", "-q").exit_code == 0
    assert values(here / "again") == (2.5, 2.0, -2.0)
    (here / "m.yml").write_text(text + "dtype: bfloat16\n")
    assert run("m.yml", "-o", "rounded-once", "-q").exit_code == 0
    assert read_file(here / "rounded-once/model.safetensors")["w"] == ("BF16", [3], bf16(2.5, 2.0, -2.0))
    (here / "m.yml").write_text(text + "out_dtype: bfloat16\n")
    assert run("m.yml", "-o", "narrow", "-q").exit_code == 0
    assert read_file(here / "narrow/model.safetensors")["w"] == ("BF16", [3], bf16(2.5, 2.0, -2.0))


def test_a_plan_shows_the_first_rows_of_many(here: Path) -> None:
    for name in "AB":
        tensors = {f"w{i}": ("F32", [1], f32(i)) for i in range(11)}
        write_file(here / name / "model.safetensors", tensors)
    rows = "".join(f"  - {{pattern: w{i}, weights: [{i + 1}, 1]}}\n" for i in range(11))
    (here / "rows.yaml").write_text(f"ingredients: [A, B]\nrows:\n{rows}")
    told = run("rows.yaml", "-o", "soup", "--plan").stdout
    assert [line for line in told.splitlines() if line.startswith("  tensors w")] == [
        f"  tensors w{i}" for i in range(8)
    ]
    assert "\n  and 3 more rows: `--json` has all\n" in told
    assert (
        len(json.loads(run("rows.yaml", "-o", "soup", "--plan", "--json").stdout)["outputs"][0]["rows"]) == 11
    )


def test_weights_of_many_digits_are_told(here: Path) -> None:
    result = run("A=0.3333333333", "B=0.6666666667", "-o", "soup", "-q")
    assert result.exit_code == 0
    assert "warning: weights are rounded to parts, by at most 3e-07 of their sum" in result.stderr
    assert values(here / "soup")[1] == 2.0
    (here / "r.yaml").write_text(
        "ingredients: [A, B]\nrecipes:\n- [1, 0.12345678]\n- [1, 0.23456789]\n- [1, 2]\n"
    )
    result = run("--recipes", "r.yaml", "-o", "many", "--plan")
    assert result.stderr.count("warning: ") == 2
    assert "warning: 1 more recipe has rounded weights" in result.stderr


def test_many_soups_from_one_pass(here: Path) -> None:
    (here / "grid.yaml").write_text(
        "ingredients: [A, B, C]\nrecipes:\n- [1, 1, 0]\n- {name: even, weights: equal}\n"
    )
    plan = json.loads(run("--recipes", "grid.yaml", "--output", "soups/", "--plan", "--json").stdout)
    assert [Path(output["path"]) for output in plan["outputs"]] == [Path("soups/1-1-0"), Path("soups/even")]
    assert not (here / "soups").exists()
    result = run("--recipes", "grid.yaml", "--output", "soups/")
    assert result.exit_code == 0, result.stderr
    assert values(here / "soups/1-1-0") == (2.0, 2.0, 0.0)
    assert values(here / "soups/even")[:2] == (3.0, 2.0)
    result = run("grid.yaml", "-o", "x")
    assert result.exit_code == 1
    assert "the file has 2 named recipes\n\nhint: use `soce-merge --recipes`" in result.stderr
    (here / "one.yaml").write_text("ingredients: [A, B]")
    result = run("--recipes", "one.yaml", "-o", "x")
    assert result.stderr.splitlines()[0] == "error: `one.yaml`: there are no named recipes"
    report = soce.merge_all({"x": {"A": 1, "B": 3}, "y": ["A", "C"]}, output="more")
    assert report.outputs == (Path("more/x"), Path("more/y"))
    assert values(here / "more/y") == (3.0, 2.0, 2.25)


def test_the_same_checkpoint_twice_adds_up(here: Path) -> None:
    result = run("A=1", "./A/=2", "B=1", "-o", "soup")
    assert result.stderr.splitlines()[0] == "averaging 3 x `A`, 1 x `B`"
    assert values(here / "soup") == (1.5, 2.0, 2.0)


def test_an_equals_sign_in_a_path(here: Path) -> None:
    directory(here / "lr=0.1", 3.0, 4.0, 6.0)
    assert run("A", "lr=0.1", "-o", "one", "-q").exit_code == 0
    assert values(here / "one") == (2.0, 3.0, 5.0)
    assert run("A=3", "lr=0.1=1", "-o", "two", "-q").exit_code == 0
    assert values(here / "two") == (1.5, 2.5, 4.5)
    (here / "lr").mkdir()
    result = run("A", "lr=0.1", "-o", "three")
    assert result.stderr.startswith("error: both `lr=0.1` and `lr` exist: which one is meant is not clear\n")


def test_single_files_are_ingredients(here: Path) -> None:
    for name, number in (("x", 1.0), ("y", 2.0)):
        write_file(here / f"{name}.safetensors", {"w": ("F32", [1], f32(number))})
    assert run("x.safetensors", "y.safetensors", "-o", "soup", "-q").exit_code == 0
    assert read_file(here / "soup/x.safetensors") == {"w": ("F32", [1], f32(1.5))}  # the first one's name


def test_non_finite_values(here: Path) -> None:
    directory(here / "bad", float("nan"), 2.0, float("inf"))
    result = run("A", "bad", "-o", "soup")
    assert result.exit_code == 1
    assert "`w`" in result.stderr
    assert not (here / "soup").exists()
    report = soce.merge(["A", "bad"], output="soup", options=soce.MergeOptions(nonfinite="warn"))
    (found,) = [f for f in report.nonfinite if f.nan]
    assert (found.tensor, found.nan, found.pos_inf, found.neg_inf) == ("w", 1, 1, 0)


def test_wrong_calls_of_merge(here: Path) -> None:
    with pytest.raises(RecipeError, match="a single path that is not a recipe file"):
        soce.merge("A", output="soup")
    with pytest.raises(RecipeError, match=r"weight 0\.5 is a float"):
        soce.merge({"A": 0.5, "B": "0.5"}, output="soup")  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="overwrit"):
        soce.merge(["A", "B"], output="soup", overwrit=True)  # type: ignore[call-arg]
    with pytest.raises(RecipeError, match="is not a dtype"):
        soce.merge(["A", "B"], output="soup", options=soce.MergeOptions(dtype="int4"))


def test_progress_can_stop_a_merge(here: Path) -> None:
    seen: list[tuple[int, int]] = []
    soce.merge(["A", "B"], output="soup", on_progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] > 0

    class Stop(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise Stop

    with pytest.raises(Stop):
        soce.merge(["A", "B"], output="other", on_progress=stop)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (2_470_000_000, "2.47 GB"), (10**16, "10000 TB")],
)
def test_sizes_as_people_read_them(count: int, text: str) -> None:
    assert size(count) == text


def test_the_same_command_again_says_that_its_soup_is_there(here: Path) -> None:
    assert run("A", "B", "-o", "the soup").exit_code == 0
    again = run("A", "B", "-o", "the soup")
    assert again.exit_code == 0
    assert "nothing was read or written\nnext: soce verify 'the soup'\n" in again.stderr
    assert (
        "output the soup, which holds this soup already" in run("A", "B", "-o", "the soup", "--plan").stdout
    )
    assert run("A", "C", "-o", "the soup").exit_code == 1
