"""Renew the table of an experiment's keys in docs/experiment.md: `.ci/experiment_keys.py`.

The options of `soce run` are the declarations; tests compare the page with what this writes.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "python"))

from soce.cli.options.experiment import keys_of  # noqa: E402
from soce.cli.run import run  # noqa: E402

PAGE: Final = ROOT / "docs" / "experiment.md"
TABLE: Final = re.compile(r"(?<=<!-- keys:begin -->\n).*?(?=<!-- keys:end -->)", re.DOTALL)


def renewed(page: str) -> str:
    """Return the page with the table of the keys that are declared now."""
    lines = ["", "| key | | |", "|---|---|---|"]
    for there in keys_of(run).sections.values():
        for key in there.values():
            text = re.sub(r"--rule (\w+)", r"`rule: \1`", key.help or "Files or directories of scores.")
            choices = key.schema.get("enum", ["true", "false"] if "switch" in key.shapes else [])
            assert isinstance(choices, list)
            values = ", ".join(f"`{value}`" for value in choices)
            lines.append(f"| `{key.place}` | {text} | {values} |".replace("|rho|", "\\|rho\\|"))
    return TABLE.sub(lambda _: "\n".join([*lines, "", ""]), page)


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
