"""The demo's data, tokenizer and models: exact where they are exact, and the same whoever trains them."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from soce.demo import data, models, numerals, training, workers
from soce.demo.models import Steps, make_models, make_plans
from soce.exceptions import OutputError, SoceError

FEW = Steps(base=2, expert=2, hot=2, narrow=2)


def models_of(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# --- numerals


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (
            numerals.english,
            {
                0: "zero", 12: "twelve", 40: "forty", 42: "forty-two", 100: "one hundred",
                101: "one hundred and one", 115: "one hundred and fifteen", 720: "seven hundred and twenty",
                999: "nine hundred and ninety-nine",
            },
        ),
        (
            numerals.german,
            {
                0: "null", 1: "eins", 16: "sechzehn", 17: "siebzehn", 21: "einundzwanzig", 30: "dreißig",
                66: "sechsundsechzig", 77: "siebenundsiebzig", 100: "einhundert", 101: "einhunderteins",
                121: "einhunderteinundzwanzig", 212: "zweihundertzwölf", 555: "fünfhundertfünfundfünfzig",
            },
        ),
        (
            numerals.spanish,
            {
                0: "cero", 16: "dieciséis", 21: "veintiuno", 22: "veintidós", 23: "veintitrés",
                26: "veintiséis", 30: "treinta", 31: "treinta y uno", 100: "cien", 101: "ciento uno",
                500: "quinientos", 700: "setecientos", 916: "novecientos dieciséis",
                999: "novecientos noventa y nueve",
            },
        ),
        (
            numerals.french,
            {
                0: "zéro", 17: "dix-sept", 21: "vingt et un", 22: "vingt-deux", 61: "soixante et un",
                70: "soixante-dix", 71: "soixante et onze", 72: "soixante-douze", 80: "quatre-vingts",
                81: "quatre-vingt-un", 90: "quatre-vingt-dix", 91: "quatre-vingt-onze", 100: "cent",
                101: "cent un", 180: "cent quatre-vingts", 200: "deux cents", 201: "deux cent un",
                280: "deux cent quatre-vingts", 571: "cinq cent soixante et onze",
            },
        ),
    ],
    ids=["english", "german", "spanish", "french"],
)  # fmt: skip
def test_tricky_numbers(words, expected):
    assert {number: words(number) for number in expected} == expected
    for number in (-1, 1000):
        with pytest.raises(ValueError, match="from 0 to 999"):
            words(number)


@pytest.mark.parametrize(
    ("words", "digest"),
    [
        (numerals.english, "44b8794eade041b5"),
        (numerals.german, "c2e815a938d5c8e0"),
        (numerals.spanish, "c51e54f9a307443f"),
        (numerals.french, "622d432b1f952927"),
    ],
)
def test_all_numbers_are_those_of_num2words(words, digest):
    """Digests of `"\\n".join(num2words(n, lang=...) for n in range(1000))`, num2words 0.5.14."""
    text = "\n".join(words(number) for number in range(1000))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == digest


# --- items


@pytest.mark.parametrize("split", ["dev", "test"])
def test_every_category_has_as_many_different_items(split):
    items = data.benchmark(split)
    assert Counter(item.category for item in items) == dict.fromkeys(data.CATEGORIES, data.N_ITEMS[split])
    assert len({item.prompt for item in items}) == len(items)
    assert {data.split_of(item.prompt) for item in items} == {split}
    assert items == data.benchmark(split)
    assert sorted(data.CATEGORIES) == sorted({item.category for item in items})


def test_what_is_trained_on_is_never_asked():
    asked = {item.prompt for split in ("dev", "test") for item in data.benchmark(split)}
    rng = random.Random(0)
    trained = {item.prompt for item in islice(data.draw_any(data.CATEGORIES, "train", rng), 20_000)}
    assert len(asked) == 10 * sum(data.N_ITEMS.values()), "dev and test share nothing"
    assert not asked & trained


def answer_to(category: str, prompt: str) -> str:
    """Solve a prompt from its text alone, not with the code that made it."""
    _, _, question = prompt.removesuffix("=").partition(" ")
    words = question.replace(";", "").split()
    match category:
        case "max":
            return str(max(int(word) for word in words))
        case "next":
            return str(int(question) + 1)
        case "rev":
            return "".join(reversed(question))
        case "sort":
            return "".join(sorted(question))
        case "call":
            tool, _, argument, value = words
            return f"{tool}({argument}={value})"
        case "irrel":
            offered, _, wanted, argument, value = words
            return f"{wanted}({argument}={value})" if offered == wanted else "none"
        case _:
            language = {"num_en": "english", "num_de": "german", "num_es": "spanish", "num_fr": "french"}
            return getattr(numerals, language[category])(int(question))


def test_every_answer_is_right():
    for item in (*data.benchmark("dev"), *data.benchmark("test")):
        assert item.answer == answer_to(item.category, item.prompt), item


@pytest.mark.parametrize("split", ["dev", "test"])
def test_saying_none_always_is_right_about_half_of_the_time(split):
    answers = [item.answer for item in data.benchmark(split) if item.category == "irrel"]
    assert 0.4 < answers.count("none") / len(answers) < 0.6


# --- tokenizer and batches


def test_the_tokenizer_gives_back_what_it_was_given():
    tokenizer = training.make_tokenizer()
    for item in data.benchmark("test"):
        prompt = tokenizer(item.prompt)["input_ids"]
        answer = tokenizer(f"{item.answer}</s>", add_special_tokens=False)["input_ids"]
        assert prompt[0] == tokenizer.bos_token_id
        assert answer[-1] == tokenizer.eos_token_id
        assert len(prompt) + len(answer) == len(item.prompt) + len(item.answer) + 2 <= 128
        assert tokenizer.decode(prompt, skip_special_tokens=True) == item.prompt
        assert tokenizer.decode(answer, skip_special_tokens=True) == item.answer
    with pytest.raises(Exception, match="UNK"):
        tokenizer("Ä")


def test_only_the_answer_and_its_end_are_learned():
    tokenizer = training.make_tokenizer()
    items = [data.Question("sort", "sort cab=", "abc"), data.Question("num_de", "de 7=", "sieben")]
    tokens, labels = training._padded(items)
    assert tokens.shape == (2, labels.shape[1] + 1)
    for item, row, learned in zip(items, tokens.tolist(), labels.tolist(), strict=True):
        whole = tokenizer(f"{item.prompt}{item.answer}</s>")["input_ids"]
        assert row == whole + [tokenizer.pad_token_id] * (len(row) - len(whole))
        answer = tokenizer(f"{item.answer}</s>", add_special_tokens=False)["input_ids"]
        before = len(whole) - len(answer) - 1
        assert learned == [-100] * before + answer + [-100] * (len(learned) - before - len(answer))


# --- models


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Models trained here, one after the other, without any cache."""
    return make_models(tmp_path_factory.mktemp("demo") / "models", seed=3, steps=FEW, workers=1)


