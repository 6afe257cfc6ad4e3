"""What lint said of the score table, and what the search noted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from soce.lint import Findings
from soce.report.document import Block, Cell, Section, Table, Text

if TYPE_CHECKING:
    from soce.lint import Finding
    from soce.report.material import Material


def build(material: Material) -> Section:
    """Return the section."""
    title = "Warnings"
    run = material.run
    blocks: list[Block] = []
    missing: list[str] = []
    findings: list[Finding] = []
    if run.selection is None:
        missing.append(f"What lint says of the score table: {'; '.join(run.why('selection'))}.")
    else:
        findings = list(run.selection.findings)
        codes = {finding.code for finding in findings}
        if run.table is not None:
            findings += [finding for finding in _lint(material) if finding.code not in codes]
        findings = list(Findings.of(findings))
        if findings:
            blocks.append(
                Table(
                    "What lint says of the score table and of the selection",
                    ("check", "severity", "finding", "what to do, or what it means"),
                    tuple(
                        (
                            Cell(finding.code),
                            Cell(finding.severity, None, "warning" if finding.severity != "information" else ""),
                            Cell(finding.message),
                            Cell(finding.hint or ""),
                        )
                        for finding in findings
                    ),
                )
            )
        else:
            blocks.append(Text("Lint found nothing in the score table or the selection."))
    notes = list(run.result.notes) if run.result is not None else []
    made = (run.manifest or {}).get("run")
    if isinstance(made, dict) and isinstance(made.get("warnings"), list):
        notes += [str(warning) for warning in made["warnings"]]
    blocks += [Text(f"{note[:1].upper()}{note[1:]}.") for note in notes]
    data: dict[str, Any] = {"findings": [finding.to_json() for finding in findings], "notes": notes}
    return Section("warnings", title, tuple(blocks), tuple(missing), data)


def _lint(material: Material) -> list[Finding]:
    """Return what lint says of the table now: a demo's selection holds only what it says of the selection."""
    from soce.lint import lint_scores

    table, selection = material.run.table, material.run.selection
    assert table is not None
    assert selection is not None
    known = [name for name in selection.candidates if name in table.models]
    return list(lint_scores(table, population=selection.population, candidates=known))
