"""Story 3: two processes and one that hangs share an experiment, and all of it is done once."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from tests.stories.experiment import Experiment, answered, of, read_record
from tests.stories.workers import finish, result_files, start, wait_for

pytest.importorskip("optuna")
pytest.importorskip("transformers")


def test_the_share_of_one_that_hangs_is_taken_over(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path / "experiment").make()
    output = experiment.output
    hung = start(experiment, seconds=0.2, lease=2.0)
    assert hung.pid is not None
    wait_for(experiment, hung, 3)
    os.kill(hung.pid, signal.SIGSTOP)
    (*_, held), finished = of(experiment, hung.pid, "start"), of(experiment, hung.pid, "done")
    assert held.asked not in [one.asked for one in finished], "it hangs in an evaluation"

    workers = [start(experiment, seconds=0.2, lease=2.0) for _ in range(2)]
    told = [json.loads(finish(experiment, one)) for one in workers]
    assert told[0] == told[1]
    made = answered(read_record(experiment.log))
    assert set(made) == experiment.needed(told[0])
    assert set(made.values()) == {1}, "something was done twice"
    assert all(len(of(experiment, one.pid, "done")) > 1 for one in workers), "one of them did it all"
    assert any(held.asked == one.asked for worker in workers for one in of(experiment, worker.pid, "done"))
    before = result_files(output)

    os.kill(hung.pid, signal.SIGCONT)
    assert json.loads(finish(experiment, hung)) == told[0]
    late = answered(read_record(experiment.log)) - made
    assert set(late) == held.asked, "it ends what it was in, and begins nothing more"
    assert result_files(output) == before
    again = experiment.log.read_text()
    finish(experiment, start(experiment))
    assert experiment.log.read_text() == again, "all is known"
