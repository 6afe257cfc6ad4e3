"""Any program as an evaluator: fresh directories, no shell, nothing left behind, one clear line for each failure."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from tests import checkpoints

import soce
from soce import Recipe
from soce.evaluate.command.evaluator import CommandEvaluator
from soce.evaluate.command.options import CommandOptions
from soce.evaluate.command.program import describe_status, last_lines, run_program
from soce.evaluate.command.scratch import Scratch
from soce.evaluate.evaluation import CategoryScore, Evaluator
from soce.exceptions import EvaluationError, IncompatibleError, OutputError
from soce.recipes.model import Ingredient
from soce.recipes.rows import Row
from soce.scores.formats.options import ReadOptions

# Scores the mean of a tensor; keeps finished ids in a directory that is named after the handler, as BFCL does.
PROGRAM = """
import json, struct, sys
from pathlib import Path

checkpoint, output = map(Path, sys.argv[1:3])
data = (checkpoint / "model.safetensors").read_bytes()
size = struct.unpack("<Q", data[:8])[0]
begin = json.loads(data[8 : 8 + size])["w"]["data_offsets"][0]
value = struct.unpack_from("<f", data, 8 + size + begin)[0]
print("scoring", checkpoint, "into", output)
cache = output / "result" / "handler.json"
cache.parent.mkdir(parents=True, exist_ok=True)
if not cache.exists():
    cache.write_text(json.dumps(value))
value = json.loads(cache.read_text())
(output / "scores.csv").write_text(f"model,math,code\\nhandler,{value},{1 - value}\\n")
"""


@pytest.fixture
def kitchen(tmp_path):
    return Kitchen(tmp_path)


class Kitchen:
    def __init__(self, home):
        self.home = home
        self.models = [str(home / "A"), str(home / "B")]
        for path, value in zip(self.models, (0.25, 0.75), strict=True):
            checkpoints.directory(Path(path), value, value)
            Path(path, "config.json").write_text(json.dumps({"made": Path(path).name}))
        self.scratch = home / "scratch"
        self.scratch.mkdir()
        self.runs = home / "runs"
        self.recipe = Recipe.of(self.models)

    def program(self, text):
        path = self.home / "program.py"
        path.write_text(textwrap.dedent(text))
        return [sys.executable, str(path), "{checkpoint}", "{output}"]

    def make(self, program=PROGRAM, **options):
        command = options.pop("command", None) or self.program(program)
        ingredients, on_start = options.pop("ingredients", self.models), options.pop("on_start", None)
        chosen = CommandOptions(**{"scratch": self.scratch, "scores": "{output}/scores.csv", **options})
        return CommandEvaluator(ingredients, command, chosen, folder=self.runs, on_start=on_start)

    def left(self):
        """Soups that were not removed."""
        return sorted(self.home.rglob("soup-*"))


def test_each_soup_is_written_scored_and_removed(kitchen):
    started = []
    made = kitchen.make(on_start=started.append)
    assert isinstance(made, Evaluator)
    assert made.item_ids() is None
    seen = []
    found = made.score(kitchen.recipe, on_progress=lambda *step: seen.append(step))
    assert found.categories == {"math": CategoryScore(0.5), "code": CategoryScore(0.5)}
    assert found.items is None
    assert set(seen[:-1]) == {(0, 1)}
    assert seen[-1] == (1, 1)
    (command,) = started
    assert command[:2] == (sys.executable, str(kitchen.home / "program.py"))
    assert Path(command[2]).parent.parent == kitchen.scratch
    assert not Path(command[2]).exists()
    (run,) = kitchen.runs.iterdir()
    assert (run / "log.txt").read_text() == f"scoring {command[2]} into {run / 'output'}\n"
    assert kitchen.left() == []
    made.close()
    assert list(kitchen.scratch.iterdir()) == []
    assert (run / "log.txt").exists(), "logs are kept"


@pytest.mark.parametrize(("asked", "done"), [("auto", "keep"), ("drop", "drop")])
def test_what_is_read_for_a_soup_stays_in_memory_for_the_next(kitchen, monkeypatch, asked, done):
    module = "soce.evaluate.command.evaluator"
    merged, seen = sys.modules[module].merge, []

    def merge(recipe, *, options, **given):
        seen.append(options.cache)
        return merged(recipe, options=options, **given)

    monkeypatch.setattr(f"{module}.merge", merge)
    made = kitchen.make(merge=soce.MergeOptions(cache=asked))
    made.score(kitchen.recipe)
    made.close()
    assert seen == [done]


def test_a_program_that_skips_what_it_finished_scores_every_soup(kitchen):
    made = kitchen.make()
    first = made.score(kitchen.recipe)
    second = made.score(Recipe.of({kitchen.models[0]: 3, kitchen.models[1]: 1}))
    assert [held.categories["math"].score for held in (first, second)] == [0.5, 0.375]
    assert made.score(kitchen.recipe) == first


def test_soups_have_names_that_never_repeat(kitchen):
    started = []
    made = kitchen.make(on_start=started.append)
    made.score(kitchen.recipe)
    made.score(kitchen.recipe)
    names = [Path(command[2]).name for command in started]
    assert len(set(names)) == 2
    assert all(name.startswith(f"soup-{kitchen.recipe.id}-") for name in names)


def test_the_program_gets_the_soup_that_is_published(kitchen):
    """Config and tokenizer are the first ingredient's, also of a soup that it has no part in."""
    copy = """
        import shutil, sys
        shutil.copytree(sys.argv[1], sys.argv[2] + "/copy")
        open(sys.argv[2] + "/scores.csv", "w").write("model,math\\nsoup,1\\n")
    """
    made = kitchen.make(copy, merge=soce.MergeOptions(dtype="bfloat16"))
    only = Recipe.of({kitchen.models[1]: 1})
    rows = Recipe(tuple(Ingredient(path, None) for path in kitchen.models[1:]), (Row("*", (2,), 1),))
    for recipe in (only, rows, kitchen.recipe):
        made.score(recipe)
        (found,) = kitchen.runs.glob(f"{recipe.id}-*/output/copy")
        expected = kitchen.home / f"expected-{recipe.id}"
        soce.merge(recipe, output=expected, options=soce.MergeOptions(dtype="bfloat16"))
        assert checkpoints.read_directory(found) == checkpoints.read_directory(expected)
        config = json.loads((found / "config.json").read_text())
        assert config["made"] == "A"


