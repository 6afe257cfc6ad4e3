"""Modes as the user's mask leaves them, and names as long and as odd as the filesystem takes them."""

from __future__ import annotations

import json
import os
import shutil
import stat
import struct
from pathlib import Path

import pytest
from tests.checkpoints import checkpoint, f32, read_directory, shards
from tests.faults.commands import (
    STATE_SUFFIX,
    Pair,
    beside,
    error,
    errors,
    ingredient,
    names,
    picture,
    run,
    run_apart,
    untouched,
    whole,
)

import soce
from soce.exceptions import OutputError

ODD = {
    "newline": "a\nerror: b",
    "escape": "a\x1b[2Jb",
    "return": "a\rb",
    "bidi": "a\u202eb",
    "space": "  a ",
    "dash": "-rf",
    "quote": "a'b\"`$(c)",
    "equals": "a=1",
    "not UTF-8": "a\udcff\udcfeb",
    "long in bytes": "\u00fc" * 121,
    "dots": "...",
    "percent": "%s{0}\\",
}


def modes(path: Path) -> dict[str, int]:
    """Return the mode of a directory and of everything in it."""
    found = [path, *path.rglob("*")]
    return {str(each.relative_to(path.parent)): stat.S_IMODE(each.stat().st_mode) for each in found}


@pytest.fixture
def rich(pair: Pair) -> Pair:
    """Return ingredients like the pair, whose first has everything that is copied, with odd modes."""
    first = pair.home / "rich"
    shutil.copytree(pair.a, first)
    (first / "additional_chat_templates").mkdir(mode=0o700)
    (first / "additional_chat_templates/tool.jinja").write_text("{{ x }}")
    (first / "LICENSE").write_text("free")
    (first / "modelling.py").write_text("pass")
    for n, path in enumerate(sorted(first.rglob("*"))):
        if path.is_file():
            path.chmod((0o400, 0o755, 0o640, 0o777, 0o600)[n % 5])
    return Pair(pair.home, first, pair.b)


# ---- modes


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o027, 0o077])
def test_every_file_and_directory_has_what_the_umask_leaves(rich: Pair, umask: int) -> None:
    """Directories inside directories, many soups and the folder that they lie in."""
    (rich.home / "grid.json").write_text(
        json.dumps({"ingredients": {"rich": str(rich.a), "b": str(rich.b)}, "recipes": [[1, 2], [2, 1]]})
    )
    folder = rich.home / "soups"
    done = run("--recipes", rich.home / "grid.json", "-o", folder, "-q", "--copy-code", umask=umask)
    assert done.returncode == 0, done.stderr
    found = modes(folder)
    assert {"soups", "soups/1-2/additional_chat_templates", "soups/2-1/modelling.py"} <= set(found)
    for name, mode in found.items():
        assert mode == (0o777 if (folder.parent / name).is_dir() else 0o666) & ~umask, name


def test_a_replaced_soup_and_one_in_an_empty_directory_have_the_same_modes(rich: Pair) -> None:
    for options in ([], ["--overwrite"]):
        done = rich.merge(rich.home / "soup", *options, umask=0o077 if not options else 0o007)
        assert done.returncode == 0, done.stderr
    assert set(modes(rich.home / "soup").values()) == {0o770, 0o660}
    (rich.home / "empty").mkdir(mode=0o700)
    assert rich.merge(rich.home / "empty", umask=0o022).returncode == 0
    assert set(modes(rich.home / "empty").values()) == {0o755, 0o644}


def test_a_umask_that_forbids_everything_to_oneself(rich: Pair) -> None:
    """Root does not notice; for everybody else nothing can be made inside what they make."""
    for path in rich.a.rglob("*"):
        path.chmod(0o755)
    done = rich.merge(rich.home / "soup", umask=0o777, powerless=True)
    line = error(done)
    assert "permission denied" in line.lower()
    assert not (rich.home / "soup").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives directories to groups that it is not in")
