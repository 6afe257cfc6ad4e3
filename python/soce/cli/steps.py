"""What `search`, `run` and `demo` share: check, search the weights, publish, show the result."""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from soce.cli.bars import byte_bar
from soce.cli.command import inform, message, next_step, print_blocks, print_json, warn
from soce.cli.progress import stage_bars, stage_label
from soce.cli.scoring import located
from soce.cli.text.merge import report_text
from soce.cli.text.search import result_lines, verdict_lines
from soce.exceptions import CheckpointError, shown
from soce.files.words import counted
from soce.recipes.names import parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from soce.cli.log_file import Log
    from soce.cli.options.named_evaluators import NamedEvaluators
    from soce.evaluate.evaluation import Evaluator
    from soce.merging.options import MergeOptions
    from soce.scores.table import ScoreTable
    from soce.search.executors.executor import Executor
    from soce.search.options import SearchOptions
    from soce.search.pool import Pool
    from soce.search.result import SearchResult
    from soce.search.scoring import SearchProgress
    from soce.selection.experts import Selection


def keep_selection(
    folder: Path, selection: Selection, table: ScoreTable, paths: Mapping[str, str], *, quiet: bool
) -> None:
    """Write selection and scores where they are missing; an earlier selection goes into the history."""
    from soce.search.folder import SELECTION
    from soce.search.keeping import keep_selection as keep

    if keep(folder, selection, table, paths) and not quiet:
        message(f"wrote `{shown(str(folder / SELECTION))}`")


