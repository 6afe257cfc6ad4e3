"""Names of BFCL's categories and groups, and which cannot be scored."""

from __future__ import annotations

from pathlib import Path

import pytest

from soce.evaluate.bfcl.categories import (
    CATEGORIES,
    GROUPS,
    REFUSED,
    chosen_categories,
    left_out,
    read_items,
)
from soce.evaluate.kinds import check_evaluator, kind_of, unused_options
from soce.evaluate.options import EvaluatorOptions
from soce.exceptions import EvaluationError


def test_groups_are_made_of_categories_and_hold_all_of_them() -> None:
    assert len(CATEGORIES) == 23
    assert {member for members in GROUPS.values() for member in members} == {*CATEGORIES}
    assert (*GROUPS["non_live"], *GROUPS["live"]) == GROUPS["single_turn"]
    assert {name: len(members) for name, members in GROUPS.items()} == {
        "all": 23,
        "all_scoring": 22,
        "single_turn": 13,
        "non_live": 7,
        "live": 6,
        "python": 11,
        "non_python": 2,
        "multi_turn": 4,
        "agentic": 5,
        "memory": 3,
        "web_search": 2,
    }
    assert set(REFUSED) < set(GROUPS["agentic"])


def test_categories_come_once_and_in_the_order_of_the_benchmark() -> None:
    assert chosen_categories(["live_relevance", "multiple", "simple_java", "non_python"]) == (
        *("simple_java", "simple_javascript", "multiple"),
        "live_relevance",
    )


def test_a_group_is_those_of_it_that_can_be_scored() -> None:
    assert chosen_categories(["all"]) == tuple(name for name in CATEGORIES if name not in REFUSED)
    assert left_out(["all", "live"]) == tuple(REFUSED)
    assert left_out(["live", "memory_kv"]) == ()


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["simple"], "no category `simple`.*did you mean .*`simple_python`"),
        (["web_search"], "group `web_search` cannot be scored: it searches the web"),
        (["live", "web_search_base"], "category `web_search_base` cannot be scored"),
        (["memory_vector"], "`memory_vector` cannot be scored: .*MiniLM"),
        ([], "names no category"),
    ],
)
def test_other_names_are_refused_with_the_reason(names: list[str], told: str) -> None:
    with pytest.raises(EvaluationError, match=f"(?s){told}"):
        chosen_categories(names)


def test_bfcl_is_a_kind_of_evaluator_that_wants_an_engine() -> None:
    assert kind_of("bfcl:live,simple_java").name == "bfcl"
    with pytest.raises(EvaluationError, match=r"(?s)serving engine.*engine: vllm"):
        check_evaluator("bfcl:live")
    with pytest.raises(EvaluationError, match="no category `lives`"):
        check_evaluator("bfcl:lives")


def test_its_options_are_for_it_alone() -> None:
    options = EvaluatorOptions(engine="vllm", bfcl_python="python", bfcl_handler="Qwen/Qwen3-8B")
    assert unused_options(["bfcl:live"], options) == {}
    assert unused_options(["tasks.jsonl"], options) == {
        "bfcl_python": "it is for bfcl",
        "bfcl_handler": "it is for bfcl",
    }


def test_ids_to_ask_are_read_as_bfcl_takes_them(tmp_path: Path) -> None:
    path = tmp_path / "ids.json"
    path.write_text('{"irrelevance": ["irrelevance_7"], "parallel": []}')
    assert read_items(str(path)) == {"irrelevance": ["irrelevance_7"]}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "no JSON"),
        ('["irrelevance_7"]', "no JSON object of lists of ids"),
        ('{"irrelevance": "irrelevance_7"}', "no JSON object of lists of ids"),
        ('{"irelevance": ["irrelevance_7"]}', "(?s)no category `irelevance`.*did you mean `irrelevance`"),
    ],
)
def test_files_of_ids_that_are_something_else_are_refused(text: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "ids.json"
    path.write_text(text)
    with pytest.raises(EvaluationError, match=told) as caught:
        read_items(str(path))
    assert caught.value.path == str(path)
