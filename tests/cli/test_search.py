"""`soce search` and `soce run` as a user meets them: exit codes, the last line, stdout for data only."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.checkpoints import directory, f32, read_directory, state_of
from tests.landscapes import Landscape, read_log

import soce
from soce.cli.log import log
from soce.cli.options.named_evaluators import NamedEvaluators
from soce.cli.options.search import _strategy
from soce.cli.report import report
from soce.cli.run import run as run_command
from soce.cli.search import search
from soce.cli.select import select
from soce.evaluate.evaluation import Evaluation, Evaluator
from soce.recipes.model import Recipe
from soce.scores.read import read_scores
from soce.search.open import open_run
from soce.search.strategies.registry import strategy_of
from soce.selection.file import read_selection

SCORES = """model,math,code
a,60.5,50
b,40.0,62
c,41.0,66
d,55.5,61
e,48.0,58
f,52.0,49
g,44.0,63
h,58.0,55
"""
SELECT = ["--rule", "explicit", "--category", "math", "--category", "code"]


class Landscapes:
    """Takes the place of evaluators by name."""

    def __init__(self) -> None:
        self.optimum = {"a": 0.6, "c": 0.4}
        self.kind = Landscape
        self.opened: list[Landscape] = []

    @contextmanager
    def opened_for(self, *_: object, **__: object) -> Iterator[tuple[Evaluator, None]]:
        self.opened.append(self.kind(optimum=self.optimum))
        yield self.opened[-1], None


@pytest.fixture
def landscapes(monkeypatch: pytest.MonkeyPatch) -> Landscapes:
    found = Landscapes()
    monkeypatch.setattr(NamedEvaluators, "opened", found.opened_for)
    return found


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a directory with scores, checkpoints a to d and a selection of c and a."""
    monkeypatch.chdir(tmp_path)
    make(tmp_path)
    assert (
        run(select, "scores.csv", "--models", "models.yaml", *SELECT, "-o", "selection.yaml").exit_code == 0
    )
    return tmp_path


def make(folder: Path) -> None:
    (folder / "scores.csv").write_text(SCORES)
    for place, name in enumerate("abcd"):
        directory(folder / name, float(place), 2.0)
    (folder / "models.yaml").write_text("".join(f"{name}: {name}\n" for name in "abcd"))


def run(command: object, *arguments: object) -> Result:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])  # type: ignore[arg-type]
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    assert "Traceback" not in result.stderr
    return result


def verdict(found: Result) -> str:
    """Return the last paragraph of what was printed, as one line."""
    return " ".join(found.stdout.rpartition("\n\n")[2].split())


def search_here(*arguments: object) -> Result:
    return run(search, "selection.yaml", "--models", "models.yaml", "-e", "x.jsonl", "-o", "run", *arguments)


def test_all_arms_differences_and_a_verdict_last(here: Path, landscapes: Landscapes) -> None:
    found = search_here()
    assert found.exit_code == 0
    lines = found.stdout.splitlines()
    assert [line.split()[0] for line in lines[6:13]] == [
        *"abcd",
        "uniform-all",
        "uniform-selected",
        "soce",
    ]
    assert any(line.startswith("  soce: ") and "6/10 a" in line for line in lines)
    assert any(line.startswith("  a (best) ") and "[" in line for line in lines)
    assert any("9 different soups" in line for line in lines)
    assert verdict(found).startswith("The soup beats the best single model: ")
    assert "95 % interval [" in verdict(found)


def test_a_second_run_evaluates_nothing_and_prints_the_same(here: Path, landscapes: Landscapes) -> None:
    first = search_here()
    second = search_here()
    assert landscapes.opened[0].calls
    assert not landscapes.opened[1].calls
    assert second.stdout == first.stdout
    assert " items)\n" in first.stderr
    assert "0 evaluations in this run, the others were known" in second.stderr
    assert json.loads(search_here("--json").stdout)["beats_best_single"] is True


def test_a_soup_that_is_worse_says_so_last_and_fails_if_asked(here: Path, landscapes: Landscapes) -> None:
    landscapes.optimum = {"a": 1.0}
    found = search_here()
    assert found.exit_code == 0
    assert verdict(found).startswith("The soup does not beat the best single model: ")
    assert search_here("--fail-if-worse").exit_code == 3
    data = json.loads(search_here("--json", "--quiet").stdout)
    assert data["beats_best_single"] is False


