"""Time a whole merge against the floor of the machine, a torch loop and mergekit. `make bench` runs it.

    python benches/merge.py --soce PATH [--rounds 10] [--size 1.2b] [--cold] [--memory] [--many]

Every run is a whole process, on the same three BF16 checkpoints, recipe (5:2:3), shard size and disk. Runs
are interleaved round by round, the order rotated, and before each one the inputs are brought into the page
cache, which is verified (or dropped from it: `--cold`). Outputs of the first round are compared with the
exact mean before any time is printed. Results go to benches/results/<date>-<cpu>*.json with every single
run, and to a table beside it.
"""

import argparse
import datetime as dt
import json
import os
import platform
import random
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import measure

HERE = Path(__file__).resolve().parent
PARTS = [5, 2, 3]
MERGEKIT = "mergekit==0.1.5"
SHARD_BYTES = 900_000_000  # one output shard per input shard at the default size
GIB, MIB = 1 << 30, 1 << 20
PLAIN = ("floor: map", "floor: read")
DURABLE = ("floor: map, durable", "floor: read, durable", "floor: direct, durable")
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
FEW = (
    *(*DURABLE, "soce-merge (durable)", "torch loop, mapped output"),
    *("mergekit 0.1.5", "mergekit 0.1.5 --async-write"),
)
"""The rows that README.md shows, in its order; docs/performance.md has all."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One way to make the soup: `command(out)` is the whole process."""

    name: str
    command: Callable[[Path], list[str | Path]]
    environment: Mapping[str, str] = field(default_factory=dict)
    floor: tuple[str, ...] = PLAIN  # its time is divided by that of the one of these with the least median
    checked: bool = True  # its output is a checkpoint, to be compared with the exact mean
    rounds: int | None = None  # run in the first so many rounds only


@dataclass(slots=True)
class Bench:
    """What the options and the machine decided."""

    soce: Path | None
    data: Path
    threads: int
    floor: Path
    mergekit: Path | None
    torch: bool

    def out(self) -> Path:
        return self.data / "out"

    def recipe(self, folders: list[Path]) -> Path:
        """Write the recipe in mergekit's format, which soce reads too."""
        path = folders[0].parent / "recipe.yaml"
        lines = ["merge_method: linear", "models:"]
        for folder, part in zip(folders, PARTS, strict=True):
            lines += [f"  - model: {json.dumps(str(folder))}", f"    parameters: {{weight: {part / 10}}}"]
        path.write_text("\n".join(lines) + "\n")
        return path

    def floor_command(self, folders: list[Path], mode: str) -> Callable[[Path], list[str | Path]]:
        shards = [folder / path.name for path in shard_paths(folders[0]) for folder in folders]
        return lambda out: [self.floor, mode, out, str(self.threads), *shards]

    def soce_command(self, folders: list[Path], *options: str) -> Callable[[Path], list[str | Path]]:
        recipe = self.recipe(folders)
        return lambda out: [self.soce or "", recipe, "--output", out, *options]

    def torch_command(self, folders: list[Path], *options: str) -> Callable[[Path], list[str | Path]]:
        parts = map(str, PARTS)
        fixed: list[str | Path] = [*folders, "--threads", str(self.threads), *options, "--parts", *parts]
        return lambda out: [sys.executable, HERE / "torch_loop.py", out, *fixed]

    def mergekit_command(self, folders: list[Path], *options: str) -> Callable[[Path], list[str | Path]]:
        recipe = self.recipe(folders)
        fixed = ["--no-copy-tokenizer", "--quiet", "--out-shard-size", str(SHARD_BYTES), *options]
        return lambda out: [self.mergekit or "", recipe, out, *fixed]

    def floors(self, folders: list[Path]) -> list[Tool]:
        return [
            Tool(
                name,
                self.floor_command(folders, name.removeprefix("floor: ").partition(",")[0]),
                {"SYNC": "1"} if kind is DURABLE else {},
                floor=kind,
                checked=False,
            )
            for kind in [PLAIN, DURABLE]
            for name in kind
        ]

    def soces(self, folders: list[Path]) -> list[Tool]:
        if not self.soce:
            return []
        return [
            Tool("soce-merge (durable)", self.soce_command(folders), floor=DURABLE),
            Tool("... --digests none", self.soce_command(folders, "--digests", "none"), floor=DURABLE),
            Tool("soce-merge --no-sync", self.soce_command(folders, "--no-sync")),
            Tool(
                "... --no-sync --digests none", self.soce_command(folders, "--no-sync", "--digests", "none")
            ),
        ]

    def peers(self, folders: list[Path], rounds: int | None) -> list[Tool]:
        found = []
        if self.torch:
            found += [
                Tool("torch loop", self.torch_command(folders), rounds=rounds),
                Tool(
                    "torch loop, mapped output", self.torch_command(folders, "--mapped-output"), rounds=rounds
                ),
            ]
        if self.mergekit:
            threads = f"-j{self.threads}"
            writers = f"--write-threads={self.threads}"
            found += [
                Tool("mergekit 0.1.5", self.mergekit_command(folders), rounds=rounds),
                Tool(f"mergekit 0.1.5 {threads}", self.mergekit_command(folders, threads), rounds=rounds),
                Tool(
                    "mergekit 0.1.5 --async-write",
                    self.mergekit_command(folders, "--async-write", writers),
                    rounds=rounds,
                ),
            ]
        return found


