"""What lint said of the score table, and what the search noted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soce.report.cells import sentence
from soce.report.document import Note, Text
from soce.scores.lint.findings import Findings
from soce.selection.lint import lint_scores

if TYPE_CHECKING:
    from soce.report.document import Section
    from soce.report.run_view import RunView
    from soce.scores.lint.findings import Finding


def build(section: Section, view: RunView) -> None:
    """Fill the section."""
    run = view.run
    findings = _findings(view)
    if run.selection is None:
        why = "; ".join(run.why("selection"))
        section.missing.append(f"What lint says of the score table: {why}.")
    elif not findings:
        section.blocks.append(Text("Lint found nothing in the score table or the selection."))
    else:
        section.blocks.append(Text("What lint says of the score table and of the selection:"))
        section.blocks += [
            Note(
                f"{finding.code}: {finding.message}.",
                "information" if finding.severity == "information" else "warning",
                None if finding.hint is None else sentence(finding.hint),
            )
            for finding in findings
        ]
    notes = [] if run.result is None else list(run.result.notes)
    said = view.merge.get("warnings")
    notes += map(str, said if isinstance(said, list) else ())
    if notes:
        section.blocks.append(Text("What the search says of its result:"))
        section.blocks += [Note(sentence(note)) for note in notes]
    section.data |= {"findings": [finding.to_json() for finding in findings], "notes": notes}


def _findings(view: RunView) -> list[Finding]:
    """Return what the selection holds, and what lint says now: a demo's holds only what is said of itself."""
    table, selection = view.run.table, view.run.selection
    if selection is None:
        return []
    findings = list(selection.findings)
    if table is not None:
        codes = {finding.code for finding in findings}
        known = [name for name in selection.candidates if name in table.models]
        now = lint_scores(table, population=selection.population, candidates=known)
        findings += [finding for finding in now if finding.code not in codes]
    return list(Findings.of(findings))