def test_equal_is_no_success_either(here: Path, landscapes: Landscapes) -> None:
    class Flat(Landscape):
        def quality(self, weights: Mapping[str, float], category: str) -> float:
            return 0.5

    landscapes.kind = Flat
    found = search_here("--fail-if-worse")
    assert found.exit_code == 3
    assert verdict(found).startswith(
        "The soup does not beat the best single model, it equals it: 49.00 against 49.00 (a)"
    )
    assert "soce-merge" not in found.stderr


def test_a_split_that_leaves_few_items_is_warned_of_before_anything_is_scored(
    here: Path, landscapes: Landscapes
) -> None:
    landscapes.kind = lambda **options: Landscape(n_items=30, **options)  # type: ignore[assignment, misc]
    found = search_here("--fail-if-worse")
    warning = (
        "warning: a verdict needs 20 held-out items in every category that counts: there are fewer in "
        "`math`, `code`"
    )
    told = " ".join(found.stderr.split())
    assert told.index(warning) < told.index("evaluations in this run")
    assert found.exit_code == 0, "it scores higher"
    assert "on too few items to say more" in verdict(found)
    assert "15 in the smallest category" in verdict(found)
    assert "next: soce-merge" in found.stderr
    landscapes.kind = lambda **options: Landscape(n_items=40, **options)  # type: ignore[assignment, misc]
    enough = run(search, "selection.yaml", "--models", "models.yaml", "-e", "x.jsonl", "-o", "enough")
    assert "too few" not in enough.stderr + enough.stdout


def test_the_best_soup_is_published_with_its_scores(here: Path, landscapes: Landscapes) -> None:
    assert search_here("--publish", "soup").exit_code == 0
    manifest = json.loads((here / "soup" / "soce.json").read_text())
    notes = manifest["run"]["notes"]
    assert notes["best"]["parts"] == {"a": 6, "c": 4}
    assert notes["beats_best_single"] is True
    assert [arm["label"] for arm in notes["arms"]] == [*"abcd", "uniform-all", "uniform-selected", "soce"]
    assert notes["selected_by"]["experts"] == [
        {"model": "c", "categories": ["code"]},
        {"model": "a", "categories": ["math"]},
    ]
    assert "| `a` | 3 | 60 % |" in (here / "soup" / "README.md").read_text()
    assert read_directory(here / "soup")["w"][2] == f32(2 * 0.4, 2.0)[: 2 * 4]
    again = search_here("--publish", "soup")
    assert again.exit_code == 0
    assert "holds this soup already" in again.stderr
    landscapes.optimum = {"a": 0.2, "c": 0.8}
    other = run(search, "selection.yaml", "-e", "x.jsonl", "-o", "other", "--publish", "soup")
    assert other.exit_code == 1
    assert "it holds another soup" in other.stderr
    arguments = ("selection.yaml", "-e", "x.jsonl", "-o", "other", "--publish", "soup", "--overwrite")
    assert run(search, *arguments).exit_code == 0
    manifest = json.loads((here / "soup" / "soce.json").read_text())
    assert manifest["run"]["notes"]["best"]["parts"] == {"a": 2, "c": 8}


def test_a_place_that_cannot_be_published_to_is_refused_first(here: Path, landscapes: Landscapes) -> None:
    (here / "thesis").mkdir()
    found = search_here("--publish", "thesis")
    assert (found.exit_code, landscapes.opened) == (1, [])
    assert "it exists and is no soup" in found.stderr
    found = run(search, "selection.yaml", "-e", "x.jsonl", "-o", "a")
    assert (found.exit_code, landscapes.opened) == (1, [])
    assert "`a`: the directory holds `config.json` and no study" in found.stderr


def test_without_the_other_candidates_a_note_says_so(here: Path, landscapes: Landscapes) -> None:
    paths = ("-c", "a=a", "-c", "b", "-c", "c=c", "-c", "d")
    assert run(select, "scores.csv", *paths, *SELECT, "-o", "experts.yaml").exit_code == 0
    found = run(search, "experts.yaml", "-e", "x.jsonl", "-o", "run")
    assert "candidates without a known path are not scored: `b`, `d`" in found.stdout


def test_a_split_of_nothing_is_called_optimistic(here: Path, landscapes: Landscapes) -> None:
    found = search_here("--held-out-share", "0")
    assert "selected and reported on the same items: optimistic" in found.stdout
    assert "none held out" in found.stdout


