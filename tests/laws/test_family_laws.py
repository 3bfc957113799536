"""What every task family must obey. A new family joins by its line in FAMILIES.

Each family plays whole meta-episodes with random actions once, as one compiled program (jit, vmap
and scan); the laws are read off what was recorded.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_envs.bandit import bandit
from metarl_envs.cheetah import cheetah_dir, cheetah_vel
from metarl_envs.deceptive_bandit import deceptive_bandit
from metarl_envs.dependent_bandit import dependent_bandit
from metarl_envs.goal_grid import goal_grid
from metarl_envs.harlow import harlow
from metarl_envs.informative_bandit import informative_bandit
from metarl_envs.mouse import mouse
from metarl_envs.restless_bandit import restless_bandit
from metarl_envs.tabular_mdp import tabular_mdp
from metarl_envs.two_step import two_step
from metarl_jax.rollout import task_keys
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.meta_episode import MetaEpisode, MetaState
from metarl_jax.types import Array, Key, PyTree, StepOutcome
from support.comparisons import assert_same
from support.probes import counter, doors, revealed_target

FAMILIES: dict[str, Callable[[], TaskDistribution]] = {
    "bandit": lambda: bandit(num_arms=3, num_pulls=4),
    "dependent_bandit": lambda: dependent_bandit(kind="hard", num_pulls=3),
    "informative_bandit": informative_bandit,
    "restless_bandit": lambda: restless_bandit(num_pulls=6),
    "deceptive_bandit": lambda: deceptive_bandit(num_arms=3, num_pulls=4),
    "two_step": lambda: two_step(reversing_transitions=True, num_trials=3),
    "harlow": lambda: harlow(object_size=2, num_trials=3),
    "goal_grid": goal_grid,
    "tabular_mdp": lambda: tabular_mdp(num_states=4, episode_length=3, num_episodes=2),
    "mouse_lecture": lambda: mouse(
        size=3, walls="none", cheese="near", episode_length=2, num_episodes=6, step_cost=0.0
    ),
    "mouse_cheese": lambda: mouse(walls="blocks", cheese="anywhere"),
    "mouse_maze": lambda: mouse(walls="fixed", cheese="anywhere"),
    "mouse_walls": lambda: mouse(walls="random", cheese="fixed"),
    "mouse_both": lambda: mouse(walls="random", cheese="anywhere", sees_walls=True),
    "cheetah_vel": lambda: cheetah_vel(episode_length=4),
    "cheetah_dir": lambda: cheetah_dir(episode_length=4),
    "counter": lambda: counter(ends_early=True),
    "doors": doors,
    "revealed_target": lambda: revealed_target(episode_length=2),
}
DRAWN_IN_RESET = {"counter"}
"""Breaks a law on purpose: its `mark` is drawn by reset_env and stays."""

ALONE = ("goal_grid", "cheetah_vel")
"""Also played one task at a time: one family in pure jax and one on host callbacks."""

NUM_TASKS, NUM_SAMPLES = 3, 32


class Played(NamedTuple):
    """Meta-episodes of random actions: [B, ...] tasks, [B, T, ...] steps."""

    tasks: TaskDistribution
    task: PyTree
    before: MetaState  # but for its key
    outcome: StepOutcome


def play(tasks: TaskDistribution, index: Array) -> Any:
    """One whole meta-episode in the task of that index."""
    meta_episode = MetaEpisode(tasks)
    key = jax.random.fold_in(jax.random.key(0), index)
    task_key, reset_key, actions_key = jax.random.split(key, 3)
    task = tasks.sample(task_key)

    def step(state: MetaState, time: Array) -> Any:
        action = random_action(tasks, task, jax.random.fold_in(actions_key, time))
        after, outcome = meta_episode.step(state, action)
        return after, (state, outcome)

    times = jnp.arange(meta_episode.length)
    _, (before, outcome) = jax.lax.scan(step, meta_episode.reset(reset_key, task), times)
    return task, before.replace(key=()), outcome


@pytest.fixture(scope="module", params=FAMILIES)
def played(request: pytest.FixtureRequest) -> Played:
    tasks = FAMILIES[request.param]()
    batch = jax.jit(jax.vmap(lambda index: play(tasks, index)))(jnp.arange(NUM_TASKS))
    return Played(tasks, *jax.tree.map(np.asarray, batch))


def random_action(tasks: TaskDistribution, task: PyTree, key: Key) -> Array:
    space = tasks.environment.action_space(task)
    if hasattr(space, "n"):
        return jax.random.randint(key, (), 0, space.n)
    return jax.random.uniform(key, space.shape, minval=space.low, maxval=space.high)


class Sampled(NamedTuple):
    """Draws from p(M)."""

    draw: Callable[[int], Any]  # seed -> the tasks and their descriptions
    task: PyTree  # [N, ...]
    description: np.ndarray  # [N, C]


@pytest.fixture(scope="module")
def sampled(played: Played) -> Sampled:
    def draw(key: Key) -> Any:
        task = jax.vmap(played.tasks.sample)(task_keys(key, NUM_SAMPLES))
        return task, jax.vmap(played.tasks.describe)(task)

    compiled = jax.jit(draw)
    draw_seed = lambda seed: jax.tree.map(np.asarray, compiled(jax.random.key(seed)))
    return Sampled(draw_seed, *draw_seed(1))


def rows(tree: PyTree) -> list[bytes]:
    """Every row of a stacked pytree, as bytes to compare."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
    return [b"".join(leaf[i].tobytes() for leaf in leaves) for i in range(len(leaves[0]))]


