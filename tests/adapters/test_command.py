"""`soce-merge --adapters`: exit codes, stdout for data only, and what is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests import lora

from soce.cli.merge import merge as command
from soce.cli.verify import verify


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("adapters")
    base = lora.base_model(home)
    lora.save_adapter(base, home / "a", 1)
    lora.save_adapter(base, home / "b", 2, r=2, use_rslora=True)
    return home


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments], prog_name="soce-merge")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result


def test_makes_a_soup_of_adapters(here: Path, tmp_path: Path) -> None:
    made = run("--adapters", f"{here / 'a'}=0.5", f"{here / 'b'}=0.5", "--output", tmp_path / "soup")
    assert (made.exit_code, made.stdout) == (0, "")
    assert made.stderr == f"averaging 2 adapters\nwrote `{tmp_path / 'soup'}`: 2 modules of rank 6\n"
    assert set(lora.deltas(str(here / "model0"), str(tmp_path / "soup"))) == {
        "model.layers.0.mlp.down_proj",
        "model.layers.0.self_attn.q_proj",
    }


def test_says_what_a_rank_loses(here: Path, tmp_path: Path) -> None:
    made = run("--adapters", here / "a", here / "b", "-o", tmp_path / "soup", "--rank", 3, "--json")
    manifest = json.loads(made.stdout)
    assert manifest["command"] is not None
    lost, worst = manifest["lost"]["whole"], max(manifest["lost"]["modules"].values())
    assert 0 < lost <= worst < 1
    assert f"2 modules of rank 3; the rank loses {100 * lost:.3g} % of what all add" in made.stderr
    assert f"at most {100 * worst:.3g} % of one" in made.stderr


def test_a_plan_writes_nothing(here: Path, tmp_path: Path) -> None:
    asked = ("--adapters", f"{here / 'a'}=2", f"{here / 'b'}=1", "-o", tmp_path / "soup", "--plan")
    told = run(*asked)
    assert told.exit_code == 0
    assert "66.67 %" in told.stdout
    assert "modules  2 of rank 6" in told.stdout
    data = json.loads(run(*asked, "--json").stdout)
    assert [one["part"] for one in data["ingredients"]] == [2, 1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--dtype", "bf16"], "`--dtype` has no effect on adapters: leave it out"),
        (["--no-sync"], "`--sync` has no effect on adapters: leave it out"),
        (["--recipes", "grid.yaml"], "--recipes names its ingredients itself: give no others"),
        (["--rank", "0"], None),
    ],
)
def test_options_without_effect_are_refused(
    here: Path, tmp_path: Path, more: list[str], told: str | None
) -> None:
    result = run("--adapters", here / "a", "-o", tmp_path / "soup", *more)
    assert result.exit_code == 2
    assert told is None or f"error: {told}\n" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_rank_is_only_for_adapters_and_a_recipe_file_is_not(here: Path, tmp_path: Path) -> None:
    assert "--rank is for --adapters" in run(here / "a", "-o", tmp_path / "soup", "--rank", 2).stderr
    asked = run("--adapters", "recipe.yaml", "-o", tmp_path / "soup")
    assert (asked.exit_code, "no recipe file" in asked.stderr) == (2, True)


def test_what_is_wrong_ends_with_one(here: Path, tmp_path: Path) -> None:
    told = run("--adapters", here / "model0", tmp_path / "nothing", "-o", tmp_path / "soup")
    assert told.exit_code == 1
    assert (
        "it has no `adapter_config.json`" in run("--adapters", here / "model0", "-o", tmp_path / "x").stderr
    )


def test_a_soup_of_adapters_can_be_verified(here: Path, tmp_path: Path) -> None:
    soup = tmp_path / "soup"
    run("--adapters", here / "a", here / "b", "-o", soup)

    def look(*more: str) -> Result:
        return CliRunner().invoke(verify, [str(soup), *more], prog_name="soce verify")

    assert (look().exit_code, look().stdout) == (0, f"`{soup}`: as its manifest says\n")
    lora.change_config(str(soup), r=7)
    assert look().exit_code == 1
    assert look().stdout.startswith(f"`{soup}/adapter_config.json`: other bytes than the manifest says")
    assert json.loads(look("--json").stdout)["changed"] == ["adapter_config.json"]
    assert "--recompute is for soups of checkpoints" in look("--recompute").stderr
