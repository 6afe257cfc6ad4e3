"""Merges that read tensors over the network: the bytes of local ones, and nothing but small files is kept."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.checkpoints import shards
from tests.hubs import SIGNATURE, Hub

import soce
from soce.cli.doctor import doctor
from soce.cli.merge import merge as command
from soce.cli.verify import verify as verify_command
from soce.exceptions import SoceError
from soce.merging.merge import merge
from soce.merging.options import MergeOptions
from soce.merging.plan import plan
from soce.recipes.checkpoint_paths import find_checkpoint
from soce.remote.here import bring

pytest.importorskip("huggingface_hub")


def kept() -> list[str]:
    """Return the files of tensors in the Hub's cache."""
    return sorted(path.name for path in Path(os.environ["HF_HOME"]).rglob("*.safetensors"))


@pytest.fixture
def expected(served: Hub) -> dict[str, bytes]:
    """What a merge of the local folders writes."""
    merge([str(served.root / "org" / name) for name in "ab"], output="expected")
    return shards(Path("expected"))


def test_nothing_but_small_files_is_kept(served: Hub, expected: dict[str, bytes]) -> None:
    result = CliRunner().invoke(command, ["org/a", "hf://org/b@main", "-o", "soup"])
    assert result.exit_code == 0, result.output
    assert shards(Path("soup")) == expected
    assert kept() == []
    assert "16 B are streamed" in result.stderr
    text = Path("soup/soce.json").read_text()
    run = json.loads(text)["run"]
    assert [run["origins"][path].partition("@")[0] for path in run["ingredients"]] == [
        "hf://org/a",
        "hf://org/b",
    ]
    assert SIGNATURE not in text + result.output
    assert "hf://" not in Path("soup/mergekit_config.yml").read_text()
    assert '"org/b@main"' in Path("soup/mergekit_config.yml").read_text()
    assert Path("soup/tokenizer_config.json").read_text() == "{}"


def test_what_is_downloaded_is_kept(served: Hub, expected: dict[str, bytes]) -> None:
    merge(["org/a", "org/b"], output="soup", options=MergeOptions(remote="download"))
    assert shards(Path("soup")) == expected
    assert len(kept()) == 4


def test_a_plan_says_what_is_fetched_and_fetches_headers_alone(served: Hub) -> None:
    made = plan(["org/a", "org/b"], output="soup")
    assert made.data["bytes_to_fetch"] == 16
    assert [one["bytes_to_fetch"] for one in made.data["ingredients"]] == [8, 8]
    assert made.data["seconds_to_fetch"] == 0
    result = CliRunner().invoke(command, ["org/a", "-o", "soup", "--plan"])
    assert "fetched  8 B" in result.stdout
    assert "hf://org/a@" in result.stdout
    assert (
        "fetched"
        not in CliRunner().invoke(command, [str(served.root / "org/a"), "-o", "soup", "--plan"]).stdout
    )
    assert not Path("soup").exists()


def test_nothing_is_said_of_nothing(served: Hub) -> None:
    local = str(served.root / "org/a")
    result = CliRunner().invoke(command, [f"{local}=1", "org/b=0", "-o", "soup"])
    assert result.exit_code == 0, result.output
    assert "streamed" not in result.stderr
    result = CliRunner().invoke(verify_command, ["soup", "--recompute", local, "org/b"])
    assert "are streamed" in result.stderr
    assert str(served.root) not in result.stderr


def test_a_soup_is_computed_again_from_what_went_in(served: Hub, expected: dict[str, bytes]) -> None:
    merge(["org/a", "org/b"], output="soup", options=MergeOptions(digests="full"))
    assert soce.verify("soup", recompute=True).ok
    result = CliRunner().invoke(verify_command, ["soup", "--recompute", "org/a", "org/b"])
    assert result.exit_code == 0, result.output
    assert "are streamed" in result.stderr
    assert kept() == []
    assert soce.verify("soup", recompute=["org/a", "org/b"], remote="download").ok
    assert len(kept()) == 4


def test_a_url_that_expired_is_asked_for_again(served: Hub, expected: dict[str, bytes]) -> None:
    made = plan(["org/a", "org/b"], output="soup")
    served.faults.expired = 1
    made.execute()
    assert shards(Path("soup")) == expected


