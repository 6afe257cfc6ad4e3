"""Keep of a run's folder what its report shows, for the site: `python .ci/keep_run.py RUN ARCHIVE`.

Run `soce report` before, so that it scores what it lacks, on a machine that does nothing else: the page says
how long the search took. Checkpoints are left out, and what the models answered, which is large. Scores
belong to the paths that the models had, so the archive names these paths; the page does not.
"""

from __future__ import annotations

import io
import sqlite3
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

WANTED: Final = (
    *("demo.json", "scores.csv", "selection.yaml", "soup/soce.json"),
    *(f"search/{name}" for name in ("experiment.json", "population.json", "study.json", "result.json")),
    *("search/study.db", "search/study.journal", "search/store.db"),
)


def keep(run: Path, archive: Path) -> None:
    """Write the archive; the same folder gives the same bytes."""
    with tarfile.open(archive, "w:xz", preset=9) as target:
        for model in sorted(path for path in run.glob("models/*") if path.is_dir()):
            entry = tarfile.TarInfo(f"{run.name}/models/{model.name}")
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            target.addfile(entry)
        for path in sorted(run / name for name in WANTED if (run / name).exists()):
            content = _without_answers(path) if path.name == "store.db" else path.read_bytes()
            entry = tarfile.TarInfo(f"{run.name}/{path.relative_to(run).as_posix()}")
            entry.size = len(content)
            target.addfile(entry, io.BytesIO(content))


def _without_answers(store: Path) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / store.name
        copy.write_bytes(store.read_bytes())
        connection = sqlite3.connect(copy)
        with connection:
            connection.execute("UPDATE evaluations SET answers = NULL, n_answers = 0")
        connection.execute("VACUUM")
        connection.close()
        return copy.read_bytes()


if __name__ == "__main__":
    keep(Path(sys.argv[1]), Path(sys.argv[2]))
