"""What a run is to do, what it came to, and who is told: the records of the training loop."""

import dataclasses
import enum
from collections.abc import Callable
from typing import Protocol

from metarl_jax.checks import require_positive
from metarl_jax.evaluation.evaluation import Evaluation, PopulationEvaluation
from metarl_jax.learning.train_state import TrainState
from metarl_jax.policy.policy import PolicyParams
from metarl_jax.training.metrics_row import MetricsRow
from metarl_jax.types import ConfigurationError

Evaluate = Callable[[PolicyParams], Evaluation | PopulationEvaluation]
"""Runs a policy, or each of a population's, on a fixed set of meta-test tasks."""

WALL_CLOCK_FIELDS = ("seconds", "env_steps_per_second", "evaluation_seconds")
"""Fields of a row that differ between two runs of the same settings; no other field does."""
SKIPPED_IN_A_ROW = 10
"""So many updates that were not finite, one after the other, end a run."""
FAILED_SAVES_IN_A_ROW = 5
"""So many checkpoints that could not be written, one after the other, end a run."""


class ExitCode(enum.IntEnum):
    """How a run, or a command, ended."""

    FINISHED = 0
    GIVEN_UP = 1  # by a supervisor; a cluster takes 75 for a run that can go on
    BAD_INPUT = 2
    DIVERGED = 3  # the last good state is saved
    NOT_SAVED = 74  # the last state, or its evaluation, could not be saved
    TERMINATED = 75  # by SIGTERM, or another process of the run is gone; saved, resumable
    INTERRUPTED = 130  # by SIGINT; saved, resumable


class Reporter(Protocol):
    """What tells a person how the run goes; the console is one."""

    def compiling(self, what: str) -> None:
        """Compilation of `what` begins."""
        ...

    def compiled(self, seconds: float) -> None:
        """It has ended, after so many seconds of wall-clock time."""
        ...

    def progress(self, row: MetricsRow, *, num_updates: int, total_env_steps: int) -> None:
        """A row of the metrics, of a run of so many updates and environment steps in all."""
        ...

    def warn(self, message: str) -> None:
        """Something went wrong that does not end the run."""
        ...


class Logger(Protocol):
    """Where rows go beside `metrics.jsonl`; see `loggers`."""

    def log(self, row: MetricsRow) -> None:
        """Takes one row."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """How long a run is, and where it stops to look around.

    Attributes:
        num_updates: of the whole run; a multiple of updates_per_chunk.
        schedule_updates: updates over which the schedules run, after which they hold their last
            values; None: all of them.
        updates_per_chunk: updates in one call of the compiled program, and in one row of metrics.
        chunks_per_evaluation: chunks from one evaluation to the next; one is made at the end too.
        chunks_per_checkpoint: chunks from one checkpoint to the next; None: as evaluations.
        checkpoints_kept: the newest checkpoints that stay on disk.

    Raises:
        ConfigurationError: a count is less than 1, or the chunks do not divide the run.
    """

    num_updates: int
    updates_per_chunk: int
    chunks_per_evaluation: int = 1
    chunks_per_checkpoint: int | None = None
    checkpoints_kept: int = 2
    schedule_updates: int | None = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is not None:
                require_positive(field.name, value)
        if self.num_updates % self.updates_per_chunk:
            chunks = -(-self.num_updates // self.updates_per_chunk)
            raise ConfigurationError(
                "expected num_updates to be a multiple of updates_per_chunk, got "
                f"{self.num_updates} and {self.updates_per_chunk}; "
                f"{chunks * self.updates_per_chunk} is one."
            )

    def evaluates(self, update: int) -> bool:
        """Whether meta-test tasks are run after this update."""
        return self._due(update, self.chunks_per_evaluation)

    def saves(self, update: int) -> bool:
        """Whether a checkpoint is written after this update."""
        return self._due(update, self.chunks_per_checkpoint or self.chunks_per_evaluation)

    def _due(self, update: int, chunks: int) -> bool:
        return update == self.num_updates or update % (chunks * self.updates_per_chunk) == 0


LOGGED_PER_EVALUATION = 5
"""Rows of metrics from one evaluation to the next, where there are updates enough."""


def plan_for(
    steps_per_update: int,
    total_steps: int,
    num_evaluations: int,
    schedule_steps: int | None = None,
) -> TrainingPlan:
    """A plan of as many updates as take `total_steps`, rounded up to whole chunks.

    A longer run with the same `schedule_steps` goes through the same chunks first.

    Args:
        steps_per_update: environment steps that an update takes.
        total_steps: environment steps of the run.
        num_evaluations: evaluations over the schedules' steps, at least.
        schedule_steps: environment steps over which the schedules run; None: all.
    """
    wanted = -(-(schedule_steps or total_steps) // steps_per_update)
    chunks_per_evaluation = max(1, min(LOGGED_PER_EVALUATION, wanted // num_evaluations))
    updates_per_chunk = max(1, wanted // (num_evaluations * chunks_per_evaluation))

    def whole_chunks(steps: int) -> int:
        updates = -(-steps // steps_per_update)
        return -(-updates // updates_per_chunk) * updates_per_chunk

    return TrainingPlan(
        num_updates=whole_chunks(total_steps),
        updates_per_chunk=updates_per_chunk,
        chunks_per_evaluation=chunks_per_evaluation,
        schedule_updates=whole_chunks(schedule_steps or total_steps),
    )


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        state: the last one, which is always a good one.
        exit_code: how it ended.
        message: the same for a person, in a sentence.
        update: updates done.
        failed_saves: checkpoints that could not be written.
    """

    state: TrainState
    exit_code: ExitCode
    message: str
    update: int
    failed_saves: int = 0
