"""The data that flows through the program: what is met in an MDP, and what a policy reads of it.

`T` steps of a meta-episode, `B` tasks in the batch; time-major, `[T, B, ...]`. Every record below
is written for one step of one task and carries whatever leading axes its user gives it.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

Array = jax.Array
Key = jax.Array
"""A typed PRNG key, `jax.random.key(seed)`."""
PyTree = Any
Task = Any
"""One MDP: the environment's `EnvParams` pytree, with everything hidden about the MDP in it."""
Metrics = Mapping[str, Array]
"""Named float32 scalars."""


class ConfigurationError(ValueError):
    """What a person asked for cannot be done: says what was expected, given, and how to mend it."""


class PeerError(RuntimeError):
    """Another process of the run failed, is gone, never came, or trains it in this one's place."""


class UnwritableError(OSError):
    """A run's folder has no room, or is not ours to write: the same may work another time."""


class Transition(struct.PyTreeNode):
    """One step (s, a, r, s') of a task.

    `final_observation` is s' itself, also where s' ends the episode: the first observation of the
    next episode is never put in its place.
    """

    observation: PyTree  # [..., O] float32, or a pytree with these leading axes
    action: (
        PyTree  # [...] or [..., K] int32, [..., A] float32 in [-1, 1], or a dict or tuple of these
    )
    reward: Array  # [...] float32
    final_observation: PyTree  # as observation
    terminated: Array  # [...] bool: the MDP ended
    truncated: Array  # [...] bool: the time limit ended it


def blank_transition(like: Transition) -> Transition:
    """The transition before the first: zeros, and for whole-number actions -1, no action.

    Args:
        like: a transition (or its shapes) with the leading axes wanted.
    """
    blank = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), like)
    # The one-hot of -1 is all zeros.
    none = lambda x: x - 1 if jnp.issubdtype(x.dtype, jnp.integer) else x
    return blank.replace(action=jax.tree.map(none, blank.action))


class Experience(struct.PyTreeNode):
    """What a policy reads at one step: where it is now, and the whole transition that led here.

    At an episode's first step `transition` is the last transition of the episode before, complete;
    at a meta-episode's first step it is `blank_transition`.
    """

    observation: PyTree  # [..., O] float32, or a pytree with these leading axes
    transition: Transition
    episode_start: Array  # [...] bool
    context: Array  # [..., C] float32; C = 0 but for the contextual policy


class StepOutcome(struct.PyTreeNode):
    """What one step of a meta-episode brought."""

    reward: Array  # [...] float32; 0 where not valid
    terminated: Array  # [...] bool
    truncated: Array  # [...] bool
    episode: Array  # [...] int32, from 0: the episode this step belongs to
    episode_end: Array  # [...] bool: last step of an episode
    meta_end: Array  # [...] bool: last step of the meta-episode
    valid: Array  # [...] bool: False on the steps after the meta-episode's end
    state: PyTree  # the environment's state before the step
    next_state: PyTree  # and after it, before any reset
