"""The best return of a small problem with hidden states, by looking at everything that can be done.

An oracle: it knows nothing of what makes a family easy, and tries every action after every history.
"""

from collections.abc import Sequence

import numpy as np

Outcomes = Sequence[tuple[np.ndarray, float]]
"""What may follow an action: how probable it is in each hidden state [S], and its reward."""


def best_return(
    joint: np.ndarray, outcomes: Sequence[Outcomes], transition: np.ndarray, num_steps: int
) -> float:
    """Σ over histories of the best action's reward, times the history's probability.

    Args:
        joint: [S], P(history, hidden state).
        outcomes: of each action.
        transition: [S, S], of the hidden state after each step, by rows.
        num_steps: steps left.
    """
    if num_steps == 0:
        return 0.0
    worth = []
    for possible in outcomes:
        value = 0.0
        for likelihood, reward in possible:
            seen = joint * likelihood
            after = best_return(seen @ transition, outcomes, transition, num_steps - 1)
            value += reward * seen.sum() + after
        worth.append(value)
    return max(worth)


def arms(pays: np.ndarray) -> list[Outcomes]:
    """Pulls of arms that pay 1 with the probabilities [S, A], else 0."""
    return [[(chance, 1.0), (1 - chance, 0.0)] for chance in pays.T]
