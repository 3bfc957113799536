"""What every family's references must obey, by play at random and by tasks that are drawn."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_envs.agents.base import Agent, as_policy
from metarl_envs.bandit import bandit
from metarl_envs.deceptive_bandit import deceptive_bandit
from metarl_envs.dependent_bandit import dependent_bandit
from metarl_envs.goal_grid import goal_grid
from metarl_envs.informative_bandit import informative_bandit
from metarl_envs.mouse import mouse
from metarl_envs.restless_bandit import restless_bandit
from metarl_envs.tabular_mdp import tabular_mdp
from metarl_envs.two_step import two_step
from metarl_jax.evaluation.evaluate import evaluate
from metarl_jax.tasks.distribution import TaskDistribution

FAMILIES: dict[str, Callable[[], TaskDistribution]] = {
    "bandit": lambda: bandit(num_arms=3, num_pulls=4),
    "dependent_bandit": lambda: dependent_bandit(kind="uniform", num_pulls=3),
    "dependent_bandit_easy": lambda: dependent_bandit(kind="easy", num_pulls=3),
    "informative_bandit": informative_bandit,
    "restless_bandit": lambda: restless_bandit(num_pulls=6),
    "deceptive_bandit": lambda: deceptive_bandit(num_arms=3, num_pulls=4),
    "two_step": lambda: two_step(num_trials=3),
    "goal_grid": goal_grid,
    "tabular_mdp": lambda: tabular_mdp(num_states=4, episode_length=3, num_episodes=2),
    "mouse": lambda: mouse(
        size=3, walls="none", cheese="near", episode_length=2, num_episodes=6, step_cost=0.1
    ),
}
NUM_TASKS = 2000


@pytest.mark.parametrize("name", FAMILIES)
def test_actions_at_random_earn_the_random_total(name: str) -> None:
    tasks = FAMILIES[name]()
    num_actions = tasks.specification.action.n
    assert num_actions is not None
    agent = Agent(lambda: (), lambda belief, _: belief, lambda *_: jnp.zeros(num_actions))
    policy = as_policy("random", agent)
    result = evaluate(tasks, policy, (), jax.random.key(3), NUM_TASKS)
    expected = tasks.references().random_total
    assert expected is not None
    assert abs(result.total_return_mean - expected) < 4 * result.total_return_ci95 / 1.96


@pytest.mark.parametrize("name", FAMILIES)
def test_oracle_returns_average_to_the_oracle_total(name: str) -> None:
    tasks = FAMILIES[name]()
    references = tasks.references()
    if references.oracle_return is None:
        assert name in {"informative_bandit", "restless_bandit", "two_step", "tabular_mdp"}
        return
    drawn = jax.vmap(tasks.sample)(jax.random.split(jax.random.key(4), NUM_TASKS))
    worth = np.asarray(jax.vmap(references.oracle_return)(drawn), np.float64)
    error = worth.std(ddof=1) / NUM_TASKS**0.5
    assert references.oracle_total is not None
    assert abs(worth.mean() - references.oracle_total) <= 4 * error + 1e-5