def test_the_group_of_a_setgid_parent_is_handed_down(rich: Pair) -> None:
    parent = rich.home / "team"
    parent.mkdir()
    os.chown(parent, -1, 65534)
    parent.chmod(0o2775)
    for options in ([], ["--overwrite"]):
        done = rich.merge(parent / "soup", *options, umask=0o002)
        assert done.returncode == 0, done.stderr
        for path in (parent / "soup", *(parent / "soup").rglob("*")):
            assert path.stat().st_gid == 65534
            assert stat.S_IMODE(path.stat().st_mode) == (0o2775 if path.is_dir() else 0o664), path


def test_a_default_access_list_takes_the_place_of_the_umask(rich: Pair) -> None:
    """As acl(5) has it: user rwx, group rwx, others nothing, whatever the mask."""
    parent = rich.home / "shared"
    parent.mkdir()
    entries = [(0x01, 7), (0x04, 7), (0x20, 0)]  # owner, owning group, others
    value = struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", tag, rights, 0xFFFFFFFF) for tag, rights in entries
    )
    try:
        os.setxattr(parent, "system.posix_acl_default", value)
    except OSError as reason:
        pytest.skip(f"no access lists on this filesystem: {reason}")
    done = rich.merge(parent / "soup", umask=0o077)
    assert done.returncode == 0, done.stderr
    for path in (parent / "soup", *(parent / "soup").rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) == (0o770 if path.is_dir() else 0o660), path


# ---- long names


