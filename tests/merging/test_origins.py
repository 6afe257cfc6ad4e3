"""What names, cards and small files say of an ingredient's origin, and what they do not say."""

from __future__ import annotations

import json
import re
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soce.merging.origins.front_matter import read_front_matter
from soce.merging.origins.licences import Licence, licence_of, licences_differ
from soce.merging.origins.naming import Stage, stage_of, stage_of_tags, word_that_lacks
from soce.merging.origins.warnings import origin_warnings

STAGES = "different stages of training"
MOMENTS = "different moments of training"
UNALIGNED = "uncensored or unaligned"
LICENCES = "licences differ"
BASES = "different base models"
QUANTISED = "quantised"
TWICE = "hold other ingredients already"

Files = dict[str, object]


def card(**head: object) -> Files:
    """Return a README.md whose head says this; JSON is YAML."""
    lines = [f"{key}: {json.dumps(value)}" for key, value in head.items()]
    return {"README.md": "\n".join(["---", *lines, "---", "# A model", ""])}


def told(home: Path, models: dict[str, Files]) -> list[str]:
    """Write the small files of models, and return the warnings about them."""
    for name, files in models.items():
        (home / name).mkdir(parents=True)
        for file, content in files.items():
            (home / name / file).write_text(content if isinstance(content, str) else json.dumps(content))
    return origin_warnings([(str(home / name), str(home / name)) for name in models])


# ---- names


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("Llama-3.1-8B-Instruct", Stage.TUNED),
        ("Mistral-7B-Instruct-v0.3", Stage.TUNED),
        ("Qwen1.5-7B-Chat", Stage.TUNED),
        ("Llama-2-7b-chat-hf", Stage.TUNED),
        ("gemma-2-9b-it", Stage.TUNED),
        ("codegemma-7b-it", Stage.TUNED),
        ("Llama-3.1-Tulu-3-8B-SFT", Stage.SUPERVISED),
        ("Llama-3-Base-8B-SFT", Stage.SUPERVISED),
        ("Llama-3-Base-8B-SFT-DPO", Stage.PREFERENCE),
        ("Nous-Hermes-2-Mixtral-8x7B-DPO", Stage.PREFERENCE),
        ("my_rlhf_run", Stage.PREFERENCE),
        ("Qwen3-8B-Base", Stage.BASE),
        ("gemma-3-4b-pt", Stage.BASE),
        ("base", Stage.BASE),
        # names that say nothing
        ("Llama-3.1-8B", None),
        ("Hermes-3-Llama-3.1-8B", None),
        ("Llama3-ChatQA-1.5-8B", None),
        ("chatglm3-6b", None),
        ("openchat-3.5", None),
        ("chatty-mouse", None),
        ("git-large-coco", None),
        ("llama-italian-7b", None),
        ("opus-mt-en-it", None),
        ("opus-mt-en-pt", None),
        ("bert-base-uncased", None),
        ("t5-base", None),
        ("database-7b", None),
        ("InstructLM-500M", None),
        ("llama-8b-non-chat", None),
        ("llama-8b-pre-dpo", None),
        ("adopoint-7b", None),
        ("", None),
    ],
)
def test_whole_words_of_names_tell_the_stage(name: str, stage: Stage | None) -> None:
    found = stage_of(name)
    assert (found and found[1]) == stage
    assert stage_of(name.upper()) == found


