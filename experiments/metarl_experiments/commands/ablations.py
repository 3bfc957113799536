"""Which ablations tell something of a run, and of which runs `metarl train` makes them itself."""

import math
from pathlib import Path

from metarl_jax.evaluation.ablated import ablations_at_once, ablations_for
from metarl_jax.evaluation.ablations import Ablation
from metarl_jax.experiment.build import Setup
from metarl_jax.experiment.run_config import RunConfig
from metarl_jax.parallel.processes import broadcast_from_first
from metarl_jax.training.metrics_file import read_rows


def ablations_of(setup: Setup) -> tuple[Ablation, ...]:
    """All that can be taken from the policy of a run; nothing is taken from several agents."""
    return () if setup.is_population else ablations_for(setup.tasks)


def ablations_after_training(folder: Path, config: RunConfig, setup: Setup) -> tuple[Ablation, ...]:
    """The ablations that `metarl train` makes by itself; none where `metarl report` has to.

    They are made of one agent with a memory, whose training took less than 300 seconds and whose
    final evaluation has at least 100 tasks.

    Args:
        folder: the run's, with metrics.jsonl.
        config: the run's.
        setup: the run's.
    """
    if setup.is_population:
        return ()
    seconds = float(broadcast_from_first(lambda: str(_seconds(folder))))
    return ablations_at_once(
        setup.tasks,
        has_memory=config.settings.memory is not None,
        num_tasks=config.settings.evaluation.final_evaluation_tasks,
        seconds=seconds,
    )


def _seconds(folder: Path) -> float:
    """How long training took; for ever where the run does not tell."""
    told = [row.seconds for row in read_rows(folder / "metrics.jsonl") if row.seconds is not None]
    return max(told, default=math.inf)
