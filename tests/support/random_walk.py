"""A run whose updates are cheap and known: a random walk, some of whose steps are skipped."""

import functools
import os

import jax
import jax.numpy as jnp
import numpy as np

from metarl_jax.checkpoint.checkpoint import restore
from metarl_jax.evaluation.evaluation import Evaluation
from metarl_jax.learning.train_state import Algorithm, LearnerState, TrainState
from metarl_jax.policy.normalization import identity_statistics
from metarl_jax.policy.policy import PolicyParams
from metarl_jax.training.plan import ExitCode, TrainingPlan
from metarl_jax.training.train import run_training
from metarl_jax.trees import digest
from support.run_folders import rows_of

PLAN = TrainingPlan(num_updates=24, updates_per_chunk=2, chunks_per_evaluation=3)
STEPS_PER_UPDATE = 3_000_000_000  # more than int32 holds
BAD_UPDATES = (3, 4, 8)


@functools.cache
def walk(bad_updates=()):
    """A random walk of one weight; some of its updates fail and are skipped."""

    def init(key, num_updates=None):
        zero, one = jnp.zeros((), jnp.int32), jnp.ones((), jnp.float32)
        params = PolicyParams(weights={"w": jnp.zeros((), jnp.float32)}, statistics=())
        learner = LearnerState(params, (), (), identity_statistics())
        return TrainState(learner, (), one, zero, zero, zero, key)

    def update(state):
        key, step_key = jax.random.split(state.key)
        w = state.learner.params.weights["w"]
        bad = jnp.isin(state.update + 1, jnp.asarray(bad_updates, jnp.int32))
        w = jnp.where(bad, w, w + jax.random.normal(step_key, (), jnp.float32))
        params = state.learner.params.replace(weights={"w": w})
        state = state.replace(
            learner=state.learner.replace(params=params),
            update=state.update + 1,
            skipped=state.skipped + jnp.where(bad, 1, 0),
            skipped_in_a_row=jnp.where(bad, state.skipped_in_a_row + 1, 0),
            key=key,
        )
        metrics = {
            "w": jnp.where(bad, jnp.nan, w),
            "skipped": state.skipped.astype(jnp.float32),
            "skipped_in_a_row": state.skipped_in_a_row.astype(jnp.float32),
        }
        return state, metrics

    return Algorithm(jax.jit(init, static_argnums=1), update, STEPS_PER_UPDATE)


def evaluate(params):
    """Two tasks, two episodes; tells which weights it was given."""
    w = float(params.weights["w"])
    return Evaluation(np.array([[w, 1.0], [w, 3.0]], np.float32), "")


class Recorder:
    """A reporter and a logger that remembers, and acts on a row where it is told to."""

    def __init__(self, **actions):
        self.warnings, self.records, self.rows = [], [], []
        self.actions = {int(name.removeprefix("at_")): act for name, act in actions.items()}

    def compiling(self, what):
        self.what = what

    def compiled(self, seconds):
        self.compile_seconds = seconds

    def progress(self, row, *, num_updates, total_env_steps):
        self.records.append(row)
        self.totals = (num_updates, total_env_steps)

    def warn(self, message):
        self.warnings.append(message)

    def log(self, row):
        self.rows.append(row)
        if row.update in self.actions:
            self.actions[row.update]()


def run(folder, *, algorithm=None, recorder=None, plan=PLAN, evaluate=evaluate, resume_from=None):
    folder.mkdir(exist_ok=True)
    recorder = recorder or Recorder()
    algorithm = algorithm or walk(BAD_UPDATES)
    return run_training(
        algorithm,
        evaluate,
        plan,
        folder=folder,
        key=jax.random.key(3),
        reporter=recorder,
        loggers=[recorder],
        resume_from=resume_from,
    )


def kill(number):
    return lambda: os.kill(os.getpid(), number)


def assert_undisturbed(folder, outcome, undisturbed):
    """Parameters and rows are, bit for bit, those of the undisturbed run."""
    other_folder, other = undisturbed
    assert outcome.exit_code == ExitCode.FINISHED
    assert digest(outcome.state) == digest(other.state)
    assert rows_of(folder) == rows_of(other_folder)
    template = jax.eval_shape(walk().init, jax.random.key(0))
    assert digest(restore(folder / "checkpoints", template).state) == digest(other.state)
