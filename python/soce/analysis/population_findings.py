"""All that the paper's figures say of one population, with the reason for what cannot be said."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from soce.exceptions import SoceError
from soce.files.plain import Plain, to_plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soce.analysis.consistency import ConsistencyComparison
    from soce.analysis.parents import ParentCounts
    from soce.analysis.population_scores import PopulationScores
    from soce.analysis.selected import SelectedAgainstOthers
    from soce.analysis.shapley import ShapleyValues

PLAYERS: Final = {"singles": 1, "pairs": 2, "triplets": 3}
"""Players of Shapley values, and how many models each of them is."""


@dataclass(slots=True)
class PopulationFindings:
    """What was found; None where `missing` has a reason."""

    scores: PopulationScores
    consistency: ConsistencyComparison | None = None
    """Candidates against pairs and triplets: Figure 2."""
    without_each: dict[str, float] = field(default_factory=dict)
    """Candidate → the difference of mean correlations without it and its soups."""
    weightings: ConsistencyComparison | None = None
    """Candidates against random weightings of all of them, which is one set of models."""
    parents: ParentCounts | None = None
    """Figure 5."""
    shapley: dict[str, ShapleyValues] = field(default_factory=dict)
    """By `PLAYERS`: Figures 3c and 6."""
    selected: SelectedAgainstOthers | None = None
    missing: dict[str, str] = field(default_factory=dict)
    """What could not be found → why."""

    @classmethod
    def of(cls, scores: PopulationScores, *, draws: int = 10_000) -> PopulationFindings:
        """Find all that the scores allow; intervals take so many draws, by the population's seed."""
        found = cls(scores)
        seed = scores.population.options.seed
        with found.trying("consistency"):
            found.consistency = scores.consistency(draws=draws, seed=seed)
            found.without_each = scores.without_each()
        if scores.population.options.points:
            with found.trying("weightings"):
                found.weightings = scores.consistency("random", draws=draws, seed=seed)
        with found.trying("parents"):
            found.parents = scores.parents()
        for name, size in PLAYERS.items():
            if size == 1 or size < len(scores.population.candidates):
                with found.trying(f"shapley {name}"):
                    found.shapley[name] = scores.shapley(size)
        with found.trying("selected"):
            found.selected = scores.selected()
        return found

    @contextmanager
    def trying(self, what: str) -> Iterator[None]:
        """Keep the reason if something cannot be found, and go on."""
        try:
            yield
        except SoceError as error:
            self.missing[what] = error.problems[0].message

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain Python, with the scores of every member."""
        population = self.scores.population
        members = []
        for member in population.members:
            label = population.label(member.parts)
            evaluation = self.scores.evaluations.get(label)
            scores = evaluation and {name: one.score for name, one in evaluation.categories.items()}
            members.append({"label": label, **Plain.to_json(member), "scores": scores})
        return {
            "population": {**population.to_json(), "members": members},
            "on": self.scores.on,
            "consistency": to_plain(self.consistency),
            "without_each": self.without_each,
            "weightings": to_plain(self.weightings),
            "parents": to_plain(self.parents),
            "shapley": to_plain(self.shapley),
            "selected": to_plain(self.selected),
            "missing": self.missing,
        }