def test_a_shard_that_changed_is_refused(served: Hub) -> None:
    made = plan(["org/a", "org/b"], output="soup")
    served.faults.etag = "another"
    with pytest.raises(SoceError) as caught:
        made.execute()
    assert SIGNATURE not in str(caught.value)
    assert not Path("soup").exists()


def test_what_is_in_the_cache_already_is_not_fetched(served: Hub, expected: dict[str, bytes]) -> None:
    merge(["org/a"], output="one", options=MergeOptions(remote="download"))
    made = plan(["org/a", "org/b"], output="soup")
    assert made.data["bytes_to_fetch"] == 8
    made.execute()
    assert shards(Path("soup")) == expected
    assert len(kept()) == 2


def test_one_model_by_two_names(served: Hub) -> None:
    local = str(served.root / "org/a")
    merge({local: 3, str(served.root / "org/b"): 1}, output="expected")
    merge({"org/a": 1, "hf://org/a": 2, "org/b": 1}, output="soup")
    assert shards(Path("soup")) == shards(Path("expected"))


def test_another_word_for_remote_is_refused() -> None:
    with pytest.raises(SoceError, match=r"remote=\"stream\""):
        MergeOptions(remote="stay")  # type: ignore[arg-type]


def test_one_file_of_a_model_is_what_it_is_on_this_disk(served: Hub) -> None:
    file = "model-00001-of-00002.safetensors"
    merge([str(served.root / "org" / name / file) for name in "ab"], output="expected")
    names = [f"hf://org/{name}/{file}" for name in "ab"]
    merge(names, output="soup")
    assert shards(Path("soup")) == shards(Path("expected"))
    assert kept() == []
    assert soce.verify("soup", recompute=True).ok
    merge([*names, "org/a"], output="both", options=MergeOptions(take={"w1": "org/a"}))  # in one merge
    merge(names, output="downloaded", options=MergeOptions(remote="download"))
    assert shards(Path("downloaded")) == shards(Path("expected"))
    assert kept() == [file, file]
    assert merge(names, output="cached").bytes_written
    with pytest.raises(SoceError, match=r"`org/a` has no file `none\.safetensors`"):
        plan(["hf://org/a/none.safetensors"], output="x")


def test_the_mixer_takes_names(served: Hub) -> None:
    found, here = soce.Mixer(["org/a", "hf://org/b"]), soce.Mixer([served.root / "org" / n for n in "ab"])
    assert found.tensors() == here.tensors()
    ours, theirs = bytearray(4), bytearray(4)
    found.mix("w1", (1, 3), 4, ours)
    here.mix("w1", (1, 3), 4, theirs)
    assert ours == theirs


def test_a_server_without_ranges_is_told_with_what_mends_it(served: Hub) -> None:
    served.faults.ignore_range = True
    with pytest.raises(SoceError, match="the whole file came") as caught:
        merge(["org/a"], output="soup")
    assert "`--remote download`" in (caught.value.problems[0].hint or "")
    merge(["org/a"], output="soup", options=MergeOptions(remote="download"))


def test_people_read_short_names_of_what_is_cached(served: Hub) -> None:
    bring(["org/a", "org/b"])
    for words in (["org/a", "org/b", "-o", "soup"], ["org/a", "-o", "x", "--plan"]):
        result = CliRunner().invoke(command, words)
        assert result.exit_code == 0, result.output
        assert "snapshots" not in result.output
        assert re.search(r"org/a@[0-9a-f]{7}…", result.output)
    assert "models--org--a/snapshots/" in Path("soup/soce.json").read_text()
    result = CliRunner().invoke(doctor, ["org/a", "org/b"])
    assert re.search(r"org/b@[0-9a-f]{7}…$", result.stdout, re.MULTILINE)
    folder = Path(find_checkpoint("org/a"))
    (folder / "config.json").unlink()
    (folder / "config.json").write_text("[")
    result = CliRunner().invoke(command, ["org/a", "-o", "broken"])
    assert re.search(r"`org/a@[0-9a-f]{7}…/config\.json`", result.stderr), result.stderr
