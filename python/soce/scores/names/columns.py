"""What the name of a column says about it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from typing import TypeAlias

    from soce.scores.table import Role

    Vector: TypeAlias = np.ndarray[tuple[int], np.dtype[np.float64]]

_MOST_PREFIXES: Final = 8
_LARGEST_SCORE: Final = 100


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


OTHER_LANGUAGES: Final = word_set(
    "mittelwert durchschnitt gesamt moyenne promedio média 平均 平均分 平均点 均分 均值 总分 평균"
)
"""Averages as tables in other languages than English call them."""
_AVERAGES: Final = word_set("avg average mean overall total summary") | OTHER_LANGUAGES
SURE: Final = word_set("rank ranks cost latency stderr pvalue δ")
"""One of these words in a name says that its column holds no scores, whatever is in its cells."""
_TOPICS: Final = word_set("rank ranks cost latency")
"""Of these: what a benchmark may be about if another word follows, as in `rank_order` and `cost_benefit`."""
_TEXTS: Final = word_set("link url license licence")
"""The same, but a column of these that holds numbers is something else: `link_prediction`."""
_COUNTS: Final = (
    word_set("n count counts samples items questions examples instances id year layers heads experts")
    | word_set("seed seeds runs trials repeats folds shot shots fewshot few")
    | word_set("likes downloads votes battles hearts stars ❤ ♥ ⭐ 👍")
    | word_set("step steps iter iters iteration iterations")
)
"""Whole numbers: with fractions they are something else, as `count` of MME is."""
_SHARES: Final = word_set("memory mem size time length speed")
"""What is also called like categories: shares of 1 are something else, as `memory` of BFCL is."""
_AMOUNTS: Final = (
    word_set(
        "params param parameter parameters vram ram disk bytes flops flos gflops tflops tokens epoch epochs"
    )
    | word_set("runtime walltime duration elapsed second seconds sec secs minutes hours ttft tps qps tok")
    | word_set("macs gmacs rtf rtfx throughput price pricing version revision date datetime timestamp cutoff")
    | word_set(
        "created updated release sha commit hash dim dims dimension dimensions vocab vocabulary usage co2"
    )
    | word_set("rang 排名 名次 順位 순위 参数 参数量")
)
_NO_SCORES: Final = _COUNTS | _SHARES | _AMOUNTS
# Words beside those above that leave a name what it is: `num_params`, `eval_time`, `Hub likes`. Any other
# makes it a category: `step_reasoning`, `date_understanding`, `code_params`.
_BESIDE: Final = word_set(
    "# num nb no number of in per the total avg average mean median max min peak final last first model base "
    "train training trained eval evaluation inference generation gen generated test run global wall clock "
    "cpu gpu gpus hub hf active activated trainable input output prompt prompts completion context response "
    "token sample seq sequence batch release released upload uploaded submission submitted knowledge seen "
    "used random k m b t bn million billion gb gib mb mib kb s ms h hrs min mins us usd $ € "
    "start end observed embedding embeddings hidden fp32 fp16 bf16 1k 1m 95th 99th percentile p50 p90 p95 "
    "p99 ub lb mrd g"
)
_OF_AVERAGES: Final = word_set(
    "acc accuracy score scores bleu chrf comet f1 em wer cer ter win rate pass exact match loss perplexity "
    "ppl performance rating elo index points rank percent result results reward success normalized benchmark "
    "benchmarks dataset datasets task tasks category categories subject subjects all of over across on the "
    "macro micro weighted unweighted global"
)
"""What else the name of an average says without a subject: `Mean win rate`, `Overall Acc`."""
_SPREADS: Final = word_set("std var variance ci ci95 ±")
_SETTINGS: Final = frozenset(
    [
        "lr",
        "learning rate",
        "batch size",
        "weight decay",
        "grad norm",
        "temperature",
        "top p",
        "top k",
        "warmup",
        "warmup ratio",
        "lora r",
        "lora alpha",
        "lora dropout",
        "dropout",
        "density",
        "weight",
        "hidden size",
        "intermediate size",
        "hidden layers",
        "num hidden layers",
        "num layers",
        "position embeddings",
        "context window",
    ]
)
NUMBER_OF: Final = (["#"], ["n"], ["num"], ["number"])
"""First words of names that count something, if its values are whole numbers."""
_PHRASES: Final = (
    (re.compile(r"\b(std|standard) err(or)?s?\b"), "stderr"),
    (re.compile(r"\bp ?val(ue)?s?\b"), "pvalue"),
    (re.compile(r"\b((std|standard) dev(iation)?s?|stdev|stddev)\b"), "std"),
    (re.compile(r"\b(confidence interval|conf int|margin of error)\b"), "ci"),
    (re.compile(r"\b(95 ?ci|ci ?95|ci 0 95)\b"), "ci95"),
    (re.compile(r"\b(9[09] ?ci|ci ?9[09]|ci 0 9[09]?)\b"), "ci"),
)
_OF_TRAINING: Final = word_set("train training trainer eval final max per device global args config")
_OVER_RUNS: Final = re.compile(r"\w+@\d+")
_IN_BRACKETS: Final = re.compile(r"[(\[].*?[)\]]")
_UNIT: Final = re.compile(
    r"[(\[]\s*(?:[kmgt]i?b|bytes|ms|secs?|seconds|mins?|minutes|hrs?|hours|usd|k?wh|kg|tok(?:ens)?/s|.*[$€].*)\s*[)\]]|\s[(\[]s[)\]]"
)


def split_words(name: str) -> list[str]:
    """Return the words of a column name, in lower case."""
    return [word for word in re.split(r"[\W_]+", name.casefold()) if word]


def split_marks(name: str) -> list[str]:
    """Return the words of a column name with the marks that mean something, and one word for each thing.

    Examples
    --------
    >>> split_marks("# MMLU (std. error)"), split_marks("ARC +/-")
    (['#', 'mmlu', 'stderr'], ['arc', '±'])
    """
    words = " ".join(re.findall(r"[^\W_]+|[#±❤♥⭐👍$€]", re.sub(r"\+/-|\+-", "±", name.casefold())))
    for form, word in _PHRASES:
        words = form.sub(word, words)
    return words.split()


def _without_runs(name: str) -> list[str]:
    """Return the words of a name but those of a mean over runs of one benchmark: ``AIME (avg@32)``."""
    return split_words(_OVER_RUNS.sub("", name))


def role_by_name(name: str) -> Role:
    """Return the role that a name suggests; ``math_score`` is a category like any other."""
    found = not _AVERAGES.isdisjoint(_without_runs(name)) or name.casefold() in {"score", "scores"}
    return "aggregate" if found else "category"


def may_be_topic(name: str) -> bool:
    """Whether a name with the word of an average may be that of a category, as `mean_reversion` is.

    Examples
    --------
    >>> may_be_topic("mean_reversion"), may_be_topic("math_avg"), may_be_topic("Mean win rate")
    (True, False, False)
    """
    words = split_words(_IN_BRACKETS.sub("", name))
    others = [word for word in words if word not in _AVERAGES and word.isalpha()]
    return bool(words) and words[-1] not in _AVERAGES and not _OF_AVERAGES.issuperset(others)


def is_average(name: str) -> bool:
    """Whether a column is a mean by its name: the first or last word says so, or ``score`` alone."""
    words = _without_runs(name)
    return words == ["score"] or bool(words and {words[0], words[-1]} & _AVERAGES)


def no_score_words(name: str) -> list[str]:
    """Return the words of a name that say its column is not one of scores.

    Examples
    --------
    >>> no_score_words("#Params (B)"), no_score_words("eval_runtime"), no_score_words("Disk use (GB)")
    (['params'], ['runtime'], ['(gb)'])
    >>> (
    ...     no_score_words("step_reasoning"),
    ...     no_score_words("n_queens"),
    ...     no_score_words("cost_benefit"),
    ... )
    ([], [], [])
    """
    words = split_marks(name)
    if found := [word for word in words if word in (SURE - _TOPICS) | _TEXTS]:
        return found
    if topic := _topic(split_marks(_IN_BRACKETS.sub("", name))):
        return [topic]
    if unit := _UNIT.search(name.casefold()):
        return [unit[0].strip()]
    if words and (_SPREADS.issuperset(words) or words[-1] in {"±", "ci95"}):
        return words[-1:]
    if (phrase := " ".join(word for word in words if word not in _OF_TRAINING)) in _SETTINGS:
        return [phrase]
    if set(words) <= _NO_SCORES | _BESIDE:
        found = [word for word in words if word in _NO_SCORES]
        return [word for word in found if word != "n"] or found
    return []


def _topic(words: list[str]) -> str | None:
    """Return the last word that is a rank, cost or latency, if what follows leaves it one."""
    place = max((place for place, word in enumerate(words) if word in _TOPICS), default=None)
    if place is None:
        return None
    following = words[place + 1 :]
    leaves = following[:1] == ["per"] or {*following} <= _NO_SCORES | _BESIDE | _SPREADS | _AVERAGES
    return words[place] if leaves else None


def contradicts(words: list[str], values: Vector, decimals: int | None) -> bool:
    """Whether numbers show that a column is one of scores, although these words of its name say otherwise."""
    values = values[~np.isnan(values)]
    if not values.size or not SURE.isdisjoint(words):
        return False
    # A count that pandas made a float has one decimal.
    broken = bool((values % 1).any()) or decimals is None or decimals > 1
    if words == ["n"]:
        return broken or bool(values.min() < values.max() <= _LARGEST_SCORE)
    if _SHARES.issuperset(words):
        return broken and bool(values.min() >= 0 and values.max() <= 1)
    return _TEXTS.issuperset(words) or (broken and _COUNTS.issuperset(words))


def prefixes_of(name: str) -> list[str]:
    """Return what a name shares with others of its group: everything up to each separator, longest first.

    Examples
    --------
    >>> prefixes_of("Math_hard/algebra")
    ['math_hard/', 'math_']
    """
    folded = name.casefold()
    ends = [index + 1 for index, letter in enumerate(folded[:-1]) if index and letter in "/_-.: "]
    return [folded[:end] for end in reversed(ends[:_MOST_PREFIXES])]
