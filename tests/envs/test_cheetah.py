"""The half-cheetah families: their rewards, resets, tasks and scenes."""

from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metarl_envs.cheetah import (
    DirectionTask,
    HalfCheetah,
    VelocityTask,
    cheetah_dir,
    cheetah_vel,
    forward_velocity,
)
from metarl_envs.physics import PhysicsEngine, PhysicsState
from metarl_envs.physics.skeleton import limbs
from metarl_jax.learning.algorithms import a2c
from metarl_jax.learning.schedules import hyperparameters
from metarl_jax.learning.train_state import UpdateConfig
from metarl_jax.types import ConfigurationError
from support.probes import small_policy


def a_key(seed: int = 0) -> Any:
    return jax.random.key(seed)


def keys(count: int, seed: int = 0) -> Any:
    return jax.random.split(a_key(seed), count)


def resets(environment: Any, count: int) -> PhysicsState:
    reset = jax.jit(jax.vmap(environment.reset_env, (0, None)))
    return reset(keys(count), None)[1]


def gliding_engine(velocity: float) -> PhysicsEngine:
    """A body that moves at `velocity` m/s whatever the action."""

    def initial(qpos: Any, qvel: Any) -> PhysicsState:
        return PhysicsState(qpos, qvel, jnp.zeros(9), ())

    def step(state: PhysicsState, action: Any) -> PhysicsState:
        moved = jnp.zeros(9).at[0].set(0.05 * velocity)
        return state.replace(qpos=state.qpos + moved, displacement=moved)

    return PhysicsEngine("gliding", initial, step)


@pytest.mark.parametrize(
    ("family", "task", "velocity", "expected"),
    [
        # |1.5 - 2| + 0.05 (4 · 0.25 + 2 · 1) = 0.5 + 0.15
        (cheetah_vel, VelocityTask(jnp.float32(2.0)), 1.5, -0.65),
        # |2.5 - 2| + 0.15: too fast costs as much as too slow
        (cheetah_vel, VelocityTask(jnp.float32(2.0)), 2.5, -0.65),
        (cheetah_vel, VelocityTask(jnp.float32(-1.0)), -1.0, -0.15),
        (cheetah_dir, DirectionTask(jnp.float32(1.0)), 1.5, 1.35),
        (cheetah_dir, DirectionTask(jnp.float32(-1.0)), 1.5, -1.65),
    ],
)
def test_reward(family: Any, task: Any, velocity: float, expected: float) -> None:
    environment = HalfCheetah(gliding_engine(velocity), family().environment._progress)
    _, state = environment.reset_env(a_key(), task)
    action = jnp.array([0.5, -0.5, 0.5, -0.5, 1.0, -1.0])
    _, _, reward, terminated, info = jax.jit(environment.step_env)(a_key(), state, action, task)
    np.testing.assert_allclose(reward, expected, rtol=1e-6)
    assert (reward.dtype, terminated.dtype) == (jnp.float32, jnp.bool_)
    assert not terminated
    assert info == {}


@pytest.mark.usefixtures("cpu")
def test_reward_on_the_real_body_is_its_displacement_and_the_action() -> None:
    family = cheetah_vel()
    tasks = jax.vmap(family.sample)(keys(8))
    observation, state = jax.vmap(family.environment.reset_env)(keys(8, 1), tasks)
    generator = np.random.default_rng(0)
    step = jax.jit(jax.vmap(family.environment.step_env))
    for _ in range(5):
        action = generator.uniform(-1, 1, (8, 6)).astype(np.float32)
        before = state.internal.view(np.uint32)
        observation, state, reward, _, _ = step(keys(8, 2), state, action, tasks)
        x = [np.asarray(words).view(np.float64)[:, 1] for words in (before, state.internal)]
        velocity = (x[1] - x[0]) / 0.05
        target = np.asarray(tasks.target_velocity, np.float64)
        expected = -np.abs(velocity - target) - 0.05 * np.sum(action.astype(np.float64) ** 2, -1)
        np.testing.assert_allclose(reward, expected, rtol=2e-6)
        np.testing.assert_allclose(forward_velocity(state), velocity, rtol=1e-6)
        np.testing.assert_array_equal(observation[:, :8], state.qpos[:, 1:])
        np.testing.assert_array_equal(observation[:, 8:], state.qvel)


