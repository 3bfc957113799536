"""A process that walks at random and tells what it has saved, until somebody kills it."""

from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from metarl_jax.training import loop as run_loop
from metarl_jax.training.plan import TrainingPlan
from support.random_walk import run

PLAN = TrainingPlan(num_updates=2_000, updates_per_chunk=1)
"""It saves after every update."""
# Forks of one process that has imported everything: a start takes a second instead of six.
STARTS = get_context("forkserver")
STARTS.set_forkserver_preload(["support.walking_process", "orbax.checkpoint"])


def walk_and_tell(folder: Path, teller: Connection) -> None:
    """Begins a run, or goes on with it; sends the number of every save that is finished."""
    save = run_loop.save

    def save_and_tell(folder: Path, step: int, *arguments: object, **options: object) -> None:
        save(folder, step, *arguments, **options)
        teller.send(step)

    run_loop.save = save_and_tell
    run(folder, plan=PLAN, resume_from="latest")


@contextmanager
def walking(folder: Path) -> Iterator[tuple[BaseProcess, Connection]]:
    """The process, and what it tells; it is killed where this ends."""
    ear, teller = STARTS.Pipe(duplex=False)
    process = STARTS.Process(target=walk_and_tell, args=(folder, teller))
    process.start()
    teller.close()
    try:
        yield process, ear
    finally:
        process.kill()
        process.join()