@pytest.mark.parametrize(
    ("bare", "name", "word"),
    [
        ("Mistral-7B-v0.3", "Mistral-7B-Instruct-v0.3", "instruct"),
        ("Meta-Llama-3.1-8B", "Llama-3.1-8B-Instruct", "instruct"),
        ("Llama-2-7b-hf", "Llama-2-7b-chat-hf", "chat"),
        ("DeepSeek-V3", "DeepSeek-V3-Base", "base"),
        ("bert-base-uncased", "bert-base-uncased-sft", "sft"),
        ("gemma-2-9b", "gemma-2-9b-it", "it"),
        ("tulu-8b", "tulu-8b-sft-dpo", "dpo"),
        ("tulu-8b-sft", "tulu-8b-sft-dpo", "dpo"),
        ("tulu-8b-sft", "tulu-8b-dpo", None),
        ("Mistral-7B-v0.3", "Mistral-7B-Instruct-v0.2", None),
        ("Llama-3.1-8B", "Llama-3-8B-Instruct", None),
        ("opus-mt-en", "opus-mt-en-it", None),
        ("CodeLlama-7b-Python-hf", "CodeLlama-7b-Instruct-hf", None),
        ("a-chat", "a-chat", None),
        ("meta", "chat", None),
        ("bert-large-uncased", "bert-base-uncased", None),
    ],
)
def test_names_that_differ_in_a_stage_only_tell(bare: str, name: str, word: str | None) -> None:
    assert word_that_lacks(name, bare) == word
    assert word_that_lacks(bare, name) is None


def test_languages_among_the_tags_are_no_stages() -> None:
    assert stage_of_tags(["it", "pt", "en", "text-generation-inference", "chatml"]) is None
    assert stage_of_tags(["trl", "SFT"]) == ("SFT", Stage.SUPERVISED)


@given(st.lists(st.sampled_from(["llama", "8b", "sft", "dpo", "it", "gemma", "base", "no", "x"]), max_size=6))
def test_no_order_of_words_changes_what_is_known_of_a_stage(words: list[str]) -> None:
    plain = [word for word in words if word != "no"]
    assert len({stage_of("-".join(order)) for order in [plain, plain[::-1], sorted(plain)]}) == 1


@given(
    st.text(alphabet="abcdfghjklmnqrtuvwxyz", max_size=12),
    st.sampled_from(["chat", "sft", "dpo", "instruct"]),
)
def test_a_word_within_a_word_says_nothing(more: str, word: str) -> None:
    for name in (f"{word}{more}", f"{more}{word}"):
        assert (stage_of(name) is not None) is (name in {"chat", "sft", "dpo", "ipo", "kto", "instruct"})


# ---- sentences: worlds where each is true, and neighbours where it is false


