"""Sheets of Excel workbooks (.xlsx)."""

from __future__ import annotations

import datetime as dt
import io
import warnings
import zipfile
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from soce.exceptions import ScoreTableError, shown
from soce.files.extras import install
from soce.scores.grids.lines import Rows, choose, is_title
from soce.scores.grids.text import MAX_BYTES

if TYPE_CHECKING:
    from soce.scores.refusals import Refusals

_MEMBER: Final = "xl/workbook.xml"
_MAX_UNPACKED: Final = 4 * MAX_BYTES
_MAX_CELLS: Final = 5_000_000


def is_workbook(content: bytes) -> bool:
    """Whether a file is a workbook, whatever it is called."""
    if not content.startswith(b"PK\x03\x04"):
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _MEMBER in archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError):
        return False


def read_workbook(content: bytes, wanted: str | None, refusals: Refusals) -> Rows:
    """Return the only sheet that has cells and is not hidden, or the `wanted` one by its name or number.

    Formulas have the values that were saved with them. Rows of one cell above the header are titles.
    """
    try:
        import openpyxl  # type: ignore[import-untyped]
    except ImportError:
        refusals.refuse("reading Excel workbooks needs openpyxl", install("excel"))
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(member.file_size for member in archive.infolist()) > _MAX_UNPACKED:
                refusals.refuse(f"the workbook has more than {_MAX_UNPACKED} bytes unpacked")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of decorations that openpyxl does not know
            values = openpyxl.load_workbook(io.BytesIO(content), data_only=True)
            formulas = openpyxl.load_workbook(io.BytesIO(content))
        sheets = [
            sheet
            for sheet in values.worksheets
            if sheet.title == wanted or (sheet.sheet_state == "visible" and sheet.max_row > 1)
        ]
        if not sheets:
            refusals.refuse("the workbook has no sheet with cells")
        sheet = sheets[choose([sheet.title for sheet in sheets], wanted, "sheet", refusals)]
        if sheet.max_row * sheet.max_column > _MAX_CELLS:
            refusals.refuse(f"sheet `{shown(sheet.title)}` has more than {_MAX_CELLS} cells")
        return _rows(sheet, formulas[sheet.title], refusals)
    except ScoreTableError:
        raise
    except Exception as error:  # damaged files make openpyxl raise nearly anything
        told = shown(str(error).partition("\n")[0])
        refusals.refuse(f"the file is not a workbook that can be read: {told}")


def _rows(sheet: Any, formulas: Any, refusals: Refusals) -> Rows:  # noqa: ANN401 - openpyxl has no types
    rows: list[list[str]] = []
    numbers: list[int] = []
    for number, cells in enumerate(sheet.iter_rows(), 1):
        texts = [_text(cell.value, cell.number_format) for cell in cells]
        if not any(texts):
            continue
        for cell, text in zip(cells, texts, strict=True):
            if not text and formulas[cell.coordinate].data_type == "f":
                refusals.add(
                    f"cell {cell.coordinate} has a formula whose value the file does not hold",
                    "open the workbook in a spreadsheet program and save it",
                )
        rows.append(texts)
        numbers.append(number)
    refusals.check()
    notes = []
    while len(rows) > 1 and is_title(rows[0], rows[1]):
        title = next(filter(None, rows[0]))
        notes.append(f"row {numbers[0]} (`{shown(title, limit=40)}`) is above the header and not read")
        del rows[0], numbers[0]
    columns = [column for column in zip(*rows, strict=True) if any(column)]
    places = [f"row {number}" for number in numbers[1:]]
    return Rows([column[0] for column in columns], [column[1:] for column in columns], places, notes=notes)


def _text(value: object, number_format: str) -> str:
    """Return what a cell says, percentages as percentages."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        if "%" in number_format:
            return f"{(Decimal(repr(value)) * 100).normalize():f}%"
        return repr(value)
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        return value.isoformat()
    return str(value).strip()
