"""What the memory reads of an experience: the last transition and where it is, embedded.

    τ_t = tanh(W_τ [e(s), a, r, e(s'), terminated, truncated])    the last transition
    o_t = tanh(W_o [e(s_t), describe(M)])                         the current observation

e is the encoder. Whole-number actions are one-hots; those of a box are in [-1, 1].
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from metarl_jax.memory import MemoryInput
from metarl_jax.policy.encoder import flatten_leaf
from metarl_jax.policy.heads import dense
from metarl_jax.policy.normalization import RunningStatistics, identity_statistics, normalize
from metarl_jax.tasks.spaces import Box, Discrete, Leaf, MultiDiscrete, Space, leaves_of, map_spaces
from metarl_jax.types import Array, Experience, PyTree, Transition


class Statistics(struct.PyTreeNode):
    """What the policy normalises by; not trained, kept beside the weights."""

    observation: PyTree  # RunningStatistics of each float32 leaf, None for the others
    reward: RunningStatistics  # of []
    value_target: RunningStatistics  # of []: the value head answers in these units


def initial_statistics(observation_space: Space) -> Statistics:
    """Statistics that have seen nothing.

    Args:
        observation_space: of which the leaves of floats are normalised.
    """
    return Statistics(
        observation=map_spaces(
            lambda leaf: identity_statistics(leaf.shape) if is_continuous(leaf) else None,
            observation_space,
        ),
        reward=identity_statistics(),
        value_target=identity_statistics(),
    )


def is_continuous(leaf: Leaf) -> bool:
    """Whether a leaf holds numbers whose scale may be unknown."""
    return isinstance(leaf, Box) and leaf.dtype == "float32"


def normalize_observation(space: Space, statistics: PyTree, observation: PyTree) -> PyTree:
    """The observation, its leaves of floats normalised.

    Args:
        space: of the observation.
        statistics: `Statistics.observation`.
        observation: with any leading axes.
    """

    def leaf(leaf: Leaf, statistics: RunningStatistics | None, x: Array) -> Array:
        return x if statistics is None else normalize(statistics, x)

    return map_spaces(leaf, space, statistics, observation)


def action_vector(space: Space, action: PyTree) -> Array:
    """[..., A] float32: one-hots of whole numbers (zeros for -1), and the numbers of boxes.

    Args:
        space: of the environment's actions.
        action: the policy's, with any leading axes.
    """

    def leaf(leaf: Leaf, x: Array) -> Array:
        if isinstance(leaf, Box):
            return x
        if isinstance(leaf, MultiDiscrete):
            return flatten_leaf(MultiDiscrete(leaf.n), x)
        return flatten_leaf(Discrete(leaf.n), x)

    vectors = jax.tree.leaves(map_spaces(leaf, space, action))
    return vectors[0] if len(list(leaves_of(space))) == 1 else jnp.concatenate(vectors, axis=-1)


class Embedding(nn.Module):
    """Transition and observation, each through one tanh layer."""

    size: int

    @nn.compact
    def __call__(
        self, transition: Array, observation: Array, experience: Experience
    ) -> MemoryInput:
        observation = jnp.concatenate([observation, experience.context], axis=-1)
        return MemoryInput(
            transition=jnp.tanh(dense(self.size, 2**0.5)(transition)),
            observation=jnp.tanh(dense(self.size, 2**0.5)(observation)),
            episode_start=experience.episode_start[..., None].astype(jnp.float32),
        )


def transition_vector(
    transition: Transition,
    observation: Array,
    action: Array,
    final_observation: Array,
    statistics: Statistics,
) -> Array:
    """The parts of a transition side by side: [..., O' + A + 3 + O'] float32.

    Args:
        transition: for its reward and its ends.
        observation: [..., O'], encoded.
        action: [..., A], of `action_vector`.
        final_observation: [..., O'], encoded.
        statistics: by which the reward is normalised.
    """
    scalars = [
        normalize(statistics.reward, transition.reward),
        transition.terminated.astype(jnp.float32),
        transition.truncated.astype(jnp.float32),
    ]
    return jnp.concatenate(
        [observation, action, jnp.stack(scalars, axis=-1), final_observation], axis=-1
    )