def test_transformers_loads_every_model_whole(made):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert list(made.candidates) == ["base", "lang", "math", "string", "tool", "hot", "narrow"]
    contents = set()
    for name, path in made.candidates.items():
        model, found = AutoModelForCausalLM.from_pretrained(path, output_loading_info=True)
        assert {key: what for key, what in found.items() if what} == {}, name
        assert {str(tensor.dtype) for tensor in model.parameters()} == {"torch.float32"}
        assert 500_000 < model.num_parameters() < 600_000
        tokenizer = AutoTokenizer.from_pretrained(path)
        assert tokenizer("next 41=")["input_ids"] == training.make_tokenizer()("next 41=")["input_ids"]
        assert len(tokenizer) == model.config.vocab_size
        assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (
            model.config.pad_token_id,
            model.config.bos_token_id,
            model.config.eos_token_id,
        )
        contents.add((path / "model.safetensors").read_bytes())
    assert len(contents) == 7, "all different"


def test_the_task_files_hold_the_benchmarks(made):
    ids = set()
    for split, path in (("dev", made.dev), ("test", made.test)):
        tasks = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        assert [(task["category"], task["prompt"], task["answer"]) for task in tasks] == [
            (item.category, item.prompt, f"{item.answer}</s>") for item in data.benchmark(split)
        ]
        assert {task["kind"] for task in tasks} == {"teacher_forced"}
        ids |= {(task["category"], task["id"]) for task in tasks}
    assert len(ids) == 10 * sum(data.N_ITEMS.values())


def test_processes_and_the_state_of_torch_change_no_bit(made, tmp_path):
    import torch

    torch.manual_seed(99)
    before = torch.random.get_rng_state(), torch.get_num_threads()
    steps: dict[str, list[int]] = {}
    again = make_models(
        tmp_path / "models",
        seed=3,
        steps=FEW,
        cache=tmp_path / "cache",
        workers=2,
        on_progress=lambda what, done, total: steps.setdefault(what, []).append(done),
    )
    assert models_of(again.base.parent) == models_of(made.base.parent)
    assert steps == {name: [1, 2] for name in again.candidates}
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert torch.get_num_threads() == before[1]

    # From the cache: nothing is trained, and a damaged entry is no entry.
    damaged = next((tmp_path / "cache").glob("narrow-*/model/model.safetensors"))
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\xff")
    steps.clear()
    cached = make_models(
        tmp_path / "cached",
        seed=3,
        steps=FEW,
        cache=tmp_path / "cache",
        workers=1,
        on_progress=lambda what, done, total: steps.setdefault(what, []).append(done),
    )
    assert models_of(cached.base.parent) == models_of(made.base.parent)
    assert steps == {**{name: [2] for name in again.candidates}, "narrow": [1, 2]}
    assert damaged.read_bytes() == (made.bad["narrow"] / "model.safetensors").read_bytes(), "mended"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "cached", "models"], (
        "nothing else left"
    )