def form(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda x: (x.shape, x.dtype, getattr(x, "weak_type", False)), tree)


def test_the_strict_flags_are_on() -> None:
    assert jax.config.jax_numpy_rank_promotion == "raise"
    assert jax.config.jax_debug_key_reuse


def test_shapes_and_dtypes_never_change(played: Played) -> None:
    """From reset to step to step, weak types too; and [O] float32, float32, bool come out."""
    environment, key = played.tasks.environment, jax.random.key(0)
    task = jax.eval_shape(played.tasks.sample, key)
    observation, state = jax.eval_shape(environment.reset_env, key, task)
    action = jax.eval_shape(lambda t: random_action(played.tasks, t, jax.random.key(0)), task)
    for _ in range(2):
        was = form((observation, state))
        stepped = jax.eval_shape(environment.step_env, key, state, action, task)
        observation, state, reward, terminated, _ = stepped
        assert form((observation, state)) == was
        assert form(reward) == ((), jnp.float32, False)
        assert form(terminated) == ((), jnp.bool_, False)
    assert form(observation) == (played.tasks.specification.observation.shape, np.float32, False)
    assert not any(leaf.weak_type for leaf in jax.tree.leaves((task, state)))


def test_every_source_of_tasks_gives_the_same_kind(played: Played) -> None:
    tasks, key = played.tasks, jax.random.key(0)
    # Each through a function of its own: of one and the same, jax remembers the first trace.
    task = form(jax.eval_shape(lambda key: tasks.sample(key), key))
    assert form(jax.eval_shape(lambda key: tasks.sample(key), key)) == task
    for sample in tasks.splits.values():
        assert form(jax.eval_shape(sample, key)) == task
    if tasks.all_tasks is not None:
        assert form(jax.eval_shape(lambda: jax.tree.map(lambda x: x[0], tasks.all_tasks()))) == task


@pytest.mark.parametrize("name", ALONE)
def test_a_batch_is_its_tasks(name: str) -> None:
    tasks = FAMILIES[name]()
    alone = jax.jit(lambda index: play(tasks, index))
    batch = jax.jit(jax.vmap(lambda index: play(tasks, index)))(jnp.arange(NUM_TASKS))
    for index in range(NUM_TASKS):
        row = jax.tree.map(lambda x, index=index: x[index], batch)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6),
            row,
            alone(jnp.asarray(index)),
        )


def test_the_task_is_constant_within_a_meta_episode(played: Played) -> None:
    for given, seen in zip(
        jax.tree.leaves(played.task), jax.tree.leaves(played.before.task), strict=True
    ):
        np.testing.assert_array_equal(seen, np.broadcast_to(given[:, None], seen.shape))


def test_tasks_are_fresh_draws(played: Played, sampled: Sampled) -> None:
    again, _ = sampled.draw(1)
    assert_same(again, sampled.task)
    other, _ = sampled.draw(2)
    assert rows(other) != rows(sampled.task)
    assert len(set(rows(sampled.task))) >= 2
    if played.tasks.all_tasks is not None:
        every = rows(played.tasks.all_tasks())
        assert len(set(every)) == len(every), "a task is listed twice"
        assert set(rows(sampled.task)) <= set(every)