def test_arguments_are_not_touched_by_a_shell(kitchen):
    words = ["$HOME", "*", "a b", "; touch x", "{json: {}}", "`ls`", "{output}/deep/{output}"]
    program = """
        import json, sys
        json.dump(sys.argv[1:], open(sys.argv[2] + "/arguments.json", "w"))
        open(sys.argv[2] + "/scores.csv", "w").write("model,math\\nsoup,1\\n")
    """
    made = kitchen.make(command=[*kitchen.program(program), *words])
    made.score(kitchen.recipe)
    (run,) = kitchen.runs.iterdir()
    found = json.loads((run / "output" / "arguments.json").read_text())[2:]
    assert found == [*words[:-1], f"{run}/output/deep/{run}/output"]


def test_a_program_runs_where_it_is_at_home(kitchen, monkeypatch):
    """From any folder it is the same evaluator: its words and the content of its files."""
    (kitchen.home / "elsewhere").mkdir()
    monkeypatch.chdir(kitchen.home / "elsewhere")
    kitchen.runs = Path("runs")
    program = """
        import os, sys
        from pathlib import Path
        assert Path("program.py").is_file()
        Path(sys.argv[2], "scores.csv").write_text(f"model,math\\nsoup,{len(os.listdir(sys.argv[1]))}\\n")
    """
    kitchen.program(program)
    command = [sys.executable, "program.py", "{checkpoint}", "{output}"]
    made = kitchen.make(command=command, directory="..", scratch="../scratch")
    assert made.score(kitchen.recipe).categories["math"].score > 0
    assert "program.py" in made.identity["files"]
    monkeypatch.chdir(kitchen.home)
    assert kitchen.make(command=command).identity == made.identity
    with pytest.raises(EvaluationError, match=r"no program `\./gone`"):
        kitchen.make(command=["./gone", "{checkpoint}"], directory="..")


