"""Tabular MDPs of known transitions and mean rewards: the best return of an episode."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from metarl_jax.types import Array


def optimal_values(transitions: Array, rewards: Array, horizon: int) -> Array:
    """The best return of an MDP from every state and action on.

    Args:
        transitions: [S, A, S] float32, P(s' | s, a).
        rewards: [S, A] float32, means r̄.
        horizon: H, steps of an episode.

    Returns:
        [H, S, A] float32, Q_h(s, a) = r̄(s, a) + Σ_s' P(s' | s, a) max_a' Q_{h+1}(s', a').
    """
    return backward_induction(lambda value: rewards + transitions @ value, len(rewards), horizon)


def backward_induction(worth: Callable[[Array], Array], num_states: int, horizon: int) -> Array:
    """From the end of an episode to its beginning.

    Args:
        worth: what follows, V [S] -> Q [S, A], what each action is worth then.
        num_states: S.
        horizon: H.

    Returns:
        [H, S, A] float32, Q_h = worth(max_a Q_{h+1}), with Q_H = 0.

    Reference:
        Puterman (1994), "Markov Decision Processes", section 4.5.
    """

    def back(value: Array, _: None) -> tuple[Array, Array]:
        values = worth(value)
        return jnp.max(values, axis=-1), values

    end = jnp.zeros((num_states,), jnp.float32)
    return jax.lax.scan(back, end, None, length=horizon, reverse=True)[1]
