"""Tabular MDPs: dynamics by counting, planning against plain loops, agents against known values."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import linprog

from metarl_envs.agents import tabular as agents
from metarl_envs.references.tabular import optimal_values
from metarl_envs.tabular_mdp import TabularState, TabularTask, tabular_mdp
from metarl_jax import MetaEpisode, collect, evaluate, start, task_keys
from metarl_jax.types import ConfigurationError

NUM_STATES, NUM_ACTIONS = 4, 3
TASKS = tabular_mdp(num_states=NUM_STATES, num_actions=NUM_ACTIONS, episode_length=6)


def random_mdp(seed: int = 0) -> TabularTask:
    return TASKS.sample(jax.random.key(seed))


def test_mdps_have_the_moments_of_their_law():
    num_tasks = 4_000
    drawn = jax.jit(jax.vmap(TASKS.sample))(task_keys(jax.random.key(0), num_tasks))
    transitions, rewards = np.asarray(drawn.transitions), np.asarray(drawn.rewards)
    np.testing.assert_allclose(transitions.sum(axis=-1), 1, rtol=1e-5)
    # Dirichlet(1, …, 1) over S: mean 1/S, variance (S - 1) / (S² (S + 1)).
    variance = (NUM_STATES - 1) / (NUM_STATES**2 * (NUM_STATES + 1))
    count = transitions.size
    assert abs(transitions.var() / variance - 1) < 4 * 2 / np.sqrt(count / NUM_STATES)
    third = np.mean(transitions[..., 0] ** 3)  # E[p³] = 6 / (S (S+1) (S+2)) of a flat Dirichlet
    expected = 6 / (NUM_STATES * (NUM_STATES + 1) * (NUM_STATES + 2))
    assert abs(third / expected - 1) < 0.05
    assert abs(rewards.mean() - 1) < 4 / np.sqrt(rewards.size)
    assert abs(rewards.std() - 1) < 4 / np.sqrt(2 * rewards.size)


def test_steps_follow_the_transitions_and_pay_the_rewards():
    task, num_steps = random_mdp(), 20_000
    environment = TASKS.environment
    keys = jax.random.split(jax.random.key(1), num_steps)
    step = jax.vmap(lambda key: environment.step_env(key, TabularState(jnp.int32(2)), 1, task))
    observation, state, reward, terminated, _ = jax.jit(step)(keys)
    shares = np.bincount(np.asarray(state.state), minlength=NUM_STATES) / num_steps
    expected = np.asarray(task.transitions[2, 1])
    assert np.all(np.abs(shares - expected) < 4 * np.sqrt(expected * (1 - expected) / num_steps))
    np.testing.assert_array_equal(np.argmax(observation, axis=-1), state.state)
    assert np.all(np.sum(observation, axis=-1) == 1) and not np.any(terminated)
    assert abs(reward.mean() - task.rewards[2, 1]) < 4 / np.sqrt(num_steps)
    assert abs(reward.std() - 1) < 4 / np.sqrt(2 * num_steps)


def test_backward_induction_is_that_of_a_plain_loop():
    task = random_mdp()
    transitions, rewards = np.asarray(task.transitions), np.asarray(task.rewards)
    values = np.asarray(optimal_values(task.transitions, task.rewards, 5))
    following = np.zeros(NUM_STATES)
    for step in reversed(range(5)):
        worth = np.zeros((NUM_STATES, NUM_ACTIONS))
        for state in range(NUM_STATES):
            for action in range(NUM_ACTIONS):
                worth[state, action] = rewards[state, action]
                for reached in range(NUM_STATES):
                    worth[state, action] += transitions[state, action, reached] * following[reached]
        np.testing.assert_allclose(values[step], worth, rtol=1e-5)
        following = worth.max(axis=1)


def test_most_favourable_transitions_solve_their_linear_programme():
    random = np.random.default_rng(0)
    seen = random.dirichlet(np.ones(5), (2, 3)).astype(np.float32)[:, :, :]
    value = random.normal(size=5).astype(np.float32)
    apart = random.uniform(0, 2.2, (2, 3)).astype(np.float32)
    found = np.asarray(agents.most_favourable(jnp.array(seen), jnp.array(apart), jnp.array(value)))
    for row, near, best in zip(
        seen.reshape(-1, 5), apart.ravel(), found.reshape(-1, 5), strict=True
    ):
        # Over (p, d): maximise value · p with -d <= p - row <= d, Σ d <= near, Σ p = 1, p >= 0.
        identity = np.eye(5)
        above = np.block([[identity, -identity], [-identity, -identity]])
        limits = np.concatenate([row, -row, [near]])
        solution = linprog(
            np.concatenate([-value, np.zeros(5)]),
            A_ub=np.vstack([above, np.concatenate([np.zeros(5), np.ones(5)])]),
            b_ub=limits,
            A_eq=np.concatenate([np.ones(5), np.zeros(5)])[None],
            b_eq=[1.0],
        )
        assert value @ best == pytest.approx(-solution.fun, abs=1e-5)
        assert best.sum() == pytest.approx(1, abs=1e-5) and best.min() >= 0
        assert np.abs(best - row).sum() <= near + 1e-5


def test_an_agent_counts_what_it_met():
    policy = TASKS.references().agents["psrl"]()
    meta_episode = MetaEpisode(TASKS)
    keys = task_keys(jax.random.key(0), 5)
    drawn = jax.vmap(TASKS.sample)(task_keys(jax.random.key(2), 5))
    actors = start(policy, meta_episode, drawn, keys)
    actors, rollout, _ = jax.jit(lambda actors: collect(policy, (), meta_episode, actors, 20))(
        actors
    )
    belief = actors.carry[1]
    before = np.asarray(rollout.outcome.state.state)
    after = np.asarray(rollout.outcome.next_state.state)
    followed = np.zeros((5, NUM_STATES, NUM_ACTIONS, NUM_STATES))
    reward = np.zeros((5, NUM_STATES, NUM_ACTIONS))
    for step in range(19):  # the last transition is read at the next step
        for task in range(5):
            action = int(rollout.action[step, task])
            followed[task, before[step, task], action, after[step, task]] += 1
            reward[task, before[step, task], action] += rollout.outcome.reward[step, task]
    np.testing.assert_array_equal(belief.followed, followed)
    np.testing.assert_allclose(belief.reward, reward, rtol=1e-5, atol=1e-5)
    assert belief.step.tolist() == [(20 - 1) % 6] * 5


def belief_of(task: TabularTask, visits: float) -> agents.TabularBelief:
    """What is believed after every pair was met so often, and went and paid as in the mean."""
    return agents.TabularBelief(
        followed=visits * task.transitions, reward=visits * task.rewards, step=jnp.int32(0)
    )


@pytest.mark.parametrize("name", ["mean", "sampled", "best_sampled", "bonus", "favourable"])
def test_every_plan_is_the_optimal_one_once_all_is_known(name):
    extra = {"best_sampled": (3,), "bonus": (2.0,), "favourable": (0.1,)}.get(name, ())
    plan = partial(getattr(agents, f"{name}_plan"), 4, *extra)
    task = random_mdp()
    exact = optimal_values(task.transitions, task.rewards, 4)
    far, near = (
        np.abs(plan(jax.random.key(0), belief_of(task, visits)) - exact).max()
        for visits in (10.0, 1e7)
    )
    assert near < 0.02 < far


def test_optimism_is_above_the_mean_and_a_sample_is_spread_as_the_belief():
    belief = belief_of(random_mdp(), 3.0)
    mean = agents.mean_plan(1, jax.random.key(0), belief)
    bonus = agents.bonus_plan(1, 2.0, jax.random.key(0), belief) - mean
    np.testing.assert_allclose(bonus, 2.0 / (1 + NUM_STATES + 3), rtol=1e-5)
    keys = task_keys(jax.random.key(1), 1_000)
    sample = jax.jit(jax.vmap(lambda key: agents.sampled_plan(1, key, belief)))(keys)
    # One step from the end Q is the reward alone, of variance 1 / (1 + n) = 1/4.
    assert np.abs(sample.mean(axis=0) - mean).max() < 4.5 * 0.5 / np.sqrt(1_000)
    np.testing.assert_allclose(sample.std(axis=0), 0.5, rtol=0.12)
    best = jax.vmap(lambda key: agents.best_sampled_plan(1, 3, key, belief))(
        task_keys(jax.random.key(2), 1_000)
    )
    # The mean of the largest of three normals is 0.8463 standard deviations above theirs.
    assert np.abs(best.mean(axis=0) - mean - 0.8463 * 0.5).max() < 0.07


def test_the_favourable_plan_keeps_to_its_radii():
    """Two steps by hand, of 3 visits each: 12 pairs, 36 steps."""
    task, width = random_mdp(), 0.1
    values = agents.favourable_plan(2, width, jax.random.key(0), belief_of(task, 3.0))
    log = np.log(2 * NUM_ACTIONS * 36 / 0.05)
    near = width * np.sqrt(7 * (log + np.log(NUM_STATES)) / (2 * 3))
    rewards = (1 + 3 * np.asarray(task.rewards)) / 4 + near
    np.testing.assert_allclose(values[1], rewards, rtol=1e-5)
    apart = np.full(rewards.shape, width * np.sqrt(14 * NUM_STATES * log / 3), np.float32)
    best = agents.most_favourable(task.transitions, jnp.array(apart), jnp.array(rewards.max(1)))
    np.testing.assert_allclose(values[0], rewards + best @ rewards.max(1), rtol=1e-5)


def test_only_where_an_episode_begins_is_the_plan_made_anew():
    policy = TASKS.references().agents["psrl"]()

    def begin():
        keys = (task_keys(jax.random.key(i), 2) for i in range(3))
        reset = jax.vmap(MetaEpisode(TASKS).reset)
        states = reset(next(keys), jax.vmap(TASKS.sample)(next(keys)))
        return jax.vmap(policy.initial_carry)(next(keys)), states.experience

    carry, first = begin()
    carry, _ = policy.step((), carry, first)
    mixed = first.replace(episode_start=jnp.array([False, True]))
    later, _ = policy.step((), carry, mixed)
    kept, made = (np.array_equal(later[2][i], carry[2][i]) for i in range(2))
    assert kept and not made


def test_a_plan_is_read_at_its_step_and_state():
    values = np.zeros((6, NUM_STATES, NUM_ACTIONS), np.float32)
    best = np.random.default_rng(0).integers(0, NUM_ACTIONS, (6, NUM_STATES))
    np.put_along_axis(values, best[..., None], 1.0, axis=2)
    policy = agents._planner("scripted", NUM_STATES, NUM_ACTIONS, lambda key, belief: values)
    drawn = jax.vmap(TASKS.sample)(task_keys(jax.random.key(2), 8))
    meta_episode = MetaEpisode(TASKS)
    actors = start(policy, meta_episode, drawn, task_keys(jax.random.key(0), 8))
    _, rollout, _ = jax.jit(lambda actors: collect(policy, (), meta_episode, actors, 18))(actors)
    state = np.asarray(rollout.outcome.state.state)
    for step in range(18):
        np.testing.assert_array_equal(rollout.action[step], best[step % 6, state[step]])


# Simulated elsewhere to within 0.2: Duan et al. (2016) have 100.1 for random.
@pytest.mark.parametrize(("name", "expected"), [("random", 100.0), ("known-mdp", 218.6)])
def test_agents_earn_the_known_totals(name, expected):
    tasks = tabular_mdp(num_episodes=10)
    policy = tasks.references().agents[name]()
    result = evaluate(tasks, policy, (), jax.random.key(1), 500)
    assert abs(result.total_return_mean - expected) < 4 * result.total_return_ci95 / 1.96 + 0.2


def test_bad_arguments_are_refused():
    with pytest.raises(ConfigurationError, match=r"num_states must be .* at least 2, got 1"):
        tabular_mdp(num_states=1)
