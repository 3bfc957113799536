"""Classical agents for Bernoulli bandits whose arms pay with probabilities ~ U(0, 1).

The belief is how often each arm paid and how often it did not: p_i ~ Beta(1 + s_i, 1 + f_i), of
mean m_i = (1 + s_i) / (2 + n_i), with n_i = s_i + f_i and t = Σ n_i. Pulled is the arm with the
highest score, the first of equal ones:

    greedy                  m_i
    ε-greedy                m_i, and with probability ε any arm
    Thompson                θ_i ~ Beta(1 + s_i, 1 + f_i)                  (Thompson 1933)
    optimistic Thompson     max(θ_i, m_i)                                 (May et al. 2012)
    UCB                     m_i + c √(2 ln(1 + t) / (1 + n_i))
    UCB1                    s_i / n_i + √(2 ln t / n_i), each arm once first   (Auer et al. 2002)
    Gittins                 the index of (s_i, f_i), discounted or of the pulls that are left
    Bayes-optimal           what the dynamic programme over beliefs says
"""

import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from metarl_envs.agents.base import Agent, as_policy, best_of, with_chance
from metarl_envs.references import bernoulli, gittins
from metarl_jax.policy.policy import Policy
from metarl_jax.tasks.distribution import References
from metarl_jax.types import Array, ConfigurationError, Experience, Key, PyTree

UCB_CONSTANTS = {
    (5, 10): 0.02,
    (10, 10): 0.02,
    (50, 10): 0.02,
    (5, 100): 0.15,
    (10, 100): 0.15,
    (50, 100): 0.1,
    (5, 500): 0.2,
    (10, 500): 0.2,
    (50, 500): 0.12,
}
"""c of UCB by (arms, pulls), chosen among a few by the return of simulated play."""

MAX_LOOKED_UP = 20_000
"""Beliefs in a layer that 32 bits can tell apart."""


def bandit_references(num_arms: int, num_pulls: int) -> References:
    """What is known of n pulls of k arms.

    Nothing crossing an episode's end, n / 2; the probabilities told, n k / (k + 1), the mean of the
    largest of k uniforms; the Bayes optimum where there are few beliefs; and the agents.
    """
    agents = index_agents(num_arms, num_pulls)
    if can_look_up(num_arms, num_pulls):
        agents["bayes-optimal"] = partial(bayes_optimal, num_arms, num_pulls)
    known = bernoulli.is_solvable(num_arms, num_pulls)
    return References(
        optimal_total=bernoulli.optimal_total(num_arms, num_pulls) if known else None,
        memoryless_total=num_pulls / 2,
        random_total=num_pulls / 2,
        oracle_total=num_pulls * num_arms / (num_arms + 1),
        oracle_return=lambda task: num_pulls * jnp.max(task.probabilities),
        agents=agents,
    )


def index_agents(num_arms: int, num_pulls: int) -> dict[str, Callable[[], Policy]]:
    """Those that give every arm a score of its own, and are quickly made."""
    return {
        "random": partial(random_arm, num_arms),
        "greedy": partial(greedy, num_arms),
        "epsilon-greedy": partial(greedy, num_arms, 0.05),
        "thompson": partial(thompson, num_arms),
        "optimistic-thompson": partial(thompson, num_arms, optimistic=True),
        "ucb": partial(ucb, num_arms, tuned_constant(num_arms, num_pulls)),
        "ucb1": partial(ucb1, num_arms),
        "gittins": partial(finite_horizon_gittins, num_arms, num_pulls),
        "discounted-gittins": partial(
            discounted_gittins, num_arms, num_pulls, max(1 - 1 / num_pulls, 0.5)
        ),
    }


def tuned_constant(num_arms: int, num_pulls: int) -> float:
    """UCB's c for the numbers of pulls and arms nearest by their ratios."""

    def apart(tuned: tuple[int, int]) -> float:
        return abs(math.log(tuned[1] / num_pulls)) + 0.1 * abs(math.log(tuned[0] / num_arms))

    return UCB_CONSTANTS[min(UCB_CONSTANTS, key=apart)]


