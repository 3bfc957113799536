"""Rollouts: a policy acting in a batch of tasks, differentiable in its parameters.

The batch is B tasks side by side; a rollout is `[T, B, …]`. Actions, rewards and the environment
are cut off from the gradient, the policy's outputs are not: the forward pass of the rollout can be
the forward pass of a loss.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from metarl_jax.policy.policy import Policy, PolicyOutput
from metarl_jax.tasks.meta_episode import MetaEpisode, MetaState
from metarl_jax.types import Array, Experience, Key, PyTree, StepOutcome, Task


class Rollout(struct.PyTreeNode):
    """What happened, one row a step."""

    experience: Experience  # [T, B, ...] what the policy read
    action: PyTree  # [T, B] or [T, B, A], or a tree of these, as sampled, before any clipping
    log_prob: Array  # [T, B] log-probability of the action when it was taken
    value: Array  # [T, B] the policy's value when it acted
    final_value: Array  # [B] the value after the last step; counts where that did not end it all
    outcome: StepOutcome  # [T, B]


class Actors(struct.PyTreeNode):
    """B policies in the middle of B meta-episodes."""

    states: MetaState  # [B]
    carry: PyTree  # [B, ...] the memory's
    keys: Key  # [B] for sampling actions


def task_keys(key: Key, num_tasks: int, first: int | Array = 0) -> Key:
    """One key a task, by its index alone: independent of batch size, chunks and devices.

    Args:
        key: a single key.
        num_tasks: how many.
        first: index of the first.

    Returns:
        [num_tasks] keys.
    """
    indices = first + jnp.arange(num_tasks, dtype=jnp.int32)
    return jax.vmap(lambda index: jax.random.fold_in(key, index))(indices)


def start(policy: Policy, meta_episode: MetaEpisode, tasks: Task, keys: Key) -> Actors:
    """Begins a meta-episode in every task, each with an initial carry.

    Args:
        policy: the actor.
        meta_episode: how episodes are strung together.
        tasks: [B] tasks.
        keys: [B] keys.
    """
    environment_keys, memory_keys, action_keys = _split_each(keys, 3)
    return Actors(
        states=jax.vmap(meta_episode.reset)(environment_keys, tasks),
        carry=jax.vmap(policy.initial_carry)(memory_keys),
        keys=action_keys,
    )


def collect(
    policy: Policy,
    params: Any,
    meta_episode: MetaEpisode,
    actors: Actors,
    num_steps: int | None = None,
    *,
    greedy: bool = False,
) -> tuple[Actors, Rollout, PolicyOutput]:
    """Acts for `num_steps` steps.

    Where no episode can end early, all tasks are in step, and a CPU resets all or none. Otherwise
    every step makes a reset, taken by the tasks whose episode ended.

    Args:
        policy: the actor.
        params: its parameters; the returned outputs are differentiable in them.
        meta_episode: how episodes are strung together.
        actors: where to begin, from `start` or an earlier `collect`.
        num_steps: T; a whole meta-episode by default.
        greedy: takes each distribution's mode instead of a sample.

    Returns:
        The actors after T steps, the rollout, and the policy's outputs [T, B, ...].
    """
    num_steps = num_steps or meta_episode.length

    def act(
        actors: Actors, step: Callable[..., Any]
    ) -> tuple[Actors, tuple[Rollout, PolicyOutput]]:
        experience = jax.lax.stop_gradient(actors.states.experience)
        carry, output = policy.step(params, actors.carry, experience)
        action = jax.lax.stop_gradient(_select_action(output, actors, greedy))
        states, outcome = jax.vmap(step)(actors.states, action)
        record = Rollout(
            experience=experience,
            action=action,
            log_prob=jax.lax.stop_gradient(output.action_distribution.log_prob(action)),
            value=jax.lax.stop_gradient(output.value),
            final_value=jnp.zeros((0,), jnp.float32),
            outcome=outcome,
        )
        return actors.replace(states=states, carry=carry), (record, output)

    actors, (rollout, outputs) = _scan_steps(act, meta_episode, actors, num_steps)
    return actors, rollout.replace(final_value=_final_value(policy, params, actors)), outputs


def _scan_steps(
    act: Callable[..., Any], meta_episode: MetaEpisode, actors: Actors, num_steps: int
) -> tuple[Actors, Any]:
    """Runs `act` num_steps times; stacks its records over [T]."""
    tasks = meta_episode.tasks
    # A reset that not every task needs, or that is next to nothing, is made in every step and
    # chosen by a mask: an accelerator would wait for the host to tell whether it is due.
    each_its_own = tasks.ends_early or tasks.episode_length == 1
    if each_its_own or jax.default_backend() != "cpu":
        return jax.lax.scan(lambda a, _: act(a, meta_episode.step), actors, None, num_steps)
    return _scan_in_step(act, meta_episode, actors, num_steps)


def _scan_in_step(
    act: Callable[..., Any], meta_episode: MetaEpisode, actors: Actors, num_steps: int
) -> tuple[Actors, Any]:
    """Tasks whose episodes end together: one reset an episode."""

    def advance(actors: Actors, _: None) -> tuple[Actors, Any]:
        actors, record = act(actors, meta_episode.advance)
        ended = actors.states.step[0] >= tasks.episode_length
        return jax.lax.cond(ended, next_episodes, lambda actors: actors, actors), record

    def next_episodes(actors: Actors) -> Actors:
        return actors.replace(states=jax.vmap(meta_episode.next_episode)(actors.states))

    tasks = meta_episode.tasks
    return jax.lax.scan(advance, actors, None, num_steps)


def _select_action(output: PolicyOutput, actors: Actors, greedy: bool) -> PyTree:
    if greedy:
        return output.action_distribution.mode()
    keys = jax.vmap(jax.random.fold_in)(actors.keys, actors.states.time)
    return jax.vmap(lambda distribution, key: distribution.sample(key))(
        output.action_distribution, keys
    )


def _final_value(policy: Policy, params: Any, actors: Actors) -> Array:
    _, output = policy.step(params, actors.carry, actors.states.experience)
    return jax.lax.stop_gradient(output.value)


def _split_each(keys: Key, num: int) -> list[Key]:
    split = jax.vmap(lambda key: jax.random.split(key, num))(keys)
    return [split[:, i] for i in range(num)]


def episode_returns(rollout: Rollout, num_episodes: int) -> Array:
    """Undiscounted return of every episode.

    Args:
        rollout: of whole meta-episodes.
        num_episodes: E; steps of later episodes are left out.

    Returns:
        [B, E] float32; 0 for an episode that was not reached.
    """
    belongs = jax.nn.one_hot(rollout.outcome.episode, num_episodes, dtype=jnp.float32)
    return jnp.einsum("tb,tbe->be", rollout.outcome.reward, belongs, precision="highest")


class Returns(struct.PyTreeNode):
    """Undiscounted."""

    total: Array  # [B] float32, of the whole meta-episode
    episodes: Array  # [B, E] float32; a step budget may hold episodes beyond the E-th


def undiscounted_returns(rollout: Rollout, num_episodes: int) -> Returns:
    """Of the steps of a rollout; arguments as `episode_returns`'s."""
    total = jnp.sum(rollout.outcome.reward, axis=0)
    return Returns(total, episode_returns(rollout, num_episodes))