CHAT: Files = {"tokenizer_config.json": {"chat_template": "{{ x }}"}}
PLAIN: Files = {"tokenizer_config.json": {"chat_template": None, "bos_token": "<s>"}}
WORLDS: list[tuple[str | None, dict[str, Files], list[str]]] = [
    # base beside chat
    (STAGES, {"Llama-3.1-8B": {}, "Llama-3.1-8B-Instruct": {}}, ["(name: `instruct`)", "without `instruct`"]),
    (STAGES, {"Mistral-7B-v0.3": {}, "Mistral-7B-Instruct-v0.3": {}}, ["(name: `instruct`)"]),
    (
        STAGES,
        {"Qwen3-8B-Base": {}, "Hermes": card(tags=["chat"])},
        ["(name: `base`)", "README.md, tags: `chat`"],
    ),
    (
        STAGES,
        {"x": card(tags=["pretrained"]), "y": card(tags=["finetuned"])},
        ["`pretrained`", "`finetuned`"],
    ),
    (STAGES, {"a": CHAT, "b": PLAIN}, ["tokenizer_config.json, chat_template: there", "chat_template: none"]),
    (STAGES, {"a": {"chat_template.jinja": "x"}, "b": PLAIN}, ["chat_template.jinja"]),
    (
        STAGES,
        {"Llama-3.1-8B": {}, "ours": card(base_model="meta-llama/Meta-Llama-3.1-8B")},
        ["`ours` (README.md, base_model: `meta-llama/Meta-Llama-3.1-8B`)", "of `ours`"],
    ),
    (
        STAGES,
        {"Llama-3.1-8B": {}, "ours": {"config.json": {"_name_or_path": "meta-llama/Llama-3.1-8B"}}},
        ["config.json, _name_or_path"],
    ),
    (STAGES, {"DeepSeek-V3": {}, "DeepSeek-V3-Base": {}}, ["`DeepSeek-V3-Base` (name: `base`)"]),
    (STAGES, {"Llama-3.1-Tulu-3-8B-SFT": {}, "Llama-3.1-Tulu-3-8B-DPO": {}}, ["`sft`", "`dpo`"]),
    (None, {"Llama-3.1-8B-Instruct": {}, "Qwen2.5-7B-Instruct": {}}, []),
    (None, {"Llama-3.1-8B-Instruct": {}, "Llama-3.1-Tulu-3-8B-SFT": {}}, []),
    (None, {"Llama-3.1-8B": {}, "Hermes-3-Llama-3.1-8B": {}}, []),
    (None, {"Llama-3.1-8B-Instruct": {}, "Llama-3-8B": {}}, []),
    (None, {"a-8b-sft": {}, "b-8b-sft": {}}, []),
    (None, {"a": CHAT, "b": CHAT}, []),
    (None, {"a": PLAIN, "b": PLAIN}, []),
    (None, {"a": CHAT, "b": {}}, []),
    (None, {"a": CHAT, "old-7b-chat": PLAIN}, []),
    (None, {"a": card(tags=["it"]), "b": card(tags=["en"])}, []),
    (None, {"a": card(base_model="org/x-8b"), "b": card(base_model="org/x-8b")}, []),
    (None, {"model": {}, "b": {"config.json": {"_name_or_path": "./output/model"}}}, []),
    (None, {"italian-7b": {}, "chatty-mouse": {}, "git": {}, "Llama3-ChatQA-1.5-8B": {}}, []),
    # moments of a training
    (MOMENTS, {"checkpoint-500": {}, "checkpoint-4000": {}}, ["`checkpoint-500`)", "`checkpoint-4000`)"]),
    (MOMENTS, {"run/checkpoint-500": {}, "run/final": {}}, ["`final`"]),
    (MOMENTS, {"run": {}, "run/checkpoint-500": {}}, ["`run` (path: holds `checkpoint-500`)"]),
    (MOMENTS, {"pythia-160m-step3000": {}, "pythia-160m-step143000": {}}, ["`step3000`", "`step143000`"]),
    (MOMENTS, {"global_step_100/actor": {}, "global_step_200/actor": {}}, ["`global_step_100`"]),
    (MOMENTS, {"m-Iter1": {}, "m-Iter3": {}}, ["`iter1`"]),
    (
        MOMENTS,
        {
            "a": {"trainer_state.json": {"global_step": 500, "max_steps": 4000}},
            "b": {"trainer_state.json": {"global_step": 4000, "max_steps": 4000}},
        },
        ["`a` (trainer_state.json, global_step: 500 of 4000)", "4000 of 4000"],
    ),
    (None, {"one/checkpoint-500": {}, "two/checkpoint-500": {}}, []),
    (
        None,
        {
            "a": {"trainer_state.json": {"global_step": 500, "max_steps": 500}},
            "b": {"trainer_state.json": {"global_step": 4000, "max_steps": 4000}},
        },
        [],
    ),
    (None, {"one/final": {}, "two/final": {}}, []),
    (None, {"checkpoint-500": {}, "other": {}}, []),
    (None, {"epoch-3": {}, "checkpoint-500": {}}, []),
    (None, {"Step-3": {}, "Step-3.5-Flash": {}}, []),
    (None, {"finale-8b": {}, "checkpoint-500": {}}, []),
    (None, {"a": {"trainer_state.json": {"global_step": "5"}}, "checkpoint-7": {}}, []),
    # alignment
    (
        UNALIGNED,
        {"WizardLM-13B-Uncensored": {}, "WizardLM-13B": {}},
        ["`WizardLM-13B-Uncensored` (name: `unc"],
    ),
    (UNALIGNED, {"Qwen2.5-7B-Instruct-abliterated": {}, "Qwen2.5-7B-Instruct": {}}, ["`abliterated`"]),
    (UNALIGNED, {"dolphin": card(tags=["Heretic"]), "b": {}}, ["(README.md, tags: `Heretic`)"]),
    (
        UNALIGNED,
        {"a": card(base_model="x/y-7b-abliterated"), "b": {}},
        ["README.md, base_model: `abliterated`"],
    ),
    (None, {"a-uncensored": {}, "b-abliterated": {}}, []),
    (None, {"bert-uncased": {}, "b": {}}, []),
    (None, {"aligned-7b": {}, "b": card(tags=["censored", "alignment"])}, []),
    (None, {"not-uncensored": {}, "b": {}}, []),
    # licences
    (
        LICENCES,
        {"a": card(license="mit"), "b": card(license="gpl-3.0")},
        ["`b` gpl-3.0 (README.md, license; copy"],
    ),
    (LICENCES, {"a": card(license="llama3"), "b": card(license="llama3.1")}, ["terms of its own"]),
    (LICENCES, {"a": card(license="cc-by-nc-4.0"), "b": card(license="mit")}, ["forbids commercial use"]),
    (None, {"a": card(license="mit"), "b": {}}, []),
    (
        LICENCES,
        {"a": card(license="mit"), "b": {}, "c": card(license="gpl-3.0")},
        ["`b` not known (the files name none)"],
    ),
    (
        LICENCES,
        {"a": card(license="other", license_name="x"), "b": card(license="other", license_name="y")},
        [],
    ),
    (None, {"a": card(license="Apache-2.0"), "b": card(license="Apache License 2.0")}, []),
    (None, {"a": card(license="other", license_name="llama3.1"), "b": card(license="llama3.1")}, []),
    (None, {"a": card(license="cc-by-nc-4.0"), "b": card(license="CC-BY-NC-4.0")}, []),
    (None, {"a": {}, "b": {}}, []),
    # base models
    (
        BASES,
        {"a": card(base_model="meta-llama/Llama-3.1-8B"), "b": card(base_model="meta-llama/Meta-Llama-3-8B")},
        ["`a` from `meta-llama/Llama-3.1-8B` (README.md, base_model)"],
    ),
    (None, {"a": card(base_model="x/Meta-Llama-3-8B"), "b": card(base_model=["y/Llama-3-8B-Instruct"])}, []),
    (None, {"a": card(base_model="x/Llama-3-8B"), "b": card(base_model="unsloth/llama-3-8b-bnb-4bit")}, []),
    (None, {"a": card(base_model="x/y-8b"), "b": {}}, []),
    # rounding, and what is in twice
    (QUANTISED, {"m-7b-AWQ": {}, "m-7b": {}}, ["(name: `awq`)"]),
    (
        QUANTISED,
        {"a": card(base_model="o/m-7b", base_model_relation="quantized"), "b": {}},
        ["base_model_relation"],
    ),
    (None, {"a-awq": {}, "b-gptq": {}}, []),
    (None, {"qlora-8b-4bit": {}, "m-8b": card(tags=["awqward"])}, []),
    (None, {"meta": {}, "chat": {}, "math": {}, "code": {}}, []),
    (
        TWICE,
        {"a": card(base_model=["o/b-7b", "o/c-7b"]), "b-7b": {}},
        ["`a` (README.md, base_model: `o/b-7b`)"],
    ),
    (TWICE, {"a": {"soce.json": {"run": {"ingredients": ["/m/b", "/m/c"]}}}, "b": {}}, ["soce.json"]),
    (None, {"a": card(base_model=["o/b-7b", "o/c-7b"]), "d-7b": {}}, []),
]


