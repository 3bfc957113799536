"""The choice of a physics engine by name."""

import jax

from metarl_envs.physics.engine import EngineName, MjxImplementation, PhysicsEngine
from metarl_jax.types import ConfigurationError


def make_engine(name: EngineName = "auto", mjx_impl: MjxImplementation = "jax") -> PhysicsEngine:
    """Makes the half-cheetah's physics; both engines step gymnasium's HalfCheetah-v5 model.

    Args:
        name: "mujoco", C MuJoCo on the CPU's cores; "mjx", MuJoCo as a jax program; "auto", the
            first where jax computes on a CPU, the second elsewhere.
        mjx_impl: who computes the steps of "mjx": "jax", or NVIDIA's "warp".

    Raises:
        ConfigurationError: an unknown name, or an engine that this machine does not have.
    """
    backend = jax.default_backend()
    if name == "auto":
        name = "mujoco" if backend == "cpu" else "mjx"
    if name == "mujoco":
        if backend != "cpu":
            raise ConfigurationError(
                f"Physics engine 'mujoco' expected jax to compute on the CPU, got {backend!r}: "
                "choose engine 'mjx', or set JAX_PLATFORMS=cpu."
            )
        return _c_engine()
    if name == "mjx":
        return _mjx_engine(mjx_impl)
    raise ConfigurationError(
        f"Expected the physics engine 'auto', 'mujoco' or 'mjx', got {name!r}: name one of these."
    )


def _c_engine() -> PhysicsEngine:
    try:
        from metarl_envs.physics.mujoco_engine import mujoco_engine
    except ImportError as error:
        raise ConfigurationError(
            f"Physics engine 'mujoco' expected the package mujoco>=4.0, got: {error}. "
            "Install it: pip install 'mujoco>=4.0'."
        ) from error
    return mujoco_engine()


def _mjx_engine(impl: MjxImplementation) -> PhysicsEngine:
    try:
        from metarl_envs.physics.mjx_engine import mjx_engine
    except ImportError as error:
        raise ConfigurationError(
            f"Physics engine 'mjx' expected the package mujoco-mjx>=3.17, got: {error}. "
            "Install it (pip install 'mujoco-mjx>=3.17'), or choose engine 'mujoco' on a CPU."
        ) from error
    return mjx_engine(impl)
