"""Half-cheetahs told by reward alone how fast, or which way, to run.

The body is gymnasium's HalfCheetah-v5; the task is hidden in the reward.

Reference:
    Finn, Abbeel, Levine (2017), "Model-Agnostic Meta-Learning for Fast Adaptation of Deep
    Networks", section 5.3 (both families).
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment, spaces

from metarl_envs.physics import (
    EngineName,
    MjxImplementation,
    PhysicsEngine,
    PhysicsState,
    make_engine,
)
from metarl_envs.physics.model import CONTROL_PERIOD, NUM_ACTUATORS, NUM_JOINTS
from metarl_envs.physics.skeleton import limbs
from metarl_jax.checks import check_number
from metarl_jax.tasks.distribution import TaskDistribution
from metarl_jax.tasks.measures import Measure, Values
from metarl_jax.tasks.scene import Scene
from metarl_jax.types import Array, ConfigurationError, Key, StepOutcome

ACTION_COST = 0.05
RESET_NOISE = 0.1
"""HalfCheetah-v5's: half the width of qpos's interval, and the standard deviation of qvel."""
MAX_SPEED = 100.0
"""Bound of the speeds that can be asked for, m/s: beyond any half-cheetah."""
FASTER_BY = 1.0
"""Width of the split "faster", m/s, above the fastest speed of p(M)."""
EARLY_STEPS = 20


class VelocityTask(struct.PyTreeNode):
    """A speed to run at."""

    target_velocity: Array  # [] float32, m/s


class DirectionTask(struct.PyTreeNode):
    """A way to run."""

    direction: Array  # [] float32, -1 backwards or +1 forwards


class HalfCheetah(environment.Environment[Any, Any]):
    """HalfCheetah-v5's body under r = progress(v, task) - 0.05 Σ a²; its state is a PhysicsState.

    Args:
        engine: the physics.
        progress: `(v, task) -> []`, the reward of running at v m/s, before the cost of the action.
    """

    def __init__(self, engine: PhysicsEngine, progress: Callable[[Array, Any], Array]) -> None:
        self._engine = engine
        self._progress = progress

    def reset_env(self, key: Key, task: Any) -> tuple[Array, PhysicsState]:
        """HalfCheetah-v5's start: qpos ~ U(-0.1, 0.1), qvel ~ 0.1 N(0, 1)."""
        del task
        position_key, velocity_key = jax.random.split(key)
        joints = (NUM_JOINTS,)
        qpos = jax.random.uniform(position_key, joints, jnp.float32, -RESET_NOISE, RESET_NOISE)
        qvel = RESET_NOISE * jax.random.normal(velocity_key, joints, jnp.float32)
        state = self._engine.initial(qpos, qvel)
        return _observe(state), state

    def step_env(
        self, key: Key, state: PhysicsState, action: Array, task: Any
    ) -> tuple[Array, PhysicsState, Array, Array, dict[str, Array]]:
        """One control step of 0.05 s; v is the mean forward velocity over it."""
        del key
        state = self._engine.step(state, action)
        cost = ACTION_COST * jnp.sum(jnp.square(action))
        reward = self._progress(forward_velocity(state), task) - cost
        return _observe(state), state, reward, jnp.zeros((), jnp.bool_), {}

    def action_space(self, task: Any) -> spaces.Box:
        """[6] torques, as fractions of each motor's greatest."""
        del task
        return spaces.Box(-1.0, 1.0, (NUM_ACTUATORS,), jnp.float32)

    def observation_space(self, task: Any) -> spaces.Box:
        """[17]: positions without x (m, rad), then velocities (m/s, rad/s)."""
        del task
        return spaces.Box(-jnp.inf, jnp.inf, (2 * NUM_JOINTS - 1,), jnp.float32)


def forward_velocity(state: PhysicsState) -> Array:
    """Mean forward velocity over the last control step, m/s: [...] float32."""
    return state.displacement[..., 0] / CONTROL_PERIOD


def _observe(state: PhysicsState) -> Array:
    return jnp.concatenate([state.qpos[1:], state.qvel])


def _scene(states: PhysicsState, task: str, target: float | None = None) -> Scene:
    """The body, and its velocity in every step beside the one asked for, where there is one."""
    velocity = np.asarray(states.displacement)[1:, 0] / CONTROL_PERIOD
    series, markers = {"velocity": velocity}, {}
    if target is not None:
        series["target"] = np.full_like(velocity, target)
        start = float(np.asarray(states.qpos)[0, 0])
        seconds = CONTROL_PERIOD * np.arange(len(velocity) + 1)
        markers["target"] = np.stack([start + target * seconds, np.zeros_like(seconds)], axis=-1)
    return Scene(
        series=series, unit="m/s", task=task, limbs=limbs(np.asarray(states.qpos)), markers=markers
    )


def _velocity_scene(task: VelocityTask, states: PhysicsState) -> Scene:
    target = float(task.target_velocity)
    return _scene(states, f"run at {target:.2f} m/s", target)


