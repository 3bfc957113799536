"""Acting one step at a time: the loop and the environments belong to somebody else.

The policy reads the experience that a `MetaEpisode` would give it: at an episode's first step the
first observation together with the whole last transition of the episode before.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from metarl_jax.policy.policy import Policy, blank_experience
from metarl_jax.tasks.actions import executed, to_environment
from metarl_jax.tasks.interface import Interface
from metarl_jax.trees import select
from metarl_jax.types import Array, Experience, Key, PyTree, Transition, blank_transition


class Sensed(NamedTuple):
    """What one environment tells before an action.

    Arrays of numpy or of jax. At a meta-episode's first step only the observation is read.
    """

    observation: Any  # [O] float32, or a dict or tuple, where it is now
    reward: Any  # [] float32 of the last action
    terminated: Any  # [] bool: that action ended the MDP
    truncated: Any  # [] bool: or the time limit ended the episode
    final_observation: Any  # likewise where that action led, before any reset


class ActorState(struct.PyTreeNode):
    """An actor in the middle of a meta-episode."""

    carry: PyTree  # the memory's
    observation: PyTree  # where the last action was taken
    action: PyTree  # the last action, in the policy's units
    context: Array  # [C] float32 what it is told of the task; C = 0 but for the contextual policy
    time: Array  # [] int32 actions taken
    key: Key  # constant: action t folds t in


class Actor(NamedTuple):
    """A policy in one environment, as a record of pure functions; `jax.vmap` makes it many.

    Attributes:
        begin: (key, context [C]) -> ActorState at a meta-episode's start.
        act: (params, ActorState, Sensed) -> (ActorState, action in the environment's units).
    """

    begin: Callable[[Key, Array], ActorState]
    act: Callable[[Any, ActorState, Sensed], tuple[ActorState, PyTree]]


def make_actor(policy: Policy, interface: Interface, *, greedy: bool = False) -> Actor:
    """The actor of a policy.

    Args:
        policy: learned or classical.
        interface: of the environments it acts in.
        greedy: takes each distribution's mode instead of a sample.
    """
    return Actor(
        begin=partial(_begin, policy, interface),
        act=partial(_act, policy, interface, greedy),
    )


def _begin(policy: Policy, interface: Interface, key: Key, context: Array) -> ActorState:
    memory_key, action_key = jax.random.split(key)
    blank = _blank_transition(policy, interface)
    return ActorState(
        carry=policy.initial_carry(memory_key),
        observation=blank.observation,
        action=blank.action,
        context=context,
        time=jnp.zeros((), jnp.int32),
        key=action_key,
    )


def _act(
    policy: Policy,
    interface: Interface,
    greedy: bool,
    params: Any,
    state: ActorState,
    sensed: Sensed,
) -> tuple[ActorState, PyTree]:
    starts = state.time == 0
    transition = Transition(
        observation=state.observation,
        action=state.action,
        reward=sensed.reward,
        final_observation=sensed.final_observation,
        terminated=sensed.terminated,
        truncated=sensed.truncated & ~sensed.terminated,  # one of the two, as in a meta-episode
    )
    experience = Experience(
        observation=sensed.observation,
        transition=select(starts, _blank_transition(policy, interface), transition),
        episode_start=starts | sensed.terminated | sensed.truncated,
        context=state.context,
    )
    carry, output = policy.step(params, state.carry, experience)
    distribution = output.action_distribution
    if greedy:
        action = distribution.mode()
    else:
        action = distribution.sample(jax.random.fold_in(state.key, state.time))
    space = interface.specification.action
    action = executed(space, action)
    state = state.replace(
        carry=carry, observation=sensed.observation, action=action, time=state.time + 1
    )
    return state, to_environment(space, action)


def _blank_transition(policy: Policy, interface: Interface) -> Transition:
    experience = blank_experience(interface.specification, policy.contextual)
    return blank_transition(experience.transition)
