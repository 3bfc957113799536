"""A task family, a memory, a loss and an optimizer of one's own, in one file.

metarl check corridor.py:min_gru
metarl train corridor.py:corridor --memory corridor.py:min_gru --objective corridor.py:objective \
    --optimizer corridor.py:lion --hyperparameter prediction_weight=0.5,0.0
"""

import jax
import jax.numpy as jnp
import optax
from gymnax.environments import environment, spaces

from metarl_jax import Loss, Memory, TaskDistribution, a2c_objective


class Corridor(environment.Environment):
    """A corridor with cheese at one of its ends. The task: which end, -3 or +3."""

    def reset_env(self, key, task):
        return jnp.zeros((1,), jnp.float32), jnp.zeros((), jnp.float32)

    def step_env(self, key, x, action, task):
        x = x + jnp.where(action == 1, 1.0, -1.0)
        return x[None], x, jnp.float32(x == task), x == task, {}

    def action_space(self, task):
        return spaces.Discrete(2)

    def observation_space(self, task):
        return spaces.Box(-9.0, 9.0, (1,))


def corridor(*, num_episodes: int = 3) -> TaskDistribution:
    """A corridor with cheese at one of its ends."""
    return TaskDistribution(
        name="corridor",
        environment=Corridor(),
        episode_length=9,
        num_episodes=num_episodes,
        ends_early=True,
        describe=lambda task: task[None],
        sample=lambda key: 3.0 * jax.random.rademacher(key, (), jnp.float32),
    )


def min_gru(*, hidden_size: int = 32) -> Memory:
    """A GRU whose gate and candidate do not read its state, so that time is a parallel scan.

        z_t = sigmoid(W_z x_t),   h_t = (1 - z_t) * h_{t-1} + z_t * (W_h x_t)

    Reference: Feng, Tung, Ahmed, Bengio, Hajimirsadeghi 2024, "Were RNNs all we needed?", eq. 5.
    """

    def init(key, x):
        inputs = x.transition.shape[-1] + x.observation.shape[-1]
        return jax.random.normal(key, (inputs, 2 * hidden_size), jnp.float32) / inputs**0.5

    def gate_and_candidate(weights, x):
        both = jnp.concatenate([x.transition, x.observation], axis=-1) @ weights
        z, candidate = jnp.split(both, 2, axis=-1)
        return jax.nn.sigmoid(z), candidate

    def step(weights, carry, x):
        z, candidate = gate_and_candidate(weights, x)
        carry = (1 - z) * carry + z * candidate
        return carry, carry

    def unroll(weights, carry, xs):
        z, candidate = gate_and_candidate(weights, xs)
        then = lambda first, second: (first[0] * second[0], first[1] * second[0] + second[1])
        kept, added = jax.lax.associative_scan(then, (1 - z, z * candidate))
        states = kept * carry[None] + added
        return states[-1], states

    return Memory(
        name="min_gru",
        init=init,
        initial_carry=lambda key: jnp.zeros((hidden_size,), jnp.float32),
        step=step,
        unroll=unroll,
        parallel=True,
    )


def reward_prediction() -> Loss:
    """½ (r̂ - r)²: the features at a step and the action taken there predict the reward."""

    def init(key, shapes):
        return jax.random.normal(key, (shapes.features.shape[-1] + 2,), jnp.float32) / 8

    def apply(weights, outputs, rollout, targets):
        action = jax.nn.one_hot(rollout.action, 2, dtype=jnp.float32)
        predicted = jnp.concatenate([outputs.features, action], axis=-1) @ weights
        error = 0.5 * jnp.square(predicted - rollout.outcome.reward)
        return error, {"reward_prediction": error}

    return Loss(apply, init)


def objective(h):
    """A2C's loss, and the prediction of rewards with a weight of its own."""
    return a2c_objective(h) + h["prediction_weight"] * reward_prediction()


def lion(h):
    """Lion, after clipping by the global norm."""
    clip = optax.clip_by_global_norm(h["max_gradient_norm"])
    return optax.chain(clip, optax.lion(h["learning_rate"]))
