"""The mouse: dynamics against a plain loop, the law of its tasks, exact references."""

from functools import cache
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_envs import mazes
from metarl_envs.grids import UP
from metarl_envs.mouse import MouseTask, Walls, mouse
from metarl_envs.mouse_search import shortest_path_lengths
from metarl_jax.tasks.distribution import References, TaskDistribution
from metarl_jax.tasks.scene import Circle, Rectangle
from metarl_jax.types import ConfigurationError
from support.mouse_oracle import FAMILIES, LECTURE, MOVES, barred_ways, family, first_tasks, moved

# Every `.` and the S of the plan that the module draws, counted by hand.
FREE_CELLS = [
    *range(7),
    *(7, 13),
    *(14, 15, 16, 18, 19, 20),
    *(23, 25),
    *range(28, 35),
    *(35, 41),
    *range(42, 49),
]


def play(tasks: TaskDistribution, task: MouseTask, actions: np.ndarray) -> tuple[np.ndarray, ...]:
    """Runs actions [N, T] in N stacked tasks; never resets.

    Returns:
        Observations [N, T + 1, O], rewards [N, T], terminated [N, T].
    """
    environment = tasks.environment

    def episode(key: jax.Array, task: MouseTask, actions: jax.Array) -> tuple[jax.Array, ...]:
        first, state = environment.reset_env(jax.random.fold_in(key, 0), task)

        def step(state, action):
            observation, state, *outcome, _ = environment.step_env(key, state, action, task)
            return state, (observation, *outcome)

        _, (observations, rewards, terminated) = jax.lax.scan(step, state, actions)
        return jnp.concatenate([first[None], observations]), rewards, terminated

    keys = jax.random.split(jax.random.key(0), len(actions))
    outcome = jax.jit(jax.vmap(episode))(keys, task, jnp.asarray(actions, jnp.int32))
    return tuple(np.asarray(array) for array in outcome)


@pytest.mark.parametrize("name", FAMILIES)
def test_dynamics_are_those_of_a_plain_loop(name: str) -> None:
    tasks, arguments = family(name)[0], FAMILIES[name]
    size, cost = arguments.get("size", 7), arguments.get("step_cost", 0.01)
    start = (0, 0) if name == "corner" else (size // 2, 0)
    task = first_tasks(name, 40)
    # Upwards more often, so that the far cheese is found too.
    actions = np.random.default_rng(0).choice(4, (40, 60), p=[0.4, 0.2, 0.2, 0.2])
    expected_observations, expected_rewards, expected_ends = [], [], []
    for index in range(40):
        barred = barred_ways(task.walls[index])
        cell = start
        for time in range(61):
            expected = np.eye(size**2)[cell[1] * size + cell[0]]
            if arguments.get("sees_walls"):
                around = [moved(size, barred, cell, move) == cell for move in MOVES]
                expected = np.concatenate([expected, around])
            expected_observations.append(expected)
            if time < 60:
                cell = moved(size, barred, cell, actions[index, time])
                found = cell[1] * size + cell[0] == task.cheese[index]
                expected_rewards.append(np.float32(found - cost))
                expected_ends.append(found)
    observations, rewards, terminated = play(tasks, task, actions)
    np.testing.assert_array_equal(observations.reshape(40 * 61, -1), expected_observations)
    np.testing.assert_array_equal(rewards.ravel(), expected_rewards)
    np.testing.assert_array_equal(terminated.ravel(), expected_ends)
    assert terminated.any()


def test_the_first_observation_hides_the_task() -> None:
    tasks, task = family("both")[0], first_tasks("both", 20)
    keys = jax.random.split(jax.random.key(1), 20)
    observations, states = jax.vmap(tasks.environment.reset_env)(keys, task)
    np.testing.assert_array_equal(observations, np.tile(np.eye(49, dtype=np.float32)[3], (20, 1)))
    assert set(states.x.tolist()) == {3}
    assert set(states.y.tolist()) == {0}


def test_lengths_of_stacked_tasks_lead_to_their_cheese() -> None:
    task = first_tasks("both", 30)
    lengths = shortest_path_lengths((3, 0), task)
    for walls, cheese, length in zip(task.walls, task.cheese, lengths, strict=True):
        assert length == mazes.shortest_path_lengths(walls, (3, 0))[cheese] > 0


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("lecture", {0, 2, 3, 4, 5, 7}),
        ("cheese", set(FREE_CELLS) - {3}),
        ("maze", set(range(49)) - {3}),
        ("walls", {45}),
        ("both", set(range(49)) - {3}),
        ("corner", {15}),
    ],
)
def test_the_cheese_is_uniform_over_its_cells(name: str, cells: set[int]) -> None:
    cheeses = np.asarray(family(name)[1].cheese)
    counts = np.bincount(cheeses)
    assert set(np.flatnonzero(counts).tolist()) == cells
    share = 1 / len(cells)
    deviation = np.abs(counts[sorted(cells)] / len(cheeses) - share).max()
    assert deviation <= 4 * np.sqrt(share * (1 - share) / len(cheeses))