def test_a_race_says_what_it_proves(here: Path, landscapes: Landscapes) -> None:
    found = search_here("--strategy", "race", "--epsilon", "2pp", "--confidence", "0.9")
    assert found.exit_code == 0
    proved = "confidence 90 % that none of 9 soups of the grid scores more than 2 pp higher"
    assert proved in " ".join(found.stdout.split())
    told = json.loads((here / "run" / "result.json").read_text())
    assert told["strategy"]["epsilon"] == "1/50"
    assert told["trace"]["certificate"]["n_soups"] == 9


@pytest.mark.parametrize(
    ("strategy", "told"),
    [("cmaes", {"population": 8}), ("gp", {"batch": 8}), ("tpe", {"batch": 8})],
)
def test_samplers_ask_for_as_many_at_once_as_was_said(strategy: str, told: dict[str, int]) -> None:
    made = _strategy(strategy, None, 3, 8).to_json()
    usual = strategy_of(strategy, seed=3).to_json()
    assert made == {**usual, **told}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--held-out-share", "1.5"], 2, "is not between 0 and 1"),
        (["--held-out-share", "half"], 2, "is not a number such as 1/2"),
        (["--strategy", "greedy", "--budget", "3"], 2, "--budget does not go with"),
        (["--accept", "ge"], 2, "go with --strategy greedy"),
        (["--epsilon", "1pp"], 2, "go with --strategy race"),
        (["--strategy", "race", "--epsilon", "0.5"], 2, "is not a number of percentage points such as 0.5pp"),
        (["--strategy", "race", "--epsilon", "100pp"], 2, "is not from 0pp to less than 100pp"),
        (["--strategy", "race", "--confidence", "95"], 2, "is not between 0 and 1"),
        (["--strategy", "race", "--confidence", "high"], 2, "is not a number such as 0.95"),
        (["--strategy", "race", "--budget", "3"], 1, "the grid has 9 points, the budget is 3"),
        (["--set", "search.batch=4"], 2, "goes with the strategies cmaes, gp and tpe"),
        (["--budget", "3"], 1, "the grid has 9 points, the budget is 3"),
        (["-c", "zebra=path"], 2, "is not NAME=PATH with a candidate of the selection"),
        (["-c", "a=elsewhere"], 1, "give one path only"),
        (["--arm", "model_stok", "--base", "d"], 2, "did you mean `model_stock`?"),
        (["--arm", "model_stock:clamp=maybe", "--base", "d"], 2, "not a truth value"),
        (["--arm", "model_stock"], 2, "the arm model_stock needs --base"),
        (["--arm", "model_stock", "--base", "dd"], 1, "`dd` is neither a candidate nor a checkpoint"),
        (["--arm", "model_stock", "--base", "a"], 1, "which is one of the experts"),
        (["--arm", "interpolate", "--base", "d"], 1, "takes 1 expert, and there are 2"),
        (["--base", "d"], 2, "--base is for the methods of --arm"),
        (["--set", "search.method=tis"], 1, "there is no method `tis`"),
        (["--set", "search.method=model_stock"], 2, "search.method model_stock needs --base"),
        (["--set", "search.parameters={lambda: 1}"], 1, "a parameter of a method, and none is named"),
        (["--set", "search.groups=[layers.*]"], 1, "the strategy grid has no weights for groups of tensors"),
        (["--storage", "redis://host/0"], 1, "the `redis` storage cannot be opened"),
    ],
)
def test_bad_input_is_one_line(
    here: Path, landscapes: Landscapes, arguments: list[str], code: int, words: str
) -> None:
    found = search_here(*arguments)
    assert found.exit_code == code
    assert words in found.stderr
    assert found.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give either `--evaluator` or `--evaluator-command`"),
        (["-e", "x.jsonl", "--evaluator-command", "true"], "give either"),
        (["-e", "tasks.csv"], "is no evaluator"),
        (["-e", "lm-eval:"], "names no task"),
        (["--evaluator-command", "python '{checkpoint}"], "cannot be split into words"),
    ],
)
def test_unknown_evaluators_are_usage_errors(here: Path, arguments: list[str], words: str) -> None:
    found = run(search, "selection.yaml", "-o", "run", *arguments)
    assert found.exit_code == 2
    assert words in found.stderr


