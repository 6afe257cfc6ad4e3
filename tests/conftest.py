"""What all Python tests share: how hard hypothesis tries, what runs first, and a cache of their own."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Beside other workers of `pytest -n` one core is this one's; set before anything imports numpy or torch.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# No deadline: on a busy machine a slow example says nothing about the code.
settings.register_profile("fast", max_examples=50, deadline=None, print_blob=True)
settings.register_profile("slow", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


LONGEST = (
    *(
        "demo/test_run.py",
        "test_site.py",
        "stories/test_killed.py",
        "cli/test_search.py",
        "evaluate/test_soup_model.py",
    ),
    *(
        "report/test_report.py",
        "demo/test_models.py",
        "search/executors/test_processes.py",
        "served/test_server.py",
    ),
    *("merging/test_exactness.py", "served/test_serve_command.py", "faults/test_killed.py", "test_tour.py"),
)
"""Files of which each takes longer than what is left when all others are done; they begin first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    places = {here / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_collection_finish() -> None:
    """Look for garbage less often, and not among modules and tests: a tenth of all time went there."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep digests of the tests' files out of the user's cache; what was downloaded stays in reach, no Hub is."""
    before = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    with pytest.MonkeyPatch.context() as patch:
        if "HF_HOME" not in os.environ:
            patch.setenv("HF_HOME", str(Path(before, "huggingface")))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody answers: a test downloads nothing
        yield


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Models this small lose more to threads than they gain; other modules have theirs, which add up in another order."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
