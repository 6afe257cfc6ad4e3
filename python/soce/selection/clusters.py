"""Clusters of categories that move together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soce.selection.refusal import refuse

if TYPE_CHECKING:
    from soce.selection.correlation import Correlation


def cluster_categories(
    correlation: Correlation, *, n_clusters: int | None = None, min_correlation: float | None = None
) -> tuple[tuple[str, ...], ...]:
    """Return clusters of categories that move together: average linkage on signed rho.

    They are merged until `n_clusters` are left, or while the two nearest correlate at least
    `min_correlation` on average; one of the two is given. Clusters come by descending size, then the name of
    the first member; members by name. Categories without any defined pair are left out; an undefined pair
    counts as 0.

    Examples
    --------
    >>> from soce.scores.table import ScoreTable
    >>> from soce.selection.correlation import correlate_categories
    >>> columns = {"math": [1, 2, 3, 4], "code": [1, 3, 2, 4], "chat": [4, 1, 3, 2]}
    >>> found = correlate_categories(ScoreTable.of(columns, models=["a", "b", "c", "d"]))
    >>> cluster_categories(found, n_clusters=2)
    (('code', 'math'), ('chat',))
    """
    names, merges = correlation.linkage()
    if n_clusters is not None and not 1 <= n_clusters <= len(names):
        refuse(f"cannot make {n_clusters} clusters of {len(names)} categories with defined correlations")
    clusters: dict[int, list[str]] = {place: [name] for place, name in enumerate(names)}
    for number, (left, right, distance, _) in enumerate(merges.tolist()):
        # By merges, not by height as fcluster does: two merges at one height would be made together.
        if len(clusters) == n_clusters or (min_correlation is not None and distance > 1 - min_correlation):
            break
        clusters[len(names) + number] = clusters.pop(int(left)) + clusters.pop(int(right))
    found = [tuple(sorted(members)) for members in clusters.values()]
    return tuple(sorted(found, key=lambda members: (-len(members), members[0])))