@pytest.mark.parametrize(
    ("evaluator", "option", "value", "users"),
    [
        ("tasks.jsonl", "--timeout-seconds", "9", "bfcl and command"),
        ("tasks.jsonl", "--num-fewshot", "0", "lm-eval"),
        ("tasks.jsonl", "--evaluator-metric", "acc", "lm-eval and command"),
        ("lm-eval:gsm8k", "--task-kind", "perplexity", "tasks.jsonl"),
        ("mine:evaluate", "--batch-size", "4", "tasks.jsonl and lm-eval"),
        ("mine:evaluate", "--include-path", "tasks", "lm-eval"),
    ],
)
def test_options_that_would_change_nothing_are_refused(
    here: Path, evaluator: str, option: str, value: str, users: str
) -> None:
    found = run(search, "selection.yaml", "-o", "run", "-e", evaluator, option, value)
    assert found.exit_code == 2
    assert f"`{option}` has no effect here: it is for {users}" in found.stderr
    assert not (here / "run").exists()


def test_a_method_and_its_parameters_are_searched(here: Path, landscapes: Landscapes) -> None:
    class Sums(Landscape):
        def score(self, recipe: Recipe, **asked: Any) -> Evaluation:
            if recipe.method is None:
                return super().score(recipe, **asked)
            total = sum(recipe.table[-1].weights) * recipe.method.number("lambda")
            flat = dict.fromkeys((one.name for one in recipe.taking), 1)
            return super().score(Recipe.of({**flat, "x": str(abs(total - 1))}), **asked)

    landscapes.kind = Sums
    asked = ["--strategy", "tpe", "--budget", "5", "--base", "d", "--publish", "soup"]
    asked += ["--set", "search.method=task_arithmetic", "--set", "search.parameters={lambda: [0, 1.5]}"]
    found = search_here(*asked)
    assert found.exit_code == 0, found.stderr
    assert "  soce: task_arithmetic (lambda " in found.stdout
    assert search_here(*asked).stdout == found.stdout
    assert not landscapes.opened[1].calls
    page = run(report, "run", "--selection", "selection.yaml", "--format", "json", "--output", "-")
    assert page.exit_code == 0, page.stderr
    sections = json.loads(page.stdout)["sections"]
    (recipe,) = (one["data"]["recipe"]["file"] for one in sections if "recipe" in one.get("data", {}))
    (here / "run/recipe.yaml").write_text(recipe)
    soce.merge("run/recipe.yaml", output="again")
    assert read_directory(here / "again") == read_directory(here / "soup")


# ---- soce run


def run_all(*arguments: object) -> Result:
    return run(
        run_command,
        "scores.csv",
        "--models",
        "models.yaml",
        *SELECT,
        "-e",
        "x.jsonl",
        "-o",
        "all",
        *arguments,
    )


def test_run_goes_from_scores_to_a_soup_and_again_does_nothing(here: Path, landscapes: Landscapes) -> None:
    first = run_all()
    assert first.exit_code == 0, first.stderr
    made = ["scores.csv", "search", "selection.yaml", "soce.log", "soup"]
    assert sorted(entry.name for entry in (here / "all").iterdir()) == made
    assert (here / "all" / "selection.yaml").read_text().count("\n") > 5
    assert read_scores(here / "all" / "scores.csv").digest == read_scores(here / "scores.csv").digest
    assert first.stderr.splitlines()[-1] == "next: soce report all"
    second = run_all()
    assert second.exit_code == 0
    assert landscapes.opened[1].calls == []
    assert second.stdout == first.stdout
    assert "selection.yaml" in first.stderr
    assert "selection.yaml" not in second.stderr
    alone = search_here()
    assert alone.stdout == first.stdout


def test_quiet_says_nothing_but_errors(here: Path, landscapes: Landscapes) -> None:
    first, second = run_all("--quiet"), run_all("--quiet")
    assert (first.exit_code, first.stderr, second.stderr) == (0, "", "")
    assert first.stdout == second.stdout


