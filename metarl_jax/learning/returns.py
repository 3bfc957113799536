"""Discounts, λ-returns and advantages over meta-episodes, `[T, B]`."""

from typing import Literal

import chex
import jax
import jax.numpy as jnp

from metarl_jax.types import Array

DiscountMode = Literal["meta", "episodic", "dual"]


def discounts(
    episode_end: Array,
    meta_end: Array,
    *,
    mode: DiscountMode,
    discount: Array | float,
    boundary_discount: Array | float,
) -> Array:
    """The discount from step t to step t+1: 0 where nothing after t counts.

    - `meta`: γ everywhere, across the ends of episodes too; 0 at the meta-episode's end.
    - `episodic`: γ inside an episode; 0 at every episode's end, truncated or terminated (an
      ablation: no credit for exploring).
    - `dual`: γ inside an episode, `boundary_discount` from one episode to the next.

    Args:
        episode_end: [T, B] bool.
        meta_end: [T, B] bool.
        mode: which of the three.
        discount: γ in [0, 1].
        boundary_discount: in [0, 1]; read by `dual` alone.

    Returns:
        [T, B] float32.
    """
    chex.assert_equal_shape([episode_end, meta_end])
    across = {"meta": discount, "episodic": 0.0, "dual": boundary_discount}[mode]
    inside = jnp.where(episode_end, across, discount)
    return jnp.where(meta_end, 0.0, inside).astype(jnp.float32)


def generalized_advantages(
    rewards: Array,
    discounts: Array,
    values: Array,
    final_value: Array,
    gae_lambda: Array | float,
) -> Array:
    """Generalised advantage estimates.

        δ_t = r_t + γ_t V_{t+1} - V_t
        A_t = δ_t + γ_t λ A_{t+1},   A_T = 0,   t = 0 … T-1

    λ = 0 is the one-step temporal difference, λ = 1 the Monte Carlo return less the value; with
    values of 0 and λ = 1 it is the return itself. A_t + V_t is the λ-return.

    Args:
        rewards: [T, B].
        discounts: [T, B], γ_t as `discounts` gives them.
        values: [T, B], V_0 … V_{T-1}.
        final_value: [B], V_T; counts only where γ_{T-1} is not 0.
        gae_lambda: λ in [0, 1].

    Returns:
        [T, B] float32.

    Reference:
        Schulman et al. 2016, "High-dimensional continuous control using generalized advantage
        estimation", eq. 16.
    """
    chex.assert_rank([rewards, discounts, values, final_value], [2, 2, 2, 1])
    chex.assert_equal_shape([rewards, discounts, values])
    next_values = jnp.concatenate([values[1:], final_value[None]], axis=0)
    errors = rewards + discounts * next_values - values

    def accumulate(advantage: Array, step: tuple[Array, Array]) -> tuple[Array, Array]:
        error, decay = step
        advantage = error + decay * advantage
        return advantage, advantage

    _, advantages = jax.lax.scan(
        accumulate, jnp.zeros_like(final_value), (errors, discounts * gae_lambda), reverse=True
    )
    return advantages
