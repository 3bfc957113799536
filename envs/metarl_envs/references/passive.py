"""What is earned at most where every action tells the same about what is hidden.

Then no action is worth more for what it teaches. The best is at each step the action that pays most
by the belief, and what it earns is a sum over what may have been seen, whatever was done.

Two arms of which one pays wherever the other would not are such a case: a pull of either tells
whether the first arm would have paid.
"""

import numpy as np
from scipy.special import gammaln, xlog1py, xlogy


def dependent_arms_total(chances: np.ndarray, weights: np.ndarray, num_pulls: int) -> float:
    """The Bayes-optimal return of n pulls of two arms that pay with p and with 1 - p.

        Σ_{t<n} Σ_{s<=t} C(t, s) max(E[p^{s+1} (1-p)^{t-s}], E[p^s (1-p)^{t-s+1}])

    s is how often, in the t pulls before, the first arm paid or would have.

    Args:
        chances: [N] float64, values of p, or the nodes of a quadrature that is exact for
            polynomials of degree n.
        weights: [N] float64, their probabilities.
        num_pulls: n.
    """
    total = 0.0
    for before in range(num_pulls):
        paid = np.arange(before + 1)[:, None]
        ways = gammaln(before + 1) - gammaln(paid + 1) - gammaln(before - paid + 1)
        seen = np.exp(ways + xlogy(paid, chances) + xlog1py(before - paid, -chances))
        joint = weights * seen  # [t + 1, N], the probability of s and p
        total += np.maximum(joint @ chances, joint @ (1 - chances)).sum()
    return float(total)


def uniform_chances(num_pulls: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of the integral over [0, 1]: Gauss-Legendre's, exact to degree n."""
    nodes, weights = np.polynomial.legendre.leggauss(num_pulls // 2 + 1)
    return (1 + nodes) / 2, weights / 2


def hidden_chain_worth(
    prior: np.ndarray,
    transition: np.ndarray,
    likelihood: np.ndarray,
    worth: np.ndarray,
    num_steps: int,
    resolution: int,
) -> np.ndarray:
    """Expected worth of the best action at each step, where what is hidden is a Markov chain.

        Σ_h max_a Σ_x P(h, x_t = x) worth(x, a),    h = y_0 … y_{t-1}, what was seen before step t

    Histories whose beliefs are alike to within a cell of side 1 / resolution go on as one, with the
    sum of their P(h, x). A maximum of a sum is at most the sum of maxima: the result is never above
    the exact one, and rises to it with the resolution: soon where the chain moves, so that old
    differences fade.

    Args:
        prior: [S] float64, P(x_0).
        transition: [S, S] float64, P(x_{t+1} | x_t), by rows.
        likelihood: [S, Y] float64, P(y_t | x_t): what is seen, whatever is done.
        worth: [S, A] float64.
        num_steps: T.
        resolution: an even number, so that no cell lies on both sides of one half.

    Returns:
        [T] float64.
    """
    place = (resolution + 1) ** np.arange(len(prior) - 1)
    forward = prior[None]  # [N, S], P(h, x_t) of every group of histories
    values = []
    for _ in range(num_steps):
        values.append(float((forward @ worth).max(axis=1).sum()))
        seen = forward[:, None] * likelihood.T  # [N, Y, S]
        forward = (seen @ transition).reshape(-1, len(prior))
        forward = forward[forward.sum(axis=1) > 0]
        belief = forward / forward.sum(axis=1, keepdims=True)
        cell = np.floor(belief[:, 1:] * resolution).astype(np.int64) @ place
        _, group = np.unique(cell, return_inverse=True)
        forward = np.stack([np.bincount(group, column) for column in forward.T], axis=1)
    return np.array(values)
