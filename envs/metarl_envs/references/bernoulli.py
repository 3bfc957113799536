"""Bernoulli bandits with probabilities ~ U(0, 1): what the best possible player earns, exactly.

The belief after some pulls is how often each arm paid and how often it did not: p_i ~ Beta(1 + s_i,
1 + f_i). The arms are alike before the first pull, so that beliefs are multisets of (s, f). With m
pulls left, and p the mean (1 + s) / (2 + s + f) of an arm:

    V_0 = 0,    V_m(belief) = max_i [ p_i (1 + V_{m-1}(i paid)) + (1 - p_i) V_{m-1}(i did not) ]

Reference:
    Bellman (1956), "A Problem in the Sequential Design of Experiments"; Duff (2002), "Optimal
    Learning: Computational Procedures for Bayes-Adaptive Markov Decision Processes", chapter 2.
"""

import dataclasses
import functools
import math

import numpy as np

from metarl_jax.types import ConfigurationError

MAX_WEIGHED = 10_000_000
"""Pulls to weigh, arms times beliefs; more are refused. Two arms and 100 pulls have 4.4 million,
and take 4 seconds."""


@dataclasses.dataclass(frozen=True)
class Layer:
    """The beliefs after some number of pulls.

    Attributes:
        arms: [N, k] int32, each belief's arms by `arm_code`, in any order.
        value: [N] float64, V.
        best: [N] int32, code of the arm to pull.
    """

    arms: np.ndarray
    value: np.ndarray
    best: np.ndarray


def arm_code(successes: np.ndarray, failures: np.ndarray) -> np.ndarray:
    """Numbers (s, f) through: m (m + 1) / 2 + s with m = s + f, the codes of m pulls in a row."""
    pulls = successes + failures
    return pulls * (pulls + 1) // 2 + successes


def num_codes(num_pulls: int) -> int:
    """How many codes arms of up to n pulls have."""
    return (num_pulls + 1) * (num_pulls + 2) // 2


def num_beliefs(num_arms: int, num_pulls: int) -> list[float]:
    """How many beliefs there are after 0, 1, …, n - 1 pulls.

    Multisets of at most k pairs (s, f) other than (0, 0) with Σ (s + f) = m. There are j + 1 pairs
    of j pulls, and C(i + j, i) multisets of i such pairs.
    """
    count = np.zeros((num_arms + 1, num_pulls))  # [arms pulled, m]
    count[0, 0] = 1.0
    for pulls in range(1, num_pulls):
        longer = count.copy()
        for alike in range(1, min(num_arms, (num_pulls - 1) // pulls) + 1):
            ways = math.comb(alike + pulls, alike)
            longer[alike:, alike * pulls :] += (
                ways * count[: num_arms + 1 - alike, : num_pulls - alike * pulls]
            )
        count = longer
    return [float(x) for x in count.sum(axis=0)]


def is_solvable(num_arms: int, num_pulls: int) -> bool:
    """Whether there are few enough beliefs for `solve`."""
    num_arms = min(num_arms, num_pulls)
    return num_arms * sum(num_beliefs(num_arms, num_pulls)) <= MAX_WEIGHED


@functools.lru_cache(maxsize=4)
def solve(num_arms: int, num_pulls: int) -> tuple[Layer, ...]:
    """Values and best arms of all beliefs, one layer a pull.

    Args:
        num_arms: k, at least 1.
        num_pulls: n, at least 1.

    Returns:
        n layers; the first holds the one belief before any pull.

    Raises:
        ConfigurationError: there are more than `MAX_WEIGHED` pulls to weigh.
    """
    # Untouched arms are alike, and n pulls touch at most n: more arms are worth no more.
    num_arms = min(num_arms, num_pulls)
    expected = num_beliefs(num_arms, num_pulls)
    if not is_solvable(num_arms, num_pulls):
        raise ConfigurationError(
            f"the exact optimum of {num_arms} arms and {num_pulls} pulls has {sum(expected):.3g} "
            f"beliefs, expected at most {MAX_WEIGHED // num_arms:,}; take fewer arms or pulls, or "
            "compare with the finite-horizon Gittins index."
        )
    arms, steps = _beliefs(num_arms, num_pulls)
    # Beliefs are told apart by a hash of 64 bits: that there are as many as there must be proves
    # that no two share one.
    assert [len(layer) for layer in arms] == expected
    layers: list[Layer] = []
    following = np.zeros(int(steps[-1].max()) + 1)
    for layer, after in zip(reversed(arms), reversed(steps), strict=True):
        mean = posterior_means(num_pulls)[layer]
        worth = mean * (1 + following[after[..., 1]]) + (1 - mean) * following[after[..., 0]]
        chosen = np.argmax(worth, axis=1)[:, None]
        following = np.take_along_axis(worth, chosen, axis=1)[:, 0]
        best = np.take_along_axis(layer, chosen, axis=1)[:, 0]
        layers.append(Layer(layer, following, best))
    return tuple(reversed(layers))


def optimal_total(num_arms: int, num_pulls: int) -> float:
    """Bayes-optimal expected total reward of n pulls of k arms.

    Raises:
        ConfigurationError: there are more than `MAX_WEIGHED` pulls to weigh.
    """
    return float(solve(num_arms, num_pulls)[0].value[0])


def _beliefs(num_arms: int, num_pulls: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Of each layer, the arms of its beliefs, and what every pull of theirs leads to."""
    marks = np.random.RandomState(0).randint(0, 2**64, num_codes(num_pulls), np.uint64)
    arms, steps = [np.zeros((1, num_arms), np.int32)], []
    for _ in range(num_pulls):
        before = arms[-1]
        added = np.stack([_after_pull(before, pays) for pays in (0, 1)], axis=-1)  # [N, k, 2]
        # A multiset's hash is the sum of its members' marks, in whatever order they stand.
        hashes = marks[before].sum(axis=1)[:, None, None] + marks[added] - marks[before][..., None]
        _, first, after = np.unique(hashes, return_index=True, return_inverse=True)
        steps.append(after.reshape(added.shape))
        belief, arm, pays = np.unravel_index(first, added.shape)
        reached = before[belief]
        reached[np.arange(len(first)), arm] = added[belief, arm, pays]
        arms.append(reached)
    return arms[:-1], steps


def _after_pull(code: np.ndarray, pays: int) -> np.ndarray:
    """The code of (s + 1, f) or (s, f + 1)."""
    pulls = pulls_of(code)
    return code + pulls + 1 + pays


def pulls_of(code: np.ndarray) -> np.ndarray:
    """How often an arm was pulled: m of the codes m (m + 1) / 2 … m (m + 1) / 2 + m."""
    return ((np.sqrt(8.0 * code + 1) - 1) / 2).astype(code.dtype)


def posterior_means(num_pulls: int) -> np.ndarray:
    """[(n + 1) (n + 2) / 2] float64: (1 + s) / (2 + s + f) by code, of up to n pulls."""
    code = np.arange(num_codes(num_pulls))
    pulls = pulls_of(code)
    return (1 + code - pulls * (pulls + 1) // 2) / (2 + pulls)