@dataclass(frozen=True, slots=True)
class SearchStep:
    """A search in a folder, and where its best soup is to be."""

    pool: Pool
    """Of all models that are scored; who the experts are may not be known yet."""
    folder: Path
    publish: Path | None
    merge: MergeOptions
    """Of every soup; its `overwrite` is for the one that is published."""
    quiet: bool
    experiment: str | None = None
    """The file that says all this, if one does: a folder is the output of one experiment."""

    def __post_init__(self) -> None:
        """Let tensors be taken from candidates by their names, which evaluators do not know."""
        object.__setattr__(self, "merge", located(self.merge, self.pool))

    @contextmanager
    def opened(self, evaluators: NamedEvaluators, log: Log) -> Iterator[Scoring]:
        """Check everything, and open the evaluators; nothing is written yet."""
        from soce.search.archive import past_folders
        from soce.store.file import StoreFile
        from soce.store.sharing import sharing_note

        told = self._check()
        was_known = StoreFile(self.folder).size().n_evaluations > 0
        n_past = len(past_folders(self.folder))
        if (note := sharing_note(self.folder)) is not None and not self.quiet:
            inform(note)
        merge = replace(self.merge, overwrite=False)
        with (
            evaluators.opened(
                self.pool.checkpoints,
                merge=merge,
                folder=self.folder,
                quiet=self.quiet,
            ) as (first, other),
            self._watched(log) as on_progress,
            evaluators.executing() as executor,
        ):
            if executor.name != "inline":
                log.line(f"executor: {executor.name}")
            yield Scoring(self, first, other, executor, merge, told, log, on_progress, was_known, n_past)

    def tell_next(self, result: SearchResult) -> None:
        """Say which command goes on with the best soup."""
        if self.quiet:
            return
        if self.publish is not None:
            next_step("soce", "verify", str(self.publish))
        elif result.scores_higher:
            from soce.merging.options import flags_of
            from soce.search.soup import is_plain

            parts = result.best.parts
            if not is_plain(parts):  # what a command of some words does not say, a report has as a recipe
                return
            # the first stands there in any case: it gives the config
            names = [name for name in self.pool.names if parts.get(name) or name == self.pool.names[0]]
            words = [f"{self.pool.paths[name]}={parts.get(name, 0)}" for name in names]
            next_step("soce-merge", *words, "--output", "soup", *flags_of(result.merge))

    def _check(self) -> Sequence[str]:
        """Refuse what can be refused before models are loaded and anything is written; return warnings."""
        from soce.merging.plan import plan
        from soce.report.publish import check_publishable
        from soce.search.identity import ingredient_identities
        from soce.search.keeping import check_experiment
        from soce.search.optional import require_optuna
        from soce.search.soup import recipe_of
        from soce.search.study import check_folder

        if not self.quiet:
            inform(f"checking {counted(len(self.pool.paths), 'checkpoint')}")
        check_folder(self.folder)
        check_experiment(self.folder, self.experiment)
        _check_writable(self.folder)
        if self.publish is not None:
            check_publishable(self.publish)
            _check_writable(self.publish)
        require_optuna()
        # Of all, because equal parts of all are scored. Without a soup to publish nobody needs their code.
        copy_code = False if self.publish is None else self.merge.copy_code
        options = replace(self.merge, overwrite=False, preflight=False, copy_code=copy_code)
        # A base that is no candidate stands among them: it must fit as well.
        every = recipe_of(
            dict.fromkeys(self.pool.names, 1), self.pool.paths, [*self.pool.names, *self.pool.paths]
        )
        with self._naming_options(), tempfile.TemporaryDirectory(prefix="soce-") as scratch:
            planned = plan(every, output=Path(scratch, "soup"), options=options).data
        with byte_bar(enabled=not self.quiet) as on_progress:  # whoever asks for them again finds them known
            ingredient_identities(self.pool.paths, on_progress=on_progress)
        warnings: list[str] = planned["warnings"]
        if not self.quiet:
            warn(warnings)
        return warnings

    @contextmanager
    def _naming_options(self) -> Iterator[None]:
        """Say of checkpoints that are not there how to tell where they are."""
        names = {
            part: name
            for name, path in self.pool.paths.items()
            for part in parts_of(path)
            if not os.path.lexists(part)
        }
        try:
            yield
        except CheckpointError as error:
            raise CheckpointError.of(
                replace(problem, hint=f"say where it is: `--candidate {shown(names[problem.path])}=PATH`")
                if problem.hint is None and problem.path in names
                else problem
                for problem in error.problems
            ) from error

    def finish(self, result: SearchResult, selection: Selection, scoring: Scoring) -> None:
        """Say what was done, and publish the best soup, once the evaluators are closed."""
        from soce.search.archive import home_of, past_folders

        done = f"{counted(scoring.n_evaluated, 'evaluation')} in this run"
        done += f" ({counted(scoring.n_items, 'item')})" if scoring.n_items else ""
        scoring.log.line(done := f"{done}, the others were known" if scoring.was_known else done)
        scoring.log.line(result.verdict)
        if not self.quiet:
            inform(done)
            if len(past_folders(self.folder)) > scoring.n_past:
                inform(f"the earlier question is kept, see `soce log {shown(str(home_of(self.folder)))}`")
        if self.publish is not None:
            scoring.log.line("publishing the best soup")
            self._publish(result, self.publish, selection, scoring.told)

    def _publish(self, result: SearchResult, target: Path, selection: Selection, told: Sequence[str]) -> None:
        """Write the best soup and its card, unless it is there already."""
        from soce.report.publish import publish_soup

        with self._turn(), byte_bar(enabled=not self.quiet) as on_progress:
            found = publish_soup(
                result,
                target,
                selection=selection,
                run=self.folder,
                options=self.merge,
                on_progress=on_progress,
            )
        if self.quiet:
            return
        where = f"`{shown(str(target))}`"
        if found.report is None:
            inform(f"{where} holds this soup already")
        else:
            warn([one for one in found.report.warnings if one not in told])
            message(report_text(found.report))
        if found.card is None:
            inform(f"{where} has a README.md that soce did not write; it is left alone")
        else:
            warn(found.card.warnings)
            message(f"wrote `{shown(str(found.card.path))}`")

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Let one worker at a time publish: those that come after it find the soup there."""
        from soce.search.claims import claim
        from soce.search.folder import PUBLISHING

        lock = self.folder / PUBLISHING
        with claim(lock) as is_free:
            if is_free:
                yield
                return
        if not self.quiet:
            inform("another process is publishing the best soup; this one waits for it")
        with claim(lock, wait=True):
            yield

    @contextmanager
    def _watched(self, log: Log) -> Iterator[Callable[[SearchProgress], object]]:
        """Log what the search is doing, and show it; say how to go on if it is interrupted."""
        try:
            with stage_bars(enabled=not self.quiet) as bars:

                def tell(found: SearchProgress) -> None:
                    log.progress(found.stage, found.done, found.total, "soups")
                    bars.show("soups", found.done, found.total, label=stage_label(found))
                    bars.show("items", found.items_done, found.items_total if found.items_total > 1 else 0)

                yield tell
        except KeyboardInterrupt:
            inform("nothing that was scored is lost; the same command goes on")
            raise


@dataclass(slots=True)
class Scoring:
    """A search whose evaluators are open."""

    step: SearchStep
    evaluator: Evaluator
    held_out: Evaluator | None
    executor: Executor
    """What asks them; it serves all steps, so that models are loaded once."""
    merge: MergeOptions
    told: Sequence[str]
    """Warnings that were printed."""
    log: Log
    on_progress: Callable[[SearchProgress], object]
    was_known: bool
    """Whether something was scored in this folder before."""
    n_past: int
    """Earlier questions in its history then."""
    n_evaluated: int = 0
    """Calls of the evaluators."""
    n_items: int = 0
    """Items that these were asked for."""

    def measure(self, options: SearchOptions) -> ScoreTable:
        """Score every model on the items that soups are to be chosen on."""
        from soce.search.measure import measure_scores

        self._start()  # not before: what is refused until here leaves no folder behind
        self.log.line(f"scoring {counted(len(self.step.pool.names), 'candidate')}")

        counts = {}

        def count(found: SearchProgress) -> None:
            counts[found.stage] = found.n_evaluated, found.n_items
            self.on_progress(found)

        table = measure_scores(
            self.step.pool.candidates,
            self.evaluator,
            folder=self.step.folder,
            options=replace(options, executor=self.executor),
            held_out_evaluator=self.held_out,
            on_progress=count,
        )
        # The two evaluators have stages of their own.
        self.n_evaluated = sum(calls for calls, _ in counts.values())
        self.n_items = sum(items for _, items in counts.values())
        return table

    def search(self, pool: Pool, selection: Selection, options: SearchOptions) -> SearchResult:
        """Search the weights of a selection's experts."""
        from soce.search.soups import search_soups

        self._start()
        strategy = options.strategy if isinstance(options.strategy, str) else options.strategy.name
        self.log.line(f"candidates: {len(pool.names)}, experts: {len(pool.experts)}, strategy: {strategy}")
        result = search_soups(
            pool,
            self.evaluator,
            folder=self.step.folder,
            options=replace(options, objective=selection.objective, merge=self.merge, executor=self.executor),
            categories=selection.categories,
            held_out_evaluator=self.held_out,
            on_progress=self.on_progress,
        )
        self.n_evaluated += result.n_evaluated
        self.n_items += result.n_items
        return result

    def _start(self) -> None:
        """Begin to write: to the log, and whose output the folder is."""
        from soce.search.keeping import note_experiment

        self.log.start()
        note_experiment(self.step.folder, self.step.experiment)

    def warn_of_items(self, pool: Pool, selection: Selection, options: SearchOptions) -> None:
        """Say, as far as evaluators name their items, what makes the result less than it seems."""
        from soce.search.arms import differing_categories
        from soce.search.exposure import experts_saw
        from soce.search.items import SearchItems

        if self.step.quiet:
            return
        items = SearchItems.known(self.evaluator, self.held_out, share=options.share, seed=options.split_seed)
        if items is None or items.selection is None:
            return
        differing = differing_categories(selection.categories, tuple(items.selection))
        saw, notes = experts_saw(pool.origin, items, self.evaluator, self.held_out)
        warn([*([] if differing is None else [differing]), *items.thin, *notes])
        if notes and saw == "unknown":
            inform(
                "`--table-items other` states that the scores are of other tasks; `soce run` without TABLE "
                "scores the candidates where soups are chosen"
            )


def _check_writable(folder: Path) -> None:
    """Raise OSError unless a directory is there or can be made, and be written to."""
    place = next(one for one in (folder, *folder.absolute().parents) if os.path.lexists(one))
    if not place.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(place))
    if not os.access(place, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))


def conclude(result: SearchResult, *, as_json: bool, fail_if_worse: bool) -> int:
    """Print a result, and return the exit code that goes with it."""
    if as_json:
        print_json(result.to_json())
    else:
        verdict = [click.style(line, bold=True) for line in verdict_lines(result)]
        print_blocks(result_lines(result), verdict)
    return 3 if fail_if_worse and not result.scores_higher else 0