@pytest.mark.parametrize("walls", ["fixed", "blocks"])
def test_near_cheese_is_within_reach_of_the_walls(walls: Walls) -> None:
    tasks = mouse(walls=walls, cheese="near", episode_length=4)
    assert tasks.all_tasks is not None
    task = tasks.all_tasks()
    lengths = mazes.shortest_path_lengths(np.asarray(task.walls[0]), (3, 0))
    assert task.cheese.tolist() == np.flatnonzero((lengths > 0) & (lengths <= 4)).tolist()


@pytest.mark.parametrize(
    ("name", "number"),
    [("lecture", 6), ("cheese", 32), ("maze", 48), ("walls", None), ("both", None)],
)
def test_a_finite_family_lists_its_tasks(name: str, number: int | None) -> None:
    tasks = family(name)[0]
    listed = None if tasks.all_tasks is None else tasks.all_tasks()
    assert (listed is None) == (number is None)
    if listed is not None:
        assert len(set(listed.cheese.tolist())) == len(listed.walls) == number


@pytest.mark.parametrize(
    ("name", "size"), [("lecture", 9), ("cheese", 49), ("walls", 84), ("both", 133)]
)
def test_the_description_tells_tasks_apart(name: str, size: int) -> None:
    task = first_tasks(name, 50)
    described = np.asarray(jax.vmap(family(name)[0].describe)(task))
    assert described.shape == (50, size)
    assert described.dtype == np.float32
    pairs = zip(task.cheese, task.walls, strict=True)
    distinct = {(cheese.tobytes(), walls.tobytes()) for cheese, walls in pairs}
    assert len({row.tobytes() for row in described}) == len(distinct) > 1


def lecture_optimum(num_episodes: int) -> float:
    """Bayes-optimal total, by recursion over (episode, step, cell, cells found empty)."""
    near = frozenset({(0, 0), (2, 0), (0, 1), (1, 1), (2, 1), (1, 2)})

    @cache
    def value(episode: int, step: int, cell: tuple[int, int], left: frozenset) -> float:
        if episode == num_episodes:
            return 0.0
        if step == 2:
            return value(episode + 1, 0, (1, 0), left)
        best = 0.0
        for action in MOVES:
            beyond = moved(3, set(), cell, action)
            hit = (beyond in left) / len(left)
            # Once found, it is reached again in each later episode: all six are within two steps.
            total = hit * (num_episodes - episode)
            if hit < 1:
                total += (1 - hit) * value(episode, step + 1, beyond, left - {beyond})
            best = max(best, total)
        return best

    return value(0, 0, (1, 0), near)


@pytest.mark.parametrize("num_episodes", [1, 2, 3, 6])
def test_the_lectures_optimum_is_that_of_the_dynamic_programme(num_episodes: int) -> None:
    references = mouse(**{**LECTURE, "num_episodes": num_episodes}).references()
    assert references.optimal_total == pytest.approx(lecture_optimum(num_episodes))
    assert references.memoryless_total == pytest.approx(num_episodes * lecture_optimum(1))


def test_the_lectures_references_are_exact() -> None:
    references = mouse(**LECTURE).references()
    assert references.optimal_episodes == pytest.approx((1 / 3, 2 / 3, 1, 1, 1, 1))
    assert references.optimal_total == pytest.approx(5.0)
    assert references.memoryless_total == pytest.approx(2.0)
    assert references.oracle_total == pytest.approx(6.0)


def test_hidden_walls_have_no_exact_values() -> None:
    assert mouse(walls="random").references() == References()


def test_the_blocks_are_searched_in_one_episode_and_one_shortest_way() -> None:
    """28 of 32 cells in as many steps, the rest on the way: counted by hand from the plan above."""
    tasks = mouse(walls="blocks", episode_length=28, num_episodes=3, step_cost=0.01)
    references = tasks.references()
    first = (sum(1 - 0.01 * step for step in range(1, 29)) - 4 * 0.28) / 32
    assert references.optimal_episodes is not None and references.oracle_total is not None
    assert references.optimal_episodes[0] == pytest.approx(first)
    assert references.optimal_episodes[1:] == pytest.approx([references.oracle_total / 3] * 2)


