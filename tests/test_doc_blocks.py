"""Every example of README.md and docs/ is run, or a table says why not and what tests it instead."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.doc_blocks import PAGES, ROOT, RUNNABLE, Block, blocks, kitchen, run_command, stock


@dataclass(frozen=True)
class Elsewhere:
    """A test that runs the example, or what it shows, as `file::function`."""

    test: str


@dataclass(frozen=True)
class NotRun:
    """Why no test can run it."""

    reason: str


EXAMPLE = Elsewhere("tests/test_docs.py::test_the_worked_example_prints_what_it_says")
DEMO = Elsewhere("tests/demo/test_run.py::test_the_soup_of_the_full_demo_beats_its_ingredients")
REPORT = Elsewhere("tests/report/test_report.py::test_the_command_writes_beside_the_run_and_says_where")
PROCESSES = Elsewhere(
    "tests/search/executors/test_commands.py::test_a_run_by_processes_prints_and_writes_the_same"
)
TOUR = Elsewhere("tests/test_tour.py::test_from_checkpoints_and_a_table_to_a_published_soup")
VERIFY = Elsewhere("tests/merging/test_verify.py::test_the_page_prints_what_it_says")
DECISIONS: dict[tuple[str, str], Elsewhere | NotRun] = {
    ("README.md", "make demo"): Elsewhere(
        "tests/demo/test_run.py::test_the_soup_of_the_full_demo_beats_its_ingredients"
    ),
    ("README.md", "soce init --scores scores.csv --models path"): TOUR,
    ("README.md", "soce run --dry-run"): TOUR,
    ("README.md", "pip install ."): NotRun("installs; `make wheel-test` does it with the wheel"),
    ("docs/bfcl-example.md", "soce analyze board"): EXAMPLE,
    ("docs/bfcl-example.md", "soce select board --models models.yaml --sweep"): EXAMPLE,
    (
        "docs/bfcl-example.md",
        "soce select board --models models.yaml --threshold 0.01 --objective bfcl-v3 --quiet --output selection.yaml",
    ): EXAMPLE,
    (
        "docs/bfcl-example.md",
        "soce select board --models models.yaml --rule clusters --clusters 3 --objective bfcl-v3 --quiet",
    ): EXAMPLE,
    ("docs/card.md", "soce publish soup/ hf://org/soup --private"): Elsewhere(
        "tests/report/test_hub.py::test_the_command_says_where_it_is"
    ),
    ("docs/demo.md", "make demo"): DEMO,
    ("docs/install.md", "pip install ."): NotRun("installs; `make wheel-test` does it with the wheel"),
    (
        "docs/install.md",
        'eval "$(_SOCE_COMPLETE=bash_source soce; _SOCE_MERGE_COMPLETE=bash_source soce-merge)"',
    ): Elsewhere("tests/cli/test_version.py::test_shells_get_a_script"),
    ("docs/methods.md", "soce trajectory run/checkpoint-* --scheme wma > recipe.yaml"): Elsewhere(
        "tests/methods/test_trajectory.py::"
        "test_the_command_prints_a_recipe_that_makes_the_soup_it_makes_itself"
    ),
    (
        "docs/evaluators.md",
        "from soce.evaluate.lm_eval.evaluator import LmEvalEvaluator",
    ): Elsewhere("tests/evaluate/test_lm_eval.py::test_groups_are_no_categories_not_even_groups_in_groups"),
    (
        "docs/evaluators.md",
        "soce search selection.yaml --models models.yaml --evaluator-metric bleu --output run \\",
    ): Elsewhere("tests/cli/test_held_out_tasks.py::test_soups_are_reported_on_tasks_of_another_name"),
    ("docs/evaluators.md", "from soce import TaskEvaluator, read_tasks"): Elsewhere(
        "tests/engines/test_vllm_tasks.py::test_vllm_answers_every_kind_of_item_as_the_model_in_this_process"
    ),
    ("docs/evaluators.md", "from openai import OpenAI"): Elsewhere(
        "tests/served/test_tasks.py::test_a_function_that_takes_a_base_url_is_called_with_it"
    ),
    ("docs/bfcl.md", "soce bfcl setup environments/bfcl"): NotRun("installs some 6 GB"),
    ("docs/bfcl.md", "soce run --dry-run"): Elsewhere("tests/bfcl/test_run.py::test_from_table_to_report"),
    ("docs/bfcl.md", "soce bfcl weights v4 > weights.yaml"): Elsewhere(
        "tests/cli/test_bfcl.py::test_weights_are_those_of_the_board_without_what_cannot_be_scored"
    ),
    ("docs/index.md", "soce demo"): DEMO,
    (
        "docs/index.md",
        "soce init --scores soce-demo/scores.csv --models soce-demo/models --tasks soce-demo/models/dev.jsonl",
    ): TOUR,
    (
        "docs/many-machines.md",
        "soce search selection.yaml -e tasks.jsonl -o run/ --executor processes:8",
    ): PROCESSES,
    ("docs/many-machines.md", "soce run soce.yaml --set search.executor=processes:8"): PROCESSES,
    ("docs/many-machines.md", "pip install 'soce[ray]'"): NotRun("wants several machines"),
    ("docs/many-machines.md", "#!/bin/bash"): NotRun("wants SLURM"),
    ("docs/many-machines.md", "from soce import SearchOptions, search_soups"): Elsewhere(
        "tests/search/executors/test_models.py::test_a_model_in_two_processes_gives_the_same_files"
    ),
    ("docs/reliability.md", "make test"): NotRun("runs these very tests"),
    ("docs/remote.md", "soce-merge org/math=0.5 org/code=0.5 --output hf://org/soup --private"): Elsewhere(
        "tests/remote/test_sending.py::test_the_command_writes_a_card_and_says_where_the_soup_went"
    ),
    ("docs/report.md", "soce report soce-demo"): REPORT,
    ("docs/report.md", "from soce.report.build import build_report"): REPORT,
    ("docs/serve.md", "soce serve math=path/A code=path/B chat=path/C"): Elsewhere(
        "tests/served/test_serve_command.py::test_a_server_tells_where_it_is_answers_and_stops_with_ctrl_c"
    ),
    ("docs/serve.md", 'soce ask run/ "What is 17 + 25?"'): Elsewhere(
        "tests/served/test_serve_command.py::test_soups_of_a_run_answer_as_the_live_model_does"
    ),
    ("docs/serve.md", "from soce import Recipe"): Elsewhere(
        "tests/served/test_server.py::test_the_first_error_ends_all_other_requests"
    ),
    ("docs/study.md", "soce study soce-demo"): Elsewhere(
        "tests/cli/test_study.py::test_a_run_is_studied_with_its_own_scores"
    ),
    ("docs/verify.md", "soce verify soup"): VERIFY,
    ("docs/verify.md", "soce verify soup --quick"): VERIFY,
    ("docs/verify.md", "soce verify soup --recompute A B"): VERIFY,
    ("docs/verify.md", "soce verify soup --quiet --recompute B A"): VERIFY,
    ("docs/verify.md", "soce verify A"): VERIFY,
}
"""By page and first line of the block. What is not here is run."""

WHOLE_PAGES = {
    "docs/analyses.md": Elsewhere("tests/analysis/test_analyses_page.py::test_an_example_runs"),
    "docs/answers.md": Elsewhere("tests/cli/test_show.py::test_the_examples_of_the_page_run"),
}
"""Pages of which another test runs every example, new ones too."""

FOUND = [block for block in blocks() if block.language in RUNNABLE]
RUN = [
    block for block in FOUND if (block.page, block.first) not in DECISIONS and block.page not in WHOLE_PAGES
]


def test_every_decision_is_about_a_block_and_names_a_test() -> None:
    known = {(block.page, block.first) for block in FOUND}
    assert set(DECISIONS) <= known, set(DECISIONS) - known
    for decision in (*DECISIONS.values(), *WHOLE_PAGES.values()):
        if isinstance(decision, Elsewhere):
            path, _, name = decision.test.partition("::")
            tree = ast.parse((ROOT / path).read_text())
            assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, (
                decision
            )
        else:
            assert decision.reason


def test_no_command_hides_from_the_tests() -> None:
    """Unlabelled and indented blocks would not be found."""
    for block in blocks():
        assert block.language, f"{block} names no language"
    for page in PAGES:
        text = re.sub(r"^(```+).*?^\1", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        hidden = re.search(
            r"^(?: {4,}|\t)(?:\$ )?(?:soce|soce-merge|make|pip|python) .*$", text, re.MULTILINE
        )
        assert hidden is None, f"{page.name}: {hidden and hidden[0]!r} is no fenced block"


@pytest.fixture(scope="module")
def stocked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    return stock(tmp_path_factory.mktemp("stock"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("block", RUN, ids=str)
def test_an_example_does_what_it_says(
    block: Block, stocked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("optuna")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    kitchen(tmp_path, stocked, block)
    if block.language in {"python", "pycon"}:
        # Not with this file's own future statements: an example has none.
        exec(compile(block.text, str(block), "exec", dont_inherit=True), {"__name__": "example"})
        return
    for line, expected in block.commands:
        printed = run_command(line)
        if expected.strip():
            assert printed.rstrip("\n") == expected.rstrip("\n"), line
