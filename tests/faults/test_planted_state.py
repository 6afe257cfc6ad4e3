"""State directories that somebody prepared: nothing outside them is touched, and no wrong soup comes of them."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.checkpoints import checkpoint, f32, read_directory
from tests.faults import tally
from tests.faults.commands import STATE_SUFFIX, names, picture

import soce
from soce.exceptions import CheckpointError, OutputError
from soce.merging.report import MergeReport

blake3 = pytest.importorskip("blake3").blake3

QUICK = soce.MergeOptions(sync=False, num_threads=1)
SHARDS = [f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)]
OTHER = 65534
"""A user that has nothing on any Linux."""
PRECIOUS = "what nobody may lose"


class Scene:
    """Two ingredients, a merge of them interrupted after two of three shards, and files that it must not touch."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.paths = []
        for name, values in (("A", (1.0, 2.0, float("nan"))), ("B", (3.0, 2.5, 4.0))):
            files = [{f"w{n}": ("F32", [2], f32(value, -value))} for n, value in enumerate(values)]
            self.paths.append(str(checkpoint(home / name, *files)))
        self.output, self.state = home / "soup", home / f"soup{STATE_SUFFIX}"
        self.payload = self.state / "payload"
        self.victims = home / "victims"
        self.victims.mkdir()
        for name in (*SHARDS, "plan.json", "journal.jsonl", "lock", "notes.txt"):
            (self.victims / name).write_text(PRECIOUS)
        self.finish(home / "expected")
        self.expected = self.result(home / "expected")
        with pytest.raises(CheckpointError, match="not finite"):
            soce.merge(self.paths, output=self.output, options=QUICK)
        assert names(self.payload) == SHARDS or names(self.payload) == SHARDS[:2]
        self.outside = self.look()

    def finish(self, output: Path, **options: object) -> MergeReport:
        """Merge to the end."""
        return soce.merge(self.paths, output=output, options=replace(QUICK, nonfinite="warn", **options))

    def try_to_finish(self, **options: object) -> soce.SoceError | None:
        """Merge to the end, or return why that was refused."""
        try:
            self.finish(self.output, **options)
        except soce.SoceError as error:
            return error
        return None

    def result(self, soup: Path) -> dict[str, object]:
        """Return what equal soups share."""
        files = {file.name: file.read_bytes() for file in soup.iterdir()}
        return files | {"soce.json": json.loads(files["soce.json"])["result"]}

    def look(self) -> dict[str, tuple[object, ...]]:
        """Return everything that is outside state directory and output."""
        here = [path for path in self.home.iterdir() if path not in (self.output, self.state)]
        found = picture(*here)
        # A hard link made by the test itself may be removed again, which is no change of the file.
        return {path: (*seen[:6], seen[7]) for path, seen in found.items()}

    def line(self, entry: dict[str, object]) -> bytes:
        """Return a line of the journal, with its check."""
        text = json.dumps(entry, separators=(",", ":"), ensure_ascii=False)
        return f'{{"check":"{blake3(text.encode()).hexdigest()[:16]}","entry":{text}}}\n'.encode()

    def entries(self) -> list[dict[str, object]]:
        """Return what the journal says."""
        return [json.loads(line)["entry"] for line in self.journal.read_bytes().splitlines()]

    def write(self, entries: list[dict[str, object]]) -> None:
        """Write a journal that says this."""
        self.journal.write_bytes(b"".join(map(self.line, entries)))

    @property
    def journal(self) -> Path:
        """The journal."""
        return self.state / "journal.jsonl"

    @property
    def plan(self) -> Path:
        """The plan."""
        return self.state / "plan.json"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    assert made.look() == made.outside, "something outside was touched"


def test_the_scene_is_what_the_cases_need(scene: Scene) -> None:
    """The line that these tests write is the program's, and left alone the run goes on with two shards."""
    assert b"".join(map(scene.line, scene.entries())) == scene.journal.read_bytes()
    assert [entry["entry"] for entry in scene.entries()] == ["begin", "shard", "shard"]
    assert scene.finish(scene.output).reused_shards == 2
    assert scene.result(scene.output) == scene.expected
    assert not scene.state.exists()


# ---- refused


def replaced(path: Path, make: Callable[[Path], object]) -> None:
    """Put something else in the place of a file or directory."""
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    make(path)