class Counts(struct.PyTreeNode):
    """How often each arm paid, and did not."""

    successes: Array  # [k] int32
    failures: Array  # [k] int32

    @property
    def pulls(self) -> Array:
        """n: [k] int32."""
        return self.successes + self.failures

    @property
    def mean(self) -> Array:
        """m: [k] float32."""
        return (1.0 + self.successes) / (2.0 + self.pulls)


Logits = Callable[[PyTree, Key, Counts], Array]
"""(params, key, counts) -> [k]."""


def _bandit_agent(name: str, num_arms: int, logits: Logits, params: PyTree = ()) -> Policy:
    def belief() -> Counts:
        zeros = jnp.zeros((num_arms,), jnp.int32)
        return Counts(zeros, zeros)

    def learn(counts: Counts, experience: Experience) -> Counts:
        last = experience.transition
        pulled = jnp.arange(num_arms) == last.action  # none before the first step: action -1
        paid = last.reward > 0.5
        return Counts(counts.successes + (pulled & paid), counts.failures + (pulled & ~paid))

    def act(
        params: PyTree, key: Key, counts: Counts, plan: PyTree, experience: Experience
    ) -> Array:
        del plan, experience
        return logits(params, key, counts)

    return as_policy(name, Agent(belief, learn, act), params)


def random_arm(num_arms: int) -> Policy:
    """Any arm, all alike."""
    return _bandit_agent("random", num_arms, lambda params, key, counts: jnp.zeros(num_arms))


def greedy(num_arms: int, chance: float = 0.0) -> Policy:
    """The best posterior mean; with a probability ε, in [0, 1], any arm."""

    def logits(params: PyTree, key: Key, counts: Counts) -> Array:
        return with_chance(best_of(counts.mean), chance) if chance else best_of(counts.mean)

    return _bandit_agent("epsilon-greedy" if chance else "greedy", num_arms, logits)


def thompson(num_arms: int, *, optimistic: bool = False) -> Policy:
    """The best of one sample from each arm's posterior; optimistic: never below its mean."""

    def logits(params: PyTree, key: Key, counts: Counts) -> Array:
        sample = jax.random.beta(key, 1.0 + counts.successes, 1.0 + counts.failures)
        return best_of(jnp.maximum(sample, counts.mean) if optimistic else sample)

    name = "optimistic-thompson" if optimistic else "thompson"
    return _bandit_agent(name, num_arms, logits)


def ucb(num_arms: int, constant: float) -> Policy:
    """The best posterior mean plus c √(2 ln(1 + t) / (1 + n)); c is tuned to n and k."""

    def logits(params: PyTree, key: Key, counts: Counts) -> Array:
        time = jnp.sum(counts.pulls)
        width = jnp.sqrt(2 * jnp.log(1.0 + time) / (1 + counts.pulls))
        return best_of(counts.mean + constant * width)

    return _bandit_agent("ucb", num_arms, logits)


def ucb1(num_arms: int) -> Policy:
    """The textbook's: the best mean of what was seen plus √(2 ln t / n), every arm once first."""

    def logits(params: PyTree, key: Key, counts: Counts) -> Array:
        pulls = jnp.maximum(counts.pulls, 1)
        time = jnp.maximum(jnp.sum(counts.pulls), 1)
        bound = counts.successes / pulls + jnp.sqrt(2 * jnp.log(time) / pulls)
        return best_of(jnp.where(counts.pulls == 0, jnp.inf, bound))

    return _bandit_agent("ucb1", num_arms, logits)


