"""Soups that do not stay on this disk: the bytes of a local merge, whole or absent, whatever ends the merge."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.checkpoints import bf16, checkpoint, shards, sparse
from tests.hub_uploads import Publishing, publishing
from tests.hubs import TOKEN

import soce
from soce.cli.merge import merge as command
from soce.exceptions import OutputError, SoceError
from soce.merging.sending import Sender
from soce.remote.prefix import ObjectPrefix

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the client's own
SHARDS = 4


@dataclass
class Away:
    """Where soups go in a test, and how to look at it."""

    name: str
    """What the output is called."""
    files: Callable[[], dict[str, bytes]]
    """What is there that others see."""
    sent: Callable[[], list[str]]
    """Every shard that came there, as often as it came."""
    damage: Callable[[str], None]
    """Take one shard away."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with two checkpoints of four shards."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    for name, value in (("A", 1.0), ("B", 3.0)):
        shards = [{f"w{i}": ("BF16", [4096], bf16(*[value, i] * 2048))} for i in range(SHARDS)]
        checkpoint(tmp_path / "here" / name, *shards)
        (tmp_path / "here" / name / "config.json").write_text('{"model_type": "llama"}')
    return tmp_path / "here"


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publishing]:
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with publishing(tmp_path / "hub") as found:
        monkeypatch.setenv("HF_ENDPOINT", found.endpoint)
        yield found


def there(served: Publishing, name: str = "org/soup") -> dict[str, bytes]:
    home = served.root / name
    return {str(p.relative_to(home)): p.read_bytes() for p in sorted(home.rglob("*")) if p.is_file()}


@pytest.fixture(params=["hub", "store"])
def away(request: pytest.FixtureRequest, here: Path) -> Away:
    if request.param == "hub":
        served: Publishing = request.getfixturevalue("served")

        def drop(shard: str) -> None:
            digest = hashlib.sha256((here / "expected" / shard).read_bytes()).hexdigest()
            (served.root / ".sent" / digest).unlink()

        return Away(
            "hf://org/soup",
            lambda: {name: file for name, file in there(served).items() if name != ".gitattributes"},
            lambda: [path.rpartition("/")[2] for method, path in served.asked if method == "PUT"],
            drop,
        )
    from obstore.store import from_url

    obstore = pytest.importorskip("obstore")
    name = f"{request.getfixturevalue('bucket')}/{uuid.uuid4().hex}/soup"
    prefix = name.removeprefix("s3://models/") + "/"
    store = from_url("s3://models")

    def files() -> dict[str, bytes]:
        found = [one["path"] for batch in obstore.list(store, prefix) for one in batch]
        return {path.removeprefix(prefix): bytes(obstore.get(store, path).bytes()) for path in found}

    def sent() -> list[str]:
        return [name for name in files() if name.endswith(".safetensors")]

    return Away(name, files, sent, lambda shard: obstore.delete(store, prefix + shard))


def expected(here: Path) -> dict[str, bytes]:
    """The files of the same soup made on this disk."""
    if not (here / "expected").exists():
        soce.merge(["A", "B"], output="expected")
    return {path.name: path.read_bytes() for path in (here / "expected").iterdir()}


def is_whole(here: Path, away: Away, tmp_path: Path) -> None:
    """What is there is the local soup, verified as whoever downloads it would."""
    files, local = away.files(), expected(here)
    assert files.keys() - {"README.md"} == local.keys()
    for name, content in local.items():
        if name == "soce.json":
            ours, theirs = (json.loads(text) for text in (files[name], content))
            assert ours["result"] == theirs["result"]
            assert ours["plan_digest"] == theirs["plan_digest"]
        else:
            assert files[name] == content, name
    copy = tmp_path / "copy"
    copy.mkdir()
    for name, content in files.items():
        (copy / name).write_bytes(content)
    assert soce.verify(copy).ok


def is_absent(away: Away) -> None:
    """Nobody would take what is there for a model."""
    files = away.files()
    assert not files.keys() & {"soce.json", "model.safetensors.index.json"}
    assert not files or away.name.startswith("s3")