def test_another_seed_gives_other_models(made, tmp_path):
    import torch

    torch.manual_seed(99)
    state = torch.random.get_rng_state()
    training.train(make_plans(4, FEW)["base"], None, tmp_path / "base")
    assert torch.equal(torch.random.get_rng_state(), state)
    other = (tmp_path / "base" / "model.safetensors").read_bytes()
    assert other != (made.base / "model.safetensors").read_bytes()


def test_keys_change_with_what_the_bits_follow_from():
    keys = models._cache_keys(make_plans(0, Steps()))
    assert len(set(keys.values())) == 7
    assert keys == models._cache_keys(make_plans(0, Steps()))
    assert not set(keys.values()) & set(models._cache_keys(make_plans(1, Steps())).values())
    longer = models._cache_keys(make_plans(0, Steps(base=281)))
    assert not set(keys.values()) & set(longer.values()), "what starts from another base is another model"
    narrow = models._cache_keys(make_plans(0, Steps(narrow=51)))
    assert {name for name in keys if keys[name] != narrow[name]} == {"narrow"}


def test_the_cache_is_where_the_user_keeps_caches(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert models.user_cache() == tmp_path / "soce" / "demo"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert models.user_cache() == tmp_path / ".cache" / "soce" / "demo"


def pretend(plan, base, output, *, on_step=None):
    """Stand in for training: a file that says what it was made from."""
    output.mkdir()
    (output / "model.safetensors").write_text(f"{plan} {base and base.name}")
    for step in range(plan.steps):
        on_step(step + 1)


def test_a_cache_that_cannot_be_written_is_done_without(monkeypatch, tmp_path):
    monkeypatch.setattr(workers, "train", pretend)
    (tmp_path / "file").touch()
    made = make_models(tmp_path / "models", steps=FEW, cache=tmp_path / "file" / "cache", workers=1)
    assert (made.experts["lang"] / "model.safetensors").read_text().endswith(" base")


def test_what_a_process_did_not_do_is_done_here(monkeypatch, tmp_path):
    monkeypatch.setattr(workers, "train", pretend)
    for number, interpreter in enumerate(["/nowhere/python", "/bin/false", ""]):
        monkeypatch.setattr(sys, "executable", interpreter)
        made = make_models(tmp_path / str(number), steps=FEW, workers=2)
        assert all((path / "model.safetensors").is_file() for path in made.candidates.values())


def test_a_folder_in_use_is_refused_before_anything_is_trained(tmp_path):
    (tmp_path / "notes.txt").touch()
    for place in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(OutputError, match="exists and is not an empty directory"):
            make_models(place, steps=FEW)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_folder_is_filled(monkeypatch, tmp_path):
    monkeypatch.setattr(workers, "train", pretend)
    make_models(tmp_path, steps=FEW, workers=1)
    assert len(list(tmp_path.iterdir())) == 9


def test_missing_packages_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        SoceError, match=r"needs `torch` and `transformers`\nhint: pip install 'soce\[torch,search\]'"
    ):
        make_models(tmp_path / "models")


def test_stopping_half_way_keeps_what_is_done_and_leaves_nothing_else(monkeypatch, tmp_path):
    monkeypatch.setattr(workers, "train", pretend)

    def stop(what, done, total):
        if what == "math":
            raise KeyboardInterrupt

    make = functools.partial(make_models, tmp_path / "models", steps=FEW, cache=tmp_path / "cache", workers=1)
    with pytest.raises(KeyboardInterrupt):
        make(on_progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]
    assert sorted(path.name.split("-")[0] for path in (tmp_path / "cache").iterdir()) == ["base", "lang"]
    seen = Counter()
    make(on_progress=lambda what, done, total: seen.update([what]))
    assert (seen["base"], seen["lang"], seen["math"]) == (1, 1, 2)


@pytest.mark.slow
def test_ctrl_c_ends_the_processes_too(tmp_path):
    script = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from soce.demo.models import Steps, make_models\n"
        "make_models(sys.argv[1], steps=Steps(100000, 2, 2, 2), workers=2,\n"
        "             on_progress=lambda *step: print(*step, flush=True))\n"
    )
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "models")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert parent.stdout.readline() == "base 1 100000\n"
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    pids = [int(pid) for pid in children.read_text().split()] if children.exists() else []
    parent.send_signal(signal.SIGINT)
    _, errors = parent.communicate(timeout=60)
    assert errors.strip().endswith("KeyboardInterrupt")
    assert list(tmp_path.iterdir()) == []
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []


@pytest.mark.slow
def test_children_end_soon_after_a_parent_that_was_killed(tmp_path):
    if not Path("/proc").exists():
        pytest.skip("needs /proc to find the processes")
    script = (
        "import sys; from soce.demo.models import Steps, make_models\n"
        "make_models(sys.argv[1], steps=Steps(100000, 2, 2, 2), workers=2,\n"
        "             on_progress=lambda *step: print(*step, flush=True))\n"
    )
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "models")],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    ) as parent:
        parent.stdout.readline()
        pids = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        parent.kill()
    assert len(pids) == 2
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.1)
