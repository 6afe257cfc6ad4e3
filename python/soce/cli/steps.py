"""What `search`, `run` and `demo` share: keep the selection, search its weights, publish, show the result."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from soce.cli.command import message, print_blocks, print_json, warn
from soce.cli.progress import byte_bar, stage_bars
from soce.cli.text.merge import report_text
from soce.cli.text.search import result_lines
from soce.exceptions import Problem, StudyError, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from soce.cli.log import Log
    from soce.cli.options.evaluator import NamedEvaluators
    from soce.scores.table import ScoreTable
    from soce.search.options import SearchOptions
    from soce.search.pool import Pool
    from soce.search.result import SearchResult
    from soce.search.scoring import SearchProgress
    from soce.selection.experts import Selection
    from soce.selection.file import SelectionFile


def keep_selection(
    folder: Path, selection: Selection, table: ScoreTable, paths: dict[str, str], *, quiet: bool
) -> SelectionFile:
    """Write selection and scores, or check that the selection that is there is the same."""
    from soce.scores.formats.long import write_scores
    from soce.search.folder import SCORES, SELECTION
    from soce.search.identity import differences
    from soce.selection.file import read_selection, write_selection

    target = folder / SELECTION
    folder.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        write_selection(selection, target, paths=paths)
        if not quiet:
            message(f"wrote `{shown(str(target))}`")
    elif changes := differences(read_selection(target).selection.to_json(), selection.to_json()):
        message_text = f"the selection in it is another one: {'; '.join(changes[:5])}"
        hint = "name a new output, or give the same table and options"
        raise StudyError.of([Problem("study", str(target), None, message_text, hint)])
    if not (folder / SCORES).exists():  # for the report: what the selection names may move or change
        write_scores(table, folder / SCORES)
    return read_selection(target)


@dataclass(frozen=True, slots=True)
class SearchStep:
    """A search in a folder, and where its best soup is to be."""

    pool: Pool
    selection: SelectionFile
    folder: Path
    publish: Path | None
    quiet: bool
    overwrite: bool = False
    """Replace another soup that lies where the best one is to be."""

    def run(self, evaluators: NamedEvaluators, options: SearchOptions, log: Log) -> SearchResult:
        """Search, and publish the best soup."""
        from soce.report.publish import check_publishable
        from soce.search.soups import search_soups
        from soce.search.study import check_folder, require_optuna

        require_optuna()  # before models are loaded and anything is written
        check_folder(self.folder)
        if self.publish is not None:
            check_publishable(self.publish)
        pool = self.pool
        paths = [pool.paths[name] for name in pool.names]
        dtype = self.selection.dtype
        with (
            evaluators.opened(paths, dtype=dtype, folder=self.folder, quiet=self.quiet) as (
                first,
                other,
            ),
            self._watched(log) as on_progress,
        ):
            log.start()  # not before: what is refused until here leaves no folder behind
            strategy = options.strategy if isinstance(options.strategy, str) else options.strategy.name
            log.line(f"candidates: {len(pool.names)}, experts: {len(pool.experts)}, strategy: {strategy}")
            result = search_soups(
                pool,
                first,
                folder=self.folder,
                options=replace(options, objective=self.selection.objective),
                categories=self.selection.selection.categories,
                held_out_evaluator=other,
                on_progress=on_progress,
            )
        done = f"{result.n_evaluated} evaluations in this run, the others were known"
        log.line(done)
        log.line(result.verdict)
        if not self.quiet:
            message(f"information: {done}")
        if self.publish is not None:
            log.line("publishing the best soup")
            self._publish(result, self.publish, dtype=evaluators.options.dtype or dtype)
        return result

    def _publish(self, result: SearchResult, target: Path, *, dtype: str | None) -> None:
        """Write the best soup and its card, unless it is there already."""
        from soce.merging.options import MergeOptions
        from soce.report.publish import publish_soup

        with byte_bar(enabled=not self.quiet) as on_progress:
            found = publish_soup(
                result,
                target,
                selection=self.selection.selection,
                run=self.folder,
                options=MergeOptions(dtype=dtype, overwrite=self.overwrite, command=sys.argv),
                on_progress=on_progress,
            )
        if self.quiet:
            return
        where = f"`{shown(str(target))}`"
        if found.report is None:
            message(f"information: {where} holds this soup already")
        else:
            warn(found.report.warnings)
            message(report_text(found.report))
        if found.card is None:
            message(f"information: {where} has a README.md that soce did not write; it is left alone")
        else:
            warn(found.card.warnings)
            message(f"wrote `{shown(str(found.card.path))}`")

    @contextmanager
    def _watched(self, log: Log) -> Iterator[Callable[[SearchProgress], object]]:
        """Log what the search is doing, and show it; say how to go on if it is interrupted."""
        try:
            with stage_bars(enabled=not self.quiet) as bars:

                def tell(found: SearchProgress) -> None:
                    log.progress(found.stage, found.done, found.total, "soups")
                    bars.show("soups", found.done, found.total, label=found.stage)
                    bars.show("items", found.items_done, found.items_total if found.items_total > 1 else 0)

                yield tell
        except KeyboardInterrupt:
            message("information: nothing that was scored is lost; the same command goes on")
            raise


def conclude(result: SearchResult, *, as_json: bool, fail_if_worse: bool) -> int:
    """Print a result, and return the exit code that goes with it."""
    print_json(result.to_json()) if as_json else print_blocks(result_lines(result))
    return 3 if fail_if_worse and not result.beats_best_single else 0