def test_another_selection_in_the_same_output_is_another_question(here: Path, landscapes: Landscapes) -> None:
    first = run_all()
    assert first.exit_code == 0
    selection = (here / "all" / "selection.yaml").read_bytes()
    found = run_all("--step", "0.05")
    assert found.exit_code == 0, found.stderr
    assert "the earlier question is kept, see `soce log all`" in found.stderr
    assert len(landscapes.opened[1].calls) < len(landscapes.opened[0].calls) * 4
    assert (here / "all" / "selection.yaml").read_bytes() != selection
    (past,) = (here / "all" / "search" / "history").iterdir()
    assert (past / "selection.yaml").read_bytes() == selection
    again = run_all()
    assert landscapes.opened[2].calls == []
    assert again.stdout == first.stdout
    assert (here / "all" / "selection.yaml").read_bytes() == selection
    told = run(log, "all").stdout
    assert told.startswith("question 2   asked 20")
    assert "question 3 (now)   asked 20" in told
    assert "differs    strategy, grid, whole: 20 before, 10 now" in told
    data = json.loads(run(log, "all", "--json").stdout)["questions"]
    assert [one["number"] for one in data] == [2, 3]
    assert [one["is_present"] for one in data] == [False, True]
    assert data[1]["result"] == json.loads((here / "all" / "search" / "result.json").read_text())


def test_the_output_of_another_experiment_is_refused(here: Path, landscapes: Landscapes) -> None:
    said = (
        "scores: scores.csv\nmodels: {a: a, b: b, c: c}\nselect: {rule: explicit, categories: [math, code]}\n"
        "evaluate: {tasks: x.jsonl}\nsearch: {strategy: greedy}\noutput: all\n"
    )
    (here / "x.jsonl").touch()
    for name in ("soce.yaml", "other.yaml"):
        (here / name).write_text(said)
    assert (found := run(run_command, "soce.yaml")).exit_code == 0, found.stderr
    before = state_of(here / "all")
    for command in (run_command, select):
        found = run(command, "other.yaml")
        assert found.exit_code == 1
        assert "it is the output of another experiment, `soce.yaml`" in " ".join(found.stderr.split())
        assert "name another `output` in `other.yaml`" in found.stderr
    assert state_of(here / "all") == before
    (here / "soce.yaml").rename(here / "kept.yaml")
    assert run(run_command, "other.yaml").exit_code == 0, "the file of the first is gone"


def test_run_needs_a_threshold_and_paths(here: Path, landscapes: Landscapes) -> None:
    arguments = ["scores.csv", "-e", "x.jsonl", "-o", "all"]
    assert "missing option `--threshold`" in run(run_command, *arguments, "--models", "models.yaml").stderr
    found = run(run_command, *arguments, *SELECT)
    assert found.exit_code == 2
    assert "no path is known for the candidates" in found.stderr
    assert not (here / "all").exists()


def test_a_run_without_an_evaluator_writes_nothing(here: Path) -> None:
    found = run(run_command, "scores.csv", "--models", "models.yaml", *SELECT, "-o", "all")
    assert found.exit_code == 2
    assert "`--evaluator`" in found.stderr
    assert not (here / "all").exists()


# ---- soce run without a table


def result_in(folder: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(Path(folder, "result.json").read_text())
    return found


class Peaks(Landscape):
    """The expert of math is a, that of code is c, and their soup is better than both."""

    def quality(self, weights: Mapping[str, float], category: str) -> float:
        return 0.3 + 0.5 * weights.get({"math": "a", "code": "c"}[category], 0.0) ** 0.5


@pytest.fixture
def peaks(landscapes: Landscapes) -> Landscapes:
    landscapes.kind = Peaks
    return landscapes


def run_measured(*arguments: object, rule: list[str] = SELECT) -> Result:
    return run(run_command, "--models", "models.yaml", *rule, "-e", "x.jsonl", "-o", "all", *arguments)


def test_without_a_table_the_candidates_are_scored_where_soups_are_chosen(
    here: Path, peaks: Landscapes
) -> None:
    first = run_measured()
    assert first.exit_code == 0, first.stderr
    made = ["scores.csv", "search", "selection.yaml", "soce.log", "soup"]
    assert sorted(entry.name for entry in (here / "all").iterdir()) == made
    scores = read_scores(here / "all" / "scores.csv")
    assert scores.models == ("a", "b", "c", "d")
    assert scores.most_items() == {"math": 100, "code": 100}, "of 200"
    (landscape,) = peaks.opened
    assert len(set(landscape.calls)) == len(landscape.calls), "nothing is evaluated twice"
    n_items = sum(size for _, size in landscape.calls)
    assert f"{len(landscape.calls)} evaluations in this run ({n_items} items)\n" in first.stderr
    chosen = read_selection(here / "all" / "selection.yaml").selection
    assert chosen.origin.kind == "measured"
    second = run_measured()
    assert peaks.opened[1].calls == []
    assert second.stdout == first.stdout
    assert result_in("all/search")["experts_saw"] == "other items"


def test_the_first_candidate_gives_the_config(here: Path, peaks: Landscapes) -> None:
    config = here / "b" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "first": True}))
    names = [word for name in "bacd" for word in ("-c", f"{name}={name}")]
    found = run(run_command, *names, *SELECT, "-e", "x.jsonl", "-o", "all")
    assert found.exit_code == 0, found.stderr
    assert "first" in json.loads((here / "all" / "soup" / "config.json").read_text())
    assert open_run(here / "all").pool.names[0] == "b"
    assert run(report, "all", "--no-evaluate", "--format", "markdown", "-o", "report.md").exit_code == 0
    written = (here / "report.md").read_text().partition("# recipe.yaml\n")[2].partition("```")[0]
    (here / "recipe.yaml").write_text(written.replace(": b\n", f": {here / 'b'}\n"))
    recipe = soce.read_recipes(here / "recipe.yaml").recipe
    assert (recipe.ingredients[0].name, recipe.ingredients[0].weight) == ("b", 0), "which has no part in it"
    again = run(run_command, *names, *SELECT, "-e", "x.jsonl", "-o", "all")
    assert "holds this soup already" in again.stderr


