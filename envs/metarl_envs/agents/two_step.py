"""Agents for the two-step task, and what the best of them earns.

Beliefs are kept as differences of two probabilities: ε_z = P(state 1 pays) - P(state 0 pays), and
ε_c = P(not swapped) - P(swapped). What points one way with a chance q, the other with 1 - q, moves
them as Bayes' rule says, and a change with a chance h makes them less sure:

    ε <- (ε ± (2q - 1)) / (1 ± (2q - 1) ε),        ε <- (1 - 2h) ε

    bayes-optimal    the action that leads to the paying state more probably: the sign of ε_z ε_c
    model-based      values of the two states, by a running mean of their rewards; the action that
                     commonly leads to the better, taking transitions to be as they are unswapped
    model-free       values of the two actions, by a running mean of the rewards that followed

The last two are those whose choices Daw et al. (2011) tell apart; their rate is ours.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import struct

from metarl_envs.agents.base import Agent, as_policy, best_of
from metarl_envs.references.passive import hidden_chain_worth
from metarl_jax.policy.policy import Policy
from metarl_jax.tasks.distribution import References
from metarl_jax.types import Array, Experience, Key, PyTree

RATE = 0.5
"""Of the running means, chosen by hand."""
RESOLUTION = 20_000


class Chances(NamedTuple):
    """What is random in a two-step task."""

    common: float
    """Of the common transition."""
    reward: float
    """That the paying state pays, and that the other does not."""
    change: float
    """That the states change places after a trial."""
    swap: float
    """That the transitions do."""


class _Believed(struct.PyTreeNode):
    """What is known of the paying state and of the transitions."""

    paying: Array  # [] float32, ε_z
    unswapped: Array  # [] float32, ε_c


class _Valued(struct.PyTreeNode):
    """Running means, and the last action."""

    values: Array  # [2] float32
    action: Array  # [] int32


Act = Callable[[PyTree], Array]
"""belief -> the worth of each action [2]."""


def _player(
    name: str, begin: Callable[[], PyTree], learn: Callable[..., PyTree], worth: Act
) -> Policy:
    def act(
        params: PyTree, key: Key, belief: PyTree, plan: PyTree, experience: Experience
    ) -> Array:
        del params, key, plan, experience
        return best_of(worth(belief))

    return as_policy(name, Agent(begin, learn, act))


def bayes_optimal(chances: Chances, *, hidden_swap: bool) -> Policy:
    """The best possible player."""

    def begin() -> _Believed:
        return _Believed(jnp.float32(0.0), jnp.float32(0.0 if hidden_swap else 1.0))

    def learn(belief: _Believed, experience: Experience) -> _Believed:
        last = experience.transition
        moved = _weigh(
            belief.unswapped, _sign(last.final_observation[2] == last.action), chances.common
        )
        paid = _weigh(
            belief.paying, _sign((last.observation[2] == 1) == (last.reward > 0.5)), chances.reward
        )
        chose, was_paid = last.observation[0] == 1, last.observation[0] == 0
        was_paid &= last.action >= 0
        unswapped = jnp.where(chose, moved, belief.unswapped)
        return _Believed(
            paying=jnp.where(was_paid, (1 - 2 * chances.change) * paid, belief.paying),
            unswapped=jnp.where(was_paid, (1 - 2 * chances.swap) * unswapped, unswapped),
        )

    def worth(belief: _Believed) -> Array:
        return belief.paying * belief.unswapped * jnp.array([-1.0, 1.0])

    return _player("bayes-optimal", begin, learn, worth)


def _sign(points: Array) -> Array:
    return 2.0 * points.astype(jnp.float32) - 1.0


def _weigh(difference: Array, sign: Array, chance: float) -> Array:
    """Bayes' rule, for what points to `sign` with that chance."""
    evidence = sign * (2 * chance - 1)
    return (difference + evidence) / (1 + evidence * difference)


def value_learner(name: str, *, of_states: bool) -> Policy:
    """Learns values of the states, or of the actions, from what was paid."""

    def begin() -> _Valued:
        return _Valued(jnp.full((2,), 0.5, jnp.float32), jnp.int32(0))

    def learn(belief: _Valued, experience: Experience) -> _Valued:
        last = experience.transition
        state = (last.observation[2] == 1).astype(jnp.int32)
        paid = last.observation[1] + last.observation[2]  # 1 in the second step, else 0
        valued = jnp.arange(2) == (state if of_states else belief.action)
        values = belief.values + paid * RATE * valued * (last.reward - belief.values)
        return _Valued(values, last.action)  # paid a step later: the choice is then still there

    return _player(name, begin, learn, lambda belief: belief.values)


def random_choice() -> Policy:
    """Any action, both alike."""
    uniform = Agent(lambda: (), lambda belief, experience: belief, lambda *given: jnp.zeros(2))
    return as_policy("random", uniform)


def two_step_references(chances: Chances, num_trials: int, *, hidden_swap: bool) -> References:
    """Exact values and the agents.

    A trial's reward is 1/2 + (2q - 1) (2c - 1) |ε_z| |ε_c| / 2 for the best action, c the common
    chance. Neither belief depends on what is chosen, nor on the other: their means multiply.
    """

    def certainty(chance: float, change: float, first: float) -> np.ndarray:
        """[n], E|ε| before each trial."""
        moves = np.array([[1 - change, change], [change, 1 - change]])
        points = np.array([[chance, 1 - chance], [1 - chance, chance]])
        sides = np.array([[1.0, -1.0], [-1.0, 1.0]])
        prior = np.array([1 + first, 1 - first]) / 2
        return hidden_chain_worth(prior, moves, points, sides, num_trials, RESOLUTION)

    def total(paying: float, unswapped: float) -> float:
        sure = certainty(chances.reward, chances.change, paying)
        sure *= certainty(chances.common, chances.swap, unswapped)
        gain = (2 * chances.reward - 1) * (2 * chances.common - 1) / 2
        return float(np.sum(0.5 + gain * sure))

    return References(
        optimal_total=total(0.0, 0.0 if hidden_swap else 1.0),
        oracle_total=total(1.0, 1.0),
        random_total=num_trials / 2,
        agents={
            "random": random_choice,
            "bayes-optimal": lambda: bayes_optimal(chances, hidden_swap=hidden_swap),
            "model-based": lambda: value_learner("model-based", of_states=True),
            "model-free": lambda: value_learner("model-free", of_states=False),
        },
    )