def in_state(name: str, make: Callable[[Scene, Path], object]) -> Callable[[Scene], None]:
    return lambda scene: replaced(scene.state / name, lambda path: make(scene, path))


def link(scene: Scene, path: Path) -> None:
    path.symlink_to(scene.victims / path.name)


def hard_link(scene: Scene, path: Path) -> None:
    os.link(scene.victims / path.name, path)


def fifo(scene: Scene, path: Path) -> None:
    os.mkfifo(path)


def device(scene: Scene, path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root makes devices")
    os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))  # /dev/zero


def directory(scene: Scene, path: Path) -> None:
    path.mkdir()
    (path / "notes.txt").write_text(PRECIOUS)


def unix_socket(scene: Scene, path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket has at most 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def state_as_link(scene: Scene) -> None:
    shutil.move(scene.state, scene.home / "elsewhere")
    scene.state.symlink_to("elsewhere")
    scene.outside = scene.look()


def state_as_file(scene: Scene) -> None:
    replaced(scene.state, lambda path: path.write_text(PRECIOUS))


def state_as_fifo(scene: Scene) -> None:
    replaced(scene.state, lambda path: os.mkfifo(path))


def payload_as_link(scene: Scene) -> None:
    shutil.rmtree(scene.payload)
    scene.payload.symlink_to(scene.victims)


def payload_as_link_to_itself_elsewhere(scene: Scene) -> None:
    shutil.move(scene.payload, scene.home / "elsewhere")
    scene.payload.symlink_to("../elsewhere")
    scene.outside = scene.look()


def extra_file(scene: Scene) -> None:
    (scene.state / "notes.txt").write_text(PRECIOUS)


def extra_file_in_payload(scene: Scene) -> None:
    (scene.payload / "notes.txt").write_text(PRECIOUS)


def extra_file_in_a_directory(scene: Scene) -> None:
    (scene.payload / "additional_chat_templates").mkdir()
    (scene.payload / "additional_chat_templates/notes.jinja").write_text(PRECIOUS)


def extra_link_in_payload(scene: Scene) -> None:
    (scene.payload / "config.json").symlink_to(scene.victims / "notes.txt")


def extra_deep_directory(scene: Scene) -> None:
    (scene.payload / "a/b/c").mkdir(parents=True)
    (scene.payload / "a/b/c/notes.txt").write_text(PRECIOUS)


def edited_plan(scene: Scene) -> None:
    text = scene.plan.read_text()
    assert '"parts":[1,1]' in text
    scene.plan.write_text(text.replace('"parts":[1,1]', '"parts":[2,1]'))


def edited_plan_and_journal(scene: Scene) -> None:
    """Both agree with each other, and not with what is asked for."""
    edited_plan(scene)
    digest = blake3(scene.plan.read_bytes()).hexdigest()
    entries = scene.entries()
    entries[0]["plan"] = digest
    scene.write(entries)


def plan_that_lists_more_files(scene: Scene) -> None:
    """To have `notes.txt` and what lies above taken for the run's own."""
    plan = json.loads(scene.plan.read_text())
    plan["files"] = sorted([*plan["files"], "notes.txt", "../../victims/notes.txt"])
    scene.plan.write_text(json.dumps(plan, sort_keys=True, separators=(",", ":")))
    entries = scene.entries()
    entries[0]["plan"] = blake3(scene.plan.read_bytes()).hexdigest()
    scene.write(entries)
    (scene.payload / "notes.txt").write_text(PRECIOUS)


def plan_removed(scene: Scene) -> None:
    scene.plan.unlink()


def plan_of_nonsense(scene: Scene) -> None:
    scene.plan.write_bytes(b"\xff\x00[")


def bad_line_in_the_middle(scene: Scene) -> None:
    lines = scene.journal.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b"00001", b"00002")
    scene.journal.write_bytes(b"".join(lines))


def two_plans_in_one_journal(scene: Scene) -> None:
    entries = scene.entries()
    scene.write([*entries, entries[0] | {"plan": "0" * 64}])


def tainted(scene: Scene) -> None:
    scene.write([*scene.entries(), {"entry": "tainted", "reason": "a\x1b[2J was changed"}])


def journal_of_another_run(scene: Scene) -> None:
    entries = scene.entries()
    entries[0]["plan"] = "0" * 64
    scene.write(entries)


