"""`--version`, the extras it names, and completion in shells."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import soce
from soce.files.extras import EXTRAS, install, installed

ROOT = Path(__file__).parents[2]
PROGRAMS = {"soce": ("main", "_SOCE_COMPLETE"), "soce-merge": ("main_merge", "_SOCE_MERGE_COMPLETE")}


def run(main: str, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys; from soce.cli import {main}; sys.argv[1:] = {list(words)!r}; {main}()"
    environment = {**os.environ, **variables}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )


@pytest.mark.parametrize("main", ["main", "main_merge"])
def test_the_first_line_is_name_and_version_and_the_others_say_what_is_there(main: str) -> None:
    found = run(main, "--version")
    assert (found.returncode, found.stderr) == (0, "")
    first, kernels, *others = found.stdout.splitlines()
    assert first == f"soce {soce.__version__}"
    assert re.fullmatch(r"kernels  scalar(, \w+)*", kernels)
    assert others[0] == "extras"
    assert [line.split()[0] for line in others[1:]] == list(EXTRAS)
    for line, packages in zip(others[1:], installed().values(), strict=True):
        lacks = [name for name, version in packages.items() if version is None]
        assert line[11:] == (
            f"lacks {', '.join(lacks)}"
            if lacks
            else ", ".join(" ".join(map(str, one)) for one in packages.items())
        )


def test_extras_are_those_of_the_package() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    everything = declared.pop("all")
    assert set(declared) == {*EXTRAS, "vllm"}
    assert everything == [f"soce[{','.join(sorted(EXTRAS))}]"]
    for extra, packages in EXTRAS.items():
        names = [re.match(r"[\w-]+", one)[0] for one in declared[extra]]  # type: ignore[index]
        assert sorted(names) == sorted(packages)


def test_a_hint_names_an_extra_that_exists() -> None:
    assert install("hub") == "pip install 'soce[hub]'"
    with pytest.raises(AssertionError):
        install("card")
    for file in [*ROOT.glob("docs/*.md"), *ROOT.glob("python/soce/**/*.py"), ROOT / "README.md"]:
        for names in re.findall(r"soce\[([a-z0-9,-]+)\]", file.read_text()):
            assert set(names.split(",")) <= {*EXTRAS, "vllm", "all"}, file


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_shells_get_a_script(shell: str, program: str) -> None:
    main, variable = PROGRAMS[program]
    found = run(main, **{variable: f"{shell}_source"})
    assert (found.returncode, found.stderr) == (0, "")
    assert variable in found.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("soce sea", "plain,search"),
        ("soce search --strat", "plain,--strategy"),
        ("soce analyze some/ta", "file,some/ta"),
        ("soce search selection.yaml --tasks de", "file,de"),
        ("soce verify so", "file,so"),
        ("soce-merge --max", "plain,--max-shard-size"),
        ("soce-merge A --nonfinite w", "plain,warn"),
        ("soce-merge path/A=0.5 pa", "file,pa"),
        ("soce-merge A --output so", "file,so"),
    ],
)
def test_shells_get_completions(words: str, expected: str) -> None:
    program, *others = words.split()
    main, variable = PROGRAMS[program]
    asked = {variable: "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(others))}
    found = run(main, **asked)
    assert (found.returncode, found.stderr) == (0, "")
    assert expected in found.stdout.splitlines()
