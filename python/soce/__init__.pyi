# Each public name and its home: read by type checkers, and by `__init__.py` when a name is used.

from soce._core import build_info as build_info
from soce.evaluate.evaluation import Evaluation as Evaluation
from soce.evaluate.live.soup_model import SoupModel as SoupModel
from soce.evaluate.tasks.evaluator import TaskEvaluator as TaskEvaluator
from soce.evaluate.tasks.items import read_tasks as read_tasks
from soce.exceptions import SoceError as SoceError
from soce.merging.doctor import diagnose as diagnose
from soce.merging.merge import merge as merge
from soce.merging.merge import merge_all as merge_all
from soce.merging.mixer import Mixer as Mixer
from soce.merging.options import MergeOptions as MergeOptions
from soce.merging.plan import plan as plan
from soce.merging.plan import plan_all as plan_all
from soce.merging.verify import verify as verify
from soce.recipes.files import read_recipes as read_recipes
from soce.recipes.methods import Method as Method
from soce.recipes.model import Recipe as Recipe
from soce.report.card.card import write_card as write_card
from soce.report.publish import publish_soup as publish_soup
from soce.scores.formats.options import ReadOptions as ReadOptions
from soce.scores.read import read_scores as read_scores
from soce.scores.table import ScoreTable as ScoreTable
from soce.search.open import open_run as open_run
from soce.search.options import SearchOptions as SearchOptions
from soce.search.pool import Pool as Pool
from soce.search.soups import search_soups as search_soups
from soce.selection.correlation import correlate_categories as correlate_categories
from soce.selection.experts import select_experts as select_experts
from soce.selection.file import read_selection as read_selection
from soce.selection.file import write_selection as write_selection
from soce.selection.heatmap import plot_correlation as plot_correlation
from soce.selection.lint import lint_scores as lint_scores
from soce.selection.options import SelectionOptions as SelectionOptions
from soce.selection.rules import Clusters as Clusters
from soce.selection.rules import Explicit as Explicit
from soce.selection.rules import Pairs as Pairs
from soce.selection.rules import Threshold as Threshold
from soce.selection.sweep import sweep_thresholds as sweep_thresholds

__version__: str