@pytest.mark.parametrize("episode_length", [5, 28])
def test_known_cheese_is_worth_what_a_shortest_way_pays(episode_length: int) -> None:
    """Greedy steps on the distances to the cheese, played in the environment."""
    tasks = mouse(walls="fixed", episode_length=episode_length)
    assert tasks.all_tasks is not None
    task = tasks.all_tasks()
    walls = np.asarray(task.walls[0])
    barred = barred_ways(walls)
    actions = np.zeros((48, episode_length), int)
    for index, cheese in enumerate(task.cheese.tolist()):
        lengths = mazes.shortest_path_lengths(walls, (cheese % 7, cheese // 7))
        cell = (3, 0)
        for time in range(episode_length):
            ways = {move: moved(7, barred, cell, move) for move in MOVES}
            move = min(ways, key=lambda move: lengths[ways[move][1] * 7 + ways[move][0]])
            actions[index, time], cell = move, ways[move]
    _, rewards, terminated = play(tasks, task, actions)
    over = np.cumsum(terminated, axis=1) - terminated > 0
    earned = np.where(over, 0.0, rewards).sum(axis=1).mean()
    assert tasks.references().oracle_total == pytest.approx(3 * earned, abs=1e-5)


def test_a_random_walk_succeeds_as_often_as_counting_says() -> None:
    tasks = mouse(**LECTURE)
    assert tasks.all_tasks is not None
    walks = np.array(list(product(range(4), repeat=2)))  # all of them, [16, 2]
    task = jax.tree.map(lambda leaf: jnp.repeat(leaf, 16, axis=0), tasks.all_tasks())
    found = play(tasks, task, np.tile(walks, (6, 1)))[2].any(axis=1).reshape(6, 16)
    # Cells 0, 2 and 4 lie beside the start: a first move there (4 walks of 16), or a bump against
    # the lower edge and then the move. Cell 3 is reached by way of 0 or 4, 5 of 2 or 4, 7 of 4.
    assert found.sum(axis=1).tolist() == [5, 5, 2, 5, 2, 1]


def test_the_scene_shows_walls_start_cheese_and_path() -> None:
    tasks = mouse(size=3, walls="fixed", cheese="fixed")
    assert tasks.all_tasks is not None
    task = jax.tree.map(lambda leaf: np.asarray(leaf[0]), tasks.all_tasks())
    walls = np.ones((2, 3, 3), bool)
    walls[1, 0, 1] = False  # up from (1, 0)
    task = task.replace(walls=walls)
    _, first = tasks.environment.reset_env(jax.random.key(0), task)
    _, second, *_ = tasks.environment.step_env(jax.random.key(0), first, jnp.int32(UP), task)
    assert tasks.scene is not None
    scene = tasks.scene(task, jax.tree.map(lambda *leaves: np.stack(leaves), first, second))
    assert scene.path is not None
    np.testing.assert_array_equal(scene.path, [(1.5, 0.5), (1.5, 1.5)])
    assert scene.task == "cheese in column 2, row 3"
    rectangles = [shape for shape in scene.shapes if isinstance(shape, Rectangle)]
    (cheese,) = [shape for shape in scene.shapes if isinstance(shape, Circle)]
    centres = {
        role: {
            (round(shape.x + shape.width / 2, 6), round(shape.y + shape.height / 2, 6))
            for shape in rectangles
            if shape.role == role
        }
        for role in ("floor", "start", "goal", "wall")
    }
    assert len(centres["floor"]) == 9
    assert centres["start"] == {(1.5, 0.5)}
    assert (cheese.x, cheese.y, cheese.role) == (1.5, 2.5, "goal") and cheese.radius < 0.5
    closed = {(x + 0.5, y + 0.5) for x in range(3) for y in range(3)} - {(1.5, 0.5), (1.5, 1.5)}
    beside = {(float(x), y + 0.5) for x in range(4) for y in range(3)}
    above = {(x + 0.5, float(y)) for x in range(3) for y in range(4)}
    assert centres["wall"] == (beside | above | closed) - {(1.5, 1.0)}
    assert scene.bounds is not None
    x0, y0, x1, y1 = scene.bounds
    for shape in rectangles:
        assert x0 - 1e-9 <= shape.x <= shape.x + shape.width <= x1 + 1e-9
        assert y0 - 1e-9 <= shape.y <= shape.y + shape.height <= y1 + 1e-9


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"size": 1}, r"size must be a whole number of at least 2, got 1"),
        ({"episode_length": 0}, r"episode_length .* got 0"),
        ({"num_episodes": 0}, r"num_episodes .* got 0"),
        ({"step_cost": -0.1}, r"step_cost must be a number from 0\.0 to 1\.0, got -0\.1"),
        ({"step_cost": float("nan")}, r"step_cost .* got nan"),
        ({"extra_openings": 1.5}, r"extra_openings .* got 1\.5"),
        ({"maze_seed": 2**32}, r"maze_seed .* at least 0 and at most 4294967295, got 4294967296"),
        ({"walls": "some"}, r"walls must be one of none, blocks, fixed, random, got 'some'"),
        ({"walls": "blocks", "size": 5}, r'walls="blocks" is a plan of size 7, got size 5'),
        ({"cheese": "swiss"}, r"cheese must be one of near, anywhere, fixed, got 'swiss'"),
        ({"start": "top"}, r"start must be one of bottom_middle, corner, got 'top'"),
        (
            {"cheese": "near"},
            r'cheese="near" needs walls="none", "blocks" or "fixed", got "random"',
        ),
    ],
)
def test_bad_arguments_are_refused(arguments: dict, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        mouse(**arguments)