@pytest.mark.parametrize(("kind", "models", "words"), WORLDS)
def test_what_tells_is_said_with_its_source(
    tmp_path: Path, kind: str | None, models: dict[str, Files], words: list[str]
) -> None:
    warnings = told(tmp_path, models)
    assert [kind in warning for warning in warnings] == [True] if kind else warnings == []
    for word in words:
        assert word in warnings[0]


def test_the_order_of_ingredients_changes_the_order_in_sentences_only(tmp_path: Path) -> None:
    models: dict[str, Files] = {
        "Llama-3.1-8B": card(license="llama3.1"),
        "Llama-3.1-8B-Instruct-abliterated": card(license="mit", base_model="x/Llama-3.1-8B"),
        "checkpoint-20": card(license="mit", base_model="x/Llama-3-8B"),
        "checkpoint-30": CHAT,
    }
    first = told(tmp_path, models)
    assert len(first) == 5
    for order in permutations(models):
        again = origin_warnings([(str(tmp_path / name), str(tmp_path / name)) for name in order])
        assert list(map(said, again)) == list(map(said, first))


def said(warning: str) -> list[str]:
    """Return what is said of each ingredient, whatever the order."""
    return sorted(re.findall(r"`[^`]*`|\([^()]*\)", warning))


def test_a_snapshot_of_the_hub_is_called_as_there(tmp_path: Path) -> None:
    paths = [tmp_path / f"models--org--m-7b{end}" / "snapshots" / ("0" * 40) for end in ("", "-chat")]
    for path in paths:
        path.mkdir(parents=True)
    (warning,) = origin_warnings([(str(path), str(path)) for path in paths])
    assert "`org/m-7b` (name: that of `org/m-7b-chat` without `chat`)" in warning


