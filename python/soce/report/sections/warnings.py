"""What lint said of the score table, and what the search noted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from soce.report.document import Block, Note, Section, Text
from soce.scores.lint.findings import Findings

if TYPE_CHECKING:
    from soce.report.material import Material
    from soce.scores.lint.findings import Finding


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
            blocks.append(Text("What lint says of the score table and of the selection:"))
            for finding in findings:
                kind: Literal["information", "warning"] = (
                    "information" if finding.severity == "information" else "warning"
                )
                text = f"{finding.code}: {finding.message}."
                blocks.append(
                    Note(text, kind, None if finding.hint is None else f"{_sentence(finding.hint)}.")
                )
        else:
            blocks.append(Text("Lint found nothing in the score table or the selection."))
    notes = list(run.result.notes) if run.result is not None else []
    made = (run.manifest or {}).get("run")
    if isinstance(made, dict) and isinstance(made.get("warnings"), list):
        notes += [str(warning) for warning in made["warnings"]]
    if notes:
        blocks.append(Text("What the search says of its result:"))
        blocks += [Note(f"{_sentence(note)}.") for note in notes]
    data: dict[str, Any] = {"findings": [finding.to_json() for finding in findings], "notes": notes}
    return Section("warnings", title, tuple(blocks), tuple(missing), data)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _lint(material: Material) -> list[Finding]:
    """Return what lint says of the table now: a demo's selection holds only what it says of the selection."""
    from soce.selection.lint import lint_scores

    table, selection = material.run.table, material.run.selection
    assert table is not None
    assert selection is not None
    known = [name for name in selection.candidates if name in table.models]
    return list(lint_scores(table, population=selection.population, candidates=known))