def test_scores_stay_when_nothing_is_selected_by_them(here: Path, peaks: Landscapes) -> None:
    found = run_measured(rule=["--threshold", "1e-9"])
    assert found.exit_code == 1
    assert "no category qualifies" in found.stderr
    assert (here / "all" / "scores.csv").exists()
    assert run_measured().exit_code == 0
    n_singles = sum(count == 200 for _, count in peaks.opened[1].calls)
    assert peaks.opened[0].calls
    assert not {call for call, _ in peaks.opened[0].calls} & {call for call, _ in peaks.opened[1].calls}
    assert n_singles


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--rule", "explicit", "--category", "maths"], 1, "there is no category `maths`"),
        (["--rule", "clusters", "--clusters", "3"], 1, "cannot make 3 clusters"),
        ([*SELECT, "--set", "select.objective=column:chat"], 1, "chat"),
        ([*SELECT, "--set", "select.population=zebra"], 1, "zebra"),
        ([*SELECT, "--set", "scores.metric=acc"], 2, "`scores.metric` has no effect without TABLE"),
        ([*SELECT, "--set", "scores.items=other"], 2, "`scores.items` has no effect without TABLE"),
        ([*SELECT, "-c", "e"], 2, "`--candidate e` is not NAME=PATH"),
        ([*SELECT, "-c", "e=./a"], 1, "have the same path"),
        ([*SELECT, "-c", "e=nowhere"], 1, "nowhere"),
    ],
)
def test_what_no_score_could_mend_is_refused_before_any_is_measured(
    here: Path, peaks: Landscapes, arguments: list[str], code: int, words: str
) -> None:
    found = run_measured(rule=arguments)
    assert found.exit_code == code, found.stderr
    assert words in " ".join(found.stderr.split())
    assert not any(landscape.calls for landscape in peaks.opened)
    assert not (here / "all").exists()


def test_the_metric_of_a_table_is_not_that_of_the_evaluator(here: Path, peaks: Landscapes) -> None:
    found = run_measured(rule=[*SELECT, "--set", "evaluate.metric=acc"])
    assert "`evaluate.metric` has no effect here" in found.stderr
    found = run_all("--set", "scores.metric=acc")
    assert "`scores.metric` has no effect: the table is wide" in " ".join(found.stderr.split())


def test_two_candidates_need_no_correlation_where_categories_are_named(here: Path, peaks: Landscapes) -> None:
    pair = ("-c", "a=a", "-c", "c=c", "-e", "x.jsonl", "-o", "all")
    found = run(run_command, *pair, "--threshold", "0.5")
    assert found.exit_code == 1
    assert "the population is 2 models, a correlation takes at least 3" in " ".join(found.stderr.split())
    assert not peaks.opened[0].calls
    assert run(run_command, *pair, *SELECT).exit_code == 0


def test_one_candidate_is_no_choice(here: Path, peaks: Landscapes) -> None:
    found = run(run_command, "-c", "a=a", *SELECT, "-e", "x.jsonl", "-o", "all")
    assert found.exit_code == 2
    assert "name two or more" in " ".join(found.stderr.split())


