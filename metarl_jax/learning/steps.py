"""What an update makes of fresh actors: one gradient step through the rollout, or many on a batch.

Both take a device's tasks in parts where they are told to, and then mean the parts' gradients.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from metarl_jax.learning.gradient import (
    batch_moments,
    gradient_step,
    make_targets,
    mean_gradient,
    total_loss,
    update_statistics,
)
from metarl_jax.learning.losses import Targets
from metarl_jax.learning.schedules import Hyperparameters
from metarl_jax.learning.train_state import (
    AlgorithmSpec,
    LearnerState,
    LearningRule,
    Measurements,
    StepSums,
    UpdateConfig,
)
from metarl_jax.policy.policy import Policy, PolicyOutput, PolicyParams
from metarl_jax.rollout import Actors, Rollout, collect, task_keys, undiscounted_returns
from metarl_jax.tasks.meta_episode import MetaEpisode
from metarl_jax.trees import take
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


def single_gradient_step(
    spec: AlgorithmSpec, bptt_segments: int, single_pass: bool
) -> LearningRule:
    """The learning rule of A2C and REINFORCE: one gradient step for each segment.

    Args:
        spec: what is learned.
        bptt_segments: equal parts of a meta-episode, each with a gradient step of its own; the
            gradient does not cross from one to the next.
        single_pass: whether the forward pass of the rollout is that of the loss.

    Raises:
        ConfigurationError: the segments do not divide the meta-episode.
    """
    length = spec.meta_episode.length
    if bptt_segments < 1 or length % bptt_segments:
        raise ConfigurationError(
            f"bptt_segments must divide the {length} steps of a meta-episode, got {bptt_segments}; "
            f"{_nearest_divisor(length, bptt_segments)} would."
        )
    forward = partial(
        collect if single_pass else collect_then_unroll, num_steps=length // bptt_segments
    )
    gradient_of = jax.grad(partial(_rollout_loss, spec, forward), has_aux=True)

    def segment(
        carry: tuple[LearnerState, Actors], h: Hyperparameters
    ) -> tuple[tuple[LearnerState, Actors], Measurements]:
        learner, actors = carry
        trained = (learner.params.weights, learner.loss_params)
        gradient, (parts, statistics, sums, returns) = mean_gradient(
            lambda part: gradient_of(trained, learner, h, part), trained, _split(spec, actors)
        )
        learner, norm = gradient_step(spec, learner, gradient, h)
        learner = update_statistics(spec, learner, statistics)
        sums = jax.tree.map(lambda x: jnp.sum(x, axis=0), sums)
        return (learner, _join(parts)), Measurements(sums, norm, _join(returns))

    def learn(
        learner: LearnerState, h: Hyperparameters, actors: Actors, key: Key
    ) -> tuple[LearnerState, Measurements]:
        del key
        if bptt_segments == 1:
            (learner, _), measured = segment((learner, actors), h)
            return learner, measured
        (learner, _), measured = jax.lax.scan(
            lambda carry, _: segment(carry, h), (learner, actors), None, bptt_segments
        )
        summed = jax.tree.map(lambda x: jnp.sum(x, axis=0), measured)
        return learner, summed.replace(gradient_norm=summed.gradient_norm / bptt_segments)

    return learn


def minibatch_epochs(spec: AlgorithmSpec, epochs: int, minibatches: int) -> LearningRule:
    """The learning rule of PPO: several epochs over minibatches of tasks.

    Args:
        spec: what is learned.
        epochs: passes over the batch.
        minibatches: equal parts of the batch, by tasks.
    """
    gradient_of = jax.grad(partial(_unrolled_loss, spec), has_aux=True)

    def learn(
        learner: LearnerState, h: Hyperparameters, actors: Actors, key: Key
    ) -> tuple[LearnerState, Measurements]:
        _, rollout, _ = collect(spec.policy, learner.params, spec.meta_episode, actors)
        targets, advantage = make_targets(spec, learner, h, rollout, _describe(spec, actors))
        batch = (rollout, targets, actors.carry)

        def step(
            learner: LearnerState, indices: Array
        ) -> tuple[LearnerState, tuple[StepSums, Array]]:
            trained = (learner.params.weights, learner.loss_params)
            gradient, sums = mean_gradient(
                lambda part: gradient_of(trained, learner, h, *_take_tasks(batch, part)),
                trained,
                indices.reshape(spec.config.num_parts(indices.size), -1),
            )
            learner, norm = gradient_step(spec, learner, gradient, h)
            return learner, (sums, norm)

        indices = _minibatch_indices(spec.config, key, epochs, minibatches)
        learner, (sums, norms) = jax.lax.scan(step, learner, indices)
        statistics = batch_moments(spec, rollout, targets, advantage)
        learner = update_statistics(spec, learner, jax.tree.map(lambda x: x[None], statistics))
        returns = undiscounted_returns(rollout, spec.meta_episode.tasks.num_episodes)
        sums = jax.tree.map(lambda x: jnp.sum(x, axis=(0, 1)), sums)
        return learner, Measurements(sums, jnp.mean(norms), returns)

    return learn


def _rollout_loss(
    spec: AlgorithmSpec,
    forward: Callable[..., tuple[Actors, Rollout, PolicyOutput]],
    trained: tuple[PyTree, PyTree],
    learner: LearnerState,
    h: Hyperparameters,
    actors: Actors,
) -> tuple[Array, Any]:
    """The loss of a rollout that is collected here, and what is kept of it."""
    weights, loss_params = trained
    params = learner.params.replace(weights=weights)
    described = _describe(spec, actors)
    actors, rollout, outputs = forward(spec.policy, params, spec.meta_episode, actors)
    targets, advantage = make_targets(spec, learner, h, rollout, described)
    value, sums = total_loss(spec.objective(h), loss_params, outputs, rollout, targets)
    statistics = batch_moments(spec, rollout, targets, advantage)
    returns = undiscounted_returns(rollout, spec.meta_episode.tasks.num_episodes)
    return value, (actors, statistics, sums, returns)


def _describe(spec: AlgorithmSpec, actors: Actors) -> Array:
    """[B, C]."""
    return jax.vmap(spec.meta_episode.tasks.describe)(actors.states.task)


def _unrolled_loss(
    spec: AlgorithmSpec,
    trained: tuple[PyTree, PyTree],
    learner: LearnerState,
    h: Hyperparameters,
    rollout: Rollout,
    targets: Targets,
    carry: PyTree,
) -> tuple[Array, StepSums]:
    """The loss of a rollout that was collected before, with the policy unrolled over it again."""
    weights, loss_params = trained
    params = learner.params.replace(weights=weights)
    _, outputs = spec.policy.unroll(params, carry, rollout.experience)
    return total_loss(spec.objective(h), loss_params, outputs, rollout, targets)


def _minibatch_indices(config: UpdateConfig, key: Key, epochs: int, minibatches: int) -> Array:
    """[epochs · M, B / M], for M minibatches: rows of this device's tasks.

    In each epoch every M neighbouring tasks are dealt to the M minibatches. Tasks are exchangeable,
    so that is as good as a permutation of the whole batch, and a minibatch does not depend on the
    number of devices.
    """
    own = config.num_tasks // config.num_devices
    first = config.devices.first_task(config.num_tasks) // minibatches
    starts = minibatches * jnp.arange(own // minibatches, dtype=jnp.int32)[:, None]
    parts = jnp.arange(minibatches, dtype=jnp.int32)

    def deal(key: Key) -> Array:
        keys = task_keys(key, own // minibatches, first)
        dealt = jax.vmap(lambda key: jax.random.permutation(key, parts))(keys)
        return (starts + dealt).T

    dealt = jax.vmap(deal)(jax.random.split(key, epochs))
    return dealt.reshape(epochs * minibatches, -1)


def _split(spec: AlgorithmSpec, actors: Actors) -> Actors:
    """[C, B / C, ...], for C parts of a device's B tasks."""
    num_tasks = actors.keys.shape[0]
    num_parts = spec.config.num_parts(num_tasks)
    shape = (num_parts, num_tasks // num_parts)
    return jax.tree.map(lambda x: x.reshape(*shape, *x.shape[1:]), actors)


def _take_tasks(batch: tuple[Rollout, Any, PyTree], indices: Array) -> tuple[Rollout, Any, PyTree]:
    """The rows of some tasks: of [T, B, ...] and, in the carry and the final value, of [B, ...]."""
    rollout, targets, carry = batch

    def over_time(x: Array) -> Array:
        return jnp.take(x, indices, axis=1) if x.ndim > 1 else x

    rows = jax.tree.map(over_time, rollout).replace(final_value=rollout.final_value[indices])
    return rows, jax.tree.map(over_time, targets), take(carry, indices)


def _join(parts: PyTree) -> PyTree:
    """[C, B / C, ...] -> [B, ...]."""
    return jax.tree.map(lambda x: x.reshape(x.shape[0] * x.shape[1], *x.shape[2:]), parts)


def _nearest_divisor(length: int, wanted: int) -> int:
    divisors = [d for d in range(1, length + 1) if length % d == 0]
    return min(divisors, key=lambda d: abs(d - wanted))