def shard_paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


def files(folders: list[Path]) -> list[Path]:
    return [path for folder in folders for path in shard_paths(folder)]


def build_floor(data: Path) -> Path:
    program = data / "floor"
    compiler = os.environ.get("CC", "cc")
    flags = ["-O3", "-march=native", "-pthread"]
    subprocess.run([compiler, *flags, HERE / "floor.c", "-o", program], check=True)
    return program


def make_checkpoints(data: Path, size: str, *, independent: bool = False) -> list[Path]:
    target = data / (size + ("-independent" if independent else ""))
    script = HERE / "make_checkpoints.py"  # a process of its own: see measure.py
    options = ["--independent"] if independent else []
    note(f"making the checkpoints of size {size}, unless they are there")
    command: list[str | Path] = [sys.executable, script, target, "--size", size, *options]
    made = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [Path(line) for line in made.splitlines()]


def mergekit_program(data: Path, given: Path | None) -> Path | None:
    """Return mergekit's command; install it into an environment of its own if need be."""
    if given:
        program = given / "bin" / "mergekit-yaml"
        return program if program.exists() else sys.exit(f"error: `{program}` does not exist")
    environment = data / MERGEKIT.replace("==", "-")
    program = environment / "bin" / "mergekit-yaml"
    if not program.exists():
        note(f"installing {MERGEKIT} into `{environment}`: minutes")
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
        subprocess.run(
            [environment / "bin" / "python", "-m", "pip", "install", "--quiet", MERGEKIT], check=True
        )
    return program