def test_a_table_of_the_user_in_the_output_is_left_alone(here: Path, peaks: Landscapes) -> None:
    before = (here / "scores.csv").read_text()
    (here / "out").mkdir()
    (here / "out" / "scores.csv").write_text(before)
    found = run(run_command, "--models", "models.yaml", *SELECT, "-e", "x.jsonl", "-o", "out")
    assert found.exit_code == 1
    assert "this table was not written by soce" in " ".join(found.stderr.split())
    assert [path.name for path in (here / "out").iterdir()] == ["scores.csv"]
    assert (here / "out" / "scores.csv").read_text() == before


def test_other_scores_in_the_output_are_kept(here: Path, peaks: Landscapes) -> None:
    ask = [run_command, "--models", "models.yaml", *SELECT, "-e", "x.jsonl"]
    assert run(*ask, "-o", "other", "--held-out-share", "1/4").exit_code == 0
    before = (here / "other" / "scores.csv").read_text()
    (here / "out").mkdir()
    (here / "out" / "scores.csv").write_text(before)
    found = run(*ask, "-o", "out")
    assert found.exit_code == 0, found.stderr
    assert (here / "out" / "scores.csv").read_text() != before
    assert (here / "out" / "search" / "history" / "001" / "scores.csv").read_text() == before


# ---- what is said of a table's items


def test_a_table_that_stands_on_more_items_is_warned_of_before_scoring(
    here: Path, landscapes: Landscapes
) -> None:
    rows = [line.split(",") for line in SCORES.splitlines()[1:]]
    cells = [
        f"{name},{category},{score},200"
        for name, *row in rows
        for category, score in zip(("math", "code"), row, strict=True)
    ]
    (here / "scores.csv").write_text("\n".join(["model,category,score,n", *cells, ""]))
    warned = "scores of `code` stand on 200 items, of which 100 are chosen on"
    found = run_all("-o", "warned")
    assert warned in " ".join(found.stderr.split())
    assert "`--set scores.items=other` states" in " ".join(found.stderr.split())
    stated = run_all("-o", "stated", "--set", "scores.items=other")
    assert warned not in " ".join(stated.stderr.split())


@pytest.mark.parametrize(
    ("stated", "expected"), [("other", "stated"), ("reported", "these items"), (None, "unknown")]
)
def test_what_the_user_states_is_kept(
    here: Path, landscapes: Landscapes, stated: str | None, expected: str
) -> None:
    said = () if stated is None else ("--set", f"scores.items={stated}")
    assert run_all(*said).exit_code == 0
    assert result_in("all/search")["experts_saw"] == expected
    assert read_selection(here / "all" / "selection.yaml").selection.origin.stated == stated
    assert search_here(*said).exit_code == 0
    assert result_in("run")["experts_saw"] == expected


def test_a_statement_may_be_made_later(here: Path, landscapes: Landscapes) -> None:
    assert run_all().exit_code == 0
    assert run_all("--set", "scores.items=other", "--overwrite").exit_code == 0
    assert landscapes.opened[1].calls == []
    assert read_selection(here / "all" / "selection.yaml").selection.origin.stated == "other"
    assert result_in("all/search")["experts_saw"] == "stated"


# ---- processes


INTERRUPTED = textwrap.dedent(
    """
    import signal
    import sys
    from contextlib import contextmanager
    from pathlib import Path
    from soce.cli.options.named_evaluators import NamedEvaluators
    from soce.cli.search import search
    from tests.landscapes import Landscape

    @contextmanager
    def landscape(*_, **__):
        yield Landscape(log=Path("log"), seconds=0.05), None

    # A shell without job control starts what runs in the background with SIGINT ignored, and Python leaves it so.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    NamedEvaluators.opened = landscape
    search.main(["selection.yaml", "-e", "x.jsonl", "-o", "run"], prog_name="soce search")
    """
)


def start(here: Path) -> subprocess.Popen[str]:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root / "python"), str(root)])}
    return subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        cwd=here,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_search_ends_at_once_and_goes_on(here: Path, number: int, code: int) -> None:
    process = start(here)
    deadline = time.monotonic() + 60
    while not (here / "log").exists() or len(read_log(here / "log")) < 7:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(number)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert output == ""
    assert "Traceback" not in errors
    if number == signal.SIGINT:
        assert "the same command goes on" in errors
    assert [path.name for path in (here / "run").rglob(".*")] == [".present"], (
        "the file stays, its lock does not"
    )
    before = [recipe for what, recipe, _, _ in read_log(here / "log") if what == "done"]
    rest = start(here)
    output, errors = rest.communicate(timeout=120)
    assert rest.returncode == 0, errors
    done = [recipe for what, recipe, _, _ in read_log(here / "log") if what == "done"]
    assert len(done) == len(set(done)) > len(before)
    assert output.rpartition("\n\n")[2].startswith("The soup")


