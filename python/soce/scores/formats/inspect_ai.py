"""Logs of Inspect (inspect_ai): ``.eval`` archives, of which only ``header.json`` is read, and ``.json``.

Outcomes by item are the samples of the log's reductions, ``reductions.json`` in an archive.

Metrics are named ``score/metric`` (``match/accuracy``), and ``score[reducer]/metric`` where a score was
reduced over epochs in several ways (``match[mean]/accuracy``, ``match[pass_at_2]/accuracy``); ``stderr`` is
the standard error of ``accuracy`` or ``mean`` of the same score. Larger is better: logs do not say. A run
that failed gives no score.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from soce.exceptions import shown
from soce.files.words import nearest
from soce.scores.formats import results
from soce.scores.formats.harness import Harness
from soce.scores.formats.zip_member import read_member
from soce.scores.grids.text import load_json, parse_json
from soce.scores.refusals import Refusals

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from soce.scores.formats.options import ReadOptions
    from soce.scores.table import ScoreTable

_HEADER: Final = "header.json"
_REDUCTIONS: Final = "reductions.json"
_AS_JSON: Final = "write the log as JSON: `inspect log dump --header-only LOG.eval > LOG.json`"
_ERRORS: Final = ("stderr", "bootstrap_stderr")
_NOT_METRICS: Final = frozenset({*_ERRORS, "std", "var"})
_MEANS: Final = frozenset({"accuracy", "mean"})
_LETTERS: Final = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
"""Correct, partly so, incorrect, no answer."""


def recognise(path: Path) -> bool:
    """Whether a file, or some file below a directory, is a log of Inspect."""
    if path.is_dir():
        return next(path.rglob("*.eval"), None) is not None or _HARNESS.recognise(path)
    return path.suffix == ".eval" or _HARNESS.recognise(path)  # `.eval` also if it cannot be read


def _load(path: Path) -> Any:  # noqa: ANN401 (whatever the file holds)
    if path.suffix != ".eval":
        return load_json(path)
    text = read_member(path, _HEADER, absent="the run did not finish", instead=_AS_JSON)
    return parse_json(text, path, allow_nan=True)


def _fits(held: object) -> bool:
    return isinstance(held, dict) and isinstance(held.get("eval"), dict) and "status" in held


def _parse(path: Path, held: dict[str, Any], reducer: str | None = None) -> results.ResultFile:
    refusals = Refusals(path)
    about = held["eval"]
    task = results.name_of(about.get("task"))
    if task is None:
        refusals.refuse("the log does not say which task it is of")
    metrics: dict[str, results.Measurement] = {}
    reason = "has no score"
    if held["status"] == "success":
        metrics = _metrics(results.object_in(held, "results"), about, reducer, refusals)
    else:
        reason = f"has no score: the status of the run is `{shown(str(held['status']))}`"
    created = about.get("created")
    stamp = created if isinstance(created, str) else ""
    return results.ResultFile(
        str(path),
        results.name_of(about.get("model")),
        stamp,
        (results.Task(task, metrics, reason=reason, outcomes=partial(_outcomes, path, reducer)),),
    )


def _metrics(
    summary: Mapping[str, Any], about: Mapping[str, Any], wanted: str | None, refusals: Refusals
) -> dict[str, results.Measurement]:
    """Return the metrics of a log, or those of one reducer and of scores that were not reduced."""
    metrics: dict[str, results.Measurement] = {}
    for name, reducer, score in _scores(summary, wanted, refusals):
        prefix = name if reducer is None else f"{name}[{reducer}]"
        n_items = _n_items(score, summary, about)
        values = {
            name.strip(): results.score_of(metric["value"])
            for name, metric in score["metrics"].items()
            if isinstance(metric, dict) and "value" in metric
        }
        stderr = next(
            (results.stderr_of(values[name]) for name in sorted(_ERRORS, reverse=True) if name in values),
            math.nan,
        )
        for name, value in values.items():
            if value is None or name in _NOT_METRICS:
                continue
            key = f"{prefix}/{name}"
            if key in metrics:
                refusals.refuse(f"the log has the metric `{shown(key)}` twice")
            metrics[key] = results.Measurement(value, stderr if name in _MEANS else math.nan, n_items)
    return metrics


def _scores(
    summary: Mapping[str, Any], wanted: str | None, refusals: Refusals
) -> Iterator[tuple[str, str | None, dict[str, Any]]]:
    """Yield name, reducer and entry of each score; the reducer only where it tells scores apart."""
    entries = summary.get("scores")
    scores = []
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, dict) or not isinstance(entry.get("metrics"), dict):
            refusals.refuse("an entry of `results.scores` has no object `metrics`")
        name = results.name_of(entry.get("name")) or results.name_of(entry.get("scorer")) or ""
        scores.append((name, results.name_of(entry.get("reducer")), entry))
    reducers = {reducer for _, reducer, _ in scores} - {None}
    if wanted is not None and reducers and wanted not in reducers:
        known = sorted(reducer for reducer in reducers if reducer is not None)
        refusals.refuse(f"no score has the reducer `{shown(wanted)}`", nearest(wanted, known, "reducers"))
    of_name = Counter(name for name, _, _ in scores)
    for name, reducer, entry in scores:
        if wanted is None or reducer in {None, wanted}:
            yield name, reducer if wanted is not None or of_name[name] > 1 else None, entry


def _outcomes(path: Path, wanted: str | None, metric: str) -> dict[str, float]:
    """Return sample → value of the score that a metric was computed from, after reduction over epochs.

    The log is read once more, so that those of many tasks are never in memory together.
    """
    refusals, held = Refusals(path), _load(path)
    entries = held.get("reductions")
    if path.suffix == ".eval":
        absent = "it is written when samples are logged"
        text = read_member(path, _REDUCTIONS, absent=absent, instead="write the log as JSON")
        entries = parse_json(text, path, allow_nan=True)
    prefix = metric.rpartition("/")[0]
    for name, reducer, score in _scores(results.object_in(held, "results"), wanted, refusals):
        if prefix != (name if reducer is None else f"{name}[{reducer}]"):
            continue
        key = (score.get("scorer"), score.get("reducer"))
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, dict) and key == (entry.get("scorer"), entry.get("reducer")):
                return _samples(entry.get("samples"), name, refusals)
    refusals.refuse("the log has no reductions of the score, which hold the values of single samples")


def _samples(samples: object, name: str, refusals: Refusals) -> dict[str, float]:
    outcomes: dict[str, float] = {}
    for sample in samples if isinstance(samples, list) else []:
        item = sample.get("sample_id") if isinstance(sample, dict) else None
        if not isinstance(item, str | int):
            refusals.refuse("a reduced sample has no `sample_id`")
        value = sample.get("value")
        if isinstance(value, dict):  # several scores of one scorer
            value = value.get(name)
        number = _LETTERS.get(value) if isinstance(value, str) else value
        if not isinstance(number, int | float) or not math.isfinite(number):
            refusals.refuse(f"the score `{shown(name)}` of single samples is no number")
        if str(item) in outcomes:
            refusals.refuse(f"sample `{shown(str(item))}` is there twice")
        outcomes[str(item)] = float(number)
    return outcomes


def _n_items(score: Mapping[str, Any], summary: Mapping[str, Any], about: Mapping[str, Any]) -> float:
    """Return the items scored. Logs that do not say count each item once per epoch."""
    scored = results.count_of(score.get("scored_samples"))
    if not math.isnan(scored):
        return scored
    epochs = results.count_of(results.object_in(about, "config").get("epochs"))
    items = results.count_of(summary.get("completed_samples")) / (1.0 if math.isnan(epochs) else epochs)
    return items if items.is_integer() else math.nan


_HARNESS: Final = Harness(
    kind="inspect",
    name="Inspect",
    suffixes=(".eval", ".json"),
    own_name=re.compile(r".*\.eval"),
    load=_load,
    fits=_fits,
    parse=_parse,
    expected="there are no `status` and `eval`",
    hint="name a log that Inspect wrote, `.eval` or `.json`, or the directory of logs",
    short=lambda metric: metric.rpartition("/")[2],
)


def read(path: Path, options: ReadOptions) -> ScoreTable:
    """Return the table of a log, or of the logs of one or many models below a directory."""
    return replace(_HARNESS, parse=partial(_parse, reducer=options.reducer)).read(path, options)