def left_here(tmp_path: Path) -> list[str]:
    return [path.name for path in (tmp_path / "cache/soce/sending").iterdir()]


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many shards lay on this disk whenever one was sent."""
    seen: list[int] = []
    send = Sender.send

    def look(self: Sender, name: str, file: Path) -> str:
        seen.append(len([*file.parent.glob("*.safetensors")]))
        return send(self, name, file)

    monkeypatch.setattr(Sender, "send", look)
    return seen


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(one) for one in arguments], prog_name="soce-merge")


# ---- what is there, and what was here meanwhile


def test_a_soup_is_made_and_sent_shard_by_shard(
    here: Path, away: Away, tmp_path: Path, on_disk: list[int]
) -> None:
    told: list[tuple[int, int]] = []
    report = soce.merge(["A", "B"], output=away.name, on_progress=lambda *now: told.append(now))
    is_whole(here, away, tmp_path)
    assert len(on_disk) == SHARDS
    assert max(on_disk) <= 2
    assert left_here(tmp_path) == []
    assert [str(output) for output in report.outputs] == [away.name]
    assert json.loads(report.json)["outputs"] == [away.name]
    with pytest.raises(ValueError, match="not on this disk"):
        _ = report.output
    done = [now for now, _ in told]
    assert done == sorted(done)
    assert told[-1][0] == told[-1][1]


def test_the_same_again_is_there_already_and_anything_else_is_in_the_way(
    here: Path, away: Away, tmp_path: Path
) -> None:
    soce.merge(["A", "B"], output=away.name)
    before = away.files()
    n_sent = len(away.sent())
    assert soce.plan(["A", "B"], output=away.name).data["complete"] == [away.name]
    again = soce.merge(["A", "B"], output=away.name)
    assert again.did_nothing
    assert again.bytes_written == 0
    assert again.result_digests[0] == json.loads(before["soce.json"])["result_digest"]
    with pytest.raises(OutputError, match=r"holds files already|not of this merge"):
        soce.merge({"A": 2, "B": 1}, output=away.name)
    with pytest.raises(OutputError, match=r"holds files already|not of this merge"):
        soce.plan({"A": 2, "B": 1}, output=away.name)
    assert away.files() == before
    assert len(away.sent()) == n_sent
    assert left_here(tmp_path) == []


def test_a_plan_says_what_is_sent_and_changes_nothing(here: Path, away: Away) -> None:
    told = soce.plan(["A", "B"], output=away.name).data
    local = soce.plan(["A", "B"], output="soup").data
    shards = [shard["size"] for shard in local["shards"]]
    assert told["bytes_to_send"] == local["bytes_written"]
    assert told["disk_bytes"] == local["bytes_written"] - sum(shards) + max(map(sum, pairwise(shards)))
    assert local["disk_bytes"] == local["bytes_written"]
    assert (local["bytes_to_send"], told["outputs"][0]["path"]) == (0, away.name)
    assert away.files() == {}
    shown = run("A", "B", "-o", away.name, "--plan").stdout
    assert f"output {away.name}" in shown
    assert "sent " in shown
    assert "disk " in shown


# ---- whatever ends it


_KILLED = """
import os, signal, sys
from soce.merging.sending import Sender
from soce.remote.prefix import ObjectPrefix
verb, count, when = sys.argv[1], int(sys.argv[2]), sys.argv[3]
act = getattr(Sender, verb)
def acting(self, *given):
    global count
    count -= 1
    if count == 0 and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    found = act(self, *given)
    if count == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return found