def test_the_description_tells_tasks_apart(sampled: Sampled) -> None:
    described = sampled.description
    assert described.dtype == np.float32 and np.isfinite(described).all()
    pairs = set(zip(rows(sampled.task), rows(described), strict=True))
    assert len(pairs) == len(set(rows(sampled.task))) == len(set(rows(described)))


def test_reset_draws_nothing_that_defines_the_mdp(played: Played) -> None:
    """Nothing in the state differs between a task's episodes yet stays the same within each.

    Such a thing would be a hidden parameter that a reset can change. (It finds the one that
    `counter` has on purpose.)
    """
    found = [
        jax.tree_util.keystr(path)
        for (path, before), after in zip(
            jax.tree_util.tree_leaves_with_path(played.outcome.state),
            jax.tree.leaves(played.outcome.next_state),
            strict=True,
        )
        if any(
            _is_hidden_parameter(before[b], after[b], played.outcome.episode[b])
            for b in range(NUM_TASKS)
        )
    ]
    assert bool(found) == (played.tasks.name in DRAWN_IN_RESET), found


def _is_hidden_parameter(before: np.ndarray, after: np.ndarray, episode: np.ndarray) -> bool:
    firsts = []
    for e in np.unique(episode):
        within = np.concatenate([before[episode == e], after[episode == e]])
        if np.any(within != within[:1]):
            return False
        firsts.append(within[0])
    return bool(np.any(np.stack(firsts) != firsts[0]))


def test_observations_lie_in_their_space(played: Played) -> None:
    space = played.tasks.environment.observation_space(jax.tree.map(lambda x: x[0], played.task))
    experience = played.before.experience
    for seen in (experience.observation, experience.transition.final_observation[:, 1:]):
        assert seen.dtype == np.float32 and seen.shape[2:] == tuple(space.shape)
        assert np.isfinite(seen).all()
        assert np.all(seen >= np.asarray(space.low)) and np.all(seen <= np.asarray(space.high))


def test_episodes_end_early_only_where_that_is_said(played: Played) -> None:
    outcome, tasks = played.outcome, played.tasks
    assert np.isfinite(outcome.reward).all()
    if tasks.ends_early:
        return  # what the ends then are, test_boundary says
    assert not outcome.terminated.any() and outcome.valid.all()
    last = np.arange(tasks.max_steps) % tasks.episode_length == tasks.episode_length - 1
    np.testing.assert_array_equal(outcome.truncated, np.broadcast_to(last, outcome.truncated.shape))


def test_an_episode_can_be_drawn(played: Played) -> None:
    if played.tasks.scene is None:
        return
    outcome = played.outcome
    first = np.flatnonzero((outcome.episode[0] == 0) & outcome.valid[0])
    states = jax.tree.map(
        lambda before, after: np.concatenate([before[0, first], after[0, first[-1:]]]),
        outcome.state,
        outcome.next_state,
    )
    scene = played.tasks.scene(jax.tree.map(lambda x: x[0], played.task), states)
    assert scene.path is not None or scene.series or scene.choices
    if scene.path is not None:
        assert scene.path.shape == (len(first) + 1, 2) and scene.bounds is not None
        low, high = np.array(scene.bounds[:2]), np.array(scene.bounds[2:])
        assert np.all(scene.path >= low) and np.all(scene.path <= high)
    for series in scene.series.values():
        assert series.shape == (len(first),) and np.isfinite(series).all()
    for points in scene.markers.values():
        assert points.shape == (len(first) + 1, 2) and np.isfinite(points).all()
    if scene.limbs is not None:
        assert scene.limbs.ends.shape == (len(first) + 1, len(scene.limbs.widths), 2, 2)
    num_actions = getattr(played.tasks.specification.action, "n", 0)
    assert len(scene.choices) in (0, num_actions)
    if scene.moves is not None and scene.path is not None:
        assert scene.moves.shape == (num_actions, 2)
        taken = played.before.experience.transition.action[
            0, first[1:]
        ]  # in all steps but the last
        moved = np.diff(scene.path, axis=0)[:-1]
        hindered = np.all(moved == 0, axis=1)[:, None]
        np.testing.assert_array_equal(moved, np.where(hindered, 0, scene.moves[taken]))
