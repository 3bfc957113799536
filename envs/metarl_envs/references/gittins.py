"""Gittins indices of a Bernoulli arm with a Beta(1 + s, 1 + f) posterior.

An arm's index is the price λ a pull at which a player who may stop when he likes is indifferent
between playing on and stopping at once; the arm with the highest index is pulled. With
p = (1 + s) / (2 + s + f), and W = max(0, U) the worth of being allowed to play:

    U_λ(s, f, h) = p - λ + γ [ p W_λ(s+1, f, h-1) + (1 - p) W_λ(s, f+1, h-1) ],    W_λ(s, f, 0) = 0

and the index is the root of U in λ. Discounted, with h endless, it is the optimal policy (Gittins
1979). With γ = 1 and h the pulls that are left it is a heuristic, hardly below the optimum.

U is convex, piecewise linear and falling in λ: it is computed on a grid of prices and its root
taken by linear interpolation.

Reference:
    Gittins (1979), "Bandit Processes and Dynamic Allocation Indices"; Kaufmann (2018), "On
    Bayesian Index Policies for Sequential Resource Allocation", section 2.2 (finite horizon);
    Bradt, Johnson, Karlin (1956), section 4.
"""

import functools

import numpy as np

from metarl_envs.references.bernoulli import num_codes, posterior_means, pulls_of
from metarl_jax.types import ConfigurationError

PRICES = np.linspace(0.0, 1.0, 201, dtype=np.float32)
"""[L]; with twice as many no index rises by more than 3e-3 (n = 80), a discounted one by 1e-3."""

MAX_PULLS = 1_000
"""Of a finite horizon: its tables take n³ / 6 numbers, and 0.7 GB for so many."""

KNOWN_AFTER = 500
"""Pulls after the last one asked for, from which on an arm counts as known to be its mean."""


@functools.lru_cache(maxsize=2)
def finite_horizon_indices(num_pulls: int) -> tuple[np.ndarray, ...]:
    """The indices for every number of pulls that are left.

    Args:
        num_pulls: n, of the whole meta-episode.

    Returns:
        n tables; that after m pulls, when n - m are left, is [(m + 1) (m + 2) / 2] float32 by
        `arm_code`, of arms pulled m times at most.

    Raises:
        ConfigurationError: n is more than `MAX_PULLS`.
    """
    if num_pulls > MAX_PULLS:
        raise ConfigurationError(
            f"the finite-horizon Gittins index expects at most {MAX_PULLS:,} pulls, got "
            f"{num_pulls:,}; take the discounted one."
        )
    tables = []
    worth = np.zeros((num_codes(num_pulls), len(PRICES)), np.float32)
    for m in reversed(range(num_pulls)):
        code = np.arange(num_codes(m))
        unpaid = code + pulls_of(code) + 1
        mean = posterior_means(m).astype(np.float32)[:, None]
        gain = mean - PRICES + mean * worth[unpaid + 1] + (1 - mean) * worth[unpaid]
        worth = np.maximum(gain, 0)
        tables.append(_roots(gain))
    return tuple(reversed(tables))


@functools.lru_cache(maxsize=4)
def discounted_indices(num_pulls: int, discount: float) -> np.ndarray:
    """The indices of a game without an end.

    Args:
        num_pulls: n; arms pulled less often are in the table.
        discount: γ, in (0, 1).

    Returns:
        [n (n + 1) / 2] float32 by `arm_code`.
    """
    tables = []
    last = num_pulls + KNOWN_AFTER
    worth = np.maximum(_means_after(last) - PRICES, 0) / (1 - discount)  # [m + 1, L]
    for m in reversed(range(last)):
        mean = _means_after(m)
        gain = mean - PRICES + discount * (mean * worth[1:] + (1 - mean) * worth[:-1])
        worth = np.maximum(gain, 0)
        tables.append(_roots(gain))
    return np.concatenate(tables[: -num_pulls - 1 : -1])


def _means_after(pulls: int) -> np.ndarray:
    """[m + 1, 1] float32 posterior means of an arm that paid 0 … m times of m."""
    return ((1 + np.arange(pulls + 1, dtype=np.float32)) / (2 + pulls))[:, None]


def _roots(gain: np.ndarray) -> np.ndarray:
    """[N] float32, where U [N, L], falling along the prices, crosses 0.

    A pull is worth more than a price of 0 and at most one of 1: the ends enclose every root.
    """
    above = np.sum(gain > 0, axis=1)[:, None].clip(1, len(PRICES) - 1) - 1
    left, right = (np.take_along_axis(gain, above + i, axis=1)[:, 0] for i in (0, 1))
    return (PRICES[above[:, 0]] + left / (left - right) * PRICES[1]).astype(np.float32)
