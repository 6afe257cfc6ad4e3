"""The worked example says what the commands print."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.shared_data import shared_data

from soce.cli.analyze import analyze
from soce.cli.select import select

ROOT = Path(__file__).parent.parent
CONSOLE = re.compile(r"```console\n\$ (?P<command>.*)\n(?P<output>[^`]*(?:`(?!``)[^`]*)*)```")


def test_the_worked_example_prints_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "bfcl-example.md").read_text()
    (tmp_path / "board").symlink_to(shared_data("bfcl/2025-04-30"))
    models = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert models is not None
    (tmp_path / "models.yaml").write_text(models[1])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    found = list(CONSOLE.finditer(page))
    assert len(found) == 4
    for block in found:
        program, name, *arguments = shlex.split(block["command"])
        assert program == "soce"
        result = CliRunner().invoke({"analyze": analyze, "select": select}[name], arguments)
        assert result.exit_code == 0, result.stderr
        assert result.stdout.rstrip("\n") == block["output"].rstrip("\n")
    assert (tmp_path / "selection.yaml").exists()
