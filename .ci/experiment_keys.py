"""Renew the keys of an experiment in docs/experiment.md and in the JSON schema: `.ci/experiment_keys.py`.

The options of `soce run` are the declarations; tests compare page and schema with what this writes.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "python"))

from soce.cli.options.experiment import keys_of  # noqa: E402
from soce.cli.run import run  # noqa: E402
from soce.experiment.schema import SCHEMA, experiment_schema  # noqa: E402

PAGE: Final = ROOT / "docs" / "experiment.md"
TABLE: Final = re.compile(r"(?<=<!-- keys:begin -->\n).*?(?=<!-- keys:end -->)", re.DOTALL)


def renewed(page: str) -> str:
    """Return the page with the table of the keys that are declared now."""
    lines = ["", "| key | | |", "|---|---|---|"]
    for there in keys_of(run).sections.values():
        for key in there.values():
            text = re.sub(r"--rule (\w+)", r"`rule: \1`", key.help or "Files or directories of scores.")
            choices = key.schema().get("enum", ["true", "false"] if "switch" in key.shapes else [])
            assert isinstance(choices, list)
            values = ", ".join(f"`{value}`" for value in choices)
            lines.append(f"| `{key.place}` | {text} | {values} |".replace("|rho|", "\\|rho\\|"))
    return TABLE.sub(lambda _: "\n".join([*lines, "", ""]), page)


def schema() -> str:
    """Return the JSON schema of the keys that are declared now."""
    return json.dumps(experiment_schema(keys_of(run)), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    SCHEMA.write_text(schema(), encoding="utf-8")