def test_the_environment_may_name_the_output(kitchen):
    program = """
        import os, sys
        open(os.environ["PROJECT_ROOT"] + "/scores.csv", "w").write(
            "model,math\\nsoup," + os.environ["ANSWER"] + "\\n"
        )
        assert "PATH" in os.environ
    """
    made = kitchen.make(program, environment={"PROJECT_ROOT": "{output}", "ANSWER": "42"})
    assert made.score(kitchen.recipe).categories["math"].score == 42


@pytest.mark.parametrize(
    ("program", "messages"),
    [
        (
            "import sys; print('one'); print('two', file=sys.stderr); sys.exit(3)",
            ["ended with exit status 3", "its last words: ", "one", "two"],
        ),
        ("raise ValueError('no such task')", ["ended with exit status 1", "ValueError: no such task"]),
        ("import os; os.kill(os.getpid(), 9)", ["was ended by SIGKILL", "it wrote nothing"]),
        ("print('\\x1b[2Jdone')", ["left no scores in", r"its last words: \u{1b}[2Jdone"]),
        (
            "import sys; open(sys.argv[2] + '/scores.csv', 'w').write('nonsense')",
            ["the scores that the command left cannot be read"],
        ),
        (
            "import sys; open(sys.argv[2] + '/scores.csv', 'wb').write(bytes(range(256)))",
            ["the scores that the command left cannot be read"],
        ),
        (
            "import sys; open(sys.argv[2] + '/scores.csv', 'w').write('model,math\\nsoup,good\\n')",
            ["the scores that the command left cannot be read", "no column holds scores"],
        ),
        (
            "import sys; open(sys.argv[2] + '/scores.csv', 'w').write('model,math\\na,1\\nb,2\\n')",
            ["has the scores of 2 models: `a`, `b`"],
        ),
        (
            "import sys; open(sys.argv[2] + '/scores.csv', 'w').write('model,math,code\\na,1,\\n')",
            ["leaves category `code` without a score"],
        ),
        (
            "import sys; open(sys.argv[2] + '/scores.csv', 'w').write('model,math\\na,nan\\n')",
            ["math"],
        ),
    ],
)
def test_a_command_that_fails_is_told_in_one_line_with_its_log(kitchen, program, messages):
    made = kitchen.make(program)
    with pytest.raises(EvaluationError) as caught:
        made.score(kitchen.recipe)
    (log,) = kitchen.runs.glob("*/log.txt")
    line, *hints = str(caught.value).splitlines()
    assert line.startswith(f"`{log}`: ")
    assert all(hint.startswith("hint: ") for hint in hints)
    for message in messages:
        assert message in line
    assert kitchen.left() == []


def test_scores_that_cannot_be_read_name_options_that_a_search_has(kitchen):
    made = kitchen.make(scores="{output}")  # a directory with a table of no known program
    with pytest.raises(EvaluationError) as caught:
        made.score(kitchen.recipe)
    (problem,) = caught.value.problems
    assert "`--evaluator-scores`" in problem.hint
    assert "`scores=`" in str(caught.value)


def test_a_category_that_is_asked_for_must_be_there(kitchen):
    made = kitchen.make(categories=["code", "maths"])
    with pytest.raises(EvaluationError, match="has no category `maths`") as caught:
        made.score(kitchen.recipe)
    assert "did you mean `math`?" in str(caught.value)
    assert list(kitchen.make(categories=["code"]).score(kitchen.recipe).categories) == ["code"]


def test_every_soup_gets_the_categories_of_the_first(kitchen):
    program = """
        import sys
        from pathlib import Path
        code = "" if Path(sys.argv[2]).parent.name.startswith("FIRST") else ",code"
        more = ",1" if code else ""
        Path(sys.argv[2], "scores.csv").write_text(f"model,math{code}\\nsoup,1{more}\\n")
    """
    made = kitchen.make(program.replace("FIRST", kitchen.recipe.id))
    made.score(kitchen.recipe)
    with pytest.raises(EvaluationError, match="not every soup has a score in category `code`"):
        made.score(Recipe.of({kitchen.models[0]: 1}))


def test_scores_that_the_command_did_not_write_are_not_read(kitchen):
    path = kitchen.home / "old.csv"
    path.write_text("model,math\nsomething,1\n")
    made = kitchen.make("pass", scores=str(path))
    with pytest.raises(EvaluationError, match=r"left `.*old\.csv` as it was before"):
        made.score(kitchen.recipe)


