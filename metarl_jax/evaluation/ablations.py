"""Ablations of an evaluation: is it the memory that adapts, and what does it go by?"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp

from metarl_jax.memory import unroll_by_steps
from metarl_jax.policy.policy import Policy, PolicyOutput
from metarl_jax.rollout import Rollout, collect, episode_returns, start
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.meta_episode import MetaEpisode
from metarl_jax.trees import select
from metarl_jax.types import Array, Experience, Key, PyTree, Task, Transition, blank_transition

Ablation = Literal["memory", "rewards", "history"]
"""What is taken from a policy.

`memory`: every episode begins with a fresh carry and the blank transition; `rewards`: every reward
it reads is 0; `history`: its task is exchanged for another before the last episode, so that what it
remembers there is of the wrong one.
"""

Play = Callable[[Any, Any, Key], Array]
"""(params, [B] tasks, [B] keys) -> [B, E] float32, the return of every episode."""


def make_play(
    tasks: TaskDistribution, policy: Policy, *, greedy: bool, ablation: Ablation | None = None
) -> Play:
    """Whole meta-episodes of a policy from which something is taken, or nothing.

    Args:
        tasks: p(M), with E episodes.
        policy: any policy.
        greedy: the most probable action instead of a sample.
        ablation: of `history`, the play's tasks are pairs ([B] tasks, [B] others): it plays E - 1
            episodes in the others and the last in its own, E being at least 2.
    """
    if ablation == "history":
        return partial(_exchanged, tasks, policy, greedy)
    takes = {"memory": without_memory, "rewards": without_rewards}
    actor = takes[ablation](policy) if ablation else policy

    def play(params: Any, batch: Task, keys: Key) -> Array:
        meta_episode = MetaEpisode(tasks, policy.contextual)
        actors = start(actor, meta_episode, batch, keys)
        _, rollout, _ = collect(actor, params, meta_episode, actors, greedy=greedy)
        return episode_returns(rollout, tasks.num_episodes)

    return play


def without_memory(policy: Policy) -> Policy:
    """The policy, given a fresh carry and the blank transition at every episode's start."""

    def initial_carry(key: Key) -> PyTree:
        fresh = policy.initial_carry(key)
        return fresh, fresh

    def step(params: Any, carry: PyTree, experience: Experience) -> tuple[PyTree, PolicyOutput]:
        fresh, current = carry
        begins = experience.episode_start
        current = select(begins, fresh, current)
        blank = blank_transition(experience.transition)
        experience = experience.replace(transition=select(begins, blank, experience.transition))
        current, output = policy.step(params, current, experience)
        return (fresh, current), output

    return _with_step(policy, initial_carry, step)


def without_rewards(policy: Policy) -> Policy:
    """The policy, told of every transition that it paid 0."""

    def step(params: Any, carry: PyTree, experience: Experience) -> tuple[PyTree, PolicyOutput]:
        nothing = jnp.zeros_like(experience.transition.reward)
        transition = experience.transition.replace(reward=nothing)
        return policy.step(params, carry, experience.replace(transition=transition))

    return _with_step(policy, policy.initial_carry, step)


def _exchanged(
    tasks: TaskDistribution,
    policy: Policy,
    greedy: bool,
    params: Any,
    pairs: tuple[Task, Task],
    keys: Key,
) -> Array:
    """Plays all episodes but the last in other tasks, and the last as if they had been its own."""
    own, others = pairs
    earlier = tasks.num_episodes - 1
    before, last = (
        MetaEpisode(dataclasses.replace(tasks, num_episodes=episodes), policy.contextual)
        for episodes in (earlier + 1, 1)
    )
    actor = _holding_from(earlier, policy)
    first_keys, last_keys = jax.vmap(_two)(keys)
    actors = start(actor, before, others, first_keys)
    until_all_hold = earlier * tasks.episode_length + 1
    actors, rollout, _ = collect(actor, params, before, actors, until_all_hold, greedy=greedy)
    remembered = actors.carry[1]
    actors = start(policy, last, own, last_keys)
    unread = actors.states.experience.replace(transition=_at_start_of(earlier, rollout))
    states = actors.states.replace(experience=unread)
    actors = actors.replace(carry=remembered, states=states)
    _, final, _ = collect(policy, params, last, actors, greedy=greedy)
    played = episode_returns(rollout, tasks.num_episodes)[:, :earlier]
    return jnp.concatenate([played, episode_returns(final, 1)], axis=1)


def _two(key: Key) -> tuple[Key, Key]:
    first, second = jax.random.split(key)
    return first, second


def _holding_from(episode: int, policy: Policy) -> Policy:
    """The policy, with a memory that reads no more where the episode of that index begins."""

    def initial_carry(key: Key) -> PyTree:
        return jnp.zeros((), jnp.int32), policy.initial_carry(key)

    def step(params: Any, carry: PyTree, experience: Experience) -> tuple[PyTree, PolicyOutput]:
        begun, held = carry
        begun = begun + experience.episode_start
        new, output = policy.step(params, held, experience)
        return (begun, select(begun <= episode, new, held)), output

    return _with_step(policy, initial_carry, step)


def _at_start_of(episode: int, rollout: Rollout) -> Transition:
    """[B]: the transition that leads to the first step of the episode of that index."""
    begins = rollout.experience.episode_start & (rollout.outcome.episode == episode)
    when = jnp.argmax(begins, axis=0)  # [B]
    pick = jax.vmap(lambda x, t: x[t], in_axes=(1, 0))
    return jax.tree.map(lambda x: pick(x, when), rollout.experience.transition)


def _with_step(policy: Policy, initial_carry: Any, step: Any) -> Policy:
    return policy._replace(initial_carry=initial_carry, step=step, unroll=unroll_by_steps(step))
