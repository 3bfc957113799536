"""A run in motion: chunks of updates on the device, everything else around them.

    state ──chunk──▶ state ──chunk──▶ state ──chunk──▶ …      one compiled scan, the state donated
             └─ metrics i, fetched while chunk i + 1 runs ─▶ metrics.jsonl, loggers, console

The device waits only where a chunk ends on an evaluation or a checkpoint. Of several processes each
runs this loop, in step with the others; the first one writes.
"""

import contextlib
import dataclasses
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import jax

from metarl_jax.checkpoint.checkpoint import SaveError, save
from metarl_jax.files import reason
from metarl_jax.learning.diagnosis import explain
from metarl_jax.learning.train_state import Algorithm
from metarl_jax.parallel.processes import StopVote, is_first
from metarl_jax.training.chunks import ChunkRunner, InFlight, fetch
from metarl_jax.training.metrics_file import MetricsFile
from metarl_jax.training.metrics_row import MetricsRow
from metarl_jax.training.plan import (
    FAILED_SAVES_IN_A_ROW,
    SKIPPED_IN_A_ROW,
    Evaluate,
    ExitCode,
    Logger,
    Outcome,
    Reporter,
    TrainingPlan,
)


@dataclasses.dataclass
class Run:
    """A run in motion: `update` updates were started, the last of them perhaps still in flight."""

    algorithm: Algorithm
    evaluate: Evaluate
    plan: TrainingPlan
    folder: Path
    reporter: Reporter
    loggers: Sequence[Logger]
    runner: ChunkRunner
    update: int
    saved: int | None  # the update of the newest checkpoint
    metrics: MetricsFile
    stop_vote: StopVote
    past_seconds: float  # of the run before it was resumed
    failed_saves: int = 0
    failed_in_a_row: int = 0
    unrecorded: list[tuple[int, InFlight]] = dataclasses.field(default_factory=list)
    began: float = dataclasses.field(default_factory=time.monotonic)
    mark: float = 0.0  # when the device began on the oldest unrecorded chunk

    def run_to_completion(self) -> Outcome:
        """`loop`; whatever else ends it, what there is gets saved first."""
        try:
            return self.loop()
        except BaseException:
            self.rescue()
            raise

    def loop(self) -> Outcome:
        """Runs to the end, or until stopped."""
        stop = self.stop_vote
        if stop.signal is not None:  # it came while compiling
            return self.stopped(stop.signal)
        self.dispatch()
        while True:
            update, in_flight = self.unrecorded[0]
            waits = (
                stop.signal is not None or self.plan.evaluates(update) or self.plan.saves(update)
            )
            if not waits:
                self.dispatch()
            row = self.make_row(update, in_flight)
            self.record(row)
            if (row.skipped_in_a_row or 0) >= SKIPPED_IN_A_ROW:
                return self.diverged(row)
            if not waits:
                continue
            if stop.signal is not None:
                return self.stopped(stop.signal)
            if update >= self.plan.num_updates:
                return self.end(ExitCode.FINISHED, f"finished {update} updates")
            if self.plan.saves(update) and not self.save() and self.disk_is_full():
                return self.not_saved(f"stopped after {self.failed_in_a_row} saves that failed")
            self.dispatch()

    def dispatch(self) -> None:
        """Starts the next chunk; does not wait for it."""
        if not self.unrecorded:
            self.mark = time.monotonic()
        self.update += self.plan.updates_per_chunk
        self.unrecorded.append((self.update, self.runner.start()))

    def make_row(self, update: int, in_flight: InFlight) -> MetricsRow:
        """Waits for a chunk's metrics; evaluates where it is due, with the state waiting there."""
        row = self.numbers(update, in_flight)
        return self.evaluated(row) if self.plan.evaluates(update) else row

    def numbers(self, update: int, in_flight: InFlight) -> MetricsRow:
        """Waits for a chunk's metrics; how far the run is, and how fast this chunk was."""
        values = self.stop_vote.tally(fetch(in_flight))
        now = time.monotonic()
        steps_per_chunk = self.algorithm.steps_per_update * self.plan.updates_per_chunk
        row = MetricsRow.of_chunk(
            values,
            update=update,
            env_steps=update * self.algorithm.steps_per_update,
            seconds=round(self.past_seconds + now - self.began, 3),
            env_steps_per_second=round(steps_per_chunk / max(now - self.mark, 1e-9), 1),
        )
        self.mark = now
        return row

    def evaluated(self, row: MetricsRow) -> MetricsRow:
        """The row with an evaluation of the policy as it is now, on the meta-test tasks."""
        params = self.runner.state.learner.params
        begin = time.monotonic()
        evaluation = self.evaluate(params)
        return row.with_evaluation(evaluation, round(time.monotonic() - begin, 3))

    def record(self, row: MetricsRow) -> None:
        """Writes a row: to the file first, so that what fails later finds it there."""
        if error := self.metrics.append(row):
            self.reporter.warn(f"metrics.jsonl waits for room, {reason(error)}; training goes on.")
        self.unrecorded.pop(0)
        for logger in self.loggers:
            try:
                logger.log(row)
            except OSError as error:
                self.reporter.warn(f"{type(logger).__name__}: {reason(error)}; training goes on.")
        self.reporter.progress(
            row,
            num_updates=self.plan.num_updates,
            total_env_steps=self.plan.num_updates * self.algorithm.steps_per_update,
        )

    def save(self, *, alone: bool = False) -> bool:
        """Saves the state, unless that is done already; a failure is told and counted."""
        if self.saved == self.update:
            return True
        env_steps = self.update * self.algorithm.steps_per_update
        numbers = {"update": self.update, "env_steps": env_steps}
        folder, keep = self.folder / "checkpoints", self.plan.checkpoints_kept
        try:
            state, rows = self.runner.state, self.write_rows
            save(folder, self.update, state, numbers, keep=keep, alone=alone, before=rows)
        except SaveError as error:
            self.failed_saves += 1
            self.failed_in_a_row += 1
            self.reporter.warn(f"{error}; failed saves so far: {self.failed_saves}.")
            return False
        self.saved, self.failed_in_a_row = self.update, 0
        return True

    def write_rows(self) -> None:
        """No checkpoint without the rows before it, which a resumed run would not write again."""
        if error := self.metrics.sync():
            raise error

    def disk_is_full(self) -> bool:
        """Whether no save has worked for so long that none will."""
        return self.failed_in_a_row >= FAILED_SAVES_IN_A_ROW

    def stopped(self, asked: signal.Signals) -> Outcome:
        """Ends because a signal asked for it."""
        code = ExitCode.INTERRUPTED if asked == signal.SIGINT else ExitCode.TERMINATED
        done = f"stopped by {asked.name} after {self.update} of {self.plan.num_updates} updates"
        return self.end(code, done)

    def diverged(self, row: MetricsRow) -> Outcome:
        """Ends because updates have not been finite for long; the state is the last good."""
        self.drain()
        found = ""
        with contextlib.suppress(Exception):  # what the update cannot do, this may not either
            found = explain(self.algorithm, self.runner.state)
        return self.end(
            ExitCode.DIVERGED,
            f"diverged by update {row.update}: {row.skipped_in_a_row:.0f} updates in a row "
            "were skipped because what they led to was not finite"
            f"{f' ({found})' if found else ''}; look for NaN in rewards and observations, or lower "
            "the learning rate; the parameters are the last good ones",
        )

    def drain(self) -> None:
        """Records the chunk that was in flight when the end came."""
        for update, in_flight in list(self.unrecorded):
            self.record(self.make_row(update, in_flight))

    def end(self, code: ExitCode, what: str) -> Outcome:
        """Saves, and says how it ended."""
        if not self.save():
            return self.not_saved(what)
        # A signal may have come since the last chunk began.
        if code == ExitCode.FINISHED and (asked := self.stop_vote.poll()):
            return self.stopped(asked)
        message = f"{what}; saved in {self.folder}."
        return Outcome(self.runner.state, code, message, self.update, self.failed_saves)

    def not_saved(self, what: str) -> Outcome:
        """Ends with a state that is nowhere but in memory."""
        message = f"{what}; this could not be saved; there is {self.newest_checkpoint()}."
        state, code = self.runner.state, ExitCode.NOT_SAVED
        return Outcome(state, code, message, self.update, self.failed_saves)

    def rescue(self) -> None:
        """Saves what there is after an exception; what fails here must not hide that exception.

        The other processes may be gone, or know nothing of it: the first saves alone.
        """
        if not is_first():
            return
        try:
            for update, in_flight in self.unrecorded:
                if self.plan.evaluates(update) and jax.process_count() > 1:
                    newest = self.newest_checkpoint()  # going on from it, it is evaluated anew
                    self.reporter.warn(f"not evaluated, nor saved; there is {newest}.")
                    return
                row = self.numbers(update, in_flight)
                with contextlib.suppress(Exception):  # it may be what has failed
                    row = self.evaluated(row) if self.plan.evaluates(update) else row
                self.metrics.append(row)
            self.save(alone=True)
        except Exception as error:
            newest = self.newest_checkpoint()
            self.reporter.warn(
                f"the state could not be saved ({reason(error)}); there is {newest}."
            )

    def newest_checkpoint(self) -> str:
        """What a person can go back to."""
        return "no checkpoint" if self.saved is None else f"a checkpoint of update {self.saved}"
