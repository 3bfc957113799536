"""Classical agents for tabular MDPs: at each episode's start they plan it, then follow the plan.

The belief of (s, a), met n times with rewards of sum R and n_s' times followed by s':

    P(· | s, a) ~ Dirichlet(1 + n_1, …, 1 + n_S),    r̄(s, a) ~ N((1 + R) / (1 + n), 1 / (1 + n))

which is exact where p(M) is that of `tabular_mdp`. Each plans by backward induction in an MDP, or
what is like one:

    greedy       the mean of the belief; ε-greedy acts at random with probability ε
    PSRL         a sample of the belief                       (Strens 2000; Osband et al. 2013)
    OPSRL        K samples of the belief: the highest of their Q      (optimistic PSRL)
    BEB          the mean, with rewards + β / (1 + S + n)                     (Kolter, Ng 2009)
    UCRL2        the most favourable MDP of a set around what was seen    (Jaksch et al. 2010)
    known-mdp    the task itself: it is told
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from flax import struct

from metarl_envs.agents.base import Agent, as_policy, best_of, with_chance
from metarl_envs.references.tabular import backward_induction, optimal_values
from metarl_jax.policy.policy import Policy
from metarl_jax.tasks.distribution import References
from metarl_jax.types import Array, Experience, Key, PyTree

PRIOR_MEAN_REWARD = 1.0
"""Of r̄(s, a) ~ N(1, 1), as `tabular_mdp` draws them."""

CHANCE, SAMPLES, BONUS, WIDTH = 0.05, 5, 10.0, 0.1
"""ε, K, β and c, chosen by hand for episodes of 10 steps."""


class TabularBelief(struct.PyTreeNode):
    """What was met, and how far the episode is."""

    followed: Array  # [S, A, S] float32, n_s'
    reward: Array  # [S, A] float32, R
    step: Array  # [] int32, of the episode, from 0

    @property
    def visits(self) -> Array:
        """n: [S, A] float32."""
        return jnp.sum(self.followed, axis=-1)

    @property
    def mean_transitions(self) -> Array:
        """[S, A, S]."""
        weights = 1 + self.followed
        return weights / jnp.sum(weights, axis=-1, keepdims=True)

    @property
    def mean_rewards(self) -> Array:
        """[S, A]."""
        return (PRIOR_MEAN_REWARD + self.reward) / (1 + self.visits)


Plan = Callable[[Key, TabularBelief], Array]
"""(key, belief) -> Q [H, S, A]."""


def _planner(
    name: str, num_states: int, num_actions: int, plan: Plan, chance: float = 0.0
) -> Policy:
    """An agent that follows Q; with a probability ε any action."""
    shape = (num_states, num_actions)

    def belief() -> TabularBelief:
        zero = jnp.zeros(shape, jnp.float32)
        return TabularBelief(jnp.zeros((*shape, num_states), jnp.float32), zero, jnp.int32(-1))

    def act(
        params: PyTree, key: Key, belief: TabularBelief, values: Array, experience: Experience
    ) -> Array:
        logits = best_of(values[belief.step, jnp.argmax(experience.observation)])
        return with_chance(logits, chance) if chance else logits

    return as_policy(
        name, Agent(belief, _learn, act, lambda params, key, belief: plan(key, belief))
    )


def _learn(belief: TabularBelief, experience: Experience) -> TabularBelief:
    last = experience.transition
    num_actions = belief.reward.shape[1]
    met = last.observation[:, None] * (jnp.arange(num_actions) == last.action)[None]  # [S, A]
    return TabularBelief(
        followed=belief.followed + met[..., None] * last.final_observation[None, None],
        reward=belief.reward + met * last.reward,
        step=jnp.where(experience.episode_start, 0, belief.step + 1),
    )


def mean_plan(horizon: int, key: Key, belief: TabularBelief) -> Array:
    """Q of the belief's mean."""
    del key
    return optimal_values(belief.mean_transitions, belief.mean_rewards, horizon)


def sampled_plan(horizon: int, key: Key, belief: TabularBelief) -> Array:
    """Q of one sample."""
    return optimal_values(*_sample(key, belief), horizon)


def best_sampled_plan(horizon: int, num_samples: int, key: Key, belief: TabularBelief) -> Array:
    """The highest Q_h(s, a) of K samples of the belief, each planned alone."""
    keys = jax.random.split(key, num_samples)
    plans = jax.vmap(sampled_plan, in_axes=(None, 0, None))(horizon, keys, belief)
    return jnp.max(plans, axis=0)


def bonus_plan(horizon: int, bonus: float, key: Key, belief: TabularBelief) -> Array:
    """Q of the belief's mean, with β / (1 + S + n) on top: S + n is what its Dirichlet sums to."""
    del key
    rewards = belief.mean_rewards + bonus / (1 + len(belief.reward) + belief.visits)
    return optimal_values(belief.mean_transitions, rewards, horizon)


