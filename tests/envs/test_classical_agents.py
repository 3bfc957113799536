"""Classical agents: their choices against plain loops, their returns against exact optima."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_envs.agents import bernoulli as agents
from metarl_envs.agents.base import with_chance
from metarl_envs.bandit import bandit
from metarl_envs.references import bernoulli, gittins
from metarl_jax import MetaEpisode, Policy, collect, evaluate, start, task_keys
from metarl_jax.types import ConfigurationError
from support.comparisons import assert_same

NUM_ARMS, NUM_PULLS = 4, 12
TASKS = bandit(num_arms=NUM_ARMS, num_pulls=NUM_PULLS)


def played(policy: Policy, num_tasks: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """[T, B] arms pulled and rewards got."""
    drawn = jax.vmap(TASKS.sample)(task_keys(jax.random.key(2), num_tasks))
    keys = task_keys(jax.random.key(0), num_tasks)
    actors = start(policy, MetaEpisode(TASKS), drawn, keys)
    params = policy.init(jax.random.key(1))
    _, rollout, _ = jax.jit(lambda: collect(policy, params, MetaEpisode(TASKS), actors))()
    return np.asarray(rollout.action), np.asarray(rollout.outcome.reward)


def codes(successes: np.ndarray, failures: np.ndarray) -> np.ndarray:
    return bernoulli.arm_code(successes, failures)


def exact_worth(successes: np.ndarray, failures: np.ndarray, time: int) -> np.ndarray:
    """What pulling each arm is worth, by recursion over beliefs."""
    if time == NUM_PULLS:
        return np.zeros(1)
    mean = (1 + successes) / (2 + successes + failures)
    worth = []
    for arm in range(len(mean)):
        one = np.eye(len(mean), dtype=int)[arm]
        paid = exact_worth(successes + one, failures, time + 1).max()
        unpaid = exact_worth(successes, failures + one, time + 1).max()
        worth.append(mean[arm] * (1 + paid) + (1 - mean[arm]) * unpaid)
    return np.array(worth)


def with_untouched(score, untouched):
    return np.where(untouched, np.inf, score)


SCORES = {
    "greedy": lambda s, f, t: (1 + s) / (2 + s + f),
    "ucb": lambda s, f, t: (1 + s) / (2 + s + f) + 0.02 * np.sqrt(2 * np.log(1 + t) / (1 + s + f)),
    "ucb1": lambda s, f, t: with_untouched(
        s / np.maximum(s + f, 1) + np.sqrt(2 * np.log(max(t, 1)) / np.maximum(s + f, 1)),
        s + f == 0,
    ),
    "gittins": lambda s, f, t: gittins.finite_horizon_indices(NUM_PULLS)[t][codes(s, f)],
    "discounted-gittins": lambda s, f, t: gittins.discounted_indices(NUM_PULLS, 1 - 1 / NUM_PULLS)[
        codes(s, f)
    ],
}


@pytest.mark.parametrize("name", SCORES)
def test_the_arm_with_the_highest_score_is_pulled(name):
    actions, rewards = played(TASKS.references().agents[name]())
    for arms, pays in zip(actions.T, rewards.T, strict=True):
        successes, failures = np.zeros((2, NUM_ARMS), int)
        for time, (arm, paid) in enumerate(zip(arms, pays, strict=True)):
            scores = SCORES[name](successes, failures, time)
            assert scores[arm] >= scores.max() - 1e-6
            successes[arm] += int(paid)
            failures[arm] += 1 - int(paid)
    assert len(np.unique(actions[-1])) == NUM_ARMS  # tasks differ, and so do their best arms


def test_the_exact_player_pulls_what_is_worth_most():
    actions, rewards = played(TASKS.references().agents["bayes-optimal"](), num_tasks=16)
    for arms, pays in zip(actions.T, rewards.T, strict=True):
        successes, failures = np.zeros((2, NUM_ARMS), int)
        for time, (arm, paid) in enumerate(zip(arms, pays, strict=True)):
            if time >= NUM_PULLS - 4:  # before that the recursion is long
                worth = exact_worth(successes, failures, time)
                assert worth[arm] == pytest.approx(worth.max())
            successes[arm] += int(paid)
            failures[arm] += 1 - int(paid)


def total_of(name: str, num_arms: int, num_pulls: int, num_tasks: int) -> tuple[float, float]:
    """Mean total return and its standard error."""
    tasks = bandit(num_arms=num_arms, num_pulls=num_pulls)
    policy = tasks.references().agents[name]()
    params = policy.init(jax.random.key(0))
    result = evaluate(tasks, policy, params, jax.random.key(1), num_tasks)
    return result.total_return_mean, result.total_return_ci95 / 1.96


# Exact for greedy, Bayes-optimal and random; the others simulated with a standard error of .002.
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bayes-optimal", 6.6599878748),
        ("gittins", 6.661),
        ("ucb", 6.648),
        ("greedy", 6.5683514),
        ("thompson", 5.84),
        ("random", 5.0),
    ],
)
def test_agents_earn_the_known_totals(name, expected):
    mean, error = total_of(name, 5, 10, 20_000)
    assert abs(mean - expected) < 4 * np.hypot(error, 0.002)


def test_the_textbooks_ucb_is_far_worse_than_the_tuned_one():
    mean, error = total_of("ucb1", 5, 100, 2_000)
    assert abs(mean - 65.9) < 4 * error + 0.05


def test_a_sample_is_as_often_the_best_as_the_posterior_says():
    """P(θ_1 > θ_2) for Beta(3, 1) and Beta(1, 2): 1 - E[θ_1 is below] = 0.9, by integration."""
    counts = agents.Counts(jnp.array([2, 0]), jnp.array([0, 1]))
    policy = agents.thompson(2)
    num_samples = 20_000

    def first_arm(key):
        carry = (key, counts, ())
        experience = blank_experience()
        return policy.step((), carry, experience)[1].action_distribution.mode() == 0

    share = jax.jit(jax.vmap(first_arm))(task_keys(jax.random.key(3), num_samples)).mean()
    grid = (np.arange(2000) + 0.5) / 2000
    expected = np.mean(3 * grid**2 * (1 - (1 - grid) ** 2))  # ∫ f_1(x) F_2(x)
    assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / num_samples)


def blank_experience():
    """What a policy reads before the first pull."""
    tasks = bandit(num_arms=2)
    task = tasks.sample(jax.random.key(0))
    return MetaEpisode(tasks).reset(jax.random.key(0), task).experience


def test_after_its_pulls_an_agent_plays_the_best_mean():
    longer = bandit(num_arms=2, num_pulls=9)
    for agent in (agents.bayes_optimal(2, 4), agents.finite_horizon_gittins(2, 4)):
        keys = task_keys(jax.random.key(0), 64)
        drawn = jax.vmap(longer.sample)(task_keys(jax.random.key(2), 64))
        params = agent.init(jax.random.key(1))

        def run(agent=agent, params=params, drawn=drawn, keys=keys):
            actors = start(agent, MetaEpisode(longer), drawn, keys)
            return collect(agent, params, MetaEpisode(longer), actors)

        _, rollout, _ = jax.jit(run)()
        pulled = jax.nn.one_hot(rollout.action, 2)  # [T, B, k]
        paid = np.cumsum(pulled * rollout.outcome.reward[..., None], axis=0)
        mean = (1 + paid) / (2 + np.cumsum(pulled, axis=0))
        chosen = np.take_along_axis(mean[4:-1], np.asarray(rollout.action)[5:, :, None], axis=2)
        np.testing.assert_allclose(chosen[..., 0], mean[4:-1].max(axis=2), rtol=1e-6)


def test_the_optimistic_never_takes_an_arm_for_worse_than_its_mean():
    """With means 0.75 and 0.4 the first arm is pulled unless the second one's sample is above."""
    counts = agents.Counts(jnp.array([2, 1]), jnp.array([0, 2]))
    policy, num_samples = agents.thompson(2, optimistic=True), 20_000

    def second_arm(key):
        output = policy.step((), (key, counts, ()), blank_experience())[1]
        return output.action_distribution.mode() == 1

    share = jax.jit(jax.vmap(second_arm))(task_keys(jax.random.key(3), num_samples)).mean()
    # P(θ_2 > max(θ_1, m_1)) with θ_1 ~ Beta(3, 1), θ_2 ~ Beta(2, 3), by integration.
    grid = (np.arange(20_000) + 0.5) / 20_000
    expected = np.mean((grid > 0.75) * 12 * grid * (1 - grid) ** 2 * grid**3)
    assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / num_samples)


