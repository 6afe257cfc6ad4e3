"""Screenshots of a report in both themes and at phone width: python -m tests.pictures report.html pictures/."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.browser import browser

VIEWS = {
    "light": (1200, False),
    "dark": (1200, True),
    "tablet": (760, False),
    "phone": (390, False),
    "phone-dark": (390, True),
}


def take(page: Path, folder: Path) -> None:
    """Write a picture of each view, and what would be printed."""
    folder.mkdir(parents=True, exist_ok=True)
    with browser() as window:
        for name, (width, dark) in VIEWS.items():
            window.show(width, dark=dark)
            window.open(page)
            print(window.picture(folder / f"{name}.png"), *window.complaints)
        window.show(1200)
        window.open(page)
        print(window.paper(folder / "print.pdf"))


if __name__ == "__main__":
    take(Path(sys.argv[1]), Path(sys.argv[2]))
