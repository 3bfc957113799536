"""What an update makes of fresh actors: one gradient step through the rollout, or many on a batch.

Both take a device's tasks in parts where they are told to, and then mean the parts' gradients.
"""

from typing import Any

import jax
import jax.numpy as jnp

from metarl_jax.learning.gradient import (
    gradient_step,
    make_targets,
    mean_gradient,
    observe,
    seen,
    total_loss,
)
from metarl_jax.learning.schedules import Hyperparameters
from metarl_jax.learning.train_state import Learner, Measurements, Problem, StepSums
from metarl_jax.policy.policy import Policy, PolicyOutput, PolicyParams
from metarl_jax.rollout import Actors, Rollout, collect, task_keys, undiscounted_returns
from metarl_jax.tasks.meta_episode import MetaEpisode
from metarl_jax.types import Array, ConfigurationError, Key, PyTree


def collect_then_unroll(
    policy: Policy,
    params: PolicyParams,
    meta_episode: MetaEpisode,
    actors: Actors,
    num_steps: int | None = None,
) -> tuple[Actors, Rollout, PolicyOutput]:
    """`collect`, whose outputs come from unrolling the policy again over what it read.

    The same values and the same gradient as the single pass, with the forward pass done twice: for
    memories whose `unroll` is a better forward pass than their `step`; attention's is.

    Args:
        policy: what acts.
        params: its parameters, in which the outputs are differentiable.
        meta_episode: how episodes are strung together.
        actors: [B], where they stand.
        num_steps: T; a whole meta-episode by default.

    Returns:
        As `collect`: the actors after T steps, the rollout [T, B], the outputs [T, B, ...].
    """
    after, rollout, _ = collect(
        policy, jax.lax.stop_gradient(params), meta_episode, actors, num_steps
    )
    _, outputs = policy.unroll(params, actors.carry, rollout.experience)
    return after, rollout, outputs


class OneStep:
    """The `learn` of A2C and REINFORCE: one gradient step a window."""

    def __init__(self, problem: Problem, windows: int, single_pass: bool) -> None:
        length = problem.meta_episode.length
        if windows < 1 or length % windows:
            raise ConfigurationError(
                f"windows must divide the {length} steps of a meta-episode, got {windows}; "
                f"{_nearest_divisor(length, windows)} would."
            )
        self.problem, self.windows = problem, windows
        self.num_steps = length // windows
        self.forward = collect if single_pass else collect_then_unroll

    def __call__(
        self, learner: Learner, h: Hyperparameters, actors: Actors, key: Key
    ) -> tuple[Learner, Measurements]:
        del key
        if self.windows == 1:
            (learner, _), measured = self.window((learner, actors), h)
            return learner, measured
        (learner, _), of_windows = jax.lax.scan(
            lambda carry, _: self.window(carry, h), (learner, actors), None, self.windows
        )
        summed = jax.tree.map(lambda x: jnp.sum(x, axis=0), of_windows)
        return learner, summed.replace(gradient_norm=summed.gradient_norm / self.windows)

    def window(
        self, carry: tuple[Learner, Actors], h: Hyperparameters
    ) -> tuple[tuple[Learner, Actors], Measurements]:
        learner, actors = carry
        trained = (learner.params.weights, learner.loss_params)
        gradient_of = jax.grad(self.loss, has_aux=True)
        gradient, (parts, statistics, sums, returns) = mean_gradient(
            lambda part: gradient_of(trained, learner, h, part), trained, self.parts(actors)
        )
        learner, norm = gradient_step(self.problem, learner, gradient, h)
        learner = observe(self.problem, learner, statistics)
        sums = jax.tree.map(lambda x: jnp.sum(x, axis=0), sums)
        return (learner, _join(parts)), Measurements(sums, norm, _join(returns))

    def parts(self, actors: Actors) -> Actors:
        """[C, B / C, ...], for C parts of a device's B tasks."""
        num_tasks = actors.keys.shape[0]
        num_parts = self.problem.config.num_parts(num_tasks)
        shape = (num_parts, num_tasks // num_parts)
        return jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), actors)

    def loss(
        self, trained: tuple[PyTree, PyTree], learner: Learner, h: Hyperparameters, actors: Actors
    ) -> tuple[Array, Any]:
        problem = self.problem
        weights, loss_params = trained
        params = learner.params.replace(weights=weights)
        actors, rollout, outputs = self.forward(
            problem.policy, params, problem.meta_episode, actors, self.num_steps
        )
        targets, advantage = make_targets(problem, learner, h, rollout)
        value, sums = total_loss(problem.objective(h), loss_params, outputs, rollout, targets)
        statistics = seen(problem, rollout, targets, advantage)
        returns = undiscounted_returns(rollout, problem.meta_episode.tasks.num_episodes)
        return value, (actors, statistics, sums, returns)