def test_reset_is_half_cheetah_v5s() -> None:
    states = resets(cheetah_vel().environment, 4000)
    qpos, qvel = np.asarray(states.qpos), np.asarray(states.qvel)
    assert np.abs(qpos).max() <= 0.1
    assert np.abs(qpos).max(0).min() > 0.099
    np.testing.assert_allclose(qpos.mean(0), 0.0, atol=5 * 0.1 / np.sqrt(3 * 4000))
    np.testing.assert_allclose(qvel.mean(0), 0.0, atol=5 * 0.1 / np.sqrt(4000))
    np.testing.assert_allclose(qvel.std(0), 0.1, rtol=5 / np.sqrt(2 * 4000))
    together = np.corrcoef(np.concatenate([qpos, qvel], 1).T) - np.eye(18)
    assert np.abs(together).max() < 5 / np.sqrt(4000)
    assert not np.any(states.displacement)


def test_reset_samples_nothing_of_the_task() -> None:
    for family in (cheetah_vel(), cheetah_dir()):
        one, other = (family.sample(jax.random.key(seed)) for seed in (1, 4))
        assert jax.tree.leaves(one) != jax.tree.leaves(other)
        starts = [family.environment.reset_env(a_key(), task) for task in (one, other)]
        for a, b in zip(*map(jax.tree.leaves, starts), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("low", "high"), [(0.0, 3.0), (-3.0, 3.0)])
def test_speeds_are_uniform_and_the_faster_ones_lie_just_above(low: float, high: float) -> None:
    family = cheetah_vel(minimum_velocity=low, maximum_velocity=high)
    for sample, least, most in (
        (family.sample, low, high),
        (family.splits["faster"], high, high + 1),
    ):
        speeds = np.asarray(jax.vmap(sample)(keys(4000)).target_velocity)
        assert speeds.dtype == np.float32
        assert least <= speeds.min() < speeds.max() < most
        quantiles = np.quantile(speeds, [0.1, 0.5, 0.9])
        expected = least + (most - least) * np.array([0.1, 0.5, 0.9])
        np.testing.assert_allclose(
            quantiles, expected, atol=5 * 0.5 * (most - least) / np.sqrt(4000)
        )


def test_directions_are_both_as_likely_and_all_listed() -> None:
    family = cheetah_dir()
    directions = np.asarray(jax.vmap(family.sample)(keys(4000)).direction)
    assert directions.dtype == np.float32
    assert set(directions) == {-1.0, 1.0}
    assert abs(directions.mean()) < 5 / np.sqrt(4000)
    assert family.all_tasks is not None
    np.testing.assert_array_equal(family.all_tasks().direction, [-1.0, 1.0])


def test_the_context_is_the_task() -> None:
    np.testing.assert_array_equal(cheetah_vel().describe(VelocityTask(jnp.float32(1.25))), [1.25])
    np.testing.assert_array_equal(cheetah_dir().describe(DirectionTask(jnp.float32(-1.0))), [-1.0])


@pytest.mark.parametrize("family", [cheetah_vel(), cheetah_dir()], ids=lambda family: family.name)
def test_scene_shows_the_velocity_of_every_step(family: Any) -> None:
    task = family.sample(a_key())
    _, state = jax.jit(family.environment.reset_env)(a_key(), task)
    step = jax.jit(family.environment.step_env)
    states, velocities = [state], []
    for action in np.random.default_rng(1).uniform(-1, 1, (6, 6)).astype(np.float32):
        _, state, _, _, _ = step(a_key(), state, action, task)
        states.append(state)
        velocities.append(float(forward_velocity(state)))
    episode = jax.tree.map(lambda *leaves: np.stack(leaves), *states)
    scene = family.scene(jax.tree.map(np.asarray, task), episode)
    assert (scene.unit, scene.bounds, scene.path) == ("m/s", None, None)
    np.testing.assert_allclose(scene.series["velocity"], velocities, rtol=1e-6)
    assert scene.limbs.ends.shape == (7, 8, 2, 2)
    if family.name == "cheetah_vel":
        np.testing.assert_array_equal(scene.series["target"], [task.target_velocity] * 6)
        walked = episode.qpos[0, 0] + 0.05 * np.arange(7) * task.target_velocity
        np.testing.assert_allclose(scene.markers["target"][:, 0], walked, rtol=1e-5)
        assert scene.task == f"run at {task.target_velocity:.2f} m/s"
    else:
        assert set(scene.series) == {"velocity"} and not scene.markers
        assert scene.task == f"run {'forwards' if task.direction > 0 else 'backwards'}"


