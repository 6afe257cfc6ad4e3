"""The experiment of the command that runs."""

from __future__ import annotations

from typing import Final

import click

from soce.experiment.experiment import Experiment

EXPERIMENT: Final = "soce.experiment"
"""Where the context of a command has it."""


def experiment() -> Experiment:
    """Return the experiment of the command that runs; without a file it says what the command line set."""
    found = click.get_current_context().meta.get(EXPERIMENT, Experiment())
    assert isinstance(found, Experiment)
    return found