def cpu_name() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def instruction_sets() -> list[str]:
    """Return those of the widest vectors that the processor has, by their names in /proc/cpuinfo."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return [name for name in line.split() if re.fullmatch("avx2|avx512[fb]w?|asimd|sve2?", name)]
    return []


def output_of(command: list[str | Path]) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def versions(python: Path, packages: list[str]) -> dict[str, str]:
    """Return the versions of the packages that an interpreter sees."""
    code = (
        "import importlib.metadata as m, json, sys\nfound = {}\nfor name in sys.argv[1:]:\n"
        "    try: found[name] = m.version(name)\n    except m.PackageNotFoundError: pass\n"
        "print(json.dumps(found))"
    )
    found: dict[str, str] = json.loads(output_of([python, "-c", code, *packages]) or "{}")
    return found


def describe(bench: Bench) -> dict[str, object]:
    """Return what must be known to judge the figures."""
    build: dict[str, object] = {}
    if bench.soce:
        code = "import json, soce; print(json.dumps(soce.build_info(), default=str))"
        build = json.loads(output_of([bench.soce.with_name("python"), "-c", code]) or "{}")
        if not build.get("optimised", True):
            sys.exit("error: this soce is a debug build\n\nhint: `make build` makes an optimised one")
    return {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "cpu": cpu_name(),
        "instruction_sets": instruction_sets(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "kernel": platform.release(),
        "filesystem": output_of(["stat", "-f", "-c", "%T", bench.data]),
        "compiler": output_of([os.environ.get("CC", "cc"), "--version"]).partition("\n")[0],
        "commit": output_of(["git", "-C", HERE, "describe", "--always", "--dirty", "--abbrev=12"]),
        "soce": output_of([bench.soce, "--version"]).partition("\n")[0] if bench.soce else None,
        "soce_build": build,
        "python": platform.python_version(),
        "torch_loop": versions(Path(sys.executable), ["torch", "safetensors", "numpy"]),
        "mergekit": versions(
            bench.mergekit.with_name("python"), ["mergekit", "torch", "safetensors", "transformers"]
        )
        if bench.mergekit
        else None,
    }


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def discard(out: Path) -> None:
    for path in [out, out.with_name(out.name + ".soce-partial")]:
        shutil.rmtree(path, ignore_errors=True)


def prepare_cache(paths: list[Path], *, cold: bool) -> float:
    """Bring the inputs into the page cache, or out of it; return the resident share reached."""
    os.sync()  # what earlier runs left to be written is not charged to the next one
    if cold:
        share = measure.chill(paths)
        if share > 0.01:
            note(f"warning: {share:.1%} of the inputs stay in the page cache; dropping all caches needs root")
        return share
    share = 0.0
    for _ in range(6):
        share = measure.warm(paths)
        if share > 0.999:
            return share
    note(f"warning: only {share:.1%} of the inputs stay in the page cache")
    return share


def run_once(bench: Bench, tool: Tool, paths: list[Path], *, cold: bool) -> dict[str, object]:
    out = bench.out()
    discard(out)
    share = prepare_cache(paths, cold=cold)
    measure.have_memory(sum(path.stat().st_size for path in paths) // 2)  # last: the host takes it back
    run = measure.measure(tool.command(out), log=bench.data / "log.txt", environment=tool.environment)
    if run.status:
        log = (bench.data / "log.txt").read_text(errors="replace")[-2000:]
        discard(out)
        sys.exit(f"error: `{tool.name}` ended with {run.status}\n{log}")
    record: dict[str, object] = {"tool": tool.name, "resident_before": share, **asdict(run)}
    record["fsync_seconds"] = measure.make_durable(out)
    return record


def compare(bench: Bench, folders: list[Path]) -> dict[str, object]:
    command: list[str | Path] = [
        sys.executable,
        HERE / "compare.py",
        bench.out(),
        *folders,
        "--parts",
        *map(str, PARTS),
    ]
    found: dict[str, object] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


def time_tools(
    bench: Bench, tools: list[Tool], folders: list[Path], rounds: int, *, cold: bool
) -> tuple[list[dict[str, object]], dict[str, object]]:
    paths = files(folders)
    runs: list[dict[str, object]] = []
    outputs: dict[str, object] = {}
    # Not in turn: what one program leaves behind, in memory and on the disk, is felt by whichever comes next.
    order = random.Random(0)
    for number in range(rounds):
        for tool in order.sample(tools, len(tools)):
            if tool.rounds is not None and number >= tool.rounds:
                continue
            record = run_once(bench, tool, paths, cold=cold)
            runs.append({"round": number, **record})
            if tool.checked and tool.name not in outputs:
                outputs[tool.name] = compare(bench, folders)
            discard(bench.out())
            note(f"round {number + 1}/{rounds}  {record['seconds']:8.3f} s  {tool.name}")
    return runs, outputs


def start_up(bench: Bench) -> dict[str, float]:
    """Return the best of three times that each program takes to print its help."""
    programs: dict[str, list[str | Path]] = {"import torch": [sys.executable, "-c", "import torch"]}
    if bench.soce:
        programs["soce-merge --help"] = [bench.soce, "--help"]
    if bench.mergekit:
        programs["mergekit-yaml --help"] = [bench.mergekit, "--help"]
    log = bench.data / "log.txt"
    return {
        name: min(measure.measure(command, log=log).seconds for _ in range(3))
        for name, command in programs.items()
    }


def column(runs: list[dict[str, object]], tool: str, key: str) -> list[float]:
    return [float(str(run[key])) for run in runs if run["tool"] == tool]


def summarise(tools: list[Tool], runs: list[dict[str, object]]) -> list[dict[str, object]]:
    by_round = {(run["round"], run["tool"]): float(str(run["seconds"])) for run in runs}
    medians = {tool.name: statistics.median(column(runs, tool.name, "seconds")) for tool in tools}
    rows = []
    for tool in tools:
        seconds = column(runs, tool.name, "seconds")
        durable = [a + b for a, b in zip(seconds, column(runs, tool.name, "fsync_seconds"), strict=True)]
        floor = min(tool.floor, key=medians.__getitem__)
        ratios = [
            by_round[r, tool.name] / by_round[r, floor]
            for r, name in by_round
            if name == tool.name and (r, floor) in by_round
        ]
        rows.append(
            {
                "tool": tool.name,
                "runs": len(seconds),
                "best": min(seconds),
                "median": statistics.median(seconds),
                "worst": max(seconds),
                "durable_median": statistics.median(durable),
                "floor": floor,
                "ratio_median": statistics.median(ratios),
                "ratio_of_best": min(seconds)
                / min(min(column(runs, name, "seconds")) for name in tool.floor),
                "max_rss": max(column(runs, tool.name, "max_rss")),
                "anon_rss": max(column(runs, tool.name, "anon_rss")),
                "file_rss": max(column(runs, tool.name, "file_rss")),
            }
        )
    return rows


def markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|---" + "|---:" * (len(header) - 1) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def mib(count: object) -> str:
    return f"{float(str(count)) / MIB:,.0f}"


def times_table(summary: list[dict[str, object]]) -> str:
    header = [
        "",
        "best s",
        "median s",
        "range s",
        "median s until durable",
        "× floor, median",
        "× floor, best",
    ]
    header += ["peak private MiB", "peak mapped file MiB"]
    return markdown(
        header,
        [
            [
                str(row["tool"]),
                f"{row['best']:.2f}",
                f"{row['median']:.2f}",
                f"{row['best']:.2f}-{row['worst']:.2f}",
                f"{row['durable_median']:.2f}",
                f"{row['ratio_median']:.2f}",
                f"{row['ratio_of_best']:.2f}",
                mib(row["anon_rss"]),
                mib(row["file_rss"]),
            ]
            for row in summary
        ],
    )


def share_wrong(output: object) -> float:
    """Return the share of an output's elements that are not the exact mean."""
    assert isinstance(output, dict)
    return float(output["elements_wrong"] / max(1, output["elements_compared"]))