# ---- real evaluators


PROGRAM = """
import json, pathlib, struct, sys
checkpoint, output = map(pathlib.Path, sys.argv[1:])
content = (checkpoint / "model.safetensors").read_bytes()
start = 8 + struct.unpack("<Q", content[:8])[0]
first, second = struct.unpack("<2f", content[start:])
(output / "scores.json").write_text(json.dumps({"soup": {"math": 80 - 10 * (first - 0.8) ** 2, "code": 60 + second}}))
"""


def test_a_program_scores_real_checkpoints(here: Path) -> None:
    (here / "score.py").write_text(PROGRAM)
    command = f"{sys.executable} score.py {{checkpoint}} {{output}}"
    arguments = ["selection.yaml", "--evaluator-command", command, "-o", "run", "--publish", "soup"]
    arguments += ["--evaluator-scores", "{output}/scores.json"]
    found = run(search, *arguments)
    assert found.exit_code == 0, found.stderr
    assert "for each soup: " in found.stderr
    assert "selected and reported on the same items: optimistic" in found.stdout
    notes = json.loads((here / "soup" / "soce.json").read_text())["run"]["notes"]
    assert notes["best"]["parts"] == {"a": 6, "c": 4}
    again = run(search, *arguments)
    assert again.stdout == found.stdout
    assert "0 evaluations in this run" in again.stderr


@pytest.mark.usefixtures("one_thread")
@pytest.mark.filterwarnings("ignore")  # transformers' own
def test_real_models_are_searched_in_place_and_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    from tests.characters import save_characters, save_choices
    from tests.models import save

    monkeypatch.chdir(tmp_path)
    found = save(tmp_path / "home", "llama-untied", "float32", range(3))
    for path in found:
        save_characters(path)
    (tmp_path / "scores.csv").write_text(SCORES)
    models = "".join(f"{name}: {path}\n" for name, path in zip("acd", found, strict=True))
    (tmp_path / "models.yaml").write_text(models)
    save_choices(tmp_path / "tasks.jsonl")
    arguments = [
        "scores.csv",
        "--models",
        "models.yaml",
        *SELECT,
        "-e",
        "tasks.jsonl",
        "-o",
        "all",
        "--step",
        "1/4",
        "--set",
        "search.arms=[model_stock, task_arithmetic: {lambda: 0.3}]",
        "--set",
        "search.base=d",
    ]
    result = run(run_command, *arguments)
    assert result.exit_code == 0, result.stderr
    assert "  model_stock: model_stock of c, a on d\n" in result.stdout
    assert "  task_arithmetic:lambda=0.3: task_arithmetic (lambda 0.3) of c, a on d\n" in result.stdout
    page = run(report, "all", "--format", "markdown", "--output", "-")
    assert "`task_arithmetic:lambda=0.3` is task_arithmetic (lambda 0.3) of c, a on d" in page.stdout.replace(
        "\\", ""
    )
    assert "model_stock of `c`, `a` on `d`" in (tmp_path / "all/soup/README.md").read_text()
    again = run(run_command, *arguments)
    assert again.stdout == result.stdout
    assert "0 evaluations in this run" in again.stderr
    # The published soup, loaded as any model, scores what the search says of it.
    from soce.evaluate.live.soup_model import SoupModel
    from soce.evaluate.tasks.evaluator import TaskEvaluator
    from soce.evaluate.tasks.items import read_tasks
    from soce.recipes.model import Recipe

    notes = json.loads((tmp_path / "all" / "soup" / "soce.json").read_text())["run"]["notes"]
    published = str(tmp_path / "all" / "soup")
    evaluator = TaskEvaluator(SoupModel([published], device="cpu"), read_tasks("tasks.jsonl"))
    whole = evaluator.score(Recipe.of([published]))
    for category, found_score in whole.categories.items():
        halves = [notes["best"][part]["categories"][category] for part in ("selection", "report")]
        assert found_score.score == pytest.approx(sum(halves) / 2)
    evaluator.close()
