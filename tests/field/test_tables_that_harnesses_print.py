"""Tables that lm-evaluation-harness prints at the end of a run, as its `make_table` makes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from soce.exceptions import ScoreTableError
from soce.scores.formats.options import ReadOptions
from soce.scores.read import read_scores

PRINTED = """\
hf (pretrained=org/a), gen_kwargs: (None), limit: None, num_fewshot: None, batch_size: 8
|Tasks|Version|     Filter     |n-shot| Metric    |   |Value|   |Stderr|
|-----|-------|----------------|-----:|-----------|---|----:|---|------|
|arc  |      1|none            |     0|acc        |↑  | 0.40|±  |  0.01|
|     |       |none            |     0|acc_norm   |↑  | 0.45|±  |   N/A|
|gsm8k|      3|flexible-extract|     5|exact_match|↑  | 0.55|±  |  0.02|
|     |       |strict-match    |     5|exact_match|↑  | 0.50|±  |  0.02|
|wiki |      2|none            |     0|word_perplexity|↓|9.5000|± |   N/A|
"""


def test_a_printed_table_is_long_and_of_one_model(tmp_path: Path) -> None:
    path = tmp_path / "out.md"
    path.write_text(PRINTED)
    with pytest.raises(ScoreTableError, match="does not say which model"):
        read_scores(path)
    with pytest.raises(ScoreTableError, match="task `arc` has several metrics: `acc`, `acc_norm`"):
        read_scores(f"a={path}")
    table = read_scores(f"a={path}", options=ReadOptions(metric="acc_norm exact_match,strict-match"))
    assert (table.models, table.categories) == (("a",), ("arc", "gsm8k", "wiki"))
    assert table.values.tolist() == [[0.45, 0.5, 9.5]]
    assert [column.metric for column in table.columns] == [
        "acc_norm", "exact_match,strict-match", "word_perplexity"
    ]  # fmt: skip
    assert [column.higher_is_better for column in table.columns] == [True, True, False]
    assert table.stderrs is not None
    assert table.stderrs[0, 1] == 0.02


def test_printed_groups_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.md"
    path.write_text(
        PRINTED
        + "|mmlu |    N/A|none|  |acc|  | 0.50|±  |  0.01|\n| - law|  1|none| 0|acc| | 0.40|± | 0.01|\n"
    )
    with pytest.raises(ScoreTableError, match="`- law` is below a group") as caught:
        read_scores(f"a={path}")
    assert "results_*.json" in str(caught.value)