setattr(Sender, verb, acting)
import soce
soce.merge(["A", "B"], output=sys.argv[4])
"""


@pytest.mark.parametrize(
    ("verb", "count", "when"),
    [
        ("send", 1, "before"),
        ("send", 1, "after"),
        ("send", 2, "after"),
        ("send", 4, "before"),
        ("complete", 1, "before"),
        ("complete", 1, "after"),
    ],
)
def test_a_killed_merge_goes_on_and_makes_nothing_again(
    here: Path, away: Away, tmp_path: Path, on_disk: list[int], verb: str, count: int, when: str
) -> None:
    given = [sys.executable, "-c", _KILLED, verb, str(count), when, away.name]
    killed = subprocess.run(given, capture_output=True, text=True, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    is_complete = (verb, when) == ("complete", "after")
    if not is_complete:
        is_absent(away)
    assert left_here(tmp_path) != []
    report = soce.merge(["A", "B"], output=away.name)
    is_whole(here, away, tmp_path)
    assert left_here(tmp_path) == []
    assert report.did_nothing == is_complete
    assert max(on_disk, default=0) <= 2
    # A shard that came there before its receipt was written down is found by its content on the Hub.
    if away.name.startswith("hf"):
        assert len(away.sent()) == SHARDS
    # Of those that were made, at most the one that was not finished is made again.
    assert report.reused_shards >= (0 if is_complete else count if verb == "send" else SHARDS)


def test_what_vanished_meanwhile_is_made_again(
    here: Path, away: Away, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected(here)
    with monkeypatch.context() as broken:
        broken.setattr(Sender, "complete", _interrupted)
        with pytest.raises(KeyboardInterrupt) as caught:
            soce.merge(["A", "B"], output=away.name)
    assert "4 of 4 shards are finished" in str(caught.value.__notes__[0])
    is_absent(away)
    away.damage("model-00002-of-00004.safetensors")
    report = soce.merge(["A", "B"], output=away.name)
    assert report.reused_shards == SHARDS - 1
    assert any("it is not where it was sent any more" in warning for warning in report.warnings)
    is_whole(here, away, tmp_path)


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_an_ingredient_that_changed_meanwhile_makes_another_soup_which_is_refused(
    here: Path, away: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(Sender, "complete", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            soce.merge(["A", "B"], output=away.name)
    with pytest.raises(SoceError, match=r"another plan|not of this merge"):
        soce.merge({"A": 2, "B": 1}, output=away.name)
    is_absent(away)


# ---- Ctrl-C


_HEED = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"


@pytest.mark.parametrize("target", ["hf://org/soup", "s3://models/soup"])
def test_ctrl_c_is_heeded_while_a_server_keeps_silent(here: Path, target: str) -> None:
    pytest.importorskip("obstore")
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        environment = {
            "HF_ENDPOINT": url,
            "HF_TOKEN": TOKEN,
            "AWS_ENDPOINT_URL": url,
            "AWS_ALLOW_HTTP": "true",
        }
        environment |= {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "here"}
        code = f"{_HEED}; from soce.cli import main_merge; main_merge()"
        process = subprocess.Popen(
            [sys.executable, "-c", code, "A", "B", "-o", target],
            stderr=subprocess.PIPE,
            env={**os.environ, **environment},
        )
        silent, _ = server.accept()
        with silent:
            begun = time.monotonic()
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)
        assert process.returncode == 130
        assert time.monotonic() - begun < 2


def test_ctrl_c_while_a_shard_is_sent_gives_the_upload_up(
    here: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a loop of events runs already, as in a notebook."""
    target = f"{bucket}/{uuid.uuid4().hex}"

    def stop(self: ObjectPrefix, *_: object) -> Coroutine[object, object, None]:
        async def endless() -> None:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(3600)

        return endless()

    with monkeypatch.context() as broken:
        broken.setattr(ObjectPrefix, "_put", stop)

        loop = asyncio.new_event_loop()  # which does not take the signal for itself, as `asyncio.run` does

        async def merge() -> None:
            soce.merge(["A", "B"], output=target)

        with pytest.raises(KeyboardInterrupt) as caught:
            loop.run_until_complete(merge())
        loop.close()
    assert "soce-sending" not in {thread.name for thread in threading.enumerate()}
    assert "of 4 shards are finished" in str(caught.value.__notes__[0])
    assert soce.merge(["A", "B"], output=target).reused_shards >= 1


