"""Scripted meta-episodes with noise for rewards and values, and a learner past its first steps."""

import jax
import jax.numpy as jnp
import numpy as np

from metarl_jax.learning.losses import policy_gradient
from metarl_jax.learning.optimizers import adam
from metarl_jax.learning.returns import DiscountMode
from metarl_jax.learning.schedules import Hyperparameters, at_progress, hyperparameters
from metarl_jax.learning.train_state import AlgorithmSpec, LearnerState, UpdateConfig
from metarl_jax.policy.distributions import Categorical
from metarl_jax.policy.normalization import RunningStatistics, identity_statistics
from metarl_jax.policy.policy import PolicyOutput, PolicyParams, Statistics
from metarl_jax.rollout import Rollout, collect, start, task_keys
from metarl_jax.tasks.meta_episode import MetaEpisode
from support.probes import counter, scripted_policy


def untold(rollout: Rollout) -> jax.Array:
    """[B, 0]: of tasks that nothing is told of."""
    return jnp.zeros((rollout.value.shape[1], 0))


TASKS = counter(ends_early=True)  # H = 3, E = 3
NUM_STEPS, NUM_TASKS = 9, 4
# Task 0 never ends early; task 1 ends each episode after two steps; 2 after one; 3 its first.
SCRIPT = np.array(
    [
        [0, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 1, 0, 1, 0, 1, 0, 0, 0],
        [1, 1, 1, 1, 1, 1, 1, 1, 1],
        [2, 1, 2, 2, 2, 2, 2, 2, 2],
    ]
)


def level(mean: float, variance: float) -> RunningStatistics:
    return RunningStatistics(jnp.float32(mean), jnp.float32(variance), jnp.float32(10))


LEARNER = LearnerState(
    params=PolicyParams((), Statistics(identity_statistics((3,)), level(0, 1), level(0.5, 4.0))),
    loss_params=(),
    optimizer_state=(),
    advantage=level(1.0, 2.25),
)


def problem(mode: DiscountMode = "meta", baseline: bool = True) -> AlgorithmSpec:
    config = UpdateConfig(num_tasks=NUM_TASKS, discount_mode=mode, normalize_observations=True)
    return AlgorithmSpec(
        scripted_policy(SCRIPT),
        MetaEpisode(TASKS),
        config,
        lambda h: policy_gradient(),
        adam,
        baseline,
    )


def scalars(**changes: float) -> Hyperparameters:
    given = {"discount": 0.9, "boundary_discount": 0.4, "gae_lambda": 0.7, "clip_ratio": 0.2}
    return at_progress(hyperparameters(**(given | changes)), jnp.float32(0))


def scripted_rollout() -> Rollout:
    """Four scripted meta-episodes of 9, 6, 3 and 8 steps, with rewards and values of noise."""
    assert TASKS.all_tasks is not None
    tasks = jax.tree.map(lambda x: x[:NUM_TASKS], TASKS.all_tasks())

    @jax.jit
    def run() -> Rollout:
        policy, meta_episode, *_ = problem()
        actors = start(policy, meta_episode, tasks, task_keys(jax.random.key(0), NUM_TASKS))
        return collect(policy, (), meta_episode, actors)[1]

    played = run()
    rng = np.random.default_rng(0)
    noise = lambda: jnp.asarray(rng.normal(size=(NUM_STEPS, NUM_TASKS)), jnp.float32)
    reward = jnp.where(played.outcome.valid, noise(), 0.0)
    return played.replace(
        value=noise(), log_prob=-1.0 + 0.3 * noise(), outcome=played.outcome.replace(reward=reward)
    )


def random_outputs() -> PolicyOutput:
    """What some policy over three actions might say at the steps of `scripted_rollout`."""
    rng = np.random.default_rng(1)
    noise = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)
    return PolicyOutput(
        Categorical(noise(NUM_STEPS, NUM_TASKS, 3)),
        noise(NUM_STEPS, NUM_TASKS),
        jnp.zeros((NUM_STEPS, NUM_TASKS, 0)),
    )