def outputs_table(outputs: Mapping[str, object]) -> str:
    rows = []
    for tool, found in outputs.items():
        assert isinstance(found, dict)
        lost = len(found["lost"]) + len(found["wrong_form"])
        rows.append(
            [tool, str(found["tensors"]), str(lost), f"{share_wrong(found):.4%}", str(found["worst_ulp"])]
        )
    return markdown(["output", "tensors", "lost or changed", "not the exact mean", "worst, ulp"], rows)


def machine_line(machine: Mapping[str, object]) -> str:
    memory = float(str(machine["memory_bytes"])) / GIB
    sets = machine["instruction_sets"]
    known = f" ({', '.join(map(str, sets))})" if isinstance(sets, list) and sets else ""
    return (
        f"{machine['cpu']}{known}, {machine['cores']} cores, {memory:.0f} GiB, {machine['filesystem']}, "
        f"Linux {machine['kernel']}; {machine['soce'] or 'soce not run'}, commit {machine['commit']}; "
        f"{str(machine['date'])[:10]}."
    )


def save(kind: str, machine: Mapping[str, object], text: str, content: Mapping[str, object]) -> None:
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    cpu = re.sub(r"[^a-z0-9]+", "-", str(machine["cpu"]).lower()).strip("-")
    path = results / f"{str(machine['date'])[:10]}-{cpu}{kind}.json"
    path.write_text(json.dumps({"machine": machine, **content}, indent=1) + "\n")
    path.with_suffix(".md").write_text(text + "\n")
    print(text)
    note(f"\nevery run is in {path.relative_to(HERE.parent)}")


def few_table(summary: list[dict[str, object]], outputs: Mapping[str, object]) -> str:
    found = {str(row["tool"]): row for row in summary}
    rows = []
    for tool in FEW:
        if row := found.get(tool):
            share = f"{share_wrong(outputs[tool]):.4%}" if tool in outputs else ""
            rows.append([tool, f"{row['durable_median']:.2f}", mib(row["anon_rss"]), share])
    return markdown(["", "median s until durable", "peak private MiB", "not the exact mean"], rows)


