"""The program: ``python -m soce.evaluate.bfcl.program.harness FOLDER``, where FOLDER holds ``job.json``.

``{"describe": …}`` tells items and handlers; ``{"evaluate": …}`` asks the soup about items and checks what
it says. What was found goes into ``found.json``, why nothing was into ``failure.json``, and ``progress``
grows by a byte with each item that was answered.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from soce.evaluate.bfcl.program import sandbox, soup
from soce.evaluate.bfcl.program.checks import checks_of
from soce.evaluate.bfcl.program.items import described, to_generate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soce.evaluate.bfcl.program.items import Entry

_TICK_SECONDS: Final = 1.0
JOB, FOUND, FAILURE, PROGRESS = "job.json", "found.json", "failure.json", "progress"
SOCKET, TOKENIZER = "model.sock", "tokenizer"


def main() -> None:
    """Do what the job in the folder says."""
    folder = Path(sys.argv[1]).resolve()
    job = json.loads((folder / JOB).read_text("utf-8"))
    sandbox.limit(memory_bytes=job["memory_bytes"])
    if "describe" in job:
        found = _describe(job["describe"])
    else:
        outside = sandbox.enclose(folder, readable=[Path(sys.prefix), Path(sys.base_prefix)])
        found = {**_evaluate(folder, job["evaluate"]), "open": outside}
    (folder / FOUND).write_text(json.dumps(found), "utf-8")


def _describe(job: dict[str, Any]) -> dict[str, Any]:
    named = job["handler"]
    local = soup.local_models()
    return {
        "items": {category: described(category) for category in job["categories"]},
        "models": {name: bool(entry.is_fc_model) for name, entry in local.items()},
        "services": [name for name in soup.models() if name not in local],
        "handlers": [named or soup.model_named(names) for names in job["ingredients"]],
    }


def _evaluate(folder: Path, job: dict[str, Any]) -> dict[str, Any]:
    soup.register(job["handler"])
    watch = sandbox.Watch(job["step_seconds"])
    examiner = soup.Examiner(
        socket=folder / SOCKET,
        tokenizer=folder / TOKENIZER,
        model=job["model"],
        max_length=job["max_length"],
        max_tokens=job["max_tokens"],
    )
    wanted: dict[str, list[str]] = job["items"]
    entries = to_generate(wanted, folder / "result" / soup.FOLDER)
    asking = _Asking(examiner, watch, folder, job["threads"])
    results = asking.all(entries)
    found: dict[str, dict[str, Any]] = {}
    for category, items in wanted.items():
        readable = {item: results[item] for item in items if item in results}
        right, endless = _checked(category, readable, watch)
        found[category] = {item: _told(asking.talks[item], item in right) for item in items}
        for item in items:
            found[category][item]["flaw"] = (
                "endless" if item in endless else None if item in readable else "too long"
            )
    return {"items": found}


def _checked(category: str, results: Mapping[str, Any], watch: sandbox.Watch) -> tuple[set[str], set[str]]:
    """Return the items whose results are right, and those that no checker came to an end with."""
    right, endless = set(), set()
    for item, is_right in checks_of(category, results):
        try:
            with watch.step():
                if is_right():
                    right.add(item)
        except (sandbox.TakesTooLongError, MemoryError, RecursionError):
            endless.add(item)
    return right, endless


def _told(talk: soup.Talk, is_right: bool) -> dict[str, Any]:  # noqa: FBT001
    asked = "\n".join(talk.prompts).encode("utf-8", "surrogatepass")
    return {
        "outcome": int(is_right),
        "prompt": hashlib.sha256(asked).hexdigest()[:16],
        "text": "\n".join(talk.texts),
        "is_cut": "length" in talk.endings,
    }


class _Asking:
    """Asks about many entries at once, about each when those that it depends on are done."""

    def __init__(self, examiner: soup.Examiner, watch: sandbox.Watch, folder: Path, threads: int) -> None:
        self._examiner, self._watch, self._folder, self._threads = examiner, watch, folder, threads
        self.talks: dict[str, soup.Talk] = {}

    def all(self, entries: list[Entry]) -> dict[str, object]:
        """Return id → what BFCL takes for the answer, without entries whose prompts were too long."""
        from bfcl_eval.utils import is_memory_prereq, make_json_serializable

        waiting = {entry["id"]: {*entry.get("depends_on", ())} for entry in entries}
        ready = deque(entry for entry in entries if not waiting[entry["id"]])
        blocked = [entry for entry in entries if waiting[entry["id"]]]
        running: dict[Future[object], Entry] = {}
        results: dict[str, object] = {}
        with ThreadPoolExecutor(self._threads) as pool, (self._folder / PROGRESS).open("ab", 0) as progress:
            while ready or running:
                while ready and len(running) < self._threads:
                    entry = ready.popleft()
                    talk = self.talks[entry["id"]] = soup.Talk()
                    running[pool.submit(self._examiner.result_of, entry, talk)] = entry
                done, _ = wait(running, _TICK_SECONDS, FIRST_COMPLETED)
                self._watch.tick()
                self._interrupt(running.values())
                for future in done:
                    entry = running.pop(future)
                    item = entry["id"]
                    try:
                        # Files of results are what BFCL's own checkers read.
                        results[item] = json.loads(json.dumps(make_json_serializable(future.result())))
                    except soup.PromptTooLongError:
                        pass
                    except (soup.RequestFailedError, soup.UnusableHandlerError) as error:
                        self._fail(item, error)
                    if not is_memory_prereq(item):
                        progress.write(b".")
                    for other in blocked:
                        waiting[other["id"]].discard(item)
                    ready.extend(other for other in blocked if not waiting[other["id"]])
                    blocked = [other for other in blocked if waiting[other["id"]]]
        return results

    def _interrupt(self, running: Any) -> None:  # noqa: ANN401
        """End calls of simulated services that compute without end; BFCL tells the model that they failed."""
        if not hasattr(time, "pthread_getcpuclockid"):  # macOS
            return
        for entry in running:
            talk = self.talks[entry["id"]]
            if (since := talk.computing_since) is None:
                continue
            now = time.clock_gettime(time.pthread_getcpuclockid(talk.thread))
            if now - since > self._watch.seconds:
                talk.computing_since = now
                self._watch.interrupt(talk.thread)

    def _fail(self, item: str, error: Exception) -> NoReturn:
        """Say why nothing is scored, and leave at once: other requests may take long."""
        import os

        kind = "request" if isinstance(error, soup.RequestFailedError) else "handler"
        told = {"kind": kind, "item": item, "message": str(error)}
        (self._folder / FAILURE).write_text(json.dumps(told), "utf-8")
        os._exit(1)


if __name__ == "__main__":
    main()