class Epochs:
    """The `learn` of PPO: epochs of minibatches of tasks."""

    def __init__(self, problem: Problem, epochs: int, minibatches: int) -> None:
        self.problem, self.epochs, self.minibatches = problem, epochs, minibatches

    def __call__(
        self, learner: Learner, h: Hyperparameters, actors: Actors, key: Key
    ) -> tuple[Learner, Measurements]:
        problem = self.problem
        _, rollout, _ = collect(problem.policy, learner.params, problem.meta_episode, actors)
        targets, advantage = make_targets(problem, learner, h, rollout)
        batch = (rollout, targets, actors.carry)

        def step(learner: Learner, indices: Array) -> tuple[Learner, tuple[StepSums, Array]]:
            trained = (learner.params.weights, learner.loss_params)
            gradient_of = jax.grad(self.loss, has_aux=True)
            gradient, sums = mean_gradient(
                lambda part: gradient_of(trained, learner, h, *_take_tasks(batch, part)),
                trained,
                indices.reshape(problem.config.num_parts(indices.size), -1),
            )
            learner, norm = gradient_step(problem, learner, gradient, h)
            return learner, (sums, norm)

        learner, (sums, norms) = jax.lax.scan(step, learner, self.indices(key))
        statistics = seen(problem, rollout, targets, advantage)
        learner = observe(problem, learner, jax.tree.map(lambda x: x[None], statistics))
        returns = undiscounted_returns(rollout, problem.meta_episode.tasks.num_episodes)
        sums = jax.tree.map(lambda x: jnp.sum(x, axis=(0, 1)), sums)
        return learner, Measurements(sums, jnp.mean(norms), returns)

    def indices(self, key: Key) -> Array:
        """[epochs · M, B / M], for M minibatches: rows of this device's tasks.

        Each epoch every M neighbours are dealt to the M minibatches anew. The tasks being alike,
        that is as good as a permutation of the whole batch; and a minibatch is the same whatever
        the number of devices.
        """
        config, minibatches = self.problem.config, self.minibatches
        own = config.num_tasks // config.num_devices
        first = config.devices.first(config.num_tasks) // minibatches
        starts = minibatches * jnp.arange(own // minibatches)[:, None]

        def deal(key: Key) -> Array:
            keys = task_keys(key, own // minibatches, first)
            dealt = jax.vmap(lambda key: jax.random.permutation(key, minibatches))(keys)
            return (starts + dealt).T

        dealt = jax.vmap(deal)(jax.random.split(key, self.epochs))
        return dealt.reshape(self.epochs * minibatches, -1)

    def loss(
        self,
        trained: tuple[PyTree, PyTree],
        learner: Learner,
        h: Hyperparameters,
        rollout: Rollout,
        targets: Any,
        carry: PyTree,
    ) -> tuple[Array, StepSums]:
        weights, loss_params = trained
        params = learner.params.replace(weights=weights)
        _, outputs = self.problem.policy.unroll(params, carry, rollout.experience)
        return total_loss(self.problem.objective(h), loss_params, outputs, rollout, targets)


def _take_tasks(batch: tuple[Rollout, Any, PyTree], indices: Array) -> tuple[Rollout, Any, PyTree]:
    """The rows of some tasks: of [T, B, ...] and, in the carry and the final value, of [B, ...]."""
    rollout, targets, carry = batch

    def over_time(x: Array) -> Array:
        return jnp.take(x, indices, axis=1) if x.ndim > 1 else x

    rows = jax.tree.map(over_time, rollout).replace(final_value=rollout.final_value[indices])
    return rows, jax.tree.map(over_time, targets), jax.tree.map(lambda x: x[indices], carry)


def _join(parts: PyTree) -> PyTree:
    """[C, B / C, ...] -> [B, ...]."""
    return jax.tree.map(lambda x: x.reshape(x.shape[0] * x.shape[1], *x.shape[2:]), parts)


def _nearest_divisor(length: int, wanted: int) -> int:
    divisors = [d for d in range(1, length + 1) if length % d == 0]
    return min(divisors, key=lambda d: abs(d - wanted))