def finite_horizon_gittins(num_arms: int, num_pulls: int) -> Policy:
    """The highest index for the pulls that are left; after n pulls, the best mean."""
    tables = gittins.finite_horizon_indices(num_pulls)
    starts = np.cumsum([0, *(len(table) for table in tables[:-1])]).astype(np.int32)

    def logits(params: PyTree, key: Key, counts: Counts) -> Array:
        starts, indices = params
        time = jnp.sum(counts.pulls)
        index = indices[starts[jnp.minimum(time, num_pulls - 1)] + _code(counts)]
        return best_of(jnp.where(time < num_pulls, index, counts.mean))

    params = (jnp.asarray(starts), jnp.asarray(np.concatenate(tables)))
    return _bandit_agent("gittins", num_arms, logits, params)


def discounted_gittins(num_arms: int, num_pulls: int, discount: float) -> Policy:
    """The highest index of a game without an end, discounted by γ in (0, 1).

    Of an arm pulled n times or more, it is its mean.
    """

    def logits(indices: PyTree, key: Key, counts: Counts) -> Array:
        return best_of(jnp.where(counts.pulls < num_pulls, indices[_code(counts)], counts.mean))

    indices = jnp.asarray(gittins.discounted_indices(num_pulls, discount))
    return _bandit_agent("discounted-gittins", num_arms, logits, indices)


def _code(counts: Counts) -> Array:
    """[k] int32, `references.bernoulli.arm_code` of each arm."""
    return counts.pulls * (counts.pulls + 1) // 2 + counts.successes


def bayes_optimal(num_arms: int, num_pulls: int) -> Policy:
    """The best possible player of n pulls; after them, the best mean.

    Raises:
        ConfigurationError: there are more than `MAX_LOOKED_UP` beliefs after one of the pulls.
    """
    if not can_look_up(num_arms, num_pulls):
        raise ConfigurationError(
            f"the exact player of {num_arms} arms and {num_pulls} pulls expects at most "
            f"{MAX_LOOKED_UP:,} beliefs after each pull, got more; take the Gittins index."
        )
    marks, hashes, best = _lookup(num_arms, num_pulls)

    def logits(params: PyTree, key: Key, counts: Counts) -> Array:
        marks, hashes, best = params
        code = _code(counts)
        time = jnp.sum(counts.pulls)
        row = jnp.minimum(time, num_pulls - 1)
        belief = jnp.searchsorted(hashes[row], jnp.sum(marks[code], dtype=jnp.uint32))
        chosen = (code == best[row, belief]).astype(jnp.float32)
        return best_of(jnp.where(time < num_pulls, chosen, counts.mean))

    params = (jnp.asarray(marks), jnp.asarray(hashes), jnp.asarray(best))
    return _bandit_agent("bayes-optimal", num_arms, logits, params)


def can_look_up(num_arms: int, num_pulls: int) -> bool:
    """Whether `bayes_optimal` can be made."""
    return max(bernoulli.num_beliefs(num_arms, num_pulls)) <= MAX_LOOKED_UP


def _lookup(num_arms: int, num_pulls: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Marks of the codes, whose sum is a belief's hash; ascending hashes [n, N]; answers [n, N]."""
    layers = bernoulli.solve(num_arms, num_pulls)
    widest = max(len(layer.best) for layer in layers)
    for seed in range(100):
        marks = np.random.RandomState(seed).randint(
            0, 2**32, bernoulli.num_codes(num_pulls), np.uint32
        )
        marks[0] = 0  # an untouched arm changes no hash, however many there are
        hashes = np.full((num_pulls, widest), 2**32 - 1, np.uint32)
        best = np.zeros((num_pulls, widest), np.int32)
        for row, answers, layer in zip(hashes, best, layers, strict=True):
            sums = marks[layer.arms].sum(axis=1, dtype=np.uint32)
            order = np.argsort(sums)
            row[: len(order)], answers[: len(order)] = sums[order], layer.best[order]
        if all(
            np.all(row[1:] > row[:-1])
            for row in (r[: len(x.best)] for r, x in zip(hashes, layers, strict=True))
        ):
            return marks, hashes, best
    raise AssertionError("no hash of 32 bits tells the beliefs apart")
