"""The commands `soce serve` and `soce ask`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.served.test_server import processes_below, wait_until

from soce import Pool, Recipe, SoupModel, search_soups
from soce.cli.ask import ask
from soce.cli.serve import serve
from soce.evaluate.evaluation import Evaluation
from soce.evaluate.served.model import ServedModel
from soce.evaluate.tasks.asking import ask_soups

SERVE = [sys.executable, "-c", "from soce.cli import main; main()", "serve"]


def run(command: Any, *words: object, text: str | None = None) -> Result:
    return CliRunner().invoke(command, [str(word) for word in words], input=text)


@contextmanager
def serving(folder: Path, *words: str, under: Sequence[str] = ()) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Give the process of a server, and what it says where it serves."""
    errors = (folder / "errors.txt").open("w")
    options = ["--engine", "transformers", "--port", "0", "--token-file", str(folder / "token"), "--json"]
    process = subprocess.Popen(
        [*under, *SERVE, *options, *words], stdout=subprocess.PIPE, stderr=errors, text=True
    )
    try:
        assert process.stdout is not None
        lines = []
        while line := process.stdout.readline():
            lines.append(line)
            if line == "}\n":
                break
        assert lines, (folder / "errors.txt").read_text()
        yield process, json.loads("".join(lines))
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stdout.close()
        errors.close()


def is_gone(process: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return True


def test_a_server_tells_where_it_is_answers_and_stops_with_ctrl_c(
    tmp_path: Path, ingredients: list[str]
) -> None:
    first, second, _ = ingredients
    with serving(tmp_path, f"a={first}", f"b={second}", "--", "--batch-size", "1") as (process, told):
        below = processes_below(process.pid)
        assert len(below) == 2, "a watchdog and the engine"
        token = tmp_path / "token"
        assert token.stat().st_mode & 0o777 == 0o600
        assert told["token_file"] == str(token)
        assert told["identity"]["batch_invariant"] is True
        errors = (tmp_path / "errors.txt").read_text()
        assert "curl" in errors
        assert f"soce ask --server {told['url']}" in errors
        assert token.read_text().strip() not in errors
        server = ("--server", told["url"], "--token-file", token)
        found = json.loads(run(ask, *server, "--soup", "b", "--soup", "1/2 a + 1/2 b", "--json", "hi").stdout)
        assert [one["weights"] for one in found["soups"]] == [{"b": "1"}, {"a": "1/2", "b": "1/2"}]
        held = run(ask, *server, "--plain", "--max-new-tokens", 5, text="abc\n")
        assert (held.exit_code, held.stdout.count("\n")) == (0, 1)
        wrong = run(ask, *server, "--soup", "1/2 a + 1/2 c", "hi")
        assert (wrong.exit_code, "no ingredient `c`" in wrong.stderr) == (1, True)

        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert all(map(is_gone, below))
        assert not Path(told["socket"]).exists()
    assert "stopping" in (tmp_path / "errors.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -9)]
)
def test_whatever_ends_a_server_ends_its_engine(
    tmp_path: Path, ingredients: list[str], number: signal.Signals, status: int
) -> None:
    with serving(tmp_path, *ingredients) as (process, _):
        below = processes_below(process.pid)
        process.send_signal(number)
        assert process.wait(20) == status
        wait_until(lambda: all(map(is_gone, below)))


@pytest.mark.slow
def test_a_server_ends_with_who_started_it(tmp_path: Path, ingredients: list[str]) -> None:
    starts = "import subprocess, sys; subprocess.run(sys.argv[1:])"
    with serving(tmp_path, *ingredients, under=(sys.executable, "-c", starts)) as (parent, told):
        below = [told["process"], *processes_below(told["process"])]
        assert len(below) == 3
        parent.kill()
        wait_until(lambda: all(map(is_gone, below)))


@pytest.mark.slow
def test_a_server_says_that_its_engine_is_gone_and_still_stops(
    tmp_path: Path, ingredients: list[str]
) -> None:
    with serving(tmp_path, *ingredients) as (process, told):
        watchdog, engine = sorted(processes_below(process.pid))
        os.kill(engine, signal.SIGKILL)
        errors = tmp_path / "errors.txt"
        wait_until(lambda: "requests are refused from now on" in errors.read_text())
        assert "SIGKILL" in errors.read_text()
        server = ("--server", told["url"], "--token-file", tmp_path / "token")
        refused = run(ask, *server, "hi")
        assert (refused.exit_code, "SIGKILL" in refused.stderr) == (1, True), refused.output
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert is_gone(watchdog)
        assert not Path(told["socket"]).exists()
        assert "Traceback" not in errors.read_text()


def test_what_cannot_be_served_is_one_clear_line(tmp_path: Path, ingredients: list[str]) -> None:
    token = tmp_path / "token"
    token.write_text("known to all")
    token.chmod(0o644)
    words = [*ingredients, "--engine", "transformers", "--token-file"]
    for given, code, line in (
        ([*words, token], 1, "others may read this token"),
        ([*words, token / "below"], 1, "the token cannot be"),
        ([ingredients[0], ingredients[0]], 2, "two ingredients are called `model0`"),
        ([*ingredients, "--engine", "llama"], 2, "`llama` is no serving engine"),
        ([*words, tmp_path / "new", "--", "--tensor-parallel-size", "2"], 1, "has no argument `--tensor-par"),
        ([*words, tmp_path / "new", "--", "--batch-size", "0"], 1, "a number from 1 on"),
        ([tmp_path, *words, tmp_path / "new"], 1, "error:"),
    ):
        result = run(serve, *given)
        assert (result.exit_code, line in result.stderr) == (code, True), result.stderr
        assert result.stdout == ""


class Judge:
    """Says of soups how much of the first model they have, without a look at any."""

    identity: Mapping[str, object] = {"evaluator": "share of the first"}

    def item_ids(self) -> dict[str, tuple[str, ...]]:
        return {"share": tuple(map(str, range(8)))}

    def score(self, recipe: Recipe, *, items: Any = None, on_progress: object = None) -> Evaluation:
        assert recipe.parts is not None
        share = recipe.parts[0] / sum(recipe.parts) if recipe.ingredients[0].name == "a" else 0
        kept = (items or self.item_ids())["share"]
        return Evaluation.of_items({"share": dict.fromkeys(kept, share * (1 - share / 2))})

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, ingredients: list[str]) -> Path:
    pytest.importorskip("optuna")
    folder = tmp_path_factory.mktemp("searched") / "run"
    pool = Pool(dict(zip("abc", ingredients, strict=True)), experts=("a", "b"))
    search_soups(pool, Judge(), folder=folder)
    return folder


