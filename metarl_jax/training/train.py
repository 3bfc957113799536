"""Training: begins a run or goes on with one, and sees that it ends well.

Nothing depends on the wall clock but the fields named in `WALL_CLOCK_FIELDS`: a run that was
stopped and resumed has the parameters and the rows of one that never was.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from metarl_jax.checkpoint.checkpoint import restore
from metarl_jax.checkpoint.folder import set_aside_newer, steps, unfinished
from metarl_jax.files import require_own
from metarl_jax.learning.train_state import Algorithm, TrainState, initial_shapes
from metarl_jax.parallel.processes import StopVote, broadcast_from_first, is_first, on_all_processes
from metarl_jax.parallel.signals import stop_requests
from metarl_jax.training.chunks import Chunk, ChunkRunner, compile_chunk
from metarl_jax.training.loop import Run
from metarl_jax.training.memory_budget import require_room
from metarl_jax.training.metrics_file import MetricsFile, keep_rows_until, read_rows
from metarl_jax.training.plan import (
    Evaluate,
    ExitCode,
    Logger,
    Outcome,
    Reporter,
    TrainingPlan,
)
from metarl_jax.training.run_lock import held
from metarl_jax.types import ConfigurationError, Key


def run_training(
    algorithm: Algorithm,
    evaluate: Evaluate,
    plan: TrainingPlan,
    *,
    folder: Path,
    key: Key,
    reporter: Reporter,
    loggers: Sequence[Logger] = (),
    resume_from: Literal["latest"] | int | None = None,
    prepare: Callable[[TrainState], TrainState] = lambda state: state,
    on_start: Callable[[], object] = lambda: None,
) -> Outcome:
    """Trains, and leaves `metrics.jsonl` and `checkpoints/` in the run's folder.

    SIGINT, SIGTERM and SIGHUP finish the chunk, save, and return; a second SIGINT or SIGTERM ends
    the process at once.
    An exception from a logger, the evaluation or elsewhere passes on once the state is saved; of
    several processes not where an evaluation is due, which takes all of them. That a logger finds
    no room, or no server, is told, and training goes on.

    Where `jax.distributed` has joined several processes, each calls this with the same arguments on
    a file system they share. A signal to one stops all, three chunks later at most; the first alone
    has loggers and writes metrics.

    Args:
        algorithm: what is run.
        evaluate: params -> returns on a fixed set of meta-test tasks, with a fixed key.
        plan: how long.
        folder: the run's; exists.
        key: of the first train state; not looked at when resuming.
        reporter: the console.
        loggers: more places for the rows.
        resume_from: None begins; "latest" or an update's number goes on from its checkpoint, and
            later rows and checkpoints are dropped and set aside. A run without a checkpoint
            begins again at "latest".
        prepare: what the first train state becomes before training: a warm start, for instance.
        on_start: called once the run's folder is held and the first state is there.

    Returns:
        The outcome.

    Raises:
        ConfigurationError: the folder holds a run already, or none that can be resumed; or the
            compiled program needs more memory than there is.
        PeerError: another process is training it.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(held(folder))
        run = _Beginning(algorithm, plan, folder, key, reporter, prepare)
        state, saved = _first(run, resume_from)
        on_all_processes(lambda: on_start() if is_first() else None)
        update = saved or 0
        if update == plan.num_updates:
            message = f"nothing left to do: all {update} updates are done."
            return Outcome(state, ExitCode.FINISHED, message, update)
        stop_vote = StopVote(stack.enter_context(stop_requests()))
        chunk = _compile(run, state, resumed=resume_from is not None)
        rows = read_rows(folder / "metrics.jsonl")
        # Made after the compilation, so that a run that does not compile leaves no run behind.
        metrics = MetricsFile(folder / "metrics.jsonl" if is_first() else None)
        stack.enter_context(contextlib.closing(metrics))
        runner = stack.enter_context(contextlib.closing(ChunkRunner(chunk, state, stop_vote.vote)))
        in_motion = Run(
            algorithm=algorithm,
            evaluate=evaluate,
            plan=plan,
            folder=folder,
            reporter=reporter,
            loggers=loggers if is_first() else (),
            runner=runner,
            update=update,
            saved=saved,
            metrics=metrics,
            stop_vote=stop_vote,
            past_seconds=(rows[-1].seconds or 0.0) if rows else 0.0,
        )
        return in_motion.run_to_completion()


