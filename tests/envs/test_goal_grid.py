"""The goal grid: dynamics against a plain loop, references against dynamic programmes."""

from functools import cache
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_envs.goal_grid import GoalGridTask, goal_grid
from metarl_envs.grids import DOWN, LEFT, RIGHT, STAY, UP
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.types import ConfigurationError

MOVES = {UP: (0, 1), RIGHT: (1, 0), DOWN: (0, -1), LEFT: (-1, 0), STAY: (0, 0)}
VARIBAD = {"size": 5, "episode_length": 15, "excluded_distance": 1}


def moved(size: int, cell: tuple[int, int], action: int) -> tuple[int, int]:
    """Where an action leads, by a plain rule."""
    x, y = cell[0] + MOVES[action][0], cell[1] + MOVES[action][1]
    return (x, y) if 0 <= x < size and 0 <= y < size else cell


def play(
    tasks: TaskDistribution, goals: np.ndarray, actions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Runs actions [N, T] towards goals [N]: observations [N, T + 1, O], rewards [N, T]."""
    environment = tasks.environment

    def episode(key: jax.Array, goal: jax.Array, actions: jax.Array) -> tuple[jax.Array, ...]:
        task = GoalGridTask(goal)
        first, state = environment.reset_env(jax.random.fold_in(key, 0), task)

        def step(state, action):
            observation, state, reward, terminated, _ = environment.step_env(
                key, state, action, task
            )
            return state, (observation, jnp.where(terminated, jnp.nan, reward))

        _, (observations, rewards) = jax.lax.scan(step, state, actions)
        return jnp.concatenate([first[None], observations]), rewards

    keys = jax.random.split(jax.random.key(0), len(goals))
    observations, rewards = jax.jit(jax.vmap(episode))(
        keys, jnp.asarray(goals, jnp.int32), jnp.asarray(actions, jnp.int32)
    )
    return np.asarray(observations), np.asarray(rewards)


@pytest.mark.parametrize("size", [2, 3, 5])
def test_dynamics_are_those_of_a_plain_loop(size: int) -> None:
    random = np.random.default_rng(0)
    actions = random.integers(0, 5, (100, 40))
    goals = random.integers(1, size**2, 100)
    expected_cells, expected_rewards = [], []
    for goal, steps in zip(goals, actions, strict=True):
        cell = (0, 0)
        for action in steps:
            expected_cells.append(cell[1] * size + cell[0])
            cell = moved(size, cell, action)
            found = cell[1] * size + cell[0] == goal
            expected_rewards.append(np.float32(1.0 if found else -0.1))
    observations, rewards = play(goal_grid(size=size), goals, actions)
    seen = observations[:, :-1].reshape(100 * 40, size**2)
    np.testing.assert_array_equal(seen, np.eye(size**2)[expected_cells])
    np.testing.assert_array_equal(rewards.ravel(), expected_rewards)


@pytest.mark.parametrize(
    ("arguments", "excluded"),
    [
        ({}, {0}),
        (VARIBAD, {0, 1, 5, 6}),
        ({"size": 4, "excluded_distance": 2}, {0, 1, 2, 4, 5, 6, 8, 9, 10}),
    ],
)
def test_goals_are_uniform_over_the_cells_that_are_left(arguments: dict, excluded: set) -> None:
    tasks = goal_grid(**arguments)
    size = arguments.get("size", 3)
    allowed = sorted(set(range(size**2)) - excluded)
    assert tasks.all_tasks is not None
    assert tasks.all_tasks().goal.tolist() == allowed
    keys = jax.random.split(jax.random.key(3), 20_000)
    counts = np.bincount(np.asarray(jax.vmap(tasks.sample)(keys).goal), minlength=size**2)
    assert np.flatnonzero(counts).tolist() == allowed
    share = 1 / len(allowed)
    deviation = np.abs(counts[allowed] / 20_000 - share)
    assert deviation.max() < 4 * np.sqrt(share * (1 - share) / 20_000)


def test_the_first_observation_hides_the_goal() -> None:
    tasks = goal_grid(size=4)
    firsts = {
        tuple(
            tasks.environment.reset_env(jax.random.key(seed), GoalGridTask(jnp.int32(goal)))[
                0
            ].tolist()
        )
        for seed, goal in product(range(2), (1, 7, 15))
    }
    assert firsts == {(1.0,) + (0.0,) * 15}


def optimal_total(size: int, episode_length: int, num_episodes: int) -> float:
    """Bayes-optimal total, by recursion over (episode, step, cell, goals already ruled out)."""
    cells = [(x, y) for y in range(size) for x in range(size)]

    def found(goal: tuple[int, int], steps_left: int, episodes_left: int) -> float:
        distance = goal[0] + goal[1]
        wandering = min(distance - 1, episode_length)
        return steps_left + episodes_left * (-0.1 * wandering + episode_length - wandering)

    @cache
    def value(episode: int, step: int, cell: tuple[int, int], ruled_out: frozenset) -> float:
        if step == episode_length:
            return 0.0 if episode == num_episodes else value(episode + 1, 0, (0, 0), ruled_out)
        candidates = len(cells) - len(ruled_out)
        best = -np.inf
        for action in MOVES:
            beyond = moved(size, cell, action)
            hit = 0.0 if beyond in ruled_out else 1 / candidates
            total = 0.0
            if hit > 0:
                total += hit * found(beyond, episode_length - step, num_episodes - episode)
            if hit < 1:
                total += (1 - hit) * (-0.1 + value(episode, step + 1, beyond, ruled_out | {beyond}))
            best = max(best, total)
        return best

    return value(1, 0, (0, 0), frozenset({(0, 0)}))


@pytest.mark.parametrize("num_episodes", [1, 2, 4])
def test_the_optimum_of_the_small_grid_is_that_of_the_dynamic_programme(num_episodes: int) -> None:
    references = goal_grid(num_episodes=num_episodes).references()
    assert references.optimal_total == pytest.approx(optimal_total(3, 6, num_episodes))
    assert references.optimal_episodes is not None
    assert sum(references.optimal_episodes) == pytest.approx(references.optimal_total)
    assert references.memoryless_total == pytest.approx(num_episodes * optimal_total(3, 6, 1))


def test_references_are_the_published_numbers() -> None:
    small = goal_grid().references()
    assert small.optimal_total == pytest.approx(16.1625)
    assert small.memoryless_total == pytest.approx(9.15)
    assert small.oracle_total == pytest.approx(18.5)
    varibad = goal_grid(**VARIBAD).references()
    assert varibad.optimal_episodes == pytest.approx((4.0, 11.0714, 11.0714, 11.0714), abs=1e-4)
    assert varibad.oracle_total == pytest.approx(4 * 11.0714, abs=1e-3)


def test_a_large_grid_has_a_bound_in_place_of_the_optimum() -> None:
    """One new cell at each step of the first episode, and the goal known in the second."""
    large = goal_grid(size=8, episode_length=20, num_episodes=2).references()
    assert (large.optimal_total, large.memoryless_total) == (None, None)
    assert large.oracle_total is not None and large.return_upper_bound is not None
    new_cells = np.arange(1, 21)  # one at each step, at best
    first = (np.sum(1.1 * (21 - new_cells)) - 0.1 * 20 * 63) / 63
    assert large.return_upper_bound == pytest.approx(first + large.oracle_total / 2)


def steps_towards(cell: tuple[int, int], goal: tuple[int, int]) -> int:
    """The next action on a shortest way."""
    if cell[0] != goal[0]:
        return RIGHT if goal[0] > cell[0] else LEFT
    if cell[1] != goal[1]:
        return UP if goal[1] > cell[1] else DOWN
    return STAY


def test_two_sweeps_reach_the_varibad_optimum() -> None:
    """A plan, played in the environment, earns 4.0 and then as much as if the goal were known.

    No plan earns more: a first episode meets no candidate at its first step and at most one new one
    at each later step, and no episode beats the one with the goal known.
    """
    inside = "RRRRULLULURRDRU"
    around = "UUUURRRR"
    letters = {"U": UP, "R": RIGHT, "D": DOWN, "L": LEFT}
    sweeps = [[letters[letter] for letter in sweep] for sweep in (inside, around)]
    tasks = goal_grid(**VARIBAD)
    assert tasks.all_tasks is not None
    goals = np.asarray(tasks.all_tasks().goal)
    actions = np.full((2, len(goals), 15), STAY)
    for index, number in enumerate(goals):
        goal, known = (number % 5, number // 5), False
        for episode in range(2):
            cell, tells = (0, 0), known
            for time in range(15):
                if known and (tells or cell == goal):
                    actions[episode, index, time] = steps_towards(cell, goal)
                elif time < len(sweeps[episode]):
                    actions[episode, index, time] = sweeps[episode][time]
                cell = moved(5, cell, actions[episode, index, time])
                known = known or cell == goal
        assert known
    means = [play(tasks, goals, episode)[1].sum(axis=1).mean() for episode in actions]
    assert tasks.references().optimal_episodes is not None
    assert means == pytest.approx(tasks.references().optimal_episodes[:2], abs=1e-5)


@pytest.mark.parametrize(("size", "episode_length"), [(3, 6), (3, 2), (6, 4)])
def test_known_goal_is_worth_what_walking_there_pays(size: int, episode_length: int) -> None:
    tasks = goal_grid(size=size, episode_length=episode_length, num_episodes=3)
    assert tasks.all_tasks is not None
    goals = np.asarray(tasks.all_tasks().goal)
    actions = np.zeros((len(goals), episode_length), int)
    for index, goal in enumerate(goals):
        cell = (0, 0)
        for time in range(episode_length):
            actions[index, time] = steps_towards(cell, (goal % size, goal // size))
            cell = moved(size, cell, actions[index, time])
    earned = 3 * play(tasks, goals, actions)[1].sum(axis=1).mean()
    assert tasks.references().oracle_total == pytest.approx(earned, abs=1e-5)


def test_a_random_policy_earns_what_its_markov_chain_says() -> None:
    size, length, num_tasks = 3, 6, 8_000
    chain = np.zeros((9, 9))
    for number, action in product(range(9), MOVES):
        x, y = moved(size, (number % 3, number // 3), action)
        chain[number, y * 3 + x] += 0.2
    occupied = sum(np.linalg.matrix_power(chain, time)[0] for time in range(1, length + 1))
    expected = np.mean(occupied[1:] - 0.1 * (length - occupied[1:]))
    random = np.random.default_rng(4)
    goals = random.integers(1, 9, num_tasks)
    returns = play(goal_grid(), goals, random.integers(0, 5, (num_tasks, length)))[1].sum(axis=1)
    assert abs(returns.mean() - expected) < 4 * returns.std() / np.sqrt(num_tasks)


def test_the_contextual_policy_is_told_the_goal() -> None:
    tasks = goal_grid(**VARIBAD)
    described = tasks.describe(GoalGridTask(jnp.int32(17)))
    np.testing.assert_array_equal(described, np.eye(25, dtype=np.float32)[17])


def test_the_scene_shows_start_goal_and_path() -> None:
    tasks = goal_grid(size=3)
    task = GoalGridTask(jnp.int32(5))  # x = 2, y = 1
    states = [tasks.environment.reset_env(jax.random.key(0), task)[1]]
    for action in (RIGHT, UP, RIGHT):
        step = tasks.environment.step_env(jax.random.key(0), states[-1], jnp.int32(action), task)
        states.append(step[1])
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *states)
    assert tasks.scene is not None
    scene = tasks.scene(jax.tree.map(np.asarray, task), stacked)
    assert scene.bounds == (0.0, 0.0, 3.0, 3.0)
    assert scene.path is not None
    np.testing.assert_array_equal(scene.path, [(0.5, 0.5), (1.5, 0.5), (1.5, 1.5), (2.5, 1.5)])
    centres = {
        role: [
            (shape.x + shape.width / 2, shape.y + shape.height / 2)
            for shape in scene.shapes
            if shape.role == role
        ]
        for role in ("floor", "start", "goal")
    }
    assert len(centres["floor"]) == 9
    assert centres["start"] == [pytest.approx((0.5, 0.5))]
    assert centres["goal"] == [pytest.approx((2.5, 1.5))]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"size": 1}, r"size must be a whole number of at least 2, got 1"),
        ({"episode_length": 0}, r"episode_length .* got 0"),
        ({"num_episodes": -1}, r"num_episodes .* got -1"),
        ({"excluded_distance": -1}, r"excluded_distance .* got -1"),
        (
            {"excluded_distance": 2},
            r"excluded_distance must be at most size - 2 = 1.* got 2; lower",
        ),
    ],
)
def test_bad_arguments_are_refused(arguments: dict, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        goal_grid(**arguments)