def test_a_chance_of_any_arm_is_shared_by_all():
    probabilities = jax.nn.softmax(with_chance(jnp.array([0.0, -1e9, -1e9, -1e9]), 0.2))
    np.testing.assert_allclose(probabilities, [0.85, 0.05, 0.05, 0.05], rtol=1e-6)


def test_a_batch_is_its_rows():
    policy = TASKS.references().agents["gittins"]()
    params = policy.init(jax.random.key(0))
    meta_episode = MetaEpisode(TASKS)

    def begin():
        carry_keys, task_keys_, reset_keys = (task_keys(jax.random.key(i), 3) for i in range(3))
        tasks = jax.vmap(TASKS.sample)(task_keys_)
        states = jax.vmap(meta_episode.reset)(reset_keys, tasks)
        return jax.vmap(policy.initial_carry)(carry_keys), states.experience

    rows = [jax.tree.map(lambda x, i=i: x[i], begin()) for i in range(3)]
    together = policy.step(params, *begin())
    for i, row in enumerate(rows):
        of_row = jax.tree.map(lambda x, i=i: x[i], together)
        assert_same(of_row[1], policy.step(params, *row)[1])


def test_the_exact_player_is_offered_only_where_it_can_be_made():
    assert "bayes-optimal" not in bandit(num_arms=5, num_pulls=100).references().agents
    with pytest.raises(ConfigurationError, match=r"at most 20,000 beliefs after each pull"):
        agents.bayes_optimal(2, 100)


@pytest.mark.parametrize(
    ("arms", "pulls", "constant"), [(5, 10, 0.02), (6, 20, 0.02), (40, 120, 0.1), (3, 1000, 0.2)]
)
def test_ucb_is_tuned_to_the_nearest_bandit(arms, pulls, constant):
    assert agents.tuned_constant(arms, pulls) == constant