@dataclasses.dataclass(frozen=True)
class _Beginning:
    """A run that is about to begin or to go on."""

    algorithm: Algorithm
    plan: TrainingPlan
    folder: Path
    key: Key
    reporter: Reporter
    prepare: Callable[[TrainState], TrainState]

    @property
    def schedule_updates(self) -> int:
        return self.plan.schedule_updates or self.plan.num_updates

    def first_state(self) -> TrainState:
        return self.prepare(self.algorithm.init(self.key, self.schedule_updates))

    def shapes(self) -> TrainState:
        return initial_shapes(self.algorithm, self.key, self.schedule_updates)


def _compile(run: _Beginning, state: TrainState, *, resumed: bool) -> Chunk:
    """The program of a chunk, which fits into this machine's memory."""
    algorithm, updates = run.algorithm, run.plan.updates_per_chunk
    run.reporter.compiling(f"{updates} updates")
    began = time.monotonic()
    chunk = compile_chunk(algorithm, updates, state)
    run.reporter.compiled(time.monotonic() - began)
    sizes = algorithm.chunk_sizes
    on_all_processes(lambda: require_room(chunk, sizes, run.folder, alone=resumed))
    return chunk


def _first(
    run: _Beginning, resume_from: Literal["latest"] | int | None
) -> tuple[TrainState, int | None]:
    """The state to go on from, and the update of its checkpoint: None where there is none yet."""
    folder = run.folder
    on_all_processes(lambda: require_own(folder / "metrics.jsonl", folder / "checkpoints"))
    if resume_from is None:
        require_new(folder)
        return run.first_state(), None
    return _resume(run, None if resume_from == "latest" else resume_from)


def require_new(folder: Path) -> None:
    """Refuses a folder that holds a run.

    Raises:
        ConfigurationError: it does.
    """

    def look() -> str:
        if (folder / "metrics.jsonl").exists() or steps(folder / "checkpoints"):
            raise ConfigurationError(
                f"expected a folder without a run, got {folder}, which holds one; go on "
                "with it (resume=True, or metarl train --resume), or give another folder."
            )
        return ""

    broadcast_from_first(look)


def _resume(run: _Beginning, step: int | None) -> tuple[TrainState, int | None]:
    folder, plan, reporter = run.folder, run.plan, run.reporter
    if step is None and _is_new(folder):
        reporter.warn("the run was stopped before its first checkpoint and begins again.")
        _drop_after(folder, 0)
        return run.first_state(), None
    restored = restore(folder / "checkpoints", run.shapes(), step)
    for reason in restored.passed_over:
        reporter.warn(f"passed over in {folder / 'checkpoints'}: {reason}")
    update = restored.step
    if update > plan.num_updates or update % plan.updates_per_chunk:
        raise ConfigurationError(
            f"expected a checkpoint at a multiple of {plan.updates_per_chunk} updates and at most "
            f"{plan.num_updates}, got {update} in {folder}; resume with the run's own settings."
        )
    if set_aside := _drop_after(folder, update):
        reporter.warn(f"set aside, being newer than update {update}: {set_aside}")
    last = max((row.update for row in read_rows(folder / "metrics.jsonl")), default=0)
    if last < update:  # a machine without power, or another hand
        reporter.warn(f"metrics.jsonl ends with update {last}: the rows up to {update} are gone.")
    return restored.state, update


def _is_new(folder: Path) -> bool:
    """Whether a run was stopped before its first checkpoint."""

    def look() -> str:
        begun = unfinished(folder / "checkpoints")  # it was killed in its first save
        nothing = all(entry in begun for entry in folder.glob("checkpoints/*"))
        return "new" if folder.is_dir() and nothing else ""

    return bool(broadcast_from_first(look))


def _drop_after(folder: Path, update: int) -> str:
    """Drops the rows of later updates and sets their checkpoints aside; their new names."""

    def drop() -> str:
        newer = set_aside_newer(folder / "checkpoints", update)  # first: they know the rows gone
        keep_rows_until(folder / "metrics.jsonl", update)
        return ", ".join(newer)

    return broadcast_from_first(drop)