REFUSED: dict[str, Callable[[Scene], None]] = {
    "state is a link": state_as_link,
    "state is a file": state_as_file,
    "state is a FIFO": state_as_fifo,
    "payload is a link to files of others": payload_as_link,
    "payload is a link to itself elsewhere": payload_as_link_to_itself_elsewhere,
    "payload is a file": in_state("payload", lambda scene, path: path.write_text(PRECIOUS)),
    **{
        f"{name} is a {kind}": in_state(name, make)
        for name in ("lock", "plan.json", "journal.jsonl", f"payload/{SHARDS[0]}")
        for kind, make in {
            "link": link,
            "FIFO": fifo,
            "device": device,
            "directory": directory,
            "socket": unix_socket,
        }.items()
    },
    **{
        f"{name} is a hard link": in_state(name, hard_link) for name in ("lock", "plan.json", "journal.jsonl")
    },
    "an extra file": extra_file,
    "an extra file in the payload": extra_file_in_payload,
    "an extra file in a directory of the payload": extra_file_in_a_directory,
    "an extra link in the payload": extra_link_in_payload,
    "an extra deep directory": extra_deep_directory,
    "an edited plan": edited_plan,
    "an edited plan and a journal that agrees": edited_plan_and_journal,
    "a plan that lists more files": plan_that_lists_more_files,
    "no plan": plan_removed,
    "a plan of nonsense": plan_of_nonsense,
    "a bad line in the middle": bad_line_in_the_middle,
    "two plans in one journal": two_plans_in_one_journal,
    "tainted": tainted,
    "a journal of another run": journal_of_another_run,
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_planted_state_is_refused_with_a_hint(scene: Scene, kind: str) -> None:
    REFUSED[kind](scene)
    before = inside(scene)
    for options in ({}, {"overwrite": True}):
        with pytest.raises(OutputError) as caught:
            scene.finish(scene.output, **options)
        (problem,) = caught.value.problems
        assert "remove it by hand" in problem.hint or "`--restart`" in problem.hint
        assert not any(c < " " and c != "\n" for c in str(caught.value))
        assert not scene.output.exists()
        assert inside(scene) == before, "what was planted is evidence"
        assert scene.look() == scene.outside
    restarted(scene)
    tally.record("R8 planted state, refused", case=kind, refused=2, touched_outside=0)


def inside(scene: Scene) -> dict[str, object]:
    """Return what is in the state directory, but for times, which locking changes, and the lock if it is a plain file."""
    found = {path: (*seen[:4], *seen[5:]) for path, seen in picture(scene.state).items()}
    lock = scene.state / "lock"
    if lock.is_file() and not lock.is_symlink() and lock.stat().st_nlink == 1:
        del found[str(lock)]
    return found


def restarted(scene: Scene) -> None:
    """`restart=True` makes the soup, or it refuses too; then removing by hand helps. Nothing outside is touched."""
    try:
        scene.finish(scene.output, restart=True)
    except OutputError:
        assert not scene.output.exists()
        assert scene.look() == scene.outside
        if scene.state.is_dir() and not scene.state.is_symlink():
            shutil.rmtree(scene.state)
        else:
            scene.state.unlink()
        scene.finish(scene.output)
    assert scene.result(scene.output) == scene.expected
    assert not os.path.lexists(scene.state)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes what belongs to others")
@pytest.mark.parametrize(
    "name", [".", "lock", "plan.json", "journal.jsonl", "payload", f"payload/{SHARDS[0]}"]
)
def test_what_belongs_to_others_is_refused_or_made_again(scene: Scene, name: str) -> None:
    os.chown(scene.state / name, OTHER, OTHER)
    before = inside(scene)
    error = scene.try_to_finish()
    if error is not None:
        assert "another user" in str(error)
        assert error.problems[0].hint
        assert not scene.output.exists()
        assert inside(scene) == before
    else:
        assert name.startswith("payload/")
        assert scene.result(scene.output) == scene.expected
        assert all(path.stat().st_uid == os.geteuid() for path in (scene.output, *scene.output.iterdir()))


# ---- made again


def flipped(scene: Scene, n: int, where: int) -> None:
    shard = scene.payload / SHARDS[n]
    content = bytearray(shard.read_bytes())
    content[where] ^= 1
    shard.write_bytes(content)


def cut(scene: Scene) -> None:
    shard = scene.payload / SHARDS[1]
    os.truncate(shard, shard.stat().st_size - 1)


def grown(scene: Scene) -> None:
    with (scene.payload / SHARDS[1]).open("ab") as file:
        file.write(b"\0")


def zeros(scene: Scene) -> None:
    shard = scene.payload / SHARDS[1]
    shard.write_bytes(bytes(shard.stat().st_size))


def unlinked(scene: Scene) -> None:
    (scene.payload / SHARDS[1]).unlink()


def swapped(scene: Scene) -> None:
    one, two = (scene.payload / name for name in SHARDS[:2])
    one.rename(scene.home / "x")
    two.rename(one)
    (scene.home / "x").rename(two)


def shard_with_a_second_name(scene: Scene) -> None:
    """Its bytes are right, but whoever has the other name can change them afterwards."""
    os.link(scene.payload / SHARDS[1], scene.home / "second name")
    scene.outside = scene.look()


def unfinished_shard_linked_to_a_victim(scene: Scene) -> None:
    (scene.payload / SHARDS[2]).unlink(missing_ok=True)
    os.link(scene.victims / SHARDS[2], scene.payload / SHARDS[2])


def torn_last_line(scene: Scene) -> None:
    scene.journal.write_bytes(scene.journal.read_bytes()[:-10])


def journal_torn_early(scene: Scene) -> None:
    lines = scene.journal.read_bytes().splitlines(keepends=True)
    scene.journal.write_bytes(
        lines[0] + lines[1][:-20] + lines[2]
    )  # without the end of the line, one torn line


def nonsense_as_last_line(scene: Scene) -> None:
    with scene.journal.open("ab") as file:
        file.write(b"\xff\x00 no newline")


def journal_claims_what_is_not_there(scene: Scene) -> None:
    entries = scene.entries()
    scene.write([*entries, entries[1] | {"name": SHARDS[2]}])
    (scene.payload / SHARDS[2]).unlink(missing_ok=True)


def journal_claims_names_elsewhere(scene: Scene) -> None:
    """Names that lead out of the payload, and one that no shard has."""
    entries = scene.entries()
    names = ["../../victims/notes.txt", "/etc/passwd", "..", "", "model-00009-of-00003.safetensors", "a\nb"]
    scene.write([*entries, *(entries[1] | {"name": name} for name in names)])


def journal_claims_other_digests(scene: Scene) -> None:
    entries = scene.entries()
    entries[2]["tensors"][0]["blake3"] = "0" * 64
    scene.write(entries)


def journal_claims_no_tensors(scene: Scene) -> None:
    entries = scene.entries()
    entries[2]["tensors"] = []
    scene.write(entries)


def journal_claims_too_many_tensors(scene: Scene) -> None:
    entries = scene.entries()
    entries[2]["tensors"] *= 3
    scene.write(entries)


def journal_claims_no_digest(scene: Scene) -> None:
    entries = scene.entries()
    del entries[2]["tensors"][0]["blake3"]
    scene.write(entries)


def journal_knows_no_inputs(scene: Scene) -> None:
    entries = scene.entries()
    entries[0]["inputs"] = []
    scene.write(entries)


def rewritten_input(scene: Scene, *, ingredient: int = 1, shard: int = 1) -> None:
    """Other bytes under the same header, size and time: only the inode's own time tells."""
    file = Path(scene.paths[ingredient], SHARDS[shard])
    before = file.stat()
    content = bytearray(file.read_bytes())
    content[-1] ^= 0x40
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    scene.outside = scene.look()
    scene.finish(scene.home / "expected", overwrite=True)
    scene.outside = scene.look()
    scene.expected = scene.result(scene.home / "expected")


def replaced_input(scene: Scene) -> None:
    """Another file with the same bytes and time has its name."""
    file = Path(scene.paths[1], SHARDS[1])
    shutil.copy2(file, scene.home / "copy")
    (scene.home / "copy").replace(file)
    scene.outside = scene.look()


MADE_AGAIN: dict[str, tuple[int, Callable[[Scene], None]]] = {
    "a flipped byte of data": (1, lambda scene: flipped(scene, 1, -1)),
    "a flipped byte of the header": (1, lambda scene: flipped(scene, 0, 20)),
    "a flipped byte of the length": (1, lambda scene: flipped(scene, 0, 0)),
    "a flipped byte in both": (0, lambda scene: (flipped(scene, 0, -3), flipped(scene, 1, -3))),
    "cut": (1, cut),
    "grown": (1, grown),
    "zeros": (1, zeros),
    "unlinked": (1, unlinked),
    "swapped": (0, swapped),
    "a shard with a second name": (1, shard_with_a_second_name),
    "an unfinished shard that is somebody's file": (2, unfinished_shard_linked_to_a_victim),
    "a torn last line": (1, torn_last_line),
    "a journal torn after its first line": (0, journal_torn_early),
    "nonsense as last line": (2, nonsense_as_last_line),
    "a journal that claims what is not there": (2, journal_claims_what_is_not_there),
    "a journal that names files elsewhere": (2, journal_claims_names_elsewhere),
    "a journal with other digests": (1, journal_claims_other_digests),
    "a journal without tensors": (1, journal_claims_no_tensors),
    "a journal with too many tensors": (1, journal_claims_too_many_tensors),
    "a journal without a digest": (1, journal_claims_no_digest),
    "a journal that knows no inputs": (0, journal_knows_no_inputs),
    "an input rewritten, its time restored": (1, rewritten_input),
    "an input of the unfinished shard rewritten": (2, lambda scene: rewritten_input(scene, shard=2)),
    "an input replaced by its copy": (1, replaced_input),
}


@pytest.mark.parametrize("kind", MADE_AGAIN)
def test_what_cannot_be_trusted_is_made_again(scene: Scene, kind: str) -> None:
    reused, plant = MADE_AGAIN[kind]
    plant(scene)
    report = scene.finish(scene.output)
    assert report.reused_shards == reused
    assert scene.result(scene.output) == scene.expected
    assert not scene.state.exists()
    for file in scene.output.iterdir():
        assert (file.is_symlink(), file.stat().st_nlink) == (False, 1)
    tally.record("R8 planted state, made again", case=kind, reused_shards=reused, soups_right=1)


def test_a_shard_that_is_an_ingredients_by_a_hard_link(scene: Scene) -> None:
    """Taking the name away changes the ingredient's inode, so the run may rightly say that it changed."""
    (scene.payload / SHARDS[1]).unlink()
    os.link(Path(scene.paths[1], SHARDS[1]), scene.payload / SHARDS[1])
    error = scene.try_to_finish()
    if error is not None:
        assert "`--restart`" in "".join(
            [*(problem.hint or "" for problem in error.problems), *error.__notes__]
        )
        assert not scene.output.exists()
        assert scene.look() == scene.outside
        scene.finish(scene.output, restart=True)
    assert scene.result(scene.output) == scene.expected


# ---- the last moments


def ready(scene: Scene, payload: Path) -> None:
    """Let the journal say that this directory is complete."""
    found = payload.stat()
    scene.write([*scene.entries(), {"entry": "ready", "payload": [found.st_dev, found.st_ino]}])


def kept_state(scene: Scene) -> None:
    """Publish the soup, and put back what a run killed before cleaning leaves."""
    shutil.copytree(scene.state, scene.home / "kept")
    scene.finish(scene.output)
    (scene.home / "kept").rename(scene.state)
    shutil.rmtree(scene.payload)


def test_killed_before_cleaning(scene: Scene) -> None:
    kept_state(scene)
    ready(scene, scene.output)
    inode = scene.output.stat().st_ino
    report = scene.finish(scene.output)
    assert report.complete_before == (scene.output,)
    assert scene.output.stat().st_ino == inode
    assert scene.result(scene.output) == scene.expected
    assert not scene.state.exists()


def test_ready_without_payload_and_without_output(scene: Scene) -> None:
    ready(scene, scene.payload)
    shutil.rmtree(scene.payload)
    assert scene.finish(scene.output).complete_before == ()
    assert scene.result(scene.output) == scene.expected


def test_ready_with_the_payload_of_another_plan(scene: Scene) -> None:
    """A whole soup, but not the one that was asked for, lies where the payload was."""
    soce.merge(
        {scene.paths[0]: 5, scene.paths[1]: 1},
        output=scene.home / "other",
        options=replace(QUICK, nonfinite="warn"),
    )
    shutil.rmtree(scene.payload)
    (scene.home / "other").rename(scene.payload)
    ready(scene, scene.payload)
    scene.outside = scene.look()
    assert scene.finish(scene.output).reused_shards == 0
    assert scene.result(scene.output) == scene.expected


def test_an_empty_directory_with_the_number_of_the_lost_soup(scene: Scene) -> None:
    """Killed before cleaning; then the soup was removed and the name made again: inodes are given out again."""
    ready(scene, scene.payload)
    scene.output.mkdir()
    ready_id = scene.output.stat()
    entries = scene.entries()
    entries[-1]["payload"] = [ready_id.st_dev, ready_id.st_ino]
    scene.write(entries)
    shutil.rmtree(scene.payload)
    report = scene.finish(scene.output)
    assert report.complete_before == ()
    assert scene.result(scene.output) == scene.expected


def test_another_soup_with_the_number_of_the_lost_one(scene: Scene) -> None:
    """The same, but somebody has put another soup there: it is not ours, and it is not touched."""
    soce.merge(
        {scene.paths[0]: 5, scene.paths[1]: 1},
        output=scene.home / "other",
        options=replace(QUICK, nonfinite="warn"),
    )
    (scene.home / "other").rename(scene.output)
    ready(scene, scene.output)
    shutil.rmtree(scene.payload)
    before = picture(scene.output)
    with pytest.raises(OutputError, match="already exists"):
        scene.finish(scene.output)
    assert picture(scene.output) == before
    scene.finish(scene.output, overwrite=True)
    assert scene.result(scene.output) == scene.expected


def test_files_of_others_survive_the_cleaning_after_a_commit(scene: Scene) -> None:
    """What no run puts into a state directory is somebody's, also when the soup is complete."""
    kept_state(scene)
    scene.payload.mkdir()
    (scene.payload / "notes.txt").write_text(PRECIOUS)
    ready(scene, scene.output)
    error = scene.try_to_finish()
    assert error is None or "notes.txt" in str(error)
    assert (scene.payload / "notes.txt").read_text() == PRECIOUS


def test_a_directory_called_like_an_old_soup_survives_the_cleaning(scene: Scene) -> None:
    """Only what two renames put there is removed there."""
    kept_state(scene)
    ready(scene, scene.output)
    old = scene.home / "soup.soce-old"
    old.mkdir()
    (old / "notes.txt").write_text(PRECIOUS)
    scene.outside = scene.look()
    error = scene.try_to_finish()
    assert error is None or "soup.soce-old" in str(error)
    assert (old / "notes.txt").read_text() == PRECIOUS


@pytest.mark.parametrize("kind", ["link", "file", "directory"])
def test_something_called_like_an_old_soup_is_in_the_way(scene: Scene, kind: str) -> None:
    old = scene.home / "soup.soce-old"
    match kind:
        case "link":
            old.symlink_to(scene.victims)
        case "file":
            old.write_text(PRECIOUS)
        case "directory":
            shutil.copytree(scene.victims, old)
    scene.write([*scene.entries(), {"entry": "swap"}])
    scene.outside = scene.look()
    for options in ({}, {"overwrite": True}, {"restart": True}):
        with pytest.raises((OutputError, OSError)):
            scene.finish(scene.output, **options)
        assert os.path.lexists(old)


def test_an_exchange_that_never_was(scene: Scene) -> None:
    """A journal that speaks of an exchange alone makes nothing appear."""
    scene.write([*scene.entries(), {"entry": "swap"}])
    scene.finish(scene.output)
    assert scene.result(scene.output) == scene.expected


def test_a_journal_of_the_wildest_numbers(scene: Scene) -> None:
    for entry in (
        {"entry": "ready", "payload": [2**64 - 1, 2**64 - 1]},
        {"entry": "ready", "payload": [0, 0]},
        {
            "entry": "begin",
            "plan": scene.entries()[0]["plan"],
            "inputs": [[[2**64 - 1, 2**64 - 1, -(2**63)]] * 1000] * 10,
        },
    ):
        scene.write([*scene.entries()[:3], entry])
        with pytest.raises(CheckpointError, match="not finite"):
            soce.merge(scene.paths, output=scene.output, options=QUICK)
    scene.finish(scene.output)
    assert scene.result(scene.output) == scene.expected
    assert read_directory(scene.output)