def write_pages(whole: str, few: str) -> None:
    """Put both tables where the pages have a place for them."""
    for name, text in (("docs/performance.md", whole), ("README.md", few)):
        page = HERE.parent / name
        before, begin, rest = page.read_text().partition(BEGIN)
        _, end, after = rest.partition(END)
        if not (begin and end):
            sys.exit(f"error: {name} has no place for the table")
        page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def bench_times(bench: Bench, arguments: argparse.Namespace) -> None:
    folders = make_checkpoints(bench.data, arguments.size, independent=arguments.independent)
    tools = [*bench.floors(folders), *bench.soces(folders)]
    tools += bench.peers(folders, arguments.peer_rounds)
    if arguments.cold:
        cat = Tool("cat of the inputs", lambda out: cat_command(folders, out), checked=False)
        tools.append(cat)
    runs, outputs = time_tools(bench, tools, folders, arguments.rounds, cold=arguments.cold)
    summary = summarise(tools, runs)
    machine = describe(bench)
    gigabytes = sum(path.stat().st_size for path in files(folders)) / 1e9
    cache = "page cache cold" if arguments.cold else "page cache warm"
    amounts = (
        f"Three {arguments.size.upper()} BF16 checkpoints, {gigabytes:.2f} GB in, {gigabytes / 3:.2f} GB out"
    )
    text = "\n".join(
        [
            f"{amounts}; {cache}; {arguments.rounds} interleaved rounds. {machine_line(machine)}",
            "Divided by the floor of least median: a durable one for durable merges, else a plain one.",
            "",
            times_table(summary),
            "",
            outputs_table(outputs),
        ]
    )
    content = {"summary": summary, "outputs": outputs, "start_up": start_up(bench), "runs": runs}
    save("-cold" if arguments.cold else "", machine, text, content)
    if arguments.pages and not arguments.cold:
        write_pages(
            text, f"{amounts}; {machine['cpu']}, {machine['cores']} cores.\n\n{few_table(summary, outputs)}"
        )


def cat_command(folders: list[Path], out: Path) -> list[str | Path]:
    return ["sh", "-c", 'mkdir "$0" && cat "$@" >/dev/null', out, *files(folders)]


def bench_memory(bench: Bench, arguments: argparse.Namespace) -> None:
    """Peak memory at two sizes sixteen-fold apart, and inside a small control group."""
    runs: list[dict[str, object]] = []
    rows = []
    for size in arguments.memory_sizes:
        folders = make_checkpoints(bench.data, size)
        tools = [*bench.floors(folders)[1:2], *bench.soces(folders)[:1], *bench.peers(folders, None)[:1]]
        for tool in tools:
            record = run_once(bench, tool, files(folders), cold=False)
            discard(bench.out())
            runs.append({"size": size, "limit_bytes": None, **record})
            peaks = [mib(record["anon_rss"]), mib(record["file_rss"]), mib(record["max_rss"])]
            rows.append([f"{tool.name}, {size}", "none", *peaks, "", f"{record['seconds']:.2f}"])
            note(f"{size}: {tool.name}: {' / '.join(peaks)} MiB")
        for tool in bench.soces(folders)[:1]:
            for backend in ["mmap", "pread"]:
                found = run_limited(bench, tool, files(folders), arguments.limit_mib * MIB, backend)
                if isinstance(found, str):
                    note(f"skipped: {arguments.limit_mib} MiB control group: {found}")
                    continue
                runs.append({"size": size, **found})
                peaks = [mib(found[key]) for key in ["anon_rss", "file_rss", "max_rss", "cgroup_peak"]]
                name = f"{tool.name} --io {backend}, {size}"
                result = f"{found['seconds']:.2f}" if not found["status"] else f"failed: {found['status']}"
                rows.append([name, f"{arguments.limit_mib}", *peaks, result])
    machine = describe(bench)
    header = [
        "",
        "limit MiB",
        "peak private MiB",
        "peak mapped file MiB",
        "peak RSS MiB",
        "control group peak MiB",
    ]
    text = machine_line(machine) + "\n\n" + markdown([*header, "s"], rows)
    save("-memory", machine, text, {"runs": runs})


def run_limited(
    bench: Bench, tool: Tool, paths: list[Path], limit: int, backend: str
) -> dict[str, object] | str:
    """Run inside a control group of so many bytes; return why if that cannot be."""
    try:
        group = measure.make_cgroup(f"soce-bench-{os.getpid()}", limit)
    except OSError as error:
        return str(error)
    try:
        measure.chill(paths)  # pages cached before would be charged to somebody else
        command = [*tool.command(bench.out()), "--io", backend]
        run = measure.measure(command, log=bench.data / "log.txt", cgroup=group)
    finally:
        discard(bench.out())
        measure.remove_cgroup(group)
    return {"tool": tool.name, "backend": backend, "limit_bytes": limit, **asdict(run)}


