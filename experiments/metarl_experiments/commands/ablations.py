"""Which ablations tell something of a run, and of which runs `metarl train` makes them itself."""

import math
from pathlib import Path
from typing import get_args

from metarl_jax.evaluation.ablations import Ablation
from metarl_jax.experiment.build import Setup
from metarl_jax.experiment.run_config import RunConfig
from metarl_jax.parallel.processes import broadcast_from_first
from metarl_jax.training.metrics_file import read_rows

SHORT_SECONDS = 300
"""Training that took less gets its ablations at once; after a longer one they can wait."""
FEWEST_TASKS = 100
"""On fewer tasks the interval of a change is too wide to tell what the policy lives on."""


def ablations_of(setup: Setup) -> tuple[Ablation, ...]:
    """All that can be taken from the policy of a run; nothing is taken from several agents.

    With one episode there is none before it, whose memory or history could be taken.
    """
    if setup.is_population:
        return ()
    return get_args(Ablation) if setup.tasks.num_episodes > 1 else ("rewards",)


def ablations_after_training(folder: Path, config: RunConfig, setup: Setup) -> tuple[Ablation, ...]:
    """The ablations that `metarl train` makes by itself; none where `metarl report` has to.

    They are made of one agent with a memory, whose training took less than 300 seconds and whose
    final evaluation has at least 100 tasks.

    Args:
        folder: the run's, with metrics.jsonl.
        config: the run's.
        setup: the run's.
    """
    few = config.settings.evaluation.final_evaluation_tasks < FEWEST_TASKS
    if few or config.settings.memory is None:
        return ()
    was_short = broadcast_from_first(lambda: str(_seconds(folder) < SHORT_SECONDS)) == str(True)
    return ablations_of(setup) if was_short else ()


def _seconds(folder: Path) -> float:
    """How long training took; for ever where the run does not tell."""
    told = [row.seconds for row in read_rows(folder / "metrics.jsonl") if row.seconds is not None]
    return max(told, default=math.inf)
