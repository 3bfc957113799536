"""What a physics engine is to an environment."""

from collections.abc import Callable
from typing import Literal, NamedTuple

from flax import struct

from metarl_jax.types import Array, PyTree

EngineName = Literal["auto", "mujoco", "mjx"]
MjxImplementation = Literal["jax", "warp"]


class PhysicsState(struct.PyTreeNode):
    """A mechanical system between two control steps.

    All but `internal` is what the world may look at. `internal` is what the engine needs to go on,
    in whatever form and precision it likes.
    """

    qpos: Array  # [nq] float32, m and rad
    qvel: Array  # [nv] float32, m/s and rad/s
    displacement: Array  # [nq] float32: change of qpos over the last control step; 0 at the start
    internal: PyTree


class PhysicsEngine(NamedTuple):
    """Two pure functions of one system, batched by `vmap` and repeated by `scan`.

    Attributes:
        name: "mujoco" or "mjx".
        initial: `(qpos [nq] float32, qvel [nv] float32) -> PhysicsState`, with no history.
        step: `(PhysicsState, action [nu] float32) -> PhysicsState`, one control step later. No
            gradient passes through it.
    """

    name: str
    initial: Callable[[Array, Array], PhysicsState]
    step: Callable[[PhysicsState, Array], PhysicsState]