# ---- what is told


def test_the_command_writes_a_card_and_says_where_the_soup_went(
    here: Path, served: Publishing, tmp_path: Path
) -> None:
    result = run("A=0.5", "B=0.5", "-o", "hf://org/soup", "--private")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "sent `hf://org/soup`:" in result.stderr
    assert served.private == {"org/soup"}
    assert len(served.commits) == 1
    files = there(served)
    assert files["README.md"].startswith(b"---\n")
    assert b"\n# `soup`\n" in files["README.md"]
    is_whole(here, _on(served), tmp_path)
    again = run("A=0.5", "B=0.5", "-o", "hf://org/soup", "--private")
    assert again.exit_code == 0
    assert "nothing was read or written" in again.stderr
    assert len(served.commits) == 1


def test_what_a_plan_tells_its_card_does_not_tell_again(here: Path, served: Publishing) -> None:
    for path, name, licence in (("A", "m-7b-base", "mit"), ("B", "m-7b-sft", "apache-2.0")):
        (here / path).rename(name)
        Path(name, "README.md").write_text(f"---\nlicense: {licence}\n---\n")
    result = run("m-7b-base", "m-7b-sft", "-o", "hf://org/soup")
    assert result.exit_code == 0, result.output
    said = " ".join(result.stderr.split())
    for text in ("different stages of training", "licences differ"):
        assert said.count(text) == 1
        assert text in there(served)["README.md"].decode()


def _on(served: Publishing) -> Away:
    files = {name: file for name, file in there(served).items() if name != ".gitattributes"}
    return Away("hf://org/soup", lambda: files, list, lambda _: None)


def test_a_branch_begins_empty_and_main_stays_as_it_is(
    here: Path, served: Publishing, tmp_path: Path
) -> None:
    soce.merge({"A": 2, "B": 1}, output="hf://org/soup")
    main = there(served)
    soce.merge(["A", "B"], output="hf://org/soup@equal")
    assert there(served) == main
    branch = there(served, ".revisions/equal/org/soup")
    assert branch.pop(".gitattributes")
    is_whole(here, Away("hf://org/soup@equal", lambda: branch, list, lambda _: None), tmp_path)
    with pytest.raises(OutputError, match="the branch holds files already"):
        soce.merge({"A": 3, "B": 1}, output="hf://org/soup@equal")
    assert soce.merge(["A", "B"], output="hf://org/soup@equal").did_nothing


def test_a_shard_of_many_pieces_arrives_whole(here: Path, bucket: str) -> None:
    sparse(here / "big", "F32", 6_000_000)
    target = f"{bucket}/{uuid.uuid4().hex}"
    told: list[int] = []
    soce.merge(["big"], output=target, on_progress=lambda done, _: told.append(done))
    soce.merge(["big"], output="local")
    soce.merge([target], output="back")
    assert shards(here / "back") == shards(here / "local")
    assert len(set(told)) > 2


@pytest.mark.parametrize(
    ("output", "said", "mend"),
    [
        ("hf://others/soup", "the Hub lets nobody write there (status 403)", "hf auth login"),
        ("hf://soup", "no name of a repository on the Hub", "hf://org/name"),
        ("hf://org/soup/folder", "no name of a repository on the Hub", "hf://org/name"),
        ("https://host/soup", "a web server takes no soups", "s3://"),
        ("s3://bucket", "a bucket, and no prefix in it", "s3://bucket/prefix"),
        ("ftp://host/soup", "`ftp://` is not known", "hf://"),
        ("s3://user:secret@bucket/soup", "a password", "s3://bucket/"),
    ],
)
def test_where_no_soup_can_go(here: Path, served: Publishing, output: str, said: str, mend: str) -> None:
    pytest.importorskip("obstore")
    result = run("A", "B", "-o", output)
    assert result.exit_code == 1
    assert said in result.stderr
    assert mend in result.stderr
    assert "secret" not in result.stderr
    assert len([line for line in result.stderr.splitlines() if line.startswith("error")]) == 1
    assert served.commits == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-o", "soup", "--private"], "`--private` with an output on this disk"),
        (["-o", "soup", "--work-dir", "w"], "`--work-dir` with an output on this disk"),
        (["-o", "s3://bucket/soup", "--private"], "`--private` is for repositories of the Hub"),
        (["-o", "hf://org/soup", "--overwrite"], "nothing is replaced there"),
        (["-o", "hf://org/lora", "--adapters"], "soups of adapters are made on this disk"),
    ],
)
def test_options_that_do_not_go_together(here: Path, arguments: list[str], said: str) -> None:
    pytest.importorskip("obstore")
    result = run("A", "B", *arguments)
    assert result.exit_code == 1
    assert said in result.stderr


