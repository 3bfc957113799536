"""Real algorithms through the loop: stopped and resumed, diverging, and compiled just once."""

import logging
import os
import signal
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_envs.cheetah import cheetah_vel
from metarl_jax.checkpoint.checkpoint import CheckpointError, restore
from metarl_jax.checkpoint.folder import steps
from metarl_jax.evaluation.evaluate import make_task_evaluator, meta_test_tasks
from metarl_jax.learning.algorithms import a2c, ppo
from metarl_jax.learning.schedules import hyperparameters
from metarl_jax.learning.train_state import Algorithm, UpdateConfig
from metarl_jax.memory import gru
from metarl_jax.training.plan import ExitCode, TrainingPlan
from metarl_jax.training.train import run_training
from metarl_jax.trees import digest
from support.probes import small_policy, tiny_bandit
from support.run_folders import rows_of

NUM_UPDATES = 24
PLAN = TrainingPlan(num_updates=NUM_UPDATES, updates_per_chunk=2, chunks_per_evaluation=2)
TASKS = tiny_bandit()
CONFIG = UpdateConfig(num_tasks=4)
SCHEDULES = hyperparameters(learning_rate=(1e-2, 1e-3), entropy_coefficient=(0.01, 0.01, 0.01))


class Quiet:
    """A reporter that may ask the process to stop, after a row."""

    def __init__(self, stop_at=None):
        self.stop_at = stop_at

    def compiling(self, what):
        assert what == "2 updates"

    def compiled(self, seconds):
        assert seconds > 0

    def progress(self, row, *, num_updates, total_env_steps):
        assert num_updates == PLAN.num_updates and total_env_steps > 0
        if row.update == self.stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    def warn(self, message):
        raise AssertionError(message)


class Compilations(logging.Handler):
    """Names of the programs that jax compiles, in order."""

    def __init__(self):
        super().__init__()
        self.names = []

    def emit(self, record):
        message = record.getMessage()
        if message.startswith("Finished XLA compilation of "):
            self.names.append(message.split()[4])


@pytest.fixture(scope="module")
def compilations():
    """Every compilation from here on; the logger is put back afterwards."""
    handler, logger = Compilations(), logging.getLogger("jax._src.dispatch")
    logger.addHandler(handler)
    jax.config.update("jax_log_compiles", True)
    yield handler.names
    jax.config.update("jax_log_compiles", False)
    logger.removeHandler(handler)


class Program(NamedTuple):
    algorithm: Algorithm
    evaluate: Callable[[Any], Any]


def program(tasks, make_algorithm, **options):
    """An algorithm, and an evaluator on a fixed set of tasks."""
    policy = small_policy(tasks)
    evaluator = make_task_evaluator(tasks, policy)
    meta_test, key = meta_test_tasks(tasks, jax.random.key(1), 8), jax.random.key(2)
    return Program(
        make_algorithm(tasks, policy, SCHEDULES, CONFIG, **options),
        lambda params: evaluator(params, meta_test, key),
    )


@pytest.fixture(scope="module")
def programs():
    minibatches = {"epochs": 2, "minibatches": 2}
    return {
        "a2c": program(TASKS, a2c),
        "ppo": program(TASKS, ppo, **minibatches),
        "ppo on real physics": program(cheetah_vel(episode_length=20), ppo, **minibatches),
    }


def run(folder, program, *, stop_at=None, resume_from=None):
    folder.mkdir(exist_ok=True)
    return run_training(
        program.algorithm,
        program.evaluate,
        PLAN,
        folder=folder,
        key=jax.random.key(7),
        reporter=Quiet(stop_at),
        resume_from=resume_from,
    )


@pytest.mark.parametrize("name", ["a2c", "ppo", "ppo on real physics"])
def test_resumed_is_bit_equal_and_nothing_is_compiled_twice(name, programs, compilations, tmp_path):
    program = programs[name]
    compilations.clear()
    first, second = tmp_path / "never_stopped", tmp_path / "stopped"
    whole = run(first, program)
    assert compilations.count("jit(chunk)") == 1
    compilations.clear()
    stopped = run(second, program, stop_at=6)
    assert stopped.exit_code == ExitCode.TERMINATED
    assert steps(second / "checkpoints")[0] == stopped.update < NUM_UPDATES
    resumed = run(second, program, resume_from="latest")
    assert compilations == []
    assert resumed.exit_code == whole.exit_code == ExitCode.FINISHED
    assert digest(resumed.state) == digest(whole.state)
    assert digest(whole.state) != digest(stopped.state)
    assert rows_of(second) == rows_of(first)
    assert sum("meta_test_total_return" in row for row in rows_of(first)) == 6


def test_ten_updates_that_are_not_finite_stop_a_real_run(programs, tmp_path):
    """The entropy's weight turns into NaN midway: so do the loss and every gradient."""
    poisoned = SCHEDULES.replace(entropy_coefficient=jnp.array([0.01, 0.01, jnp.nan], jnp.float32))
    algorithm, evaluate = programs["a2c"]

    def init(key, num_updates):
        own = jax.tree.map(jnp.copy, poisoned)  # a run consumes its state
        return algorithm.init(key, num_updates).replace(hyperparameters=own)

    outcome = run(tmp_path / "run", Program(algorithm._replace(init=init), evaluate))
    assert outcome.exit_code == ExitCode.DIVERGED
    assert outcome.message.startswith("diverged by update 22: 10 updates in a row were skipped")
    rows = rows_of(tmp_path / "run")
    last_good = next(row["update"] for row in rows if row["skipped"]) - PLAN.updates_per_chunk
    assert last_good == 12
    assert all(row["entropy"] is not None for row in rows)
    saved = restore(tmp_path / "run" / "checkpoints", outcome.state)
    assert saved.step == outcome.update
    floats = [x for x in jax.tree.leaves(saved.state.learner) if x.dtype == jnp.float32]
    assert all(np.all(np.isfinite(x)) for x in floats)


def test_another_architecture_is_refused_by_its_first_leaf(programs, tmp_path):
    run(tmp_path / "run", programs["a2c"], stop_at=2)
    wider = a2c(TASKS, small_policy(TASKS, gru(16)), SCHEDULES, CONFIG)
    with pytest.raises(
        CheckpointError, match=r"weights\['heads'\]\S* expected float32\[24, .*got float32\[16, "
    ):
        run(
            tmp_path / "run",
            programs["a2c"]._replace(algorithm=wider),
            resume_from="latest",
        )