def test_counts_errors_and_directions_come_from_the_file(kitchen):
    program = """
        import sys
        open(sys.argv[2] + "/scores.csv", "w").write(
            "model,category,score,n,stderr\\nsoup,math,50,200,3.5\\nsoup,loss,2.5,,\\n"
        )
    """
    made = kitchen.make(program, read=ReadOptions(format="long", lower_is_better=("loss",)))
    found = made.score(kitchen.recipe)
    assert found.categories == {"math": CategoryScore(50, 200, 3.5), "loss": CategoryScore(2.5)}
    assert found.higher_is_better == {"math": True, "loss": False}


def test_columns_that_are_no_scores_are_noted(kitchen):
    program = """
        import sys
        open(sys.argv[2] + "/scores.csv", "w").write("model,math,code\\nsoup,good,1\\n")
    """
    found = kitchen.make(program).score(kitchen.recipe)
    assert list(found.categories) == ["code"]
    (note,) = found.notes
    assert note.startswith("column `math` was left out: ")


def test_a_category_of_the_search_is_read_whatever_its_name_and_its_number_look_like(kitchen):
    program = """
        import sys
        open(sys.argv[2] + "/scores.csv", "w").write("model,count,wer,math\\nsoup,150,4.5,1\\n")
    """
    found = kitchen.make(program, categories=("count", "wer")).score(kitchen.recipe)
    assert {name: score.score for name, score in found.categories.items()} == {"count": 150, "wer": 4.5}
    assert found.higher_is_better == {"count": True, "wer": False}
    assert "smaller is better in `wer` by its name" in found.notes


def test_a_program_that_hangs_is_stopped_with_all_it_started(kitchen):
    program = """
        import os, subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"])
        open(sys.argv[2] + "/pid", "w").write(str(child.pid))
        print("waiting", flush=True)
        time.sleep(600)
    """
    made = kitchen.make(program, timeout_seconds=3)
    with pytest.raises(EvaluationError, match="still ran after 3 seconds and was stopped; its last words"):
        made.score(kitchen.recipe)
    (pid,) = kitchen.runs.glob("*/output/pid")
    assert is_gone(int(pid.read_text()))
    assert kitchen.left() == []


def test_what_a_program_leaves_running_is_stopped(kitchen):
    program = """
        import subprocess, sys
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        open(sys.argv[2] + "/pid", "w").write(str(child.pid))
        open(sys.argv[2] + "/scores.csv", "w").write("model,math\\nsoup,1\\n")
    """
    kitchen.make(program).score(kitchen.recipe)
    (pid,) = kitchen.runs.glob("*/output/pid")
    assert is_gone(int(pid.read_text()))


@pytest.mark.parametrize(
    "left", ["pass", "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])"]
)
def test_no_signal_goes_to_a_group_whose_number_may_be_a_strangers(tmp_path, monkeypatch, left):
    """Once its first process is reaped, a group that has ended may be anybody's."""
    signalled, kill = [], os.killpg

    def ours(group, number):
        os.waitid(os.P_PID, group, os.WEXITED | os.WNOHANG | os.WNOWAIT)  # raises for what is not our child
        signalled.append(number)
        kill(group, number)

    monkeypatch.setattr(os, "killpg", ours)
    command = [sys.executable, "-c", f"import subprocess, sys; {left}; sys.exit(3)"]
    assert run_program(command, log=tmp_path / "log", environment=os.environ) == 3
    assert signalled == ([] if left == "pass" else [signal.SIGTERM])


def is_gone(pid):
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupt_stops_the_program_and_removes_the_soup(kitchen, error):
    program = """
        import os, sys, time
        open(sys.argv[2] + "/pid", "w").write(str(os.getpid()))
        time.sleep(600)
    """
    made = kitchen.make(program)

    def interrupt(done, total):
        if list(kitchen.runs.glob("*/output/pid")):
            raise error

    with pytest.raises(error):
        made.score(kitchen.recipe, on_progress=interrupt)
    (pid,) = kitchen.runs.glob("*/output/pid")
    assert is_gone(int(pid.read_text() or 0))
    assert kitchen.left() == []