def test_an_adapter_and_its_base_are_no_two_stages(tmp_path: Path) -> None:
    models: dict[str, Files] = {
        "m-7b-base": CHAT,
        "m-7b-other": {},
        "lora-sft": card(base_model="org/m-7b-base", base_model_relation="adapter"),
    }
    assert any(STAGES in text for text in told(tmp_path, models))  # as three models
    base, other, adapter = (str(tmp_path / name) for name in models)
    on = f"{base}+{adapter}"
    for pair in permutations([base, on]):
        assert origin_warnings([(path, path) for path in pair]) == []
    on_other = f"{other}+{adapter}"
    assert any(STAGES in text for text in origin_warnings([(base, base), (on_other, on_other)]))


def test_names_that_were_given_tell_as_well_as_folders(tmp_path: Path) -> None:
    for name in ("1", "2", "x-uncensored"):
        (tmp_path / name).mkdir()
    at = [str(tmp_path / name) for name in ("1", "2", "x-uncensored")]
    assert origin_warnings([("org/m-7b-sft (FC)", at[0]), ("m-7b-dpo", at[1])])
    (steps,) = origin_warnings([("org/pythia@step1000", at[0]), ("org/pythia@step3000", at[1])])
    assert "`org/pythia@step1000` (name: `step1000`)" in steps
    (warning,) = origin_warnings([("m1", at[0]), ("m2", at[2])])
    assert "`m2` (path: `uncensored`)" in warning
    assert origin_warnings([("uncensored-labs/a", at[0]), ("b", at[1])]) == []


# ---- cards


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("---\nlicense: mit\n---\n", {"license": "mit"}),
        ("---\r\nlicense: mit\r\n---\r\n", {"license": "mit"}),
        (
            "---\nlicense: mit\nbase_model:\n- a/b\n- c/d\n---",
            {"license": "mit", "base_model": ["a/b", "c/d"]},
        ),
        ("---\nlicense: mit # why\nlanguage: [no\n---\n", {"license": "mit"}),
        ("---\nlicense: mit\nmodel-index:\n- {x: &a [1], y: *a}\n---\n", {"license": "mit"}),
        ("---\nlicense: mit\ntags: !!python/object/apply:os.system ['x']\n---\n", {"license": "mit"}),
        ("---\nlicense: &a mit\nlicense_name: *a\n---\n", {}),
        ("---\nlicense: mit\nlicense: gpl-3.0\n---\n", {}),
        ("---\nlicense: " + "[" * 5000 + "\n---\n", {}),
        ("---\ntags: [" + "x, " * 10000 + "y]\n---\n", {}),
        ("---\nlicense:\n---\n", {"license": None}),
        ("---\nlicense:: mit\n---\n", {}),
        ("---\n---\n", {}),
        ("license: mit\n", {}),
        ("# title\n---\nlicense: mit\n---\n", {}),
        ("", {}),
    ],
)
def test_a_damaged_card_says_what_is_whole_and_never_fails(
    tmp_path: Path, text: str, expected: Files
) -> None:
    (tmp_path / "README.md").write_bytes(text.encode())
    assert read_front_matter(tmp_path) == expected


