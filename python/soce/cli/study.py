"""The command `soce study`: many soups of many checkpoints, and what the paper's figures say of them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from soce.cli.command import inform, next_step, print_blocks, print_json, usage
from soce.cli.experiment import ExperimentCommand, run_argument
from soce.cli.options.candidates import candidate_option, models_option
from soce.cli.options.evaluator import evaluator_help, evaluator_options
from soce.cli.options.merge import merge_decisions
from soce.cli.options.study import study_options
from soce.cli.options.types import NUMBER
from soce.cli.progress import stage_bars
from soce.cli.scoring import evaluators_of, located, merge_of, missing_bars, score_soups
from soce.cli.text.study import found_blocks, item_lines, population_texts
from soce.exceptions import shown
from soce.files.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soce.analysis.population import Population, PopulationOptions
    from soce.analysis.population_scores import PopulationScores
    from soce.cli.log_file import Log
    from soce.cli.options.candidates import Candidates
    from soce.cli.options.named_evaluators import NamedEvaluators
    from soce.merging.options import MergeOptions

_EXAMPLES = """\b
Examples:
  soce study soce-demo
  soce study run/ --evaluator tasks.jsonl --budget 60
  soce study study/ --models models.yaml --evaluator tasks.jsonl
  soce study run/ --no-evaluate --clusters 0 --json