def test_ctrl_c_in_a_terminal_stops_everything(kitchen):
    program = kitchen.program(
        """
        import os, sys, time
        open(sys.argv[2] + "/pid", "w").write(str(os.getpid()))
        time.sleep(600)
        """
    )
    script = f"""
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from soce.evaluate.command.evaluator import CommandEvaluator
from soce.evaluate.command.options import CommandOptions
from soce.recipes.model import Recipe
options = CommandOptions(scratch={str(kitchen.scratch)!r})
made = CommandEvaluator({kitchen.models}, {program}, options, folder={str(kitchen.runs)!r})
try:
    made.score(Recipe.of({kitchen.models}))
finally:
    made.close()
"""
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    pid = wait_for(
        lambda: next((held for held in kitchen.runs.glob("*/output/pid") if held.read_text()), None)
    )
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate(timeout=60)[1]
    assert is_gone(int(pid.read_text()))
    assert kitchen.left() == []
    assert list(kitchen.scratch.iterdir()) == []


def wait_for(found):
    for _ in range(1200):
        if value := found():
            return value
        time.sleep(0.05)
    raise AssertionError("it did not happen within a minute")


def test_what_a_killed_run_left_is_removed_by_the_next(kitchen):
    script = f"""
import time
from soce.evaluate.command.scratch import Scratch
made = Scratch({str(kitchen.scratch)!r})
(made.path / "soup-x").mkdir()
print(flush=True)
time.sleep(600)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    other = kitchen.scratch / "soce-scratch-not-ours"
    other.mkdir()
    Scratch(kitchen.scratch).close()
    assert len(kitchen.left()) == 1, "its owner is alive"
    process.kill()
    process.wait()
    process.stdout.close()
    held = Scratch(kitchen.scratch)
    assert kitchen.left() == []
    assert sorted(kitchen.scratch.iterdir()) == sorted([held.path, other]), "what has no lock is not touched"
    Scratch(kitchen.scratch).close()
    assert held.path.exists()
    held.close()


def test_soups_can_be_kept(kitchen):
    made = kitchen.make(keep=True)
    made.score(kitchen.recipe)
    made.close()
    (soup,) = kitchen.left()
    assert soup.parent.parent == kitchen.runs
    assert checkpoints.read_directory(soup)


def test_the_identity_follows_the_program_and_its_settings(kitchen):
    def identity(**options):
        made = kitchen.make(**options)
        made.close()
        return json.dumps(made.identity, sort_keys=True)

    before = identity()
    assert identity() == before
    assert "SECRET" not in identity(environment={"TOKEN": "SECRET"})
    # What is only accepted changes no byte that the program sees, so a search may go on with it.
    accepting = soce.MergeOptions(
        ignore_unreferenced=True,
        follow_links=True,
        allow_different_tokenizers=True,
        allow_different_configs=True,
        preflight=False,
    )
    assert identity(merge=accepting) == before
    others = [
        identity(program=PROGRAM + "# changed"),
        identity(environment={"TOKEN": "SECRET"}),
        identity(version="2.0"),
        identity(merge=soce.MergeOptions(dtype="bfloat16")),
        identity(read=ReadOptions(format="wide")),
        identity(scores="{output}"),
    ]
    # Config and tokenizer of every soup are the first ingredient's, which no recipe tells.
    others.append(identity(ingredients=kitchen.models[::-1]))
    Path(kitchen.models[1], "config.json").write_text(json.dumps({"made": "elsewhere"}))
    assert identity() == before
    Path(kitchen.models[0], "config.json").write_text(json.dumps({"made": "elsewhere"}))
    others.append(identity())
    Path(kitchen.models[0], "config.json").write_text(json.dumps({"made": "A"}))
    assert len({before, *others}) == 9
    assert identity(timeout_seconds=5, merge=soce.MergeOptions(num_threads=1)) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"command": "evaluate {checkpoint}"}, "the command is one text"),
        ({"command": []}, "the command is empty"),
        ({"command": [sys.executable, "program.py"]}, "no argument of the command has `{checkpoint}`"),
        ({"command": ["no-such-program", "{checkpoint}"]}, "there is no program `no-such-program`"),
        ({"timeout_seconds": 0}, "`timeout_seconds` is 0"),
        ({"read": ReadOptions(format="paper")}, "`paper` is no format of files"),
        ({"read": ReadOptions(format="bfcl-score")}, "did you mean `bfcl-scores`"),
        ({"merge": soce.MergeOptions(overwrite=True)}, "`overwrite` cannot be chosen"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(kitchen, options, message):
    if options.get("command") == []:
        with pytest.raises(EvaluationError, match="the command is empty"):
            CommandEvaluator(kitchen.models, [])
        return
    with pytest.raises(EvaluationError) as caught:
        kitchen.make(**options)
    assert message in str(caught.value)
    assert list(kitchen.scratch.iterdir()) == []


def test_ingredients_that_do_not_fit_and_a_full_scratch_are_told_at_once(kitchen):
    other = checkpoints.directory(kitchen.home / "C", 1.0, 2.0, 3.0)
    with pytest.raises(IncompatibleError):
        kitchen.make(ingredients=[*kitchen.models, str(other)])
    huge = [str(checkpoints.sparse(kitchen.home / name, "F32", 1 << 41)) for name in ("huge1", "huge2")]
    with pytest.raises(OutputError, match="space"):
        kitchen.make(ingredients=huge)
    assert list(kitchen.scratch.iterdir()) == []


def test_strangers_are_refused(kitchen):
    made = kitchen.make()
    with pytest.raises(EvaluationError, match="is not an ingredient of this evaluator"):
        made.score(Recipe.of([str(checkpoints.directory(kitchen.home / "D", 1.0, 2.0))]))
    assert not kitchen.runs.exists() or list(kitchen.runs.iterdir()) == []


ITEMS = """
    import sys
    from pathlib import Path

    Path(sys.argv[2], "scores.csv").write_text({rows!r})
