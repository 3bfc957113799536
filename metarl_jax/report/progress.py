"""Where a run stands, folded from its rows."""

import dataclasses

from metarl_jax.training.metrics_row import MetricsRow

SMOOTHING = 0.3
"""Weight of the newest speed in the average that predicts the time left."""


@dataclasses.dataclass(frozen=True)
class Progress:
    """The newest of everything a run has reported.

    Attributes:
        env_steps: environment steps so far.
        total_env_steps: of the whole run; None where unknown.
        steps_per_second: environment steps a second, averaged over the last rows; None at first.
        reported_at: time of the last row, in seconds of some steady clock.
        row: the last one; None before the first.
        meta_test: mean return of each episode, of the last evaluation; empty before the first.
        meta_test_steps: environment steps at that evaluation.
        history: total of `meta_test` at every evaluation so far.
        just_evaluated: whether the last row held an evaluation.
    """

    env_steps: int = 0
    total_env_steps: int | None = None
    steps_per_second: float | None = None
    reported_at: float = 0.0
    row: MetricsRow | None = None
    meta_test: tuple[float, ...] = ()
    meta_test_steps: int = 0
    history: tuple[float, ...] = ()
    just_evaluated: bool = False

    def after(self, row: MetricsRow, now: float, total_env_steps: int | None = None) -> "Progress":
        """The progress after one more row of `metrics.jsonl`.

        Args:
            row: the new one; an evaluation that it lacks stays as it was.
            now: seconds of a steady clock.
            total_env_steps: of the whole run; None where unknown, or as it was.
        """
        returns = tuple(row.meta_test_episode_returns or ())
        progress = dataclasses.replace(
            self,
            env_steps=row.env_steps,
            total_env_steps=total_env_steps or self.total_env_steps,
            steps_per_second=self._speed(row.env_steps_per_second),
            reported_at=now,
            row=row,
            just_evaluated=len(returns) > 0,
        )
        if not progress.just_evaluated:
            return progress
        return dataclasses.replace(
            progress,
            meta_test=returns,
            meta_test_steps=progress.env_steps,
            history=(*self.history, sum(returns)),
        )

    def _speed(self, newest: float | None) -> float | None:
        if newest is None or self.steps_per_second is None:
            return newest or self.steps_per_second
        return SMOOTHING * newest + (1 - SMOOTHING) * self.steps_per_second

    @property
    def fraction(self) -> float | None:
        """Part of the run that is done, 0 to 1; None where its length is unknown."""
        if not self.total_env_steps:
            return None
        return min(1.0, self.env_steps / self.total_env_steps)

    def seconds_left(self, now: float) -> float | None:
        """Predicted seconds to the end, on the same clock as `reported_at`; None where unknown."""
        if not self.total_env_steps or not self.steps_per_second:
            return None
        left = (self.total_env_steps - self.env_steps) / self.steps_per_second
        return max(0.0, left - (now - self.reported_at))
