"""Two Bernoulli arms that change places now and then, more often in some tasks than in others.

How fast past pulls should be forgotten is itself to be learned in each task.

Reference:
    Wang, Kurth-Nelson, Tirumala, Soyer, Leibo, Munos, Blundell, Kumaran, Botvinick (2016),
    "Learning to reinforcement learn", section 3.1: two arms that pay with p and 1 - p, p changing
    slowly or quickly, 100 pulls. It does not say by what law. The one here (places change with a
    chance, of 0.02 or 0.2 at each pull) is ours; so are 0.8 and 0.2, after Behrens, Woolrich,
    Walton, Rushworth (2007), "Learning the value of information in an uncertain world".
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from metarl_envs.agents.bernoulli import index_agents
from metarl_envs.agents.hidden_chain import believer
from metarl_envs.bandit import Bandit
from metarl_envs.references.passive import hidden_chain_worth
from metarl_jax.checks import check_number, check_whole_number
from metarl_jax.tasks.distribution import References, TaskDistribution
from metarl_jax.trees import take
from metarl_jax.types import Array, ConfigurationError, Key

FAMILY = "restless_bandit"
RESOLUTION, FINE_RESOLUTION = 200, 20_000
"""Cells of a belief over four and over two states."""


class RestlessTask(struct.PyTreeNode):
    """What is hidden but for the changes to come."""

    volatility: Array  # [] float32, the chance that the arms change places after a pull
    better: Array  # [] int32, the better arm at first


class RestlessState(struct.PyTreeNode):
    """What is hidden and changes."""

    better: Array  # [] int32, the better arm now


class RestlessBandit(Bandit):
    """The better arm pays 1 with a probability q, the other with 1 - q.

    The observation is a single 0, as a bandit's is.
    """

    def __init__(self, better_chance: float) -> None:
        super().__init__(num_arms=2)
        self.better_chance = better_chance

    def reset_env(self, key: Key, task: RestlessTask) -> tuple[Array, RestlessState]:
        """Returns (observation [1] float32, state); draws nothing."""
        del key
        return jnp.zeros((1,), jnp.float32), RestlessState(task.better)

    def step_env(
        self, key: Key, state: RestlessState, action: Array, task: RestlessTask
    ) -> tuple[Array, RestlessState, Array, Array, dict[str, Array]]:
        """Pulls arm `action`; then the arms may change places."""
        pay_key, change_key = jax.random.split(key)
        chance = jnp.where(action == state.better, self.better_chance, 1 - self.better_chance)
        pays = jax.random.uniform(pay_key, (), jnp.float32) < chance
        changes = jax.random.uniform(change_key, (), jnp.float32) < task.volatility
        state = RestlessState(jnp.where(changes, 1 - state.better, state.better))
        observation = jnp.zeros((1,), jnp.float32)
        return observation, state, pays.astype(jnp.float32), jnp.zeros((), bool), {}


def restless_bandit(
    *,
    better_chance: float = 0.8,
    low_volatility: float = 0.02,
    high_volatility: float = 0.2,
    num_pulls: int = 100,
) -> TaskDistribution:
    """Two slot machines, one better, that change places with a hidden chance after each pull.

    A meta-episode is one episode of n pulls: an episode begins in the state that its task says, and
    a change of places has to last. Nothing crosses an episode's end, so that a return without
    memory is not among the references; a policy that remembers nothing at all earns n / 2. The
    splits "low" and "high" are the tasks of one volatility.

    Args:
        better_chance: q, how often the better arm pays, from 0.5 to 1; the other pays as often as
            it does not.
        low_volatility: chance of a change after each pull, in half of the tasks, from 0 to 0.5.
        high_volatility: likewise, in the other half; above the low one.
        num_pulls: n, at most 1,000.

    Returns:
        The task distribution. Its Bayes-optimal total, 66.921 by default, is a lower bound within
        0.002 of the exact one, and takes some seconds; the task told is its volatility and its
        better arm at first.

    Raises:
        ConfigurationError: an argument is out of range, or the volatilities are not in order.
    """
    _check(better_chance, low_volatility, high_volatility, num_pulls)
    volatilities = (low_volatility, high_volatility)

    def all_tasks() -> RestlessTask:
        chances = jnp.repeat(jnp.array(volatilities, jnp.float32), 2)
        return RestlessTask(chances, jnp.array([0, 1, 0, 1], jnp.int32))

    def of_these(low: int, high: int, key: Key) -> RestlessTask:
        which = jax.random.randint(key, (), low, high, jnp.int32)
        return take(all_tasks(), which)

    return TaskDistribution(
        name=FAMILY,
        environment=RestlessBandit(better_chance),
        sample=functools.partial(of_these, 0, 4),
        describe=lambda task: jnp.stack([task.volatility, task.better.astype(jnp.float32)]),
        episode_length=num_pulls,
        num_episodes=1,
        ends_early=False,
        all_tasks=all_tasks,
        splits={
            "low": functools.partial(of_these, 0, 2),
            "high": functools.partial(of_these, 2, 4),
        },
        references=functools.cache(
            lambda: restless_references(better_chance, volatilities, num_pulls)
        ),
    )


def _check(better: float, low: float, high: float, num_pulls: int) -> None:
    check_number(FAMILY, "better_chance", better, at_least=0.5, at_most=1.0)
    check_number(FAMILY, "low_volatility", low, at_least=0.0, at_most=0.5)
    check_number(FAMILY, "high_volatility", high, at_least=0.0, at_most=0.5)
    check_whole_number(FAMILY, "num_pulls", num_pulls, at_least=1, at_most=1000)
    if not low < high:
        raise ConfigurationError(
            f"{FAMILY}: low_volatility must be less than high_volatility, got {low} and {high}; "
            "give the lower one first."
        )


def changes(volatility: float) -> np.ndarray:
    """[2, 2], P(better arm after | before) by rows."""
    return np.array([[1 - volatility, volatility], [volatility, 1 - volatility]])


def restless_references(
    better_chance: float, volatilities: tuple[float, float], num_pulls: int
) -> References:
    """Exact values, the exact player, and agents that know arms which stay as they are.

    Hidden are the volatility and the better arm: four states, of which only the second moves.
    """
    pays = np.array([[better_chance, 1 - better_chance], [1 - better_chance, better_chance]])
    none = np.zeros((2, 2))
    moves = np.block([[changes(volatilities[0]), none], [none, changes(volatilities[1])]])
    both, prior = np.tile(pays, (2, 1)), np.full(4, 0.25)
    # The first arm pays, or would have: the same is seen whichever is pulled.
    optimal = hidden_chain_worth(prior, moves, both, both, num_pulls, RESOLUTION)
    known = [
        hidden_chain_worth(
            np.array([1.0, 0.0]), changes(volatility), pays, pays, num_pulls, FINE_RESOLUTION
        ).sum()
        for volatility in volatilities
    ]
    exact = functools.partial(believer, "bayes-optimal", prior, moves, both)
    return References(
        optimal_total=float(optimal.sum()),
        random_total=num_pulls / 2,
        oracle_total=float(np.mean(known)),
        agents=index_agents(2, num_pulls) | {"bayes-optimal": exact},
    )