def _direction_scene(task: DirectionTask, states: PhysicsState) -> Scene:
    return _scene(states, "run forwards" if task.direction > 0 else "run backwards")


def _velocity_measure(num_episodes: int, episode_length: int) -> Measure:
    """Mean |v - v*| in m/s, over an episode's first 20 steps and over all of it."""

    def keep(task: VelocityTask, action: Array, outcome: StepOutcome) -> Array:
        del action
        return jnp.abs(forward_velocity(outcome.next_state) - task.target_velocity[None])

    def summarize(task: VelocityTask, kept: np.ndarray) -> Values:
        del task
        errors = kept.reshape(num_episodes, episode_length, -1)
        return {
            "velocity_error_first_20_steps": errors[:, :EARLY_STEPS].mean(axis=(1, 2)).tolist(),
            "velocity_error": errors.mean(axis=(1, 2)).tolist(),
        }

    return Measure(keep, summarize)


def _check_speeds(minimum: float, maximum: float) -> None:
    for name, speed in (("minimum_velocity", minimum), ("maximum_velocity", maximum)):
        check_number("cheetah_vel", name, speed, at_least=-MAX_SPEED, at_most=MAX_SPEED)
    if not minimum < maximum:
        raise ConfigurationError(
            "cheetah_vel: minimum_velocity must be less than maximum_velocity, got "
            f"{minimum} and {maximum}; give the slower one first."
        )


def cheetah_vel(
    *,
    minimum_velocity: float = 0.0,
    maximum_velocity: float = 3.0,
    episode_length: int = 200,
    num_episodes: int = 2,
    engine: EngineName = "auto",
    mjx_impl: MjxImplementation = "jax",
) -> TaskDistribution:
    """A half-cheetah that must run at a hidden speed v*; r = -|v - v*| - 0.05 Σ a².

    v* ~ U(minimum_velocity, maximum_velocity); in the split "faster", from the 1 m/s above that.
    The context is v* itself.

    Args:
        minimum_velocity: slowest speed asked for, m/s; negative is backwards.
        maximum_velocity: fastest speed asked for, m/s.
        episode_length: steps of 0.05 s in an episode.
        num_episodes: episodes in a meta-episode.
        engine: who computes the physics: C MuJoCo on a CPU, MJX on an accelerator, auto the
            right one of them.
        mjx_impl: how MJX computes: jax or warp (NVIDIA GPUs).

    Raises:
        ConfigurationError: speeds beyond 100 m/s or not in order, or an engine this machine does
            not have.
    """
    _check_speeds(minimum_velocity, maximum_velocity)

    def progress(velocity: Array, task: VelocityTask) -> Array:
        return -jnp.abs(velocity - task.target_velocity)

    def between(low: float, high: float, key: Key) -> VelocityTask:
        return VelocityTask(jax.random.uniform(key, (), jnp.float32, low, high))

    return TaskDistribution(
        name="cheetah_vel",
        environment=HalfCheetah(make_engine(engine, mjx_impl), progress),
        sample=functools.partial(between, minimum_velocity, maximum_velocity),
        describe=lambda task: task.target_velocity[None],
        episode_length=episode_length,
        num_episodes=num_episodes,
        ends_early=False,
        splits={
            "faster": functools.partial(between, maximum_velocity, maximum_velocity + FASTER_BY)
        },
        scene=_velocity_scene,
        measures=(_velocity_measure(num_episodes, episode_length),),
    )


def cheetah_dir(
    *,
    episode_length: int = 200,
    num_episodes: int = 2,
    engine: EngineName = "auto",
    mjx_impl: MjxImplementation = "jax",
) -> TaskDistribution:
    """A half-cheetah that must run forwards or backwards, untold; r = d v - 0.05 Σ a².

    d = -1 or +1, each with probability 1/2. The context is d itself.

    Args:
        episode_length: steps of 0.05 s in an episode.
        num_episodes: episodes in a meta-episode.
        engine: who computes the physics: C MuJoCo on a CPU, MJX on an accelerator, auto the
            right one of them.
        mjx_impl: how MJX computes: jax or warp (NVIDIA GPUs).

    Raises:
        ConfigurationError: an engine this machine does not have.
    """

    def progress(velocity: Array, task: DirectionTask) -> Array:
        return task.direction * velocity

    def sample(key: Key) -> DirectionTask:
        return DirectionTask(jax.random.rademacher(key, (), jnp.float32))

    return TaskDistribution(
        name="cheetah_dir",
        environment=HalfCheetah(make_engine(engine, mjx_impl), progress),
        sample=sample,
        describe=lambda task: task.direction[None],
        episode_length=episode_length,
        num_episodes=num_episodes,
        ends_early=False,
        all_tasks=lambda: DirectionTask(jnp.array([-1.0, 1.0], jnp.float32)),
        scene=_direction_scene,
    )