"""


@click.command(
    cls=ExperimentCommand,
    short_help="Score many soups, and see what souping does.",
    notes=(evaluator_help, _EXAMPLES),
)
@run_argument
@candidate_option("NAME=PATH", "Checkpoint of a candidate; of an old run, where it is now.")
@models_option("checkpoints", opened=True)
@study_options
@click.option("--objective", metavar="F", help="Of a new study, as for `soce select`. Default: mean.")
@click.option(
    "--clusters",
    type=NUMBER,
    metavar="K",
    help="Also put the items into K categories by who solves them; 0: the number is chosen.",
)
@click.option(
    "--evaluate/--no-evaluate",
    default=True,
    help="Score what is missing. Default: where it is known how.",
)
@evaluator_options
@merge_decisions
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON on stdout.")
@click.option("--quiet", "-q", is_flag=True, help="Print errors only on stderr.")
def study(
    *,
    folder: str,
    candidates: Candidates,
    studying: PopulationOptions,
    objective: str | None,
    clusters: int | None,
    evaluate: bool,
    evaluating: NamedEvaluators,
    merging: MergeOptions,
    as_json: bool,
    quiet: bool,
) -> None:
    """Score single models, pairs, triplets and other soups of the candidates of RUN, and compare them.

    RUN is the output of `soce run`, `soce demo` or `soce search`, whose scores are used, or a new directory
    with candidates from --models. Printed are the correlations of the categories before and after souping,
    soups against their parents, Shapley values of the candidates, and the selected ones against the others.
    A study that was stopped goes on where it was.
    """
    from soce.analysis.population_findings import PopulationFindings
    from soce.cli.log_file import logged
    from soce.search.folder import LOG, holds_run

    place = Path(folder)
    if not evaluate and evaluating.choose is not None and not evaluating.is_of_experiment:
        usage("--no-evaluate does not go with an evaluator")
    with logged(place / LOG, "study") as log:
        step = _Step(place, studying, evaluating, merging, log, quiet)
        if not holds_run(place):
            scores = step.of_new(candidates, objective)
        elif objective is not None:
            usage("--objective is of a new study; this run has its own")
        else:
            scores = step.of_run(candidates, evaluate=evaluate)
    found = PopulationFindings.of(scores)
    items = None
    if clusters is not None:
        with found.trying("items"), stage_bars(enabled=not quiet) as bars:
            items = scores.item_categories(
                clusters or None,
                seed=studying.seed,
                on_progress=lambda done, total: bars.show("clusters of items", done, total),
            )
    if as_json:
        print_json({**found.to_json(), "item_categories": None if items is None else items.to_json()})
    else:
        print_blocks(*found_blocks(found), *([] if items is None else [item_lines(items)]))
    if not quiet:
        next_step("soce", "report", folder)


@dataclass(frozen=True, slots=True)
class _Step:
    """A study: which soups are scored, by what, and where the scores are kept."""

    folder: Path
    options: PopulationOptions
    evaluators: NamedEvaluators
    merge: MergeOptions
    log: Log
    quiet: bool

    def of_run(self, candidates: Candidates, *, evaluate: bool) -> PopulationScores:
        """Return the scores of a population of an old run, after those that are missing were scored."""
        from soce.analysis.population import choose_population
        from soce.analysis.population_scores import PopulationScores
        from soce.search.open import open_run

        run = open_run(self.folder)
        if paths := candidates.paths_of(run.pool.names):
            run = open_run(self.folder, paths=paths)
        population = choose_population(run.pool, self.options)
        scores = PopulationScores.of(run, population)
        n_missing = len(scores.missing())
        self._tell(population, n_known=len(population.members) - n_missing)
        evaluators = (
            evaluators_of(run, self.evaluators) if evaluate else "nothing is scored (`--no-evaluate`)"
        )
        if not isinstance(evaluators, str):
            self.log.start()
            run.keep_population(population.to_json())
        if not n_missing:
            if self.evaluators.choose is not None and not self.evaluators.is_of_experiment:
                self._say("nothing is missing, so the evaluator that is named was not asked")
            return scores
        if isinstance(evaluators, str):
            self._say(f"{counted(n_missing, 'of them is', 'of them are')} not scored: {evaluators}")
            return scores
        for name in run.pool.without_path:
            usage(f"nobody said where `{shown(name)}` is: name it with `--candidate {shown(name)}=PATH`")
        soups = [run.pool.recipe(member.parts) for member in population.members]
        merge = merge_of(run, self.merge)
        with self._resumable():
            score_soups(run, soups, evaluators, on=scores.on, merging=merge, quiet=self.quiet)
        return PopulationScores.of(run, population)

    def of_new(self, candidates: Candidates, objective: str | None) -> PopulationScores:
        """Return the scores of a population in a new folder."""
        from soce.analysis.population import choose_population
        from soce.analysis.population_scores import PopulationScores
        from soce.scores.objective import parse_objective
        from soce.search.begin import begin_run
        from soce.search.options import SearchOptions
        from soce.search.pool import Pool
        from soce.search.study import check_folder

        if objective is not None:
            parse_objective(objective)  # before a model is loaded
        paths = candidates.paths()
        if len(paths) < 2:
            usage(
                f"`{shown(str(self.folder))}` holds no run: for a new study, name candidates with `--models`"
            )
        self.evaluators.check()
        if self.evaluators.report is not None:
            usage("a new study chooses nothing, so nothing is held out: give one evaluator")
        check_folder(self.folder)
        pool = Pool(paths, tuple(paths)).here()
        population = choose_population(pool, self.options)
        self._tell(population, n_known=0)
        models = [pool.paths[name] for name in pool.names]
        merge, quiet = located(self.merge, pool), self.quiet
        with (
            self.evaluators.opened(models, merge=merge, folder=self.folder, quiet=quiet) as (first, _),
            self._resumable(),
            missing_bars(quiet=quiet) as tell,
            self.evaluators.executing() as executor,
        ):
            options = SearchOptions(objective=objective, executor=executor)
            run = begin_run(self.folder, pool, first, population.to_json(), options, on_progress=tell)
            self.log.start()  # not before: what is refused until here leaves no folder behind
            soups = [pool.recipe(member.parts) for member in population.members]
            run.evaluate(soups, first, executor=executor, on_progress=tell)
        return PopulationScores.of(run, population)

    def _tell(self, population: Population, *, n_known: int) -> None:
        """Say what will be scored, before anything is."""
        for text in population_texts(population, n_known):
            self.log.line(text)
            self._say(text)

    def _say(self, text: str) -> None:
        if not self.quiet:
            inform(text)

    @contextmanager
    def _resumable(self) -> Iterator[None]:
        """Say how to go on if it is interrupted."""
        try:
            yield
        except KeyboardInterrupt:
            inform("nothing that was scored is lost; the same command goes on")
            raise