def capsules(body: Element, joints: dict[str, float], at: complex, turned: float) -> list:
    """Ends of a body's capsules and of those that hang on it, by rotating in the plane.

    A point is x + i z, and a turn about y by an angle takes it by exp(-i angle).
    """
    place = [float(x) for x in (body.get("pos") or "0 0 0").split()]
    at = at + (place[0] + 1j * place[2]) * np.exp(-1j * turned)
    turned += joints.get(str(body.get("name")), 0.0)
    found = []
    for geom in body.findall("geom"):
        if fromto := geom.get("fromto"):
            x = [float(v) for v in fromto.split()]
            ends = np.array([x[0] + 1j * x[2], x[3] + 1j * x[5]])
        else:
            centre = [float(v) for v in str(geom.get("pos")).split()]
            angle = float(str(geom.get("axisangle")).split()[3])
            half = float(str(geom.get("size")).split()[1])
            along = half * 1j * np.exp(-1j * angle)
            ends = centre[0] + 1j * centre[2] + np.array([-along, along])
        found.append(at + ends * np.exp(-1j * turned))
    for child in body.findall("body"):
        found += capsules(child, joints, at, turned)
    return found


def test_limbs_are_where_the_joints_put_them() -> None:
    """Against the model's file, read here, and rotations of complex numbers."""
    names = ("bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot")
    folder = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets"
    torso = ElementTree.parse(folder / "half_cheetah.xml").getroot().find("worldbody/body")
    assert torso is not None
    qpos = np.random.default_rng(0).uniform(-1, 1, (5, 9)).astype(np.float32)
    drawn = limbs(qpos)
    np.testing.assert_allclose(drawn.widths, 0.092)
    for q, ends in zip(qpos, drawn.ends, strict=True):
        joints = {"torso": float(q[2])} | dict(zip(names, map(float, q[3:]), strict=True))
        wanted = capsules(torso, joints, complex(q[0], q[1]), 0.0)
        given = [sorted(rod[:, 0] + 1j * rod[:, 1]) for rod in ends]
        np.testing.assert_allclose(given, [sorted(rod) for rod in wanted], atol=1e-5)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (3.0, 0.0, "less than maximum_velocity, got 3.0 and 0.0"),
        (1.0, 1.0, "less than maximum_velocity, got 1.0 and 1.0"),
        (0.0, float("inf"), "maximum_velocity must be a number .* got inf"),
        (float("nan"), 1.0, "minimum_velocity must be a number .* got nan"),
    ],
)
def test_speeds_out_of_order_are_refused(low: float, high: float, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        cheetah_vel(minimum_velocity=low, maximum_velocity=high)


def test_spaces() -> None:
    environment = cheetah_vel().environment
    actions, observations = environment.action_space(None), environment.observation_space(None)
    assert (actions.shape, float(actions.low), float(actions.high)) == ((6,), -1.0, 1.0)
    observation, _ = environment.reset_env(a_key(), None)
    assert observations.shape == observation.shape == (17,)
    assert observation.dtype == jnp.float32


def test_an_update_through_mjx_end_to_end() -> None:
    """Rollout, gradient and step of Adam in one program: all of it moves, all of it is finite."""
    tasks = cheetah_vel(engine="mjx", episode_length=3)
    algorithm = a2c(
        tasks,
        small_policy(tasks),
        hyperparameters(),
        UpdateConfig(num_tasks=2, normalize_observations=True),
    )
    before = algorithm.init(jax.random.key(0))
    after, metrics = jax.jit(algorithm.update)(before)
    weights = [jax.tree.leaves(state.learner.params.weights) for state in (before, after)]
    assert all(bool(jnp.any(new != old)) for old, new in zip(*weights, strict=True))
    assert all(np.isfinite(value) for value in metrics.values())
    assert metrics["skipped"] == 0
    assert -6 * 3 < metrics["return"] < 0