"""


def items_of(kitchen, rows, **options):
    return kitchen.make(ITEMS.format(rows=rows), **options)


def test_a_row_for_each_item_gives_items(kitchen):
    made = items_of(kitchen, "category,item,score\nmath,q1,1\nmath,q2,0.5\ncode,q1,0\ncode,q2,1\n")
    assert made.item_ids() is None, "not known before the first soup"
    found = made.score(kitchen.recipe)
    assert found.items == {"math": {"q1": 1.0, "q2": 0.5}, "code": {"q1": 0.0, "q2": 1.0}}
    assert found.categories["math"] == CategoryScore(0.75, 2, 0.25)
    assert (found.scale, found.notes) == ("unit", ())
    assert made.item_ids() == {"math": ("q1", "q2"), "code": ("q1", "q2")}
    # A program scores all items in any case; what is returned are those that were asked for.
    some = made.score(kitchen.recipe, items={"math": ["q2"]})
    assert some.items == {"math": {"q2": 0.5}}


@pytest.mark.parametrize("later", ["category,item,score\nmath,q1,1\n", "category,score\nmath,1\n"])
def test_every_soup_gets_the_items_of_the_first(kitchen, later):
    rows = "category,item,score\nmath,q1,1\nmath,q2,0\n"
    text = f"""
        import sys
        from pathlib import Path

        seen = Path(sys.argv[0] + ".seen")
        Path(sys.argv[2], "scores.csv").write_text({later!r} if seen.exists() else {rows!r})
        seen.touch()
    """
    made = kitchen.make(text)
    made.score(kitchen.recipe)
    with pytest.raises(
        EvaluationError, match="category `math` has other items than those of the soup before"
    ) as caught:
        made.score(Recipe.of({kitchen.models[0]: 3, kitchen.models[1]: 1}))
    (problem,) = caught.value.problems
    assert problem.hint == "the program must score every soup on the same items"
    assert problem.path.endswith("log.txt")
    assert made.item_ids() == {"math": ("q1", "q2")}


def test_a_soup_whose_items_are_not_known_says_why(kitchen):
    text = """
        import json, sys
        from pathlib import Path

        for kind, lines in (
            ("score", [{"accuracy": 1.0, "correct_count": 1, "total_count": 1}]),
            ("result", [{"id": "live_simple_0-0-0"}]),
        ):
            path = Path(sys.argv[2], kind, "m", f"BFCL_v4_live_simple_{kind}.json")
            path.parent.mkdir(parents=True)
            path.write_text("\\n".join(map(json.dumps, lines)))
            seen = Path(sys.argv[0] + ".seen")
            if seen.exists():
                break
        seen.touch()
    """
    made = kitchen.make(text, scores="{output}/score")
    assert made.score(kitchen.recipe).items == {"live_simple": {"live_simple_0-0-0": 1.0}}
    with pytest.raises(EvaluationError, match="has other items than those of the soup before") as caught:
        made.score(Recipe.of({kitchen.models[0]: 3, kitchen.models[1]: 1}))
    assert "the result files, which list all items, are missing" in caught.value.problems[0].hint


def test_outcomes_are_shares_whatever_the_scale_of_the_scores(kitchen):
    rows = "category,item,score,scale\nbleu,s1,40,percent\nbleu,s2,57,percent\nmath,q1,0.07,unit\n"
    found = items_of(kitchen, rows).score(kitchen.recipe)
    assert found.scale == "percent"
    assert found.items == {"bleu": {"s1": 0.4, "s2": 0.57}, "math": {"q1": 0.07}}, "to the bit"
    assert {name: one.score for name, one in found.categories.items()} == pytest.approx(
        {"bleu": 48.5, "math": 7.0}
    )
    assert found.restricted({"bleu": ["s1"]}).categories["bleu"].score == 40.0


def test_outcomes_that_are_no_shares_need_an_unknown_scale(kitchen):
    made = items_of(kitchen, "category,item,score\nreward,s1,150\nreward,s2,-3\n")
    with pytest.raises(
        EvaluationError, match="category `reward`, item `s1`: the outcome 150 is no share of 100"
    ) as caught:
        made.score(kitchen.recipe)
    (problem,) = caught.value.problems
    assert "`unknown` in a column `scale`" in problem.hint
    assert problem.path.endswith("log.txt")
    made = items_of(kitchen, "category,item,score,scale\nreward,s1,150,unknown\nreward,s2,-3,unknown\n")
    found = made.score(kitchen.recipe)
    assert (found.scale, found.items) == (None, {"reward": {"s1": 150.0, "s2": -3.0}})


def test_a_table_that_needs_an_option_is_said_to_need_none(kitchen):
    made = items_of(kitchen, "category,item,score,split\na,1,1,dev\na,1,0,test\n")
    with pytest.raises(EvaluationError, match="the table has 2 splits") as caught:
        made.score(kitchen.recipe)
    (problem,) = caught.value.problems
    assert "--" not in problem.hint
    assert problem.hint.startswith("let the command leave a file that needs no option")


def test_categories_without_items_beside_others_leave_none_to_split(kitchen):
    # One category by item, one that only has a score: `item_ids` must not name the first alone.
    text = """
        import json, sys
        from pathlib import Path

        out = Path(sys.argv[2], "score", "m")
        out.mkdir(parents=True)
        for leaf, n in (("simple_java", 100), ("live_simple", 258)):
            head = json.dumps({"accuracy": 1.0, "correct_count": n, "total_count": n})
            (out / f"BFCL_v4_{leaf}_score.json").write_text(head + "\\n")
    """
    made = kitchen.make(text, scores="{output}/score")
    found = made.score(kitchen.recipe)
    assert found.items.keys() == {"simple_java"}
    assert made.item_ids() is None
    assert [note for note in found.notes if "no outcomes by item in `live_simple`" in note]


def test_a_log_is_shown_by_its_end(tmp_path):
    log = tmp_path / "log.txt"
    log.write_bytes(b"x" * 10000 + b"\nlast but one\n\n  \xff last \n")
    assert last_lines(log).endswith("/ last but one / \ufffd last")
    assert len(last_lines(log)) < 700
    assert describe_status(-64, None) == "was ended by SIGRTMAX"


def test_a_program_has_no_terminal_to_ask(tmp_path):
    code = "import sys; sys.exit(sys.stdin.read() != '')"
    status = run_program([sys.executable, "-c", code], log=tmp_path / "log", environment=dict(os.environ))
    assert status == 0


PAGE = (Path(__file__).parent.parent.parent / "docs" / "evaluators.md").read_text(encoding="utf-8")


def test_the_page_s_tasks_can_be_read(tmp_path):
    from soce.evaluate.tasks.items import read_tasks

    _, first, *_ = PAGE.split("```json\n")
    path = tmp_path / "tasks.jsonl"
    path.write_text(first.partition("```")[0])
    assert tuple(read_tasks(path).item_ids()) == ("math", "tool", "gsm")
