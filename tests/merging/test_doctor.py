"""`soce doctor`: distances that are exact where they can be, and verdicts on real families and real strangers."""

from __future__ import annotations

import itertools
import json
import math
import os
import random
import struct
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests import real_models, reference
from tests.checkpoints import bf16, checkpoint, directory, f32, sparse, state_of, write_file
from tests.models import save

import soce
from soce.cli.doctor import doctor as command
from soce.exceptions import CheckpointError, RecipeError
from soce.merging.distances import measure_distances
from soce.merging.doctor import diagnose
from soce.merging.options import MergeOptions


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments], prog_name="soce doctor")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    assert "Traceback" not in result.stderr
    return result


def two(home: Path, a: Sequence[float], b: Sequence[float]) -> list[Path]:
    return [directory(home / "A", *a), directory(home / "B", *b)]


def matrix(*values: float) -> tuple[str, list[int], bytes]:
    return "F32", [2, len(values) // 2], f32(*values)


# ---- figures


def test_known_vectors_have_known_cosines(tmp_path: Path) -> None:
    paths = [str(path) for path in two(tmp_path, (3.0, 4.0), (4.0, 3.0))]
    base = str(directory(tmp_path / "base", 3.0, 0.0))
    found = measure_distances(paths, base=base)
    (pair,) = found.pairs
    assert (pair.first, pair.second) == tuple(paths)
    assert pair.cosine == 24 / 25
    assert pair.relative_distance == pytest.approx(math.sqrt(2) / 5, rel=1e-15)
    assert pair.matrix_cosine is None
    assert [(d.first, d.second, d.cosine) for d in found.to_base] == [(base, paths[0], 9 / 15), (base, paths[1], 12 / 15)]  # fmt: skip
    assert [d.relative_distance for d in found.to_base] == [4 / 3, math.sqrt(10) / 3]
    (task,) = found.task_vectors
    assert task.cosine == pytest.approx(12 / (4 * math.sqrt(10)), rel=1e-15)


def test_figures_are_those_of_exact_arithmetic(tmp_path: Path) -> None:
    random_ = random.Random(1)
    dtypes, counts = ("F32", "BF16", "F16", "F64"), (5, 14, 64, 301)
    values, paths = [], []
    for name in "ABC":
        tensors, flat = {}, []
        for dtype, count in zip(dtypes, counts, strict=True):
            bits = reference.pack([_bits(random_.gauss(1, 1), dtype) for _ in range(count)], dtype)
            tensors[f"{dtype}.w"] = (dtype, [count], bits)
            flat += _values(bits, dtype)
        values.append(flat)
        paths.append(str(checkpoint(tmp_path / name, tensors)))
    found = measure_distances(paths[:2], base=paths[2])
    a, b, base = values
    assert found.pairs[0].cosine == pytest.approx(_cosine(a, b), rel=1e-14)
    assert found.to_base[1].cosine == pytest.approx(_cosine(base, b), rel=1e-14)
    tasks = [[x - y for x, y in zip(vector, base, strict=True)] for vector in (a, b)]
    assert found.task_vectors[0].cosine == pytest.approx(_cosine(*tasks), rel=1e-13)
    apart = math.sqrt(sum(x * x for x in tasks[0]) / sum(x * x for x in base))
    assert found.to_base[0].relative_distance == pytest.approx(apart, rel=1e-14)
    assert found.pairs[0].n_elements == sum(counts)


def _bits(value: float, dtype: str) -> int:
    """Return bits of about `value`."""
    if dtype == "BF16":
        return int.from_bytes(struct.pack("<f", value)[2:], "little")
    code, size = {"F32": ("f", 4), "F16": ("e", 2), "F64": ("d", 8)}[dtype]
    return int.from_bytes(struct.pack(f"<{code}", value)[:size], "little")


def _values(data: bytes, dtype: str) -> list[Fraction]:
    if dtype == "BF16":
        data = b"".join(b"\0\0" + data[i : i + 2] for i in range(0, len(data), 2))
    code, size = {"BF16": ("f", 4), "F32": ("f", 4), "F16": ("e", 2), "F64": ("d", 8)}[dtype]
    return [Fraction(value) for value in struct.unpack(f"<{len(data) // size}{code}", data)]


def _cosine(a: Sequence[Fraction], b: Sequence[Fraction]) -> float:
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return float(dot) / math.sqrt(sum(x * x for x in a)) / math.sqrt(sum(x * x for x in b))


def test_a_copy_has_cosine_one_and_is_told(tmp_path: Path) -> None:
    paths = two(tmp_path, (0.1, 0.7, 1e-30), (0.1, 0.7, 1e-30))
    found = diagnose(paths)
    (pair,) = found.distances.pairs
    assert (pair.cosine, pair.relative_distance, pair.is_equal) == (1.0, 0.0, True)
    assert found.soupable
    assert found.warnings == (f"`{paths[0]}` and `{paths[1]}` hold the same values: souping both only adds to their weight",)  # fmt: skip


def test_nothing_depends_on_the_order(tmp_path: Path) -> None:
    random_ = random.Random(2)
    paths = []
    for name in "ABCD":
        tensors = {f"w{n}": matrix(*(random_.gauss(0, 1) for _ in range(34))) for n in range(5)}
        paths.append(str(checkpoint(tmp_path / name, tensors)))
    base = paths.pop()

    def figures(order: Sequence[str]) -> dict[object, object]:
        found = measure_distances(order, base=base)
        return {
            **{frozenset((d.first, d.second)): (d.cosine, d.matrix_cosine, d.relative_distance, d.worst) for d in (*found.pairs, *found.to_base)},
            **{("task", frozenset((d.first, d.second))): d.cosine for d in found.task_vectors},
        }  # fmt: skip

    first, *others = [figures(order) for order in itertools.permutations(paths)]
    assert len(first) == 9
    assert all(other == first for other in others)


def test_tensors_of_one_dimension_are_left_out_of_the_cosine_of_matrices(tmp_path: Path) -> None:
    norm = ("F32", [4], f32(1, 1, 1, 1))
    a = checkpoint(tmp_path / "A", {"norm": norm, "w": matrix(0.1, 0.0, 0.0, 0.0)})
    b = checkpoint(tmp_path / "B", {"norm": norm, "w": matrix(0.0, 0.1, 0.0, 0.0)})
    (pair,) = measure_distances([str(a), str(b)]).pairs
    assert pair.cosine == pytest.approx(4 / 4.01)
    assert pair.matrix_cosine == 0.0
    assert (pair.n_tensors, pair.n_equal, pair.independent) == (2, 1, ("w",))
    assert [found.tensor for found in pair.worst] == ["w", "norm"]


@pytest.mark.parametrize(("dtype", "value"), [("F64", 1e300), ("F32", 0.0)])
def test_what_is_undefined_is_none(dtype: str, value: float, tmp_path: Path) -> None:
    data = struct.pack("<d", value) * 3 if dtype == "F64" else f32(value, value, value)
    paths = [str(checkpoint(tmp_path / name, {"w": (dtype, [3], data)})) for name in "AB"]
    found = diagnose(paths)
    assert found.soupable
    assert found.distances.pairs[0].cosine is None
    assert found.distances.pairs[0].is_equal


def test_progress_ends_at_the_total_and_raising_stops(tmp_path: Path) -> None:
    paths = two(tmp_path, (1.0, 2.0), (1.0, 3.0))
    seen: list[tuple[int, int]] = []
    diagnose(paths, on_progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (16, 16)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        diagnose(paths, on_progress=stop)


def test_memory_does_not_grow_with_the_model(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    del resource
    code = (
        "import resource, sys\nfrom soce.merging.doctor import diagnose\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\ndiagnose(sys.argv[1:])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    grown = []
    for elements in (1 << 22, 1 << 26):
        paths = [str(sparse(tmp_path / f"{name}{elements}", "F16", elements, tensors=1)) for name in "AB"]
        done = subprocess.run(
            [sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True
        )
        grown.append(int(done.stdout) / 1024)
    assert max(grown) < 48, f"MiB beyond imports, for models of 8 and 128 MiB: {grown}"


# ---- verdicts


def test_strangers_are_told_in_groups(tmp_path: Path) -> None:
    values = {"A": (1.0, 0.0, 0.1, 0.0), "B": (1.0, 0.1, 0.0, 0.0), "C": (0.0, 0.0, 0.0, 1.0)}
    paths = [checkpoint(tmp_path / name, {"w": matrix(*found)}) for name, found in values.items()]
    found = diagnose(paths)
    assert not found.soupable
    (problem,) = found.problems
    a, b, c = paths
    assert (
        problem.message
        == f"these look like independent trainings: `{a}`, `{b}` | `{c}` (lowest cosine 0.000)"
    )
    assert problem.kind == "incompatible"
    assert found.verdict == "not soupable: 1 problem"


def test_a_low_cosine_is_a_warning(tmp_path: Path) -> None:
    paths = two(tmp_path, (1.0, 0.0), (0.3, 1.0))
    found = diagnose(paths)
    assert found.soupable
    assert found.warnings == (
        f"`{paths[0]}` and `{paths[1]}`: a cosine of 0.287 is low for trainings of one base, which mostly have "
        "more than 0.9: their average may be worse than either",
    )
    assert found.verdict == "soupable: 2 checkpoints agree, lowest cosine 0.287; 1 warning"


def test_a_new_head_is_named(tmp_path: Path) -> None:
    body = matrix(5.0, 5.0, 5.0, 5.0)
    heads = (matrix(1.0, 0.0, 0.0, 0.0), matrix(0.0, 1.0, 0.0, 0.0))
    paths = [
        checkpoint(tmp_path / n, {"body": body, "head": head}) for n, head in zip("AB", heads, strict=True)
    ]
    found = diagnose(paths)
    assert found.soupable
    assert found.warnings == ("`head`: cosines below 0.1 look like independent beginnings, as of new heads",)


def test_values_that_are_not_finite_are_counted_and_left_out(tmp_path: Path) -> None:
    paths = two(tmp_path, (3.0, 4.0, math.nan, math.inf, 9.0), (4.0, 3.0, 1.0, 1.0, math.inf))
    found = diagnose(paths, base=directory(tmp_path / "base", 3.0, 0.0, 1.0, 1.0, -math.inf))
    assert [str(problem) for problem in found.problems] == [
        f"`{paths[0]}`: tensor `w`: 2 of 5 values are not finite (1 NaN, 1 infinite); they count as zero in the distances",
        f"`{paths[1]}`: tensor `w`: 1 of 5 values are not finite (0 NaN, 1 infinite); they count as zero in the distances",
    ]
    assert found.distances.pairs[0].cosine == 24 / 25
    assert len(found.warnings) == 1
    assert "base`: tensor `w`: 1 of 5 values are not finite" in found.warnings[0]
    with pytest.raises(CheckpointError, match="not finite"):
        soce.merge(paths, output=tmp_path / "soup")


def test_many_tensors_that_are_not_finite_are_counted(tmp_path: Path) -> None:
    bad = {f"w{n:02}": ("F32", [1], f32(math.nan)) for n in range(25)}
    good = dict.fromkeys(bad, ("F32", [1], f32(1.0)))
    found = diagnose([checkpoint(tmp_path / "A", bad), checkpoint(tmp_path / "B", good)])
    assert len(found.problems) == 21
    assert str(found.problems[-1]) == f"`{tmp_path / 'A'}`: 5 more tensors have values that are not finite"


def test_what_a_merge_refuses_is_refused_all_at_once_and_the_rest_measured(tmp_path: Path) -> None:
    a = checkpoint(tmp_path / "A", {"embed_tokens.weight": matrix(1, 2, 3, 4), "w": matrix(1, 2, 3, 4)})
    other = {"embed_tokens.weight": ("F32", [1, 2], f32(1, 2)), "w": matrix(1, 2, 3, 5), "x": matrix(1, 1)}
    b = checkpoint(tmp_path / "B", other)
    for path, token in ((a, 0), (b, 1)):
        (path / "vocab.json").write_text(json.dumps({"token": token}))
    found = diagnose([a, b])
    told = "\n".join(f"{problem}" for problem in found.problems)
    for words in (
        "the vocabularies differ, 2 and 1 tokens",
        "tensor `x`: missing in",
        "maps tokens to other ids",
    ):
        assert words in told
    (pair,) = found.distances.pairs
    assert (pair.n_tensors, pair.n_unshared) == (1, 3)
    assert pair.cosine == pytest.approx(34 / math.sqrt(30 * 39))
    assert not diagnose([a, b], options=MergeOptions(allow_different_tokenizers=True)).soupable


def test_a_checkpoint_that_cannot_be_read_does_not_hide_the_others(tmp_path: Path) -> None:
    paths = two(tmp_path, (1.0, 2.0), (1.0, 3.0))
    codes = checkpoint(tmp_path / "codes", {"w": ("F8_E4M3", [2], b"\0\0")})
    found = diagnose([*paths, codes, tmp_path / "nowhere"], base=tmp_path / "no base")
    assert [problem.path for problem in found.problems] == [str(tmp_path / "nowhere"), f"{codes}/model.safetensors", str(tmp_path / "no base")]  # fmt: skip
    assert found.distances.pairs[0].cosine == pytest.approx(7 / math.sqrt(50))
    assert [checkpoint.path for checkpoint in found.checkpoints] == [str(path) for path in paths]


def test_warnings_of_the_plan_and_differences_of_configs_are_told(tmp_path: Path) -> None:
    a, b = two(tmp_path, (1.0, 2.0), (1.0, 3.0))
    config = {"model_type": "test", "rope": {"theta": 10000.0, "kind": "x"}, "only": 1, "dtype": "float32"}
    (a / "config.json").write_text(json.dumps(config))
    (b / "config.json").write_text(
        json.dumps(config | {"rope": {"theta": 5e5, "kind": "x"}, "dtype": "float16"})
    )
    (a / "chat_template.jinja").write_text("a")
    (b / "chat_template.jinja").write_text("b")
    found = diagnose([a, b])
    assert found.soupable
    assert any("chat template differs" in warning for warning in found.warnings)
    assert f"`{b}/config.json` differs from the one in `{a}`, which the soup gets: rope.theta (10000.0 and 500000.0)" in found.warnings  # fmt: skip
    (b / "config.json").write_text("[" * 100_000)
    assert not diagnose([a, b]).soupable


def test_a_link_out_of_a_checkpoint_is_followed_only_on_request(tmp_path: Path) -> None:
    a, b = two(tmp_path, (1.0, 2.0), (1.0, 3.0))
    (tmp_path / "elsewhere.json").write_text('{"model_type": "other"}')
    (b / "config.json").unlink()
    (b / "config.json").symlink_to(tmp_path / "elsewhere.json")
    assert not any("model_type" in problem.message for problem in diagnose([a, b]).problems)
    followed = diagnose([a, b], options=MergeOptions(follow_links=True))
    assert any("model_type" in problem.message for problem in followed.problems)


def test_a_base_may_have_another_head(tmp_path: Path) -> None:
    paths = two(tmp_path, (1.0, 2.0), (1.0, 3.0))
    tensors = {"w": ("BF16", [2], bf16(1.0, 2.0)), "head": ("BF16", [1], bf16(1.0))}
    base = write_file(tmp_path / "base.safetensors", tensors)
    found = diagnose(paths, base=base)
    assert found.soupable
    assert f"`{paths[1]}` and the base `{base}` share 1 tensor; 1 more are in one of them only, or in another shape" in found.warnings  # fmt: skip
    assert found.distances.task_vectors[0].cosine is None, "the first was not trained"


def test_trainings_are_compared_with_their_base(tmp_path: Path) -> None:
    a, b = two(tmp_path, (1.0, 0.0), (0.0, 1.0))
    found = diagnose([a], base=b)
    assert found.soupable
    assert found.warnings == (f"`{a}` does not look trained from the base: its cosine is 0.000",)
    assert found.verdict == "soupable: nothing speaks against it; 1 warning"
    assert diagnose([a], base=directory(tmp_path / "C", 1.0, 0.0)).warnings == (f"`{a}` holds the values of the base: it was not trained",)  # fmt: skip


def test_a_base_may_be_an_ingredient(tmp_path: Path) -> None:
    a, b = two(tmp_path, (1.0, 2.0, math.nan), (1.0, 3.0, 1.0))
    found = diagnose([a, b], base=f"{a}/")
    assert [problem.path for problem in found.problems] == [str(a)]
    assert found.warnings == ()
    assert (found.base, len(found.checkpoints)) == (str(a), 2)
    assert [round(d.cosine or 0, 6) for d in found.distances.to_base] == [1.0, round(7 / math.sqrt(50), 6)]


# ---- the command


def test_the_report_ends_with_the_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    two(Path(), (3.0, 4.0), (4.0, 3.0))
    directory(Path("base"), 3.0, 0.0)
    before = state_of(tmp_path)
    result = run("A", "B", "--base", "base")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "checkpoints",
        "     #  tensors  parameters  dtypes  path",
        "     1        1           2  F32     A",
        "     2        1           2  F32     B",
        "  base        1           2  F32     base",
        "",
        "distances over all parameters",
        "  pair      cosine  of matrices  distance  tensors  equal",
        "  1 – 2     0.9600            -     0.283        1      0",
        "  base – 1  0.6000            -      1.33        1      0",
        "  base – 2  0.8000            -      1.05        1      0",
        "",
        "task vectors (checkpoint - base)",
        "  pair   cosine",
        "  1 – 2  0.9487",
        "",
        "tensors with the lowest cosines",
        "  cosine  distance  pair      tensor",
        "  0.6000      1.33  base – 1  w",
        "  0.8000      1.05  base – 2  w",
        "  0.9600     0.283  1 – 2     w",
        "",
        "soupable: 2 checkpoints agree, lowest cosine 0.960",
    ]
    assert state_of(tmp_path) == before
    assert "lowest cosines" not in run("A", "B", "--worst", "0").stdout


def test_refusals_are_said_once_and_exit_with_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    two(Path(), (1.0, 0.0), (0.0, 1.0))
    result = run("A", "B")
    assert result.exit_code == 1
    assert result.stderr == (
        "error: these look like independent trainings: `A` | `B` (lowest cosine 0.000)\n\n"
        "hint: averaging them will not work: average checkpoints that were trained from one base\n"
    )
    assert result.stdout.endswith("\n\nnot soupable: 1 problem\n")
    nowhere = run("A", "nowhere")
    assert nowhere.exit_code == 1
    assert "error: `nowhere`: cannot be read" in nowhere.stderr


def test_json_is_all_of_stdout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    two(Path(), (1.0, 0.0), (0.0, math.inf))
    result = run("A", "B", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert (found["soupable"], found["verdict"]) == (False, "not soupable: 1 problem")
    assert found["ingredients"] == ["A", "B"]
    assert found["pairs"][0]["cosine"] is None
    assert found["not_finite"] == [{"path": "B", "tensor": "w", "nan": 0, "infinite": 1, "elements": 2}]
    assert found["problems"][0]["path"] == "B"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["A"], "one checkpoint only: give two or more, or one and its --base"),
        (["A", "B", "--worst", "-1"], None),
        ([], None),
    ],
)
def test_usage_errors_exit_with_2(arguments: list[str], message: str | None) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message is None or result.stderr.splitlines()[0] == f"error: {message}"


def test_one_checkpoint_twice_is_one(tmp_path: Path) -> None:
    a, _ = two(tmp_path, (1.0,), (2.0,))
    with pytest.raises(RecipeError, match="one checkpoint only"):
        diagnose([a, os.fspath(a) + "/"])
    assert run(a, a).exit_code == 1


def test_help_loads_little() -> None:
    code = (
        "import sys\nfrom soce.cli import main\nsys.argv = ['soce', 'doctor', '--help']\ntry: main()\n"
        "except SystemExit: pass\nprint([m for m in ('numpy', 'yaml', 'torch') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "--base" in done.stdout


# ---- real models


@pytest.fixture(scope="module")
def berts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    pytest.importorskip("torch")
    return real_models.berts(tmp_path_factory.mktemp("rxnfp"))


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    pytest.importorskip("torch")
    return real_models.networks(tmp_path_factory.mktemp("proteinmpnn"))


def test_real_trainings_of_one_base_are_soupable(berts: dict[str, Path], tmp_path: Path) -> None:
    base, *paths = [berts[f"common/{name}"] for name in real_models.BERTS]
    found = diagnose(paths, base=base)
    assert found.problems == ()
    assert [distance.n_tensors for distance in found.distances.to_base] == [199, 199]
    assert [round(d.cosine or 0, 3) for d in found.distances.to_base] == [0.976, 0.996]
    assert [round(d.relative_distance or 0, 3) for d in found.distances.to_base] == [0.216, 0.092]
    assert round(found.distances.task_vectors[0].cosine or 0, 2) == 0.09
    assert found.distances.pairs[0].worst[0].tensor == "pooler.dense.weight"
    assert (
        soce.merge(paths, output=tmp_path / "soup", options=soce.MergeOptions(sync=False)).counts["averaged"]
        == 199
    )


def test_real_figures_are_those_of_torch(berts: dict[str, Path]) -> None:
    import torch
    from safetensors.torch import load_file

    paths = [berts[f"common/{name}"] for name in real_models.BERTS]
    states = [load_file(path / "model.safetensors") for path in paths]
    a, b, c = (torch.cat([state[name].double().flatten() for name in sorted(state)]) for state in states)
    found = measure_distances([str(path) for path in paths[1:]], base=str(paths[0]))
    cosine = torch.nn.functional.cosine_similarity
    assert found.pairs[0].cosine == pytest.approx(float(cosine(b, c, dim=0)), rel=1e-12)
    assert found.task_vectors[0].cosine == pytest.approx(float(cosine(b - a, c - a, dim=0)), rel=1e-12)


def test_real_models_with_other_heads_and_names_are_refused(berts: dict[str, Path]) -> None:
    pretrained, plain, classifier = (berts[name] for name in real_models.BERTS)
    found = diagnose([pretrained, classifier])
    assert not found.soupable
    assert {problem.tensor for problem in found.problems} >= {"classifier.weight", "cls.predictions.bias"}
    assert found.distances.pairs[0].n_tensors == 199
    renamed = diagnose([plain, classifier])
    assert any("begin with `bert.`" in str(problem.hint) for problem in renamed.problems)
    based = diagnose([classifier, classifier.parent / "common" / classifier.name], base=pretrained)
    assert any("share 199 tensors; 10 more are" in warning for warning in based.warnings)


def test_real_strangers_of_one_shape_are_refused(networks: dict[str, list[Path]]) -> None:
    paths = networks["vanilla"] + networks["soluble"]
    assert len(paths) == 8
    soce.plan(paths, output=paths[0].parent / "soup")  # names, shapes and dtypes agree
    found = diagnose(paths)
    cosines = [distance.cosine or 0 for distance in found.distances.pairs]
    assert len(cosines) == 28
    assert (round(min(cosines), 3), round(max(cosines), 3)) == (0.006, 0.012)
    (problem,) = found.problems
    assert problem.message.startswith("these look like independent trainings: ")
    assert problem.message.count(" | ") == 7


def test_real_models_of_other_shapes_are_refused(networks: dict[str, list[Path]]) -> None:
    found = diagnose([networks["vanilla"][0], networks["ca"][0]])
    told = [str(problem) for problem in found.problems]
    assert any("expected shape" in problem for problem in told)
    assert any("missing in" in problem for problem in told)


@pytest.mark.filterwarnings("ignore")  # transformers' own
@pytest.mark.parametrize("kind", ["llama-untied", "bert"])
def test_small_strangers_are_told_although_their_norms_are_equal(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    found = diagnose(save(tmp_path, kind, "bfloat16", range(2)))
    (pair,) = found.distances.pairs
    assert pair.cosine is not None
    assert pair.cosine > 0.9, "gains of norms are one"
    assert not found.soupable
    assert "independent trainings" in found.problems[0].message