def bench_many(bench: Bench, arguments: argparse.Namespace) -> None:
    """Eight soups of the same three ingredients in one pass, against a program that does just that."""
    folders = make_checkpoints(bench.data, arguments.size)
    recipes = bench.data / "recipes.yaml"
    lines = ["ingredients:"]
    lines += [f"  {name}: {json.dumps(str(folder))}" for name, folder in zip("abc", folders, strict=True)]
    lines.append("recipes:")
    for k in range(8):
        lines.append(f"  soup-{k}: {{weights: {{a: {10 - k}, b: {4 + k}, c: 6}}}}")
    recipes.write_text("\n".join(lines) + "\n")
    command = bench.floor_command(folders, "read")
    tools = [
        Tool(name, command, {"OUTPUTS": "8", **environment}, (name,), checked=False)
        for name, environment in {PLAIN[1]: {}, DURABLE[1]: {"SYNC": "1"}}.items()
    ]
    if bench.soce:
        program = bench.soce
        fixed: list[str | Path] = ["--recipes", recipes, "--output"]
        tools += [
            Tool("soce-merge --recipes", lambda out: [program, *fixed, out], floor=DURABLE[1:2]),
            Tool("... --no-sync", lambda out: [program, *fixed, out, "--no-sync"], floor=PLAIN[1:2]),
        ]
    paths = files(folders)
    runs = []
    for number in range(arguments.rounds):
        for tool in tools:
            runs.append({"round": number, **run_once(bench, tool, paths, cold=arguments.cold)})
            discard(bench.out())
            note(f"round {number + 1}/{arguments.rounds}  {runs[-1]['seconds']:8.3f} s  {tool.name}")
    summary = summarise(tools, runs)
    rows = []
    for row in summary:
        counters = [run["io"] for run in runs if run["tool"] == row["tool"]]
        read, written = (
            max(int(counter.get(key, 0)) for counter in counters if isinstance(counter, dict))
            for key in ["rchar", "wchar"]
        )
        best, median = f"{row['best']:.2f}", f"{row['median']:.2f}"
        ratio = f"{row['ratio_median']:.2f}"
        rows.append([str(row["tool"]), best, median, ratio, f"{read / 1e9:.2f}", f"{written / 1e9:.2f}"])
    machine = describe(bench)
    size_in = sum(path.stat().st_size for path in paths) / 1e9
    header = [
        "",
        "best s",
        "median s",
        "× floor, median",
        "GB by read calls (mapped reads not counted)",
        "GB written",
    ]
    amounts = f"{size_in:.2f} GB in, {size_in / 3 * 8:.2f} GB out."
    text = f"{amounts} {machine_line(machine)}\n\n{markdown(header, rows)}"
    save("-many", machine, text, {"summary": summary, "runs": runs})


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--soce", type=Path, help="the soce-merge to time; without it only the others run")
    parser.add_argument(
        "--data", type=Path, default=HERE / "data", help="where checkpoints and programs are kept"
    )
    parser.add_argument("--size", default="1.2b", choices=["tiny", "0.25b", "1.2b", "4b"])
    parser.add_argument("--independent", action="store_true", help="ingredients without a common base")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument(
        "--peer-rounds", type=int, help="run torch and mergekit in the first so many rounds only"
    )
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--mergekit", type=Path, help="environment that has mergekit (default: make one)")
    parser.add_argument("--no-mergekit", action="store_true")
    parser.add_argument("--no-torch", action="store_true")
    parser.add_argument(
        "--pages", action="store_true", help="also put the tables into README.md and docs/performance.md"
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--cold", action="store_true", help="inputs out of the page cache before each run")
    mode.add_argument(
        "--memory", action="store_true", help="peak memory at two sizes and in a small control group"
    )
    mode.add_argument("--many", action="store_true", help="eight recipes in one pass")
    parser.add_argument("--memory-sizes", nargs="+", default=["0.25b", "4b"])
    parser.add_argument("--limit-mib", type=int, default=256)
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    data = arguments.data.resolve()
    data.mkdir(parents=True, exist_ok=True)
    bench = Bench(
        soce=arguments.soce and arguments.soce.absolute(),
        data=data,
        threads=arguments.threads,
        floor=build_floor(data),
        mergekit=None if arguments.no_mergekit else mergekit_program(data, arguments.mergekit),
        torch=not arguments.no_torch,
    )
    if arguments.memory:
        bench_memory(bench, arguments)
    elif arguments.many:
        bench_many(bench, arguments)
    else:
        bench_times(bench, arguments)


if __name__ == "__main__":
    main()
