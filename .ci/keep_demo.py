"""Keep of a demo's folder what its report shows, for the site and all quotes: `make quotes DEMO=FOLDER`.

Run `soce demo` and `soce report` before, on a machine that does nothing else: the page says how long the
search took. Checkpoints are left out. Scores belong to the paths that the models had, so the archive names
these paths; the page does not.
"""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path
from typing import Final

KEPT: Final = Path(__file__).parent.parent / "docs" / "data" / "demo-run.tar.xz"
WANTED: Final = (
    *("demo.json", "scores.csv", "selection.yaml", "soup/soce.json"),
    *("search/study.json", "search/study.db", "search/result.json", "search/store.db"),
)


def keep(run: Path, target: Path = KEPT) -> None:
    """Write the archive; the same folder gives the same bytes."""
    with tarfile.open(target, "w:xz", preset=9) as archive:
        for model in sorted(path for path in (run / "models").iterdir() if path.is_dir()):
            entry = tarfile.TarInfo(f"soce-demo/models/{model.name}")
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for path in sorted(path for pattern in WANTED for path in run.glob(pattern)):
            content = path.read_bytes()
            entry = tarfile.TarInfo(f"soce-demo/{path.relative_to(run).as_posix()}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