def test_names_of_255_bytes(tmp_path: Path) -> None:
    """Shards and side files as long as a name can be, in a directory as long as a soup's can be."""
    longest = 255 - len(STATE_SUFFIX)
    files = ["x" * 243 + ".safetensors", "\u00fc" * 121 + "y.safetensors"]
    assert [len(name.encode()) for name in files] == [255, 255]
    paths = []
    for n, home in enumerate(("a" * 255, "b" * 255)):
        path = checkpoint(tmp_path / home, {"u": ("F32", [1], f32(n))}, {"w": ("F32", [1], f32(2 * n))})
        index = json.loads((path / "model.safetensors.index.json").read_text())
        for tensor, name in zip("uw", files, strict=True):
            (path / index["weight_map"][tensor]).rename(path / name)
            index["weight_map"][tensor] = name
        (path / "model.safetensors.index.json").write_text(json.dumps(index))
        (path / ("z" * 250 + ".json")).write_text("{}")
        paths.append(path)
    with untouched(*paths):
        line = error(run(*paths, "-o", tmp_path / ("s" * (longest + 1)), "-q"))
        assert f"{longest + 1} bytes, more than {longest}" in line
        line = error(run(*paths, "-o", tmp_path / ("\u00fc" * (longest // 2 + 1)), "-q"))
        assert f"bytes, more than {longest}" in line
        output = tmp_path / ("s" * longest)
        done = run(*paths, "-o", output, "-q")
    assert done.returncode == 0, done.stderr
    assert read_directory(output) == {"u": ("F32", [1], f32(0.5)), "w": ("F32", [1], f32(1))}
    assert {"z" * 250 + ".json", *files} <= set(names(output))
    assert beside(output) == []
    assert run(*paths, "-o", output, "-q", "--overwrite").returncode == 0


def test_a_name_of_256_bytes_is_refused(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "A", {"w": ("F32", [1], f32(1))})
    for place in (tmp_path / ("n" * 256), tmp_path / ("n" * 256) / "soup"):
        line = error(run(path, "-o", place, "-q"))
        assert "bytes" in line or "name too long" in line.lower()
    line = error(run(path, tmp_path / ("n" * 256), "-o", tmp_path / "soup", "-q"))
    assert "nnn" in line


def test_a_path_as_long_as_the_kernel_takes_it(pair: Pair) -> None:
    """The output itself fits into 4,095 bytes, and the shards inside its state directory do not."""
    deep = pair.home
    while len(os.fsencode(deep)) < 4095 - 210:
        deep /= "d" * 200
    deep /= "e" * (4095 - len("/soup") - 1 - len(os.fsencode(deep)))
    assert len(os.fsencode(deep / "soup")) == 4095
    here = os.open(pair.home, os.O_RDONLY)
    try:
        for part in deep.relative_to(pair.home).parts:
            os.mkdir(part, dir_fd=here)
            here, above = os.open(part, os.O_RDONLY, dir_fd=here), here
            os.close(above)
        line = error(pair.merge(deep / "soup"))
        assert "name too long" in line.lower()
        assert os.listdir(here) == []  # noqa: PTH208 - by descriptor
        # By a shorter name of the same place it can be done.
        done = run_apart(*pair.paths, "-o", "soup", "-q", preexec_fn=lambda: os.fchdir(here))
        assert done.returncode == 0, done.stderr
        assert os.listdir(here) == ["soup"]  # noqa: PTH208 - by descriptor
    finally:
        os.close(here)
        shutil.rmtree(pair.home / ("d" * 200))


# ---- odd names


@pytest.mark.parametrize("kind", ODD)
def test_an_output_and_ingredients_with_odd_names(pair: Pair, kind: str) -> None:
    """A soup under exactly that name, or a refusal that a terminal survives."""
    name = ODD[kind]
    first, output = pair.home / f"in {name}", pair.home / name
    try:
        shutil.copytree(pair.a, first)
    except OSError as reason:
        pytest.skip(f"this filesystem has no such names: {reason}")
    done = run_apart(f"{first}=1", f"{pair.b}=1", "-o", output, "--no-sync", "--json")
    assert not any(c < " " and c != "\n" for c in done.stderr), done.stderr
    assert not any(line.startswith("error: b") for line in done.stderr.splitlines())
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    assert read_directory(output) == pair.mean()
    assert beside(output) == []
    manifest = json.loads((output / "soce.json").read_text(encoding="utf-8"))
    assert len(manifest["sources"]) == 2
    again = run(pair.b, first, "-o", output, "-q")
    assert "already exists" in error(again)
    assert run(first, pair.b, "-o", output, "-q", "--overwrite").returncode == 0
    shutil.rmtree(first)
    lines = errors(run(first, pair.b, "-o", pair.home / "other", "-q"))
    assert len(lines) == 1


def test_odd_names_through_python(pair: Pair) -> None:
    for n, name in enumerate(ODD.values()):
        (pair.home / str(n)).mkdir()
        output = pair.home / str(n) / name
        report = soce.merge(
            [str(path) for path in pair.paths], output=output, options=soce.MergeOptions(sync=False)
        )
        assert report.output == output
        assert read_directory(output) == pair.mean()
        with pytest.raises(OutputError, match="already exists") as caught:
            soce.merge(
                [str(path) for path in reversed(pair.paths)],
                output=output,
                options=soce.MergeOptions(sync=False),
            )
        assert not any(c < " " and c != "\n" for c in str(caught.value))
        shutil.rmtree(output)


@pytest.mark.parametrize("kind", ["newline", "escape", "not UTF-8", "bidi", "quote"])
def test_side_files_with_odd_names(pair: Pair, kind: str) -> None:
    """Copied under exactly that name, or left out and listed, or refused: never under another name."""
    first = pair.home / "odd"
    shutil.copytree(pair.a, first)
    name = f"{ODD[kind]}.json"
    (first / name).write_text('{"odd": 1}')
    output = pair.home / "soup"
    done = run(first, pair.b, "-o", output, "--no-sync")
    assert not any(c < " " and c != "\n" for c in done.stderr), done.stderr
    if done.returncode:
        assert errors(done)
        assert not output.exists()
        return
    expected = {file.name for file in pair.a.iterdir()} | {"soce.json", "mergekit_config.yml"}
    found = set(names(output))
    manifest = json.loads((output / "soce.json").read_text(encoding="utf-8"))
    if name in found:
        assert (output / name).read_text() == '{"odd": 1}'
        assert found - expected - {"README.md"} == {name}
        assert run(first, pair.b, "-o", output, "-q", "--overwrite").returncode == 0
    else:
        assert found - expected - {"README.md"} == set()
        assert manifest["result"]["donor"]["left_out"] != []


def test_ingredients_in_a_directory_without_a_name(pair: Pair) -> None:
    done = run(".", pair.b, "-o", "../soup", "-q", "--no-sync", cwd=pair.a)
    assert done.returncode == 0, done.stderr
    assert read_directory(pair.home / "soup") == pair.mean()
    line = error(run(".", pair.b, "-o", ".", "-q", cwd=pair.a))
    assert "names no directory" in line or "is the ingredient" in line
    line = error(run(".", pair.b, "-o", "..", "-q", cwd=pair.a))
    assert "names no directory" in line or "contains the ingredient" in line
    line = error(run(".", pair.b, "-o", "/", "-q", cwd=pair.a))
    assert "names no directory" in line or "contains the ingredient" in line


# ---- names that differ in case only


def test_names_that_differ_in_case_only(tmp_path: Path) -> None:
    """Two files where the filesystem tells them apart; elsewhere nothing may be lost silently."""
    (tmp_path / "case").touch()
    if (tmp_path / "CASE").exists():
        pytest.skip("this filesystem does not tell names apart by case")
    paths = []
    for n, home in enumerate(("model", "Model")):
        path = checkpoint(tmp_path / home, {"w": ("F32", [1], f32(n))}, {"W": ("F32", [1], f32(4 + n))})
        index = json.loads((path / "model.safetensors.index.json").read_text())
        for tensor, name in (("w", "part.safetensors"), ("W", "Part.safetensors")):
            (path / index["weight_map"][tensor]).rename(path / name)
            index["weight_map"][tensor] = name
        (path / "model.safetensors.index.json").write_text(json.dumps(index))
        (path / "notes.json").write_text(f"[{n}]")
        (path / "Notes.json").write_text(f"[[{n}]]")
        paths.append(path)
    before = picture(*paths)
    recipes = {"soup": {str(paths[0]): 1, str(paths[1]): 1}, "SOUP": {str(paths[0]): 3, str(paths[1]): 1}}
    soce.merge_all(recipes, output=tmp_path / "soups", options=soce.MergeOptions(sync=False))
    assert read_directory(tmp_path / "soups/soup") == {
        "w": ("F32", [1], f32(0.5)),
        "W": ("F32", [1], f32(4.5)),
    }
    assert read_directory(tmp_path / "soups/SOUP") == {
        "w": ("F32", [1], f32(0.25)),
        "W": ("F32", [1], f32(4.25)),
    }
    assert (tmp_path / "soups/soup/notes.json").read_text() == "[0]"
    assert (tmp_path / "soups/soup/Notes.json").read_text() == "[[0]]"
    assert picture(*paths) == before


def test_many_tensors_of_any_name_do_not_meet_in_a_file_name(tmp_path: Path) -> None:
    """Names of tensors never become names of files."""
    names = ["../../etc/passwd", "a/b", "\x1b[2J", "\u202e", "x" * 4096, "", "\x00", ".", "model.safetensors"]
    tensors = {name: ("F32", [1], f32(n)) for n, name in enumerate(names)}
    paths = [checkpoint(tmp_path / home, tensors) for home in "AB"]
    done = run(*paths, "-o", tmp_path / "soup", "--max-shard-size", "16")
    assert done.returncode == 0, done.stderr
    assert read_directory(tmp_path / "soup") == tensors
    assert all(name.startswith("model-0000") for name in shards(tmp_path / "soup"))
    assert whole(tmp_path / "soup")["soce.json"]
    assert ingredient(tmp_path / "other", 1, shards=1, elements=1)