def favourable_plan(horizon: int, width: float, key: Key, belief: TabularBelief) -> Array:
    """Q of the most favourable MDP whose rewards and transitions are near to those that were seen.

    Within c √(7 ln(2 S A t / δ) / (2 n)) of the belief's mean reward, and in the sum over s' within
    c √(14 S ln(2 A t / δ) / n) of the shares that were seen; t the steps so far, n at least 1, δ =
    0.05 (Jaksch et al. 2010, figure 1, where c = 1 and the mean is that of what was seen).
    """
    del key
    num_states, num_actions = belief.reward.shape
    visits = jnp.maximum(belief.visits, 1)
    time = jnp.maximum(jnp.sum(belief.visits), 1)
    log = jnp.log(2 * num_actions * time / 0.05)
    near = width * jnp.sqrt(7 * (log + jnp.log(num_states)) / (2 * visits))
    apart = width * jnp.sqrt(14 * num_states * log / visits)
    seen = belief.followed / visits[..., None]
    seen = jnp.where(belief.visits[..., None] == 0, 1 / num_states, seen)
    rewards = belief.mean_rewards + near

    def worth(value: Array) -> Array:
        return rewards + most_favourable(seen, apart, value) @ value

    return backward_induction(worth, num_states, horizon)


def most_favourable(transitions: Array, apart: Array, value: Array) -> Array:
    """The transitions within a sum of absolute differences whose expected value is highest.

    Half of the difference goes to the best state, and is taken from the worst ones (Jaksch et al.
    2010, figure 2).

    Args:
        transitions: [S, A, S].
        apart: [S, A], the sum.
        value: [S].

    Returns:
        [S, A, S].
    """
    order = jnp.argsort(value)  # the worst first
    ordered = transitions[..., order]
    best = jnp.minimum(ordered[..., -1] + apart / 2, 1.0)
    ordered = ordered.at[..., -1].set(best)
    surplus = jnp.sum(ordered, axis=-1, keepdims=True) - 1
    worse = jnp.cumsum(ordered, axis=-1) - ordered
    ordered = jnp.maximum(ordered - jnp.maximum(surplus - worse, 0), 0)
    return ordered[..., jnp.argsort(order)]


def _sample(key: Key, belief: TabularBelief) -> tuple[Array, Array]:
    """Transitions [S, A, S] and rewards [S, A]."""
    transition_key, reward_key = jax.random.split(key)
    noise = jax.random.normal(reward_key, belief.reward.shape, jnp.float32) / jnp.sqrt(
        1 + belief.visits
    )
    weights = jax.random.gamma(transition_key, 1 + belief.followed, dtype=jnp.float32)
    return weights / jnp.sum(weights, axis=-1, keepdims=True), belief.mean_rewards + noise


def known_mdp(num_states: int, num_actions: int, horizon: int) -> Policy:
    """Plans in the task itself, of which it is told: the upper line."""
    shape = (num_states, num_actions)

    def learn(belief: tuple[Array, Array], experience: Experience) -> tuple[Array, Array]:
        step = jnp.where(experience.episode_start, 0, belief[1] + 1)
        return experience.context, step

    def plan(params: PyTree, key: Key, belief: tuple[Array, Array]) -> Array:
        del params, key
        transitions, rewards = jnp.split(belief[0], [num_states * num_actions * num_states])
        return optimal_values(
            transitions.reshape((*shape, num_states)), rewards.reshape(shape), horizon
        )

    def act(
        params: PyTree, key: Key, belief: PyTree, values: Array, experience: Experience
    ) -> Array:
        del params, key
        return best_of(values[belief[1], jnp.argmax(experience.observation)])

    size = num_states * num_actions * (num_states + 1)
    begin = lambda: (jnp.zeros((size,), jnp.float32), jnp.int32(-1))
    return as_policy("known-mdp", Agent(begin, learn, act, plan), contextual=True)


def tabular_references(
    num_states: int, num_actions: int, episode_length: int, num_episodes: int
) -> References:
    """The agents; exactly known are each MDP alone, and that no action at random beats another.

    A step at random pays the mean of the prior, whatever state it is taken in.
    """
    no_plan = lambda key, belief: jnp.zeros((episode_length, num_states, num_actions))
    plans = {
        "greedy": partial(mean_plan, episode_length),
        "psrl": partial(sampled_plan, episode_length),
        "opsrl": partial(best_sampled_plan, episode_length, SAMPLES),
        "beb": partial(bonus_plan, episode_length, BONUS),
        "ucrl2": partial(favourable_plan, episode_length, WIDTH),
    }
    agents: dict[str, Callable[[], Policy]] = {
        name: partial(_planner, name, num_states, num_actions, plan) for name, plan in plans.items()
    }
    agents["epsilon-greedy"] = partial(
        _planner, "epsilon-greedy", num_states, num_actions, plans["greedy"], CHANCE
    )
    agents["random"] = partial(_planner, "random", num_states, num_actions, no_plan, 1.0)
    agents["known-mdp"] = partial(known_mdp, num_states, num_actions, episode_length)
    random_total = PRIOR_MEAN_REWARD * episode_length * num_episodes
    return References(random_total=random_total, agents=agents)
