"""Which way is better, by the name of a column or metric: the one home of this knowledge."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from soce.scores.names.columns import no_score_words, split_marks, word_set

if TYPE_CHECKING:
    import numpy as np

    from soce.scores.table import Column

    Vector: TypeAlias = np.ndarray[tuple[int], np.dtype[np.float64]]

Sureness: TypeAlias = Literal["sure", "likely"]

# Wherever they stand in a name: `librispeech_wer`, `wikitext ppl (word)`.
_ANYWHERE: Final = word_set(
    "wer cer ppl perplexity nll mse rmse mae mape bpb bpc brier eer mindcf fpr fnr frr"
)
_PHRASES: Final = (
    "bits per byte",
    "bits per character",
    "bits per char",
    "bits per token",
    "negative log likelihood",
    "neg log likelihood",
    "kl divergence",
    "false positive rate",
    "false negative rate",
    "false alarm rate",
    "miss rate",
)
# At the end of a name: `eval_loss`, `top1_error`, but not `error_analysis`.
_LAST: Final = word_set(
    "loss losses error errors err ter der cost price latency runtime rank ranks vram seconds "
    "fehlerrate 错误率 困惑度"
)
# What `error rate` is: with `rate` behind them these are no longer ambiguous.
_RATES: Final = word_set(
    "error failure fail hallucination hallucinations toxicity toxic violation violations mistake mistakes"
)
# Losses and errors that a benchmark may be about.
_TOPICS: Final = word_set(
    "hearing weight hair memory bone job blood profit syntax type runtime compile compilation grammar "
    "spelling logic medical medication human"
)
_LIKELY: Final = word_set(
    "toxicity hallucination hallucinations fid fad ece lpips mcd kl divergence distance failures mistakes "
    "violations perplexities regret harmfulness mer per ser asr metricx"
)
# Whether their rates should be small depends on what is wanted.
_LIKELY_RATES: Final = word_set("attack jailbreak harmful refusal compliance")
_MEASURES: Final = frozenset(["score", "scores", "mean", "avg", "average", "value"])
# What turns a measure round: `neg_mse`, `WER improvement`, `1 - WER`.
_TURNED: Final = word_set("neg negative inverse inverted minus improvement reduction gain acc accuracy")
# Beside a name, as boards print them: `WER ↓`, `MMLU (↑)`.
_ARROWS: Final[dict[str, Sureness | None]] = {"↓": "sure", "⬇": "sure", "↑": None, "⬆": None}
_SHARES: Final = word_set("wer cer ter error errors err rate")


def smaller_is_better(name: str) -> Sureness | None:
    """Return whether smaller is better in a column of this name: surely, likely, or not as far as it says.

    The name alone decides, for the scores of one soup must be read as the table was that chose its experts.

    Examples
    --------
    >>> smaller_is_better("test-other WER"), smaller_is_better("eval_loss"), smaller_is_better("toxicity")
    ('sure', 'sure', 'likely')
    >>> smaller_is_better("error_analysis"), smaller_is_better("lossless"), smaller_is_better("hearing_loss")
    (None, None, 'likely')
    """
    bare = name.strip(" ()[]")
    if bare[:1] in _ARROWS or bare[-1:] in _ARROWS:
        return _ARROWS.get(bare[-1:], _ARROWS.get(bare[:1]))
    words = split_marks(name.partition(",")[0])  # without the filter of lm-evaluation-harness
    while len(words) > 1 and words[-1] in _MEASURES:
        words = words[:-1]  # `loss_mean`, `toxicity_score`
    phrase = f" {' '.join(words)} "
    if any(f" {known} " in phrase for known in _PHRASES):
        found: Sureness | None = "sure"
    elif not _ANYWHERE.isdisjoint(words) or "latency" in no_score_words(name):
        found = "sure" if _TURNED.isdisjoint(words) and words[0] != "1" else "likely"
    elif words[-1:] == ["rate"] and not _RATES.isdisjoint(words):
        found = "sure"
    elif words and words[-1] in _LAST:
        found = "sure" if (_TURNED | _TOPICS).isdisjoint(words[:-1]) else "likely"
    else:
        is_rate = words[-1:] == ["rate"] and not _LIKELY_RATES.isdisjoint(words)
        found = "likely" if is_rate or not _LIKELY.isdisjoint(words[-1:]) else None
    return found


def directed(column: Column, values: Vector, *, signed: bool, is_loss: bool = False) -> Column:
    """Return a column of a plain table with the direction that its name or metric gives, or `is_loss`.

    `signed` says that it has percent signs. A perplexity or a loss has no scale, however small its numbers
    are; an error rate is a share.
    """
    names = (column.name, column.metric or "")
    about = next((name for name in names if is_loss or smaller_is_better(name) == "sure"), None)
    if about is None:
        return column
    share = signed or (not _SHARES.isdisjoint(split_marks(about)) and not (values > 100).any())
    scale = column.scale if share else None
    return replace(column, higher_is_better=False, direction="name", scale=scale)