def test_files_that_cannot_be_read_say_nothing(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "README.md").write_bytes(b"\xff---\nlicense: mit\n---\n")
    (tmp_path / "a" / "tokenizer_config.json").write_text("[" * 100_000)
    (tmp_path / "b" / "README.md").mkdir()
    (tmp_path / "b" / "soce.json").write_text('{"run": []}')
    (tmp_path / "c" / "README.md").write_text("---\nlicense: mit\n---\n" + "x" * (1 << 20))
    (tmp_path / "c" / "trainer_state.json").write_text('{"global_step": 1e400}')
    assert origin_warnings([(name, str(tmp_path / name)) for name in (*"abc", "gone")]) == []


PIECES = [
    "---\n",
    "license:",
    "tags:",
    "base_model:",
    " mit",
    "\n",
    "- ",
    "[",
    "{",
    "&a",
    "*a",
    "!!int",
    "\t",
    "'",
    "\0",
    "é",
]


@given(
    texts=st.lists(
        st.one_of(st.text(max_size=20), st.lists(st.sampled_from(PIECES)).map("".join)),
        min_size=6,
        max_size=6,
    ),
    names=st.lists(st.text(max_size=30), min_size=2, max_size=2),
)
def test_nothing_that_a_file_or_a_name_holds_is_an_error(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], names: list[str]
) -> None:
    home = tmp_path_factory.mktemp("any")
    written = iter(texts)
    for name in "ab":
        (home / name).mkdir()
        for file in ("README.md", "config.json", "trainer_state.json"):
            (home / name / file).write_text(
                f"---\n{next(written)}\n---\n", encoding="utf-8", errors="replace"
            )
    for text in origin_warnings([(name, str(home / end)) for name, end in zip(names, "ab", strict=True)]):
        assert text.isprintable()


def test_a_number_of_steps_too_long_to_be_one_says_nothing(tmp_path: Path) -> None:
    assert (
        origin_warnings([(f"checkpoint-{'9' * 5000}", str(tmp_path)), ("checkpoint-5", str(tmp_path))]) == []
    )


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("apache-2.0", "Apache 2.0", True),
        ("gpl-3.0", "GPL-3.0-only", True),
        ("gpl-3.0-or-later", "GPL-3.0+", True),
        ("gpl-3.0", "gpl-3.0-or-later", False),
        ("gpl-3.0", "lgpl-3.0", False),
        ("llama3", "llama3.1", False),
        ("cc-by-4.0", "cc-by-nc-4.0", False),
        ("mit", "mit-0", False),
    ],
)
def test_one_licence_is_known_by_any_spelling(tmp_path: Path, first: str, second: str, same: bool) -> None:
    found = []
    for name, licence in (("a", first), ("b", second)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "README.md").write_text(f"---\nlicense: {licence}\n---\n")
        found.append(licence_of(name, tmp_path / name, read_front_matter(tmp_path / name)))
    assert (licences_differ(found) is None) is same


def test_ingredients_of_one_licence_are_named_together() -> None:
    licences = [
        Licence("a", "README.md", "mit"),
        Licence("b", "COPYING", "gpl-3.0"),
        Licence("c", "README.md", "mit"),
    ]
    assert licences_differ(licences) == (
        "the ingredients' licences differ: `a` and `c` mit (README.md, license), `b` gpl-3.0 (COPYING; copyleft); "
        "find out which one the soup may have"
    )
