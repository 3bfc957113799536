"""MuJoCo as a jax program (MJX), for accelerators: float32, the same model.

MJX's state has hundreds of arrays, nearly all of them worked out anew in every step; what goes
round the loop is qpos, qvel and the solver's warm start.
"""

import contextlib
import functools
import io
from importlib import util

import jax
import jax.numpy as jnp

with contextlib.redirect_stdout(io.StringIO()):  # it prints what it misses where warp is not
    from mujoco import mjx

from metarl_envs.physics.engine import MjxImplementation, PhysicsEngine, PhysicsState
from metarl_envs.physics.model import SUBSTEPS, half_cheetah
from metarl_jax.types import Array, ConfigurationError

ITERATIONS = 10
"""Newton steps of the solver at most; they end with a batch's last, after 6 or so."""
LINE_SEARCHES = 8
"""Steps of a line search, all of them under `vmap`: the model's 50 would be most of the time.

Over 10,000 visited states 6 Newton steps of 8 leave the very error that 20 of 20 leave; 5 of 6
leave one of them unsolved, wrong by 0.7 m/s.
"""
MAX_CONTACTS = 16
"""Two for each of the eight capsules."""
MAX_CONSTRAINTS = 4 * MAX_CONTACTS + 6
"""Four faces of the friction pyramid for each contact, and six joint limits."""
WARP_WORLDS = 32_768
"""Simulations with all their contacts at once that warp has room for, over the whole batch."""


@functools.cache
def mjx_engine(impl: MjxImplementation = "jax") -> PhysicsEngine:
    """Makes the engine.

    Args:
        impl: who computes the steps: "jax", or NVIDIA's "warp".

    Raises:
        ConfigurationError: an unknown `impl`, or one that is not installed.
    """
    model, blank = _program(impl)

    def initial(qpos: Array, qvel: Array) -> PhysicsState:
        return PhysicsState(qpos, qvel, jnp.zeros_like(qpos), jnp.zeros_like(qvel))

    def step(state: PhysicsState, action: Array) -> PhysicsState:
        state, action = jax.lax.stop_gradient((state, action))
        before = blank.replace(
            qpos=state.qpos, qvel=state.qvel, qacc_warmstart=state.internal, ctrl=action
        )
        # MJX relies on the promotion; an accelerator would round the factors of products.
        with jax.numpy_rank_promotion("allow"), jax.default_matmul_precision("float32"):
            after = jax.lax.fori_loop(0, SUBSTEPS, lambda _, data: mjx.step(model, data), before)
        moved = after.qpos - state.qpos
        return PhysicsState(after.qpos, after.qvel, moved, after.qacc_warmstart)

    return PhysicsEngine("mjx", initial, step)


def _program(impl: MjxImplementation) -> tuple[mjx.Model, mjx.Data]:
    """The model and a blank state of it, as `impl` wants them."""
    cheetah = half_cheetah()
    if impl == "jax":
        model = mjx.put_model(cheetah, impl=impl)
        fewer = model.opt.replace(iterations=ITERATIONS, ls_iterations=LINE_SEARCHES)
        return model.replace(opt=fewer), mjx.make_data(cheetah, impl=impl)
    if impl != "warp":
        raise ConfigurationError(
            f"Expected mjx_impl 'jax' or 'warp', got {impl!r}: name one of these."
        )
    if util.find_spec("warp") is None:
        raise ConfigurationError(
            "mjx_impl 'warp' expected the package warp, got none installed: "
            "pip install 'mujoco-mjx[warp]', or choose mjx_impl 'jax'."
        )
    if jax.default_backend() not in ("gpu", "cpu"):
        raise ConfigurationError(
            f"mjx_impl 'warp' expected an NVIDIA GPU, got {jax.default_backend()!r}: "
            "choose mjx_impl 'jax'."
        )
    contacts = MAX_CONTACTS * WARP_WORLDS
    blank = mjx.make_data(cheetah, impl=impl, naconmax=contacts, njmax=MAX_CONSTRAINTS)
    return mjx.put_model(cheetah, impl=impl), blank