def test_soups_of_a_run_answer_as_the_live_model_does(searched: Path, ingredients: list[str]) -> None:
    told = run(ask, searched, "hi", "--soup", "a", "--soup", "1/2 a + 1/2 c", "--json", "--max-new-tokens", 9)
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert found["prompt"] == "hi"
    assert [one["weights"] for one in found["soups"]] == [{"a": "1"}, {"a": "1", "c": "1"}]
    soup = SoupModel(ingredients)
    recipes = [Recipe.of({ingredients[0]: 1}), Recipe.of([ingredients[0], ingredients[2]])]
    said = list(ask_soups(soup, recipes, "hi", most=9, is_chat=True))
    assert [(one["text"], one["ending"]) for one in found["soups"]] == [
        (one.text, one.ending) for one in said
    ]
    soup.close()
    best = run(ask, searched, "--plain", "--max-new-tokens", 3, text="abc")
    assert best.exit_code == 0, best.output
    assert len(best.stdout.removesuffix("\n")) <= 3


def test_a_server_answers_for_a_run_as_the_model_in_process(
    searched: Path, served: ServedModel, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text(served.token)
    served._hold.close()  # another test's
    words = (searched, "hi", "--soup", "1/2 a + 1/2 b", "--max-new-tokens", 9, "--json")
    answers = [run(ask, *words, *more) for more in ((), ("--server", served.base_url, "--token-file", token))]
    assert answers[0].exit_code == answers[1].exit_code == 0, answers[1].output
    assert json.loads(answers[0].stdout) == json.loads(answers[1].stdout)


@pytest.mark.slow
def test_an_engine_answers_for_a_run_as_the_model_in_process_and_ends(searched: Path) -> None:
    words = (searched, "hi", "--soup", "1/2 a + 1/2 b", "--soup", "c", "--max-new-tokens", 9, "--json")
    before = processes_below(os.getpid())
    answers = [run(ask, *words, *more) for more in ((), ("--engine", "transformers"))]
    assert answers[0].exit_code == answers[1].exit_code == 0, answers[1].output
    assert json.loads(answers[0].stdout) == json.loads(answers[1].stdout)
    assert processes_below(os.getpid()) == before


def test_a_question_to_nobody_is_refused(searched: Path, tmp_path: Path) -> None:
    for words, code, line in (
        ((), 2, "give a RUN"),
        ((searched,), 2, "no prompt"),
        ((searched, "what", "now"), 2, "quote a prompt"),
        ((searched, "hi", "--token-file", "x"), 2, "is for `--server`"),
        ((searched, "hi", "--engine-python", "x"), 2, "is for `--engine`"),
        ((searched, "hi", "--engine", "vllm", "--server", "http://127.0.0.1:1"), 2, "either"),
        ((searched, "hi", "--soup", "d"), 1, "no soup or model of the run is called `d`"),
        ((searched, "x" * 200), 1, "has 205 tokens, and the model sees 128"),
        ((searched, "hi", "--max-new-tokens", 400), 1, "lower `--max-new-tokens`"),
        ((tmp_path, "hi"), 1, "error"),
        (("--server", "http://127.0.0.1:1", "--token-file", tmp_path / "none", "hi"), 1, "cannot be read"),
    ):
        result = run(ask, *words)
        assert (result.exit_code, line in result.stderr) == (code, True), (words, result.output)