def test_many_soups_are_made_here(here: Path) -> None:
    with pytest.raises(OutputError, match="many soups are made on this disk"):
        soce.merge_all({"one": soce.Recipe.of(["A", "B"])}, output="hf://org/soups")


@pytest.mark.parametrize(
    ("package", "output", "extra"),
    [("huggingface_hub", "hf://org/soup", "soce[hub]"), ("obstore", "s3://bucket/soup", "soce[s3]")],
)
def test_without_the_client_its_package_is_named(
    here: Path, monkeypatch: pytest.MonkeyPatch, package: str, output: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(OutputError) as caught:
        soce.plan(["A", "B"], output=output)
    assert extra in str(caught.value)


@pytest.mark.parametrize("fault", ["n_puts", "n_commits"])
def test_a_line_that_breaks_is_told_and_the_same_command_goes_on(
    here: Path, served: Publishing, tmp_path: Path, fault: str
) -> None:
    setattr(served, fault, 1)
    broken = run("A", "B", "-o", "hf://org/soup")
    assert broken.exit_code == 1
    said = {
        "n_puts": "run the same command again",
        "n_commits": "run this again: what was sent is not sent again",
    }
    assert [text in broken.stderr for text in said.values()] == [name == fault for name in said]
    assert there(served).keys() == {".gitattributes"}
    result = run("A", "B", "-o", "hf://org/soup")
    assert result.exit_code == 0
    assert "continuing `hf://org/soup`" in result.stderr
    is_whole(here, _on(served), tmp_path)
    assert left_here(tmp_path) == []


def test_where_shards_cannot_lie_the_option_for_it_is_named(here: Path, served: Publishing) -> None:
    Path("file").write_text("")
    result = run("A", "B", "-o", "hf://org/soup", "--work-dir", "file")
    assert result.exit_code == 1
    assert "error: `file`: shards cannot lie here: file exists" in result.stderr
    assert "hint: choose another folder with `--work-dir`" in result.stderr


def test_where_shards_do_not_fit_the_option_for_another_place_is_named(
    here: Path, served: Publishing, tmp_path: Path
) -> None:
    work = tmp_path / "small"
    work.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(work)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted")
    try:
        result = run("A", "B", "-o", "hf://org/soup", "--work-dir", str(work))
    finally:
        subprocess.run(["umount", str(work)], check=True)
    assert result.exit_code == 1
    assert "not enough space" in result.stderr
    assert "hint: make room, or choose another folder with `--work-dir`" in result.stderr


def test_no_network_is_told(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(OutputError, match=r"http://127\.0\.0\.1:9 cannot be reached"):
        soce.merge(["A", "B"], output="hf://org/soup")


def test_shards_lie_where_they_are_told_to_meanwhile(here: Path, served: Publishing, tmp_path: Path) -> None:
    options = soce.MergeOptions(work_dir=str(tmp_path / "work"))
    seen: list[Path] = []
    soce.merge(["A", "B"], output="hf://org/soup", options=options, finish=seen.append)
    assert seen[0].parent.parent == tmp_path / "work"
    assert seen[0].name == "soup"
    assert list((tmp_path / "work").iterdir()) == []
