"""Soups on the Hub: the real client against a small Hub; there whole or not at all, and never over something."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.adapter_files import adapter
from tests.checkpoints import directory, shards
from tests.hub_uploads import Publishing, publishing
from tests.hubs import TOKEN

import soce
from soce.adapters.soup import merge_adapters
from soce.cli.publish import publish as command
from soce.exceptions import CheckpointError, OutputError, SoceError
from soce.report.card.card import write_card
from soce.report.hub import publish_to_hub

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the client's own


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publishing]:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with publishing(tmp_path / "hub") as found:
        monkeypatch.setenv("HF_ENDPOINT", found.endpoint)
        yield found


@pytest.fixture
def soup(tmp_path: Path) -> Path:
    for name, value in (("A", 1.0), ("B", 3.0)):
        directory(tmp_path / name, value, 2.0)
    soce.merge([str(tmp_path / "A"), str(tmp_path / "B")], output=tmp_path / "soup")
    return tmp_path / "soup"


def there(served: Publishing, name: str = "org/soup") -> dict[str, bytes]:
    home = served.root / name
    return {str(p.relative_to(home)): p.read_bytes() for p in sorted(home.rglob("*")) if p.is_file()}


def told(
    soup: Path, target: str = "hf://org/soup", kind: type[SoceError] = OutputError, **given: bool
) -> str:
    with pytest.raises(kind) as caught:
        publish_to_hub(soup, target, **given)
    return str(caught.value)


def test_puts_a_soup_and_its_card_there_in_one_commit(served: Publishing, soup: Path) -> None:
    done: list[tuple[int, int]] = []
    made = publish_to_hub(soup, "hf://org/soup", on_progress=lambda *now: done.append(now))
    here = {str(p.relative_to(soup)): p.read_bytes() for p in soup.rglob("*") if p.is_file()}
    assert there(served) == {**here, ".gitattributes": (served.root / "org/soup/.gitattributes").read_bytes()}
    assert {"README.md", "soce.json", "model.safetensors", "config.json"} <= here.keys()
    assert served.commits == [(made.commit, "Add a soup of 2 checkpoints")]
    assert made.wrote_card
    assert made.files[-1] == "soce.json"
    assert done[-1] == (sum(map(len, here.values())),) * 2
    assert served.private == set()


def test_what_is_there_is_an_ingredient_like_any_other(
    served: Publishing, soup: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_to_hub(soup, "hf://org/soup")
    assert soce.verify(served.root / "org" / "soup").ok
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    soce.merge(["hf://org/soup"], output=tmp_path / "again")
    assert shards(tmp_path / "again") == shards(soup)


def test_a_private_one_is_private_from_the_beginning(served: Publishing, soup: Path) -> None:
    publish_to_hub(soup, "hf://org/soup", private=True)
    assert served.private == {"org/soup"}
    (served.root / "org" / "open").mkdir()
    (served.root / "org" / "open" / ".gitattributes").write_text("")
    assert "is there, and public" in told(soup, "hf://org/open", private=True)


def test_refuses_to_overwrite(served: Publishing, soup: Path) -> None:
    publish_to_hub(soup, "hf://org/soup")
    before, n_asked = there(served), len(served.asked)
    assert "holds files already: `README.md`" in told(soup)
    assert there(served) == before
    assert not [path for _, path in served.asked[n_asked:] if "preupload" in path or "commit" in path]


@pytest.mark.parametrize("fault", ["n_puts", "n_commits"])
def test_nothing_is_visible_until_the_commit_and_what_was_sent_is_not_sent_again(
    served: Publishing, soup: Path, fault: str
) -> None:
    setattr(served, fault, 1)
    assert "run this again" in told(soup) or fault == "n_puts"
    assert there(served).keys() == {".gitattributes"}
    n_sent = sum(method == "PUT" for method, _ in served.asked)
    publish_to_hub(soup, "hf://org/soup")
    again = sum(method == "PUT" for method, _ in served.asked) - n_sent
    assert again == (1 if fault == "n_puts" else 0)
    assert "soce.json" in there(served)


def test_a_commit_of_somebody_else_meanwhile_is_not_overwritten(served: Publishing, soup: Path) -> None:
    def meddle(*_: int) -> None:
        (served.root / "org/soup/config.json").write_text("theirs")

    with pytest.raises(OutputError, match="somebody else"):
        publish_to_hub(soup, "hf://org/soup", on_progress=meddle)
    assert there(served)["config.json"] == b"theirs"
    assert "soce.json" not in there(served)


def test_who_may_not_write_is_told_how_to(
    served: Publishing, soup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "lets nobody write there (status 403)" in told(soup, "hf://others/soup")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    said = told(soup)
    assert "hf auth login" in said
    assert "hf_wrong" not in said
    assert there(served) == {}


def test_no_network_is_told(served: Publishing, soup: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "http://127.0.0.1:9 cannot be reached" in told(soup)


@pytest.mark.parametrize(
    "target", ["org/soup", "hf://soup", "hf://org/soup@main", "hf://org/soup/folder", "s3://a/b"]
)
def test_only_names_of_repositories_are_targets(served: Publishing, soup: Path, target: str) -> None:
    said = told(soup, target)
    assert said.startswith(f"`{target}`: no name")
    assert "write `hf://org/name`" in said
    assert served.asked == []


def test_a_damaged_soup_is_not_published(served: Publishing, soup: Path) -> None:
    shard = soup / "model.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1] + b"\x55")
    assert "w" in told(soup, kind=CheckpointError)
    assert served.asked == []
    assert "soce.json" in told(soup.parent / "A", kind=CheckpointError)


def test_a_soup_of_adapters_is_published_as_well(served: Publishing, tmp_path: Path) -> None:
    both = [str(adapter(tmp_path / name)) for name in "ab"]
    merge_adapters(both, output=tmp_path / "soup")
    publish_to_hub(tmp_path / "soup", "hf://org/lora")
    assert served.commits[-1][1] == "Add a soup of 2 adapters"
    assert there(served, "org/lora").keys() == {
        ".gitattributes",
        *(p.name for p in (tmp_path / "soup").iterdir()),
    }
    with pytest.raises(SoceError, match="got its card when it was made"):
        write_card(tmp_path / "soup")
    (tmp_path / "soup" / "adapter_config.json").write_text("{}")
    said = told(tmp_path / "soup", "hf://org/other", CheckpointError)
    assert "`adapter_config.json`" in said


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(one) for one in arguments], prog_name="soce publish")


def test_the_command_says_where_it_is(served: Publishing, soup: Path) -> None:
    result = run(soup, "hf://org/soup")
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"wrote `{soup}/README.md`" in result.stderr
    assert f"published `{served.endpoint}/org/soup`" in result.stderr
    again = run(soup, "hf://org/soup")
    assert again.exit_code == 1
    assert "error: `hf://org/soup`: the repository holds files already" in again.stderr
    other = json.loads(run(soup, "hf://org/other", "--private", "--json").stdout)
    assert (other["id"], other["commit"]) == ("org/other", served.commits[-1][0])


def test_of_a_run_its_soup_is_published(served: Publishing, soup: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "search").mkdir(parents=True)
    none = CliRunner().invoke(command, [str(run), "hf://org/soup"])
    assert none.exit_code == 1
    assert "a run, and no soup is in it" in none.stderr
    soup.rename(run / "soup")
    result = CliRunner().invoke(command, [str(run), "hf://org/soup"])
    assert result.exit_code == 0, result.output
    assert shards(served.root / "org/soup") == shards(run / "soup")
