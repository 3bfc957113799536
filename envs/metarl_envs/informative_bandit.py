"""Eleven arms, of which the last pays little and tells which of the others pays most.

Reference:
    Wang, Kurth-Nelson, Tirumala, Soyer, Leibo, Munos, Blundell, Kumaran, Botvinick (2016),
    "Learning to reinforcement learn", section 3.1 (its payments, and 5 pulls).
"""

import functools

import jax
import jax.numpy as jnp
from flax import struct

from metarl_envs.agents.base import Agent, as_policy, best_of
from metarl_envs.bandit import Bandit, BanditState
from metarl_jax.checks import check_whole_number
from metarl_jax.policy.policy import Policy
from metarl_jax.tasks.distribution import References, TaskDistribution
from metarl_jax.types import Array, Experience, Key, PyTree

NUM_TARGETS = 10
INFORMATIVE_ARM = NUM_TARGETS
TARGET_REWARD, OTHER_REWARD = 5.0, 1.0


class InformativeTask(struct.PyTreeNode):
    """What is hidden: which arm pays most."""

    target: Array  # [] int32, 0 … 9


class InformativeBandit(Bandit):
    """The target pays 5, nine others 1, and the eleventh the target's number, 1 to 10, over 10.

    Nothing is random. The observation is a single 0, as a bandit's is.
    """

    def step_env(
        self, key: Key, state: BanditState, action: Array, task: InformativeTask
    ) -> tuple[Array, BanditState, Array, Array, dict[str, Array]]:
        """Pulls arm `action`."""
        del key
        pays = jnp.where(action == task.target, TARGET_REWARD, OTHER_REWARD)
        reward = jnp.where(action == INFORMATIVE_ARM, (1 + task.target) / NUM_TARGETS, pays)
        observation = jnp.zeros((1,), jnp.float32)
        return observation, state, reward.astype(jnp.float32), jnp.zeros((), bool), {}


def informative_bandit(*, num_pulls: int = 5) -> TaskDistribution:
    """Ten slot machines of which one pays 5, the others 1; the eleventh pays a tenth of its number.

    Every pull is an episode of one step. The best player gives a pull away for what it tells.

    Args:
        num_pulls: pulls in a meta-episode, n.

    Returns:
        The task distribution of the ten tasks, with exact values as its references.

    Raises:
        ConfigurationError: less than one pull.
    """
    check_whole_number("informative_bandit", "num_pulls", num_pulls, at_least=1)
    return TaskDistribution(
        name="informative_bandit",
        environment=InformativeBandit(NUM_TARGETS + 1),
        sample=lambda key: InformativeTask(jax.random.randint(key, (), 0, NUM_TARGETS, jnp.int32)),
        describe=lambda task: jax.nn.one_hot(task.target, NUM_TARGETS, dtype=jnp.float32),
        episode_length=1,
        num_episodes=num_pulls,
        ends_early=False,
        all_tasks=lambda: InformativeTask(jnp.arange(NUM_TARGETS, dtype=jnp.int32)),
        references=functools.cache(lambda: informative_references(num_pulls)),
    )


def informative_references(num_pulls: int) -> References:
    """Any one of the ten arms, (5 + 9) / 10 a pull; the task told, 5 a pull; the best player.

    It pulls the eleventh arm first, 0.55 on average, and the target ever after. Of a single pull,
    there is nothing after, and any of the ten is best.
    """
    one_arm = (TARGET_REWARD + (NUM_TARGETS - 1) * OTHER_REWARD) / NUM_TARGETS
    told = (1 + NUM_TARGETS) / (2 * NUM_TARGETS)
    returns = (told, *[TARGET_REWARD] * (num_pulls - 1)) if num_pulls > 1 else (one_arm,)
    return References(
        optimal_total=sum(returns),
        optimal_episodes=returns,
        memoryless_total=num_pulls * one_arm,
        random_total=num_pulls * (NUM_TARGETS * one_arm + told) / (NUM_TARGETS + 1),
        oracle_total=num_pulls * TARGET_REWARD,
        agents={
            "bayes-optimal": lambda: _player("bayes-optimal", asks=num_pulls > 1),
            "search": lambda: _player("search", asks=False),
        },
    )


def _player(name: str, *, asks: bool) -> Policy:
    """Finds the target by the eleventh arm if it asks, else by one arm after the other."""
    unknown = lambda: (jnp.int32(-1), jnp.int32(-1))  # the target, and the last arm pulled

    def learn(belief: tuple[Array, Array], experience: Experience) -> tuple[Array, Array]:
        last = experience.transition
        told = jnp.round(NUM_TARGETS * last.reward).astype(jnp.int32) - 1
        found = jnp.where(last.reward == TARGET_REWARD, last.action, belief[0])
        return jnp.where(last.action == INFORMATIVE_ARM, told, found), last.action

    def act(
        params: PyTree,
        key: Key,
        belief: tuple[Array, Array],
        plan: PyTree,
        experience: Experience,
    ) -> Array:
        del params, key, plan, experience
        target, last = belief
        look = INFORMATIVE_ARM if asks else (last + 1) % NUM_TARGETS
        arm = jnp.where(target >= 0, target, look)
        return best_of(jnp.arange(NUM_TARGETS + 1) == arm)

    return as_policy(name, Agent(unknown, learn, act))
