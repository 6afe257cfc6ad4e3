"""Story 2: killed at whatever moment, as often as it comes, the experiment comes to the same bytes."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path

import pytest
from tests.stories.experiment import Experiment, answered, of, read_record
from tests.stories.workers import finish, result_files, start, wait_for

pytest.importorskip("optuna")
pytest.importorskip("transformers")

N_KILLED = 20
SECONDS = 0.05
"""What each of the evaluations takes longer."""


@pytest.mark.timeout(900)  # each of them begins anew, on a machine that may be busy
def test_twenty_kills_change_nothing(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path / "experiment").make()
    output = experiment.output
    result = json.loads(finish(experiment, start(experiment)))
    undisturbed = result_files(output)
    assert {"search/result.json", "soup/model.safetensors", "soup/soce.json"} <= undisturbed.keys()
    output.rename(tmp_path / "undisturbed")
    experiment.log.unlink()

    draw = random.Random(14)
    last = []  # what each killed process had said last: it may have been lost on the way to the store
    n_killed = 0
    for _ in range(N_KILLED):
        process = start(experiment, seconds=SECONDS)
        wait_for(experiment, process, draw.randrange(6))
        process.join(draw.uniform(0, 3 * SECONDS))
        process.kill()
        process.join()
        n_killed += process.exitcode == -signal.SIGKILL
        last += of(experiment, process.pid, "done")[-1:]
    assert n_killed > N_KILLED // 2, "most of them had nothing left to do"

    assert json.loads(finish(experiment, start(experiment))) == result
    assert result_files(output) == undisturbed
    made = answered(read_record(experiment.log))
    assert set(made) == experiment.needed(result)
    lost = answered(last)
    assert all(count <= 1 + lost[one] for one, count in made.items()), (
        "something that was kept was asked again"
    )

    log = experiment.log.read_text()
    finish(experiment, start(experiment))
    assert experiment.log.read_text() == log, "all is known"
