"""C MuJoCo as a pure function inside jit: float64, on all cores, equal to MuJoCo bit for bit.

A step is a host callback that works on XLA's own buffers. What goes round the loop is all that
MuJoCo needs to go on exactly: time, qpos, qvel and the solver's warm start, a row of W = 28
float64. jax without x64 has no float64, so a row travels as 2 W opaque uint32, and qpos, qvel and
the displacement come beside it, rounded to float32.
"""

import functools
import queue
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.buffer_callback import buffer_callback
from mujoco import batch

from metarl_envs.physics.engine import PhysicsEngine, PhysicsState
from metarl_envs.physics.model import NUM_ACTUATORS, NUM_JOINTS, SUBSTEPS, half_cheetah
from metarl_jax.parallel.host import usable_cores
from metarl_jax.types import Array

CAPACITY = 1024
"""Simulations that one call of a pool can step; a larger batch takes several calls."""
ROW = 1 + 3 * NUM_JOINTS
"""W. In this order: time, qpos, qvel, warm start."""
_QPOS = slice(1, 1 + NUM_JOINTS)
_QVEL = slice(_QPOS.stop, _QPOS.stop + NUM_JOINTS)


@functools.cache
def mujoco_engine(threads: int | None = None) -> PhysicsEngine:
    """Makes the engine and its threads: one pool per device of this process.

    The pools are made here, before the run: threads started from within XLA's own have taken the
    process down, and so has one pool used by two threads at once.

    Args:
        threads: how many for all pools together, the callers' own among them; None is one for
            each core that the process may use.
    """
    devices = jax.local_device_count()
    pools: queue.SimpleQueue[Pool] = queue.SimpleQueue()
    for _ in range(devices):
        pools.put(Pool(half_cheetah(), max(1, (threads or usable_cores()) // devices)))

    def on_host(context: Any, out: PhysicsState, internal: Any, action: Any) -> None:
        del context
        before = np.asarray(internal).view(np.float64).reshape(-1, ROW)
        after = np.asarray(out.internal).view(np.float64).reshape(-1, ROW)
        pool = pools.get()
        try:
            pool.step(before, np.asarray(action).reshape(-1, NUM_ACTUATORS), after)
        finally:
            pools.put(pool)
        np.asarray(out.qpos).reshape(-1, NUM_JOINTS)[:] = after[:, _QPOS]
        np.asarray(out.qvel).reshape(-1, NUM_JOINTS)[:] = after[:, _QVEL]
        moved = after[:, _QPOS] - before[:, _QPOS]
        np.asarray(out.displacement).reshape(-1, NUM_JOINTS)[:] = moved

    joints = jax.ShapeDtypeStruct((NUM_JOINTS,), jnp.float32)
    shapes = jax.eval_shape(_initial, joints, joints)
    call = buffer_callback(on_host, shapes, vmap_method="broadcast_all")

    def step(state: PhysicsState, action: Array) -> PhysicsState:
        # MuJoCo ignores a command that is not finite too, but says so on stderr every time.
        action = jnp.where(jnp.isfinite(action).all(), action, 0.0)
        after = call(state.internal, jax.lax.stop_gradient(action))
        return _varying_as(state.internal, action, after)

    return PhysicsEngine("mujoco", _initial, step)


class Pool:
    """Threads that step half-cheetahs given as rows of float64. Not for two callers at once.

    `mujoco.batch` gives the solver's warm start back; `mujoco.rollout` keeps it to itself.
    """

    def __init__(self, model: Any, threads: int) -> None:
        self._batch = batch.Batch(model, CAPACITY, threads)
        # MuJoCo's own rows begin as ours do, and the commands come next.
        self._rows = self._batch.state[:, :ROW]
        self._commands = self._batch.state[:, ROW : ROW + NUM_ACTUATORS]
        self._ids = np.arange(CAPACITY, dtype=np.int32)

    def step(self, before: np.ndarray, action: np.ndarray, after: np.ndarray) -> None:
        """One control step of n simulations, written into `after`.

        Args:
            before: [n, W] float64.
            action: [n, nu] float32, commands in [-1, 1]; MuJoCo clips them.
            after: [n, W] float64.

        Raises:
            mujoco.batch.SimulationError: MuJoCo gave up on a simulation.
        """
        for start in range(0, len(before), CAPACITY):
            part = slice(start, start + CAPACITY)
            self._step(before[part], action[part], after[part])

    def _step(self, before: np.ndarray, action: np.ndarray, after: np.ndarray) -> None:
        count = len(before)
        self._rows[:count] = before
        self._commands[:count] = action
        self._batch.step(self._ids[:count], SUBSTEPS)
        after[:] = self._rows[:count]


def _initial(qpos: Array, qvel: Array) -> PhysicsState:
    """Time 0 and no warm start, as HalfCheetah-v5 resets."""
    words = _as_float64(jnp.concatenate([qpos, qvel])).reshape(-1)
    internal = jnp.zeros(2 * ROW, jnp.uint32).at[2 * _QPOS.start : 2 * _QVEL.stop].set(words)
    return PhysicsState(qpos, qvel, jnp.zeros_like(qpos), internal)


def _as_float64(value: Array) -> Array:
    """The float64 equal to each float32: `[n]` -> `[n, 2]` uint32, the lower word first.

    Numbers below 1e-38 become 0.
    """
    bits = jax.lax.bitcast_convert_type(value, jnp.uint32)
    sign = (bits >> 31) << 31
    exponent = (bits >> 23) & 0xFF
    fraction = bits & 0x7FFFFF
    rebased = jnp.where(exponent == 0xFF, 0x7FF, exponent + (1023 - 127))
    upper = jnp.where(exponent == 0, 0, (rebased << 20) | (fraction >> 3)) | sign
    lower = jnp.where(exponent == 0, 0, fraction << 29)
    return jnp.stack([lower, upper], axis=-1)


def _varying_as(row: Array, action: Array, after: PhysicsState) -> PhysicsState:
    """Tells `shard_map` that a callback's outputs vary over the devices where its inputs do.

    jax takes them for the same everywhere. The condition is never true, and compiles to nothing.
    """
    marker = row[0] ^ jax.lax.bitcast_convert_type(action[0], jnp.uint32)
    never = marker != marker
    return jax.tree.map(lambda out: jnp.where(never, jnp.zeros_like(out), out), after)
